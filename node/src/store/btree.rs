//! The redb backend: the only file that names redb.
//!
//! Each table is a redb table of the same name, bytes to bytes, so that ranges end where the table
//! ends and no key needs a prefix. A table that was never written does not exist in redb and reads
//! as empty. Commits have durability Immediate: on disk when they return.
//!
//! redb has a checksum on every page, but verifies them only after an unclean end. So a file that
//! was closed cleanly is verified when it is opened, up to a size.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{
    Database, Durability, ReadOnlyTable, ReadableDatabase, TableDefinition, TableError,
    WriteTransaction,
};

use super::error::tells_damage;
use super::{
    Backend, CACHE_BYTES, Note, Store, StoreError, Table, VERIFY_UP_TO, Visitor, WriteBatch,
    WriteOp, files,
};

type Bytes = &'static [u8];

pub(crate) struct BtreeStore {
    db: Database,
    path: PathBuf,
}

impl BtreeStore {
    pub(crate) fn open(path: &Path, notes: &mut Vec<Note>) -> Result<Self, StoreError> {
        let existing = fs::metadata(path).map(|meta| meta.len()).unwrap_or(0);
        let repaired = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&repaired);
        let mut builder = Database::builder();
        builder.set_cache_size(usize::try_from(CACHE_BYTES).unwrap_or(usize::MAX));
        builder.set_repair_callback(move |_| seen.store(true, Ordering::Relaxed));
        let mut db = builder.create(path).map_err(|error| store_error(path, "open", error))?;
        // A repair has just verified all pages; a new file has none.
        let verified = repaired.load(Ordering::Relaxed) || existing == 0;
        if !verified && existing <= VERIFY_UP_TO {
            let sound = db.check_integrity().map_err(|error| store_error(path, "check", error))?;
            if !sound {
                notes.push(Note::Repaired { path: path.to_owned() });
            }
        }
        Ok(BtreeStore { db, path: path.to_owned() })
    }

    fn error(&self, action: &'static str, error: impl Into<redb::Error>) -> StoreError {
        store_error(&self.path, action, error)
    }

    fn table(&self, table: Table) -> Result<Option<ReadOnlyTable<Bytes, Bytes>>, StoreError> {
        let reading = self.db.begin_read().map_err(|error| self.error("read", error))?;
        match reading.open_table(definition(table)) {
            Ok(rows) => Ok(Some(rows)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(self.error("read", error)),
        }
    }

    fn apply(&self, writing: &WriteTransaction, op: &WriteOp) -> Result<(), StoreError> {
        let (WriteOp::Put { table, .. }
        | WriteOp::Delete { table, .. }
        | WriteOp::DeleteFrom { table, .. }) = op;
        let rows = writing.open_table(definition(*table));
        let mut rows = rows.map_err(|error| self.error("write", error))?;
        let outcome = match op {
            WriteOp::Put { key, value, .. } => {
                rows.insert(key.as_slice(), value.as_slice()).map(drop)
            }
            WriteOp::Delete { key, .. } => rows.remove(key.as_slice()).map(drop),
            WriteOp::DeleteFrom { key, .. } => rows.retain_in(key.as_slice().., |_, _| false),
        };
        outcome.map_err(|error| self.error("write", error))
    }
}

impl Store for BtreeStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(rows) = self.table(table)? else {
            return Ok(None);
        };
        let value = rows.get(key).map_err(|error| self.error("read", error))?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    fn scan(&self, table: Table, from: &[u8], visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        let Some(rows) = self.table(table)? else {
            return Ok(());
        };
        for row in rows.range(from..).map_err(|error| self.error("read", error))? {
            let (key, value) = row.map_err(|error| self.error("read", error))?;
            if visit(key.value(), value.value()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        batch.check_sizes()?;
        if batch.is_empty() {
            return Ok(());
        }
        let mut writing = self.db.begin_write().map_err(|error| self.error("write", error))?;
        writing
            .set_durability(Durability::Immediate)
            .map_err(|error| self.error("write", error))?;
        // A transaction that is dropped before its commit is rolled back.
        for op in batch.ops() {
            self.apply(&writing, op)?;
        }
        writing.commit().map_err(|error| self.error("write", error))
    }

    fn backend(&self) -> Backend {
        Backend::Redb
    }

    fn bytes_on_disk(&self) -> Result<u64, StoreError> {
        files::bytes(&self.path)
    }
}

fn definition(table: Table) -> TableDefinition<'static, Bytes, Bytes> {
    TableDefinition::new(table.name())
}

/// A damaged file shows as "corrupted", as a read past its end, or as tables of other types and
/// file versions than this file has ever written.
fn store_error(path: &Path, action: &'static str, error: impl Into<redb::Error>) -> StoreError {
    let (backend, path) = (Backend::Redb, path.to_owned());
    let error = error.into();
    if let redb::Error::Io(source) = error {
        if tells_damage(&source) {
            return StoreError::Corrupt { backend, path, reason: source.to_string() };
        }
        return StoreError::Io { action, path, source };
    }
    let damaged = matches!(
        error,
        redb::Error::Corrupted(_)
            | redb::Error::UpgradeRequired(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. }
    );
    if damaged {
        return StoreError::Corrupt { backend, path, reason: error.to_string() };
    }
    StoreError::Engine { backend, path, action, source: Box::new(error) }
}

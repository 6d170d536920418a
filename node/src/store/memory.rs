//! The store in memory: for tests, for `--backend memory`, and as the measure of the others.
//!
//! Rows live as long as the process; an attacker can grow it no further than the disk backends,
//! because it stores the same verified rows.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock};

use super::{Backend, Store, StoreError, Table, Visitor, WriteBatch, WriteOp};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tables: RwLock<BTreeMap<Table, Rows>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Store for MemoryStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        Ok(tables.get(&table).and_then(|rows| rows.get(key)).cloned())
    }

    fn scan(&self, table: Table, from: &[u8], visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let Some(rows) = tables.get(&table) else {
            return Ok(());
        };
        for (key, value) in rows.range::<[u8], _>((Bound::Included(from), Bound::Unbounded)) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        // The only step that can fail comes first, so the rest is all or nothing under the lock.
        batch.check_sizes()?;
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        for op in batch.into_ops() {
            match op {
                WriteOp::Put { table, key, value } => {
                    tables.entry(table).or_default().insert(key, value);
                }
                WriteOp::Delete { table, key } => {
                    tables.entry(table).or_default().remove(&key);
                }
                WriteOp::DeleteFrom { table, key } => {
                    tables.entry(table).or_default().split_off(&key);
                }
            }
        }
        Ok(())
    }

    fn backend(&self) -> Backend {
        Backend::Memory
    }

    fn bytes_on_disk(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}

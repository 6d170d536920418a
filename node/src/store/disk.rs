//! The sled backend: the only file that names sled.
//!
//! sled 0.34.7 is its last stable version and unmaintained, so that what it does not do is done
//! here, and nothing above knows of it:
//!
//! - Its cache is 1 GB unless bounded: bounded.
//! - Its flusher is off: each commit flushes, and a flusher that panicked would make dropping the
//!   database wait for ever.
//! - On Linux its flush is `sync_file_range`, which leaves the file's size and the disk's own cache
//!   behind: each commit also calls `fdatasync`. Pages over 128 KB go to files of their own, which
//!   sled never syncs; a power cut (not a kill) can lose one, and the [`Tally`] then tells.
//! - Its batch keeps one change a key, and its iterators see commits half-way: batches are resolved
//!   first, and a lock keeps readers and the commit apart.
//! - It opens a damaged log with rows missing, or as it was many commits ago, says nothing, and
//!   loses rows that are committed after that: the [`Tally`] is checked at opening, and
//!   [`open`](super::open) then copies the rows into a new database.
//! - It panics on many kinds of damage: [`contain`](super::contain) deals with that.
//!
//! One tree holds all tables: a key is the table's id byte, then the row's key. Id 0 is this
//! file's own, for the tally. The file `commits` beside sled's own has the number of commits, 8
//! bytes, little-endian. It is written after each commit and not synced: at a kill nothing of it is
//! lost, at a power cut it may be behind, never ahead.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use super::error::{io, tells_damage};
use super::tally::Tally;
use super::{
    Backend, CACHE_BYTES, Note, Store, StoreError, Table, VERIFY_UP_TO, Visitor, WriteBatch,
    WriteOp, files,
};

/// sled's log, in its directory.
const LOG_FILE: &str = "db";
/// Ours, in sled's directory.
const COMMITS_FILE: &str = "commits";
const TALLY_KEY: &[u8] = b"\0rows";

/// How often, and how far apart, a lock that a dropped database of this process still holds (its
/// threads end later) is tried again. Other processes are kept out by the directory's own lock.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// What a batch comes to: the last change of each key, None for removed.
type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

pub(crate) struct DiskStore {
    db: sled::Db,
    path: PathBuf,
    /// sled's own log, to sync it.
    log: File,
    /// The number of commits, outside the log.
    commits: File,
    /// Read lock: a get or scan. Write lock: a commit.
    tally: RwLock<Tally>,
}

impl DiskStore {
    /// A note says that rows are lost: the caller then copies what there is and writes no more.
    pub(crate) fn open(path: &Path, notes: &mut Vec<Note>) -> Result<Self, StoreError> {
        let db = open_db(path)?;
        let (log, commits) = (open_file(path, LOG_FILE)?, open_file(path, COMMITS_FILE)?);
        files::sync_dir(path)?;
        let tally = RwLock::new(Tally::default());
        let store = DiskStore { db, path: path.to_owned(), log, commits, tally };
        let tally = store.check_rows(notes)?;
        *store.tally.write().unwrap_or_else(PoisonError::into_inner) = tally;
        Ok(store)
    }

    /// Compares commits and rows with the committed tally.
    fn check_rows(&self, notes: &mut Vec<Note>) -> Result<Tally, StoreError> {
        let stored = self.db.get(TALLY_KEY).map_err(|error| self.error("read", error))?;
        let stored = stored.as_deref().and_then(Tally::from_bytes);
        let known = stored.unwrap_or_default();
        let (path, made) = (self.path.clone(), self.commits_made());
        if made > known.commits {
            notes.push(Note::WentBack { path: path.clone(), made, found: known.commits });
        }
        if stored.is_some() && self.bytes_on_disk()? > VERIFY_UP_TO {
            return Ok(known);
        }
        let mut found = Tally::after(known.commits);
        for row in self.db.range(vec![1_u8]..) {
            let (key, value) = row.map_err(|error| self.error("read", error))?;
            found.add(&key, &value);
        }
        if known != found {
            let expected = stored.map(|stored| stored.rows);
            notes.push(Note::RowsLost { path, expected, found: found.rows });
        }
        Ok(found)
    }

    /// A file that is missing or short knows of no commit.
    fn commits_made(&self) -> u64 {
        let (mut file, mut bytes) = (&self.commits, [0; 8]);
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_exact(&mut bytes));
        read.map_or(0, |()| u64::from_le_bytes(bytes))
    }

    /// Applies the batch with its tally, and returns when it is on disk.
    fn write(&self, mut batch: sled::Batch, tally: Tally) -> Result<(), StoreError> {
        batch.insert(TALLY_KEY, tally.to_bytes());
        self.db.apply_batch(batch).map_err(|error| self.error("write", error))?;
        self.db.flush().map_err(|error| self.error("write", error))?;
        self.log.sync_data().map_err(io("sync", self.path.join(LOG_FILE)))?;
        let mut file = &self.commits;
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.write_all(&tally.commits.to_le_bytes()))
            .map_err(io("write", self.path.join(COMMITS_FILE)))
    }

    fn resolve(&self, ops: Vec<WriteOp>) -> Result<Changes, StoreError> {
        let mut changes = Changes::new();
        for op in ops {
            match op {
                WriteOp::Put { table, key, value } => {
                    changes.insert(full_key(table, &key), Some(value));
                }
                WriteOp::Delete { table, key } => {
                    changes.insert(full_key(table, &key), None);
                }
                WriteOp::DeleteFrom { table, key } => {
                    let range = full_key(table, &key)..table_end(table);
                    for (_, change) in changes.range_mut(range.clone()) {
                        *change = None;
                    }
                    for key in self.db.range(range).keys() {
                        let key = key.map_err(|error| self.error("read", error))?;
                        changes.insert(key.to_vec(), None);
                    }
                }
            }
        }
        Ok(changes)
    }

    fn error(&self, action: &'static str, error: sled::Error) -> StoreError {
        store_error(&self.path, action, error)
    }
}

impl Store for DiskStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let _no_commit = self.tally.read().unwrap_or_else(PoisonError::into_inner);
        let value = self.db.get(full_key(table, key));
        let value = value.map_err(|error| self.error("read", error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, table: Table, from: &[u8], visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        let _no_commit = self.tally.read().unwrap_or_else(PoisonError::into_inner);
        for row in self.db.range(full_key(table, from)..table_end(table)) {
            let (key, value) = row.map_err(|error| self.error("read", error))?;
            if visit(key.get(1..).unwrap_or_default(), &value).is_break() {
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
        let mut committed = self.tally.write().unwrap_or_else(PoisonError::into_inner);
        let mut tally = *committed;
        tally.commits = tally.commits.saturating_add(1);
        let mut batch_of_sled = sled::Batch::default();
        for (key, change) in self.resolve(batch.into_ops())? {
            let old = self.db.get(&key).map_err(|error| self.error("read", error))?;
            if let Some(old) = old {
                tally.remove(&key, &old);
            }
            match change {
                Some(value) => {
                    tally.add(&key, &value);
                    batch_of_sled.insert(key, value);
                }
                None => batch_of_sled.remove(key),
            }
        }
        self.write(batch_of_sled, tally)?;
        *committed = tally;
        Ok(())
    }

    fn backend(&self) -> Backend {
        Backend::Sled
    }

    fn bytes_on_disk(&self) -> Result<u64, StoreError> {
        files::bytes(&self.path)
    }
}

fn open_file(dir: &Path, name: &str) -> Result<File, StoreError> {
    let path = dir.join(name);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.open(&path).map_err(io("open", path))
}

fn open_db(path: &Path) -> Result<sled::Db, StoreError> {
    let mut tries = 0;
    loop {
        let config = sled::Config::default()
            .path(path)
            .cache_capacity(u64::from(CACHE_BYTES))
            .flush_every_ms(None);
        match config.open() {
            Ok(db) => return Ok(db),
            Err(error) if is_held(&error) && tries < LOCK_TRIES => {
                tries += 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            // The settings never change, so a complaint about them is a damaged settings file.
            Err(sled::Error::Unsupported(reason)) => {
                return Err(corrupt(path, reason));
            }
            Err(error) => return Err(store_error(path, "open", error)),
        }
    }
}

/// sled says it in words only.
fn is_held(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

fn store_error(path: &Path, action: &'static str, error: sled::Error) -> StoreError {
    match error {
        sled::Error::Corruption { at: Some(at), .. } => {
            corrupt(path, format!("bad checksum at {at:?}"))
        }
        sled::Error::Corruption { at: None, .. } => corrupt(path, "bad checksum".to_owned()),
        sled::Error::Io(error) if tells_damage(&error) => corrupt(path, error.to_string()),
        sled::Error::Io(source) => StoreError::Io { action, path: path.to_owned(), source },
        other @ (sled::Error::CollectionNotFound(_)
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_)) => StoreError::Engine {
            backend: Backend::Sled,
            path: path.to_owned(),
            action,
            source: Box::new(other),
        },
    }
}

fn corrupt(path: &Path, reason: String) -> StoreError {
    StoreError::Corrupt { backend: Backend::Sled, path: path.to_owned(), reason }
}

fn full_key(table: Table, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len().saturating_add(1));
    full.push(table.id());
    full.extend_from_slice(key);
    full
}

/// The first key after the table's last.
fn table_end(table: Table) -> Vec<u8> {
    vec![table.id().saturating_add(1)]
}

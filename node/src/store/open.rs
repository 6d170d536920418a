//! Opening a network's directory: lock it, read FORMAT, open the database or set a damaged one
//! aside, bring it to this version's format.
//!
//! ```text
//! DATA_DIR/mainnet/lock         who holds the directory
//!                 /FORMAT       number and backend, plain text
//!                 /store.sled/  or store.redb: the database
//!                 /store.sled.new/   one that is being made; a start that finds it removes it
//!                 /store.sled.damaged-1700000000/   one that was set aside
//! ```
//!
//! Invariants: a newer format is refused before anything is changed. A database gets its final
//! name only once its format number is in it, so one without a number is damaged, never merely
//! young. A sled database that lost rows is written to no more: what can be read is copied. Only
//! damage leads to a rename; a full disk or a missing permission is an error that
//! leaves everything where it is.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::io;
use super::fence::Fence;
use super::format::{self, FORMAT_FILE, Recorded};
use super::lock::DirLock;
use super::migrate::{self, MIGRATIONS, Migration, Stamp};
use super::{Backend, MemoryStore, Note, Store, StoreError, Table, WriteBatch, files};

/// The format that this version writes.
pub const FORMAT_VERSION: u32 = 3;

const COPY_BATCH_BYTES: usize = 1024 * 1024;

/// What to open.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory of one network, such as `DATA_DIR/mainnet`. It is made if it is not there.
    pub dir: PathBuf,
    /// None: the backend of the directory, or the preferred one if it is new.
    pub backend: Option<Backend>,
    /// Seconds since 1970, for the name of what has to be set aside.
    pub now: u32,
}

/// An open store. The directory is locked until the last handle of it is dropped.
pub struct Opened {
    /// The store.
    pub store: Arc<dyn Store>,
    /// What was done to open it, in order.
    pub notes: Vec<Note>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let backend = self.store.backend();
        f.debug_struct("Opened").field("backend", &backend).field("notes", &self.notes).finish()
    }
}

/// Whether a network's directory holds a store. Opening makes one where there is none.
#[must_use]
pub fn exists(dir: &Path) -> bool {
    let databases = Backend::ALL.iter().filter_map(|backend| backend.file_name());
    databases.chain([FORMAT_FILE]).any(|name| dir.join(name).exists())
}

/// Opens the store of a network's directory. Blocking.
///
/// [`Backend::Memory`] opens an empty store and touches no file.
///
/// # Errors
/// If another process holds the directory, its format is newer or its backend another one, this
/// build lacks the backend, or the file system refuses. A damaged database is not an error: it is
/// set aside, and [`Opened::notes`] says so.
pub fn open(options: Options) -> Result<Opened, StoreError> {
    open_as(options, FORMAT_VERSION, MIGRATIONS)
}

/// The same for a version that knows the format `known` and these migrations.
pub(crate) fn open_as(
    options: Options,
    known: u32,
    migrations: &[Migration],
) -> Result<Opened, StoreError> {
    if options.backend == Some(Backend::Memory) {
        return Ok(Opened { store: Arc::new(MemoryStore::new()), notes: Vec::new() });
    }
    if let Some(backend) = options.backend {
        require_built(backend)?;
    }
    // Before the lock file is written to, and again below: it may change until the lock is ours.
    format::read(&options.dir, known)?;
    files::create_private_dir(&options.dir)?;
    let lock = Arc::new(DirLock::take(&options.dir)?);
    let recorded = format::read(&options.dir, known)?;
    let backend = choose(&options, &recorded)?;
    require_built(backend)?;
    let file_name = backend.file_name().ok_or(StoreError::NotBuilt { backend })?;
    let Options { dir, now, .. } = options;
    let mut opening =
        Opening { dir, backend, file_name, now, known, recorded, lock, notes: Vec::new() };
    let fence = opening.run(migrations)?;
    Ok(Opened { store: Arc::new(fence), notes: opening.notes })
}

/// Renames the database of a network's directory to `<name>.damaged-<now>`, so that the next
/// [`open`] makes a fresh one. For damage found after opening: drop the store first.
///
/// Gives back None if there is no database (or the backend is memory).
///
/// # Errors
/// If the store is still open, here or elsewhere ([`StoreError::Locked`]), or the rename fails.
pub fn quarantine(
    dir: &Path,
    backend: Backend,
    now: u32,
    reason: &str,
) -> Result<Option<Note>, StoreError> {
    let Some(name) = backend.file_name() else {
        return Ok(None);
    };
    if !files::exists(&dir.join(name))? {
        return Ok(None);
    }
    let _lock = DirLock::take(dir)?;
    set_aside(dir, name, now, reason).map(Some)
}

/// The same for a caller that holds the lock.
fn set_aside(dir: &Path, name: &str, now: u32, reason: &str) -> Result<Note, StoreError> {
    let (from, to) = files::set_aside(dir, name, now)?;
    Ok(Note::Quarantined { from, to, reason: reason.to_owned() })
}

fn require_built(backend: Backend) -> Result<(), StoreError> {
    if backend.is_built() { Ok(()) } else { Err(StoreError::NotBuilt { backend }) }
}

/// The recorded backend; without a record that of the database that is there; else the one asked
/// for, or the preferred one.
fn choose(options: &Options, recorded: &Recorded) -> Result<Backend, StoreError> {
    let mut there = Vec::new();
    match recorded {
        Recorded::Known { backend, .. } => there.push(*backend),
        Recorded::Missing | Recorded::Damaged(_) => {
            for &backend in Backend::ALL {
                if let Some(name) = backend.file_name()
                    && files::exists(&options.dir.join(name))?
                {
                    there.push(backend);
                }
            }
        }
    }
    match (options.backend, there.first()) {
        (Some(asked), Some(&recorded)) if !there.contains(&asked) => {
            let dir = options.dir.clone();
            Err(StoreError::OtherBackend { dir, recorded, asked })
        }
        (Some(asked), _) => Ok(asked),
        (None, Some(&recorded)) => Ok(recorded),
        (None, None) => Ok(Backend::preferred()),
    }
}

/// Copies all rows, in batches of bounded size.
fn copy_rows(from: &dyn Store, to: &dyn Store) -> Result<u64, StoreError> {
    let (mut rows, mut bytes) = (0_u64, 0_usize);
    let (mut batch, mut outcome) = (WriteBatch::new(), Ok(()));
    for &table in Table::ALL {
        from.scan(table, &[], &mut |key, value| {
            rows = rows.saturating_add(1);
            bytes = bytes.saturating_add(key.len()).saturating_add(value.len());
            batch.put(table, key, value);
            if bytes > COPY_BATCH_BYTES {
                bytes = 0;
                outcome = to.commit(std::mem::take(&mut batch));
            }
            if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        std::mem::replace(&mut outcome, Ok(()))?;
    }
    to.commit(batch)?;
    Ok(rows)
}

struct Opening {
    dir: PathBuf,
    backend: Backend,
    file_name: &'static str,
    now: u32,
    known: u32,
    recorded: Recorded,
    lock: Arc<DirLock>,
    notes: Vec<Note>,
}

/// A database that opened and carries a number, or what is wrong with it.
enum Existing {
    Sound(Fence, u32),
    Damaged(String),
}

impl Opening {
    fn run(&mut self, migrations: &[Migration]) -> Result<Fence, StoreError> {
        if !files::exists(&self.dir.join(self.file_name))? {
            return self.create();
        }
        match self.open_existing()? {
            Existing::Damaged(reason) => {
                let note = set_aside(&self.dir, self.file_name, self.now, &reason)?;
                self.notes.push(note);
                self.create()
            }
            Existing::Sound(fence, format) => {
                let steps = migrate::plan(&self.dir, format, self.known, migrations)?;
                self.record_format()?;
                self.notes.extend(migrate::run(&self.dir, &fence, &steps)?);
                Ok(fence)
            }
        }
    }

    fn open_existing(&mut self) -> Result<Existing, StoreError> {
        let mut notes = Vec::new();
        let outcome = self.engine(&self.dir.join(self.file_name), &mut notes).and_then(|fence| {
            let stamp = migrate::read_stamp(&fence)?;
            Ok((fence, stamp))
        });
        match outcome {
            Err(StoreError::Corrupt { reason, .. }) => Ok(Existing::Damaged(reason)),
            Err(error) => Err(error),
            Ok((_, Stamp::Missing)) => {
                Ok(Existing::Damaged("its format number is missing".to_owned()))
            }
            Ok((_, Stamp::Damaged(reason))) => Ok(Existing::Damaged(reason)),
            Ok((_, Stamp::Format(found))) if found > self.known => {
                let (dir, known) = (self.dir.clone(), self.known);
                Err(StoreError::NewerFormat { dir, found, known })
            }
            Ok((fence, Stamp::Format(format))) => {
                let lost = notes.iter().any(Note::loses_rows);
                self.notes.append(&mut notes);
                // redb repairs its file for good; sled does not.
                let fence = if lost && self.backend == Backend::Sled {
                    self.rebuild(fence)?
                } else {
                    fence
                };
                Ok(Existing::Sound(fence, format))
            }
        }
    }

    /// Makes a new database under another name, numbers it, and only then gives it its own.
    fn create(&mut self) -> Result<Fence, StoreError> {
        self.record_format()?;
        let fence = self.unfinished()?;
        let mut batch = WriteBatch::new();
        migrate::stamp(&mut batch, self.known);
        fence.commit(batch)?;
        drop(fence);
        let fence = self.finish()?;
        let path = self.dir.join(self.file_name);
        self.notes.push(Note::Created { backend: self.backend, path });
        Ok(fence)
    }

    /// Copies every row, the format number among them, into a new database that takes the place of
    /// the damaged one.
    fn rebuild(&mut self, damaged: Fence) -> Result<Fence, StoreError> {
        let fence = self.unfinished()?;
        let rows = copy_rows(&damaged, &fence)?;
        drop((damaged, fence));
        let (path, kept) = files::set_aside(&self.dir, self.file_name, self.now)?;
        self.notes.push(Note::Rebuilt { path, kept, rows });
        self.finish()
    }

    fn unfinished_path(&self) -> PathBuf {
        self.dir.join(format!("{}.new", self.file_name))
    }

    fn unfinished(&self) -> Result<Fence, StoreError> {
        let path = self.unfinished_path();
        files::remove(&path)?;
        self.engine(&path, &mut Vec::new())
    }

    fn finish(&self) -> Result<Fence, StoreError> {
        let (from, to) = (self.unfinished_path(), self.dir.join(self.file_name));
        fs::rename(&from, &to).map_err(io("rename", from))?;
        files::sync_dir(&self.dir)?;
        self.engine(&to, &mut Vec::new())
    }

    /// Makes FORMAT say what this version writes, before the database does.
    fn record_format(&mut self) -> Result<(), StoreError> {
        let current = Recorded::Known { version: self.known, backend: self.backend };
        if self.recorded == current {
            return Ok(());
        }
        let path = self.dir.join(FORMAT_FILE);
        let damaged = matches!(self.recorded, Recorded::Damaged(_));
        if damaged {
            files::set_aside(&self.dir, FORMAT_FILE, self.now)?;
        }
        format::write(&self.dir, self.known, self.backend)?;
        let beside_database = files::exists(&self.dir.join(self.file_name))?;
        if damaged || (self.recorded == Recorded::Missing && beside_database) {
            self.notes.push(Note::FormatRebuilt { path });
        }
        self.recorded = current;
        Ok(())
    }

    fn engine(&self, path: &Path, notes: &mut Vec<Note>) -> Result<Fence, StoreError> {
        let lock = Some(Arc::clone(&self.lock));
        match self.backend {
            #[cfg(feature = "sled")]
            Backend::Sled => Fence::open(self.backend, path.to_owned(), lock, || {
                super::disk::DiskStore::open(path, notes)
            }),
            #[cfg(feature = "redb")]
            Backend::Redb => Fence::open(self.backend, path.to_owned(), lock, || {
                super::btree::BtreeStore::open(path, notes)
            }),
            #[allow(unreachable_patterns, reason = "which arms there are depends on the features")]
            backend @ (Backend::Memory | Backend::Sled | Backend::Redb | Backend::Custom) => {
                let _ = (lock, path, notes);
                Err(StoreError::NotBuilt { backend })
            }
        }
    }
}

//! What `open` did on its own, for the log.

use std::fmt;
use std::path::PathBuf;

use super::Backend;

/// Something that an operator should read once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// A new, empty database was made.
    Created {
        /// Its backend.
        backend: Backend,
        /// Its file or directory.
        path: PathBuf,
    },
    /// Something damaged was renamed; what was in it has to be fetched again.
    Quarantined {
        /// Its name before.
        from: PathBuf,
        /// Its name now.
        to: PathBuf,
        /// What was wrong with it.
        reason: String,
    },
    /// The FORMAT file was missing or damaged, and was written anew from the database.
    FormatRebuilt {
        /// The file.
        path: PathBuf,
    },
    /// The backend repaired its file: the last commits may be gone.
    Repaired {
        /// The file.
        path: PathBuf,
    },
    /// The database opened, but not all rows are as they were committed. Which ones is for the
    /// schema to find: run the full check, and treat what is derived from the rows as suspect.
    RowsLost {
        /// The database.
        path: PathBuf,
        /// How many rows were committed, if that can still be read.
        expected: Option<u64>,
        /// How many there are.
        found: u64,
    },
    /// The database is as it was some commits ago.
    WentBack {
        /// The database.
        path: PathBuf,
        /// How many commits were made.
        made: u64,
        /// How many of them it has.
        found: u64,
    },
    /// The rows that could be read were copied into a new database, because a damaged one does not
    /// keep what is written to it.
    Rebuilt {
        /// The new database.
        path: PathBuf,
        /// The damaged one.
        kept: PathBuf,
        /// How many rows were copied.
        rows: u64,
    },
    /// What nobody could give again was taken along from a database that was set aside.
    TakenAlong {
        /// How many rows.
        rows: u64,
    },
    /// The store was brought to a newer format.
    Migrated {
        /// The format before.
        from: u32,
        /// The format after.
        to: u32,
        /// What changed.
        about: &'static str,
    },
}

impl Note {
    /// A short name of what was mended; none where nothing was damaged.
    #[must_use]
    pub const fn repair(&self) -> Option<&'static str> {
        match self {
            Note::Created { .. } | Note::TakenAlong { .. } | Note::Migrated { .. } => None,
            Note::Quarantined { .. } => Some("quarantined"),
            Note::FormatRebuilt { .. } => Some("format rebuilt"),
            Note::Repaired { .. } => Some("repaired"),
            Note::RowsLost { .. } => Some("rows lost"),
            Note::WentBack { .. } => Some("went back"),
            Note::Rebuilt { .. } => Some("rebuilt"),
        }
    }

    /// Whether committed rows may be missing or old, so that the schema must check all of them.
    #[must_use]
    pub fn loses_rows(&self) -> bool {
        match self {
            Note::Quarantined { .. }
            | Note::Repaired { .. }
            | Note::RowsLost { .. }
            | Note::WentBack { .. }
            | Note::Rebuilt { .. } => true,
            Note::Created { .. }
            | Note::FormatRebuilt { .. }
            | Note::TakenAlong { .. }
            | Note::Migrated { .. } => false,
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Created { backend, path } => {
                write!(f, "created a new {backend} database in {}", path.display())
            }
            Note::Quarantined { from, to, reason } => write!(
                f,
                "{} is damaged ({reason}): kept as {}, its contents will be fetched again",
                from.display(),
                to.display()
            ),
            Note::FormatRebuilt { path } => {
                write!(f, "{} was missing or damaged and was written again", path.display())
            }
            Note::Repaired { path } => {
                write!(
                    f,
                    "{} was damaged and repaired; its last changes may be gone",
                    path.display()
                )
            }
            Note::RowsLost { path, expected: Some(expected), found } => write!(
                f,
                "{} has lost or old rows ({expected} committed, {found} found)",
                path.display()
            ),
            Note::RowsLost { path, expected: None, found } => {
                write!(f, "{} has lost its row count ({found} rows found)", path.display())
            }
            Note::WentBack { path, made, found } => {
                write!(f, "{} has only {found} of {made} commits", path.display())
            }
            Note::Rebuilt { path, kept, rows } => write!(
                f,
                "copied {rows} rows into a new {}, the damaged one is kept as {}",
                path.display(),
                kept.display()
            ),
            Note::TakenAlong { rows } => {
                write!(f, "{rows} rows of what is watched, sent and set were taken along from it")
            }
            Note::Migrated { from, to, about } => {
                write!(f, "brought the store from format {from} to {to}: {about}")
            }
        }
    }
}

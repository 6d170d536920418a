//! What can go wrong in the store, with the evidence and what to do about it.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use ironlight_spv::{BlockHash, BlockHeight};
use thiserror::Error;

use super::checksum::Damage;
use super::records::RecordError;
use super::{Backend, Table};

/// Why a call on the store failed. The message names the place and says what to do; the cause, if
/// there is one below, is its source.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file system refused.
    #[error("cannot {action} {}: check its permissions and the free space of its disk", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process, or another store of this one, uses the directory.
    #[error(
        "{} is in use by {}: stop that one or choose another --data-dir",
        dir.display(), holder(*pid)
    )]
    Locked {
        /// The directory of the network.
        dir: PathBuf,
        /// The holder, where its id can be read.
        pid: Option<u32>,
    },
    /// The directory was written by a later version.
    #[error(
        "{} has store format {found}, this version knows up to {known}: use a newer ironlight, or \
         another --data-dir (nothing was changed)", dir.display()
    )]
    NewerFormat {
        /// The directory of the network.
        dir: PathBuf,
        /// The number in it.
        found: u32,
        /// The highest number that this version reads.
        known: u32,
    },
    /// The directory belongs to another backend than the one asked for.
    #[error(
        "{} was created with the backend {recorded}, not {asked}: ask for {recorded}, or choose \
         another --data-dir", dir.display()
    )]
    OtherBackend {
        /// The directory of the network.
        dir: PathBuf,
        /// The backend in the FORMAT file.
        recorded: Backend,
        /// The backend asked for.
        asked: Backend,
    },
    /// No backend has this name.
    #[error("there is no store backend {name:?}: choose one of memory, sled, redb")]
    UnknownBackend {
        /// What was asked for.
        name: String,
    },
    /// The backend was left out of this build.
    #[error("this build has no backend {backend}: build it with the cargo feature {backend}")]
    NotBuilt {
        /// What was asked for.
        backend: Backend,
    },
    /// The database's own file is damaged; for one damaged row see [`StoreError::Damaged`].
    #[error(
        "the {backend} database {} is damaged ({reason}): restart the node, which sets it aside \
         and fetches its contents again", path.display()
    )]
    Corrupt {
        /// The backend.
        backend: Backend,
        /// Its file or directory.
        path: PathBuf,
        /// What it ran into.
        reason: String,
    },
    /// The backend failed, but not for damage.
    #[error("the {backend} database {} cannot {action}: restart the node; if it happens again, report it", path.display())]
    Engine {
        /// The backend.
        backend: Backend,
        /// Its file or directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the backend said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// An earlier call failed in a way that leaves memory and disk apart.
    #[error("the store {} stopped after an earlier failure: restart the node", path.display())]
    Stopped {
        /// The backend's file or directory.
        path: PathBuf,
    },
    /// The node has stopped, and its store with it.
    #[error("the node has stopped, and its store is closed")]
    Closed,
    /// A store of the user's own holds what cannot be read.
    #[error(
        "the custom store cannot be used ({reason}): empty it, and its contents are fetched again"
    )]
    Unusable {
        /// What is wrong with it.
        reason: String,
    },
    /// One value does not match its checksum.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// One of our own records cannot be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The store holds the headers of another network.
    #[error("the store holds headers of {found}, not of {wanted}: choose another --data-dir")]
    OtherNetwork {
        /// What it holds.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// Headers are stored, but not of which network.
    #[error("the store holds headers, but no record of their network")]
    NoNetwork,
    /// The user's checkpoint contradicts the stored chain.
    #[error(
        "the stored chain has {found} at height {height}, the checkpoint says {expected}: correct \
         the checkpoint or choose another --data-dir"
    )]
    Checkpoint {
        /// The height.
        height: BlockHeight,
        /// What is stored.
        found: BlockHash,
        /// What the user demands.
        expected: BlockHash,
    },
    /// The recorded start of the chain is no start.
    #[error("the recorded start of the chain cannot be used ({reason})")]
    UnusableStart {
        /// What is wrong with it.
        reason: String,
    },
    /// A key or value is over its limit. Nothing was changed.
    #[error(
        "the {what} of {table} row {key} has {bytes} bytes, at most {limit} are stored: this is a bug, report it"
    )]
    TooLarge {
        /// The table.
        table: Table,
        /// The key in hex.
        key: String,
        /// "key" or "value".
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// No way leads from the format of the directory to that of this version.
    #[error("{} has store format {from}, which this version cannot bring to {to}: use an older ironlight first, or another --data-dir", dir.display())]
    NoMigration {
        /// The directory of the network.
        dir: PathBuf,
        /// The format in it.
        from: u32,
        /// The format of this version.
        to: u32,
    },
    /// A step to a newer format failed; the store is as it was before this step.
    #[error("{} could not be brought to store format {to}: the store is unchanged, run the older ironlight or report this", dir.display())]
    Migration {
        /// The directory of the network.
        dir: PathBuf,
        /// The format that was not reached.
        to: u32,
        /// Why.
        source: Box<StoreError>,
    },
}

impl StoreError {
    /// Whether the database's file is damaged: drop the store, then
    /// [`quarantine`](super::quarantine) it and open it anew.
    #[must_use]
    pub fn is_corruption(&self) -> bool {
        matches!(self, StoreError::Corrupt { .. })
    }

    /// Whether what is stored cannot be read, be it the file or what it says of itself: set it
    /// aside and begin anew.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Corrupt { .. }
                | Self::Damaged(_)
                | Self::Record(_)
                | Self::NoNetwork
                | Self::UnusableStart { .. }
        )
    }
}

/// Who holds a lock, for people.
fn holder(pid: Option<u32>) -> String {
    match pid {
        Some(pid) if pid == std::process::id() => "another node of this process".to_owned(),
        Some(pid) => format!("another process (pid {pid})"),
        None => "another process".to_owned(),
    }
}

/// Turns what the system said into a [`StoreError::Io`].
pub(crate) fn io(
    action: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.into();
    move |source| StoreError::Io { action, path, source }
}

/// Whether an I/O error speaks of the file's contents and not of the disk: a read past the end of
/// a file that was cut, or bytes that make no sense.
#[cfg(any(feature = "sled", feature = "redb"))]
pub(crate) fn tells_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData)
}

/// Keys in messages: hex, the first 32 bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len().min(33));
    for byte in bytes.iter().take(32) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    if bytes.len() > 32 {
        text.push_str("..");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_place_and_what_to_do() {
        let locked = StoreError::Locked { dir: "/data/mainnet".into(), pid: Some(7) };
        assert_eq!(
            locked.to_string(),
            "/data/mainnet is in use by another process (pid 7): stop that one or choose another --data-dir"
        );
        let newer = StoreError::NewerFormat { dir: "/d".into(), found: 9, known: 1 };
        assert!(newer.to_string().contains("format 9"));
        assert!(newer.to_string().contains("another --data-dir"));
    }

    #[test]
    fn long_keys_are_cut_in_messages() {
        assert_eq!(hex(&[0xab, 0x01]), "ab01");
        assert_eq!(hex(&[0; 40]).len(), 66);
    }

    #[test]
    fn cause_is_kept_as_source() {
        let error = io("open", "/x")(io::Error::other("cause"));
        assert_eq!(error.source().unwrap().to_string(), "cause");
    }
}

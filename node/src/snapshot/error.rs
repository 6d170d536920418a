//! What can be wrong with a snapshot.

use std::error::Error;
use std::io;

use ironlight_spv::chain::{HeaderError, StaleBatch};
use ironlight_spv::compress::snapshot::{SnapshotError, SnapshotPart};
use ironlight_spv::compress::{CodecError, ColumnsError};
use ironlight_spv::{BlockHeight, ChainTip};

/// Why a snapshot cannot be written, read or taken in. Where something of it is wrong, the height of the
/// first header of the period says where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotFileError {
    /// The chain does not have the snapshot's first header, so its rules cannot be checked there.
    #[error("the chain does not have its first header, {start}, with that work")]
    NotOnChain {
        /// The snapshot's first header.
        start: ChainTip,
    },
    /// The file or stream itself fails.
    #[error("reading or writing fails")]
    Io(#[from] io::Error),
    /// It ends too early.
    #[error("{part} is cut short: the file is not whole")]
    Truncated {
        /// Where.
        part: SnapshotPart,
    },
    /// Bytes follow the trailer.
    #[error("bytes follow the trailer")]
    TrailingBytes,
    /// Head, sizes, a checksum or the end are wrong.
    #[error(transparent)]
    Form(#[from] SnapshotError),
    /// What zstd packed cannot be unpacked to the size that was said.
    #[error("the frame from height {first} cannot be unpacked: {reason}")]
    Unpacking {
        /// The height of its first header.
        first: BlockHeight,
        /// What zstd says.
        reason: String,
    },
    /// Its columns do not fit together.
    #[error("the frame from height {first}")]
    Columns {
        /// The height of its first header.
        first: BlockHeight,
        /// Why.
        source: ColumnsError,
    },
    /// Its segment is none, or holds another number of headers.
    #[error("the frame from height {first}")]
    Segment {
        /// The height of its first header.
        first: BlockHeight,
        /// Why.
        source: CodecError,
    },
    /// A frame does not go on where the one before ended, or the first begins with another header than
    /// the head says.
    #[error("the frame from height {first} does not follow what is before it")]
    NotConsecutive {
        /// The height that its first header should have.
        first: BlockHeight,
    },
    /// A header breaks a rule. Nothing of its period was taken.
    #[error("height {height}: {error}; nothing from height {first} on was taken")]
    Header {
        /// The header's height.
        height: BlockHeight,
        /// The height of its period's first header.
        first: BlockHeight,
        /// The rule, with the evidence.
        error: Box<HeaderError>,
    },
    /// Another writer changed the chain meanwhile.
    #[error(transparent)]
    Stale(#[from] StaleBatch),
    /// Whoever stores the headers could not.
    #[error("the headers cannot be stored")]
    Commit(#[source] Box<dyn Error + Send + Sync>),
}

//! Why states on disk cannot be read or changed, and what opening them found.

use std::fmt;

use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{ApplyError, DecodeError, ImportError, StateError};
use thiserror::Error;

use super::{MAX_BLOCK_BYTES, MAX_NAME_BYTES, MAX_NOTE_BYTES};
use crate::store::{StoreError, checksum};

/// A row of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Row {
    /// What the collection is.
    Head,
    /// A piece of the oldest kept height.
    Base {
        /// Which writing of a base it is of.
        generation: u64,
        /// Its number, from 0.
        piece: u32,
    },
    /// What a later height changed.
    Changes {
        /// The height.
        height: BlockHeight,
    },
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("the head"),
            Self::Base { generation, piece } => {
                write!(f, "piece {piece} of base {generation}")
            }
            Self::Changes { height } => write!(f, "the changes of height {height}"),
        }
    }
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// It is not there.
    #[error("it is missing")]
    Missing,
    /// It is not what was stored there.
    #[error(transparent)]
    Checksum(#[from] checksum::Fault),
    /// Its own fields cannot be read.
    #[error("its {bytes} bytes are of no known form")]
    Form {
        /// How many there are.
        bytes: usize,
    },
    /// The changes in it cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The pieces of the base do not make a state.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The changes do not give the root that they name.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// It is of another height than its place says.
    #[error("it is of height {got}, not {expected}")]
    OtherHeight {
        /// What its place says.
        expected: BlockHeight,
        /// What it says.
        got: BlockHeight,
    },
    /// Its keys are placed by another salt than the head says.
    #[error("it has another salt than the head")]
    OtherSalt,
    /// It follows a height that is not the one before it.
    #[error("it follows height {got}, not {expected}")]
    OtherPrevious {
        /// The height before it.
        expected: BlockHeight,
        /// What it says.
        got: BlockHeight,
    },
    /// It is not what is in memory.
    #[error("it is not what memory holds")]
    Differs,
}

/// How a collection was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opening {
    /// It was not there, and is empty.
    New,
    /// All that was sealed is there, each root proved again.
    Whole,
    /// It ends below a damaged row. What was above is taken out of the store.
    Cut(Cut),
}

/// Where a collection was cut off.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{row} cannot be used ({fault}): heights up to {newest} are there, those up to {lost_to} are gone"
)]
pub struct Cut {
    /// The first row that could not be used.
    pub row: Row,
    /// What is wrong with it.
    pub fault: Fault,
    /// The newest height that is there.
    pub newest: BlockHeight,
    /// The newest height that was there.
    pub lost_to: BlockHeight,
}

/// Why states on disk cannot be read or changed. Memory and disk are as they were before the call,
/// except where a verb says otherwise.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StatesError {
    /// The store itself failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The states have no such height, or take no such block.
    #[error(transparent)]
    State(#[from] StateError),
    /// The export is none.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A name is empty or too long.
    #[error("a collection's name has 1 to {MAX_NAME_BYTES} bytes, not {bytes}")]
    Name {
        /// How many it has.
        bytes: usize,
    },
    /// A name is the node's own.
    #[error("names that begin with `node.` are the node's own: {name:?} is one")]
    Reserved {
        /// The name.
        name: String,
    },
    /// A note is too long.
    #[error("a note has at most {MAX_NOTE_BYTES} bytes, not {bytes}")]
    NoteTooLong {
        /// How many it has.
        bytes: usize,
    },
    /// One height changes too much.
    #[error(
        "the changes of height {height} take {bytes} bytes, at most {MAX_BLOCK_BYTES} are stored"
    )]
    BlockTooLarge {
        /// The height.
        height: BlockHeight,
        /// What its changes take.
        bytes: usize,
    },
    /// The collection holds values of another kind.
    #[error("the states {name:?} are of kind {found}, not {wanted}")]
    OtherKind {
        /// The collection.
        name: String,
        /// What it holds.
        found: u8,
        /// What was asked for.
        wanted: u8,
    },
    /// Without this row nothing can be read. All rows are as they were; `remove` takes them away.
    #[error(
        "the states {name:?} cannot be read: {row} cannot be used ({fault}); remove them and begin anew"
    )]
    Lost {
        /// The collection.
        name: String,
        /// The row.
        row: Row,
        /// What is wrong with it.
        fault: Fault,
    },
    /// A row is not what memory holds.
    #[error("the states {name:?} are damaged on disk: {row} cannot be used ({fault})")]
    Damaged {
        /// The collection.
        name: String,
        /// The row.
        row: Row,
        /// What is wrong with it.
        fault: Fault,
    },
    /// Nothing that is held waits to be proven.
    #[error("the states {name:?} were not imported, or are proven already")]
    NotClaimed {
        /// The collection.
        name: String,
    },
    /// What was imported has another root than the true one.
    #[error("the imported states have another root than the one that was proven")]
    OtherRoot {
        /// The root that was imported.
        claimed: [u8; 32],
        /// The one given.
        proven: [u8; 32],
    },
    /// Somebody has the collection open in the same database: one at a time.
    #[error("the states {name:?} are open already: close them first")]
    AlreadyOpen {
        /// The collection.
        name: String,
    },
    /// The store's rows were changed past this handle, which writes no more: by other means than
    /// [`StoredStates`](super::StoredStates), or through a store that does not tell its
    /// [identity](crate::store::Store::identity).
    #[error("the states {name:?} were changed from elsewhere: open them anew")]
    ChangedElsewhere {
        /// The collection.
        name: String,
    },
}

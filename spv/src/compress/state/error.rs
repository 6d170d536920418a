//! Why something cannot be had from, or done to, a compressed state.

use core::fmt;

use super::value::ValueError;
use crate::header::BlockHeight;

/// A node or value in memory is not what was put there: a fault of the machine or of this code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The node.
    pub node: u32,
}

/// No more nodes can be referred to: old heights must be pruned first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// How many there are.
    pub nodes: u32,
}

/// Why a compressed state has no answer, or takes no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateError {
    /// No height is sealed yet.
    NothingSealed,
    /// The state at this height is forgotten, or never was known.
    BelowOldest {
        /// What was asked for.
        height: BlockHeight,
        /// The oldest that can be had.
        oldest: BlockHeight,
    },
    /// The height is not sealed yet.
    AboveNewest {
        /// What was asked for.
        height: BlockHeight,
        /// The newest that can be had.
        newest: BlockHeight,
    },
    /// No block was sealed at exactly this height.
    NotSealed {
        /// What was asked for.
        height: BlockHeight,
    },
    /// Heights are sealed in order.
    NotAscending {
        /// What was to be sealed.
        height: BlockHeight,
        /// What is sealed already.
        newest: BlockHeight,
    },
    /// The arena of nodes is full.
    Full(Full),
    /// What is in memory is damaged.
    Damaged(Damaged),
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingSealed => f.write_str("no height is sealed yet"),
            Self::BelowOldest { height, oldest } => {
                write!(f, "height {} is below the oldest, {}", height.0, oldest.0)
            }
            Self::AboveNewest { height, newest } => {
                write!(f, "height {} is above the newest, {}", height.0, newest.0)
            }
            Self::NotSealed { height } => write!(f, "no block was sealed at height {}", height.0),
            Self::NotAscending { height, newest } => {
                write!(f, "height {} cannot be sealed after {}", height.0, newest.0)
            }
            Self::Full(full) => full.fmt(f),
            Self::Damaged(damaged) => damaged.fmt(f),
        }
    }
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} of the state is damaged", self.node)
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no room for more than {} nodes", self.nodes)
    }
}

impl core::error::Error for Damaged {}
impl core::error::Error for Full {}
impl core::error::Error for StateError {}

impl From<Damaged> for StateError {
    fn from(damaged: Damaged) -> Self {
        Self::Damaged(damaged)
    }
}

impl From<Full> for StateError {
    fn from(full: Full) -> Self {
        Self::Full(full)
    }
}

/// Why bytes are no proof, no changes and no export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end inside a field.
    Truncated {
        /// Where the missing field starts.
        at: usize,
    },
    /// The first byte names another form, or another version of it.
    UnknownVersion {
        /// What it names.
        got: u8,
    },
    /// The values are of another kind.
    WrongKind {
        /// What the bytes hold.
        got: u8,
    },
    /// A byte that stands for nothing.
    UnknownTag {
        /// Where it stands.
        at: usize,
    },
    /// More than there can be, or than the caller accepts.
    TooMany {
        /// The count that the bytes claim.
        count: u32,
    },
    /// What must ascend does not.
    NotAscending {
        /// Where the first that does not starts.
        at: usize,
    },
    /// A value cannot be read.
    Value {
        /// Where it starts.
        at: usize,
        /// Why.
        error: ValueError,
    },
    /// The checksum at the end does not fit what stands before.
    WrongChecksum {
        /// Where it starts.
        at: usize,
    },
    /// Bytes follow the end.
    TrailingBytes {
        /// Where they start.
        at: usize,
    },
}

impl DecodeError {
    /// The same error of bytes that so many others stand before.
    pub(super) fn moved(mut self, by: usize) -> Self {
        match &mut self {
            Self::Truncated { at }
            | Self::UnknownTag { at }
            | Self::NotAscending { at }
            | Self::Value { at, .. }
            | Self::WrongChecksum { at }
            | Self::TrailingBytes { at } => *at = at.saturating_add(by),
            Self::UnknownVersion { .. } | Self::WrongKind { .. } | Self::TooMany { .. } => {}
        }
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { at } => write!(f, "the bytes end inside the field at {at}"),
            Self::UnknownVersion { got } => write!(f, "form {got:#04x} is not known"),
            Self::WrongKind { got } => write!(f, "values of kind {got} were not asked for"),
            Self::UnknownTag { at } => write!(f, "the byte at {at} stands for nothing"),
            Self::TooMany { count } => write!(f, "a count of {count} cannot be accepted"),
            Self::NotAscending { at } => write!(f, "what starts at {at} is out of order"),
            Self::Value { at, error } => write!(f, "at {at}: {error}"),
            Self::WrongChecksum { at } => write!(f, "the checksum at {at} does not fit"),
            Self::TrailingBytes { at } => write!(f, "bytes follow the end at {at}"),
        }
    }
}

impl core::error::Error for DecodeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Value { error, .. } => Some(error),
            Self::Truncated { .. }
            | Self::UnknownVersion { .. }
            | Self::WrongKind { .. }
            | Self::UnknownTag { .. }
            | Self::TooMany { .. }
            | Self::NotAscending { .. }
            | Self::WrongChecksum { .. }
            | Self::TrailingBytes { .. } => None,
        }
    }
}

//! Where chains of filter headers start and end, and why headers are refused.

use core::fmt;

use bitcoin::BlockHash;

use super::FilterHeader;
use crate::header::BlockHeight;

/// Where a chain of filter headers starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterAnchor {
    /// The block's height, a multiple of 1000.
    pub height: BlockHeight,
    /// The block.
    pub block_hash: BlockHash,
    /// Its filter header: a claim until peers agree on it.
    pub header: FilterHeader,
}

/// The last filter header of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterTip {
    /// The block's height.
    pub height: BlockHeight,
    /// The block.
    pub block_hash: BlockHash,
    /// Its filter header.
    pub header: FilterHeader,
}

/// Why filter headers do not go onto a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterHeaderError {
    /// They do not start where the chain ends.
    NotNext {
        /// Where it ends.
        expected: BlockHeight,
        /// Where they start.
        got: BlockHeight,
    },
    /// The header before them is another one than ours.
    WrongPrevious {
        /// Its height.
        height: BlockHeight,
        /// Ours.
        expected: FilterHeader,
        /// Theirs.
        got: FilterHeader,
    },
    /// The best header chain does not reach so far, or has another block there.
    NotOnBestChain {
        /// The height.
        height: BlockHeight,
    },
    /// The chain has changed since they were verified.
    Stale,
    /// An anchor has to be at a multiple of 1000, which is where peers name their headers.
    NoCheckpoint {
        /// The height.
        height: BlockHeight,
    },
}

impl fmt::Display for FilterHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNext { expected, got } => {
                write!(f, "filter headers from height {got} on do not follow: {expected} is next")
            }
            Self::WrongPrevious { height, expected, got } => {
                write!(f, "the filter header at height {height} is {expected}, not {got}")
            }
            Self::NotOnBestChain { height } => {
                write!(f, "height {height} is not on the best header chain as it was")
            }
            Self::Stale => f.write_str("the filter headers have changed since: verify again"),
            Self::NoCheckpoint { height } => {
                write!(f, "height {height} is no checkpoint: they are at multiples of 1000")
            }
        }
    }
}

impl core::error::Error for FilterHeaderError {}

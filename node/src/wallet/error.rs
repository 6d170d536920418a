//! Why the wallet refuses.

use bitcoin::BlockHash;
use ironlight_spv::BlockHeight;
use thiserror::Error;

use crate::states::StatesError;
use crate::store::{StoreError, Table};

/// Why an input was not planned for. Nothing has changed then; the caller asks for a range again.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Nothing says yet where scanning begins.
    #[error("the wallet has no tip yet: begin with one")]
    NotBegun,
    /// Since the range was handed out blocks were taken off, so that its heights mean other blocks
    /// now, or scripts came that it does not look for, or one of its jobs was sent back. Ask for
    /// the next one.
    #[error(
        "the range was handed out before a reorg, a rescan or new scripts: ask for the next one"
    )]
    StaleRange,
    /// The height is none of the range.
    #[error("height {height} is outside of the range {from} to {to}")]
    OutsideRange {
        /// The height.
        height: BlockHeight,
        /// The first of the range.
        from: BlockHeight,
        /// The last of the range.
        to: BlockHeight,
    },
    /// The range does not go on from the tip.
    #[error("the range begins at {from}, the wallet's tip is {tip}")]
    NotNext {
        /// Where the range begins.
        from: BlockHeight,
        /// The tip.
        tip: BlockHeight,
    },
    /// The block has another hash than it was said to have.
    #[error("the block at height {height} has hash {found}, not {expected}")]
    OtherBlock {
        /// The height.
        height: BlockHeight,
        /// What it hashes to.
        found: BlockHash,
        /// What was said.
        expected: BlockHash,
    },
    /// The block is on another branch than those that the wallet has seen.
    #[error("the block at height {height} is not on the branch of {known}: take off blocks first")]
    OtherBranch {
        /// The height.
        height: BlockHeight,
        /// What the wallet has seen at that height, or at the one before.
        known: BlockHash,
    },
    /// The block to go back to is above the tip.
    #[error("cannot go back to {fork}: the wallet's tip is {tip}")]
    AboveTip {
        /// The block to go back to.
        fork: BlockHeight,
        /// The tip.
        tip: BlockHeight,
    },
    /// No item has this number.
    #[error("nothing is watched under the number {id}: `watch list` shows what is")]
    Unknown {
        /// The number.
        id: super::watch::WatchId,
    },
    /// A used script asks for more of them, and they cannot be derived.
    #[error("item {id} cannot derive its scripts from index {index} on")]
    Derivation {
        /// The item.
        id: super::watch::WatchId,
        /// The first index.
        index: u32,
        /// Why.
        source: super::watch::WatchError,
    },
    /// Scanning has begun already, and something is watched: its blocks cannot be passed over.
    #[error("scanning has begun already, its tip is {tip}")]
    Begun {
        /// The tip.
        tip: BlockHeight,
    },
}

/// Effects were planned for another state of the wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the wallet has changed since this was planned (revision {planned}, now {now})")]
pub struct StaleEffects {
    /// The revision planned for.
    pub planned: u64,
    /// The revision now.
    pub now: u64,
}

/// Why the rows could not be read back.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The store itself failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The states of the wallet cannot be kept.
    #[error(transparent)]
    States(#[from] StatesError),
    /// A row is not as it was written, or contradicts another.
    #[error("the {table} row {row} cannot be used ({fault}): {}", remedy(*table))]
    Row {
        /// The table.
        table: Table,
        /// Which row: what it is, and its key in hexadecimal.
        row: String,
        /// What is wrong with it.
        fault: String,
    },
}

/// What to do about a damaged row.
const fn remedy(table: Table) -> &'static str {
    match table {
        Table::Wallet => {
            "salvage the wallet, which keeps what is watched and scans the blocks again"
        }
        Table::Broadcast => "drop that row and send its transaction again",
        Table::States => "remove that collection of states and begin it anew",
        Table::Meta | Table::Headers | Table::Peers | Table::Filters | Table::FilterHeaders => {
            "fetch its contents again"
        }
    }
}

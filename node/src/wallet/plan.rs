//! What an input will do, worked out before anything changes.

use bitcoin::Txid;
use ironlight_spv::BlockHeight;

use super::claim::ClaimVerdict;
use super::coin::{BlockId, Place};
use super::watch::{Keychain, WatchId};
use crate::store::WriteBatch;

/// A planned change: commit `batch`, then give `effects` to [`Wallet::apply`](super::Wallet::apply),
/// then tell `outcome`. Where the commit fails, drop it: nothing has changed.
#[must_use = "nothing has changed yet"]
#[derive(Clone, Debug)]
pub struct Planned<O> {
    /// The rows; may be empty.
    pub batch: WriteBatch,
    /// The same change in memory.
    pub effects: Effects,
    /// What it means.
    pub outcome: O,
}

/// A change in memory, for one revision of the wallet.
#[derive(Clone, Debug)]
pub struct Effects {
    pub(super) revision: u64,
    pub(super) changes: Box<super::draft::Changes>,
}

/// Something that a block or its removal did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WalletEvent {
    /// A transaction of ours is in a block now.
    Confirmed {
        /// The transaction.
        txid: Txid,
        /// Where.
        place: Place,
    },
    /// A transaction of ours is in no block any more.
    Unconfirmed {
        /// The transaction.
        txid: Txid,
        /// Where it was.
        place: Place,
    },
    /// A waiting transaction cannot confirm any more: a block spends what it spends.
    Conflicted {
        /// The waiting transaction.
        txid: Txid,
        /// The one in the block.
        by: Txid,
        /// The block's height.
        height: BlockHeight,
    },
    /// A script near the end of the gap was used: more are watched now. Ask for the next range.
    Extended {
        /// The item.
        watch: WatchId,
        /// Its keychain.
        keychain: Keychain,
        /// The first new index.
        from: u32,
        /// The index after the last new one.
        to: u32,
    },
    /// The gap cannot be kept: payments beyond the last script will not be seen.
    Exhausted {
        /// The item.
        watch: WatchId,
        /// Its keychain.
        keychain: Keychain,
        /// Scripts that it has.
        derived: u32,
        /// Scripts that its gap asks for.
        wanted: u32,
        /// What stops it.
        limit: RangeLimit,
    },
    /// What an imported file claims was compared with what the blocks gave.
    ClaimDecided {
        /// The block whose state it claims.
        block: BlockId,
        /// Whether it is proven or refuted.
        verdict: ClaimVerdict,
    },
}

/// What stops a range from growing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeLimit {
    /// BIP32 has no higher index without private keys.
    LastIndex,
    /// [`MAX_SCRIPTS`](super::watch::MAX_SCRIPTS) are watched.
    Scripts,
}

/// What a removal from the watched took with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwatched {
    /// Scripts that nobody watches any more.
    pub scripts: usize,
    /// Coins that are forgotten, spent ones included.
    pub coins: usize,
    /// Transactions that are forgotten.
    pub transactions: usize,
}

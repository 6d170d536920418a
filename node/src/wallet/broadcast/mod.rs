//! Brings transactions to the network, until they confirm or there is no hope.
//!
//! A sans-I/O machine: `handle_*` takes what happened, [`poll`](Broadcasts::poll) gives what to do, in order.
//! A [`Commit`](BroadcastAction::Commit) has to be on disk before the actions after it are done, so that no
//! peer hears of a transaction that a crash makes us forget.
//!
//! A transaction is announced to a few peers with `inv` and handed over when they ask with
//! `getdata`. Full nodes send no rejections: when nobody asks for it in time, they have it already or
//! refuse it, and which of the two is only ever inferred. After each block and each start it is announced
//! again, to other peers where there are some.
//!
//! Who can make it grow: the operator, to [`MAX_BROADCASTS`]. Peers only move states of what is there.

mod check;

use std::sync::Arc;
use std::time::Duration;

use bitcoin::{OutPoint, Transaction, Txid, Wtxid};
use ironlight_spv::peers::PeerId;
use ironlight_spv::{BlockHeight, Now, UnixTime};

pub use check::{MAX_WEIGHT, MIN_BASE_BYTES, SanityError, check};

use super::error::LoadError;
use crate::store::{Store, WriteBatch};

/// Transactions that are kept, finished ones included; finished ones are forgotten first.
pub const MAX_BROADCASTS: usize = 1_000;

/// How broadcasting behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BroadcastConfig {
    /// Peers that a transaction is announced to at a time.
    pub announce_to: usize,
    /// After so long without a `getdata` rejection is inferred.
    pub unasked_after: Duration,
    /// After so long without a block it is given up.
    pub give_up_after: Duration,
    /// After so many blocks without being in one it is given up.
    pub give_up_blocks: u32,
    /// So many blocks on top of a confirmation or conflict make it final: then it is not followed
    /// any more.
    pub final_after: u32,
}

impl Default for BroadcastConfig {
    fn default() -> Self {
        Self {
            announce_to: 3,
            unasked_after: Duration::from_secs(60),
            // Two weeks, as Core keeps a transaction in its pool (`DEFAULT_MEMPOOL_EXPIRY_HOURS`).
            give_up_after: Duration::from_secs(14 * 24 * 60 * 60),
            give_up_blocks: 2_016,
            final_after: 100,
        }
    }
}

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BroadcastState {
    /// Nobody was told yet: no peer is connected that relays transactions.
    Waiting,
    /// Peers were told.
    Announced,
    /// A peer asked for it and was given it.
    Requested,
    /// A peer that did not have it from us announced it.
    RelayedBack,
    /// Told, and nobody asked for it in time: peers refuse it, or have it already. Inferred, never
    /// told by anybody.
    InferredRejected,
    /// In a block of the best chain.
    Confirmed {
        /// Its height.
        height: BlockHeight,
    },
    /// A block of the best chain spends what it spends.
    Conflicted {
        /// The transaction in the block.
        by: Txid,
        /// Its height.
        height: BlockHeight,
    },
    /// Not confirmed in all the time that it was given.
    GivenUp,
}

/// A transaction with where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroadcastStatus {
    /// Its id.
    pub txid: Txid,
    /// Its id with witnesses.
    pub wtxid: Wtxid,
    /// Where it stands.
    pub state: BroadcastState,
    /// When it was submitted first.
    pub since: UnixTime,
    /// How often a peer was told of it.
    pub announced: u32,
    /// How often a peer asked for it.
    pub requested: u32,
    /// How many peers announced it back.
    pub relayed_back: u32,
}

/// What a submission did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It is brought to the network from now on.
    New {
        /// Its id.
        txid: Txid,
    },
    /// It was submitted before, and is still followed.
    Known {
        /// Its id.
        txid: Txid,
        /// Where it stands.
        state: BroadcastState,
    },
    /// It had been given up and gets another try.
    Again {
        /// Its id.
        txid: Txid,
    },
}

impl Submitted {
    /// The transaction's id.
    #[must_use]
    pub const fn txid(&self) -> Txid {
        match self {
            Self::New { txid } | Self::Known { txid, .. } | Self::Again { txid } => *txid,
        }
    }
}

/// Why a submission was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// No full node would take it.
    #[error(transparent)]
    Insane(#[from] SanityError),
    /// Too many are under way.
    #[error("{limit} transactions are under way: wait until some confirm, or drop one")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

/// What to do, in order.
#[derive(Clone, Debug)]
pub enum BroadcastAction {
    /// Put this on disk before going on.
    Commit(WriteBatch),
    /// Tell a peer with `inv`: by wtxid where it negotiated that (BIP339), else by txid.
    Announce {
        /// Whom.
        peer: PeerId,
        /// Its id.
        txid: Txid,
        /// Its id with witnesses.
        wtxid: Wtxid,
    },
    /// Give it to whoever asks with `getdata`.
    Offer(Arc<Transaction>),
    /// Give it to nobody any more.
    Withdraw(Txid),
    /// Tell subscribers.
    Event(BroadcastEvent),
}

/// A transaction's state has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BroadcastEvent {
    /// Which.
    pub txid: Txid,
    /// The state before.
    pub before: BroadcastState,
    /// The state now.
    pub after: BroadcastState,
}

/// A block of the best chain, as far as broadcasting needs it: of a matched block all transactions, of
/// one that did not match none (its height counts).
#[derive(Clone, Copy, Debug)]
pub struct ConnectedBlock<'a> {
    /// Its height.
    pub height: BlockHeight,
    /// Its transactions' ids, each with what it spends.
    pub transactions: &'a [(Txid, Vec<OutPoint>)],
}

/// The machine.
#[derive(Debug)]
#[allow(dead_code, reason = "the bodies come next")]
pub struct Broadcasts {
    config: BroadcastConfig,
}

#[allow(
    clippy::unimplemented,
    unused_variables,
    clippy::missing_panics_doc,
    reason = "the bodies come next"
)]
impl Broadcasts {
    /// One with nothing to bring. The seed decides which peers are told.
    #[must_use]
    pub fn new(config: BroadcastConfig, seed: u64) -> Self {
        Self { config }
    }

    /// What a store has: whatever is not final is announced again as peers connect. Blocking.
    ///
    /// # Errors
    /// [`LoadError`]
    pub fn load(store: &dyn Store, config: BroadcastConfig, seed: u64) -> Result<Self, LoadError> {
        unimplemented!()
    }

    /// Brings a transaction to the network. Submitting it again changes nothing while it is followed.
    ///
    /// # Errors
    /// [`SubmitError`]
    pub fn submit(
        &mut self,
        bytes: &[u8],
        tip: BlockHeight,
        now: Now,
    ) -> Result<Submitted, SubmitError> {
        unimplemented!()
    }

    /// Follows a transaction no more; whether it was there. Peers that have it keep it.
    pub fn forget(&mut self, txid: &Txid) -> bool {
        unimplemented!()
    }

    /// A peer finished its handshake. `relays`: whether it wants to hear of transactions.
    pub fn handle_connected(&mut self, peer: PeerId, relays: bool, now: Now) {
        unimplemented!()
    }

    /// A peer is gone.
    pub fn handle_disconnected(&mut self, peer: PeerId, now: Now) {
        unimplemented!()
    }

    /// A peer asked for an offered transaction, and was given it.
    pub fn handle_requested(&mut self, peer: PeerId, txid: &Txid, now: Now) {
        unimplemented!()
    }

    /// A peer announced an offered transaction to us.
    pub fn handle_announced(&mut self, peer: PeerId, txid: &Txid, now: Now) {
        unimplemented!()
    }

    /// The best chain grew by a block.
    pub fn handle_block(&mut self, block: &ConnectedBlock<'_>, now: Now) {
        unimplemented!()
    }

    /// Blocks above a height are off the best chain.
    pub fn handle_blocks_disconnected(&mut self, fork: BlockHeight, now: Now) {
        unimplemented!()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        unimplemented!()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), as time since the node started.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        unimplemented!()
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<BroadcastAction> {
        unimplemented!()
    }

    /// Where a transaction stands.
    #[must_use]
    pub fn status(&self, txid: &Txid) -> Option<BroadcastStatus> {
        unimplemented!()
    }

    /// All that are kept, the oldest first.
    #[must_use]
    pub fn statuses(&self) -> Vec<BroadcastStatus> {
        unimplemented!()
    }

    /// Those that are in no block and not conflicted: what the wallet counts as waiting.
    pub fn waiting(&self) -> impl Iterator<Item = (&Arc<Transaction>, UnixTime)> {
        [].into_iter()
    }
}

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
mod machine;
mod record;
mod submit;

use std::sync::Arc;
use std::time::Duration;

use bitcoin::{OutPoint, Transaction, Txid, Wtxid};
use ironlight_spv::peers::PeerId;
use ironlight_spv::{BlockHeight, UnixTime};

pub use check::{MAX_WEIGHT, SanityError, check};
pub use machine::Broadcasts;

use crate::store::WriteBatch;

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
}

impl Default for BroadcastConfig {
    fn default() -> Self {
        Self {
            announce_to: 3,
            unasked_after: Duration::from_secs(60),
            // Two weeks, as Core keeps a transaction in its pool (`DEFAULT_MEMPOOL_EXPIRY_HOURS`).
            give_up_after: Duration::from_secs(14 * 24 * 60 * 60),
            give_up_blocks: 2_016,
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
    /// A peer that did not have it from us announced it. Only peers that announce transactions to
    /// us can tell that much.
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

impl BroadcastState {
    /// Whether it is still to be brought to the network.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        match self {
            Self::Waiting
            | Self::Announced
            | Self::Requested
            | Self::RelayedBack
            | Self::InferredRejected => true,
            Self::Confirmed { .. } | Self::Conflicted { .. } | Self::GivenUp => false,
        }
    }
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
    /// How often a peer was told of it, since the node started.
    pub announced: u32,
    /// How often a peer asked for it, since the node started.
    pub requested: u32,
    /// How many peers announced it back, since the node started.
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

#[cfg(test)]
mod tests;

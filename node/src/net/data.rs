//! What peers of either network can be asked besides headers, and whom.
//!
//! Purpose: filters, blocks and proofs are fetched by other tasks than the chain's writer, and those
//! care for what a peer offers, not for which network it is in. [`DataPeers`] is the list of connected
//! peers that offer anything; each entry can be asked directly, and every request goes through
//! [`Requests`](super::Requests) of its network.
//!
//! Invariant: a peer is listed from the end of its handshake to the end of its connection, so that
//! a reader that compares the list with the one before misses nobody for good.
//!
//! What an attacker can grow: one entry a connection, and those are bounded by each network. Nothing
//! here is verified: an answer has the form that its question asks for, no more.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bitcoin::bip158::{FilterHash, FilterHeader};
use bitcoin::{BlockHash, Txid};
use ironlight_spv::BlockHeight;
use ironlight_spv::peers::{NetworkGroup, Offence, PeerId};
use ironlight_spv::sync::Unanswered;
use tokio::sync::watch;

use super::swarm::wire::SnapshotOffer;
use super::{Direction, PeerNetwork};

/// Filter headers in an answer at most (BIP157, `getcfheaders`).
pub(crate) const MAX_FILTER_HEADERS: u32 = 2000;
/// Filters in an answer at most (BIP157, `getcfilters`).
pub(crate) const MAX_FILTERS: u32 = 1000;
/// Blocks from one filter checkpoint to the next (BIP157, `getcfcheckpt`).
pub(crate) const CHECKPOINT_INTERVAL: u32 = 1000;
/// Chunks of snapshots that a peer is asked for at the same time, of at most 100 KB each.
pub(crate) const CHUNKS_IN_FLIGHT: usize = 4;

/// A question about filters, blocks, transactions or snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Query {
    /// Every thousandth filter header up to a block.
    FilterCheckpoints {
        /// The last block.
        stop: BlockHash,
        /// Its height.
        height: BlockHeight,
    },
    /// Filter hashes from a height to a block, at most [`MAX_FILTER_HEADERS`].
    FilterHeaders {
        /// The first height.
        start: BlockHeight,
        /// The last block.
        stop: BlockHash,
        /// How many there are.
        count: u32,
    },
    /// Filters of these blocks, which follow each other; at most [`MAX_FILTERS`].
    Filters {
        /// The height of the first.
        start: BlockHeight,
        /// Their hashes, in order.
        blocks: Arc<[BlockHash]>,
    },
    /// A block with its witnesses.
    Block {
        /// Which.
        hash: BlockHash,
    },
    /// Proof that transactions are in a block. Only light nodes can be asked.
    Proof {
        /// The block.
        block: BlockHash,
        /// The transactions, each once.
        txids: Arc<[Txid]>,
    },
    /// The addresses of whole difficulty periods. Only light nodes can be asked.
    SnapshotOffer {
        /// The first period.
        from: u32,
    },
    /// The headers of a period. Only light nodes can be asked.
    SnapshotChunk {
        /// Which.
        period: u32,
        /// The hash of its last block.
        address: BlockHash,
    },
}

/// What a peer answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// As many as fit below the height asked for.
    FilterCheckpoints(Vec<FilterHeader>),
    /// As many hashes as asked for.
    FilterHeaders {
        /// The filter header before the first.
        previous: FilterHeader,
        /// Hashes of the filters.
        hashes: Vec<FilterHash>,
    },
    /// The bytes of the first of the filters asked for, in order; at least one of them.
    Filters(Vec<Vec<u8>>),
    /// The bytes of a block; its header has the hash that was asked for.
    Block(Vec<u8>),
    /// The bytes of a `merkleblock` (BIP37) whose header has the hash that was asked for.
    Proof(Vec<u8>),
    /// The periods that follow the one that was asked for, or begin with it.
    SnapshotOffer(SnapshotOffer),
    /// The frame of a period; what is packed in it is not looked at.
    SnapshotChunk(Vec<u8>),
    /// The peer does not have it.
    NotFound,
}

/// What a peer says that it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent offers")]
pub(crate) struct Offers {
    /// Filters, their headers and checkpoints.
    pub(crate) filters: bool,
    /// Blocks with witnesses.
    pub(crate) blocks: bool,
    /// Proofs.
    pub(crate) proofs: bool,
    /// Chunks of header snapshots.
    pub(crate) snapshots: bool,
}

/// The answer to a question that was asked of a peer.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<Reply, Unanswered>> + Send>>;

/// Where a peer can be asked.
pub(crate) trait DataLine: Send + Sync {
    /// Asks. Where it is a `retry` of what another peer did not answer, the retry budget pays.
    /// Cancel safe: nothing is held for an answer that nobody waits for.
    fn ask(&self, query: Query, retry: bool) -> Answering;

    /// Whether the peer is worth asking for the filter at a height, by what it has said it has. It may
    /// have more by now of what is above.
    fn may_have_filter(&self, _height: BlockHeight) -> bool {
        true
    }

    /// Reports what the peer did wrong; its network's policy decides what follows. It never waits:
    /// where there is no room the report is dropped.
    fn misbehaved(&self, offence: Offence);
}

/// A connected peer that offers something.
#[derive(Clone)]
pub(crate) struct DataPeer {
    /// Its network.
    pub(crate) network: PeerNetwork,
    /// Who opened the connection.
    pub(crate) direction: Direction,
    /// Whose it is, as far as its address says that.
    pub(crate) owner: NetworkGroup,
    /// Whether the user named its address.
    pub(crate) named: bool,
    /// Where it is, to be shown.
    pub(crate) address: String,
    /// What it has.
    pub(crate) offers: Offers,
    /// The last block that it has shown to have since.
    pub(crate) latest: Option<BlockHash>,
    /// Where it is asked.
    pub(crate) line: Arc<dyn DataLine>,
}

impl fmt::Debug for DataPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { network, direction, owner, named, address, offers, latest, line: _ } = self;
        let mut shown = f.debug_struct("DataPeer");
        shown.field("network", network).field("direction", direction).field("owner", owner);
        shown.field("named", named).field("address", address);
        shown.field("offers", offers).field("latest", latest);
        shown.finish_non_exhaustive()
    }
}

/// Peers by their numbers, at one moment.
pub(crate) type PeerList = Arc<BTreeMap<PeerId, DataPeer>>;

/// The list of connected peers that offer something. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct DataPeers(watch::Sender<PeerList>);

impl DataPeers {
    /// A peer has shaken hands.
    pub(crate) fn joined(&self, peer: PeerId, entry: DataPeer) {
        self.0.send_modify(|list| drop(Arc::make_mut(list).insert(peer, entry)));
    }

    /// A peer has shown that it has a block.
    pub(crate) fn shows(&self, peer: PeerId, block: BlockHash) {
        self.0.send_if_modified(|list| {
            let known = list.get(&peer).is_some_and(|entry| entry.latest != Some(block));
            if known && let Some(entry) = Arc::make_mut(list).get_mut(&peer) {
                entry.latest = Some(block);
            }
            known
        });
    }

    /// A peer is gone.
    pub(crate) fn left(&self, peer: PeerId) {
        self.0.send_if_modified(|list| {
            list.contains_key(&peer) && Arc::make_mut(list).remove(&peer).is_some()
        });
    }

    /// The list as it stands.
    pub(crate) fn list(&self) -> PeerList {
        Arc::clone(&self.0.borrow())
    }

    /// Reads the list, and hears of its changes; of those who are in it already, too.
    pub(crate) fn subscribe(&self) -> watch::Receiver<PeerList> {
        let mut list = self.0.subscribe();
        list.mark_changed();
        list
    }
}

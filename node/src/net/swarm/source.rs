//! What the swarm needs to know of the chain: what it serves, and what it makes of a tip that
//! somebody gossips. The chain's side of it is in the node's bridge.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::bip158::{FilterHash, FilterHeader};
use bitcoin::{BlockHash, Txid};
use ironlight_hardening::cache::CacheStats;
use ironlight_spv::sync::TipVerdict;
use ironlight_spv::{BlockHeight, Header};

use super::wire::{FilterRange, HeadersRequest, SnapshotOffer};

/// A page of headers to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedPage {
    /// The body of the response.
    pub body: Vec<u8>,
    /// Headers in it.
    pub count: u32,
}

/// The chain as the swarm sees it.
pub trait ChainSource: Send + Sync + 'static {
    /// The headers asked for, all of one moment; none where there is nothing of the kind.
    fn page(&self, request: &HeadersRequest) -> Option<ServedPage>;

    /// The addresses of the whole difficulty periods of the best chain from one on, at most
    /// [`MAX_OFFERED`](super::wire::MAX_OFFERED), all of one moment; none where no snapshots are served.
    fn snapshot_offer(&self, from: u32) -> Option<SnapshotOffer>;

    /// The frame of a period of the best chain that ends with a block. It may take a while.
    fn snapshot_chunk(&self, period: u32, address: &BlockHash) -> Option<Arc<[u8]>>;

    /// What the pages that many ask for are kept in.
    fn cached(&self) -> CacheStats;

    /// Judges a header by all rules, and changes nothing.
    fn judge(&self, header: &Header) -> TipVerdict;
}

/// What others are served besides headers. All of it is of the best chain: what is asked of another
/// block is not there.
pub(crate) trait DataSource: Send + Sync + 'static {
    /// Filters; none where none are kept.
    fn filters(&self) -> Option<&dyn FilterSource>;

    /// The bytes of a block with its witnesses, which may have to be fetched first. What that costs
    /// is for the source to bound.
    fn block(&self, hash: BlockHash) -> Serving<Arc<[u8]>>;

    /// The bytes of a merkleblock that proves these transactions; it may take the block.
    fn proof(&self, block: BlockHash, txids: Vec<Txid>) -> Serving<Vec<u8>>;
}

/// Filters of the best chain, as they are stored. Each method may block the thread.
pub(crate) trait FilterSource: Send + Sync + 'static {
    /// The heights whose filters are there, ascending.
    fn held(&self) -> Vec<Range<BlockHeight>>;

    /// The filter headers at every thousandth height up to a block.
    fn filter_checkpoints(&self, stop: &BlockHash) -> Option<Vec<FilterHeader>>;

    /// The filter header before a range, and the hashes of all its filters.
    fn filter_hashes(&self, range: &FilterRange) -> Option<(FilterHeader, Vec<FilterHash>)>;

    /// The first of a range's filters, as many as are there and as
    /// [`filters_that_fit`](super::wire::filters_that_fit); at least one.
    fn filters(&self, range: &FilterRange) -> Option<Vec<Vec<u8>>>;
}

/// Something that may have to be fetched before it can be served.
pub(crate) type Serving<T> = Pin<Box<dyn Future<Output = Result<T, NotServed>> + Send>>;

/// Why something is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotServed {
    /// It is not there, or not on the best chain.
    NotFound,
    /// Not now.
    Busy {
        /// When it is worth asking again.
        retry_after: Duration,
    },
}

//! The chain as light nodes are served from it, and as their tips are judged by it.

use std::ops::Range;
use std::sync::Arc;

use ironlight_hardening::cache::{CacheStats, SharedLruCache};
use ironlight_spv::chain::Position;
use ironlight_spv::compress;
use ironlight_spv::compress::snapshot::{FRAME_HEADERS, period_heights};
use ironlight_spv::sync::{TipVerdict, judge_tip};
use ironlight_spv::{BlockHash, BlockHeight, Header, HeaderChain};
#[cfg(feature = "snapshot")]
use tracing::warn;

use crate::chain::{ChainHandle, Phase};
use crate::clock::unix_now;
use crate::net::swarm::wire::{
    HeadersPage, HeadersRequest, LAST_PERIOD, MAX_OFFERED, MAX_PAGE, SnapshotOffer, Wanted,
};
use crate::net::swarm::{ChainSource, ServedPage};

/// Pages kept, of at most 352 KB: whoever syncs asks for the same ones, from the beginning on.
const PAGES: usize = 16;

/// Chunks kept, of at most 100 KB: a node that fetches them has those of a few peers in flight at once.
const CHUNKS: usize = 64;

/// Whole pages in the compact codec, by the hash of the last header in them: what is before it
/// cannot change.
type Pages = SharedLruCache<BlockHash, Arc<[u8]>>;

/// See [`ChainSource`].
#[derive(Debug)]
pub(super) struct ServedChain {
    chain: ChainHandle,
    pages: Pages,
    /// Frames of periods, by their addresses, which settle what is in them.
    chunks: Pages,
}

impl ServedChain {
    pub(super) fn new(chain: ChainHandle) -> Self {
        Self { chain, pages: Pages::new(PAGES), chunks: Pages::new(CHUNKS) }
    }
}

impl ChainSource for ServedChain {
    fn page(&self, request: &HeadersRequest) -> Option<ServedPage> {
        self.chain.read(|chain| page(chain, &self.pages, request))
    }

    fn snapshot_offer(&self, from: u32) -> Option<SnapshotOffer> {
        cfg!(feature = "snapshot").then(|| self.chain.read(|chain| offer(chain, from)))
    }

    fn snapshot_chunk(&self, period: u32, address: &BlockHash) -> Option<Arc<[u8]>> {
        self.chain.read(|chain| period_of(chain, period, address))?;
        if let Some(kept) = self.chunks.get(address) {
            return Some(kept);
        }
        // Read under the lock, packed outside of it: the writer need not wait for a compressor.
        let segment = self.chain.read(|chain| {
            let heights = period_of(chain, period, address)?;
            Some(segment(chain, heights.start, heights.end))
        });
        let made: Arc<[u8]> = packed(period, &segment?)?.into();
        self.chunks.insert(*address, Arc::clone(&made));
        Some(made)
    }

    fn cached(&self) -> CacheStats {
        self.pages.stats()
    }

    fn judge(&self, header: &Header) -> TipVerdict {
        let synced = self.chain.status().phase == Phase::Synced;
        self.chain.read(|chain| judge_tip(chain, header, synced, unix_now()))
    }
}

fn page(chain: &HeaderChain, pages: &Pages, request: &HeadersRequest) -> Option<ServedPage> {
    let most = request.most.min(MAX_PAGE);
    match &request.wanted {
        Wanted::After(locator) => {
            let best = |hash| chain.find(hash).filter(|(_, at)| *at == Position::Best);
            let (last_common, _) = locator.iter().find_map(best)?;
            Some(run(chain, pages, last_common.height.next(), most))
        }
        Wanted::From(height) => {
            let held = chain.start_height()..=chain.tip().height;
            held.contains(height).then(|| run(chain, pages, *height, most))
        }
        Wanted::Exactly(hash) => {
            let (entry, _) = chain.find(hash)?;
            Some(one(chain, entry.height, &entry.header))
        }
    }
}

/// Headers of the best chain from a height on; none at the tip.
fn run(chain: &HeaderChain, pages: &Pages, first: BlockHeight, most: u32) -> ServedPage {
    let tip = chain.tip().height;
    let end = first.plus(most).min(tip.next());
    let count = end.0.saturating_sub(first.0);
    let body =
        |segment: &[u8]| ServedPage { body: HeadersPage::encode(tip, first, segment), count };
    // Only those that begin where a sync from the beginning has them: others are asked for once.
    let key = (count == MAX_PAGE && first.0 % MAX_PAGE == 1).then(|| chain.hash_at(end.minus(1)?));
    let Some(last) = key.flatten() else { return body(&segment(chain, first, end)) };
    if let Some(kept) = pages.get(&last) {
        return body(&kept);
    }
    let made: Arc<[u8]> = segment(chain, first, end).into();
    pages.insert(last, Arc::clone(&made));
    body(&made)
}

/// The addresses of the whole periods from one on, or from the first that the chain has.
fn offer(chain: &HeaderChain, from: u32) -> SnapshotOffer {
    let first = chain.start_height().0.div_ceil(FRAME_HEADERS).max(from);
    let whole = chain.tip().height.next().0 / FRAME_HEADERS;
    let addresses = (first..whole.min(LAST_PERIOD)).take(MAX_OFFERED);
    let addresses =
        addresses.map_while(|period| chain.hash_at(period_heights(period).end.minus(1)?));
    SnapshotOffer { first, addresses: addresses.collect() }
}

/// The heights of a period, where the best chain has all of it and it ends with this block.
fn period_of(chain: &HeaderChain, period: u32, address: &BlockHash) -> Option<Range<BlockHeight>> {
    let heights = period_heights(period);
    let last = chain.hash_at(heights.end.minus(1)?)?;
    (last == *address && heights.start >= chain.start_height()).then_some(heights)
}

#[cfg(feature = "snapshot")]
fn packed(period: u32, segment: &[u8]) -> Option<Vec<u8>> {
    let frame = crate::snapshot::frame(period, segment);
    frame.inspect_err(|error| warn!(%error, period, "a chunk cannot be packed")).ok()
}

#[cfg(not(feature = "snapshot"))]
const fn packed(_period: u32, _segment: &[u8]) -> Option<Vec<u8>> {
    None
}

fn segment(chain: &HeaderChain, first: BlockHeight, end: BlockHeight) -> Vec<u8> {
    if first >= end {
        return Vec::new();
    }
    let before = first.minus(1).and_then(|before| chain.hash_at(before));
    compress::encode(before.unwrap_or_else(no_parent), chain.bodies(first..end))
}

fn one(chain: &HeaderChain, height: BlockHeight, header: &Header) -> ServedPage {
    let segment = compress::encode(header.prev_hash(), std::iter::once(header.into()));
    ServedPage { body: HeadersPage::encode(chain.tip().height, height, &segment), count: 1 }
}

/// Genesis has no parent.
fn no_parent() -> BlockHash {
    bitcoin::hashes::Hash::all_zeros()
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;

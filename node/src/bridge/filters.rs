//! Stored filters as light nodes are served them.

use std::ops::Range;

use bitcoin::BlockHash;
use bitcoin::bip158::{FilterHash, FilterHeader};
use bitcoin::hashes::Hash as _;
use ironlight_spv::BlockHeight;
use ironlight_spv::chain::Position;
use ironlight_spv::filter::sync::CHECKPOINT_INTERVAL;
use tracing::warn;

use crate::chain::ChainHandle;
use crate::filters::Filters;
use crate::net::swarm::FilterSource;
use crate::net::swarm::wire::{FilterRange, filters_that_fit};
use crate::store::StoreError;
use crate::store::filter_headers::FilterEntry;
use crate::store::filters::{StoredFilter, page_end};

/// See [`FilterSource`].
pub(crate) struct ServedFilters {
    filters: Filters,
    chain: ChainHandle,
}

impl ServedFilters {
    pub(crate) const fn new(filters: Filters, chain: ChainHandle) -> Self {
        Self { filters, chain }
    }

    /// The height of a block of the best chain.
    fn height_of(&self, hash: &BlockHash) -> Option<BlockHeight> {
        let (entry, position) = self.chain.read(|chain| chain.find(hash))?;
        (position == Position::Best).then_some(entry.height)
    }

    /// The heights of a range of the best chain.
    fn heights(&self, range: &FilterRange) -> Option<Range<BlockHeight>> {
        let end = self.height_of(&range.stop)?.next();
        (range.start.plus(range.count) == end).then_some(range.start..end)
    }

    fn entries(&self, heights: Range<BlockHeight>) -> Option<Vec<FilterEntry>> {
        found(self.filters.entries(heights))
    }
}

/// Whoever asks is not told of a store that fails: the node stops for it elsewhere.
fn found<T>(read: Result<T, StoreError>) -> Option<T> {
    read.inspect_err(|error| warn!(%error, "filters cannot be served")).ok()
}

impl FilterSource for ServedFilters {
    fn held(&self) -> Vec<Range<BlockHeight>> {
        self.filters.held()
    }

    fn filter_checkpoints(&self, stop: &BlockHash) -> Option<Vec<FilterHeader>> {
        let last = self.height_of(stop)?.0 / CHECKPOINT_INTERVAL;
        let at = |step| {
            let height = BlockHeight(step * CHECKPOINT_INTERVAL);
            self.entries(height..height.next())?.first().map(|entry| entry.header)
        };
        (1..=last).map(at).collect()
    }

    fn filter_hashes(&self, range: &FilterRange) -> Option<(FilterHeader, Vec<FilterHash>)> {
        let heights = self.heights(range)?;
        let before = match heights.start.minus(1) {
            None => FilterHeader::all_zeros(),
            Some(before) => self.entries(before..heights.start)?.first()?.header,
        };
        let hashes: Vec<FilterHash> =
            self.entries(heights)?.iter().map(|entry| entry.hash).collect();
        let whole = u32::try_from(hashes.len()) == Ok(range.count);
        (whole && !hashes.contains(&FilterHash::all_zeros())).then_some((before, hashes))
    }

    fn filters(&self, range: &FilterRange) -> Option<Vec<Vec<u8>>> {
        let Range { start: mut next, end } = self.heights(range)?;
        let mut known: Vec<Vec<u8>> = Vec::new();
        // Page by page: of what does not fit into the answer, little is read.
        while next < end {
            let upto = page_end(next).min(end);
            let filters = found(self.filters.read(next..upto))?;
            if filters.is_empty() && self.filters.readable_to(next) > next {
                self.filters.may_be_lost(next);
            }
            let filters = filters.into_iter().map_while(|filter| match filter {
                StoredFilter::Filter(bytes) => Some(bytes),
                StoredFilter::Undecided => None,
            });
            known.extend(filters);
            let fit = filters_that_fit(known.iter().map(Vec::as_slice));
            known.truncate(fit);
            next = range.start.plus(u32::try_from(fit).unwrap_or(u32::MAX));
            if next < upto {
                break;
            }
        }
        (!known.is_empty()).then_some(known)
    }
}

//! The chain of filter headers (BIP157): 32 bytes a header, from an anchor on.
//!
//! A filter header commits to its filter and to the header before it, so whoever agrees on the last
//! one agrees on all. It says nothing about which filter is right: that is for
//! [`sync`](super::sync) to find out. Invariant: every header above [`FilterHeaderChain::loaded_to`]
//! was linked to the one before it by its filter's hash, and every height is on the best header
//! chain as of the last [`rollback`](FilterHeaderChain::rollback). What an attacker can grow: nothing
//! beyond the length of the header chain, 32.5 bytes a block.

use alloc::vec::Vec;
use core::ops::Range;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;

use super::kept_hashes::KeptHashes;
use super::{FilterAnchor, FilterHash, FilterHeader, FilterHeaderError, FilterTip};
use crate::chain::HeaderChain;
use crate::header::BlockHeight;

/// Headers in a block of memory.
const BLOCK: usize = 2048;

/// Filter headers from genesis or from an anchor on.
#[derive(Clone, Debug)]
pub struct FilterHeaderChain {
    first: u32,
    len: usize,
    blocks: Vec<Vec<FilterHeader>>,
    block_hashes: KeptHashes,
    /// So many of the headers came from a store, or from an anchor.
    loaded: usize,
    revision: u64,
}

/// Headers that link to the chain; only [`FilterHeaderChain::verify`] makes them.
#[derive(Clone, Debug)]
pub struct VerifiedFilterHeaders {
    first: u32,
    headers: Vec<FilterHeader>,
    hashes: Vec<FilterHash>,
    block_hashes: KeptHashes,
    revision: u64,
}

impl VerifiedFilterHeaders {
    /// The height of the first.
    #[must_use]
    pub const fn first_height(&self) -> BlockHeight {
        BlockHeight(self.first)
    }

    /// The headers, lowest first.
    #[must_use]
    pub fn headers(&self) -> &[FilterHeader] {
        &self.headers
    }

    /// The hashes of the filters, lowest first: what others need to link the headers themselves.
    #[must_use]
    pub fn hashes(&self) -> &[FilterHash] {
        &self.hashes
    }

    /// The block of the last.
    #[must_use]
    pub fn last_block(&self) -> Option<BlockHash> {
        self.block_hashes.last()
    }
}

/// The header of a filter: it commits to the filter and to the header before (BIP157).
pub(crate) fn link(hash: &FilterHash, previous: &FilterHeader) -> FilterHeader {
    hash.filter_header(previous)
}

impl Default for FilterHeaderChain {
    fn default() -> Self {
        Self::new()
    }
}

impl FilterHeaderChain {
    /// An empty chain whose first header will be that of genesis.
    #[must_use]
    pub const fn new() -> Self {
        Self::empty_at(0)
    }

    const fn empty_at(first: u32) -> Self {
        Self {
            first,
            len: 0,
            blocks: Vec::new(),
            block_hashes: KeptHashes::none(),
            loaded: 0,
            revision: 0,
        }
    }

    /// An empty chain that will start with the anchor at a height, whose header peers will name.
    ///
    /// # Errors
    /// [`FilterHeaderError::NoCheckpoint`] where the height is no multiple of 1000.
    pub const fn starting_at(height: BlockHeight) -> Result<Self, FilterHeaderError> {
        if height.0.is_multiple_of(super::sync::CHECKPOINT_INTERVAL) {
            Ok(Self::empty_at(height.0))
        } else {
            Err(FilterHeaderError::NoCheckpoint { height })
        }
    }

    /// A chain of one header.
    ///
    /// # Errors
    /// [`FilterHeaderError::NoCheckpoint`] where the height is no multiple of 1000, or is genesis, before
    /// which there is nothing to be trusted: [`new`](Self::new) starts there.
    pub fn anchored(anchor: FilterAnchor) -> Result<Self, FilterHeaderError> {
        if anchor.height == BlockHeight::GENESIS {
            return Err(FilterHeaderError::NoCheckpoint { height: anchor.height });
        }
        let mut chain = Self::starting_at(anchor.height)?;
        chain.set_anchor(anchor.header, anchor.block_hash);
        Ok(chain)
    }

    /// A chain as it was stored: the headers from `first` on, of which the last belongs to block
    /// `last_block`. They are not believed more than a peer's: what turns out wrong is fetched again.
    ///
    /// # Errors
    /// [`FilterHeaderError::NotOnBestChain`] where the last block is not on the best header chain at
    /// that height: load fewer, or start anew. [`FilterHeaderError::NoCheckpoint`] for a wrong `first`.
    pub fn load(
        first: BlockHeight,
        headers: impl IntoIterator<Item = FilterHeader>,
        last_block: BlockHash,
        chain: &HeaderChain,
    ) -> Result<Self, FilterHeaderError> {
        let mut loaded = Self::starting_at(first)?;
        for header in headers {
            loaded.push_header(header);
        }
        loaded.loaded = loaded.len;
        let Some(last) = loaded.last() else { return Ok(loaded) };
        if chain.hash_at(BlockHeight(last)) != Some(last_block) {
            return Err(FilterHeaderError::NotOnBestChain { height: BlockHeight(last) });
        }
        loaded.block_hashes = KeptHashes::of(chain, first.0, first.0..last + 1);
        Ok(loaded)
    }

    /// Where it starts: genesis, or its anchor.
    #[must_use]
    pub const fn first_height(&self) -> BlockHeight {
        BlockHeight(self.first)
    }

    /// How many headers there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The height that comes next.
    #[must_use]
    pub fn next_height(&self) -> BlockHeight {
        BlockHeight(self.end())
    }

    pub(crate) fn end(&self) -> u32 {
        self.first.saturating_add(u32::try_from(self.len).unwrap_or(u32::MAX))
    }

    fn last(&self) -> Option<u32> {
        self.len.checked_sub(1)?;
        self.end().checked_sub(1)
    }

    /// The last header; none where there is none.
    #[must_use]
    pub fn tip(&self) -> Option<FilterTip> {
        let height = BlockHeight(self.last()?);
        let header = self.get(height)?;
        let block_hash = self.block_hashes.last()?;
        Some(FilterTip { height, block_hash, header })
    }

    /// The highest header that came from a store or is the anchor's: those were not linked here.
    #[must_use]
    pub fn loaded_to(&self) -> Option<BlockHeight> {
        let last = u32::try_from(self.loaded.checked_sub(1)?).ok()?;
        Some(BlockHeight(self.first.saturating_add(last)))
    }

    /// Whether the header at a height was linked to the one before it by this process.
    pub(crate) fn is_linked(&self, height: u32) -> bool {
        self.loaded_to().is_none_or(|loaded| height > loaded.0)
    }

    /// The header at a height.
    #[must_use]
    pub fn get(&self, height: BlockHeight) -> Option<FilterHeader> {
        let offset = usize::try_from(height.0.checked_sub(self.first)?).ok()?;
        self.blocks.get(offset / BLOCK)?.get(offset % BLOCK).copied()
    }

    /// The header before a height; zero before genesis (BIP157).
    #[must_use]
    pub fn before(&self, height: BlockHeight) -> Option<FilterHeader> {
        match height.minus(1) {
            None => Some(FilterHeader::all_zeros()),
            Some(before) => self.get(before),
        }
    }

    /// Whether the header at a height commits to the filter with this hash; false where the chain has no
    /// header there, or none before it.
    pub(crate) fn commits_to(&self, height: BlockHeight, hash: &FilterHash) -> bool {
        let headers = self.before(height).zip(self.get(height));
        headers.is_some_and(|(before, header)| link(hash, &before) == header)
    }

    /// Headers from the first height up to, and without, the last, to serve or to store them.
    pub fn headers(&self, heights: Range<BlockHeight>) -> impl Iterator<Item = FilterHeader> {
        (heights.start.0..heights.end.0).map_while(|height| self.get(BlockHeight(height)))
    }

    /// Links hashes of filters to the chain's end and to the blocks of the best header chain.
    ///
    /// # Errors
    /// [`FilterHeaderError`]; nothing is changed.
    pub fn verify(
        &self,
        first: BlockHeight,
        previous: &FilterHeader,
        hashes: &[FilterHash],
        chain: &HeaderChain,
    ) -> Result<VerifiedFilterHeaders, FilterHeaderError> {
        let next = self.next_height();
        let Some(expected) = self.before(first).filter(|_| first == next) else {
            return Err(FilterHeaderError::NotNext { expected: next, got: first });
        };
        if expected != *previous {
            let height = first.minus(1).unwrap_or_default();
            return Err(FilterHeaderError::WrongPrevious { height, expected, got: *previous });
        }
        let mut header = *previous;
        let headers: Vec<_> = hashes
            .iter()
            .map(|hash| {
                header = link(hash, &header);
                header
            })
            .collect();
        let count = u32::try_from(headers.len()).unwrap_or(u32::MAX);
        let (first, end) = (first.0, first.0.saturating_add(count));
        let tip = chain.tip().height;
        let on_tip = self.tip().is_none_or(|tip| chain.hash_at(tip.height) == Some(tip.block_hash));
        if !on_tip {
            return Err(FilterHeaderError::NotOnBestChain { height: BlockHeight(first) });
        }
        if end > tip.0.saturating_add(1) {
            return Err(FilterHeaderError::NotOnBestChain { height: tip.next() });
        }
        let block_hashes = KeptHashes::of(chain, self.first, first..end);
        let (hashes, revision) = (hashes.to_vec(), self.revision);
        Ok(VerifiedFilterHeaders { first, headers, hashes, block_hashes, revision })
    }

    /// Takes verified headers in.
    ///
    /// # Errors
    /// [`FilterHeaderError::Stale`] where the chain has changed since.
    pub fn apply(&mut self, verified: VerifiedFilterHeaders) -> Result<(), FilterHeaderError> {
        if verified.revision != self.revision || verified.first != self.end() {
            return Err(FilterHeaderError::Stale);
        }
        for header in verified.headers {
            self.push_header(header);
        }
        self.block_hashes.append(verified.block_hashes);
        self.revision = self.revision.wrapping_add(1);
        Ok(())
    }

    /// The first header of a chain that [starts at](Self::starting_at) a checkpoint.
    pub(crate) fn set_anchor(&mut self, header: FilterHeader, block_hash: BlockHash) {
        if self.is_empty() && self.first > 0 {
            self.push_header(header);
            self.block_hashes = KeptHashes::of_first(block_hash);
            self.loaded = 1;
            self.revision = self.revision.wrapping_add(1);
        }
    }

    fn push_header(&mut self, header: FilterHeader) {
        if self.len.is_multiple_of(BLOCK) {
            self.blocks.push(Vec::with_capacity(BLOCK));
        }
        if let Some(block) = self.blocks.last_mut() {
            block.push(header);
        }
        self.len += 1;
    }

    /// Keeps the headers up to a height, all of whose blocks are on the best header chain, or none.
    pub fn rollback(&mut self, to: Option<BlockHeight>, chain: &HeaderChain) {
        let kept = to.and_then(|to| to.0.checked_add(1)?.checked_sub(self.first)).unwrap_or(0);
        let kept = usize::try_from(kept).unwrap_or(usize::MAX);
        if kept >= self.len {
            return;
        }
        let former = self.first..self.end();
        self.len = kept;
        self.loaded = self.loaded.min(kept);
        self.blocks.truncate(kept.div_ceil(BLOCK));
        if let Some(last) = self.blocks.last_mut() {
            last.truncate(kept - (kept - 1) / BLOCK * BLOCK);
        }
        self.block_hashes.roll_back(chain, former, self.end());
        self.revision = self.revision.wrapping_add(1);
    }

    /// The highest height whose block is on the best header chain; none where none is.
    #[must_use]
    pub fn fork_point(&self, chain: &HeaderChain) -> Option<BlockHeight> {
        self.block_hashes.fork_point(chain, self.first..self.end()).map(BlockHeight)
    }
}

#[cfg(test)]
#[path = "header_chain_tests.rs"]
mod tests;

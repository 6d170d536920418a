//! The hashes of blocks that a chain of filter headers keeps, to find where a reorg leaves it: of the
//! last blocks all, so that nearly every fork point is found exactly, and one of every 64 below, so that
//! what is found of a deeper reorg is at most 63 blocks too low.
//!
//! What an attacker can grow: nothing beyond the length of the header chain, half a byte a block.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Range;

use bitcoin::BlockHash;

use crate::chain::{HeaderChain, Position};
use crate::header::BlockHeight;

/// Of every so many blocks, from the first on, one hash is kept.
const MARK: u32 = 64;
/// Of so many last blocks all hashes are kept: of a day.
const RECENT: u32 = 144;

/// Hashes of the blocks of a chain of filter headers, or of those that come next in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptHashes {
    /// Of those blocks whose distance from the chain's first is a multiple of [`MARK`], lowest first.
    marks: Vec<BlockHash>,
    /// Of the last blocks, lowest first.
    recent: VecDeque<BlockHash>,
}

impl KeptHashes {
    pub(super) const fn none() -> Self {
        Self { marks: Vec::new(), recent: VecDeque::new() }
    }

    /// Of a chain of one header.
    pub(super) fn of_first(block_hash: BlockHash) -> Self {
        Self { marks: [block_hash].into(), recent: [block_hash].into() }
    }

    /// Of blocks of the best chain, those that a chain from `first` on keeps.
    pub(super) fn of(chain: &HeaderChain, first: u32, heights: Range<u32>) -> Self {
        let mark = |height: &u32| height.wrapping_sub(first).is_multiple_of(MARK);
        let marks = heights.clone().filter(mark);
        let marks = marks.filter_map(|height| chain.hash_at(BlockHeight(height)));
        Self { marks: marks.collect(), recent: recent(chain, heights) }
    }

    /// The last block's.
    pub(super) fn last(&self) -> Option<BlockHash> {
        self.recent.back().copied()
    }

    /// Adds those of the blocks that come next.
    pub(super) fn append(&mut self, next: Self) {
        self.marks.extend(next.marks);
        self.recent.extend(next.recent);
        let surplus = self.recent.len().saturating_sub(size(RECENT));
        self.recent.drain(..surplus);
    }

    /// Drops those of the blocks from `end` on, which is below the end of `former`. The blocks that
    /// stay are on the best chain.
    pub(super) fn roll_back(&mut self, chain: &HeaderChain, former: Range<u32>, end: u32) {
        self.marks.truncate(size(end.saturating_sub(former.start).div_ceil(MARK)));
        let dropped = size(former.end.saturating_sub(end));
        self.recent.truncate(self.recent.len().saturating_sub(dropped));
        if self.recent.is_empty() {
            self.recent = recent(chain, former.start..end);
        }
    }

    /// The highest of these heights whose block is on the best chain, as far as its hash is kept.
    pub(super) fn fork_point(&self, chain: &HeaderChain, heights: Range<u32>) -> Option<u32> {
        let on_best = |(height, hash): &(u32, &BlockHash)| {
            let found = chain.find(hash);
            found.is_some_and(|(entry, position)| {
                position == Position::Best && entry.height.0 == *height
            })
        };
        let recent = heights.clone().rev().zip(self.recent.iter().rev());
        let marks = heights.step_by(size(MARK)).zip(&self.marks).rev();
        recent.chain(marks).find(on_best).map(|(height, _)| height)
    }
}

fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// The last ones of blocks of the best chain.
fn recent(chain: &HeaderChain, heights: Range<u32>) -> VecDeque<BlockHash> {
    let from = heights.end.saturating_sub(RECENT).max(heights.start);
    block_hashes(chain, from..heights.end).into()
}

/// Hashes of blocks of the best chain, lowest first, at one hash a block; ends where the chain does.
pub(crate) fn block_hashes(chain: &HeaderChain, heights: Range<u32>) -> Vec<BlockHash> {
    let mut hashes = Vec::with_capacity(heights.len());
    let Some(mut hash) = chain.hash_at(BlockHeight(heights.start)) else { return hashes };
    if heights.is_empty() {
        return hashes;
    }
    hashes.push(hash);
    let rest = BlockHeight(heights.start).next()..BlockHeight(heights.end);
    for body in chain.bodies(rest) {
        hash = body.with_parent(hash).hash();
        hashes.push(hash);
    }
    hashes
}

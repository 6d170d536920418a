//! The best chain in memory: 44 bytes a header, an anchor hash every sixteen, and the index.
//!
//! A header's parent hash is not stored: it is the hash of the header before it, recomputed from
//! the nearest anchor, so a lookup hashes at most sixteen headers. Bits are kept as runs. Memory
//! grows by whole blocks of 2,016 headers; nothing is allocated a header.

use alloc::vec::Vec;
use core::ops::Range;

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, CompactTarget, Work};

use super::batch::HeaderRun;
use super::index::HashIndex;
use super::work::{WorkSum, work_of};
use crate::compress::HeaderBody;
use crate::header::{BlockHeight, Header, IndexedHeader};
use crate::time::UnixTime;

/// Headers in a block of memory.
const BLOCK: usize = 2016;
/// Headers from one anchor hash to the next; divides [`BLOCK`].
const ANCHOR: usize = 16;

/// A header without parent hash and bits.
type Packed = [u8; 44];

#[derive(Clone, Debug)]
struct Block {
    packed: Vec<Packed>,
    /// The bits from an offset on, until the next run.
    runs: Vec<(usize, CompactTarget)>,
    /// The parent hash of each sixteenth header.
    anchors: Vec<BlockHash>,
    /// Total work before the block's first header.
    work_before: Work,
}

/// The best chain from its start to its tip.
#[derive(Clone, Debug)]
pub(super) struct Spine {
    start: BlockHeight,
    blocks: Vec<Block>,
    len: usize,
    index: HashIndex,
}

impl Spine {
    /// A chain of one header; `work` includes it.
    pub(super) fn new(start: BlockHeight, header: &Header, work: Work) -> Self {
        let mut spine = Self { start, blocks: Vec::new(), len: 0, index: HashIndex::new() };
        spine.push(header, work - work_of(header.compact_target()));
        spine.index.insert(&header.hash(), start.0);
        spine
    }

    pub(super) const fn start(&self) -> BlockHeight {
        self.start
    }

    pub(super) fn tip_height(&self) -> BlockHeight {
        let above = u32::try_from(self.len.saturating_sub(1)).unwrap_or(u32::MAX);
        self.start.plus(above)
    }

    fn offset(&self, height: BlockHeight) -> Option<usize> {
        let offset = usize::try_from(height.0.checked_sub(self.start.0)?).ok()?;
        (offset < self.len).then_some(offset)
    }

    /// Makes room in the index for so many headers in all.
    pub(super) fn reserve(&mut self, headers: usize) {
        self.index.reserve(headers);
    }

    /// Adds headers, the first of which has the tip for its parent; `work_before` is the tip's total.
    pub(super) fn extend(&mut self, run: &HeaderRun, work_before: Work) {
        let first = self.tip_height().next();
        let mut work = WorkSum::from(work_before);
        for header in run.headers() {
            self.push(header, work.total);
            work.add(header.compact_target());
        }
        self.index.insert_run(run.hashes(), first);
    }

    /// Adds a header to all but the index.
    fn push(&mut self, header: &Header, work_before: Work) {
        if self.len.is_multiple_of(BLOCK) {
            self.blocks.push(Block::new(work_before));
        }
        if let Some(block) = self.blocks.last_mut() {
            block.push(header);
        }
        self.len += 1;
    }

    /// Takes the tip off; `hash` is its hash.
    pub(super) fn pop(&mut self, hash: &BlockHash) {
        self.index.remove(hash, self.tip_height().0);
        if let Some(block) = self.blocks.last_mut() {
            block.pop();
            if block.packed.is_empty() {
                self.blocks.pop();
            }
        }
        self.len -= 1;
    }

    fn block_at(&self, height: BlockHeight) -> Option<(&Block, usize)> {
        let offset = self.offset(height)?;
        self.blocks.get(offset / BLOCK).map(|block| (block, offset % BLOCK))
    }

    pub(super) fn header(&self, height: BlockHeight) -> Option<Header> {
        let (block, offset) = self.block_at(height)?;
        block.header(offset)
    }

    pub(super) fn indexed(&self, height: BlockHeight) -> Option<IndexedHeader> {
        let (block, offset) = self.block_at(height)?;
        let header = block.header(offset)?;
        let work = block.work(offset);
        Some(IndexedHeader { header, hash: header.hash(), height, work })
    }

    /// The time and bits at a height, without hashing.
    pub(super) fn fields(&self, height: BlockHeight) -> Option<(UnixTime, CompactTarget)> {
        let (block, offset) = self.block_at(height)?;
        let packed = block.packed.get(offset)?;
        Some((time_of(packed), block.bits(offset)))
    }

    pub(super) fn find(&self, hash: &BlockHash) -> Option<BlockHeight> {
        self.index
            .candidates(hash)
            .map(BlockHeight)
            .find(|height| self.header(*height).is_some_and(|header| header.hash() == *hash))
    }

    /// The parent of the header at a height.
    pub(super) fn parent_hash(&self, height: BlockHeight) -> Option<BlockHash> {
        self.header(height).map(|header| header.prev_hash())
    }

    /// Headers without their parents, oldest first, without hashing.
    pub(super) fn bodies(&self, heights: Range<BlockHeight>) -> impl Iterator<Item = HeaderBody> {
        (heights.start.0..heights.end.0).map_while(|height| {
            let (block, offset) = self.block_at(BlockHeight(height))?;
            block.packed.get(offset).map(|packed| body_of(packed, block.bits(offset)))
        })
    }
}

impl Block {
    fn new(work_before: Work) -> Self {
        Self {
            packed: Vec::with_capacity(BLOCK),
            runs: Vec::with_capacity(1),
            anchors: Vec::with_capacity(BLOCK / ANCHOR),
            work_before,
        }
    }

    fn push(&mut self, header: &Header) {
        let offset = self.packed.len();
        if offset.is_multiple_of(ANCHOR) {
            self.anchors.push(header.prev_hash());
        }
        let bits = header.compact_target();
        if self.runs.last().is_none_or(|(_, last)| *last != bits) {
            self.runs.push((offset, bits));
        }
        self.packed.push(pack(header));
    }

    fn pop(&mut self) {
        self.packed.pop();
        let len = self.packed.len();
        self.anchors.truncate(len.div_ceil(ANCHOR));
        while self.runs.last().is_some_and(|(from, _)| *from >= len) {
            self.runs.pop();
        }
    }

    fn bits(&self, offset: usize) -> CompactTarget {
        let later = self.runs.partition_point(|(from, _)| *from <= offset);
        self.runs.get(later.saturating_sub(1)).map_or_else(CompactTarget::default, |run| run.1)
    }

    /// Total work up to and including an offset.
    fn work(&self, offset: usize) -> Work {
        let mut work = self.work_before;
        for (number, (from, bits)) in self.runs.iter().enumerate() {
            if *from > offset {
                break;
            }
            let end = self.runs.get(number + 1).map_or(offset + 1, |next| next.0.min(offset + 1));
            work = work + times(work_of(*bits), end - from);
        }
        work
    }

    fn header(&self, offset: usize) -> Option<Header> {
        let anchor = offset / ANCHOR;
        let mut parent = *self.anchors.get(anchor)?;
        for before in anchor * ANCHOR..offset {
            parent = self.unpack(before, parent)?.hash();
        }
        self.unpack(offset, parent)
    }

    fn unpack(&self, offset: usize, parent: BlockHash) -> Option<Header> {
        let body = body_of(self.packed.get(offset)?, self.bits(offset));
        Some(body.with_parent(parent))
    }
}

/// A work, so many times.
fn times(work: Work, count: usize) -> Work {
    let mut result = crate::params::no_work();
    let mut doubled = work;
    let mut left = count;
    while left > 0 {
        if left & 1 == 1 {
            result = result + doubled;
        }
        left >>= 1;
        if left > 0 {
            doubled = doubled + doubled;
        }
    }
    result
}

fn pack(header: &Header) -> Packed {
    let bytes = header.as_bytes();
    let mut packed = [0; 44];
    packed[..4].copy_from_slice(&bytes[..4]);
    packed[4..40].copy_from_slice(&bytes[36..72]);
    packed[40..].copy_from_slice(&bytes[76..]);
    packed
}

fn body_of(packed: &Packed, bits: CompactTarget) -> HeaderBody {
    let mut merkle_root = [0; 32];
    merkle_root.copy_from_slice(&packed[4..36]);
    HeaderBody {
        version: i32::from_le_bytes([packed[0], packed[1], packed[2], packed[3]]),
        merkle_root: bitcoin::TxMerkleNode::from_byte_array(merkle_root),
        time: time_of(packed),
        bits,
        nonce: u32::from_le_bytes([packed[40], packed[41], packed[42], packed[43]]),
    }
}

fn time_of(packed: &Packed) -> UnixTime {
    UnixTime(u32::from_le_bytes([packed[36], packed[37], packed[38], packed[39]]))
}

//! Hashes of the wallet's branch: enough to find where it left the best chain.
//!
//! The newest are kept, and of older ones ever fewer: the lowest of each span of heights, where
//! spans get longer with the distance from the tip, an eighth of it. So a reorg of any depth is met with a block
//! that is not much deeper, and there are at most [`MAX_MARKS`].

use bitcoin::BlockHash;
use ironlight_spv::BlockHeight;

use super::coin::BlockId;

/// Each magnitude of distance (a power of two) has 8 spans, or 9 where they are cut.
const SPANS_LOG2: u32 = 3;
/// Marks at most: the tip, and the spans of 32 magnitudes.
pub(super) const MAX_MARKS: usize = 1 + 32 * 9;

/// Blocks of one branch, ascending. The last is the tip.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks(Vec<BlockId>);

impl Marks {
    pub(super) fn from_blocks(blocks: Vec<BlockId>) -> Option<Self> {
        let ascends = blocks.is_sorted_by(|before, after| before.height < after.height);
        (ascends && blocks.len() <= MAX_MARKS).then_some(Self(blocks))
    }

    pub(super) fn blocks(&self) -> &[BlockId] {
        &self.0
    }

    pub(super) fn tip(&self) -> Option<BlockId> {
        self.0.last().copied()
    }

    /// The hash of a height, where it is kept.
    pub(super) fn hash_at(&self, height: BlockHeight) -> Option<BlockHash> {
        let place = self.0.binary_search_by_key(&height, |block| block.height).ok()?;
        self.0.get(place).map(|block| block.hash)
    }

    /// These and a new tip above them.
    pub(super) fn with(&self, tip: BlockId) -> Self {
        let mut blocks: Vec<BlockId> = Vec::new();
        let mut last_span = None;
        for block in self.0.iter().filter(|block| block.height < tip.height) {
            let magnitude = (tip.height.0 - block.height.0).checked_ilog2().unwrap_or(0);
            let length = magnitude.saturating_sub(SPANS_LOG2);
            let span = Some((magnitude, block.height.0 >> length));
            if span != last_span {
                blocks.push(*block);
            }
            last_span = span;
        }
        blocks.push(tip);
        Self(blocks)
    }

    /// These up to a block, which becomes the tip.
    pub(super) fn back_to(&self, tip: BlockId) -> Self {
        let below = self.0.iter().filter(|block| block.height < tip.height).copied();
        Self(below.chain([tip]).collect())
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash as _;

    use super::*;

    fn block(height: u32) -> BlockId {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&height.to_le_bytes());
        BlockId { height: BlockHeight(height), hash: BlockHash::from_byte_array(hash) }
    }

    #[test]
    fn marks_are_dense_near_the_tip_and_few() {
        let mut marks = Marks::default();
        for height in 0..100_000 {
            marks = marks.with(block(height));
        }
        assert!(marks.blocks().len() <= 1 + 17 * 9, "{}", marks.blocks().len());
        for back in 0..=8 {
            assert_eq!(marks.hash_at(BlockHeight(99_999 - back)), Some(block(99_999 - back).hash));
        }
        // For every depth there is a mark below it that is not much deeper.
        for depth in 1..60_000_u32 {
            let fork = BlockHeight(99_999 - depth);
            let mark = marks.blocks().iter().rfind(|mark| mark.height <= fork).unwrap();
            assert!(99_999 - mark.height.0 <= depth + depth / 4 + 1, "{depth}: {}", mark.height);
        }
    }

    #[test]
    fn going_back_forgets_what_was_above() {
        let marks = (0..10).map(block).fold(Marks::default(), |marks, next| marks.with(next));
        let back = marks.back_to(block(4));
        assert_eq!(back.tip(), Some(block(4)));
        assert_eq!(back.hash_at(BlockHeight(5)), None);
        assert_eq!(Marks::from_blocks(back.blocks().to_vec()), Some(back));
        assert_eq!(Marks::from_blocks(vec![block(2), block(1)]), None);
    }
}

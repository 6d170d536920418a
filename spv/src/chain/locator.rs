//! Block locators: what a peer needs to find where our chains part.

use alloc::vec::Vec;

use bitcoin::BlockHash;

use super::HeaderChain;
use crate::header::BlockHeight;

/// Hashes of a chain, newest first: ten single steps back from the tip, then doubling gaps, the
/// chain's start last (Bitcoin Core, `chain.cpp`, `LocatorEntries`).
pub type BlockLocator = Vec<BlockHash>;

/// Single steps before the gaps begin to double.
const SINGLE_STEPS: u32 = 10;

/// The heights of a locator that starts at `from`, newest first; `start` is always the last.
fn heights(from: BlockHeight, start: BlockHeight) -> impl Iterator<Item = BlockHeight> {
    let mut step = 1u32;
    let mut taken = 0u32;
    let mut next = Some(from);
    core::iter::from_fn(move || {
        let height = next?;
        next = (height > start).then(|| height.minus(step).unwrap_or(start).max(start));
        taken += 1;
        if taken > SINGLE_STEPS {
            step = step.saturating_mul(2);
        }
        Some(height)
    })
}

impl HeaderChain {
    /// The locator of the best chain.
    #[must_use]
    pub fn locator(&self) -> BlockLocator {
        self.locator_below(self.tip().height)
    }

    /// As [`locator`](Self::locator) without the tip, unless that is all there is: a peer that has the tip
    /// answers with it.
    #[must_use]
    pub fn locator_before_tip(&self) -> BlockLocator {
        let tip = self.tip().height;
        self.locator_below(tip.minus(1).unwrap_or(tip).max(self.start_height()))
    }

    /// A locator that starts at a known header on any branch: that header, then those before it.
    /// An unknown header gives the locator of the best chain.
    #[must_use]
    pub fn locator_from(&self, hash: &BlockHash) -> BlockLocator {
        let (branch, fork_point) = self.branch_below(*hash);
        let Some(fork_point) = fork_point else { return self.locator() };
        // Of the side branch only its last ten headers: with those, and the best chain from the
        // fork point down, any peer is found that has either branch.
        let mut locator: BlockLocator = branch.iter().take(10).map(|entry| entry.hash).collect();
        locator.extend(self.locator_below(fork_point));
        locator
    }

    fn locator_below(&self, from: BlockHeight) -> BlockLocator {
        heights(from, self.start_height()).filter_map(|height| self.hash_at(height)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_single_steps_then_doubling_gaps_end_with_the_start() {
        let heights: Vec<u32> =
            heights(BlockHeight(100), BlockHeight(0)).map(|height| height.0).collect();
        assert_eq!(
            heights,
            [100, 99, 98, 97, 96, 95, 94, 93, 92, 91, 90, 89, 87, 83, 75, 59, 27, 0]
        );
    }

    #[test]
    fn the_highest_chain_needs_fewer_than_101_hashes() {
        assert!(heights(BlockHeight(u32::MAX), BlockHeight(0)).count() <= 101);
    }

    #[test]
    fn a_trusted_start_ends_the_locator() {
        let last = heights(BlockHeight(2_100), BlockHeight(2_016)).last();
        assert_eq!(last, Some(BlockHeight(2_016)));
    }
}

//! What a header's own ancestors say, on whatever branch it lies.

use alloc::vec::Vec;

use bitcoin::BlockHash;

use super::HeaderChain;
use super::context::Context;
use crate::header::{BlockHeight, IndexedHeader};
use crate::rules::difficulty::Lineage;
use crate::rules::timestamp::{MEDIAN_SPAN, RecentTimes};

impl HeaderChain {
    /// The side branch that ends in a header, newest first, and the height on the best chain
    /// that it hangs off; no height where the header is not known.
    pub(super) fn branch_below(
        &self,
        hash: BlockHash,
    ) -> (Vec<IndexedHeader>, Option<BlockHeight>) {
        let mut branch = Vec::new();
        let mut hash = hash;
        while let Some(entry) = self.forks.get(&hash) {
            hash = entry.header.prev_hash();
            branch.push(entry);
        }
        let height = self.best_height(&hash);
        (branch, height)
    }

    /// What the rules for a known header's children need, from the header's own ancestors.
    pub(super) fn context_of(&self, hash: &BlockHash) -> Option<Context> {
        if *hash == self.tip.hash {
            return Some(self.tip.clone());
        }
        if let Some(side) = self.last_side.as_ref().filter(|side| side.hash == *hash)
            && self.forks.contains(hash)
        {
            return Some(side.clone());
        }
        let (branch, fork_point) = self.branch_below(*hash);
        let mut context = self.context_at(fork_point?)?;
        for entry in branch.iter().rev() {
            context.push(&self.params, &entry.header, entry.hash);
        }
        Some(context)
    }

    /// The context at a height of the best chain, replayed from its period's start or from the
    /// ten headers before it, whichever is earlier; from the chain's start where that is later.
    fn context_at(&self, height: BlockHeight) -> Option<Context> {
        let span = u32::try_from(MEDIAN_SPAN - 1).unwrap_or(0);
        let period = self.params.period;
        let period_start = BlockHeight(height.0 - height.0 % period);
        let from = period_start.min(height.minus(span).unwrap_or(BlockHeight::GENESIS));
        let entry = self.get(height)?;
        let mut context = if from <= self.start_height() {
            self.start.context(&self.params)
        } else {
            self.context_from(from, period_start)?
        };
        for height in context.lineage.height.next().0..=height.0 {
            let (time, bits) = self.spine.fields(BlockHeight(height))?;
            context.push_fields(&self.params, time, bits);
        }
        context.hash = entry.hash;
        context.work.total = entry.work;
        Some(context)
    }

    /// The context at a period's start, the times before it included.
    fn context_from(&self, from: BlockHeight, period_start: BlockHeight) -> Option<Context> {
        let mut times = RecentTimes::new(false);
        for height in from.0..=period_start.0 {
            times.push(self.spine.fields(BlockHeight(height))?.0);
        }
        let (time, bits) = self.spine.fields(period_start)?;
        let lineage = Lineage::of_start(&self.params, period_start, time, bits, None, None);
        Some(Context::new(self.tip.hash, crate::params::no_work(), times, lineage))
    }
}

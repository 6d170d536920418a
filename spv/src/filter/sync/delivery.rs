//! Which filters are wanted, which are on their way, and which wait for their turn.

use alloc::collections::{BTreeMap, BTreeSet};
use core::ops::Range;

use bitcoin::BlockHash;

use super::spans::Spans;
use crate::filter::Filter;

/// What a filter is taken to have before any was seen: those of full blocks have so many bytes.
const EXPECTED: usize = 20_000;
/// What a filter takes in memory beside its bytes.
const OVERHEAD: usize = 128;

/// What is wanted, what is on its way, and what waits for its turn.
#[derive(Debug)]
pub(super) struct Delivery {
    /// Below it nothing was ever wanted.
    pub(super) floor: u32,
    /// The next to be handed out.
    pub(super) cursor: Option<u32>,
    /// The first height above all that were ever handed out and are not void: a rescan moves the cursor
    /// below it.
    pub(super) handed_out: u32,
    /// All below it was consumed.
    pub(super) consumed: u32,
    /// What the driver has itself.
    pub(super) cached: Spans,
    /// What is in flight or waits.
    pub(super) covered: Spans,
    pub(super) waiting: BTreeMap<u32, (BlockHash, Filter)>,
    pub(super) waiting_bytes: usize,
    /// How many are in flight, those that are overdue not counted.
    pub(super) flying: usize,
    /// Bytes of a filter, the last ones counting most.
    pub(super) mean: usize,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            floor: u32::MAX,
            cursor: None,
            handed_out: 0,
            consumed: 0,
            cached: Spans::default(),
            covered: Spans::default(),
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            flying: 0,
            mean: EXPECTED,
        }
    }
}

/// What a filter takes in memory.
pub(super) fn size_of(filter: &Filter) -> usize {
    filter.as_bytes().len() + OVERHEAD
}

pub(super) fn count(range: &Range<u32>) -> usize {
    usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX)
}

impl Delivery {
    pub(super) const fn next(&self) -> Option<u32> {
        self.cursor
    }

    pub(super) fn consumed(&mut self, height: u32) {
        let upper = self.cursor.unwrap_or(0);
        self.consumed = self.consumed.max(height.saturating_add(1).min(upper));
    }

    pub(super) fn want(&mut self, floor: u32, next: u32) {
        self.floor = self.floor.min(floor);
        self.cursor = Some(next);
        self.handed_out = self.handed_out.max(next);
        self.consumed = next;
        let later = self.waiting.split_off(&next);
        self.drop_waiting(later);
    }

    /// Keeps these of those that wait.
    pub(super) fn drop_waiting(&mut self, kept: BTreeMap<u32, (BlockHash, Filter)>) {
        for height in self.waiting.keys() {
            self.covered.remove(*height..height + 1);
        }
        self.waiting = kept;
        let bytes = self.waiting.values().map(|(_, filter)| size_of(filter));
        self.waiting_bytes = bytes.sum();
    }

    pub(super) fn forget_from(&mut self, next: u32) {
        self.cached.remove(next..u32::MAX);
        self.covered.remove(next..u32::MAX);
        let lower = {
            let _upper = self.waiting.split_off(&next);
            core::mem::take(&mut self.waiting)
        };
        self.drop_waiting(lower);
    }

    /// A request for these heights is over, or overdue: they may be asked for again, but for those
    /// whose filters are here already. An earlier request, which was overdue when this one was made,
    /// may have brought them after all.
    pub(super) fn give_back(&mut self, heights: Range<u32>) {
        self.flying = self.flying.saturating_sub(count(&heights));
        self.covered.remove(heights.clone());
        for height in self.waiting.range(heights).map(|(height, _)| *height) {
            self.covered.insert(height..height + 1);
        }
    }

    pub(super) fn send_out(&mut self, heights: Range<u32>) {
        self.flying += count(&heights);
        self.covered.insert(heights);
    }

    pub(super) fn note_sizes(&mut self, filters: usize, bytes: usize) {
        if let Some(mean) = bytes.checked_div(filters) {
            self.mean = (self.mean + 3 * (mean + OVERHEAD)) / 4;
        }
    }

    /// The first heights that nobody has and nobody was asked for.
    pub(super) fn gap(&self, heights: Range<u32>, undecided: &BTreeSet<u32>) -> Option<Range<u32>> {
        let mut start = heights.start;
        while start < heights.end {
            if let Some(end) = self.covered.end_of(start).or_else(|| self.cached.end_of(start)) {
                start = end;
            } else if undecided.contains(&start) {
                start += 1;
            } else {
                let covered = self.covered.next_start(start);
                let ends = covered.into_iter().chain(self.cached.next_start(start));
                let ends = ends.chain(undecided.range(start..).next().copied());
                return Some(start..ends.fold(heights.end, u32::min));
            }
        }
        None
    }
}

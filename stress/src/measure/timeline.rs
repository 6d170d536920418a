//! What happened when, in a bounded number of slots.

use core::time::Duration;

/// One stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Operations that ended in it.
    pub operations: u64,
    /// Of these, those that failed.
    pub failed: u64,
    /// The most bytes handed out that were seen in it; 0 where nobody counts.
    pub memory: u64,
    /// Samples that ended in it.
    pub samples: u64,
    /// Nanoseconds that they took together; saturates after 584 years.
    pub took_ns: u64,
    /// Nanoseconds that the longest took.
    pub longest_ns: u64,
}

impl Slot {
    fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.failed += other.failed;
        self.memory = self.memory.max(other.memory);
        self.samples += other.samples;
        self.took_ns = self.took_ns.saturating_add(other.took_ns);
        self.longest_ns = self.longest_ns.max(other.longest_ns);
    }
}

/// Slots of equal width. When time goes on beyond the last, pairs of slots become one, and the
/// width doubles: a run of any length has at most [`Timeline::MOST`] slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    width: Duration,
    slots: Vec<Slot>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { width: Self::FINEST, slots: Vec::new() }
    }
}

impl Timeline {
    /// The most slots.
    pub const MOST: usize = 128;
    /// The width at first.
    const FINEST: Duration = Duration::from_micros(100);

    /// How long a slot is.
    #[must_use]
    pub const fn width(&self) -> Duration {
        self.width
    }

    /// The slots, from the start on.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Adds to the slot of a time since the start.
    pub fn add(&mut self, at: Duration, what: Slot) {
        let mut place = self.place(at);
        while place >= Self::MOST {
            self.coarsen();
            place = self.place(at);
        }
        if self.slots.len() <= place {
            self.slots.resize(place + 1, Slot::default());
        }
        if let Some(slot) = self.slots.get_mut(place) {
            slot.add(&what);
        }
    }

    /// Adds another one that began at the same time.
    pub fn merge(&mut self, mut other: Self) {
        while self.width < other.width {
            self.coarsen();
        }
        while other.width < self.width {
            other.coarsen();
        }
        if self.slots.len() < other.slots.len() {
            self.slots.resize(other.slots.len(), Slot::default());
        }
        for (ours, theirs) in self.slots.iter_mut().zip(&other.slots) {
            ours.add(theirs);
        }
    }

    fn place(&self, at: Duration) -> usize {
        usize::try_from(at.as_nanos() / self.width.as_nanos().max(1)).unwrap_or(usize::MAX)
    }

    fn coarsen(&mut self) {
        self.width = self.width.saturating_mul(2);
        let pairs = self.slots.chunks(2).map(|pair| {
            let mut sum = Slot::default();
            pair.iter().for_each(|slot| sum.add(slot));
            sum
        });
        self.slots = pairs.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Slot =
        Slot { operations: 1, failed: 0, memory: 7, samples: 1, took_ns: 5, longest_ns: 5 };

    fn operations(timeline: &Timeline) -> u64 {
        timeline.slots().iter().map(|slot| slot.operations).sum()
    }

    #[test]
    fn a_long_run_has_as_many_slots_as_a_short_one_and_loses_nothing() {
        let mut timeline = Timeline::default();
        for second in 0..10_000 {
            timeline.add(Duration::from_secs(second), ONE);
            assert!(timeline.slots().len() <= Timeline::MOST);
        }
        assert_eq!(operations(&timeline), 10_000);
        assert!(timeline.slots().len() > Timeline::MOST / 2 - 1);
    }

    #[test]
    fn two_of_different_width_are_added_at_the_coarser_one() {
        let (mut fine, mut coarse) = (Timeline::default(), Timeline::default());
        fine.add(Duration::ZERO, ONE);
        coarse.add(Duration::from_secs(1), ONE);
        coarse.add(Duration::ZERO, ONE);
        let width = coarse.width();
        fine.merge(coarse);
        assert_eq!((fine.width(), operations(&fine)), (width, 3));
        let both = Slot { operations: 2, samples: 2, took_ns: 10, ..ONE };
        assert_eq!(fine.slots()[0], both);
    }

    #[test]
    fn the_end_of_all_time_has_a_slot() {
        let mut timeline = Timeline::default();
        timeline.add(Duration::MAX, ONE);
        assert_eq!(operations(&timeline), 1);
    }
}

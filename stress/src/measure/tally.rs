//! What was counted: one tally a thread, added up in the end.

use core::time::Duration;
use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::timeline::{Slot, Timeline};

/// The class of an error: a short fixed name in the field's form, such as `circuit_open`.
pub type Class = &'static str;

/// The longest time that is told apart, in nanoseconds: an hour.
const LONGEST: u64 = 3_600_000_000_000;
/// Percentiles are exact to a tenth of a percent.
const DIGITS: u8 = 3;

/// Operations, samples of how long they took, and errors by class.
#[derive(Clone, Debug)]
pub struct Tally {
    pub(crate) operations: u64,
    /// Absent only where the histogram's fixed bounds were refused, which they are not.
    pub(crate) took: Option<Histogram<u64>>,
    /// Bounded by the names that a scenario knows: they are `'static`.
    pub(crate) errors: BTreeMap<Class, u64>,
    pub(crate) timeline: Timeline,
}

impl Default for Tally {
    fn default() -> Self {
        let took = Histogram::new_with_bounds(1, LONGEST, DIGITS).ok();
        Self { operations: 0, took, errors: BTreeMap::new(), timeline: Timeline::default() }
    }
}

impl Tally {
    /// Notes one sample that ended at `at` and stood for so many operations. Where it failed, all of
    /// these did.
    pub fn note(
        &mut self,
        at: Duration,
        took: Duration,
        operations: u64,
        failed: Option<Class>,
        memory: u64,
    ) {
        self.operations += operations;
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if let Some(histogram) = &mut self.took {
            histogram.saturating_record(took_ns.max(1));
        }
        if let Some(class) = failed {
            *self.errors.entry(class).or_default() += operations;
        }
        let failed = if failed.is_some() { operations } else { 0 };
        let (samples, longest_ns) = (1, took_ns);
        self.timeline.add(at, Slot { operations, failed, memory, samples, took_ns, longest_ns });
    }

    /// Adds another one that began at the same time.
    pub fn merge(&mut self, other: Self) {
        self.operations += other.operations;
        if let (Some(ours), Some(theirs)) = (&mut self.took, other.took) {
            // The same bounds, so there is nothing to refuse.
            let added = ours.add(theirs);
            debug_assert!(added.is_ok());
        }
        for (class, count) in other.errors {
            *self.errors.entry(class).or_default() += count;
        }
        self.timeline.merge(other.timeline);
    }

    /// Operations that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// The share of samples that took less than so long, from 0 to 1; 1 where there are none.
    #[must_use]
    pub fn share_under(&self, time: Duration) -> f64 {
        let Some(took) = self.took.as_ref().filter(|took| !took.is_empty()) else { return 1.0 };
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        took.quantile_below(nanos.saturating_sub(1))
    }
}

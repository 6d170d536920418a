//! How long things take.

use core::time::Duration;

use hdrhistogram::Histogram;

use super::ring::{Ring, Slot, Window};
use super::shards::Shards;
use crate::clock::nanos;

/// Values below this are not told apart; percentiles are exact to 1 % above about 16 us.
const FINEST: u64 = 64;
/// Percentiles count what is longer as this. Minimum, mean and maximum stay exact.
const LONGEST: u64 = 60_000_000_000;

/// Exact figures, which a histogram has only nearly.
#[derive(Clone, Copy, Debug)]
struct Exact {
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

impl Default for Exact {
    fn default() -> Self {
        Self { count: 0, sum: 0, min: u64::MAX, max: 0 }
    }
}

impl Exact {
    fn record(&mut self, took: u64) {
        self.count += 1;
        self.sum += u128::from(took);
        self.min = self.min.min(took);
        self.max = self.max.max(took);
    }

    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    fn mean(&self) -> Duration {
        let mean = self.sum.checked_div(u128::from(self.count)).unwrap_or(0);
        Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX))
    }
}

#[derive(Clone, Debug, Default)]
struct LatencySlot {
    exact: Exact,
    /// Made by the first recording, then kept.
    histogram: Option<Histogram<u32>>,
}

impl LatencySlot {
    fn record(&mut self, took: u64) {
        self.exact.record(took);
        if self.histogram.is_none() {
            self.histogram = Histogram::new_with_bounds(FINEST, LONGEST, 2).ok();
        }
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record(took.min(LONGEST));
        }
    }
}

impl Slot for LatencySlot {
    fn clear(&mut self) {
        if self.exact.count > 0 {
            self.exact = Exact::default();
            if let Some(histogram) = &mut self.histogram {
                histogram.reset();
            }
        }
    }
}

/// Latencies of a window of time, and simple figures since the start.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::monitor::{Latencies, Window};
///
/// let mut latencies = Latencies::new(Window::default());
/// for millis in 1..=1000 {
///     latencies.record(Duration::from_millis(millis), Duration::from_secs(5));
/// }
/// let report = latencies.report(Duration::from_secs(5));
/// assert_eq!(report.max, Duration::from_millis(1000));
/// assert!((980..=1000).contains(&report.p99.as_millis()));
/// assert_eq!(latencies.report(Duration::from_secs(100)).count, 0); // it has slid on
/// ```
#[derive(Clone, Debug)]
pub struct Latencies {
    ring: Ring<LatencySlot>,
    overall: Exact,
}

/// Latencies as they were when asked for. All are zero where nothing was recorded.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::monitor::{Latencies, Window};
///
/// let mut latencies = Latencies::new(Window::default());
/// for millis in 1..=100 {
///     latencies.record(Duration::from_millis(millis), Duration::ZERO);
/// }
/// let report = latencies.report(Duration::ZERO);
/// assert_eq!((report.count, report.overall_max), (100, Duration::from_millis(100)));
/// assert!(report.p50 < report.p99 && report.p99 <= report.p999);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LatencyReport {
    /// How many in the window.
    pub count: u64,
    /// Their mean, exact.
    pub mean: Duration,
    /// The shortest, exact.
    pub min: Duration,
    /// The longest, exact.
    pub max: Duration,
    /// Half took no longer; this and the other percentiles are good to 1 %.
    pub p50: Duration,
    /// 95 % took no longer.
    pub p95: Duration,
    /// 99 % took no longer.
    pub p99: Duration,
    /// 99.9 % took no longer.
    pub p999: Duration,
    /// How many since the start or the last reset.
    pub overall_count: u64,
    /// Their mean, exact.
    pub overall_mean: Duration,
    /// The shortest of them, exact.
    pub overall_min: Duration,
    /// The longest of them, exact.
    pub overall_max: Duration,
}

impl Latencies {
    /// Nothing recorded yet.
    #[must_use]
    pub fn new(window: Window) -> Self {
        Self { ring: Ring::new(window), overall: Exact::default() }
    }

    /// Records that something that ended at `now` took so long.
    pub fn record(&mut self, took: Duration, now: Duration) {
        let took = nanos(took);
        self.overall.record(took);
        self.ring.slot(now).record(took);
    }

    /// The figures at `now`.
    #[must_use]
    pub fn report(&self, now: Duration) -> LatencyReport {
        let mut sum = Sum::default();
        sum.add(self, now);
        sum.report()
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.ring.clear();
        self.overall = Exact::default();
    }
}

/// Adds up shards.
#[derive(Default)]
pub(super) struct Sum {
    window: Exact,
    overall: Exact,
    histogram: Option<Histogram<u64>>,
}

impl Sum {
    pub(super) fn add(&mut self, latencies: &Latencies, now: Duration) {
        self.overall.add(&latencies.overall);
        for slot in latencies.ring.live(now).filter(|slot| slot.exact.count > 0) {
            self.window.add(&slot.exact);
            if self.histogram.is_none() {
                self.histogram = Histogram::new_with_bounds(FINEST, LONGEST, 2).ok();
            }
            if let (Some(sum), Some(part)) = (&mut self.histogram, &slot.histogram) {
                for value in part.iter_recorded() {
                    let times = u64::from(value.count_at_value());
                    sum.saturating_record_n(value.value_iterated_to(), times);
                }
            }
        }
    }

    pub(super) fn report(&self) -> LatencyReport {
        let (window, overall) = (&self.window, &self.overall);
        let least = |exact: &Exact| Duration::from_nanos(exact.min.min(exact.max));
        let quantile = |share: f64| {
            let value = self.histogram.as_ref().map_or(0, |sum| sum.value_at_quantile(share));
            // A bucket's upper end may lie beyond the longest; the longest of all may lie beyond
            // the histogram.
            Duration::from_nanos(value.clamp(window.min.min(window.max), window.max))
        };
        LatencyReport {
            count: window.count,
            mean: window.mean(),
            min: least(window),
            max: Duration::from_nanos(window.max),
            p50: quantile(0.5),
            p95: quantile(0.95),
            p99: quantile(0.99),
            p999: quantile(0.999),
            overall_count: overall.count,
            overall_mean: overall.mean(),
            overall_min: least(overall),
            overall_max: Duration::from_nanos(overall.max),
        }
    }
}

/// [`Latencies`] that many threads record to.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::monitor::{LatencyTracker, Window};
///
/// let tracker = LatencyTracker::new(Window::default(), 4);
/// tracker.record(Duration::from_millis(3), Duration::from_secs(1));
/// assert_eq!(tracker.report(Duration::from_secs(1)).min, Duration::from_millis(3));
/// ```
#[derive(Debug)]
pub struct LatencyTracker(Shards<Latencies>);

impl LatencyTracker {
    /// Nothing recorded yet; `shards` from 1 to 64, about as many as threads record at once.
    #[must_use]
    pub fn new(window: Window, shards: usize) -> Self {
        Self(Shards::new(shards, || Latencies::new(window)))
    }

    /// Records that something that ended at `now` took so long.
    pub fn record(&self, took: Duration, now: Duration) {
        self.0.write(|latencies| latencies.record(took, now));
    }

    /// The figures at `now`.
    #[must_use]
    pub fn report(&self, now: Duration) -> LatencyReport {
        let mut sum = Sum::default();
        self.0.each(|latencies| sum.add(latencies, now));
        sum.report()
    }

    /// Forgets everything.
    pub fn reset(&self) {
        self.0.each(Latencies::reset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_has_the_size_that_the_bound_is_made_of() {
        let mut slot = LatencySlot::default();
        (0..63).for_each(|bit| slot.record(1 << bit));
        let counters = slot.histogram.unwrap().distinct_values();
        assert!(counters * size_of::<u32>() <= 12_600, "{counters}");
    }
}

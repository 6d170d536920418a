//! How much is done.

use core::time::Duration;

use super::ring::{Ring, Slot, Window};
use super::shards::Shards;

/// The most seconds that can be looked back on: the ring has one slot a second, and one more for
/// the second that is being filled.
const MOST_SECONDS: u32 = 59;

#[derive(Clone, Copy, Debug, Default)]
struct Done(u64);

impl Slot for Done {
    fn clear(&mut self) {
        self.0 = 0;
    }
}

/// What was done: since the start, and in the last seconds.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::monitor::Throughput;
///
/// let mut throughput = Throughput::new(10, Duration::ZERO);
/// for second in 0..100 {
///     throughput.record(5, Duration::from_secs(second));
/// }
/// let report = throughput.report(Duration::from_secs(100));
/// assert_eq!((report.overall, report.recent), (5.0, 5.0));
/// ```
#[derive(Clone, Debug)]
pub struct Throughput {
    ring: Ring<Done>,
    total: u64,
    start: Duration,
}

/// Throughput as it was when asked for.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::monitor::Throughput;
///
/// let mut throughput = Throughput::new(10, Duration::ZERO);
/// throughput.record(50, Duration::from_secs(1));
/// let report = throughput.report(Duration::from_secs(100));
/// assert_eq!((report.total, report.recent_total, report.overall), (50, 0, 0.5));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ThroughputReport {
    /// What was done since the start.
    pub total: u64,
    /// What was done in the last seconds.
    pub recent_total: u64,
    /// A second, since the start.
    pub overall: f64,
    /// A second, in the last seconds.
    pub recent: f64,
}

impl Throughput {
    /// Nothing done since `start`. Looks back on `seconds`, from 1 to 59, and on the part of a
    /// second that has begun.
    #[must_use]
    pub fn new(seconds: u32, start: Duration) -> Self {
        let slots = seconds.clamp(1, MOST_SECONDS) + 1;
        let window = Window { span: Duration::from_secs(1) * slots, slots };
        Self { ring: Ring::new(window), total: 0, start }
    }

    /// So much was done by `now`.
    pub fn record(&mut self, done: u64, now: Duration) {
        self.total += done;
        self.ring.slot(now).0 += done;
    }

    /// The figures at `now`.
    #[must_use]
    pub fn report(&self, now: Duration) -> ThroughputReport {
        let mut report = ThroughputReport::default();
        self.add_to(&mut report, now);
        report
    }

    pub(super) fn add_to(&self, report: &mut ThroughputReport, now: Duration) {
        let recent: u64 = self.ring.live(now).map(|done| done.0).sum();
        report.total += self.total;
        report.recent_total += recent;
        report.overall += per_second(self.total, now.saturating_sub(self.start));
        let from = self.ring.begins(now).max(self.start);
        report.recent += per_second(recent, now.saturating_sub(from));
    }

    /// Forgets everything; `now` is the new start.
    pub fn reset(&mut self, now: Duration) {
        self.ring.clear();
        self.total = 0;
        self.start = now;
    }
}

/// Less than a second counts as one, so that the first call does not look like a million.
#[allow(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
fn per_second(done: u64, time: Duration) -> f64 {
    done as f64 / time.as_secs_f64().max(1.0)
}

/// [`Throughput`] that many threads record to.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::monitor::ThroughputTracker;
///
/// let tracker = ThroughputTracker::new(10, 4, Duration::ZERO);
/// tracker.record(30, Duration::from_secs(2));
/// assert_eq!(tracker.report(Duration::from_secs(3)).overall, 10.0);
/// ```
#[derive(Debug)]
pub struct ThroughputTracker(Shards<Throughput>);

impl ThroughputTracker {
    /// Nothing done since `start`; looks back on `seconds`, from 1 to 59; `shards` from 1 to 64.
    #[must_use]
    pub fn new(seconds: u32, shards: usize, start: Duration) -> Self {
        Self(Shards::new(shards, || Throughput::new(seconds, start)))
    }

    /// So much was done by `now`.
    pub fn record(&self, done: u64, now: Duration) {
        self.0.write(|throughput| throughput.record(done, now));
    }

    /// The figures at `now`.
    #[must_use]
    pub fn report(&self, now: Duration) -> ThroughputReport {
        let mut report = ThroughputReport::default();
        self.0.each(|throughput| throughput.add_to(&mut report, now));
        report
    }

    /// Forgets everything; `now` is the new start.
    pub fn reset(&self, now: Duration) {
        self.0.each(|throughput| throughput.reset(now));
    }
}

//! How often things fail, and how.

use core::time::Duration;

use super::ring::{Ring, Slot, Window};
use super::shards::Shards;
use super::status::HealthPolicy;
use crate::error::ErrorClass;

/// The classes in the order in which they are counted.
const CLASSES: [ErrorClass; 6] = [
    ErrorClass::Temporary,
    ErrorClass::Permanent,
    ErrorClass::Timeout,
    ErrorClass::CircuitOpen,
    ErrorClass::RateLimited { retry_after: None },
    ErrorClass::Overloaded,
];

const fn place(class: ErrorClass) -> usize {
    match class {
        ErrorClass::Temporary => 0,
        ErrorClass::Permanent => 1,
        ErrorClass::Timeout => 2,
        ErrorClass::CircuitOpen => 3,
        ErrorClass::RateLimited { .. } => 4,
        ErrorClass::Overloaded => 5,
    }
}

/// How many errors of each class. How long a rate limit lasts makes no class of its own.
///
/// See [`ErrorReport`] for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorsByClass([u64; CLASSES.len()]);

impl ErrorsByClass {
    fn count(&mut self, class: ErrorClass) {
        if let Some(counter) = self.0.get_mut(place(class)) {
            *counter += 1;
        }
    }

    fn add(&mut self, other: &Self) {
        for (sum, part) in self.0.iter_mut().zip(other.0) {
            *sum += part;
        }
    }

    /// How many of this class.
    #[must_use]
    pub fn of(&self, class: ErrorClass) -> u64 {
        self.0.get(place(class)).copied().unwrap_or(0)
    }

    /// How many of all classes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Every class with its number; a class's `retry_after` is none.
    pub fn iter(&self) -> impl Iterator<Item = (ErrorClass, u64)> {
        CLASSES.into_iter().zip(self.0)
    }

    /// The class of most errors; of several that are equal the first in [`ErrorClass`].
    #[must_use]
    pub fn most_common(&self) -> Option<ErrorClass> {
        let mut best = (None, 0);
        for (class, count) in self.iter() {
            if count > best.1 {
                best = (Some(class), count);
            }
        }
        best.0
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    calls: u64,
    errors: ErrorsByClass,
}

impl Counts {
    fn record(&mut self, outcome: Result<(), ErrorClass>) {
        self.calls += 1;
        if let Err(class) = outcome {
            self.errors.count(class);
        }
    }

    fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.errors.add(&other.errors);
    }
}

impl Slot for Counts {
    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The last thing that failed.
///
/// See [`ErrorReport`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastError {
    /// How.
    pub class: ErrorClass,
    /// When, since the start of the clock.
    pub at: Duration,
}

/// Calls and errors: since the start, and in a window of time.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::ErrorClass;
/// use ironlight_hardening::monitor::{ErrorRates, Window};
///
/// let mut errors = ErrorRates::new(Window::default());
/// let now = Duration::from_secs(7);
/// errors.record(Ok(()), now);
/// errors.record(Err(ErrorClass::Timeout), now);
/// let report = errors.report(now);
/// assert_eq!(report.rate(), 0.5);
/// assert_eq!(report.most_common(), Some(ErrorClass::Timeout));
/// assert_eq!(report.last.map(|last| last.at), Some(now));
/// ```
#[derive(Clone, Debug)]
pub struct ErrorRates {
    ring: Ring<Counts>,
    overall: Counts,
    last: Option<LastError>,
}

/// Calls and errors as they were when asked for.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::ErrorClass;
/// use ironlight_hardening::monitor::{ErrorRates, Window};
///
/// let (mut rates, now) = (ErrorRates::new(Window::default()), Duration::from_secs(9));
/// rates.record(Ok(()), now);
/// rates.record(Err(ErrorClass::Timeout), now);
/// let report = rates.report(now);
/// assert_eq!((report.calls, report.total(), report.rate()), (2, 1, 0.5));
/// assert_eq!(report.most_common(), Some(ErrorClass::Timeout));
/// assert_eq!(report.by_class.of(ErrorClass::Timeout), 1);
/// assert_eq!(report.last.unwrap().at, now);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorReport {
    /// Calls since the start or the last reset, those that failed too.
    pub calls: u64,
    /// Errors since the start or the last reset.
    pub by_class: ErrorsByClass,
    /// The last one.
    pub last: Option<LastError>,
    /// Calls in the window.
    pub window_calls: u64,
    /// Errors in the window.
    pub window_by_class: ErrorsByClass,
}

impl ErrorReport {
    /// All errors.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_class.total()
    }

    /// The class of most errors.
    #[must_use]
    pub fn most_common(&self) -> Option<ErrorClass> {
        self.by_class.most_common()
    }

    /// The part of all calls that failed, from 0 to 1; 0 where there were none.
    #[must_use]
    pub fn rate(&self) -> f64 {
        share(self.by_class.total(), self.calls)
    }

    /// The part of the window's calls that failed, from 0 to 1; 0 where there were none.
    #[must_use]
    pub fn window_rate(&self) -> f64 {
        share(self.window_by_class.total(), self.window_calls)
    }

    /// The window's failures that count for health under a policy.
    pub(super) fn counted(&self, policy: &HealthPolicy) -> u64 {
        self.window_by_class
            .iter()
            .filter(|(class, _)| (policy.counts)(*class))
            .map(|(_, n)| n)
            .sum()
    }
}

/// A part of a whole, 0 where there is no whole. Above 2^53 the last digits go.
#[allow(clippy::cast_precision_loss, reason = "a ratio of counts needs no more than 53 bits")]
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl ErrorRates {
    /// Nothing recorded yet.
    #[must_use]
    pub fn new(window: Window) -> Self {
        Self { ring: Ring::new(window), overall: Counts::default(), last: None }
    }

    /// Records a call that ended at `now`.
    pub fn record(&mut self, outcome: Result<(), ErrorClass>, now: Duration) {
        self.overall.record(outcome);
        self.ring.slot(now).record(outcome);
        if let Err(class) = outcome {
            self.last = Some(LastError { class, at: now });
        }
    }

    /// The figures at `now`.
    #[must_use]
    pub fn report(&self, now: Duration) -> ErrorReport {
        let mut report = ErrorReport::default();
        self.add_to(&mut report, now);
        report
    }

    pub(super) fn add_to(&self, report: &mut ErrorReport, now: Duration) {
        report.calls += self.overall.calls;
        report.by_class.add(&self.overall.errors);
        let mut window = Counts::default();
        self.ring.live(now).for_each(|slot| window.add(slot));
        report.window_calls += window.calls;
        report.window_by_class.add(&window.errors);
        let later = |last: &LastError| report.last.is_none_or(|known| known.at < last.at);
        if let Some(last) = self.last.filter(later) {
            report.last = Some(last);
        }
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.ring.clear();
        self.overall = Counts::default();
        self.last = None;
    }
}

/// [`ErrorRates`] that many threads record to.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::ErrorClass;
/// use ironlight_hardening::monitor::{ErrorRateTracker, Window};
///
/// let tracker = ErrorRateTracker::new(Window::default(), 4);
/// tracker.record(Err(ErrorClass::Temporary), Duration::ZERO);
/// assert_eq!(tracker.report(Duration::ZERO).total(), 1);
/// tracker.reset();
/// assert_eq!(tracker.report(Duration::ZERO).total(), 0);
/// ```
#[derive(Debug)]
pub struct ErrorRateTracker(Shards<ErrorRates>);

impl ErrorRateTracker {
    /// Nothing recorded yet; `shards` from 1 to 64.
    #[must_use]
    pub fn new(window: Window, shards: usize) -> Self {
        Self(Shards::new(shards, || ErrorRates::new(window)))
    }

    /// Records a call that ended at `now`.
    pub fn record(&self, outcome: Result<(), ErrorClass>, now: Duration) {
        self.0.write(|errors| errors.record(outcome, now));
    }

    /// The figures at `now`.
    #[must_use]
    pub fn report(&self, now: Duration) -> ErrorReport {
        let mut report = ErrorReport::default();
        self.0.each(|errors| errors.add_to(&mut report, now));
        report
    }

    /// Forgets everything.
    pub fn reset(&self) {
        self.0.each(ErrorRates::reset);
    }
}

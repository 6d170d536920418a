//! Windows that slide: over the last calls, or over the last stretch of time.
//!
//! Invariant: the totals are the sum of what lies in the window. Counting a call takes constant
//! time; in the window of time, what has passed is taken out slice by slice, each slice once.
//!
//! What an attacker can grow: nothing; both have the size that they were made with.

use core::time::Duration;

use crate::clock::nanos;

/// What a breaker looks back on.
///
/// See [`BreakerConfig`](super::BreakerConfig) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// The last so many calls; a byte of memory each. None counts as one.
    Calls(u32),
    /// The last stretch of time. It is cut into slices and slides by whole slices: what is older
    /// than `length` never counts, what is younger than `length` less one slice always does.
    Time {
        /// How far it looks back.
        length: Duration,
        /// How many slices it is cut into, of 24 bytes each. None counts as one.
        slices: u16,
    },
}

/// How calls went.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::circuit_breaker::{BreakerConfig, CircuitBreaker, Outcome};
///
/// let breaker = CircuitBreaker::new(BreakerConfig::default(), 1);
/// for outcome in [Outcome::Success, Outcome::Failure, Outcome::Ignored] {
///     breaker.permit(Duration::ZERO).unwrap().finish(outcome, Duration::ZERO);
/// }
/// let tally = breaker.status(Duration::ZERO).window;
/// assert_eq!((tally.calls, tally.failures), (2, 1));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All calls that count.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// Those that took long.
    pub slow: u64,
}

impl Tally {
    const fn add(&mut self, failed: bool, slow: bool) {
        self.calls += 1;
        self.failures += failed as u64;
        self.slow += slow as u64;
    }

    const fn remove(&mut self, other: Self) {
        self.calls -= other.calls;
        self.failures -= other.failures;
        self.slow -= other.slow;
    }
}

/// Either of the two.
#[derive(Clone, Debug)]
pub(crate) enum Sliding {
    Calls(CallWindow),
    Time(TimeWindow),
}

impl Sliding {
    pub(crate) fn new(window: Window) -> Self {
        match window {
            Window::Calls(calls) => Self::Calls(CallWindow::new(calls)),
            Window::Time { length, slices } => Self::Time(TimeWindow::new(length, slices)),
        }
    }

    /// Counts one call and says what lies in the window now.
    pub(crate) fn record(&mut self, failed: bool, slow: bool, now: u64) -> Tally {
        match self {
            Self::Calls(window) => window.record(failed, slow),
            Self::Time(window) => window.record(failed, slow, now),
        }
    }

    pub(crate) fn tally(&mut self, now: u64) -> Tally {
        match self {
            Self::Calls(window) => window.total,
            Self::Time(window) => window.tally(now),
        }
    }

    /// Counts calls that succeeded before the slice of now ended.
    pub(crate) fn count_successes(&mut self, calls: u64) {
        match self {
            Self::Calls(window) => {
                let all = u64::try_from(window.ring.len()).unwrap_or(u64::MAX);
                for _ in 0..calls.min(all) {
                    window.record(false, false);
                }
            }
            Self::Time(window) => {
                if let Some(slice) = window.ring.get_mut(window.head) {
                    slice.calls += calls;
                    window.total.calls += calls;
                }
            }
        }
    }

    pub(crate) const fn total(&self) -> Tally {
        match self {
            Self::Calls(window) => window.total,
            Self::Time(window) => window.total,
        }
    }

    /// From then on it slides when a call is counted.
    pub(crate) const fn slice_ends(&self) -> u64 {
        match self {
            Self::Calls(_) => u64::MAX,
            Self::Time(window) => window.ends,
        }
    }

    pub(crate) fn clear(&mut self) {
        match self {
            Self::Calls(window) => window.clear(),
            Self::Time(window) => window.clear(),
        }
    }
}

const SEEN: u8 = 1;
const FAILED: u8 = 2;
const SLOW: u8 = 4;

/// The last calls, in a ring of one byte each.
#[derive(Clone, Debug)]
pub(crate) struct CallWindow {
    ring: Box<[u8]>,
    next: usize,
    total: Tally,
}

impl CallWindow {
    fn new(calls: u32) -> Self {
        let calls = usize::try_from(calls.max(1)).unwrap_or(usize::MAX);
        Self { ring: vec![0; calls].into(), next: 0, total: Tally::default() }
    }

    fn record(&mut self, failed: bool, slow: bool) -> Tally {
        let new = SEEN | if failed { FAILED } else { 0 } | if slow { SLOW } else { 0 };
        if let Some(place) = self.ring.get_mut(self.next) {
            let old = core::mem::replace(place, new);
            self.total.add(failed, slow);
            self.total.remove(Tally {
                calls: u64::from(old & SEEN),
                failures: u64::from((old & FAILED) / FAILED),
                slow: u64::from((old & SLOW) / SLOW),
            });
        }
        self.next += 1;
        if self.next >= self.ring.len() {
            self.next = 0;
        }
        self.total
    }

    fn clear(&mut self) {
        self.ring.fill(0);
        self.total = Tally::default();
    }
}

/// The last stretch of time, in a ring of slices.
#[derive(Clone, Debug)]
pub(crate) struct TimeWindow {
    ring: Box<[Tally]>,
    /// The slice that now lies in, and when it ends.
    head: usize,
    ends: u64,
    slice: u64,
    total: Tally,
}

impl TimeWindow {
    pub(crate) fn new(length: Duration, slices: u16) -> Self {
        let slices = slices.max(1);
        let slice = (nanos(length) / u64::from(slices)).max(1);
        let ring = vec![Tally::default(); usize::from(slices)].into();
        Self { ring, head: 0, ends: slice, slice, total: Tally::default() }
    }

    /// Counts one call. A time before the slice of now counts as now.
    pub(crate) fn record(&mut self, failed: bool, slow: bool, now: u64) -> Tally {
        if now >= self.ends {
            self.slide(now);
        }
        if let Some(slice) = self.ring.get_mut(self.head) {
            slice.add(failed, slow);
            self.total.add(failed, slow);
        }
        self.total
    }

    pub(crate) fn tally(&mut self, now: u64) -> Tally {
        if now >= self.ends {
            self.slide(now);
        }
        self.total
    }

    #[cold]
    fn slide(&mut self, now: u64) {
        let passed = (now - self.ends) / self.slice + 1;
        let whole = u64::try_from(self.ring.len()).unwrap_or(u64::MAX);
        for _ in 0..passed.min(whole) {
            self.head += 1;
            if self.head >= self.ring.len() {
                self.head = 0;
            }
            if let Some(slice) = self.ring.get_mut(self.head) {
                self.total.remove(core::mem::take(slice));
            }
        }
        self.ends = self.ends.saturating_add(passed.saturating_mul(self.slice));
    }

    pub(crate) fn clear(&mut self) {
        self.ring.fill(Tally::default());
        self.total = Tally::default();
    }
}

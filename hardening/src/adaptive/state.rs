//! The limit, without a clock and without locks.
//!
//! Time is cut into windows. When one ends, the mean time of its answers is compared with the
//! baseline, the mean time without load: `limit * (1 - baseline / mean)` is an estimate of how many
//! requests waited. From time to time the limit is halved for one window, to measure the baseline
//! anew: else a service that has become slower for good would be taken for an overloaded one.
//!
//! Invariant: no more are let in than the limit, and the limit stays within its bounds.
//!
//! What an attacker can grow: nothing; the state has a fixed size.

use core::time::Duration;

use crate::clock::nanos;
use crate::error::ErrorClass;

/// Within what the limit is sought, and how.
///
/// See [`AdaptiveState`] for an example.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveConfig {
    /// The limit to begin with.
    pub initial: u32,
    /// It never goes below this. None counts as one.
    pub min: u32,
    /// It never goes above this.
    pub max: u32,
    /// So often it may change.
    pub window: Duration,
    /// Windows go on until they have so many answers.
    pub min_answers: u32,
    /// What is left of it after a window in which the service was overloaded.
    pub backoff: f64,
    /// The baseline is measured anew after so many windows.
    pub probe_every: u32,
}

impl Default for AdaptiveConfig {
    /// From 20, within 2 to 1000; windows of 100 ms and 10 answers; a tenth less on overload; the
    /// baseline anew after 100 windows.
    fn default() -> Self {
        Self {
            initial: 20,
            min: 2,
            max: 1000,
            window: Duration::from_millis(100),
            min_answers: 10,
            backoff: 0.9,
            probe_every: 100,
        }
    }
}

/// How a request ended, as far as the limit cares.
///
/// ```
/// use ironlight_hardening::ErrorClass;
/// use ironlight_hardening::adaptive::Ended;
///
/// assert_eq!(Ended::from(ErrorClass::Timeout), Ended::Overloaded);
/// assert_eq!(Ended::from(ErrorClass::Permanent), Ended::Otherwise);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// With an answer; how long it took matters.
    Answered,
    /// The service had too much to do, or did not answer in time.
    Overloaded,
    /// In a way that says nothing about the load.
    Otherwise,
}

impl From<ErrorClass> for Ended {
    fn from(class: ErrorClass) -> Self {
        match class {
            ErrorClass::Overloaded | ErrorClass::Timeout => Self::Overloaded,
            ErrorClass::Temporary
            | ErrorClass::Permanent
            | ErrorClass::CircuitOpen
            | ErrorClass::RateLimited { .. } => Self::Otherwise,
        }
    }
}

/// What can be said about a limit.
///
/// The [module](super) has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdaptiveStatus {
    /// The limit.
    pub limit: u32,
    /// How many are being done.
    pub in_flight: u32,
    /// How long an answer takes without load, once that is known.
    pub baseline: Option<Duration>,
    /// How many were refused, in all.
    pub refused: u64,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    began: u64,
    time: u64,
    answers: u32,
    overloaded: bool,
    most_in_flight: u32,
}

/// The state machine. [`AdaptiveLimit`](super::AdaptiveLimit) shares one.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::adaptive::{AdaptiveConfig, AdaptiveState, Ended};
///
/// let config = AdaptiveConfig { initial: 1, min: 1, ..AdaptiveConfig::default() };
/// let mut state = AdaptiveState::new(config);
/// assert!(state.enter());
/// assert!(!state.enter());
/// state.leave(Ended::Answered, Duration::ZERO, Duration::from_millis(3));
/// assert!(state.enter());
/// ```
#[derive(Clone, Debug)]
pub struct AdaptiveState {
    config: AdaptiveConfig,
    limit: f64,
    /// In whole requests.
    admits: u32,
    in_flight: u32,
    baseline: Option<f64>,
    seen: Seen,
    windows: u32,
    /// The limit from before the baseline was to be measured.
    probing: Option<f64>,
    refused: u64,
}

impl AdaptiveState {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(config: AdaptiveConfig) -> Self {
        let seen = Seen { began: 0, time: 0, answers: 0, overloaded: false, most_in_flight: 0 };
        let mut state = Self {
            config,
            limit: 0.0,
            admits: 0,
            in_flight: 0,
            baseline: None,
            seen,
            windows: 0,
            probing: None,
            refused: 0,
        };
        state.set(f64::from(config.initial));
        state
    }

    /// Lets one more in, if the limit allows it.
    pub const fn enter(&mut self) -> bool {
        if self.in_flight >= self.admits {
            self.refused += 1;
            return false;
        }
        self.in_flight += 1;
        if self.seen.most_in_flight < self.in_flight {
            self.seen.most_in_flight = self.in_flight;
        }
        true
    }

    /// One is out again that came in at `began`. A time before `began` counts as none.
    pub fn leave(&mut self, ended: Ended, began: Duration, now: Duration) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let (began, now) = (nanos(began), nanos(now));
        match ended {
            Ended::Otherwise => return,
            // While the baseline is measured, those from before waited among more.
            Ended::Answered if self.probing.is_some() && began < self.seen.began => {}
            Ended::Answered => {
                self.seen.answers = self.seen.answers.saturating_add(1);
                self.seen.time = self.seen.time.saturating_add(now.saturating_sub(began));
            }
            Ended::Overloaded => self.seen.overloaded = true,
        }
        let over = now.saturating_sub(self.seen.began) >= nanos(self.config.window);
        let enough = self.seen.answers >= self.config.min_answers.max(1);
        if over && (enough || self.seen.overloaded) {
            self.end_window(now);
        }
    }

    /// One is out again of which nothing is known.
    pub const fn abandon(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// The limit.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.admits
    }

    /// What can be said about it.
    #[must_use]
    pub fn status(&self) -> AdaptiveStatus {
        AdaptiveStatus {
            limit: self.admits,
            in_flight: self.in_flight,
            baseline: self.baseline.map(|nanos| Duration::from_secs_f64(nanos / 1e9)),
            refused: self.refused,
        }
    }

    fn end_window(&mut self, now: u64) {
        let most_in_flight = self.in_flight;
        let next = Seen { began: now, time: 0, answers: 0, overloaded: false, most_in_flight };
        let seen = core::mem::replace(&mut self.seen, next);
        let mean = mean_of(&seen);
        if let Some(before) = self.probing.take() {
            self.baseline = mean.or(self.baseline);
            self.set(if seen.overloaded { before * self.config.backoff } else { before });
            return;
        }
        if let Some(mean) = mean {
            self.baseline = Some(self.baseline.map_or(mean, |baseline| baseline.min(mean)));
        }
        self.set(self.judge(&seen, mean));
        self.windows += 1;
        if self.windows >= self.config.probe_every.max(1) {
            self.windows = 0;
            self.probing = Some(self.limit);
            self.set(self.limit / 2.0);
        }
    }

    fn judge(&self, seen: &Seen, mean: Option<f64>) -> f64 {
        if seen.overloaded {
            return self.limit * self.config.backoff;
        }
        let (Some(mean), Some(baseline)) = (mean, self.baseline) else { return self.limit };
        let step = self.limit.log10().max(1.0);
        let queue = self.limit * (1.0 - baseline / mean.max(1.0));
        // Vegas' alpha and beta: between three and six of them may wait.
        if queue > 6.0 * step {
            self.limit - step
        } else if queue < 3.0 * step && f64::from(seen.most_in_flight) * 2.0 >= self.limit {
            self.limit + step
        } else {
            self.limit
        }
    }

    fn set(&mut self, limit: f64) {
        let min = self.config.min.max(1);
        let max = self.config.max.max(min);
        self.limit = limit.max(f64::from(min)).min(f64::from(max));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between two u32"
        )]
        let admits = self.limit as u32;
        self.admits = admits;
    }
}

#[expect(clippy::cast_precision_loss, reason = "a mean of times need not be exact")]
fn mean_of(seen: &Seen) -> Option<f64> {
    (seen.answers > 0).then(|| seen.time as f64 / f64::from(seen.answers))
}

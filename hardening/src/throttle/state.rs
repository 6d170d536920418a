//! The chance to be refused, without a clock and without locks.
//!
//! Invariant: what counts is what ended, or was refused here, within the window. Requests under
//! way do not count yet, so that many at once after a pause are not taken for refused ones.
//!
//! What an attacker can grow: nothing; the state has a fixed size.

use core::time::Duration;

use crate::chance::Chance;
use crate::circuit_breaker::TimeWindow;
use crate::clock::nanos;

/// How much may be asked.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::throttle::{ThrottleConfig, ThrottleState};
///
/// let config = ThrottleConfig { k: 2.0, ..ThrottleConfig::default() };
/// let mut state = ThrottleState::new(config, 1);
/// for _ in 0..99 {
///     if state.admits(Duration::ZERO) {
///         state.record(false, Duration::ZERO);
///     }
/// }
/// let status = state.status(Duration::ZERO);
/// assert_eq!(status.accepts, 0);
/// assert!(status.refusal > 0.9, "nothing was accepted");
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ThrottleConfig {
    /// So many times as many requests as are accepted. The less, the fewer are sent in vain, and
    /// the later it is seen that it works again.
    pub k: f64,
    /// How far it looks back.
    pub window: Duration,
    /// How many slices the window is cut into; it slides by whole slices.
    pub slices: u16,
}

impl Default for ThrottleConfig {
    /// Twice as many, over two minutes, as in the book.
    fn default() -> Self {
        Self { k: 2.0, window: Duration::from_secs(120), slices: 24 }
    }
}

/// What was asked and accepted within the window.
///
/// See [`ThrottleConfig`] for an example.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ThrottleStatus {
    /// Requests that ended or were refused here.
    pub requests: u64,
    /// Those that the other side accepted.
    pub accepts: u64,
    /// The chance that the next one is refused here, from 0 to 1.
    pub refusal: f64,
}

/// The state machine. [`ClientThrottle`](super::ClientThrottle) shares one.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::throttle::{ThrottleConfig, ThrottleState};
///
/// let mut throttle = ThrottleState::new(ThrottleConfig::default(), 1);
/// for _ in 0..9 {
///     throttle.record(false, Duration::ZERO);
/// }
/// assert_eq!(throttle.status(Duration::ZERO).refusal, 0.9);
/// ```
#[derive(Clone, Debug)]
pub struct ThrottleState {
    k: f64,
    requests: TimeWindow,
    accepts: TimeWindow,
    chance: Chance,
}

impl ThrottleState {
    /// Nothing was asked yet. The seed decides which requests are refused.
    #[must_use]
    pub fn new(config: ThrottleConfig, seed: u64) -> Self {
        Self {
            k: config.k,
            requests: TimeWindow::new(config.window, config.slices),
            accepts: TimeWindow::new(config.window, config.slices),
            chance: Chance::new(seed),
        }
    }

    /// Whether to send a request. One that is not sent counts as a request.
    pub fn admits(&mut self, now: Duration) -> bool {
        let refusal = self.status(now).refusal;
        let admits = !self.chance.happens(refusal);
        if !admits {
            self.requests.record(false, false, nanos(now));
        }
        admits
    }

    /// Counts a request that was sent, and whether the other side accepted it.
    pub fn record(&mut self, accepted: bool, now: Duration) {
        self.requests.record(false, false, nanos(now));
        if accepted {
            self.accepts.record(false, false, nanos(now));
        }
    }

    /// What was asked and accepted. (It takes what has passed out of the window.)
    #[expect(clippy::cast_precision_loss, reason = "counts of two minutes are far below 2^53")]
    pub fn status(&mut self, now: Duration) -> ThrottleStatus {
        let requests = self.requests.tally(nanos(now)).calls;
        let accepts = self.accepts.tally(nanos(now)).calls;
        let beyond = self.k.mul_add(-(accepts as f64), requests as f64);
        let refusal = (beyond / (requests + 1) as f64).max(0.0);
        ThrottleStatus { requests, accepts, refusal }
    }
}

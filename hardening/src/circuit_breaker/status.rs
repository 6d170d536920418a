//! What is told of a breaker: its state, its changes and why.

use core::time::Duration;

use super::window::Tally;
use crate::error::ErrorClass;

/// Whether calls go through.
///
/// The [module](super) has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CircuitState {
    /// All calls go through.
    Closed,
    /// None does.
    Open,
    /// A few do, to see whether it works again.
    HalfOpen,
}

impl CircuitState {
    /// A short fixed name, for metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// How a call ended, as far as the breaker cares.
///
/// ```
/// use ironlight_hardening::ErrorClass;
/// use ironlight_hardening::circuit_breaker::Outcome;
///
/// assert_eq!(Outcome::from(ErrorClass::Timeout), Outcome::Failure);
/// assert_eq!(Outcome::from(ErrorClass::Permanent), Outcome::Ignored);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The other side did what was asked.
    Success,
    /// The other side failed.
    Failure,
    /// It says nothing about the other side.
    Ignored,
}

impl From<ErrorClass> for Outcome {
    /// A failure if the class [is one of the other side](ErrorClass::is_failure_of_the_other).
    fn from(class: ErrorClass) -> Self {
        if class.is_failure_of_the_other() { Self::Failure } else { Self::Ignored }
    }
}

/// Why the state changed.
///
/// See [`Transition`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Too many failures in a row.
    ConsecutiveFailures,
    /// Too large a share of the calls in the window failed.
    FailureRate,
    /// Too large a share of the calls in the window was slow.
    SlowCalls,
    /// It was open for long enough.
    OpenTimeOver,
    /// Enough probes succeeded.
    ProbesSucceeded,
    /// A probe failed.
    ProbeFailed,
    /// No probe came back in time.
    ProbesTimedOut,
    /// By hand.
    Manual,
}

impl Cause {
    /// A short fixed name, for metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::FailureRate => "failure_rate",
            Self::SlowCalls => "slow_calls",
            Self::OpenTimeOver => "open_time_over",
            Self::ProbesSucceeded => "probes_succeeded",
            Self::ProbeFailed => "probe_failed",
            Self::ProbesTimedOut => "probes_timed_out",
            Self::Manual => "manual",
        }
    }
}

/// A change of state.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::circuit_breaker::{BreakerConfig, Cause, CircuitBreaker, CircuitState};
/// use std::sync::{Arc, Mutex};
///
/// let (breaker, heard) = (CircuitBreaker::new(BreakerConfig::default(), 1), Arc::default());
/// let list: Arc<Mutex<Vec<_>>> = Arc::clone(&heard);
/// breaker.on_transition(move |change| list.lock().unwrap().push((change.to, change.cause)));
/// breaker.isolate(Duration::ZERO);
/// assert_eq!(*heard.lock().unwrap(), [(CircuitState::Open, Cause::Manual)]);
/// assert!(breaker.status(Duration::ZERO).isolated);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: CircuitState,
    /// The state after.
    pub to: CircuitState,
    /// Why.
    pub cause: Cause,
    /// When.
    pub at: Duration,
    /// The number of the state after; it grows by one with each change, and gives changes that are
    /// told by several threads their order.
    pub generation: u64,
}

/// What can be said about a breaker.
///
/// See [`Transition`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerStatus {
    /// The state. One that was open for long enough is half-open from the next call on.
    pub state: CircuitState,
    /// Open by hand, until it is reset by hand.
    pub isolated: bool,
    /// When it lets the next call through: of an open one.
    pub retry_after: Option<Duration>,
    /// The failures since the last success.
    pub consecutive_failures: u32,
    /// The calls in the window.
    pub window: Tally,
    /// How often it opened since it was closed last.
    pub trips: u32,
    /// The probes that are out.
    pub probes: u32,
    /// The number of this state: how many changes there were.
    pub generation: u64,
    /// How many calls were refused, in all.
    pub refused: u64,
    /// How many results came after the state had changed, in all; they changed nothing.
    pub late: u64,
}

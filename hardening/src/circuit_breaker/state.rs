//! The breaker's states, without a clock and without locks.
//!
//! Invariant: each change of state begins a new generation, and a result counts only in the
//! generation that its call was let through in. In the half-open state no more probes are out than
//! there are permits.
//!
//! What an attacker can grow: nothing; the state has a fixed size.

use core::time::Duration;

use super::config::BreakerConfig;
use super::status::{BreakerStatus, Cause, CircuitState, Outcome, Transition};
use super::window::{Sliding, Tally};
use super::word::GENERATIONS;
use crate::chance::Chance;
use crate::clock::nanos;

/// A call that was let through: what [`BreakerState::record`] wants back.
///
/// See [`BreakerState`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    pub(super) generation: u64,
    pub(super) at: u64,
    pub(super) probe: bool,
}

impl Pass {
    /// Whether it takes one of the half-open state's permits.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.probe
    }
}

/// How much a breaker has to remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    /// No failure, or one so long ago that it would be tried again anyway.
    Nothing,
    /// Some failures, but it is closed.
    Little,
    /// It is not closed.
    Much,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    Open { until: u64 },
    HalfOpen { probes: u32, successes: u32, granted_at: u64 },
    Isolated,
}

/// The state machine. [`CircuitBreaker`](super::CircuitBreaker) shares one.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::circuit_breaker::{BreakerConfig, BreakerState, CircuitState, Outcome};
///
/// let mut breaker = BreakerState::new(BreakerConfig::default(), 1);
/// for second in 0..5 {
///     let now = Duration::from_secs(second);
///     let pass = breaker.permit(now).unwrap();
///     breaker.record(pass, Outcome::Failure, now);
/// }
/// assert_eq!(breaker.state(), CircuitState::Open);
/// assert!(breaker.permit(Duration::from_secs(60)).is_err());
/// assert!(breaker.permit(Duration::from_secs(71)).unwrap().is_probe());
/// ```
#[derive(Clone, Debug)]
pub struct BreakerState {
    config: BreakerConfig,
    slow_from: u64,
    phase: Phase,
    generation: u64,
    consecutive: u32,
    window: Sliding,
    trips: u32,
    chance: Chance,
    refused: u64,
    late: u64,
    transition: Option<Transition>,
}

impl BreakerState {
    /// A closed one. The seed decides by how much its open times are longer than configured.
    #[must_use]
    pub fn new(config: BreakerConfig, seed: u64) -> Self {
        Self {
            config,
            slow_from: config.slow_calls.map_or(u64::MAX, |slow| nanos(slow.from)),
            phase: Phase::Closed,
            generation: 0,
            consecutive: 0,
            window: Sliding::new(config.window),
            trips: 0,
            chance: Chance::new(seed),
            refused: 0,
            late: 0,
            transition: None,
        }
    }

    /// Asks to make a call.
    ///
    /// # Errors
    /// When it is refused: the time until it is worth asking again, [`Duration::MAX`] if only a
    /// reset by hand helps. In the half-open state that is the longest that the probes can take.
    pub fn permit(&mut self, now: Duration) -> Result<Pass, Duration> {
        let at = nanos(now);
        match self.phase {
            Phase::Closed => return Ok(Pass { generation: self.generation, at, probe: false }),
            Phase::Open { until } if at >= until => {
                let half_open = Phase::HalfOpen { probes: 0, successes: 0, granted_at: at };
                self.change(half_open, Cause::OpenTimeOver, at);
            }
            Phase::HalfOpen { granted_at, .. } if self.probes_are_overdue(granted_at, at) => {
                self.open(Cause::ProbesTimedOut, at);
            }
            Phase::Open { .. } | Phase::HalfOpen { .. } | Phase::Isolated => {}
        }
        let permits = self.config.half_open_permits.max(1);
        if let Phase::HalfOpen { probes, granted_at, .. } = &mut self.phase
            && *probes < permits
        {
            *probes += 1;
            *granted_at = at.max(*granted_at);
            return Ok(Pass { generation: self.generation, at, probe: true });
        }
        self.count_refused();
        Err(self.retry_after(at).unwrap_or_default())
    }

    /// Whether [`permit`](Self::permit) would refuse, and for how long; changes nothing.
    #[must_use]
    pub fn refuses(&self, now: Duration) -> Option<Duration> {
        self.retry_after(nanos(now)).filter(|wait| !wait.is_zero())
    }

    /// Counts a call that was refused.
    pub(super) const fn count_refused(&mut self) {
        self.refused += 1;
    }

    /// Counts how a call ended. A result from an earlier generation changes nothing.
    pub fn record(&mut self, pass: Pass, outcome: Outcome, now: Duration) {
        if pass.generation != self.generation {
            self.late += 1;
            return;
        }
        let at = nanos(now);
        match self.phase {
            Phase::Closed => self.record_closed(pass, outcome, at),
            Phase::HalfOpen { .. } => self.record_probe(outcome, at),
            // Lets nothing through, so no pass has this generation.
            Phase::Open { .. } | Phase::Isolated => {}
        }
    }

    /// Opens it until [`reset`](Self::reset).
    pub fn isolate(&mut self, now: Duration) {
        if self.phase != Phase::Isolated {
            self.change(Phase::Isolated, Cause::Manual, nanos(now));
        }
    }

    /// Closes it and forgets what was. Results of calls from before do not count.
    pub fn reset(&mut self, now: Duration) {
        self.close(Cause::Manual, nanos(now));
    }

    /// The last change that was not asked for yet. Ask after each call that changes something.
    pub const fn poll_transition(&mut self) -> Option<Transition> {
        self.transition.take()
    }

    /// The state.
    #[must_use]
    pub const fn state(&self) -> CircuitState {
        match self.phase {
            Phase::Closed => CircuitState::Closed,
            Phase::HalfOpen { .. } => CircuitState::HalfOpen,
            Phase::Open { .. } | Phase::Isolated => CircuitState::Open,
        }
    }

    /// The number of the state.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// What can be said about it. (It takes what has passed out of the window.)
    pub fn status(&mut self, now: Duration) -> BreakerStatus {
        let at = nanos(now);
        let probes = if let Phase::HalfOpen { probes, .. } = self.phase { probes } else { 0 };
        BreakerStatus {
            state: self.state(),
            isolated: self.phase == Phase::Isolated,
            retry_after: self.retry_after(at).filter(|_| self.state() == CircuitState::Open),
            consecutive_failures: self.consecutive,
            window: self.window.tally(at),
            trips: self.trips,
            probes,
            generation: self.generation,
            refused: self.refused,
            late: self.late,
        }
    }

    /// Counts calls that succeeded in this generation, in the slice of now. Only where nothing but
    /// successes is in the window.
    pub(super) fn count_successes(&mut self, calls: u64) {
        self.window.count_successes(calls);
    }

    /// Whether it is closed and nothing but successes is in the window.
    pub(super) const fn is_clean(&self) -> bool {
        let tally = self.window.total();
        matches!(self.phase, Phase::Closed)
            && self.consecutive == 0
            && tally.failures == 0
            && tally.slow == 0
    }

    /// Of one that is closed: whether a success, as long as the window does not slide, changes nothing but
    /// the count of calls. Nothing bad is there, or calls enough for a judgement, which it can only make
    /// better.
    pub(super) fn only_counts_successes(&self) -> bool {
        let tally = self.window.total();
        let judged = self.consecutive == 0 && self.is_enough(tally);
        self.is_clean() || judged && self.judge(tally).is_none()
    }

    /// From then on the window slides when a call is counted.
    pub(super) const fn slice_ends(&self) -> u64 {
        self.window.slice_ends()
    }

    pub(super) const fn slow_from(&self) -> u64 {
        self.slow_from
    }

    /// What would be lost if it were forgotten.
    pub(super) fn worth(&mut self, now: Duration) -> Worth {
        let at = nanos(now);
        let idle_from = match self.phase {
            Phase::Isolated => return Worth::Much,
            Phase::Closed => {
                self.window.tally(at);
                return if self.is_clean() { Worth::Nothing } else { Worth::Little };
            }
            Phase::Open { until } => until,
            Phase::HalfOpen { granted_at, .. } => granted_at,
        };
        // Nobody has asked for longer than it would ever have refused.
        let idle = at.saturating_sub(idle_from);
        if idle >= nanos(self.config.open_at_most) { Worth::Nothing } else { Worth::Much }
    }

    fn record_closed(&mut self, pass: Pass, outcome: Outcome, at: u64) {
        let failed = match outcome {
            Outcome::Success => false,
            Outcome::Failure => true,
            Outcome::Ignored => return,
        };
        self.consecutive = if failed { self.consecutive.saturating_add(1) } else { 0 };
        let slow = at.saturating_sub(pass.at) >= self.slow_from;
        let tally = self.window.record(failed, slow, at);
        if tally.failures | tally.slow != 0
            && let Some(cause) = self.judge(tally)
        {
            self.open(cause, at);
        }
    }

    /// Whether there are calls enough to judge rates.
    fn is_enough(&self, tally: Tally) -> bool {
        tally.calls >= u64::from(self.config.minimum_calls.max(1))
    }

    fn judge(&self, tally: Tally) -> Option<Cause> {
        let config = &self.config;
        if config.consecutive_failures.is_some_and(|limit| self.consecutive >= limit.max(1)) {
            return Some(Cause::ConsecutiveFailures);
        }
        let enough = self.is_enough(tally);
        let over = |part: u64, percent: u8| {
            enough && part > 0 && part * 100 >= u64::from(percent) * tally.calls
        };
        if config.failure_percent.is_some_and(|percent| over(tally.failures, percent)) {
            return Some(Cause::FailureRate);
        }
        config.slow_calls.filter(|slow| over(tally.slow, slow.percent)).map(|_| Cause::SlowCalls)
    }

    fn record_probe(&mut self, outcome: Outcome, at: u64) {
        let Phase::HalfOpen { probes, successes, .. } = &mut self.phase else { return };
        *probes = probes.saturating_sub(1);
        match outcome {
            Outcome::Ignored => {}
            Outcome::Failure => {
                self.consecutive = self.consecutive.saturating_add(1);
                self.open(Cause::ProbeFailed, at);
            }
            Outcome::Success => {
                self.consecutive = 0;
                *successes += 1;
                if *successes >= self.config.successes_to_close.max(1) {
                    self.close(Cause::ProbesSucceeded, at);
                }
            }
        }
    }

    fn open(&mut self, cause: Cause, at: u64) {
        let doubled = 1_u32.checked_shl(self.trips).unwrap_or(u32::MAX);
        self.trips = self.trips.saturating_add(1);
        let config = &self.config;
        let time = config.open_for.saturating_mul(doubled).min(config.open_at_most);
        // Hundredths first: a time near the maximum must not overflow.
        let jitter = (time / 100).saturating_mul(u32::from(config.jitter_percent));
        let time = time.saturating_add(self.chance.part_of(jitter));
        self.change(Phase::Open { until: at.saturating_add(nanos(time)) }, cause, at);
    }

    fn close(&mut self, cause: Cause, at: u64) {
        self.trips = 0;
        self.consecutive = 0;
        self.window.clear();
        self.change(Phase::Closed, cause, at);
    }

    fn change(&mut self, phase: Phase, cause: Cause, at: u64) {
        let from = self.state();
        self.phase = phase;
        self.generation = (self.generation + 1) % GENERATIONS;
        let at = Duration::from_nanos(at);
        let generation = self.generation;
        self.transition = Some(Transition { from, to: self.state(), cause, at, generation });
    }

    const fn probes_are_overdue(&self, granted_at: u64, at: u64) -> bool {
        let Phase::HalfOpen { probes, .. } = self.phase else { return false };
        let waited = at.saturating_sub(granted_at);
        // `max` is not const for u32.
        let permits = self.config.half_open_permits;
        probes > 0 && probes >= permits && waited >= nanos(self.config.probe_timeout)
    }

    /// How long nothing goes through; none if the next call does.
    fn retry_after(&self, at: u64) -> Option<Duration> {
        match self.phase {
            Phase::Closed => None,
            Phase::Isolated => Some(Duration::MAX),
            Phase::Open { until } => Some(Duration::from_nanos(until.saturating_sub(at))),
            Phase::HalfOpen { probes, granted_at, .. } => {
                let until = granted_at.saturating_add(nanos(self.config.probe_timeout));
                (probes >= self.config.half_open_permits.max(1))
                    .then(|| Duration::from_nanos(until.saturating_sub(at)))
            }
        }
    }
}

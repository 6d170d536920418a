//! One breaker that many share.
//!
//! While it is closed, a permit is one atomic load, and a success that cannot open it one
//! compare-and-swap, see [`word`](super::word). All else is done under a lock that is held for
//! nanoseconds.

use core::borrow::Borrow;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::config::BreakerConfig;
use super::state::{BreakerState, Pass, Worth};
use super::status::{BreakerStatus, CircuitState, Outcome, Transition};
use super::word::{CLOSED, COUNTS, Word};
use crate::chance::fresh_seed;
use crate::clock::Clock;
use crate::clock::nanos;
use crate::error::{Classify, Rejected};
use crate::listeners::Listeners;

/// A circuit breaker. Clones share it, so each is also the handle to its status.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::circuit_breaker::{BreakerConfig, CircuitBreaker, CircuitState, Outcome};
///
/// let breaker = CircuitBreaker::new(BreakerConfig::default(), 1);
/// for second in 0..5 {
///     let now = Duration::from_secs(second);
///     breaker.permit(now).unwrap().finish(Outcome::Failure, now);
/// }
/// assert_eq!(breaker.state(), CircuitState::Open);
/// assert!(breaker.permit(Duration::from_secs(5)).is_err());
/// ```
#[derive(Clone, Debug)]
pub struct CircuitBreaker {
    shared: Arc<Shared>,
}

struct Shared {
    word: Word,
    /// Where the window's slice ends: a success from then on needs the lock, which moves it on.
    slice_ends: AtomicU64,
    slow_from: u64,
    state: Mutex<BreakerState>,
    listeners: Listeners<Transition>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("word", &self.word).finish_non_exhaustive()
    }
}

fn flags(state: &BreakerState) -> u64 {
    match state.state() {
        CircuitState::Closed if state.only_counts_successes() => CLOSED | COUNTS,
        CircuitState::Closed => CLOSED,
        CircuitState::Open | CircuitState::HalfOpen => 0,
    }
}

impl CircuitBreaker {
    /// A closed one. The seed decides by how much its open times are longer than configured.
    #[must_use]
    pub fn new(config: BreakerConfig, seed: u64) -> Self {
        let state = BreakerState::new(config, seed);
        Self {
            shared: Arc::new(Shared {
                word: Word::new(state.generation(), flags(&state)),
                slice_ends: AtomicU64::new(state.slice_ends()),
                slow_from: state.slow_from(),
                state: Mutex::new(state),
                listeners: Listeners::default(),
            }),
        }
    }

    /// Asks to make a call. What comes of it goes into [`Permit::finish`].
    ///
    /// # Errors
    /// [`Rejected::CircuitOpen`].
    #[inline]
    pub fn permit(&self, now: Duration) -> Result<Permit<&Self>, Rejected> {
        self.pass(now).map(|pass| Permit { breaker: self, pass, finished: false })
    }

    /// The same, with a permit that can go anywhere.
    ///
    /// ```
    /// use core::time::Duration;
    /// use ironlight_hardening::circuit_breaker::{BreakerConfig, CircuitBreaker, Outcome};
    ///
    /// let breaker = CircuitBreaker::new(BreakerConfig::default(), 1);
    /// let permit = breaker.permit_owned(Duration::ZERO).unwrap();
    /// std::thread::spawn(move || permit.finish(Outcome::Failure, Duration::ZERO)).join().unwrap();
    /// assert_eq!(breaker.status(Duration::ZERO).consecutive_failures, 1);
    /// ```
    ///
    /// # Errors
    /// [`Rejected::CircuitOpen`].
    #[inline]
    pub fn permit_owned(&self, now: Duration) -> Result<Permit<Self>, Rejected> {
        let pass = self.pass(now)?;
        Ok(Permit { breaker: self.clone(), pass, finished: false })
    }

    /// Makes a call, if it may.
    ///
    /// ```
    /// use ironlight_hardening::circuit_breaker::{BreakerConfig, CircuitBreaker};
    /// use ironlight_hardening::{Error, MonotonicClock};
    ///
    /// let breaker = CircuitBreaker::new(BreakerConfig::default(), 1);
    /// let read = || std::fs::read("/no/such/file").map_err(Error::Inner);
    /// assert!(breaker.call(&MonotonicClock::new(), read).is_err());
    /// ```
    ///
    /// # Errors
    /// [`Rejected::CircuitOpen`], or the call's own.
    pub fn call<T, E>(
        &self,
        clock: &impl Clock,
        call: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<Rejected> + Classify,
    {
        let permit = self.permit(clock.now())?;
        let done = call();
        permit.finish_with(&done, clock);
        done
    }

    /// Whether a call would be refused now, and for how long.
    #[must_use]
    pub fn refuses(&self, now: Duration) -> Option<Duration> {
        if self.is_closed() { None } else { self.lock().refuses(now) }
    }

    /// Opens it until [`reset`](Self::reset).
    ///
    /// ```
    /// use core::time::Duration;
    /// use ironlight_hardening::circuit_breaker::{BreakerConfig, CircuitBreaker};
    ///
    /// let breaker = CircuitBreaker::new(BreakerConfig::default(), 1);
    /// breaker.isolate(Duration::ZERO);
    /// let a_day_later = Duration::from_secs(86_400);
    /// assert!(breaker.refuses(a_day_later).is_some());
    /// breaker.reset(a_day_later);
    /// assert!(breaker.is_closed());
    /// ```
    pub fn isolate(&self, now: Duration) {
        self.update(|state| state.isolate(now));
    }

    /// Closes it and forgets what was. Results of calls from before do not count.
    pub fn reset(&self, now: Duration) {
        self.update(|state| state.reset(now));
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> CircuitState {
        self.lock().state()
    }

    /// Whether it is closed; without a lock.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.word.closed().is_some()
    }

    /// What can be said about it.
    #[must_use]
    pub fn status(&self, now: Duration) -> BreakerStatus {
        self.update(|state| state.status(now))
    }

    /// Has each change of state told, on the thread that brought it about. Two threads can tell
    /// theirs at once: [`Transition::generation`] has the order. One that panics harms nothing.
    pub fn on_transition(&self, listener: impl Fn(&Transition) + Send + Sync + 'static) {
        self.shared.listeners.add(Arc::new(listener));
    }

    /// How often a listener panicked.
    #[must_use]
    pub fn listener_panics(&self) -> u64 {
        self.shared.listeners.panics()
    }

    /// What would be lost if the pool, which has one, forgot it.
    pub(super) fn worth(&self, now: Duration) -> Worth {
        if Arc::strong_count(&self.shared) > 1 {
            return Worth::Much;
        }
        self.update(|state| state.worth(now))
    }

    /// Counts a call that was refused without having been asked for: its service was not ready for it.
    pub(super) fn count_refused(&self) {
        self.lock().count_refused();
    }

    /// Whether the end of a call that succeeded has to be read from the clock.
    fn times_successes(&self) -> bool {
        self.shared.slow_from != u64::MAX
    }

    #[inline]
    fn pass(&self, now: Duration) -> Result<Pass, Rejected> {
        if let Some(generation) = self.shared.word.closed() {
            return Ok(Pass { generation, at: nanos(now), probe: false });
        }
        self.update(|state| state.permit(now))
            .map_err(|retry_after| Rejected::CircuitOpen { retry_after })
    }

    #[inline]
    fn record(&self, pass: Pass, outcome: Outcome, now: Duration) {
        if outcome == Outcome::Success {
            let at = nanos(now);
            let shared = &*self.shared;
            let simple = at < shared.slice_ends.load(Ordering::Relaxed)
                && at.saturating_sub(pass.at) < shared.slow_from;
            if simple && shared.word.count_success(pass.generation) {
                return;
            }
        }
        self.update(|state| state.record(pass, outcome, now));
    }

    #[cold]
    fn update<T>(&self, with: impl FnOnce(&mut BreakerState) -> T) -> T {
        let mut state = self.lock();
        state.count_successes(self.shared.word.take());
        let done = with(&mut state);
        let transition = state.poll_transition();
        self.shared.slice_ends.store(state.slice_ends(), Ordering::Relaxed);
        self.shared.word.publish(state.generation(), flags(&state));
        drop(state);
        if let Some(transition) = transition {
            self.shared.listeners.tell(&transition);
        }
        done
    }

    fn lock(&self) -> MutexGuard<'_, BreakerState> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// With a seed that nobody chose.
impl From<BreakerConfig> for CircuitBreaker {
    fn from(config: BreakerConfig) -> Self {
        Self::new(config, fresh_seed())
    }
}

/// Leave to make one call. Dropped without a result it counts for nothing, and a probe's place is
/// free again.
///
/// See [`CircuitBreaker`] for an example.
#[derive(Debug)]
#[must_use = "dropped at once, it says nothing about the call"]
pub struct Permit<B: Borrow<CircuitBreaker>> {
    breaker: B,
    pass: Pass,
    finished: bool,
}

impl<B: Borrow<CircuitBreaker>> Permit<B> {
    /// Says how the call ended.
    #[inline]
    pub fn finish(mut self, outcome: Outcome, now: Duration) {
        self.finished = true;
        self.breaker.borrow().record(self.pass, outcome, now);
    }

    /// Says how the call ended, by what came of it. Of a success the clock is only read if slow
    /// calls matter; without that it counts in the window at the time that it began.
    pub fn finish_with<T, E: Classify>(self, done: &Result<T, E>, clock: &impl Clock) {
        match done {
            Ok(_) => {
                let timed = self.pass.probe || self.breaker.borrow().times_successes();
                let now = if timed { clock.now() } else { Duration::from_nanos(self.pass.at) };
                self.finish(Outcome::Success, now);
            }
            Err(error) => self.finish(error.class().into(), clock.now()),
        }
    }

    /// Whether this call is a probe in the half-open state.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.pass.probe
    }
}

impl<B: Borrow<CircuitBreaker>> Drop for Permit<B> {
    fn drop(&mut self) {
        if self.pass.probe && !self.finished {
            // The time matters to results only.
            let at = Duration::from_nanos(self.pass.at);
            self.breaker.borrow().record(self.pass, Outcome::Ignored, at);
        }
    }
}

//! What a guard is made of.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use super::parts::Parts;
use super::status::GuardHandle;
use crate::bulkhead::Bulkhead;
use crate::circuit_breaker::CircuitBreaker;
#[cfg(feature = "tokio")]
use crate::clock::TokioTimer;
use crate::clock::{Clock, MonotonicClock};
use crate::error::ErrorClass;
use crate::fallback::{AtOnce, NoAnswer};
use crate::rate_limit::{Limit, RateLimiter, RateLimiterConfig};
use crate::retry::{GaveUp, RecoveryContext, RetryPolicy};

/// What goes around an operation; the [module](super) says more.
///
/// A new one lets everything through; each method adds a concern, in whatever order. Clones are cheap
/// and share breaker, limiter, bulkhead, budget and all that is counted. A clone that is changed keeps
/// sharing what was not replaced.
///
/// `C` is its clock; `A` is the other answer of [`fallback`](Self::fallback).
///
/// ```
/// use ironlight_hardening::circuit_breaker::{BreakerConfig, CircuitState};
/// use ironlight_hardening::retry::RetryPolicy;
/// use ironlight_hardening::{Error, Guard};
/// use std::io::{Error as IoError, ErrorKind};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let get = Guard::new("price")
///     .breaker(BreakerConfig::default())
///     .retry(RetryPolicy::AGGRESSIVE)
///     .fallback(|_: Error<IoError>| Ok(0));
/// let down = async || Err(IoError::from(ErrorKind::ConnectionRefused));
/// assert_eq!(get.call(down).await.unwrap(), 0);
/// assert_eq!(get.circuit_breaker().unwrap().state(), CircuitState::Open, "after five attempts");
/// # }
/// ```
pub struct Guard<C, A = NoAnswer> {
    pub(super) parts: Arc<Parts>,
    pub(super) clock: C,
    pub(super) answer: A,
}

#[cfg(feature = "tokio")]
impl Guard<TokioTimer> {
    /// On tokio's time. The name is for the status.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self::with_clock(name, TokioTimer::new())
    }
}

#[cfg(feature = "tokio")]
impl<A: Clone> Guard<TokioTimer, A> {
    /// The same guard for threads that block; they share all state. Not for tests with paused time,
    /// which threads know nothing of.
    ///
    /// ```
    /// use ironlight_hardening::Guard;
    /// use ironlight_hardening::rate_limit::Quota;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let get = Guard::new("price").limit(Quota::per_hour(1));
    /// let read = || Ok::<_, std::io::Error>(7);
    /// assert_eq!(get.call(async || read()).await.unwrap(), 7);
    /// assert!(get.on_threads().call_blocking(read).is_err(), "the one of this hour is taken");
    /// # }
    /// ```
    #[must_use]
    pub fn on_threads(&self) -> Guard<MonotonicClock, A> {
        let (parts, answer) = (Arc::clone(&self.parts), self.answer.clone());
        Guard { parts, clock: self.clock.into(), answer }
    }
}

impl Guard<MonotonicClock> {
    /// For threads that block, without a runtime. The name is for the status.
    #[must_use]
    pub fn for_threads(name: impl Into<Arc<str>>) -> Self {
        Self::with_clock(name, MonotonicClock::new())
    }
}

impl<C: Clock> Guard<C> {
    /// With a clock of yours: a [`Timer`](crate::Timer) to call futures, a
    /// [`BlockingSleep`](crate::retry::BlockingSleep) to call what blocks.
    ///
    /// ```
    /// use core::time::Duration;
    /// use ironlight_hardening::{Clock, Guard, ManualClock};
    /// use ironlight_hardening::retry::{Jitter, RetryPolicy};
    ///
    /// let clock = ManualClock::default();
    /// let policy = RetryPolicy { jitter: Jitter::None, ..RetryPolicy::CONSERVATIVE };
    /// let get = Guard::with_clock("price", clock.clone()).retry(policy);
    /// let down = || Err::<(), _>(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
    /// assert!(get.call_blocking(down).is_err());
    /// assert_eq!(clock.now(), Duration::from_secs(1 + 2), "two pauses between three attempts");
    /// ```
    pub fn with_clock(name: impl Into<Arc<str>>, clock: C) -> Self {
        Self { parts: Arc::new(Parts::new(name.into())), clock, answer: NoAnswer }
    }
}

impl<C, A> Guard<C, A> {
    fn changed(mut self, change: impl FnOnce(&mut Parts)) -> Self {
        change(Arc::make_mut(&mut self.parts));
        self
    }

    /// Tries again after this policy. Without it there is one attempt.
    #[must_use]
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.changed(|parts| parts.retry.set_policy(policy))
    }

    /// Calls the listener with the history of an operation that failed for good, before there is
    /// another answer. It must not block. If it panics, nothing else happens.
    ///
    /// ```
    /// use ironlight_hardening::retry::GaveUp;
    /// use ironlight_hardening::{Guard, ManualClock};
    ///
    /// let read = Guard::with_clock("file", ManualClock::default()).on_gave_up(|why, context| {
    ///     assert_eq!((why, context.attempts), (GaveUp::Permanent, 1));
    /// });
    /// assert!(read.call_blocking(|| std::fs::read("/no/such/file")).is_err());
    /// ```
    #[must_use]
    pub fn on_gave_up(
        self,
        listener: impl Fn(GaveUp, &RecoveryContext) + Send + Sync + 'static,
    ) -> Self {
        self.changed(|parts| parts.retry = parts.retry.clone().on_gave_up(listener))
    }

    /// Asks a breaker before each attempt: a [`BreakerConfig`](crate::circuit_breaker::BreakerConfig),
    /// or a breaker that you have.
    #[must_use]
    pub fn breaker(self, breaker: impl Into<CircuitBreaker>) -> Self {
        self.changed(|parts| parts.breaker = Some(breaker.into()))
    }

    /// So many attempts, over all clones: a [`Quota`](crate::rate_limit::Quota) or up to four. What is
    /// over it is refused; with a retry policy it is tried again when it is granted.
    #[must_use]
    pub fn limit(self, limit: impl Into<Limit>) -> Self {
        let one_key = RateLimiterConfig { max_keys: 1, shards: 1, shared: 1 };
        self.limiter(RateLimiter::with_config(limit, one_key))
    }

    /// The same with a limiter that you have, which others may share, and whose limit can be changed
    /// at any time.
    ///
    /// ```
    /// use ironlight_hardening::rate_limit::{Quota, RateLimiter};
    /// use ironlight_hardening::{Clock, Guard, ManualClock};
    ///
    /// let (clock, limiter) = (ManualClock::default(), RateLimiter::new(Quota::per_hour(1)));
    /// let get = Guard::with_clock("price", clock.clone()).limiter(limiter.clone());
    /// let read = || Ok::<_, std::io::Error>(7);
    /// assert!(get.call_blocking(read).is_ok() && get.call_blocking(read).is_err());
    /// limiter.set_limit(Quota::per_hour(2), clock.now());
    /// assert!(get.call_blocking(read).is_ok());
    /// ```
    #[must_use]
    pub fn limiter(self, limiter: RateLimiter<()>) -> Self {
        self.changed(|parts| parts.limiter = Some(limiter))
    }

    /// So many at once: [`BulkheadLimits`](crate::bulkhead::BulkheadLimits), or a bulkhead that you
    /// have. Who finds no place waits for `queue_time` at most.
    ///
    /// ```
    /// use core::time::Duration;
    /// use ironlight_hardening::bulkhead::{Bulkhead, BulkheadLimits};
    /// use ironlight_hardening::{Classify, Guard, ManualClock};
    ///
    /// let bulkhead = Bulkhead::new(BulkheadLimits { concurrent: 1, queue: 10 });
    /// let get = Guard::with_clock("price", ManualClock::default())
    ///     .bulkhead(bulkhead.clone(), Duration::from_secs(1));
    /// let place = bulkhead.try_enter().unwrap();
    /// let refused = get.call_blocking(|| Ok::<_, std::io::Error>(7)).unwrap_err();
    /// assert_eq!(refused.class().name(), "overloaded", "after a second");
    /// drop(place);
    /// assert!(get.call_blocking(|| Ok::<_, std::io::Error>(7)).is_ok());
    /// ```
    #[must_use]
    pub fn bulkhead(self, bulkhead: impl Into<Bulkhead>, queue_time: Duration) -> Self {
        self.changed(|parts| parts.bulkhead = Some((bulkhead.into(), queue_time)))
    }

    /// How long it may take, with all attempts and pauses. What blocks cannot be broken off: there it
    /// only keeps attempts from beginning.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.changed(|parts| parts.timeout = Some(timeout))
    }

    /// How long one attempt may take. What blocks cannot be broken off.
    ///
    /// ```
    /// use core::time::Duration;
    /// use ironlight_hardening::retry::RetryPolicy;
    /// use ironlight_hardening::{Classify, ErrorClass, Guard};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let get = Guard::new("price")
    ///     .retry(RetryPolicy::QUICK)
    ///     .attempt_timeout(Duration::from_secs(10))
    ///     .timeout(Duration::from_secs(30));
    /// let done = get.call(core::future::pending::<Result<(), std::io::Error>>).await;
    /// assert_eq!(done.unwrap_err().class(), ErrorClass::Timeout);
    /// assert_eq!(get.handle().status().timeouts, 2);
    /// # }
    /// ```
    #[must_use]
    pub fn attempt_timeout(self, timeout: Duration) -> Self {
        self.changed(|parts| parts.attempt_timeout = Some(timeout))
    }

    /// Another answer when nothing is tried any more: of the error, an answer or an error. Not for
    /// [permanent](ErrorClass::Permanent) errors, unless [`fallback_for`](Self::fallback_for) says so.
    ///
    /// ```
    /// use ironlight_hardening::{Error, Guard, ManualClock};
    ///
    /// let read = Guard::with_clock("settings", ManualClock::default())
    ///     .fallback(|_: Error<std::io::Error>| Ok(String::from("defaults")))
    ///     .fallback_for(|_| true);
    /// let settings = read.call_blocking(|| std::fs::read_to_string("/no/such/file"));
    /// assert_eq!(settings.unwrap(), "defaults");
    /// ```
    #[must_use]
    pub fn fallback<E, V, F>(self, answer: F) -> Guard<C, AtOnce<F>>
    where
        F: Fn(crate::Error<E>) -> Result<V, crate::Error<E>>,
    {
        Guard { parts: self.parts, clock: self.clock, answer: AtOnce::new(answer) }
    }

    /// For errors of which classes there is another answer.
    #[must_use]
    pub fn fallback_for(self, chosen: fn(ErrorClass) -> bool) -> Self {
        self.changed(|parts| parts.fallback_for = chosen)
    }

    /// The breaker, if there is one: to listen to it, to isolate and to reset it.
    #[must_use]
    pub fn circuit_breaker(&self) -> Option<&CircuitBreaker> {
        self.parts.breaker.as_ref()
    }
}

impl<C: Clock, A> Guard<C, A> {
    /// Its status, to read from outside.
    #[must_use]
    pub fn handle(&self) -> GuardHandle<C> {
        GuardHandle { parts: Arc::clone(&self.parts), clock: self.clock.clone() }
    }
}

impl<C: Clone, A: Clone> Clone for Guard<C, A> {
    fn clone(&self) -> Self {
        let (parts, answer) = (Arc::clone(&self.parts), self.answer.clone());
        Self { parts, clock: self.clock.clone(), answer }
    }
}

impl<C, A> fmt::Debug for Guard<C, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("parts", &self.parts).finish_non_exhaustive()
    }
}

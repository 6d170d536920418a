//! What is retried, how often and after which pauses.

use core::fmt;
use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::Arc;

use super::budget::RetryBudget;
use crate::error::ErrorClass;

/// How much of a pause is left to chance, so that those who fail together do not return together
/// ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::ErrorClass;
/// use ironlight_hardening::retry::{Jitter, RetryPolicy, RetryState};
///
/// let policy = RetryPolicy { jitter: Jitter::None, ..RetryPolicy::CONSERVATIVE };
/// let mut state = RetryState::new(&policy, Duration::ZERO, None);
/// let mut pause = || state.failed(&policy, ErrorClass::Timeout, Duration::ZERO).unwrap();
/// assert_eq!((pause(), pause()), (Duration::from_secs(1), Duration::from_secs(2)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Jitter {
    /// Nothing. For tests, and where only one can fail.
    None,
    /// All of it: between zero and the pause. Spreads the most.
    Full,
    /// Half of it: between half the pause and all. No attempt follows at once.
    Equal,
    /// Between the base and three times the pause before: forgets the number of attempts.
    Decorrelated,
}

/// One retry that is about to be waited for.
///
/// See [`RetryPolicy`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryEvent {
    /// The attempt that failed, from 1 on.
    pub attempt: u32,
    /// How it failed.
    pub class: ErrorClass,
    /// When it failed, since the clock's start.
    pub at: Duration,
    /// The pause before the next attempt.
    pub delay: Duration,
}

type Listener = Arc<dyn Fn(&RetryEvent) + Send + Sync>;

/// What is retried, how often and after which pauses. Permanent failures never are.
///
/// The default: 3 attempts, 0.5 s base, 5 s cap, factor 2, full jitter.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::retry::{RetryBudget, RetryPolicy};
///
/// let budget = RetryBudget::new(20, 10);
/// let policy = RetryPolicy { deadline: Some(Duration::from_secs(30)), ..RetryPolicy::AGGRESSIVE }
///     .with_budget(budget.clone())
///     .on_retry(|event| eprintln!("attempt {} failed, again in {:?}", event.attempt, event.delay));
/// assert_eq!(policy.max_attempts, 5);
/// ```
#[derive(Clone)]
pub struct RetryPolicy {
    /// Attempts in all, the first one counted; zero counts as one.
    pub max_attempts: u32,
    /// The first pause.
    pub base: Duration,
    /// No pause that we choose is longer.
    pub cap: Duration,
    /// By how much pauses grow from one to the next.
    pub factor: u32,
    /// How much of a pause is left to chance.
    pub jitter: Jitter,
    /// No attempt begins later than so long after the start.
    pub deadline: Option<Duration>,
    /// When the other side asks for a longer wait than this, we give up instead.
    pub max_retry_after: Duration,
    /// Draws the same pauses each time, for tests. Otherwise each request draws its own.
    pub seed: Option<u64>,
    /// Which failures are retried at all; permanent ones never are.
    pub retries: fn(ErrorClass) -> bool,
    /// Shared with others, who all may retry only so much.
    pub budget: Option<RetryBudget>,
    /// Use [`Self::on_retry`]. Public only so that `..RetryPolicy::QUICK` works.
    #[doc(hidden)]
    pub listener: Option<Listener>,
}

impl RetryPolicy {
    /// 5 attempts, 0.2 s base, 10 s cap.
    pub const AGGRESSIVE: Self = Self::new(5, Duration::from_millis(200), Duration::from_secs(10));
    /// 3 attempts, 1 s base, 5 s cap.
    pub const CONSERVATIVE: Self = Self::new(3, Duration::from_secs(1), Duration::from_secs(5));
    /// 2 attempts, 0.1 s base, 1 s cap.
    pub const QUICK: Self = Self::new(2, Duration::from_millis(100), Duration::from_secs(1));

    /// Factor 2, full jitter, no deadline; a retry-after is honoured up to a minute.
    #[must_use]
    pub const fn new(max_attempts: u32, base: Duration, cap: Duration) -> Self {
        Self {
            max_attempts,
            base,
            cap,
            factor: 2,
            jitter: Jitter::Full,
            deadline: None,
            max_retry_after: Duration::from_secs(60),
            seed: None,
            retries: ErrorClass::is_retryable,
            budget: None,
            listener: None,
        }
    }

    /// Retries only failures of these kinds, and of them no permanent ones.
    ///
    /// ```
    /// use core::time::Duration;
    /// use ironlight_hardening::ErrorClass;
    /// use ironlight_hardening::retry::{GaveUp, RetryPolicy, RetryState};
    ///
    /// // Whoever is busy is asked again; whoever is silent is not.
    /// let busy = |class| matches!(class, ErrorClass::RateLimited { .. } | ErrorClass::Overloaded);
    /// let policy = RetryPolicy::AGGRESSIVE.retry_if(busy);
    /// let mut state = RetryState::new(&policy, Duration::ZERO, None);
    /// assert!(state.failed(&policy, ErrorClass::Overloaded, Duration::ZERO).is_ok());
    /// let silent = state.failed(&policy, ErrorClass::Timeout, Duration::ZERO);
    /// assert_eq!(silent, Err(GaveUp::Permanent));
    /// ```
    #[must_use]
    pub fn retry_if(self, retries: fn(ErrorClass) -> bool) -> Self {
        Self { retries, ..self }
    }

    /// Retries are also paid from this budget.
    #[must_use]
    pub fn with_budget(self, budget: RetryBudget) -> Self {
        Self { budget: Some(budget), ..self }
    }

    /// Calls the listener before each pause, after those that are there already. It must not
    /// block. If it panics, the retry goes on.
    #[must_use]
    pub fn on_retry(mut self, listener: impl Fn(&RetryEvent) + Send + Sync + 'static) -> Self {
        self.listener = Some(match self.listener.take() {
            None => Arc::new(listener),
            Some(before) => Arc::new(move |event| {
                drop(catch_unwind(AssertUnwindSafe(|| before(event))));
                listener(event);
            }),
        });
        self
    }

    pub(super) fn is_retried(&self, class: ErrorClass) -> bool {
        class.is_retryable() && (self.retries)(class)
    }

    pub(super) fn tell(&self, event: &RetryEvent) {
        if let Some(listener) = &self.listener {
            drop(catch_unwind(AssertUnwindSafe(|| listener(event))));
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new(3, Duration::from_millis(500), Duration::from_secs(5))
    }
}

impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPolicy")
            .field("max_attempts", &self.max_attempts)
            .field("base", &self.base)
            .field("cap", &self.cap)
            .field("factor", &self.factor)
            .field("jitter", &self.jitter)
            .field("deadline", &self.deadline)
            .field("max_retry_after", &self.max_retry_after)
            .field("seed", &self.seed)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

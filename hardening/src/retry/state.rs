//! Whether to try again, and when: the decisions of one request.

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;

use super::policy::{Jitter, RetryEvent, RetryPolicy};
use crate::chance::{Chance, fresh_seed};
use crate::error::ErrorClass;

/// How many errors a [`RecoveryContext`] keeps.
pub const KEPT_ERRORS: usize = 10;

/// Why it is not tried again.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::ErrorClass;
/// use ironlight_hardening::retry::{GaveUp, RetryPolicy, RetryState};
///
/// let policy = RetryPolicy { deadline: Some(Duration::from_secs(1)), ..RetryPolicy::AGGRESSIVE };
/// let mut state = RetryState::new(&policy, Duration::ZERO, None);
/// let late = state.failed(&policy, ErrorClass::Timeout, Duration::from_secs(1));
/// assert_eq!(late, Err(GaveUp::Deadline));
/// assert_eq!(GaveUp::Deadline.to_string(), "no time left");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GaveUp {
    /// It will fail again, or the policy does not retry its kind.
    Permanent,
    /// That was the last attempt.
    Attempts,
    /// The next one would begin after the deadline.
    Deadline,
    /// The other side wants a longer wait than the policy allows.
    RetryAfter,
    /// The shared budget is spent.
    Budget,
    /// The request cannot be made again.
    NotRepeatable,
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Permanent => "it will fail again",
            Self::Attempts => "no attempts left",
            Self::Deadline => "no time left",
            Self::RetryAfter => "the other side wants too long a wait",
            Self::Budget => "the retry budget is spent",
            Self::NotRepeatable => "the request cannot be made again",
        })
    }
}

/// One failed attempt.
///
/// See [`RetryError`](super::RetryError) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedAttempt {
    /// Which attempt it was, from 1 on.
    pub attempt: u32,
    /// How it failed.
    pub class: ErrorClass,
    /// When it failed, since the clock's start.
    pub at: Duration,
}

/// What happened to a request so far.
///
/// See [`RetryError`](super::RetryError) for an example.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryContext {
    /// Failed attempts.
    pub attempts: u32,
    /// Their last [`KEPT_ERRORS`], oldest first.
    pub errors: VecDeque<FailedAttempt>,
    /// All pauses between them.
    pub waited: Duration,
}

impl RecoveryContext {
    fn note(&mut self, class: ErrorClass, at: Duration) -> u32 {
        self.attempts = self.attempts.saturating_add(1);
        if self.errors.len() == KEPT_ERRORS {
            self.errors.pop_front();
        }
        self.errors.push_back(FailedAttempt { attempt: self.attempts, class, at });
        self.attempts
    }
}

/// The decisions of one request. Nothing is allocated until something fails.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::ErrorClass;
/// use ironlight_hardening::retry::{GaveUp, RetryPolicy, RetryState};
///
/// let policy = RetryPolicy::QUICK;
/// let mut state = RetryState::new(&policy, Duration::ZERO, None);
/// let pause = state.failed(&policy, ErrorClass::Timeout, Duration::from_secs(1)).unwrap();
/// assert!(pause <= Duration::from_millis(100));
/// let gave_up = state.failed(&policy, ErrorClass::Timeout, Duration::from_secs(2)).unwrap_err();
/// assert_eq!(gave_up, GaveUp::Attempts);
/// assert_eq!(state.context().errors.len(), 2);
/// ```
#[derive(Clone, Debug)]
pub struct RetryState {
    deadline: Option<Duration>,
    /// What the next pause is at its longest; for decorrelated jitter, the pause before.
    pause: Duration,
    chance: Option<Chance>,
    context: RecoveryContext,
}

impl RetryState {
    /// A request is made for the first time: the budget gets its share. The deadline is the
    /// request's own; the policy's may come first.
    #[must_use]
    pub fn new(policy: &RetryPolicy, now: Duration, deadline: Option<Duration>) -> Self {
        if let Some(budget) = &policy.budget {
            budget.deposit();
        }
        let ours = policy.deadline.map(|time| now.saturating_add(time));
        Self {
            deadline: ours.into_iter().chain(deadline).min(),
            pause: policy.base.min(policy.cap),
            chance: policy.seed.map(Chance::new),
            context: RecoveryContext::default(),
        }
    }

    /// An attempt failed. How long to wait before the next one; listeners know by then.
    ///
    /// # Errors
    /// [`GaveUp`] when there is to be none. Only a retry that is really to be made is paid for.
    pub fn failed(
        &mut self,
        policy: &RetryPolicy,
        class: ErrorClass,
        now: Duration,
    ) -> Result<Duration, GaveUp> {
        let attempt = self.context.note(class, now);
        if !policy.is_retried(class) {
            return Err(GaveUp::Permanent);
        }
        if attempt >= policy.max_attempts {
            return Err(GaveUp::Attempts);
        }
        let asked = class.retry_after().unwrap_or_default();
        if asked > policy.max_retry_after {
            return Err(GaveUp::RetryAfter);
        }
        // On top of what was asked for, since all others who were refused heard the same.
        let delay = asked.saturating_add(self.next_pause(policy));
        if self.deadline.is_some_and(|deadline| now.saturating_add(delay) >= deadline) {
            return Err(GaveUp::Deadline);
        }
        if policy.budget.as_ref().is_some_and(|budget| !budget.try_withdraw()) {
            return Err(GaveUp::Budget);
        }
        self.context.waited = self.context.waited.saturating_add(delay);
        policy.tell(&RetryEvent { attempt, class, at: now, delay });
        Ok(delay)
    }

    /// The same, when the request cannot be made again.
    pub(super) fn failed_for_good(
        &mut self,
        policy: &RetryPolicy,
        class: ErrorClass,
        now: Duration,
    ) -> GaveUp {
        self.context.note(class, now);
        if policy.is_retried(class) { GaveUp::NotRepeatable } else { GaveUp::Permanent }
    }

    /// Whether no attempt follows the one that is under way.
    pub(super) const fn is_last_attempt(&self, policy: &RetryPolicy) -> bool {
        self.context.attempts.saturating_add(1) >= policy.max_attempts
    }

    /// Until when it may take: the request's deadline or the policy's, whichever comes first.
    pub(super) const fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// What happened so far.
    #[must_use]
    pub const fn context(&self) -> &RecoveryContext {
        &self.context
    }

    pub(super) const fn context_mut(&mut self) -> &mut RecoveryContext {
        &mut self.context
    }

    /// What happened.
    #[must_use]
    pub fn into_context(self) -> RecoveryContext {
        self.context
    }

    /// The pause that we choose ourselves.
    fn next_pause(&mut self, policy: &RetryPolicy) -> Duration {
        let chance = self.chance.get_or_insert_with(|| Chance::new(fresh_seed()));
        let longest = self.pause;
        let grown = longest.saturating_mul(policy.factor.max(1)).min(policy.cap);
        let (pause, next) = match policy.jitter {
            Jitter::None => (longest, grown),
            Jitter::Full => (chance.part_of(longest), grown),
            Jitter::Equal => (longest / 2 + chance.part_of(longest - longest / 2), grown),
            Jitter::Decorrelated => {
                let base = policy.base.min(policy.cap);
                let spread = longest.saturating_mul(3).saturating_sub(base);
                let pause = (base + chance.part_of(spread)).min(policy.cap);
                (pause, pause)
            }
        };
        self.pause = next;
        pause
    }
}

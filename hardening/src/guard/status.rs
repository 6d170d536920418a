//! What can be said about a guard.

use core::fmt;
use std::sync::Arc;

use super::parts::Parts;
use crate::bulkhead::BulkheadStatus;
use crate::circuit_breaker::BreakerStatus;
use crate::clock::Clock;
use crate::rate_limit::RateLimiterStats;
use crate::retry::RetryStats;

/// Shows what a guard and its clones did, and changes nothing. Clones are cheap.
///
/// ```
/// use ironlight_hardening::retry::RetryPolicy;
/// use ironlight_hardening::{Guard, ManualClock};
///
/// let get = Guard::with_clock("price", ManualClock::default()).retry(RetryPolicy::QUICK);
/// let handle = get.handle();
/// let mut replies = [Err(std::io::Error::from(std::io::ErrorKind::TimedOut)), Ok(7)].into_iter();
/// assert_eq!(get.call_blocking(|| replies.next().unwrap()).unwrap(), 7);
/// assert_eq!(handle.status().retry.recovered, 1);
/// assert_eq!(handle.status().to_string(), "price: 1 calls, 1 retries, 0 gave up, 0 fallbacks");
/// ```
#[derive(Clone, Debug)]
pub struct GuardHandle<C> {
    pub(super) parts: Arc<Parts>,
    pub(super) clock: C,
}

/// What can be said about a guard: see [`GuardHandle`] for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuardStatus {
    /// The guard's name.
    pub name: Arc<str>,
    /// Calls, retries, and what became of them. Counted without a retry policy as well.
    pub retry: RetryStats,
    /// The breaker, if there is one.
    pub breaker: Option<BreakerStatus>,
    /// The limiter, if there is one.
    pub limiter: Option<RateLimiterStats>,
    /// The bulkhead, if there is one.
    pub bulkhead: Option<BulkheadStatus>,
    /// Attempts that took too long.
    pub timeouts: u64,
    /// Attempts for which there was no time left.
    pub unbegun: u64,
    /// How often there was another answer.
    pub fallbacks: u64,
}

impl<C: Clock> GuardHandle<C> {
    /// The guard's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.parts.name
    }

    /// How it is now.
    #[must_use]
    pub fn status(&self) -> GuardStatus {
        let parts = &*self.parts;
        GuardStatus {
            name: Arc::clone(&parts.name),
            retry: parts.retry.handle().stats(),
            breaker: parts.breaker.as_ref().map(|breaker| breaker.status(self.clock.now())),
            limiter: parts.limiter.as_ref().map(|limiter| limiter.stats()),
            bulkhead: parts.bulkhead.as_ref().map(|(bulkhead, _)| bulkhead.status()),
            timeouts: parts.deadline.given_up(),
            unbegun: parts.deadline.unbegun(),
            fallbacks: parts.fallback.used(),
        }
    }
}

impl fmt::Display for GuardStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, retry, fallbacks, .. } = self;
        let (calls, retries, gave_up) = (retry.requests, retry.retries, retry.gave_up);
        write!(f, "{name}: {calls} calls, {retries} retries, {gave_up} gave up, ")?;
        write!(f, "{fallbacks} fallbacks")?;
        if let Some(limiter) = self.limiter {
            write!(f, ", {} over the limit", limiter.refused)?;
        }
        if let Some(breaker) = self.breaker {
            write!(f, ", breaker {:?}", breaker.state)?;
        }
        Ok(())
    }
}

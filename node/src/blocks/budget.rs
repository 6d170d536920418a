//! What strangers may cause, in bytes.

use ironlight_hardening::rate_limit::{Quota, RateLimiter, RetryAfter};
use ironlight_hardening::{Clock as _, TokioTimer};

/// The longest block: each of its bytes weighs at least one of 4,000,000 (BIP141, Block size).
pub(super) const MAX_BLOCK: u32 = 4_000_000;

/// Bytes for all strangers together.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    timer: TokioTimer,
    limiter: RateLimiter<()>,
}

impl Budget {
    pub(super) fn new(quota: Quota) -> Self {
        Self { timer: TokioTimer::new(), limiter: RateLimiter::new(quota) }
    }

    /// Takes as many as the longest block has, since nobody knows before how long one is.
    ///
    /// # Errors
    /// [`RetryAfter`] where there are not so many.
    pub(super) fn reserve(&self) -> Result<Reserved, RetryAfter> {
        self.limiter.check(&(), MAX_BLOCK, self.timer.now())?;
        Ok(Reserved(self.clone()))
    }
}

/// Bytes that were taken. Dropped unsettled they are gone: who makes us begin and then goes away
/// has used them.
#[derive(Debug)]
pub(super) struct Reserved(Budget);

impl Reserved {
    /// Gives back what was not used.
    pub(super) fn settle(self, used: usize) {
        let used = u32::try_from(used).unwrap_or(u32::MAX);
        self.0.limiter.give_back(&(), MAX_BLOCK.saturating_sub(used));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn what_was_not_used_comes_back_at_once_and_the_rest_with_time() {
        let quota = Quota { burst: 2 * MAX_BLOCK, per: Duration::from_micros(1) };
        let budget = Budget::new(quota);
        budget.reserve().unwrap().settle(1_000_000);
        budget.reserve().unwrap().settle(0);
        drop(budget.reserve().unwrap());
        // 3,000,000 are left of 8,000,000.
        let RetryAfter(wait) = budget.reserve().unwrap_err();
        assert_eq!(wait, Duration::from_secs(1));
        tokio::time::advance(wait).await;
        assert!(budget.reserve().is_ok());
    }
}

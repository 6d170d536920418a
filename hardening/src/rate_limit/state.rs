//! A token bucket in one word: the generic cell rate algorithm (ITU-T I.371, as "virtual
//! scheduling").
//!
//! Purpose: bound how much of something a caller gets, without a timer and without a counter to
//! refill. What is kept is one moment, the theoretical arrival time: the moment at which the
//! bucket is full again. Taking a token moves it on by [`Quota::per`]; it may run ahead of the
//! clock by at most a full bucket.
//!
//! Invariant: in any stretch of time `t` at most `burst + t / per` tokens are granted. A refusal
//! changes nothing, so hammering a limiter does not lock anyone out for longer.
//!
//! What an attacker can grow: nothing; the state has a fixed size.

use core::fmt;
use core::time::Duration;

use crate::clock::nanos;

/// How much is allowed.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::rate_limit::Quota;
///
/// let calm = Quota { burst: 10, per: Duration::from_secs(1) };
/// assert_eq!(Quota::per_minute(60), Quota { burst: 60, ..calm });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The tokens in a full bucket. With none, everything is refused.
    pub burst: u32,
    /// One token comes back in this time. With zero, all comes back at once.
    pub per: Duration,
}

impl Quota {
    /// So many a second, all of them at once if need be.
    #[must_use]
    pub const fn per_second(tokens: u32) -> Self {
        Self::spread(tokens, Duration::from_secs(1))
    }

    /// So many a minute, all of them at once if need be.
    #[must_use]
    pub const fn per_minute(tokens: u32) -> Self {
        Self::spread(tokens, Duration::from_secs(60))
    }

    /// So many an hour, all of them at once if need be.
    #[must_use]
    pub const fn per_hour(tokens: u32) -> Self {
        Self::spread(tokens, Duration::from_secs(3600))
    }

    /// A bucket that fills in `time`. The time of one token is rounded up, so that never more
    /// comes back than was asked for.
    const fn spread(tokens: u32, time: Duration) -> Self {
        match time.checked_div(tokens) {
            None => Self { burst: 0, per: time },
            Some(per) => {
                let rounded = per.saturating_add(Duration::from_nanos(1));
                let exact = per.saturating_mul(tokens).as_nanos() == time.as_nanos();
                Self { burst: tokens, per: if exact { per } else { rounded } }
            }
        }
    }

    /// The time in which an empty bucket fills, in nanoseconds; saturates after 584 years.
    pub(super) fn fill_time(self) -> u64 {
        nanos(self.per).saturating_mul(u64::from(self.burst))
    }
}

/// Not now: the same request is granted after this time, if nothing else is until then.
/// [`Duration::MAX`] means never: it asks for more than a full bucket.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::rate_limit::{Quota, RateLimiter, RetryAfter};
///
/// let limiter = RateLimiter::new(Quota::per_minute(1));
/// limiter.check(&"alice", 1, Duration::ZERO).unwrap();
/// let refused = limiter.check(&"alice", 1, Duration::from_secs(20)).unwrap_err();
/// assert_eq!(refused, RetryAfter(Duration::from_secs(40)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter(pub Duration);

impl fmt::Display for RetryAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == Duration::MAX {
            return f.write_str("more than the limit ever allows at once");
        }
        write!(f, "over the limit, retry after {:?}", self.0)
    }
}

impl core::error::Error for RetryAfter {}

/// A rate limiter that starts with a full bucket.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::rate_limit::{Gcra, Quota, RetryAfter};
///
/// let second = Duration::from_secs(1);
/// let mut limiter = Gcra::new(Quota { burst: 2, per: second });
/// assert_eq!(limiter.check(2, Duration::ZERO), Ok(()));
/// assert_eq!(limiter.check(1, Duration::ZERO), Err(RetryAfter(second)));
/// assert_eq!(limiter.check(1, second), Ok(()));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Gcra {
    quota: Quota,
    /// When the bucket is full again, in nanoseconds: the one word of state.
    full_at: u64,
}

impl Gcra {
    /// A limiter with a full bucket.
    #[must_use]
    pub const fn new(quota: Quota) -> Self {
        Self { quota, full_at: 0 }
    }

    /// Takes tokens. `now` is the time since any fixed start; one that goes back counts as
    /// standing still would, so no tokens are won by it.
    ///
    /// # Errors
    /// [`RetryAfter`] when there are not enough tokens; none is taken then.
    pub fn check(&mut self, tokens: u32, now: Duration) -> Result<(), RetryAfter> {
        if tokens > self.quota.burst {
            return Err(RetryAfter(Duration::MAX));
        }
        let now = nanos(now);
        let cost = nanos(self.quota.per).saturating_mul(u64::from(tokens));
        let full_at = self.full_at.max(now).saturating_add(cost);
        let latest = now.saturating_add(self.quota.fill_time());
        if self.full_at == u64::MAX && tokens > 0 {
            // So far ahead that a further debt could not be written down.
            return Err(RetryAfter(Duration::MAX));
        }
        if full_at > latest {
            return Err(RetryAfter(Duration::from_nanos(full_at - latest)));
        }
        self.full_at = full_at;
        Ok(())
    }

    /// Takes as many tokens as there are, up to `wanted`, and says how many.
    ///
    /// ```
    /// use core::time::Duration;
    /// use ironlight_hardening::rate_limit::{Gcra, Quota};
    ///
    /// let mut bucket = Gcra::new(Quota::per_minute(60));
    /// assert_eq!(bucket.take_up_to(100, Duration::ZERO), 60);
    /// assert_eq!(bucket.take_up_to(100, Duration::from_secs(2)), 2);
    /// ```
    pub fn take_up_to(&mut self, wanted: u32, now: Duration) -> u32 {
        let granted = wanted.min(self.remaining(now));
        match self.check(granted, now) {
            Ok(()) => granted,
            Err(RetryAfter(_)) => 0,
        }
    }

    /// The whole tokens in the bucket.
    #[must_use]
    pub fn remaining(&self, now: Duration) -> u32 {
        let owed = self.full_at.saturating_sub(nanos(now));
        let free = self.quota.fill_time().saturating_sub(owed);
        match free.checked_div(nanos(self.quota.per)) {
            Some(tokens) => u32::try_from(tokens).unwrap_or(u32::MAX).min(self.quota.burst),
            None => self.quota.burst,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Numbers;

    /// A bucket that is refilled by hand, in nanoseconds of credit.
    struct NaiveBucket {
        per: u64,
        full: u64,
        level: u64,
        last: u64,
    }

    impl NaiveBucket {
        fn take(&mut self, tokens: u64, now: u64) -> bool {
            self.level = (self.level + (now - self.last)).min(self.full);
            self.last = now;
            let granted = tokens * self.per <= self.level;
            if granted {
                self.level -= tokens * self.per;
            }
            granted
        }
    }

    #[test]
    fn grants_what_a_bucket_refilled_by_hand_grants() {
        for seed in 0..200 {
            let mut numbers = Numbers(seed);
            let burst = 1 + numbers.below(20);
            let per = 1 + numbers.below(1000);
            let mut limiter = Gcra::new(Quota {
                burst: u32::try_from(burst).unwrap(),
                per: Duration::from_nanos(per),
            });
            let mut bucket = NaiveBucket { per, full: burst * per, level: burst * per, last: 0 };
            let (mut now, mut granted, mut refused) = (0, 0, 0);
            for _ in 0..500 {
                now += numbers.below(3 * per);
                let tokens = numbers.below(burst + 1);
                let ours = limiter
                    .check(u32::try_from(tokens).unwrap(), Duration::from_nanos(now))
                    .is_ok();
                assert_eq!(ours, bucket.take(tokens, now), "seed {seed}, at {now}");
                assert_eq!(
                    u64::from(limiter.remaining(Duration::from_nanos(now))),
                    bucket.level / per
                );
                if ours { granted += 1 } else { refused += 1 }
            }
            assert!(granted > 0 && (refused > 0 || burst < 3), "seed {seed} tries both");
        }
    }

    #[test]
    fn what_is_refused_is_granted_when_it_says_and_not_before() {
        let mut limiter = Gcra::new(Quota { burst: 10, per: Duration::from_millis(100) });
        assert_eq!(limiter.check(10, Duration::ZERO), Ok(()));
        let Err(RetryAfter(wait)) = limiter.check(4, Duration::from_millis(50)) else {
            panic!("the bucket was empty");
        };
        assert_eq!(wait, Duration::from_millis(350));
        let then = Duration::from_millis(50) + wait;
        assert!(limiter.check(4, then - Duration::from_nanos(1)).is_err());
        assert_eq!(limiter.check(4, then), Ok(()));
    }

    #[test]
    fn more_than_a_full_bucket_is_never_granted() {
        let mut limiter = Gcra::new(Quota { burst: 3, per: Duration::from_secs(1) });
        assert_eq!(limiter.check(4, Duration::ZERO), Err(RetryAfter(Duration::MAX)));
        let mut none = Gcra::new(Quota { burst: 0, per: Duration::ZERO });
        assert_eq!(none.check(1, Duration::from_secs(9)), Err(RetryAfter(Duration::MAX)));
    }

    #[test]
    fn what_never_comes_back_is_not_granted_again() {
        let mut limiter = Gcra::new(Quota { burst: 1, per: Duration::MAX });
        assert_eq!(limiter.check(1, Duration::from_secs(5)), Ok(()));
        assert_eq!(limiter.check(1, Duration::from_secs(6)), Err(RetryAfter(Duration::MAX)));
    }

    #[test]
    fn a_quota_for_a_time_is_never_more_than_it_says() {
        assert_eq!(Quota::per_minute(60).per, Duration::from_secs(1));
        assert_eq!(Quota::per_hour(1000).per, Duration::from_millis(3600));
        for tokens in 1..2000 {
            let quota = Quota::per_second(tokens);
            let back = Duration::from_secs(1).as_nanos() / quota.per.as_nanos();
            assert!(back <= u128::from(tokens) && quota.burst == tokens, "{tokens}");
        }
        assert_eq!(Quota::per_second(0).burst, 0);
    }

    #[test]
    fn takes_what_is_left_and_no_more() {
        let mut limiter = Gcra::new(Quota { burst: 10, per: Duration::from_secs(1) });
        assert_eq!(limiter.take_up_to(7, Duration::ZERO), 7);
        assert_eq!(limiter.take_up_to(7, Duration::ZERO), 3);
        assert_eq!(limiter.take_up_to(7, Duration::ZERO), 0);
        assert_eq!(limiter.take_up_to(7, Duration::from_secs(2)), 2);
    }

    #[test]
    fn a_clock_that_goes_back_wins_nothing() {
        let mut limiter = Gcra::new(Quota { burst: 2, per: Duration::from_secs(1) });
        assert_eq!(limiter.check(2, Duration::from_secs(100)), Ok(()));
        assert!(limiter.check(1, Duration::from_secs(50)).is_err());
    }
}

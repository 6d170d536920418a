//! Several windows at once, and the bucket that goes with them.

use core::time::Duration;

use super::state::{Quota, RetryAfter};
use crate::clock::nanos;

/// How many windows a [`Limit`] has at most: a second, a minute, an hour and a day.
pub const MAX_WINDOWS: usize = 4;

/// One to four quotas that all have to agree: 60 a minute and 1000 an hour.
///
/// ```
/// use ironlight_hardening::rate_limit::{Limit, Quota};
///
/// let limit = Limit::from([Quota::per_minute(60), Quota::per_hour(1000)]);
/// assert_eq!(limit.quotas().count(), 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    windows: [Window; MAX_WINDOWS],
    len: usize,
}

/// A quota in nanoseconds, so that a check does not convert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    quota: Quota,
    per: u64,
    fill: u64,
}

impl Window {
    fn new(quota: Quota) -> Self {
        Self { quota, per: nanos(quota.per), fill: quota.fill_time() }
    }

    /// When the bucket is full after taking tokens, and how long to wait for them.
    fn after(&self, full_at: u64, tokens: u32, now: u64) -> Result<(u64, u64), RetryAfter> {
        // The second: so far ahead that a further debt could not be written down.
        if tokens > self.quota.burst || (full_at == u64::MAX && tokens > 0) {
            return Err(RetryAfter(Duration::MAX));
        }
        let cost = self.per.saturating_mul(u64::from(tokens));
        let next = full_at.max(now).saturating_add(cost);
        Ok((next, next.saturating_sub(now.saturating_add(self.fill))))
    }

    fn remaining(&self, full_at: u64, now: u64) -> u32 {
        let free = self.fill.saturating_sub(full_at.saturating_sub(now));
        match free.checked_div(self.per) {
            Some(tokens) => u32::try_from(tokens).unwrap_or(u32::MAX).min(self.quota.burst),
            None => self.quota.burst,
        }
    }

    /// The same debt in tokens under another quota: rounded up, and at most a full bucket.
    fn moved_to(&self, to: &Self, full_at: u64, now: u64) -> u64 {
        let owed = u128::from(full_at.saturating_sub(now));
        let debt = match self.per {
            0 => 0,
            per => (owed * u128::from(to.per)).div_ceil(u128::from(per)),
        };
        now.saturating_add(u64::try_from(debt).unwrap_or(u64::MAX).min(to.fill))
    }
}

impl Limit {
    /// The quotas, in the order given.
    pub fn quotas(&self) -> impl Iterator<Item = Quota> + '_ {
        self.windows().map(|window| window.quota)
    }

    fn windows(&self) -> impl Iterator<Item = &Window> {
        self.windows.iter().take(self.len)
    }

    fn filled(quotas: &[Quota]) -> Self {
        let mut windows = [Window::new(Quota { burst: 0, per: Duration::ZERO }); MAX_WINDOWS];
        for (window, &quota) in windows.iter_mut().zip(quotas) {
            *window = Window::new(quota);
        }
        Self { windows, len: quotas.len().min(MAX_WINDOWS) }
    }
}

impl From<Quota> for Limit {
    fn from(quota: Quota) -> Self {
        Self::filled(&[quota])
    }
}

/// One to [`MAX_WINDOWS`] quotas: other numbers do not compile.
macro_rules! from_quotas {
    ($($count:literal)*) => {
        $(impl From<[Quota; $count]> for Limit {
            fn from(quotas: [Quota; $count]) -> Self {
                Self::filled(&quotas)
            }
        })*
    };
}
from_quotas!(1 2 3 4);

/// What a key has left in the window that is tightest for it: what a `RateLimit` header says.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::rate_limit::{Quota, RateLimiter};
///
/// let limiter = RateLimiter::new([Quota::per_minute(60), Quota::per_hour(100)]);
/// limiter.check(&"alice", 50, Duration::ZERO).unwrap();
/// let left = limiter.left(&"alice", Duration::ZERO);
/// assert_eq!((left.quota, left.remaining), (Quota::per_minute(60), 10));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// The quota with the fewest tokens left.
    pub quota: Quota,
    /// Its whole tokens.
    pub remaining: u32,
    /// When it is full again, from now.
    pub full_in: Duration,
}

/// When each window is full again, in nanoseconds. Unused windows stay at zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bucket([u64; MAX_WINDOWS]);

impl Bucket {
    /// Takes tokens from all windows or from none. They are there after the time in the answer,
    /// which is at most `patience`.
    pub(super) fn take(
        &mut self,
        limit: &Limit,
        tokens: u32,
        now: u64,
        patience: u64,
    ) -> Result<u64, RetryAfter> {
        let mut after = Self::default();
        let mut wait = 0;
        for ((next, &full_at), window) in after.0.iter_mut().zip(&self.0).zip(limit.windows()) {
            let (moved, missing) = window.after(full_at, tokens, now)?;
            *next = moved;
            wait = missing.max(wait);
        }
        if wait > patience {
            return Err(RetryAfter(Duration::from_nanos(wait)));
        }
        *self = after;
        Ok(wait)
    }

    /// Gives back what was taken and not yet there.
    pub(super) fn give_back(&mut self, limit: &Limit, tokens: u32) {
        for (full_at, window) in self.0.iter_mut().zip(limit.windows()) {
            let cost = window.per.saturating_mul(u64::from(tokens));
            *full_at = full_at.saturating_sub(cost);
        }
    }

    /// Whether it is full, and so the same as a new one.
    pub(super) fn is_full(&self, now: u64) -> bool {
        self.0.iter().all(|&full_at| full_at <= now)
    }

    /// Owes at least what the other owes.
    pub(super) fn join(&mut self, other: &Self) {
        for (full_at, &theirs) in self.0.iter_mut().zip(&other.0) {
            *full_at = theirs.max(*full_at);
        }
    }

    pub(super) fn left(&self, limit: &Limit, now: u64) -> Left {
        let windows = self.0.iter().zip(limit.windows());
        let left = windows.map(|(&full_at, window)| Left {
            quota: window.quota,
            remaining: window.remaining(full_at, now),
            full_in: Duration::from_nanos(full_at.saturating_sub(now)),
        });
        let tightest = left.min_by_key(|left| (left.remaining, core::cmp::Reverse(left.full_in)));
        // A limit has at least one window.
        let none = Quota { burst: 0, per: Duration::ZERO };
        tightest.unwrap_or(Left { quota: none, remaining: 0, full_in: Duration::ZERO })
    }

    /// Goes over to another limit with the tokens it owes; windows are matched by their place.
    pub(super) fn move_to(&mut self, from: &Limit, to: &Limit, now: u64) {
        let mut moved = Self::default();
        let windows = self.0.iter().zip(from.windows()).zip(to.windows());
        for (next, ((&full_at, from), to)) in moved.0.iter_mut().zip(windows) {
            *next = from.moved_to(to, full_at, now);
        }
        *self = moved;
    }
}

//! How often something may happen: token buckets, for one, for each of many keys, and as layers.
//!
//! Purpose: bound what each caller gets, and what we ask of others, without timers. [`Gcra`] is
//! one bucket in one word; [`RateLimiter`] has a bucket for each key, several windows at once, and
//! limits that differ by key and change live; [`RateLimitLayer`] refuses what is over the limit,
//! or [waits](RateLimitLayer::waiting) for it.
//!
//! A bucket of [`Quota::per_minute`]`(60)` grants 60 at once and then one a second: in any stretch
//! of time `t` at most `burst + t / per`, so up to 120 in the busiest minute. Where that is too
//! much, give a smaller burst.
//!
//! What an attacker can grow: the keys of a [`RateLimiter`], up to
//! [`RateLimiterConfig::max_keys`]; [`RateLimiter::memory_bound`] says how many bytes that is.
//! Only buckets that are full leave the table, so a flood of random keys pushes nobody out who is
//! throttled. Keys for which there is no room share buckets, chosen by a salted hash: a flood
//! slows newcomers, but wins nothing. A key that leaves a shared bucket takes its debt along. The
//! waiting layer holds at most as many requests a key as tokens come back within its patience.
//!
//! ```
//! use core::time::Duration;
//! use ironlight_hardening::rate_limit::{IpKey, Quota, RateLimiter};
//!
//! let limiter = RateLimiter::new([Quota::per_minute(60), Quota::per_hour(1000)]);
//! let client = IpKey::from(std::net::IpAddr::from([192, 0, 2, 7]));
//! assert!(limiter.check(&client, 1, Duration::ZERO).is_ok());
//! assert_eq!(limiter.remaining(&client, Duration::ZERO), 59);
//! ```

mod ip;
mod keyed;
mod layer;
mod limit;
#[cfg(test)]
mod model_tests;
mod rule;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod wait;

pub use ip::IpKey;
pub use keyed::{RateLimiter, RateLimiterConfig};
pub use layer::{RateLimit, RateLimitFuture, RateLimitLayer};
pub use limit::{Left, Limit, MAX_WINDOWS};
pub use rule::{Cost, OneToken};
pub use state::{Gcra, Quota, RetryAfter};
pub use table::RateLimiterStats;
pub use wait::{RateLimitWait, RateLimitWaitFuture, RateLimitWaitLayer};

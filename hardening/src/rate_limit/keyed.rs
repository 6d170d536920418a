//! The limiter that many threads use: salted hashing, shards, locks.

use core::fmt;
use core::hash::{BuildHasher, Hash};
use core::time::Duration;
use std::hash::RandomState;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::limit::{Left, Limit};
use super::state::RetryAfter;
use super::table::{Ask, RateLimiterStats, Table};
use crate::clock::nanos;

/// Sizes of a [`RateLimiter`].
///
/// ```
/// use ironlight_hardening::rate_limit::{Quota, RateLimiter, RateLimiterConfig};
///
/// let small = RateLimiterConfig { max_keys: 100, shards: 3, shared: 1 };
/// let limiter = RateLimiter::<u64>::with_config(Quota::per_minute(60), small);
/// assert_eq!(limiter.config(), RateLimiterConfig { max_keys: 100, shards: 2, shared: 2 });
/// assert!(limiter.memory_bound() < 20_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimiterConfig {
    /// Keys with a bucket of their own, at most, in all shards together.
    pub max_keys: usize,
    /// Parts with a lock each, up to 256; rounded down to a power of two that divides among the
    /// keys.
    pub shards: usize,
    /// Buckets that keys share for which there is no room, in all shards together.
    pub shared: usize,
}

impl Default for RateLimiterConfig {
    /// 65,536 keys, 16 shards, 1,024 shared buckets.
    fn default() -> Self {
        Self { max_keys: 65_536, shards: 16, shared: 1_024 }
    }
}

/// A limit for each key, for as many threads as you like. Clones share their state.
///
/// Keys that you name can have limits of their own. For whole classes of requests (light reads,
/// searches, proofs) take a limiter each.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::rate_limit::{Limit, Quota, RateLimiter, RetryAfter};
///
/// let limiter = RateLimiter::new([Quota::per_minute(60), Quota::per_hour(1000)]);
/// let now = Duration::from_secs(3);
/// assert_eq!(limiter.check(&"alice", 60, now), Ok(()));
/// assert_eq!(limiter.check(&"alice", 1, now), Err(RetryAfter(Duration::from_secs(1))));
/// assert_eq!(limiter.check(&"bob", 1, now), Ok(()));
///
/// // Alice may have more from now on; what she took stays taken.
/// limiter.set_limit_of(&"alice", Quota::per_minute(600), now);
/// assert_eq!(limiter.remaining(&"alice", now), 540);
/// ```
pub struct RateLimiter<K, H = RandomState> {
    inner: Arc<Inner<K, H>>,
}

struct Inner<K, H> {
    hasher: H,
    shards: Box<[Shard<K>]>,
    config: RateLimiterConfig,
}

/// Apart from its neighbours in the processor's cache.
#[repr(align(128))]
struct Shard<K>(Mutex<Table<K>>);

impl<K: Hash + Eq + Clone> RateLimiter<K> {
    /// The default sizes, and a salt of this process.
    #[must_use]
    pub fn new(limit: impl Into<Limit>) -> Self {
        Self::with_config(limit, RateLimiterConfig::default())
    }

    /// Sizes of your own.
    #[must_use]
    pub fn with_config(limit: impl Into<Limit>, config: RateLimiterConfig) -> Self {
        Self::with_hasher(limit, config, RandomState::new())
    }
}

impl<K: Hash + Eq + Clone, H: BuildHasher> RateLimiter<K, H> {
    /// A hasher of your own. It must be salted with something that callers do not know, else they
    /// choose whom they share a bucket with.
    pub fn with_hasher(limit: impl Into<Limit>, config: RateLimiterConfig, hasher: H) -> Self {
        let limit = limit.into();
        let max_keys = config.max_keys.max(1);
        let most = config.shards.clamp(1, 256).min(max_keys);
        let shards = 1 << most.ilog2();
        let config = RateLimiterConfig {
            max_keys: max_keys / shards * shards,
            shards,
            shared: config.shared.div_ceil(shards).max(1) * shards,
        };
        let shard = || {
            let table = Table::new(limit, config.max_keys / shards, config.shared / shards);
            Shard(Mutex::new(table))
        };
        let shards = (0..shards).map(|_| shard()).collect();
        Self { inner: Arc::new(Inner { hasher, shards, config }) }
    }

    /// Takes tokens. `now` is the time since any fixed start.
    ///
    /// # Errors
    /// [`RetryAfter`] when a window has not enough; none is taken from any then.
    pub fn check(&self, key: &K, tokens: u32, now: Duration) -> Result<(), RetryAfter> {
        self.reserve(key, tokens, now, Duration::ZERO).map(|_| ())
    }

    /// Takes tokens that may come later, but within `patience`, and says how long to wait for
    /// them. Those who wait are served in the order in which they asked.
    ///
    /// ```
    /// use core::time::Duration;
    /// use ironlight_hardening::rate_limit::{Quota, RateLimiter, RetryAfter};
    ///
    /// let limiter = RateLimiter::new(Quota::per_minute(1));
    /// let (now, minute) = (Duration::ZERO, Duration::from_secs(60));
    /// assert_eq!(limiter.reserve(&"alice", 1, now, minute), Ok(Duration::ZERO));
    /// assert_eq!(limiter.reserve(&"alice", 1, now, minute), Ok(minute), "it comes in a minute");
    /// assert_eq!(limiter.reserve(&"alice", 1, now, minute), Err(RetryAfter(2 * minute)));
    /// // The one who waits goes away:
    /// limiter.give_back(&"alice", 1);
    /// assert_eq!(limiter.reserve(&"alice", 1, now, minute), Ok(minute));
    /// ```
    ///
    /// # Errors
    /// [`RetryAfter`] when it would take longer; none is taken then.
    pub fn reserve(
        &self,
        key: &K,
        tokens: u32,
        now: Duration,
        patience: Duration,
    ) -> Result<Duration, RetryAfter> {
        let (hash, mut table) = self.table(key);
        let ask = Ask { hash, tokens, now: nanos(now), patience: nanos(patience) };
        table.take(key, ask).map(Duration::from_nanos)
    }

    /// Gives reserved tokens back. Only before the time that [`Self::reserve`] named has passed:
    /// afterwards they count as used, and giving them back would grant them twice.
    pub fn give_back(&self, key: &K, tokens: u32) {
        let (hash, mut table) = self.table(key);
        table.give_back(hash, key, tokens);
    }

    /// The whole tokens that the key has left in its tightest window.
    pub fn remaining(&self, key: &K, now: Duration) -> u32 {
        self.left(key, now).remaining
    }

    /// What the key has left in its tightest window, and when that is full again.
    pub fn left(&self, key: &K, now: Duration) -> Left {
        self.status(key, now).1
    }

    /// The limit that holds for the key, its own or that of all, and what it has left.
    pub fn status(&self, key: &K, now: Duration) -> (Limit, Left) {
        let (hash, mut table) = self.table(key);
        table.status(hash, key, nanos(now))
    }

    /// Fills the key's bucket. Says whether it has one of its own: a shared one is not touched,
    /// for others would be let loose with it.
    ///
    /// ```
    /// use core::time::Duration;
    /// use ironlight_hardening::rate_limit::{Quota, RateLimiter};
    ///
    /// let limiter = RateLimiter::new(Quota::per_minute(60));
    /// limiter.check(&"alice", 60, Duration::ZERO).unwrap();
    /// assert!(limiter.reset(&"alice"));
    /// assert_eq!(limiter.remaining(&"alice", Duration::ZERO), 60);
    /// ```
    pub fn reset(&self, key: &K) -> bool {
        let (hash, mut table) = self.table(key);
        table.reset(hash, key)
    }

    /// Fills all buckets, the shared ones too. Limits and what was counted stay.
    pub fn reset_all(&self) {
        self.tables().for_each(|mut table| table.reset_all());
    }

    /// What was counted, over all shards.
    #[must_use]
    pub fn stats(&self) -> RateLimiterStats {
        let parts = self.tables().map(|table| table.stats());
        parts.fold(RateLimiterStats::default(), |sum, part| RateLimiterStats {
            granted: sum.granted + part.granted,
            refused: sum.refused + part.refused,
            shared: sum.shared + part.shared,
            cleaned: sum.cleaned + part.cleaned,
            keys: sum.keys + part.keys,
            own_limits: sum.own_limits + part.own_limits,
        })
    }

    /// The limit of this key's shard: while [`Self::set_limit`] is under way, that may be the old
    /// one for some keys and the new one for others.
    pub fn limit(&self, key: &K) -> Limit {
        self.table(key).1.limit()
    }

    /// Another limit for all keys without one of their own, from now on. Each owes as many tokens
    /// as before, up to a full bucket of the new limit; windows are matched by their place.
    /// Goes through all keys, a shard at a time.
    ///
    /// ```
    /// use core::time::Duration;
    /// use ironlight_hardening::rate_limit::{Quota, RateLimiter};
    ///
    /// let limiter = RateLimiter::new(Quota::per_minute(60));
    /// limiter.check(&"alice", 50, Duration::ZERO).unwrap();
    /// limiter.set_limit(Quota::per_minute(100), Duration::ZERO);
    /// assert_eq!(limiter.remaining(&"alice", Duration::ZERO), 50, "what she took stays taken");
    /// assert_eq!(limiter.remaining(&"bob", Duration::ZERO), 100);
    /// ```
    pub fn set_limit(&self, limit: impl Into<Limit>, now: Duration) {
        let limit = limit.into();
        self.tables().for_each(|mut table| table.set_limit(limit, nanos(now)));
    }

    /// A limit for this key alone. It keeps its debt, and a place of its own until
    /// [`Self::clear_limit_of`]; these keys are not bounded, so do not let callers name them.
    pub fn set_limit_of(&self, key: &K, limit: impl Into<Limit>, now: Duration) {
        let (hash, mut table) = self.table(key);
        table.set_limit_of(hash, key, limit.into(), nanos(now));
    }

    /// The limit of all for this key too, with its debt. Says whether it had one of its own.
    pub fn clear_limit_of(&self, key: &K, now: Duration) -> bool {
        let (hash, mut table) = self.table(key);
        table.clear_limit_of(hash, key, nanos(now))
    }

    /// Forgets the keys whose buckets are full, and says how many; this also happens by itself as
    /// new keys come.
    ///
    /// ```
    /// use core::time::Duration;
    /// use ironlight_hardening::rate_limit::{Quota, RateLimiter};
    ///
    /// let limiter = RateLimiter::new(Quota::per_minute(60));
    /// limiter.check(&"alice", 1, Duration::ZERO).unwrap();
    /// assert_eq!(limiter.clean(Duration::ZERO), 0);
    /// assert_eq!(limiter.clean(Duration::from_secs(60)), 1, "her bucket is full again");
    /// ```
    pub fn clean(&self, now: Duration) -> usize {
        self.tables().map(|mut table| table.clean(nanos(now))).sum()
    }

    /// The sizes as they are, after rounding.
    #[must_use]
    pub fn config(&self) -> RateLimiterConfig {
        self.inner.config
    }

    /// The bytes that it takes at most, whatever callers send. Not counted: what a key itself
    /// holds on the heap, and keys with limits of their own.
    #[must_use]
    pub fn memory_bound(&self) -> usize {
        let RateLimiterConfig { max_keys, shards, shared } = self.inner.config;
        let table = Table::<K>::memory_bound(max_keys / shards, shared / shards);
        shards * (table + size_of::<Shard<K>>()) + size_of::<Inner<K, H>>() + 64
    }

    #[expect(clippy::indexing_slicing, reason = "masked by a length that is a power of two")]
    fn table(&self, key: &K) -> (u64, MutexGuard<'_, Table<K>>) {
        let hash = self.inner.hasher.hash_one(key);
        let shards = &self.inner.shards;
        // The table uses the lowest and the highest bits, shared buckets those from 40 on.
        let bits = usize::try_from((hash >> 32) & 0xff).unwrap_or(0);
        (hash, lock(&shards[bits & (shards.len() - 1)]))
    }

    fn tables(&self) -> impl Iterator<Item = MutexGuard<'_, Table<K>>> {
        self.inner.shards.iter().map(lock)
    }
}

/// A key whose comparison panics leaves the table whole: nothing is half-written around it.
fn lock<K>(shard: &Shard<K>) -> MutexGuard<'_, Table<K>> {
    shard.0.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K, H> Clone for RateLimiter<K, H> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<K, H> fmt::Debug for RateLimiter<K, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

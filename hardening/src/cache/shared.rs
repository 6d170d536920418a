//! Caches for many threads: shards with a lock each.

use core::borrow::Borrow;
use core::fmt;
use core::hash::{BuildHasher, Hash};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::lru::LruCache;
use super::stats::CacheStats;
use super::ttl::{Lookup, TtlCache, TtlConfig};

/// A panic in the code of a key or a value leaves a cache as whole as it would be without a lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Neighbours on one cache line would slow each other down as one lock does.
#[repr(align(64))]
struct Shard<T>(Mutex<T>);

struct Sharded<T> {
    first: Shard<T>,
    rest: Box<[Shard<T>]>,
    /// Not the hasher of the maps: within a shard their hashes must not have bits in common.
    hasher: lru::DefaultHasher,
}

/// More threads than this seldom meet.
const SHARDS: usize = 16;

impl<T> Sharded<T> {
    /// Cuts the capacity into shards that differ by one at most; `make` gets a shard's part.
    fn new(capacity: usize, mut make: impl FnMut(usize) -> T) -> Self {
        let count = capacity.clamp(1, SHARDS);
        let part = |at: usize| capacity / count + usize::from(at < capacity % count);
        let first = Shard(Mutex::new(make(part(0))));
        let rest = (1..count).map(|at| Shard(Mutex::new(make(part(at))))).collect();
        Self { first, rest, hasher: lru::DefaultHasher::default() }
    }

    fn of<Q: Hash + ?Sized>(&self, key: &Q) -> MutexGuard<'_, T> {
        let count = u64::try_from(self.rest.len()).unwrap_or(0) + 1;
        // The upper half, as a fraction of the shards: no division.
        let place = ((self.hasher.hash_one(key) >> 32) * count) >> 32;
        let place = usize::try_from(place).unwrap_or(0);
        let shard = place.checked_sub(1).and_then(|at| self.rest.get(at)).unwrap_or(&self.first);
        lock(&shard.0)
    }

    fn each(&self, mut with: impl FnMut(&mut T)) {
        for shard in core::iter::once(&self.first).chain(&self.rest) {
            with(&mut lock(&shard.0));
        }
    }

    fn sum(&self, mut with: impl FnMut(&mut T) -> usize) -> usize {
        let mut sum = 0;
        self.each(|shard| sum += with(shard));
        sum
    }
}

/// An [`LruCache`] for many threads. Clones share the entries.
///
/// ```
/// use ironlight_hardening::cache::SharedLruCache;
///
/// let cache = SharedLruCache::new(1000);
/// cache.insert("block/7", 7);
/// cache.insert("block/8", 8);
/// cache.insert("tip", 8);
/// assert_eq!(cache.clone().get("block/7"), Some(7));
/// assert_eq!(cache.invalidate_prefix("block/"), 2);
/// assert_eq!(cache.stats().len, 1);
/// ```
pub struct SharedLruCache<K: Hash + Eq, V>(Arc<Sharded<LruCache<K, V>>>);

impl<K: Hash + Eq, V> Clone for SharedLruCache<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Hash + Eq, V> fmt::Debug for SharedLruCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLruCache").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl<K: Hash + Eq, V> SharedLruCache<K, V> {
    /// Empty; a capacity of 0 counts as 1.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self(Arc::new(Sharded::new(capacity, LruCache::new)))
    }

    /// The value, which is now the one used last in its shard. Cloned under the shard's lock: large
    /// values belong in an `Arc`.
    #[must_use]
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        self.0.of(key).get(key).cloned()
    }

    /// Puts it in and gives back the entry that made room, if one had to.
    pub fn insert(&self, key: K, value: V) -> Option<(K, V)> {
        // The guard lives to the end of the statement, and what is evicted is dropped after it.
        self.0.of(&key).insert(key, value)
    }

    /// Takes one entry out.
    pub fn invalidate<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.of(key).invalidate(key)
    }

    /// Takes out every entry whose key says yes, and says how many. Looks at all keys, one shard
    /// after the other; only that shard waits meanwhile.
    pub fn invalidate_where(&self, mut gone: impl FnMut(&K) -> bool) -> usize {
        self.0.sum(|shard| shard.invalidate_where(&mut gone))
    }

    /// Takes out every entry whose key begins so, and says how many; as costly as
    /// [`invalidate_where`](Self::invalidate_where).
    pub fn invalidate_prefix(&self, prefix: impl AsRef<[u8]>) -> usize
    where
        K: AsRef<[u8]>,
    {
        self.0.sum(|shard| shard.invalidate_prefix(prefix.as_ref()))
    }

    /// Takes everything out and says how many it was.
    pub fn clear(&self) -> usize {
        self.0.sum(LruCache::clear)
    }

    /// The figures, added up.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let mut sum = CacheStats::default();
        self.0.each(|shard| sum.add(&shard.stats()));
        sum
    }
}

/// A [`TtlCache`] for many threads. Clones share the entries.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::cache::{Lookup, SharedTtlCache, TtlConfig};
///
/// let cache = SharedTtlCache::new(TtlConfig::default());
/// cache.insert("tip", 7, Duration::ZERO);
/// assert_eq!(cache.get("tip", Duration::from_secs(1)), Lookup::Fresh(7));
/// assert_eq!(cache.get("tip", Duration::from_secs(400)), Lookup::Missing);
/// ```
pub struct SharedTtlCache<K: Hash + Eq, V>(Arc<Sharded<TtlCache<K, V>>>);

impl<K: Hash + Eq, V> Clone for SharedTtlCache<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Hash + Eq, V> fmt::Debug for SharedTtlCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTtlCache").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl<K: Hash + Eq, V> SharedTtlCache<K, V> {
    /// Empty.
    #[must_use]
    pub fn new(config: TtlConfig) -> Self {
        let mut seed = config.seed;
        Self(Arc::new(Sharded::new(config.capacity, |capacity| {
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15 << 7);
            TtlCache::new(TtlConfig { capacity, seed, ..config })
        })))
    }

    /// Looks it up at `now`. Cloned under the shard's lock: large values belong in an `Arc`.
    #[must_use]
    pub fn get<Q>(&self, key: &Q, now: Duration) -> Lookup<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        self.0.of(key).get_cloned(key, now)
    }

    /// The same, with the epoch of the key for [`insert_at`](Self::insert_at).
    pub(super) fn get_at(&self, key: &K, now: Duration) -> (Lookup<V>, u64)
    where
        V: Clone,
    {
        let mut shard = self.0.of(key);
        let epoch = shard.epoch();
        (shard.get_cloned(key, now), epoch)
    }

    /// What is there, without counting as use or lookup.
    #[must_use]
    pub fn peek<Q>(&self, key: &Q, now: Duration) -> Lookup<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        self.0.of(key).peek(key, now).cloned()
    }

    /// Puts it in unless something was taken out since the epoch; none is a negative entry.
    pub(super) fn insert_at(
        &self,
        key: K,
        value: Option<V>,
        ttl: Option<Duration>,
        now: Duration,
        epoch: u64,
    ) {
        let mut shard = self.0.of(&key);
        if shard.epoch() == epoch {
            match (value, ttl) {
                (Some(value), None) => shard.insert(key, value, now),
                (Some(value), Some(ttl)) => shard.insert_for(key, value, ttl, now),
                (None, _) => shard.insert_negative(key, now),
            };
        }
    }

    /// Puts a value in, made at `now`.
    pub fn insert(&self, key: K, value: V, now: Duration) {
        let _evicted = self.0.of(&key).insert(key, value, now);
    }

    /// Puts a value in that lasts so long at most instead of [`TtlConfig::ttl`].
    pub fn insert_for(&self, key: K, value: V, ttl: Duration, now: Duration) {
        let _evicted = self.0.of(&key).insert_for(key, value, ttl, now);
    }

    /// Puts in that there is none.
    pub fn insert_negative(&self, key: K, now: Duration) {
        let _evicted = self.0.of(&key).insert_negative(key, now);
    }

    /// Takes one entry out; whether it was there. What is being loaded at the moment is not put in.
    pub fn invalidate<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.of(key).invalidate(key)
    }

    /// Takes out every entry whose key says yes, and says how many. Looks at all keys, one shard
    /// after the other; only that shard waits meanwhile. What is being loaded at the moment is not
    /// put in.
    pub fn invalidate_where(&self, mut gone: impl FnMut(&K) -> bool) -> usize {
        self.0.sum(|shard| shard.invalidate_where(&mut gone))
    }

    /// Takes out every entry whose key begins so, and says how many; as costly as
    /// [`invalidate_where`](Self::invalidate_where).
    pub fn invalidate_prefix(&self, prefix: impl AsRef<[u8]>) -> usize
    where
        K: AsRef<[u8]>,
    {
        self.0.sum(|shard| shard.invalidate_prefix(prefix.as_ref()))
    }

    /// Takes everything out and says how many it was.
    pub fn clear(&self) -> usize {
        self.0.sum(TtlCache::clear)
    }

    /// Takes out what is gone at `now`, and says how many. Looks at all entries.
    pub fn remove_expired(&self, now: Duration) -> usize {
        self.0.sum(|shard| shard.remove_expired(now))
    }

    /// The figures, added up.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let mut sum = CacheStats::default();
        self.0.each(|shard| sum.add(&shard.stats()));
        sum
    }
}

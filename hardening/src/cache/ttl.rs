//! Entries that age.

use core::borrow::Borrow;
use core::hash::Hash;
use core::time::Duration;

use super::lru::LruCache;
use super::stats::CacheStats;
use crate::chance::Chance;
use crate::clock::nanos;

/// How long entries last.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::cache::{Lookup, TtlCache, TtlConfig};
///
/// let (ttl, zero) = (Duration::from_secs(10), Duration::ZERO);
/// let config = TtlConfig { ttl, jitter: 0, stale: Duration::from_secs(5), ..TtlConfig::default() };
/// let mut cache = TtlCache::new(config);
/// cache.insert("tip", 7, zero);
/// assert_eq!(cache.get("tip", zero), Lookup::Fresh(&7));
/// assert_eq!(cache.get("tip", ttl), Lookup::Stale { value: &7, renew: true });
/// assert_eq!(cache.get("tip", 2 * ttl), Lookup::Missing);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TtlConfig {
    /// The most entries; 0 counts as 1.
    pub capacity: usize,
    /// A value is fresh for this long at most.
    pub ttl: Duration,
    /// By up to so many hundredths each entry lasts shorter, so that those made together do not
    /// expire together. More than 100 counts as 100.
    pub jitter: u32,
    /// "There is none" is known for this long at most.
    pub negative_ttl: Duration,
    /// For this long after it was fresh, a value is still given out, as stale.
    pub stale: Duration,
    /// One of those who find a stale value is asked to renew it; if nothing has come after this
    /// time, another.
    pub renew_again: Duration,
    /// Of two caches with different seeds the jitter differs.
    pub seed: u64,
}

impl Default for TtlConfig {
    /// 1,000 entries for 300 seconds less up to 10 %, "none" for 10 seconds, stale for 30 more,
    /// renewal asked for every 5.
    fn default() -> Self {
        Self {
            capacity: 1000,
            ttl: Duration::from_secs(300),
            jitter: 10,
            negative_ttl: Duration::from_secs(10),
            stale: Duration::from_secs(30),
            renew_again: Duration::from_secs(5),
            seed: 0,
        }
    }
}

/// What a lookup found.
///
/// See [`TtlConfig`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup<V> {
    /// A value.
    Fresh(V),
    /// A value that should be renewed.
    Stale {
        /// The value.
        value: V,
        /// Whether the caller is the one to renew it; the others need not.
        renew: bool,
    },
    /// It is known that there is none.
    Negative,
    /// Nothing is known.
    Missing,
}

impl<V> Lookup<V> {
    /// The value, fresh or stale.
    pub fn value(self) -> Option<V> {
        match self {
            Self::Fresh(value) | Self::Stale { value, .. } => Some(value),
            Self::Negative | Self::Missing => None,
        }
    }
}

impl<V: Clone> Lookup<&V> {
    /// The same with the value cloned.
    #[must_use]
    pub fn cloned(self) -> Lookup<V> {
        match self {
            Self::Fresh(value) => Lookup::Fresh(value.clone()),
            Self::Stale { value, renew } => Lookup::Stale { value: value.clone(), renew },
            Self::Negative => Lookup::Negative,
            Self::Missing => Lookup::Missing,
        }
    }
}

#[derive(Debug)]
struct Entry<V> {
    value: Option<V>,
    fresh_until: u64,
    gone_at: u64,
    /// Who looks from then on is asked to renew.
    renew_from: u64,
}

/// A bounded map whose entries age: fresh, then stale, then gone.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::cache::{Lookup, TtlCache, TtlConfig};
///
/// let second = Duration::from_secs(1);
/// let config = TtlConfig { ttl: 10 * second, jitter: 0, stale: 5 * second, ..Default::default() };
/// let mut cache = TtlCache::new(config);
/// cache.insert("tip", 7, Duration::ZERO);
/// cache.insert_negative("nobody", Duration::ZERO);
/// assert_eq!(cache.get("tip", 9 * second), Lookup::Fresh(&7));
/// assert_eq!(cache.get("tip", 10 * second), Lookup::Stale { value: &7, renew: true });
/// assert_eq!(cache.get("tip", 11 * second), Lookup::Stale { value: &7, renew: false });
/// assert_eq!(cache.get("tip", 15 * second), Lookup::Missing);
/// assert_eq!(cache.get("nobody", 9 * second), Lookup::Negative);
/// ```
#[derive(Debug)]
pub struct TtlCache<K: Hash + Eq, V> {
    lru: LruCache<K, Entry<V>>,
    config: TtlConfig,
    chance: Chance,
    epoch: u64,
}

impl<K: Hash + Eq, V> TtlCache<K, V> {
    /// Empty.
    #[must_use]
    pub fn new(config: TtlConfig) -> Self {
        Self {
            lru: LruCache::new(config.capacity),
            config,
            chance: Chance::new(config.seed),
            epoch: 0,
        }
    }

    /// Looks it up at `now`; it is then the one used last. One that is gone is taken out.
    pub fn get<Q>(&mut self, key: &Q, now: Duration) -> Lookup<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let now = nanos(now);
        // Peeked at first, as a reference that is returned on one path holds on all of them.
        let gone = match self.lru.entries.get(key) {
            None => {
                self.lru.counters.misses += 1;
                return Lookup::Missing;
            }
            Some(entry) => now >= entry.gone_at,
        };
        if gone {
            self.lru.entries.pop(key);
            self.lru.counters.expirations += 1;
            self.lru.counters.misses += 1;
            return Lookup::Missing;
        }
        self.lru.counters.hits += 1;
        let renew_again = self.config.renew_again;
        match self.lru.entries.peek_mut(key) {
            Some(entry) => Self::found(entry, now, renew_again, &mut self.lru.counters),
            None => Lookup::Missing,
        }
    }

    /// What [`get`](Self::get) would find, without counting as use or lookup; a stale value is
    /// never to be renewed.
    pub fn peek<Q>(&self, key: &Q, now: Duration) -> Lookup<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let now = nanos(now);
        match self.lru.peek(key) {
            Some(entry) if now < entry.gone_at => match &entry.value {
                None => Lookup::Negative,
                Some(value) if now < entry.fresh_until => Lookup::Fresh(value),
                Some(value) => Lookup::Stale { value, renew: false },
            },
            Some(_) | None => Lookup::Missing,
        }
    }

    /// [`get`](Self::get) with one lookup less: what is cloned is no longer borrowed.
    #[inline]
    pub(super) fn get_cloned<Q>(&mut self, key: &Q, now: Duration) -> Lookup<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        let now = nanos(now);
        let counters = &mut self.lru.counters;
        match self.lru.entries.get_mut(key) {
            None => {}
            Some(entry) if now >= entry.gone_at => {
                counters.expirations += 1;
                self.lru.entries.pop(key);
            }
            Some(entry) => {
                counters.hits += 1;
                let renew_again = self.config.renew_again;
                return Self::found(entry, now, renew_again, counters).cloned();
            }
        }
        counters.misses += 1;
        Lookup::Missing
    }

    #[inline]
    fn found<'a>(
        entry: &'a mut Entry<V>,
        now: u64,
        renew_again: Duration,
        counters: &mut CacheStats,
    ) -> Lookup<&'a V> {
        let Some(value) = &entry.value else {
            counters.negative_hits += 1;
            return Lookup::Negative;
        };
        if now < entry.fresh_until {
            return Lookup::Fresh(value);
        }
        counters.stale_hits += 1;
        let renew = now >= entry.renew_from;
        if renew {
            entry.renew_from = now.saturating_add(nanos(renew_again).max(1));
        }
        Lookup::Stale { value, renew }
    }

    /// Puts a value in, made at `now`; gives back the key that made room, if one had to.
    pub fn insert(&mut self, key: K, value: V, now: Duration) -> Option<K> {
        self.insert_for(key, value, self.config.ttl, now)
    }

    /// Puts a value in that lasts so long at most instead of [`TtlConfig::ttl`].
    ///
    /// ```
    /// use core::time::Duration;
    /// use ironlight_hardening::cache::{Lookup, TtlCache, TtlConfig};
    ///
    /// let (second, now) = (Duration::from_secs(1), Duration::ZERO);
    /// let config = TtlConfig { jitter: 0, stale: Duration::ZERO, ..TtlConfig::default() };
    /// let mut cache = TtlCache::new(config);
    /// cache.insert_for("tip", 7, second, now);
    /// assert_eq!(cache.peek("tip", now), Lookup::Fresh(&7));
    /// assert_eq!(cache.peek("tip", second), Lookup::Missing);
    /// assert_eq!((cache.remove_expired(second), cache.is_empty()), (1, true));
    /// ```
    pub fn insert_for(&mut self, key: K, value: V, ttl: Duration, now: Duration) -> Option<K> {
        self.put(key, Some(value), ttl, self.config.stale, now)
    }

    /// Puts in that there is none. This is never stale: it is known, or it is not.
    pub fn insert_negative(&mut self, key: K, now: Duration) -> Option<K> {
        self.put(key, None, self.config.negative_ttl, Duration::ZERO, now)
    }

    fn put(
        &mut self,
        key: K,
        value: Option<V>,
        ttl: Duration,
        stale: Duration,
        now: Duration,
    ) -> Option<K> {
        let lasts = ttl.saturating_sub(self.jitter_of(ttl));
        let fresh_until = nanos(now).saturating_add(nanos(lasts));
        let gone_at = fresh_until.saturating_add(nanos(stale));
        let entry = Entry { value, fresh_until, gone_at, renew_from: fresh_until };
        self.lru.insert(key, entry).map(|(key, _)| key)
    }

    /// A drawn part of the jitter.
    fn jitter_of(&mut self, ttl: Duration) -> Duration {
        let most = u128::from(nanos(ttl)) * u128::from(self.config.jitter.min(100)) / 100;
        self.chance.part_of(Duration::from_nanos(u64::try_from(most).unwrap_or(u64::MAX)))
    }

    /// Counts what was taken out on purpose. A value whose making began in an earlier epoch may
    /// show what was true before that, and should not be put in.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Takes one entry out; whether it was there.
    pub fn invalidate<Q>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.epoch += 1;
        self.lru.invalidate(key).is_some()
    }

    /// Takes out every entry whose key says yes, and says how many. Looks at all keys.
    ///
    /// ```
    /// use core::time::Duration;
    /// use ironlight_hardening::cache::{TtlCache, TtlConfig};
    ///
    /// let mut cache = TtlCache::new(TtlConfig::default());
    /// for height in 0..10 {
    ///     cache.insert(height, "block", Duration::ZERO);
    /// }
    /// assert_eq!(cache.invalidate_where(|height| *height >= 7), 3, "a reorg");
    /// assert!(cache.invalidate(&0));
    /// assert_eq!(cache.clear(), 6);
    /// ```
    pub fn invalidate_where(&mut self, gone: impl FnMut(&K) -> bool) -> usize {
        self.epoch += 1;
        self.lru.invalidate_where(gone)
    }

    /// Takes out every entry whose key begins so, and says how many. Looks at all keys.
    pub fn invalidate_prefix(&mut self, prefix: impl AsRef<[u8]>) -> usize
    where
        K: AsRef<[u8]>,
    {
        self.epoch += 1;
        self.lru.invalidate_prefix(prefix)
    }

    /// Takes everything out and says how many it was.
    pub fn clear(&mut self) -> usize {
        self.epoch += 1;
        self.lru.clear()
    }

    /// Takes out the entry that was not used for longest, as if it made room, and gives back its
    /// key: for bounds other than the number of entries.
    pub fn evict_oldest(&mut self) -> Option<K> {
        let (key, _) = self.lru.entries.pop_lru()?;
        self.lru.counters.evictions += 1;
        Some(key)
    }

    /// Takes out what is gone at `now`, and says how many. Looks at all entries.
    pub fn remove_expired(&mut self, now: Duration) -> usize {
        let now = nanos(now);
        let before = self.lru.len();
        self.lru.entries.retain(|_, entry| now < entry.gone_at);
        let gone = before - self.lru.len();
        self.lru.counters.expirations += u64::try_from(gone).unwrap_or(u64::MAX);
        gone
    }

    /// The entries now, those that are gone but still there too.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lru.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lru.is_empty()
    }

    /// The figures.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        self.lru.stats()
    }
}

//! The least recently used entry makes room.

use core::borrow::Borrow;
use core::hash::Hash;
use core::num::NonZeroUsize;

use super::stats::CacheStats;

/// A bounded map that forgets what was not looked at for longest.
///
/// Memory grows with the entries, not with the capacity.
///
/// ```
/// use ironlight_hardening::cache::LruCache;
///
/// let mut cache = LruCache::new(2);
/// cache.insert("a", 1);
/// cache.insert("b", 2);
/// assert_eq!(cache.get("a"), Some(&1));
/// assert_eq!(cache.insert("c", 3), Some(("b", 2))); // "a" was used since
/// assert_eq!(cache.stats().evictions, 1);
/// assert_eq!(cache.stats().hit_rate(), 1.0);
/// ```
#[derive(Debug)]
pub struct LruCache<K: Hash + Eq, V> {
    pub(super) entries: lru::LruCache<K, V>,
    pub(super) counters: CacheStats,
}

impl<K: Hash + Eq, V> LruCache<K, V> {
    /// Empty; a capacity of 0 counts as 1.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let capacity = NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN);
        Self { entries: lru::LruCache::sparse(capacity), counters: CacheStats::default() }
    }

    /// The value, which is now the one used last.
    pub fn get<Q>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let found = self.entries.get(key);
        let counter =
            if found.is_some() { &mut self.counters.hits } else { &mut self.counters.misses };
        *counter += 1;
        found
    }

    /// The value, without counting as use or lookup.
    pub fn peek<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.entries.peek(key)
    }

    /// Puts it in and gives back the entry that made room, if one had to; a value that was there
    /// under the same key is dropped.
    pub fn insert(&mut self, key: K, value: V) -> Option<(K, V)> {
        self.counters.insertions += 1;
        if let Some(old) = self.entries.get_mut(&key) {
            *old = value;
            return None;
        }
        let evicted = self.entries.push(key, value);
        self.counters.evictions += u64::from(evicted.is_some());
        evicted
    }

    /// Takes one entry out.
    pub fn invalidate<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let gone = self.entries.pop(key);
        self.counters.invalidations += u64::from(gone.is_some());
        gone
    }

    /// Takes out what was not used for longest: who counts more than entries makes room so.
    ///
    /// ```
    /// use ironlight_hardening::cache::LruCache;
    ///
    /// let mut cache = LruCache::new(10);
    /// cache.insert("a", 1);
    /// cache.insert("b", 2);
    /// cache.get("a");
    /// assert_eq!(cache.pop_oldest(), Some(("b", 2)));
    /// assert_eq!(cache.stats().evictions, 1);
    /// ```
    pub fn pop_oldest(&mut self) -> Option<(K, V)> {
        let oldest = self.entries.pop_lru();
        self.counters.evictions += u64::from(oldest.is_some());
        oldest
    }

    /// Takes out every entry whose key says yes, and says how many. Looks at all keys.
    ///
    /// ```
    /// use ironlight_hardening::cache::LruCache;
    ///
    /// let mut cache = LruCache::new(10);
    /// for number in 0..10 {
    ///     cache.insert(number, number * number);
    /// }
    /// assert_eq!(cache.invalidate_where(|number| number % 2 == 0), 5);
    /// assert_eq!(cache.invalidate(&3), Some(9));
    /// assert_eq!((cache.len(), cache.clear(), cache.is_empty()), (4, 4, true));
    /// ```
    pub fn invalidate_where(&mut self, mut gone: impl FnMut(&K) -> bool) -> usize {
        let before = self.entries.len();
        self.entries.retain(|key, _| !gone(key));
        self.count_invalidated(before)
    }

    /// Takes out every entry whose key begins so, and says how many. Looks at all keys.
    pub fn invalidate_prefix(&mut self, prefix: impl AsRef<[u8]>) -> usize
    where
        K: AsRef<[u8]>,
    {
        self.invalidate_where(|key| key.as_ref().starts_with(prefix.as_ref()))
    }

    /// Takes everything out and says how many it was.
    pub fn clear(&mut self) -> usize {
        let before = self.entries.len();
        self.entries.clear();
        self.count_invalidated(before)
    }

    fn count_invalidated(&mut self, before: usize) -> usize {
        let gone = before - self.entries.len();
        self.counters.invalidations += u64::try_from(gone).unwrap_or(u64::MAX);
        gone
    }

    /// The entries now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The figures.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let (len, capacity) = (self.entries.len(), self.entries.cap().get());
        CacheStats { len, capacity, ..self.counters }
    }
}

//! What a cache did.

/// The figures of a cache. The counters start with the cache and never go back.
///
/// ```
/// use ironlight_hardening::cache::LruCache;
///
/// let mut cache = LruCache::new(2);
/// cache.insert("one", 1);
/// assert_eq!(cache.get("one"), Some(&1));
/// assert_eq!(cache.get("two"), None);
/// let stats = cache.stats();
/// assert_eq!((stats.hits, stats.misses, stats.hit_rate()), (1, 1, 0.5));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Entries now, expired ones that are still there too.
    pub len: usize,
    /// The most entries.
    pub capacity: usize,
    /// Lookups that found something, stale and negative entries too.
    pub hits: u64,
    /// Lookups that found nothing.
    pub misses: u64,
    /// Of the hits, those that found a stale entry.
    pub stale_hits: u64,
    /// Of the hits, those that found a negative entry.
    pub negative_hits: u64,
    /// Entries put in, also over one of the same key.
    pub insertions: u64,
    /// Entries that made room for others.
    pub evictions: u64,
    /// Entries that were too old.
    pub expirations: u64,
    /// Entries that were taken out by their key, by a prefix, or all.
    pub invalidations: u64,
}

impl CacheStats {
    /// The part of all lookups that found something, from 0 to 1; 0 where there were none.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a ratio of counts needs no more than 53 bits")]
    pub fn hit_rate(&self) -> f64 {
        let lookups = self.hits + self.misses;
        if lookups == 0 { 0.0 } else { self.hits as f64 / lookups as f64 }
    }

    /// Adds up shards.
    pub(super) fn add(&mut self, other: &Self) {
        self.len += other.len;
        self.capacity += other.capacity;
        self.hits += other.hits;
        self.misses += other.misses;
        self.stale_hits += other.stale_hits;
        self.negative_hits += other.negative_hits;
        self.insertions += other.insertions;
        self.evictions += other.evictions;
        self.expirations += other.expirations;
        self.invalidations += other.invalidations;
    }
}

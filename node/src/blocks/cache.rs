//! The least recently used entries make room, by their bytes.

use std::hash::Hash;

use ironlight_hardening::cache::{CacheStats, LruCache};

/// Entries at most, however small they are.
const MAX_ENTRIES: usize = 4096;

/// A cache of so many bytes.
#[derive(Debug)]
pub(super) struct ByteCache<K: Hash + Eq, V> {
    entries: LruCache<K, (V, usize)>,
    bytes: usize,
    most: usize,
}

impl<K: Hash + Eq, V: Clone> ByteCache<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self { entries: LruCache::new(MAX_ENTRIES), bytes: 0, most }
    }

    pub(super) fn get(&mut self, key: &K) -> Option<V> {
        self.entries.get(key).map(|(value, _)| value.clone())
    }

    /// Keeps an entry of so many bytes; one that is too large for the cache is not kept.
    pub(super) fn insert(&mut self, key: K, value: V, bytes: usize) {
        if let Some((_, before)) = self.entries.invalidate(&key) {
            self.bytes -= before;
        }
        if bytes > self.most {
            return;
        }
        while self.bytes + bytes > self.most
            && let Some((_, (_, oldest))) = self.entries.pop_oldest()
        {
            self.bytes -= oldest;
        }
        self.bytes += bytes;
        if let Some((_, (_, evicted))) = self.entries.insert(key, (value, bytes)) {
            self.bytes -= evicted;
        }
    }

    /// The figures, and the bytes now.
    pub(super) fn stats(&self) -> (CacheStats, usize) {
        (self.entries.stats(), self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_makes_room_by_its_bytes() {
        let mut cache = ByteCache::new(100);
        for key in 0..4 {
            cache.insert(key, key, 25);
        }
        assert_eq!(cache.get(&0), Some(0));
        cache.insert(4, 4, 40);
        assert_eq!(
            [0, 1, 2, 3, 4].map(|key| cache.get(&key).is_some()),
            [true, false, false, true, true]
        );
        assert_eq!(cache.stats().1, 90);
        cache.insert(4, 5, 10);
        assert_eq!((cache.get(&4), cache.stats().1), (Some(5), 60));
    }

    #[test]
    fn what_is_too_large_is_not_kept_and_costs_nobody_its_place() {
        let mut cache = ByteCache::new(100);
        cache.insert(1, 1, 100);
        cache.insert(2, 2, 101);
        assert_eq!((cache.get(&1), cache.get(&2)), (Some(1), None));
    }

    #[test]
    fn entries_of_no_size_do_not_pile_up() {
        let mut cache = ByteCache::new(100);
        for key in 0..10_000 {
            cache.insert(key, (), 0);
        }
        assert_eq!(cache.stats().0.len, MAX_ENTRIES);
    }
}

//! Naive models: lists in the order of use, looked through from the start each time.

use super::*;
use crate::testing::Numbers;
use core::time::Duration;

/// The one used last comes last.
struct NaiveLru {
    capacity: usize,
    entries: Vec<(String, u64)>,
    expected: CacheStats,
}

impl NaiveLru {
    fn place(&self, key: &str) -> Option<usize> {
        self.entries.iter().position(|(known, _)| known == key)
    }

    fn get(&mut self, key: &str) -> Option<u64> {
        let Some(at) = self.place(key) else {
            self.expected.misses += 1;
            return None;
        };
        let entry = self.entries.remove(at);
        self.expected.hits += 1;
        let value = entry.1;
        self.entries.push(entry);
        Some(value)
    }

    fn insert(&mut self, key: String, value: u64) -> Option<(String, u64)> {
        self.expected.insertions += 1;
        let known = self.place(&key).map(|at| self.entries.remove(at));
        self.entries.push((key, value));
        if known.is_some() || self.entries.len() <= self.capacity {
            return None;
        }
        self.expected.evictions += 1;
        Some(self.entries.remove(0))
    }

    fn remove(&mut self, gone: impl Fn(&str) -> bool) -> usize {
        let before = self.entries.len();
        self.entries.retain(|(key, _)| !gone(key));
        self.expected.invalidations += (before - self.entries.len()) as u64;
        before - self.entries.len()
    }
}

#[test]
fn an_lru_cache_is_a_list_in_the_order_of_use() {
    for seed in 0..60 {
        let mut numbers = Numbers(seed);
        let capacity = usize::try_from(1 + numbers.below(12)).unwrap();
        let expected = CacheStats { capacity, ..CacheStats::default() };
        let mut naive = NaiveLru { capacity, entries: Vec::new(), expected };
        let mut cache = LruCache::new(capacity);
        for step in 0..2000 {
            let key = format!("{:02}", numbers.below(20));
            match numbers.below(100) {
                0..50 => {
                    assert_eq!(cache.get(&key).copied(), naive.get(&key), "seed {seed} {step}")
                }
                50..90 => {
                    assert_eq!(cache.insert(key.clone(), step), naive.insert(key, step));
                }
                90..97 => {
                    let gone = cache.invalidate(&key).is_some();
                    assert_eq!(usize::from(gone), naive.remove(|known| known == key));
                }
                97..99 => {
                    let prefix = key.split_at(1).0;
                    let gone = naive.remove(|known| known.starts_with(prefix));
                    assert_eq!(cache.invalidate_prefix(prefix), gone);
                }
                _ => assert_eq!(cache.clear(), naive.remove(|_| true)),
            }
            naive.expected.len = naive.entries.len();
            assert_eq!(cache.stats(), naive.expected, "seed {seed} {step}");
        }
    }
}

/// Every entry with all its times, the one used last at the end.
struct NaiveTtl {
    config: TtlConfig,
    entries: Vec<NaiveEntry>,
}

struct NaiveEntry {
    key: u64,
    value: Option<u64>,
    made: u64,
    renewals: Vec<u64>,
}

impl NaiveTtl {
    fn get(&mut self, key: u64, now: u64) -> Lookup<u64> {
        let Some(at) = self.entries.iter().position(|entry| entry.key == key) else {
            return Lookup::Missing;
        };
        let mut entry = self.entries.remove(at);
        let secs = |time: Duration| time.as_secs();
        let ttl = if entry.value.is_some() { self.config.ttl } else { self.config.negative_ttl };
        let fresh_until = entry.made + secs(ttl);
        let found = match entry.value {
            None if now < fresh_until => Lookup::Negative,
            None => return Lookup::Missing,
            Some(value) if now < fresh_until => Lookup::Fresh(value),
            Some(value) if now < fresh_until + secs(self.config.stale) => {
                let again = secs(self.config.renew_again);
                let renew = entry.renewals.iter().all(|asked| now >= asked + again);
                if renew {
                    entry.renewals.push(now);
                }
                Lookup::Stale { value, renew }
            }
            Some(_) => return Lookup::Missing,
        };
        self.entries.push(entry);
        found
    }

    fn insert(&mut self, key: u64, value: Option<u64>, made: u64) {
        self.entries.retain(|entry| entry.key != key);
        self.entries.push(NaiveEntry { key, value, made, renewals: Vec::new() });
        if self.entries.len() > self.config.capacity {
            self.entries.remove(0);
        }
    }
}

#[test]
fn a_ttl_cache_is_a_list_with_times() {
    let mut seen = [0_u32; 5];
    for seed in 0..60 {
        let mut numbers = Numbers(seed);
        let mut some = |end| Duration::from_secs(numbers.below(end));
        let config = TtlConfig {
            ttl: some(40),
            jitter: 0,
            negative_ttl: some(20),
            stale: some(30),
            renew_again: some(8) + Duration::from_secs(1),
            capacity: 6,
            seed,
        };
        let mut naive = NaiveTtl { config, entries: Vec::new() };
        let mut cache = TtlCache::new(config);
        let mut now = 0;
        for step in 0..2000 {
            now += numbers.below(3);
            let key = numbers.below(10);
            let at = Duration::from_secs(now);
            match numbers.below(20) {
                0..14 => {
                    let peeked = cache.peek(&key, at).cloned();
                    let found = match step % 2 {
                        0 => cache.get(&key, at).cloned(),
                        _ => cache.get_cloned(&key, at),
                    };
                    assert_eq!(found, naive.get(key, now), "seed {seed} step {step}");
                    let same = match found {
                        Lookup::Stale { value, .. } => Lookup::Stale { value, renew: false },
                        Lookup::Fresh(_) | Lookup::Negative | Lookup::Missing => found,
                    };
                    assert_eq!(peeked, same);
                    seen[match found {
                        Lookup::Fresh(_) => 0,
                        Lookup::Stale { renew, .. } => 1 + usize::from(renew),
                        Lookup::Negative => 3,
                        Lookup::Missing => 4,
                    }] += 1;
                }
                14..17 => {
                    cache.insert(key, step, at);
                    naive.insert(key, Some(step), now);
                }
                17..19 => {
                    cache.insert_negative(key, at);
                    naive.insert(key, None, now);
                }
                _ => {
                    cache.invalidate(&key);
                    naive.entries.retain(|entry| entry.key != key);
                }
            }
            assert!(cache.len() <= 6);
        }
    }
    assert!(seen.iter().all(|times| *times > 300), "{seen:?}");
}

#[test]
fn jitter_spreads_what_was_made_together_and_makes_nothing_last_longer() {
    let second = Duration::from_secs(1);
    let config = TtlConfig {
        capacity: 100_000,
        ttl: 100 * second,
        jitter: 20,
        stale: Duration::ZERO,
        ..Default::default()
    };
    let cache = SharedTtlCache::new(config);
    for key in 0..1000 {
        cache.insert(key, (), Duration::ZERO);
    }
    assert_eq!(cache.remove_expired(80 * second - Duration::from_nanos(1)), 0);
    let half = cache.remove_expired(90 * second);
    assert!((420..580).contains(&half), "{half}");
    assert_eq!(cache.remove_expired(100 * second), 1000 - half);
    assert_eq!(cache.stats().expirations, 1000);
}

#[test]
fn a_million_keys_are_no_more_than_the_capacity() {
    for capacity in [0, 1, 5, 16, 100, 1003] {
        let lru = SharedLruCache::new(capacity);
        let ttl = SharedTtlCache::new(TtlConfig { capacity, ..Default::default() });
        for key in 0..40_000_u64 {
            lru.insert(key, ());
            ttl.insert(key, (), Duration::ZERO);
        }
        for stats in [lru.stats(), ttl.stats()] {
            assert_eq!((stats.len, stats.capacity), (capacity.max(1), capacity.max(1)));
            assert_eq!(stats.evictions, 40_000 - capacity.max(1) as u64);
        }
    }
}

#[test]
fn threads_see_what_others_put_in() {
    let cache = SharedLruCache::new(10_000);
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let cache = &cache;
            scope.spawn(move || {
                for number in 0..1000 {
                    let key = thread * 1000 + number;
                    cache.insert(key, key);
                    assert_eq!(cache.get(&key), Some(key));
                }
            });
        }
    });
    assert!((0..8000).all(|key| cache.get(&key) == Some(key)));
    assert_eq!(cache.stats().hits, 16_000);
}

//! Against a list in the order of use, looked through from the start each time.

use core::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};

use super::key::CacheKey;
use super::rules::Keep;
use super::state::{Begun, ResponseCache, ResponseCacheConfig};
use crate::edge::head::Head;
use crate::testing::Numbers;

struct Entry {
    target: String,
    body: usize,
    made: u64,
    ttl: u64,
    generation: Option<u64>,
    weight: usize,
}

struct Naive {
    capacity: usize,
    max_bytes: usize,
    max_body: usize,
    entries: Vec<Entry>,
    generation: u64,
    epoch: u64,
}

/// When a miss was, in the naive cache's own count.
#[derive(Clone, Copy)]
struct NaiveBegun {
    at: u64,
    epoch: u64,
    generation: u64,
}

impl Naive {
    fn of(config: &ResponseCacheConfig) -> Self {
        let ResponseCacheConfig { capacity, max_bytes, max_body, .. } = *config;
        Self { capacity, max_bytes, max_body, entries: Vec::new(), generation: 0, epoch: 0 }
    }

    fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.weight).sum()
    }

    /// The body's length and the age.
    fn look(&mut self, target: &str, now: u64) -> Option<(usize, u64)> {
        let at = self.entries.iter().position(|entry| entry.target == target)?;
        let entry = self.entries.remove(at);
        if now >= entry.made + entry.ttl {
            return None;
        }
        let found = entry.generation.is_none_or(|of| of == self.generation);
        let answer = (entry.body, now - entry.made);
        self.entries.push(entry);
        found.then_some(answer)
    }

    fn put(&mut self, mut entry: Entry, until_next: bool, begun: NaiveBegun) -> bool {
        let passed = until_next && begun.generation != self.generation;
        let fits = entry.weight <= self.max_bytes && entry.body <= self.max_body;
        if passed || !fits || begun.epoch != self.epoch {
            return false;
        }
        while self.bytes() + entry.weight > self.max_bytes {
            self.entries.remove(0);
        }
        entry.generation = until_next.then_some(begun.generation);
        self.entries.retain(|known| known.target != entry.target);
        self.entries.push(entry);
        if self.entries.len() > self.capacity {
            self.entries.remove(0);
        }
        true
    }

    fn remove(&mut self, prefix: &str) -> usize {
        self.epoch += 1;
        let before = self.entries.len();
        self.entries.retain(|entry| !entry.target.starts_with(prefix));
        before - self.entries.len()
    }
}

fn key(target: &str, config: &ResponseCacheConfig) -> CacheKey {
    let request = Request::get(target).body(()).unwrap();
    CacheKey::of(&Head::of(&request), config).unwrap()
}

/// What an entry weighs besides its body and its target, found by putting one in.
fn overhead(config: &ResponseCacheConfig) -> usize {
    let cache = ResponseCache::new(config.clone());
    let begun = cache.look(&key("/", config), Duration::ZERO).unwrap_err();
    let keep = Keep { ttl: Duration::from_secs(1), until_next: false };
    assert!(cache.put(key("/", config), HeaderMap::new(), Bytes::new(), keep, begun));
    cache.stats().bytes - 1
}

fn config(numbers: &mut Numbers) -> ResponseCacheConfig {
    let mut some = |end| usize::try_from(numbers.below(end)).unwrap();
    ResponseCacheConfig {
        capacity: 1 + some(10),
        max_bytes: 1500 + some(6000),
        max_body: 600 + some(600),
        jitter: 0,
        ..ResponseCacheConfig::default()
    }
}

#[test]
fn a_response_cache_is_a_list_with_times_and_weights() {
    let (mut hits, mut refused, mut old) = (0_u32, 0_u32, 0_u32);
    for seed in 0..60 {
        let mut numbers = Numbers(seed);
        let config = config(&mut numbers);
        let (base, cache) = (overhead(&config), ResponseCache::new(config.clone()));
        let (mut naive, mut now) = (Naive::of(&config), 0);
        // Answers on their way, of which any may come next.
        let mut under_way: Vec<(String, Begun, NaiveBegun)> = Vec::new();
        for step in 0..2000 {
            now += numbers.below(3);
            let target = format!("/{}/{}", numbers.below(2), numbers.below(8));
            match numbers.below(400) {
                0..220 => {
                    let found = cache.look(&key(&target, &config), Duration::from_secs(now));
                    let expected = naive.look(&target, now);
                    let (epoch, generation) = (naive.epoch, naive.generation);
                    match found {
                        Ok(stored) => {
                            let found = Some((stored.body.len(), now - stored.at.as_secs()));
                            assert_eq!(found, expected, "seed {seed} step {step}");
                            hits += 1;
                        }
                        Err(begun) => {
                            assert_eq!(None, expected, "seed {seed} step {step}");
                            let theirs = NaiveBegun { at: now, epoch, generation };
                            under_way.push((target, begun, theirs));
                            under_way.drain(..under_way.len().saturating_sub(5));
                        }
                    }
                }
                220..380 if !under_way.is_empty() => {
                    let at = usize::try_from(numbers.below(under_way.len() as u64)).unwrap();
                    let (target, begun, theirs) = under_way.swap_remove(at);
                    let body = usize::try_from(numbers.below(1200)).unwrap();
                    let (ttl, until_next) = (1 + numbers.below(60), numbers.below(2) == 0);
                    let keep = Keep { ttl: Duration::from_secs(ttl), until_next };
                    let (key, bytes) = (key(&target, &config), Bytes::from(vec![7; body]));
                    let (weight, made) = (base + body + target.len(), theirs.at);
                    let entry = Entry { target, body, made, ttl, generation: None, weight };
                    let put = cache.put(key, HeaderMap::new(), bytes, keep, begun);
                    assert_eq!(put, naive.put(entry, until_next, theirs), "seed {seed} {step}");
                    let is_old = until_next && theirs.generation != naive.generation;
                    (refused, old) = (refused + u32::from(!put), old + u32::from(is_old));
                }
                380..383 => {
                    let prefix = target.split_at(2).0;
                    assert_eq!(cache.invalidate_prefix(prefix), naive.remove(prefix));
                }
                383 => assert_eq!(cache.clear(), naive.remove("")),
                384..390 => {
                    cache.next_generation();
                    naive.generation += 1;
                }
                // Time passes.
                _ => now += numbers.below(10),
            }
            let stats = cache.stats();
            assert_eq!((stats.entries, stats.bytes), (naive.entries.len(), naive.bytes()));
            assert!(stats.bytes <= config.max_bytes && stats.entries <= config.capacity);
        }
    }
    assert!(hits > 5000 && refused > 1000 && old > 500, "{hits}, {refused}, {old}");
}

//! What a cache costs: a hit, an entry put in, and how many hits there are at all.

#[allow(dead_code, reason = "not every bench has a use for all of it")]
mod figures;

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use figures::{Figures, config, scattered};
use ironlight_hardening::cache::{LruCache, SharedLruCache, SharedTtlCache, TtlConfig};

const CAPACITY: usize = 10_000;
/// Keys that are asked for: each shard of a cache has room for its part of them.
const KEYS: u64 = 5_000;
/// A trace of requests, some keys far more often than others.
const REQUESTS: u64 = 400_000;

type Moka = moka::sync::Cache<u64, u64>;
type Quick = quick_cache::sync::Cache<u64, u64>;

fn key(number: u64) -> u64 {
    scattered(number) % KEYS
}

fn moka(capacity: usize) -> Moka {
    Moka::new(u64::try_from(capacity).unwrap_or(u64::MAX))
}

fn shared_ttl(capacity: usize) -> SharedTtlCache<u64, u64> {
    SharedTtlCache::new(TtlConfig { capacity, ..TtlConfig::default() })
}

/// The `lru` crate under one lock, as people write it by hand.
struct ByHand(Mutex<lru::LruCache<u64, u64>>);

impl ByHand {
    fn new(capacity: usize) -> Self {
        let capacity = NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN);
        Self(Mutex::new(lru::LruCache::new(capacity)))
    }

    fn get(&self, key: u64) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied()
    }

    fn insert(&self, key: u64, value: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(key, value);
    }
}

/// The hits of a cache that takes in what it has not.
fn hits(
    keys: impl Iterator<Item = u64>,
    mut get: impl FnMut(u64) -> bool,
    mut insert: impl FnMut(u64),
) -> u64 {
    let mut hits = 0;
    for key in keys {
        if get(key) {
            hits += 1;
        } else {
            insert(key);
        }
    }
    hits
}

/// By how often a key is asked for, roughly one over its rank.
fn skewed(number: u64) -> u64 {
    let random = scattered(number);
    let below = 1 << (random % 18);
    (random >> 20) % below
}

/// The hits of all, on the same keys: ours for one thread, shared, and ageing; by hand; theirs.
fn all_hits(capacity: usize, keys: impl Iterator<Item = u64> + Clone) -> [u64; 6] {
    let now = Duration::from_secs(1);
    let mut single = LruCache::new(capacity);
    // The closures want it one after the other.
    let single = {
        let mut count = 0;
        for key in keys.clone() {
            if single.get(&key).is_some() {
                count += 1;
            } else {
                single.insert(key, key);
            }
        }
        count
    };
    let (shared, ttl) = (SharedLruCache::new(capacity), shared_ttl(capacity));
    let (by_hand, moka) = (ByHand::new(capacity), moka(capacity));
    let quick = Quick::new(capacity);
    [
        single,
        hits(keys.clone(), |key| shared.get(&key).is_some(), |key| _ = shared.insert(key, key)),
        hits(
            keys.clone(),
            |key| ttl.get(&key, now).value().is_some(),
            |key| ttl.insert(key, key, now),
        ),
        hits(keys.clone(), |key| by_hand.get(key).is_some(), |key| by_hand.insert(key, key)),
        hits(keys.clone(), |key| moka.get(&key).is_some(), |key| moka.insert(key, key)),
        hits(keys, |key| quick.get(&key).is_some(), |key| quick.insert(key, key)),
    ]
}

/// With room for all keys each hits whenever a key was there before; where there is none, our LRU
/// order is exactly that of the crate by hand. Others forget other entries: their hits are shown.
#[allow(clippy::print_stdout, reason = "figures are what a bench is for")]
fn assert_equal_hits() {
    let [first, rest @ ..] = all_hits(CAPACITY, (0..REQUESTS).map(key));
    assert_eq!(rest, [first; 5]);
    assert_eq!(first, REQUESTS - KEYS, "each key misses once");
    let tight = all_hits(1_000, (0..REQUESTS).map(skewed));
    let [single, shared, ttl, by_hand, moka, quick] = tight;
    assert_eq!(single, by_hand);
    assert!(shared.abs_diff(ttl) <= shared / 50, "within 2 %: {shared}, {ttl}");
    let percent = |hits: u64| hits * 1_000 / REQUESTS;
    println!(
        "hits per thousand, 1,000 entries, skewed keys: ironlight {}, shared {}, ttl {}, \
         moka {}, quick_cache {}",
        percent(single),
        percent(shared),
        percent(ttl),
        percent(moka),
        percent(quick),
    );
}

fn cache(criterion: &mut Criterion) {
    assert_equal_hits();
    let mut figures = Figures::new(criterion, "hardening_cache");
    hit(&mut figures);
    insert(&mut figures);
    two_threads(&mut figures);
    figures.finish();
}

fn hit(figures: &mut Figures<'_>) {
    let now = Duration::from_secs(1);
    figures.section("a hit, one thread");
    let mut single = LruCache::new(CAPACITY);
    (0..KEYS).for_each(|key| _ = single.insert(key, key));
    figures.time("ironlight, LruCache", |number| single.get(&key(number)).copied());
    figures.goal(20.0);
    let shared = SharedLruCache::new(CAPACITY);
    (0..KEYS).for_each(|key| _ = shared.insert(key, key));
    figures.time("ironlight, SharedLruCache", |number| shared.get(&key(number)));
    figures.goal(20.0);
    let ttl = shared_ttl(CAPACITY);
    (0..KEYS).for_each(|key| ttl.insert(key, key, now));
    figures.time("ironlight, SharedTtlCache", |number| ttl.get(&key(number), now));
    figures.goal(20.0);
    let by_hand = ByHand::new(CAPACITY);
    (0..KEYS).for_each(|key| by_hand.insert(key, key));
    figures.time("lru under a mutex", |number| by_hand.get(key(number)));
    let quick = Quick::new(CAPACITY);
    (0..KEYS).for_each(|key| quick.insert(key, key));
    figures.time("quick_cache", |number| quick.get(&key(number)));
    let moka = moka(CAPACITY);
    (0..KEYS).for_each(|key| moka.insert(key, key));
    moka.run_pending_tasks();
    figures.time("moka", |number| moka.get(&key(number)));
}

/// Each entry puts another one out.
fn insert(figures: &mut Figures<'_>) {
    let now = Duration::from_secs(1);
    figures.section("an entry put in where another has to go, one thread");
    let shared = SharedLruCache::new(CAPACITY);
    figures.time("ironlight, SharedLruCache, insert", |number| shared.insert(number, number));
    let ttl = shared_ttl(CAPACITY);
    figures.time("ironlight, SharedTtlCache, insert", |number| ttl.insert(number, number, now));
    let by_hand = ByHand::new(CAPACITY);
    figures.time("lru under a mutex, insert", |number| by_hand.insert(number, number));
    let quick = Quick::new(CAPACITY);
    figures.time("quick_cache, insert", |number| quick.insert(number, number));
    let moka = moka(CAPACITY);
    figures.time("moka, insert", |number| moka.insert(number, number));
}

fn two_threads(figures: &mut Figures<'_>) {
    let now = Duration::from_secs(1);
    figures.section("a hit, two threads");
    let shared = SharedLruCache::new(CAPACITY);
    (0..KEYS).for_each(|key| _ = shared.insert(key, key));
    figures.contended("ironlight, SharedLruCache, two threads", |number| shared.get(&key(number)));
    let ttl = shared_ttl(CAPACITY);
    (0..KEYS).for_each(|key| ttl.insert(key, key, now));
    figures
        .contended("ironlight, SharedTtlCache, two threads", |number| ttl.get(&key(number), now));
    let by_hand = ByHand::new(CAPACITY);
    (0..KEYS).for_each(|key| by_hand.insert(key, key));
    figures.contended("lru under a mutex, two threads", |number| by_hand.get(key(number)));
    let quick = Quick::new(CAPACITY);
    (0..KEYS).for_each(|key| quick.insert(key, key));
    figures.contended("quick_cache, two threads", |number| quick.get(&key(number)));
    let moka = moka(CAPACITY);
    (0..KEYS).for_each(|key| moka.insert(key, key));
    moka.run_pending_tasks();
    figures.contended("moka, two threads", |number| moka.get(&key(number)));
}

criterion_group! { name = benches; config = config(); targets = cache }
criterion_main!(benches);

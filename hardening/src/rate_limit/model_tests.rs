//! The keyed limiter against buckets refilled by hand, on random operations.

use core::hash::BuildHasherDefault;
use core::time::Duration;
use std::collections::HashMap;
use std::hash::DefaultHasher;

use super::{Limit, Quota, RateLimiter, RateLimiterConfig, RetryAfter};
use crate::testing::Numbers;

type Salt = BuildHasherDefault<DefaultHasher>;

/// One window in nanoseconds of credit; below zero while somebody waits.
#[derive(Clone)]
struct Level {
    per: i128,
    full: i128,
    level: i128,
}

impl Level {
    fn new(quota: Quota) -> Self {
        let per = i128::try_from(quota.per.as_nanos()).unwrap();
        let full = per * i128::from(quota.burst);
        Self { per, full, level: full }
    }

    fn under(&self, quota: Quota) -> Self {
        let mut next = Self::new(quota);
        let owed = (self.full - self.level) * next.per;
        let rounded_up = (owed + self.per - 1) / self.per;
        next.level = (next.full - rounded_up).max(0);
        next
    }
}

/// All windows of a key.
#[derive(Clone)]
struct Levels(Vec<Level>);

impl Levels {
    fn new(limit: &Limit) -> Self {
        Self(limit.quotas().map(Level::new).collect())
    }

    fn pass(&mut self, nanos: u64) {
        for window in &mut self.0 {
            window.level = (window.level + i128::from(nanos)).min(window.full);
        }
    }

    fn take(&mut self, tokens: u32, patience: u64) -> Result<u64, RetryAfter> {
        let tokens = i128::from(tokens);
        if self.0.iter().any(|window| tokens * window.per > window.full) {
            return Err(RetryAfter(Duration::MAX));
        }
        let missing = self.0.iter().map(|window| tokens * window.per - window.level).max();
        let wait = u64::try_from(missing.unwrap().max(0)).unwrap();
        if wait > patience {
            return Err(RetryAfter(Duration::from_nanos(wait)));
        }
        for window in &mut self.0 {
            window.level -= tokens * window.per;
        }
        Ok(wait)
    }

    fn give_back(&mut self, tokens: u32) {
        for window in &mut self.0 {
            window.level = (window.level + i128::from(tokens) * window.per).min(window.full);
        }
    }

    fn remaining(&self) -> u32 {
        let left = self.0.iter().map(|window| window.level.max(0) / window.per);
        u32::try_from(left.min().unwrap()).unwrap()
    }

    fn under(&self, limit: &Limit) -> Self {
        let old = self.0.iter().map(Some).chain(core::iter::repeat(None));
        let windows = limit.quotas().zip(old);
        Self(
            windows
                .map(|(quota, old)| old.map_or_else(|| Level::new(quota), |old| old.under(quota)))
                .collect(),
        )
    }
}

/// Every key that was ever seen, with its bucket.
struct Naive {
    limit: Limit,
    own: HashMap<u64, Limit>,
    keys: HashMap<u64, Levels>,
}

impl Naive {
    fn key(&mut self, key: u64) -> &mut Levels {
        let limit = self.own.get(&key).unwrap_or(&self.limit);
        self.keys.entry(key).or_insert_with(|| Levels::new(limit))
    }

    fn set_limit(&mut self, limit: Limit) {
        self.limit = limit;
        for (key, levels) in &mut self.keys {
            if !self.own.contains_key(key) {
                *levels = levels.under(&limit);
            }
        }
    }

    fn set_limit_of(&mut self, key: u64, limit: Limit) {
        let moved = self.key(key).under(&limit);
        self.keys.insert(key, moved);
        self.own.insert(key, limit);
    }

    fn clear_limit_of(&mut self, key: u64) -> bool {
        let had = self.own.remove(&key).is_some();
        let limit = self.limit;
        if had {
            let moved = self.key(key).under(&limit);
            self.keys.insert(key, moved);
        }
        had
    }

    fn reset(&mut self, key: u64) {
        self.keys.remove(&key);
    }
}

fn random_limit(numbers: &mut Numbers) -> Limit {
    let mut quota = || Quota {
        burst: u32::try_from(1 + numbers.below(12)).unwrap(),
        per: Duration::from_nanos(1 + numbers.below(500)),
    };
    let (one, two, three) = (quota(), quota(), quota());
    match numbers.below(3) {
        0 => Limit::from(one),
        1 => Limit::from([one, two]),
        _ => Limit::from([one, two, three]),
    }
}

/// The limiter and the model side by side.
struct Pair {
    numbers: Numbers,
    now: u64,
    ours: RateLimiter<u64, Salt>,
    naive: Naive,
    waiting: Vec<(u64, u32, u64)>,
    granted: u32,
    refused: u32,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        let limit = random_limit(&mut numbers);
        let config = RateLimiterConfig { max_keys: 400, shards: 4, shared: 8 };
        Self {
            numbers,
            now: 0,
            ours: RateLimiter::with_hasher(limit, config, Salt::default()),
            naive: Naive { limit, own: HashMap::new(), keys: HashMap::new() },
            waiting: Vec::new(),
            granted: 0,
            refused: 0,
        }
    }

    fn time(&self) -> Duration {
        Duration::from_nanos(self.now)
    }

    fn step(&mut self) {
        if self.numbers.below(2) == 0 {
            let passed = self.numbers.below(700);
            self.now += passed;
            self.naive.keys.values_mut().for_each(|levels| levels.pass(passed));
        }
        let key = self.numbers.below(25);
        let now = self.time();
        match self.numbers.below(100) {
            0 => assert_eq!(self.ours.limit(&key), self.naive.limit),
            1 => {
                let limit = random_limit(&mut self.numbers);
                self.ours.set_limit(limit, now);
                self.naive.set_limit(limit);
            }
            2..=4 => {
                let limit = random_limit(&mut self.numbers);
                self.ours.set_limit_of(&key, limit, now);
                self.naive.set_limit_of(key, limit);
            }
            5..=7 => {
                let ours = self.ours.clear_limit_of(&key, now);
                assert_eq!(ours, self.naive.clear_limit_of(key));
            }
            8..=10 => {
                self.ours.reset(&key);
                self.naive.reset(key);
            }
            11 => {
                self.ours.reset_all();
                self.naive.keys.clear();
            }
            12..=14 => {
                self.ours.clean(now);
            }
            15..=24 => self.give_one_back(),
            25..=44 => {
                assert_eq!(self.ours.remaining(&key, now), self.naive.key(key).remaining());
            }
            _ => self.take(key),
        }
    }

    fn take(&mut self, key: u64) {
        let tokens = u32::try_from(self.numbers.below(14)).unwrap();
        let patience = [0, self.numbers.below(3000)][usize::from(self.numbers.below(3) == 0)];
        let ours = self.ours.reserve(&key, tokens, self.time(), Duration::from_nanos(patience));
        let naive = self.naive.key(key).take(tokens, patience);
        assert_eq!(ours, naive.map(Duration::from_nanos), "key {key} at {}", self.now);
        match naive {
            Ok(0) => self.granted += 1,
            Ok(wait) => self.waiting.push((key, tokens, self.now + wait)),
            Err(RetryAfter(_)) => self.refused += 1,
        }
    }

    fn give_one_back(&mut self) {
        let Some((key, tokens, due)) = self.waiting.pop() else { return };
        if self.now < due {
            self.ours.give_back(&key, tokens);
            self.naive.key(key).give_back(tokens);
        }
    }
}

#[test]
fn answers_as_buckets_refilled_by_hand_do() {
    for seed in 0..100 {
        let mut pair = Pair::new(seed);
        for _ in 0..1500 {
            pair.step();
        }
        assert!(pair.granted > 50 && pair.refused > 50, "seed {seed} tries both");
        assert_eq!(pair.ours.stats().shared, 0, "there was room for all");
    }
}

/// With far too little room: whatever is granted, a bucket of the key's own grants too, however
/// keys come, go, share and move.
#[test]
fn without_room_nobody_gets_more_than_with_a_bucket_of_its_own() {
    let (mut shared, mut moved) = (0, 0);
    for seed in 0..100 {
        let mut numbers = Numbers(seed);
        let limit = random_limit(&mut numbers);
        let config = RateLimiterConfig { max_keys: 6, shards: 2, shared: 4 };
        let ours = RateLimiter::with_hasher(limit, config, Salt::default());
        let mut naive: HashMap<u64, Levels> = HashMap::new();
        let mut now = 0;
        let mut granted = 0;
        for _ in 0..1500 {
            let passed = numbers.below(4) * numbers.below(200);
            now += passed;
            naive.values_mut().for_each(|levels| levels.pass(passed));
            let key = numbers.below(20);
            let tokens = u32::try_from(1 + numbers.below(3)).unwrap();
            let levels = naive.entry(key).or_insert_with(|| Levels::new(&limit));
            if ours.check(&key, tokens, Duration::from_nanos(now)).is_ok() {
                granted += 1;
                assert_eq!(levels.take(tokens, 0), Ok(0), "seed {seed}, key {key} at {now}");
            }
            assert!(ours.stats().keys <= 6);
        }
        let stats = ours.stats();
        assert_eq!(stats.granted, granted);
        assert!(granted > 20, "seed {seed}: {stats:?}");
        shared += stats.shared;
        moved += stats.cleaned;
    }
    assert!(shared > 20_000 && moved > 5_000, "{shared} shared, {moved} moved");
}

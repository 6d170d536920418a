use core::time::Duration;
use std::sync::{Arc, Mutex};

use super::*;
use crate::circuit_breaker::state::{BreakerState, Worth};
use crate::testing::Numbers;

const SECOND: Duration = Duration::from_secs(1);
const ZERO: Duration = Duration::ZERO;

fn fail(breaker: &CircuitBreaker, times: u32, now: Duration) {
    for _ in 0..times {
        breaker.permit(now).unwrap().finish(Outcome::Failure, now);
    }
}

#[test]
fn random_keys_do_not_push_out_an_open_breaker_and_leave_memory_bounded() {
    let pool = BreakerPool::new(BreakerConfig::default(), 100, 1);
    fail(&pool.get(&u64::MAX, ZERO), 5, ZERO);
    let held = pool.get(&(u64::MAX - 1), ZERO);
    for key in 0..200_000 {
        let breaker = pool.get(&key, SECOND);
        let outcome = if key % 3 == 0 { Outcome::Failure } else { Outcome::Success };
        if let Ok(permit) = breaker.permit(SECOND) {
            permit.finish(outcome, SECOND);
        }
    }
    assert_eq!(pool.len(), 100);
    assert!(pool.get(&u64::MAX, SECOND).permit(SECOND).is_err());
    fail(&held, 5, SECOND);
    let status = pool.status(SECOND).into_iter().find(|(key, _)| *key == u64::MAX - 1);
    assert_eq!(status.unwrap().1.state, CircuitState::Open, "the one that we hold is it");
    let stats = pool.stats();
    assert!(stats.evicted > 190_000, "{stats:?}");
    assert_eq!(pool.overflow_status(SECOND).len(), 16);
    pool.reset_all(SECOND);
    assert!(pool.get(&u64::MAX, SECOND).permit(SECOND).is_ok());
}

#[test]
fn after_eviction_each_key_still_finds_its_own() {
    let pool = BreakerPool::new(BreakerConfig::default(), 10, 1);
    let names = Arc::new(Mutex::new(Vec::new()));
    let ours = Arc::clone(&names);
    pool.on_transition(move |key: &u32, change| ours.lock().unwrap().push((*key, change.to)));
    for key in 0..1000 {
        let _ = pool.get(&key, ZERO);
        if key % 100 == 0 {
            fail(&pool.get(&key, ZERO), 5, ZERO);
        }
    }
    let open = pool.status(ZERO).into_iter().filter(|(_, s)| s.state == CircuitState::Open);
    let mut open: Vec<_> = open.map(|(key, _)| key).collect();
    open.sort_unstable();
    assert_eq!(open, (0..10).map(|hundred| hundred * 100).collect::<Vec<_>>());
    for key in open {
        pool.get(&key, ZERO).reset(ZERO);
    }
    let closed = |(_, status): (u32, BreakerStatus)| status.state == CircuitState::Closed;
    assert!(pool.status(ZERO).into_iter().all(closed), "each was found by its key");
    let shared = pool.overflow_status(ZERO).into_iter().map(|status| status.window);
    assert!(shared.into_iter().all(|tally| tally == Tally::default()));
    assert_eq!(names.lock().unwrap().len(), 20);
    assert!(pool.stats().overflowed >= 99);
}

#[test]
fn one_that_is_clean_goes_before_one_with_failures() {
    let pool = BreakerPool::new(BreakerConfig::default(), 3, 1);
    for key in 0..3 {
        fail(&pool.get(&key, ZERO), [2, 0, 2][key], ZERO);
    }
    let _ = pool.get(&3, ZERO);
    let mut keys: Vec<_> = pool.status(ZERO).into_iter().map(|(key, _)| key).collect();
    keys.sort_unstable();
    assert_eq!(keys, [0, 2, 3]);
}

#[test]
fn open_ones_that_nobody_asks_any_more_make_room_in_the_end() {
    let pool = BreakerPool::new(BreakerConfig::default(), 4, 1);
    for key in 0..4 {
        fail(&pool.get(&key, ZERO), 5, ZERO);
    }
    // One is isolated by hand, another half-open since a while.
    pool.get(&0, ZERO).isolate(ZERO);
    drop(pool.get(&1, ZERO).permit(500 * SECOND).unwrap());
    let _ = pool.get(&4, 650 * SECOND);
    assert_eq!((pool.stats().evicted, pool.stats().overflowed), (0, 1));
    for key in 5..8 {
        fail(&pool.get(&key, 1200 * SECOND), 5, 1200 * SECOND);
    }
    assert_eq!((pool.stats().evicted, pool.stats().overflowed), (3, 1));
    let _ = pool.get(&8, 1200 * SECOND);
    assert_eq!(pool.stats().overflowed, 2);
    assert!(pool.status(1200 * SECOND).iter().any(|(key, status)| *key == 0 && status.isolated));
}

/// A plain list of breakers that are not shared, gone through from a hand on, a few at a time.
struct Naive {
    list: Vec<(u64, BreakerState)>,
    hand: usize,
    most: usize,
    stats: PoolStats,
}

impl Naive {
    /// The place of the key's breaker; none where it has to share one.
    fn place(&mut self, key: u64, held: &[u64], now: Duration) -> Option<usize> {
        if let Some(place) = self.list.iter().position(|(known, _)| *known == key) {
            return Some(place);
        }
        if self.list.len() == self.most && !self.makes_room(held, now) {
            self.stats.overflowed += 1;
            return None;
        }
        self.list.push((key, BreakerState::new(config(), 1)));
        Some(self.list.len() - 1)
    }

    fn makes_room(&mut self, held: &[u64], now: Duration) -> bool {
        let looked_at: Vec<usize> =
            (0..self.most.min(8)).map(|n| (self.hand % self.most + n) % self.most).collect();
        let worth: Vec<Worth> = looked_at
            .iter()
            .map(|place| match &mut self.list[*place] {
                (key, _) if held.contains(key) => Worth::Much,
                (_, breaker) => breaker.worth(now),
            })
            .collect();
        let first = |wanted| worth.iter().position(|worth| *worth == wanted);
        let gone = first(Worth::Nothing);
        self.hand = looked_at[gone.unwrap_or(looked_at.len() - 1)] + 1;
        let Some(gone) = gone.or(first(Worth::Little)) else { return false };
        self.list.swap_remove(looked_at[gone]);
        self.stats.evicted += 1;
        true
    }
}

fn config() -> BreakerConfig {
    BreakerConfig {
        consecutive_failures: Some(2),
        failure_percent: None,
        window: Window::Time { length: Duration::from_nanos(400), slices: 4 },
        open_for: Duration::from_nanos(300),
        open_at_most: Duration::from_nanos(900),
        jitter_percent: 0,
        ..BreakerConfig::default()
    }
}

#[test]
fn keys_have_the_breakers_that_a_plain_list_gives_them() {
    let (mut evicted, mut overflowed, mut refused) = (0, 0, 0);
    for seed in 0..100 {
        let mut numbers = Numbers(seed);
        let most = usize::try_from(1 + numbers.below(14)).unwrap();
        let pool = BreakerPool::new(config(), most, seed);
        let mut naive = Naive { list: Vec::new(), hand: 0, most, stats: PoolStats::default() };
        let mut held: Vec<(u64, CircuitBreaker)> = Vec::new();
        let (mut now, failing) = (0, 1 + numbers.below(9));
        for _ in 0..1_000 {
            now += numbers.below(40);
            let at = Duration::from_nanos(now);
            let key = numbers.below(24);
            let names: Vec<u64> = held.iter().map(|(key, _)| *key).collect();
            let (ours, place) = (pool.get(&key, at), naive.place(key, &names, at));
            let own = place.map(|place| &mut naive.list[place].1);
            // Those who share one are strangers to each other: nothing can be said of it here.
            if let Some(own) = own {
                let (ours, theirs) = (ours.permit(at), own.permit(at));
                assert_eq!(ours.is_ok(), theirs.is_ok(), "seed {seed}, key {key} at {now}");
                let fails = numbers.below(10) < failing;
                let outcome = if fails { Outcome::Failure } else { Outcome::Success };
                if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
                    ours.finish(outcome, at);
                    own.record(theirs, outcome, at);
                } else {
                    refused += 1;
                }
                if numbers.below(20) == 0 {
                    held.push((key, pool.get(&key, at)));
                }
            }
            if held.len() > 3 {
                held.remove(0);
            }
            assert_eq!(pool.stats(), naive.stats);
            if numbers.below(10) == 0 {
                let list: Vec<_> =
                    naive.list.iter_mut().map(|(key, own)| (*key, own.status(at))).collect();
                assert_eq!(pool.status(at), list, "seed {seed} at {now}");
            }
        }
        evicted += pool.stats().evicted;
        overflowed += pool.stats().overflowed;
    }
    let all = [evicted, overflowed, refused];
    assert!(all.iter().all(|times| *times > 2_000), "{all:?}");
}

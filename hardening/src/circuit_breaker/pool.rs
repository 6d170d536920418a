//! A breaker for each key.
//!
//! What an attacker can grow: up to `max_keys` breakers, each about 1 KB with its place in the map
//! and the default window (20 slices of 24 bytes), and a fixed number of shared ones. When there is
//! no room, one of a few that are looked at makes room: one without a failure in its window or one
//! that could be probed for long and was not, else one that is closed; never one that is in
//! somebody's hands. So keys made up at random cannot push out a breaker that is open. If all of
//! the few are open, the new key gets one of a few shared breakers, chosen by a salted hash.

use core::fmt;
use core::hash::{BuildHasher, Hash};
use core::time::Duration;
use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::breaker::CircuitBreaker;
use super::config::BreakerConfig;
use super::state::Worth;
use super::status::{BreakerStatus, Transition};
use crate::chance::Chance;
use crate::listeners::Listeners;

/// So many breakers are looked at for one that can go.
const LOOKED_AT: usize = 8;
/// So many breakers are shared by the keys that there was no room for.
const SHARED: usize = 16;

/// Circuit breakers by key. Clones share them.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::circuit_breaker::{BreakerConfig, BreakerPool, Outcome};
///
/// let pool = BreakerPool::new(BreakerConfig::default(), 1000, 1);
/// let now = Duration::ZERO;
/// for _ in 0..5 {
///     pool.get(&"peer", now).permit(now).unwrap().finish(Outcome::Failure, now);
/// }
/// assert!(pool.get(&"peer", now).permit(now).is_err());
/// assert!(pool.get(&"another", now).permit(now).is_ok());
/// assert_eq!(pool.status(now).len(), 2);
/// ```
pub struct BreakerPool<K> {
    shared: Arc<Shared<K>>,
}

struct Shared<K> {
    config: BreakerConfig,
    max_keys: usize,
    salt: RandomState,
    overflow: [CircuitBreaker; SHARED],
    listeners: Arc<Listeners<(K, Transition)>>,
    breakers: Mutex<Breakers<K>>,
}

struct Breakers<K> {
    places: HashMap<K, usize>,
    list: Vec<(K, CircuitBreaker)>,
    hand: usize,
    seeds: Chance,
    stats: PoolStats,
}

/// What happened to keys, in all.
///
/// See [`BreakerPool`] for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Breakers that made room for another.
    pub evicted: u64,
    /// How often a shared breaker was given out for want of room.
    pub overflowed: u64,
}

impl<K> Clone for BreakerPool<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K> fmt::Debug for BreakerPool<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerPool").field("len", &self.lock().list.len()).finish_non_exhaustive()
    }
}

impl<K> BreakerPool<K> {
    /// The number of keys that have their own breaker.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().list.len()
    }

    /// Whether no key has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What happened to keys, in all.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.lock().stats
    }

    fn lock(&self) -> MutexGuard<'_, Breakers<K>> {
        self.shared.breakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> BreakerPool<K> {
    /// No breakers yet; they will be made with this configuration. The seed is for their jitter.
    #[must_use]
    pub fn new(config: BreakerConfig, max_keys: usize, seed: u64) -> Self {
        let mut seeds = Chance::new(seed);
        let overflow = core::array::from_fn(|_| CircuitBreaker::new(config, seeds.next()));
        Self {
            shared: Arc::new(Shared {
                config,
                max_keys,
                salt: RandomState::new(),
                overflow,
                listeners: Arc::default(),
                breakers: Mutex::new(Breakers {
                    places: HashMap::new(),
                    list: Vec::new(),
                    hand: 0,
                    seeds,
                    stats: PoolStats::default(),
                }),
            }),
        }
    }

    /// The breaker of a key. Keep it where the key is used often: that costs no look-up, and what
    /// is in somebody's hands makes no room for others.
    #[must_use]
    pub fn get(&self, key: &K, now: Duration) -> CircuitBreaker {
        let mut breakers = self.lock();
        if let Some(breaker) = breakers.find(key) {
            return breaker.clone();
        }
        if breakers.list.len() >= self.shared.max_keys && !breakers.evict_one(now) {
            breakers.stats.overflowed += 1;
            return self.overflow(key);
        }
        let breaker = CircuitBreaker::new(self.shared.config, breakers.seeds.next());
        let listeners = Arc::clone(&self.shared.listeners);
        let name = key.clone();
        breaker.on_transition(move |transition| listeners.tell(&(name.clone(), *transition)));
        breakers.insert(key.clone(), breaker.clone());
        breaker
    }

    /// The status of each key's breaker.
    #[must_use]
    pub fn status(&self, now: Duration) -> Vec<(K, BreakerStatus)> {
        let breakers = self.lock();
        breakers.list.iter().map(|(key, breaker)| (key.clone(), breaker.status(now))).collect()
    }

    /// The status of those that keys share for want of room.
    #[must_use]
    pub fn overflow_status(&self, now: Duration) -> Vec<BreakerStatus> {
        self.shared.overflow.iter().map(|breaker| breaker.status(now)).collect()
    }

    /// Closes all and forgets what was.
    pub fn reset_all(&self, now: Duration) {
        let own: Vec<_> = self.lock().list.iter().map(|(_, breaker)| breaker.clone()).collect();
        for breaker in own.iter().chain(&self.shared.overflow) {
            breaker.reset(now);
        }
    }

    /// Has each change of state of a key's own breaker told. One that panics harms nothing.
    pub fn on_transition(&self, listener: impl Fn(&K, &Transition) + Send + Sync + 'static) {
        self.shared.listeners.add(Arc::new(move |(key, transition)| listener(key, transition)));
    }

    fn overflow(&self, key: &K) -> CircuitBreaker {
        let hash = usize::try_from(self.shared.salt.hash_one(key) % SHARED as u64).unwrap_or(0);
        let [first, ..] = &self.shared.overflow;
        self.shared.overflow.get(hash).unwrap_or(first).clone()
    }
}

impl<K: Eq + Hash + Clone> Breakers<K> {
    fn find(&self, key: &K) -> Option<&CircuitBreaker> {
        let place = self.places.get(key)?;
        self.list.get(*place).map(|(_, breaker)| breaker)
    }

    fn insert(&mut self, key: K, breaker: CircuitBreaker) {
        self.places.insert(key.clone(), self.list.len());
        self.list.push((key, breaker));
    }

    /// Goes round like the hand of a clock, a few breakers at a time.
    fn evict_one(&mut self, now: Duration) -> bool {
        let mut second_choice = None;
        for _ in 0..LOOKED_AT.min(self.list.len()) {
            if self.hand >= self.list.len() {
                self.hand = 0;
            }
            let place = self.hand;
            self.hand += 1;
            match self.list.get(place).map(|(_, breaker)| breaker.worth(now)) {
                Some(Worth::Nothing) => {
                    self.remove(place);
                    return true;
                }
                Some(Worth::Little) => second_choice = second_choice.or(Some(place)),
                Some(Worth::Much) | None => {}
            }
        }
        if let Some(place) = second_choice {
            self.remove(place);
        }
        second_choice.is_some()
    }

    fn remove(&mut self, place: usize) {
        let (key, _) = self.list.swap_remove(place);
        self.places.remove(&key);
        if let Some((moved, _)) = self.list.get(place) {
            self.places.insert(moved.clone(), place);
        }
        self.stats.evicted += 1;
    }
}

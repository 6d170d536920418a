//! The buckets of many keys, in a bounded table: the state of one shard.
//!
//! Invariant: a key is never granted more than a bucket of its own would grant. A bucket leaves
//! the table only when it is full, which is what a new one would be. A key without room shares a
//! bucket with others of the same hash, and when it gets one of its own, takes that debt along.

use core::fmt;

use hashbrown::HashTable;

use super::limit::{Bucket, Left, Limit};
use super::state::RetryAfter;

/// A second, in nanoseconds: how often a table without room is looked through at least.
const SWEEP_EVERY: u64 = 1_000_000_000;

/// New keys between two sweeps at least: a few keys that come back soon keep their places.
const SWEEP_FROM: usize = 256;

/// What a [`RateLimiter`](super::RateLimiter) counted since it was made.
///
/// See [`RateLimitLayer`](super::RateLimitLayer) for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimiterStats {
    /// Checks that were granted.
    pub granted: u64,
    /// Checks that were refused.
    pub refused: u64,
    /// Of both, those that a shared bucket answered, because there was no room for the key.
    pub shared: u64,
    /// Buckets that were full again and made room.
    pub cleaned: u64,
    /// Keys with a bucket of their own now.
    pub keys: usize,
    /// Keys with a limit of their own now.
    pub own_limits: usize,
}

struct Entry<K> {
    hash: u64,
    key: K,
    bucket: Bucket,
}

/// A key with a limit of its own: it stays until its limit is taken back.
struct Own<K> {
    entry: Entry<K>,
    limit: Limit,
}

pub(super) struct Table<K> {
    limit: Limit,
    max_keys: usize,
    entries: HashTable<Entry<K>>,
    own: HashTable<Own<K>>,
    shared: Box<[Bucket]>,
    /// New keys until full buckets are looked for again.
    sweep_in: usize,
    /// When they were looked for last.
    swept_at: u64,
    stats: RateLimiterStats,
}

/// What is asked for, with the key's hash, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) hash: u64,
    pub(super) tokens: u32,
    pub(super) now: u64,
    /// How long the tokens may take to come.
    pub(super) patience: u64,
}

impl<K: Eq + Clone> Table<K> {
    pub(super) fn new(limit: Limit, max_keys: usize, shared: usize) -> Self {
        Self {
            limit,
            max_keys: max_keys.max(1),
            entries: HashTable::new(),
            own: HashTable::new(),
            shared: vec![Bucket::default(); shared.max(1)].into_boxed_slice(),
            sweep_in: 0,
            swept_at: 0,
            stats: RateLimiterStats::default(),
        }
    }

    /// Takes tokens; how long until they are there.
    pub(super) fn take(&mut self, key: &K, ask: Ask) -> Result<u64, RetryAfter> {
        let Ask { hash, tokens, now, patience } = ask;
        let answer = if let Some((bucket, limit)) = self.bucket_of(hash, key) {
            bucket.take(limit, tokens, now, patience)
        } else {
            self.take_as_new(key, ask)
        };
        match answer {
            Ok(_) => self.stats.granted += 1,
            Err(_) => self.stats.refused += 1,
        }
        answer
    }

    fn take_as_new(&mut self, key: &K, ask: Ask) -> Result<u64, RetryAfter> {
        let Ask { hash, tokens, now, patience } = ask;
        let room = self.make_room(now);
        let limit = self.limit;
        let shared = self.shared_mut(hash);
        if !room {
            let answer = shared.take(&limit, tokens, now, patience);
            self.stats.shared += 1;
            return answer;
        }
        let mut bucket = *shared;
        let wait = bucket.take(&limit, tokens, now, patience)?;
        if !bucket.is_full(now) {
            let entry = Entry { hash, key: key.clone(), bucket };
            self.entries.insert_unique(hash, entry, |entry| entry.hash);
        }
        Ok(wait)
    }

    /// Gives tokens back that were to come later. A key that shares a bucket gives them to it.
    pub(super) fn give_back(&mut self, hash: u64, key: &K, tokens: u32) {
        if let Some((bucket, limit)) = self.bucket_of(hash, key) {
            bucket.give_back(limit, tokens);
        } else {
            let limit = self.limit;
            self.shared_mut(hash).give_back(&limit, tokens);
        }
    }

    /// The key's limit, and what is left in its bucket, or in the one it would share.
    pub(super) fn status(&mut self, hash: u64, key: &K, now: u64) -> (Limit, Left) {
        if let Some((bucket, limit)) = self.bucket_of(hash, key) {
            return (*limit, bucket.left(limit, now));
        }
        let limit = self.limit;
        (limit, self.shared_mut(hash).left(&limit, now))
    }

    /// Fills the key's own bucket, if it has one.
    pub(super) fn reset(&mut self, hash: u64, key: &K) -> bool {
        let own = self.bucket_of(hash, key);
        own.map(|(bucket, _)| *bucket = Bucket::default()).is_some()
    }

    /// Fills all buckets. What was counted stays.
    pub(super) fn reset_all(&mut self) {
        self.entries = HashTable::new();
        self.sweep_in = 0;
        self.shared.fill(Bucket::default());
        for own in self.own.iter_mut() {
            own.entry.bucket = Bucket::default();
        }
    }

    pub(super) fn limit(&self) -> Limit {
        self.limit
    }

    /// Another limit for all keys without one of their own; they owe the same tokens as before.
    pub(super) fn set_limit(&mut self, limit: Limit, now: u64) {
        let from = core::mem::replace(&mut self.limit, limit);
        let buckets = self.entries.iter_mut().map(|entry| &mut entry.bucket);
        for bucket in buckets.chain(self.shared.iter_mut()) {
            bucket.move_to(&from, &limit, now);
        }
    }

    /// A limit for this key alone; it owes the same tokens as before.
    pub(super) fn set_limit_of(&mut self, hash: u64, key: &K, limit: Limit, now: u64) {
        if let Some(own) = self.own.find_mut(hash, |own| own.entry.is(hash, key)) {
            own.entry.bucket.move_to(&own.limit, &limit, now);
            own.limit = limit;
            return;
        }
        let found = self.entries.find_entry(hash, |entry| entry.is(hash, key));
        let mut bucket = match found {
            Ok(entry) => entry.remove().0.bucket,
            Err(_) => *self.shared_mut(hash),
        };
        bucket.move_to(&self.limit, &limit, now);
        let own = Own { entry: Entry { hash, key: key.clone(), bucket }, limit };
        self.own.insert_unique(hash, own, |own| own.entry.hash);
    }

    /// The limit of all for this key too. Without room for its bucket the shared one takes its debt.
    pub(super) fn clear_limit_of(&mut self, hash: u64, key: &K, now: u64) -> bool {
        let Ok(found) = self.own.find_entry(hash, |own| own.entry.is(hash, key)) else {
            return false;
        };
        let Own { mut entry, limit } = found.remove().0;
        entry.bucket.move_to(&limit, &self.limit, now);
        if entry.bucket.is_full(now) {
            return true;
        }
        if self.make_room(now) {
            self.entries.insert_unique(hash, entry, |entry| entry.hash);
        } else {
            self.shared_mut(hash).join(&entry.bucket);
        }
        true
    }

    /// Drops the buckets that are full; how many.
    pub(super) fn clean(&mut self, now: u64) -> usize {
        let before = self.entries.len();
        self.entries.retain(|entry| !entry.bucket.is_full(now));
        let len = self.entries.len();
        if self.entries.capacity() > 4 * len + 2 * SWEEP_FROM {
            self.entries.shrink_to(2 * len, |entry| entry.hash);
        }
        self.swept_at = now;
        // As many new keys as were just looked at: a sweep costs each of them one look.
        let looked_at = len.max(self.entries.capacity() / 2);
        self.sweep_in = looked_at.max(SWEEP_FROM).min(self.max_keys);
        self.stats.cleaned += u64::try_from(before - len).unwrap_or(u64::MAX);
        before - len
    }

    pub(super) fn stats(&self) -> RateLimiterStats {
        RateLimiterStats { keys: self.entries.len(), own_limits: self.own.len(), ..self.stats }
    }

    /// Bytes that the buckets take at most, without keys with limits of their own.
    pub(super) fn memory_bound(max_keys: usize, shared: usize) -> usize {
        // hashbrown fills seven eighths of a power of two, and may double it once more when
        // removed entries leave marks; while it grows, the old half is there too.
        let slots = (max_keys.max(8) * 2 * 8 / 7).next_power_of_two();
        let table = slots * (size_of::<Entry<K>>() + 1) + 64;
        table + table / 2 + shared.max(1) * size_of::<Bucket>()
    }

    fn bucket_of(&mut self, hash: u64, key: &K) -> Option<(&mut Bucket, &Limit)> {
        if !self.own.is_empty()
            && let Some(own) = self.own.find_mut(hash, |own| own.entry.is(hash, key))
        {
            return Some((&mut own.entry.bucket, &own.limit));
        }
        let entry = self.entries.find_mut(hash, |entry| entry.is(hash, key))?;
        Some((&mut entry.bucket, &self.limit))
    }

    /// Whether there is room for one more key. Looks for full buckets now and then; in a table
    /// without room also as time passes, so that few newcomers need not wait for many.
    fn make_room(&mut self, now: u64) -> bool {
        let no_room = self.entries.len() >= self.max_keys;
        let long_ago = now.saturating_sub(self.swept_at) >= SWEEP_EVERY;
        if self.sweep_in == 0 || (no_room && long_ago) {
            self.clean(now);
        }
        self.sweep_in = self.sweep_in.saturating_sub(1);
        self.entries.len() < self.max_keys
    }

    /// The bucket that keys of this hash share. Which they are nobody outside knows: the hash is
    /// salted.
    #[expect(clippy::indexing_slicing, reason = "below the length, which is at least one")]
    fn shared_mut(&mut self, hash: u64) -> &mut Bucket {
        let len = self.shared.len();
        let bits = usize::try_from(hash >> 40).unwrap_or(usize::MAX);
        &mut self.shared[bits % len]
    }
}

impl<K: Eq> Entry<K> {
    fn is(&self, hash: u64, key: &K) -> bool {
        self.hash == hash && self.key == *key
    }
}

impl<K> fmt::Debug for Table<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("limit", &self.limit)
            .field("keys", &self.entries.len())
            .finish_non_exhaustive()
    }
}

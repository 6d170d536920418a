//! From a block's hash to its height on the best chain, in 10 to 14 bytes a header.
//!
//! A slot holds a 32-bit fingerprint of the hash and the height; the caller confirms a find by
//! recomputing the hash. 64 shards grow one at a time, so that growing never needs twice the
//! memory. Hashes that meet a target cannot be chosen freely, so the table is not salted; whoever
//! can afford colliding blocks slows a lookup down by a few probes.

use alloc::vec::Vec;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;

use crate::header::BlockHeight;
use crate::lanes::prefetch;

const SHARDS: usize = 64;
const SMALLEST: usize = 8;
/// Hashes whose places are fetched at once: about as many loads as a core keeps in flight.
const TOGETHER: usize = 16;
/// Slots in a cache line.
const LINE: usize = 8;

/// Maps hashes to candidate heights.
#[derive(Clone, Debug)]
pub(super) struct HashIndex {
    shards: Vec<Shard>,
}

/// An open-addressing table with linear probing. A slot is `fingerprint << 32 | (height + 1)`,
/// zero is empty.
#[derive(Clone, Debug, Default)]
struct Shard {
    slots: Vec<u64>,
    used: usize,
}

fn split(hash: &BlockHash) -> (usize, u32) {
    let [a, b, c, d, e, ..] = *hash.as_byte_array();
    (usize::from(a) % SHARDS, u32::from_le_bytes([b, c, d, e]))
}

const fn slot(fingerprint: u32, height: u32) -> u64 {
    ((fingerprint as u64) << 32) | (height as u64 + 1)
}

fn fingerprint_of(slot: u64) -> u64 {
    slot >> 32
}

fn height_of(slot: u64) -> u32 {
    // The low half holds height + 1; zero marks an empty slot and is never asked for.
    u32::try_from(slot & u64::from(u32::MAX)).unwrap_or(0).wrapping_sub(1)
}

impl HashIndex {
    pub(super) fn new() -> Self {
        Self { shards: alloc::vec![Shard::default(); SHARDS] }
    }

    pub(super) fn insert(&mut self, hash: &BlockHash, height: u32) {
        let (shard, fingerprint) = split(hash);
        if let Some(shard) = self.shards.get_mut(shard) {
            shard.insert(slot(fingerprint, height));
        }
    }

    /// Makes room for so many hashes, so that their shards grow once instead of many times.
    pub(super) fn reserve(&mut self, hashes: usize) {
        // Shards are not filled alike: a sixteenth more than the average, four fifths full.
        let slots = hashes / SHARDS * 17 / 16 * 5 / 4;
        for shard in &mut self.shards {
            if shard.slots.len() < slots {
                shard.grow_to(slots);
            }
        }
    }

    /// Inserts the hashes of consecutive heights.
    ///
    /// A long chain's table is larger than the caches, and a hash's place in it is random: each insertion
    /// would wait for memory. So the places of a group are on their way while the one before is inserted.
    pub(super) fn insert_run(&mut self, hashes: &[[u8; 32]], first: BlockHeight) {
        let mut height = first.0;
        let mut coming = hashes.chunks(TOGETHER);
        self.fetch(coming.next());
        for group in hashes.chunks(TOGETHER) {
            self.fetch(coming.next());
            for hash in group {
                self.insert(&BlockHash::from_byte_array(*hash), height);
                height = height.wrapping_add(1);
            }
        }
    }

    /// Has the caches fetch where the search for each hash begins, and a line further, where it mostly ends.
    fn fetch(&self, hashes: Option<&[[u8; 32]]>) {
        for hash in hashes.into_iter().flatten() {
            let (shard, fingerprint) = split(&BlockHash::from_byte_array(*hash));
            let Some(shard) = self.shards.get(shard) else { continue };
            let home = shard.home(u64::from(fingerprint));
            for at in [home, home + LINE] {
                shard.slots.get(at).into_iter().for_each(prefetch);
            }
        }
    }

    pub(super) fn remove(&mut self, hash: &BlockHash, height: u32) {
        let (shard, fingerprint) = split(hash);
        if let Some(shard) = self.shards.get_mut(shard) {
            shard.remove(slot(fingerprint, height));
        }
    }

    /// Heights whose hashes share the fingerprint: nearly always one or none.
    pub(super) fn candidates(&self, hash: &BlockHash) -> impl Iterator<Item = u32> + '_ {
        let (shard, fingerprint) = split(hash);
        self.shards.get(shard).into_iter().flat_map(move |shard| shard.candidates(fingerprint))
    }
}

impl Shard {
    /// The slot where the search for a fingerprint begins.
    fn home(&self, fingerprint: u64) -> usize {
        // Maps 32 bits onto 0..len without a division; the product fits, so does the result.
        usize::try_from((fingerprint * self.slots.len() as u64) >> 32).unwrap_or(0)
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 >= self.slots.len() { 0 } else { at + 1 }
    }

    fn at(&self, at: usize) -> u64 {
        self.slots.get(at).copied().unwrap_or(0)
    }

    fn set(&mut self, at: usize, value: u64) {
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = value;
        }
    }

    fn insert(&mut self, value: u64) {
        if (self.used + 1) * 5 > self.slots.len() * 4 {
            self.grow();
        }
        self.place(value);
        self.used += 1;
    }

    fn place(&mut self, value: u64) {
        let mut at = self.home(fingerprint_of(value));
        while self.at(at) != 0 {
            at = self.after(at);
        }
        self.set(at, value);
    }

    /// A third more: the table is between 60 and 80 percent full.
    fn grow(&mut self) {
        self.grow_to((self.slots.len() + self.slots.len() / 3).max(SMALLEST));
    }

    fn grow_to(&mut self, larger: usize) {
        let old = core::mem::replace(&mut self.slots, alloc::vec![0; larger]);
        for value in old.into_iter().filter(|value| *value != 0) {
            self.place(value);
        }
    }

    fn candidates(&self, fingerprint: u32) -> impl Iterator<Item = u32> + '_ {
        let fingerprint = u64::from(fingerprint);
        let mut at = self.home(fingerprint);
        core::iter::from_fn(move || {
            let value = self.at(at);
            at = self.after(at);
            (value != 0).then_some(value)
        })
        .filter(move |value| fingerprint_of(*value) == fingerprint)
        .map(height_of)
    }

    fn remove(&mut self, value: u64) {
        let mut hole = self.home(fingerprint_of(value));
        while self.at(hole) != value {
            if self.at(hole) == 0 {
                return;
            }
            hole = self.after(hole);
        }
        self.used -= 1;
        self.close(hole);
    }

    /// Moves later entries of the run back into the hole, so that no search stops too early.
    fn close(&mut self, mut hole: usize) {
        let mut next = self.after(hole);
        while self.at(next) != 0 {
            let home = self.home(fingerprint_of(self.at(next)));
            if self.distance(home, next) >= self.distance(hole, next) {
                self.set(hole, self.at(next));
                hole = next;
            }
            next = self.after(next);
        }
        self.set(hole, 0);
    }

    /// Steps from one slot forward to another, around the end.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.slots.len() - from }
    }
}

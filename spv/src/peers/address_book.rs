//! The addresses that others told us.
//!
//! Purpose: to remember where full nodes are, so that no single teller decides whom we dial.
//!
//! How: as in Bitcoin Core's `addrman.h`, an address has its place by a keyed hash of who told
//! it and of what it is. All addresses that one source's network group tells fall into
//! [`BUCKETS_PER_SOURCE`] of the [`BUCKETS`]; within a bucket an address has one slot. A slot
//! that is taken stays with its owner unless that has proved useless. When one is to be dialled,
//! each bucket that has a candidate is as likely as the next, whatever their numbers.
//!
//! Invariant: at most [`ADDRESS_BOOK_SIZE`] entries, each address at most once; one source group
//! reaches at most an eighth of the slots. An attacker without the key cannot aim at a slot.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use bitcoin::hashes::siphash24;

use super::group::{address_bytes, is_routable};
use super::{AddressRecord, AddressSource, NetworkGroup, ServiceFlags, SplitMix64, backoff, ban};
use crate::time::UnixTime;

const BUCKETS: u64 = 64;
const SLOTS: u64 = 64;
const BUCKETS_PER_SOURCE: u64 = 8;

/// Addresses kept at most.
pub const ADDRESS_BOOK_SIZE: usize = 4096;

/// An address not seen for so long is of no use (Core's `ADDRMAN_HORIZON`, 30 days).
const HORIZON_SECONDS: u32 = 30 * 24 * 60 * 60;
/// A last-seen time more than this ahead is wrong, and counted as five days ago (Core's
/// `ProcessMessage`, `addr`).
const AHEAD_SECONDS: u32 = 10 * 60;
const WRONG_CLOCK_SECONDS: u32 = 5 * 24 * 60 * 60;
/// Failures in a row after which an address that never worked is worth less than a new one
/// (Core's `ADDRMAN_RETRIES`).
const RETRIES: u32 = 3;
/// The same for one that has worked before (Core's `ADDRMAN_MAX_FAILURES`).
const RETRIES_IF_PROVEN: u32 = 10;
/// Ports below belong to other services: gossip is no reason to knock at somebody's mail server.
const FIRST_PORT: u16 = 1024;
/// The pause after a first failure, and the longest.
const BASE: Duration = Duration::from_secs(60);
const CAP: Duration = Duration::from_secs(60 * 60);

/// An address and what we have learnt of it ourselves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) addr: SocketAddr,
    pub(super) group: NetworkGroup,
    last_seen: UnixTime,
    /// We were connected to it once.
    proven: bool,
    /// It was too slow when we were.
    pub(super) slow: bool,
    /// It offers compact filters: it said so when we were connected, or else its teller.
    pub(super) filters: bool,
    failures: u32,
    /// Not to be dialled before.
    due: Duration,
}

impl Entry {
    /// Whether a new address may take its slot.
    fn is_useless(&self, now: UnixTime) -> bool {
        let limit = if self.proven { RETRIES_IF_PROVEN } else { RETRIES };
        let forgotten = self.last_seen.plus_seconds(HORIZON_SECONDS) < now;
        self.failures >= limit || (forgotten && !self.proven)
    }
}

#[derive(Clone, Debug)]
pub(super) struct AddressBook {
    slots: Vec<Option<Entry>>,
    places: BTreeMap<SocketAddr, usize>,
    key: (u64, u64),
    /// Devnets are made of addresses that the internet does not route.
    allow_unroutable: bool,
}

impl AddressBook {
    pub(super) fn new(key: (u64, u64), allow_unroutable: bool) -> Self {
        let slots = vec![None; ADDRESS_BOOK_SIZE];
        Self { slots, places: BTreeMap::new(), key, allow_unroutable }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Takes in what somebody told, if it can be of use and its slot is free or wasted.
    pub(super) fn offer(&mut self, source: AddressSource, told: &AddressRecord, now: UnixTime) {
        let last_seen = plausible(told.last_seen, now);
        let useless = last_seen.plus_seconds(HORIZON_SECONDS) < now;
        if useless || !told.services.has(ServiceFlags::NETWORK) || !self.may_dial(told.addr) {
            return;
        }
        if let Some(known) = self.get_mut(told.addr) {
            known.last_seen = known.last_seen.max(last_seen);
            // What it said itself counts for more.
            known.filters |= !known.proven && told.services.has(ServiceFlags::COMPACT_FILTERS);
            return;
        }
        let group = NetworkGroup::of(told.addr);
        let place = self.place(source, group, told.addr);
        let Some(slot) = self.slots.get_mut(place) else {
            return;
        };
        match slot {
            Some(owner) if !owner.is_useless(now) => return,
            Some(owner) => drop(self.places.remove(&owner.addr)),
            None => {}
        }
        *slot = Some(Entry {
            addr: told.addr,
            group,
            last_seen,
            proven: false,
            slow: false,
            filters: told.services.has(ServiceFlags::COMPACT_FILTERS),
            failures: 0,
            due: Duration::ZERO,
        });
        self.places.insert(told.addr, place);
    }

    /// A candidate that is due and acceptable, if there is one: each bucket that has some is as
    /// likely, and in half of the cases only addresses that worked before are looked at.
    pub(super) fn choose(
        &self,
        random: &mut SplitMix64,
        elapsed: Duration,
        acceptable: impl Fn(&Entry) -> bool,
    ) -> Option<Entry> {
        let candidate = |entry: &&Entry| entry.due <= elapsed && acceptable(entry);
        let proven_first = random.one_in(2);
        let proven = proven_first
            .then(|| self.draw(random, |entry| entry.proven && candidate(entry)))
            .flatten();
        proven.or_else(|| self.draw(random, candidate))
    }

    /// When the next acceptable address is due.
    pub(super) fn next_due(&self, acceptable: impl Fn(&Entry) -> bool) -> Option<Duration> {
        self.entries().filter(|entry| acceptable(entry)).map(|entry| entry.due).min()
    }

    /// We were connected to it: it exists and does what we need.
    pub(super) fn succeeded(&mut self, addr: SocketAddr, now: UnixTime) {
        if let Some(entry) = self.get_mut(addr) {
            entry.proven = true;
            entry.last_seen = now;
        }
    }

    /// Whether it offers compact filters, as it says itself.
    pub(super) fn offers_filters(&mut self, addr: SocketAddr, filters: bool) {
        if let Some(entry) = self.get_mut(addr) {
            entry.filters = filters;
        }
    }

    /// It stayed long enough to forget earlier failures.
    pub(super) fn settled(&mut self, addr: SocketAddr) {
        if let Some(entry) = self.get_mut(addr) {
            entry.failures = 0;
        }
    }

    /// It failed: the pause before the next attempt grows.
    pub(super) fn failed(&mut self, addr: SocketAddr, elapsed: Duration, random: &mut SplitMix64) {
        if let Some(entry) = self.get_mut(addr) {
            entry.failures = entry.failures.saturating_add(1);
            entry.due = elapsed + backoff(BASE, CAP, entry.failures, random);
        }
    }

    /// It is of no use for now: the longest pause.
    pub(super) fn rest(&mut self, addr: SocketAddr, elapsed: Duration, slow: bool) {
        if let Some(entry) = self.get_mut(addr) {
            entry.slow = slow;
            entry.failures = entry.failures.saturating_add(1);
            entry.due = elapsed + CAP;
        }
    }

    /// We let go of it without blame: it is not dialled again at once.
    pub(super) fn pause(&mut self, addr: SocketAddr, elapsed: Duration) {
        if let Some(entry) = self.get_mut(addr) {
            entry.due = elapsed + BASE;
        }
    }

    /// No pause is waited for any more.
    pub(super) fn retry(&mut self, elapsed: Duration) {
        for entry in self.slots.iter_mut().flatten() {
            entry.due = entry.due.min(elapsed);
        }
    }

    /// Forgets all addresses of one owner.
    pub(super) fn remove_owner(&mut self, ip: IpAddr) {
        let owner = ban::owner(ip);
        let slots = &mut self.slots;
        self.places.retain(|addr, place| {
            let keep = ban::owner(addr.ip()) != owner;
            if !keep && let Some(slot) = slots.get_mut(*place) {
                *slot = None;
            }
            keep
        });
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.slots.iter().flatten()
    }

    /// Draws a bucket that has candidates, and one of them, in one pass.
    fn draw(&self, random: &mut SplitMix64, candidate: impl Fn(&&Entry) -> bool) -> Option<Entry> {
        let mut drawn = None;
        let mut buckets_seen = 0;
        for bucket in self.slots.chunks(usize::try_from(SLOTS).unwrap_or(usize::MAX)) {
            let mut from_bucket = None;
            let candidates = bucket.iter().flatten().filter(&candidate);
            for (seen, entry) in (1..).zip(candidates) {
                if random.one_in(seen) {
                    from_bucket = Some(*entry);
                }
            }
            if from_bucket.is_some() {
                buckets_seen += 1;
                if random.one_in(buckets_seen) {
                    drawn = from_bucket;
                }
            }
        }
        drawn
    }

    pub(super) fn contains(&self, addr: SocketAddr) -> bool {
        self.places.contains_key(&addr)
    }

    pub(super) fn get(&self, addr: SocketAddr) -> Option<&Entry> {
        self.slots.get(*self.places.get(&addr)?)?.as_ref()
    }

    fn get_mut(&mut self, addr: SocketAddr) -> Option<&mut Entry> {
        let place = *self.places.get(&addr)?;
        self.slots.get_mut(place)?.as_mut()
    }

    fn may_dial(&self, addr: SocketAddr) -> bool {
        addr.port() >= FIRST_PORT && (self.allow_unroutable || is_routable(addr.ip()))
    }

    /// The slot of an address that this source told.
    fn place(&self, source: AddressSource, group: NetworkGroup, addr: SocketAddr) -> usize {
        let source = source_bytes(source);
        let within_source = self.hash(0, &source, &group.to_bytes()) % BUCKETS_PER_SOURCE;
        let bucket = self.hash(1, &source, &within_source.to_le_bytes()) % BUCKETS;
        let slot = self.hash(2, &bucket.to_le_bytes(), &address_bytes(addr)) % SLOTS;
        usize::try_from(bucket * SLOTS + slot).unwrap_or(usize::MAX)
    }

    fn hash(&self, purpose: u8, first: &[u8], second: &[u8]) -> u64 {
        let mut bytes = Vec::with_capacity(1 + first.len() + second.len());
        bytes.push(purpose);
        bytes.extend_from_slice(first);
        bytes.extend_from_slice(second);
        siphash24::Hash::hash_to_u64_with_keys(self.key.0, self.key.1, &bytes)
    }
}

/// A source's network group; each DNS seed is one of its own.
fn source_bytes(source: AddressSource) -> [u8; 20] {
    let mut bytes = [0; 20];
    match source {
        AddressSource::Peer(ip) => {
            let group = NetworkGroup::of(SocketAddr::new(ip, 0));
            bytes[1..].copy_from_slice(&group.to_bytes());
        }
        AddressSource::DnsSeed(number) => {
            bytes[0] = 1;
            bytes[1..3].copy_from_slice(&number.to_be_bytes());
        }
    }
    bytes
}

fn plausible(last_seen: UnixTime, now: UnixTime) -> UnixTime {
    if last_seen > now.plus_seconds(AHEAD_SECONDS) {
        return UnixTime(now.0.saturating_sub(WRONG_CLOCK_SECONDS));
    }
    last_seen
}

#[cfg(test)]
#[path = "address_book_tests.rs"]
mod tests;

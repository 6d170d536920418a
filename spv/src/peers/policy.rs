//! The machine: what goes in, what comes out.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::address_book::{AddressBook, Entry};
use super::ban::BanList;
use super::group::is_routable;
use super::link::{Link, LinkKind, LinkState};
use super::{
    AddressRecord, AddressSource, BanEntry, DialFailure, DisconnectCause, NetworkGroup, Offence,
    PeerId, PolicyConfig, SplitMix64, Verdict, Weight, backoff, derive,
};
use crate::time::Now;

/// Peers that the user can name at most.
pub const MAX_MANUAL_PEERS: usize = 64;

/// The pause after a manual peer's first failure, and the longest.
const MANUAL_BASE: Duration = Duration::from_secs(1);
const MANUAL_CAP: Duration = Duration::from_secs(60);
/// A connection that held so long wipes out earlier failures.
const SETTLED: Duration = Duration::from_secs(10 * 60);
/// A stall marks a peer as slow for so long.
const SLOW_FOR: Duration = Duration::from_secs(20 * 60);
/// Slow peers are replaced one at a time, with such a pause: when our own line is slow, all
/// peers look slow.
const EVICTION_PAUSE: Duration = Duration::from_secs(2 * 60);

/// A peer that the user named.
#[derive(Clone, Copy, Debug, Default)]
struct Manual {
    failures: u32,
    due: Duration,
}

/// Decides whom to dial, drop and ban. See the [module](super) for what it guarantees.
///
/// After each `handle_*`, call [`poll_dial`](Self::poll_dial) until it has nothing, then
/// [`poll_drop`](Self::poll_drop), and wait until [`poll_timeout`](Self::poll_timeout).
#[derive(Clone, Debug)]
pub struct PeerPolicy {
    config: PolicyConfig,
    random: SplitMix64,
    book: AddressBook,
    bans: BanList,
    manual: BTreeMap<SocketAddr, Manual>,
    links: BTreeMap<SocketAddr, Link>,
    peers: BTreeMap<PeerId, SocketAddr>,
    /// No learnt address is due before; spares a look through the book.
    quiet_until: Duration,
    next_eviction: Duration,
}

impl PeerPolicy {
    /// A policy without addresses. Whoever knows the seed knows the order of its choices and
    /// where addresses fall in its book: it has to be unguessable, from the operating system, and
    /// used for nothing else. The book's key and the choices, which peers can see, are derived from
    /// it apart from each other, by SHA-256.
    #[must_use]
    pub fn new(config: PolicyConfig, seed: u64) -> Self {
        let (choices, _) = words(derive(b"ironlight peer policy, choices", seed, 0));
        let random = SplitMix64::new(choices);
        let key = words(derive(b"ironlight peer policy, address book", seed, 0));
        let book = AddressBook::new(key, config.allow_unroutable);
        Self {
            config,
            random,
            book,
            bans: BanList::default(),
            manual: BTreeMap::new(),
            links: BTreeMap::new(),
            peers: BTreeMap::new(),
            quiet_until: Duration::ZERO,
            next_eviction: Duration::ZERO,
        }
    }

    /// Adds a peer that the user named (Bitcoin Core's `-connect`). From the first one on, only
    /// such peers are dialled, unless [`PolicyConfig::manual_only`] says otherwise. They are never
    /// banned or evicted and do not count towards the target. False when there are [`MAX_MANUAL_PEERS`] already.
    pub fn add_manual(&mut self, addr: SocketAddr) -> bool {
        if self.manual.len() >= MAX_MANUAL_PEERS && !self.manual.contains_key(&addr) {
            return false;
        }
        self.manual.entry(addr).or_default();
        if let Some(link) = self.links.get_mut(&addr) {
            link.kind = LinkKind::Manual;
        }
        true
    }

    /// Takes in addresses that somebody told. Callers bound how many come in: by the message, and
    /// by a rate for each peer.
    pub fn add_addresses(&mut self, source: AddressSource, told: &[AddressRecord], now: Now) {
        for record in told {
            if !self.bans.contains(record.addr.ip(), now.unix) {
                self.book.offer(source, record, now.unix);
            }
        }
        self.wake();
    }

    /// An address to dial now, if there is one. It counts as being dialled until
    /// [`handle_connected`](Self::handle_connected) or [`handle_failed`](Self::handle_failed).
    pub fn poll_dial(&mut self, now: Now) -> Option<SocketAddr> {
        let manual = self.due_manual(now.elapsed);
        let addr = manual.or_else(|| self.due_learnt(now.elapsed))?;
        let kind = if manual.is_some() { LinkKind::Manual } else { LinkKind::Learnt };
        let group = NetworkGroup::of(addr);
        let filters = self.book.get(addr).is_some_and(|entry| entry.filters);
        self.links.insert(addr, Link { group, kind, filters, state: LinkState::Dialling });
        Some(addr)
    }

    /// A dialled address became a peer.
    pub fn handle_connected(&mut self, addr: SocketAddr, peer: PeerId, now: Now) {
        let manual = self.manual.contains_key(&addr);
        let kind = if manual { LinkKind::Manual } else { LinkKind::Learnt };
        self.link(addr, peer, kind, now);
        self.book.succeeded(addr, now.unix);
    }

    /// A connected peer says whether it offers compact filters.
    pub fn handle_offers_filters(&mut self, peer: PeerId, filters: bool) {
        let Some(addr) = self.peers.get(&peer) else { return };
        if let Some(link) = self.links.get_mut(addr) {
            link.filters = filters;
        }
        self.book.offers_filters(*addr, filters);
        self.wake();
    }

    /// An address for a connection that is to have nothing in common with the others: drawn anew each
    /// time, one that is neither connected nor dialled nor to be `avoided`, while there is one. Where
    /// only peers that the user named may be dialled, it is one of these, even if it is connected. It
    /// does not count as being dialled.
    pub fn draw_apart(&mut self, avoided: &[SocketAddr], now: Now) -> Option<SocketAddr> {
        if self.manual.is_empty() || !self.config.manual_only {
            let links = &self.links;
            let free =
                |entry: &Entry| !links.contains_key(&entry.addr) && !avoided.contains(&entry.addr);
            return self.book.choose(&mut self.random, now.elapsed, free).map(|entry| entry.addr);
        }
        let (mut drawn, mut seen) = (None, 0);
        // Each round prefers less.
        let fits: [&dyn Fn(&SocketAddr) -> bool; 3] = [
            &|addr| !avoided.contains(addr) && !self.links.contains_key(addr),
            &|addr| !avoided.contains(addr),
            &|_| true,
        ];
        for fits in fits {
            for addr in self.manual.keys().filter(|addr| fits(addr)) {
                seen += 1;
                if self.random.one_in(seen) {
                    drawn = Some(*addr);
                }
            }
            if drawn.is_some() {
                break;
            }
        }
        drawn
    }

    /// A peer that was not dialled wants to connect. It is let in unless it is banned, or its
    /// network group has [`PolicyConfig::inbound_per_group`] connections already (addresses that
    /// the internet does not route are not counted: they may all be one machine's). False: hang
    /// up, nothing is remembered.
    pub fn handle_inbound(&mut self, addr: SocketAddr, peer: PeerId, now: Now) -> bool {
        let group = NetworkGroup::of(addr);
        let same = |link: &&Link| link.kind == LinkKind::Inbound && link.group == group;
        let crowded = is_routable(addr.ip())
            && self.links.values().filter(same).count() >= self.config.inbound_per_group;
        if crowded || self.is_banned(addr, now) || self.links.contains_key(&addr) {
            return false;
        }
        self.link(addr, peer, LinkKind::Inbound, now);
        true
    }

    fn link(&mut self, addr: SocketAddr, peer: PeerId, kind: LinkKind, now: Now) {
        let state = LinkState::Connected { peer, since: now.elapsed, slow_until: Duration::ZERO };
        let filters = self.links.get(&addr).is_some_and(|link| link.filters);
        let group = NetworkGroup::of(addr);
        self.links.insert(addr, Link { group, kind, filters, state });
        self.peers.insert(peer, addr);
    }

    /// Whether an address is banned now.
    #[must_use]
    pub fn is_banned(&self, addr: SocketAddr, now: Now) -> bool {
        self.bans.contains(addr.ip(), now.unix)
    }

    /// A dialled address did not become a peer.
    pub fn handle_failed(&mut self, addr: SocketAddr, why: DialFailure, now: Now) {
        self.links.remove(&addr);
        self.wake();
        match why {
            DialFailure::Unreachable => self.hold_off(addr, now, HoldOff::Failed),
            DialFailure::Unsuitable => self.hold_off(addr, now, HoldOff::Longest { slow: false }),
            DialFailure::Offended(offence) => {
                // What is to be done is clear already, whatever the verdict: it is not connected.
                let _ = self.judge(addr, offence, now);
                self.hold_off(addr, now, HoldOff::Longest { slow: false });
            }
        }
    }

    /// A peer is gone.
    pub fn handle_disconnected(&mut self, peer: PeerId, why: DisconnectCause, now: Now) {
        let Some(addr) = self.peers.remove(&peer) else {
            return;
        };
        let Some(link) = self.links.remove(&addr) else {
            return;
        };
        self.wake();
        if link.kind == LinkKind::Inbound {
            // Its port is not one to dial.
            return;
        }
        if let LinkState::Connected { since, .. } = link.state
            && now.elapsed.saturating_sub(since) >= SETTLED
        {
            self.book.settled(addr);
            if let Some(manual) = self.manual.get_mut(&addr) {
                manual.failures = 0;
            }
        }
        let is_slow = matches!(link.state,
            LinkState::Connected { slow_until, .. } if slow_until > now.elapsed);
        let hold_off = match why {
            DisconnectCause::Suspended => return,
            DisconnectCause::Closed | DisconnectCause::Unresponsive => HoldOff::Failed,
            DisconnectCause::Misbehaved => HoldOff::Longest { slow: false },
            DisconnectCause::Evicted => HoldOff::Longest { slow: is_slow },
            DisconnectCause::Local => HoldOff::Shortest,
        };
        self.hold_off(addr, now, hold_off);
    }

    /// The node goes on after it had closed all connections. It may be on another line by now, so
    /// whatever failed before may be dialled at once; bans stay.
    pub fn handle_resumed(&mut self, now: Now) {
        for manual in self.manual.values_mut() {
            *manual = Manual { failures: 0, due: manual.due.min(now.elapsed) };
        }
        self.book.retry(now.elapsed);
        self.wake();
    }

    /// A peer did something wrong. The caller does what the verdict says, and then tells
    /// [`handle_disconnected`](Self::handle_disconnected).
    pub fn handle_misbehaviour(&mut self, peer: PeerId, offence: Offence, now: Now) -> Verdict {
        let Some(addr) = self.peers.get(&peer).copied() else {
            return Verdict::Keep;
        };
        self.judge(addr, offence, now)
    }

    /// A slow peer to be let go for a better one that waits. One at a time: it counts as
    /// connected until [`handle_disconnected`](Self::handle_disconnected), with
    /// [`DisconnectCause::Evicted`].
    pub fn poll_drop(&mut self, now: Now) -> Option<PeerId> {
        if now.elapsed < self.next_eviction || !self.is_full() {
            return None;
        }
        self.next_eviction = now.elapsed;
        let filters = self.lacks_filters();
        let without = || filters.then(|| self.peer_without_filters()).flatten();
        let slow = self.slow_peer(now.elapsed);
        let (leaving, peer) = slow.or_else(without)?;
        self.next_eviction = now.elapsed + EVICTION_PAUSE;
        let others = self.chosen().saturating_sub(1);
        if others < self.config.diversity_floor {
            return None;
        }
        let links = &self.links;
        let better = |entry: &Entry| {
            let taken = |(addr, link): (&SocketAddr, &Link)| {
                *addr == entry.addr || (*addr != leaving && link.holds(entry.group))
            };
            !entry.slow && (slow.is_some() || entry.filters) && !links.iter().any(taken)
        };
        self.book.choose(&mut self.random, now.elapsed, better).map(|_| peer)
    }

    /// Whether more chosen peers are to offer filters; those count that are being dialled.
    fn lacks_filters(&self) -> bool {
        let with = |link: &&Link| link.kind != LinkKind::Inbound && link.filters;
        self.links.values().filter(with).count() < self.config.filter_peers
    }

    /// The learnt peer without filters that connected last.
    fn peer_without_filters(&self) -> Option<(SocketAddr, PeerId)> {
        let without = self.links.iter().filter_map(|(addr, link)| match link.state {
            LinkState::Connected { peer, since, .. }
                if link.kind == LinkKind::Learnt && !link.filters =>
            {
                Some((since, *addr, peer))
            }
            LinkState::Connected { .. } | LinkState::Dialling => None,
        });
        without.max().map(|(_, addr, peer)| (addr, peer))
    }

    /// When there is something to be polled next, as time since the start; none if only an event
    /// can bring it. Right after the polls had nothing.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let waiting = |addr: &SocketAddr| !self.links.contains_key(addr);
        let manual =
            self.manual.iter().filter(|(addr, _)| waiting(addr)).map(|(_, manual)| manual.due);
        let learnt =
            (self.wants_learnt() && self.quiet_until < Duration::MAX).then_some(self.quiet_until);
        let may_leave = self.slow_peer(self.next_eviction).is_some()
            || (self.lacks_filters() && self.peer_without_filters().is_some());
        let eviction = (self.is_full() && may_leave).then_some(self.next_eviction);
        manual.chain(learnt).chain(eviction).min()
    }

    /// Whether new addresses are needed: few peers, and none left to dial right now.
    #[must_use]
    pub fn wants_addresses(&self, now: Now) -> bool {
        self.wants_learnt()
            && self.chosen() < self.config.diversity_floor
            && now.elapsed < self.quiet_until
    }

    /// Whether peers with filters are sought at all.
    #[must_use]
    pub fn wants_filters(&self) -> bool {
        self.config.filter_peers > 0
    }

    /// Whether the user named this address.
    #[must_use]
    pub fn is_manual(&self, addr: SocketAddr) -> bool {
        self.manual.contains_key(&addr)
    }

    /// Whether it may choose this address: the user named it, or its book holds it.
    #[must_use]
    pub fn knows(&self, addr: SocketAddr) -> bool {
        self.is_manual(addr) || self.book.contains(addr)
    }

    /// Peers connected.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.peers.len()
    }

    /// Addresses in the book.
    #[must_use]
    pub fn known_addresses(&self) -> usize {
        self.book.len()
    }

    /// The bans in force, to be kept over a restart.
    #[must_use]
    pub fn export_bans(&self, now: Now) -> Vec<BanEntry> {
        self.bans.export(now.unix)
    }

    /// Takes bans from an earlier run; none is made longer than a new one would be.
    pub fn import_bans(&mut self, bans: impl IntoIterator<Item = BanEntry>, now: Now) {
        self.bans.import(bans, now.unix);
        for ban in self.bans.export(now.unix) {
            self.book.remove_owner(ban.ip);
        }
    }

    fn judge(&mut self, addr: SocketAddr, offence: Offence, now: Now) -> Verdict {
        // An address that is not routed names no owner: it may be a proxy that all peers share.
        let spared = self.is_manual(addr) || !is_routable(addr.ip());
        match offence.weight() {
            Weight::Slow => {
                self.mark_slow(addr, now.elapsed);
                Verdict::Keep
            }
            Weight::Drop => Verdict::Drop,
            Weight::Ban if spared => Verdict::Drop,
            Weight::Ban => {
                let until = self.bans.ban(addr.ip(), offence, now.unix);
                self.book.remove_owner(addr.ip());
                Verdict::Ban { until }
            }
        }
    }

    fn mark_slow(&mut self, addr: SocketAddr, elapsed: Duration) {
        if let Some(Link { state: LinkState::Connected { slow_until, .. }, .. }) =
            self.links.get_mut(&addr)
        {
            *slow_until = elapsed + SLOW_FOR;
        }
    }

    fn hold_off(&mut self, addr: SocketAddr, now: Now, pause: HoldOff) {
        let elapsed = now.elapsed;
        if let Some(manual) = self.manual.get_mut(&addr) {
            manual.failures = manual.failures.saturating_add(1);
            manual.due = elapsed
                + match pause {
                    HoldOff::Shortest => MANUAL_BASE,
                    HoldOff::Failed => {
                        backoff(MANUAL_BASE, MANUAL_CAP, manual.failures, &mut self.random)
                    }
                    HoldOff::Longest { .. } => MANUAL_CAP,
                };
            return;
        }
        match pause {
            HoldOff::Shortest => self.book.pause(addr, elapsed),
            HoldOff::Failed => self.book.failed(addr, elapsed, &mut self.random),
            HoldOff::Longest { slow } => self.book.rest(addr, elapsed, slow),
        }
    }

    fn due_manual(&self, elapsed: Duration) -> Option<SocketAddr> {
        let due = |(addr, manual): &(&SocketAddr, &Manual)| {
            manual.due <= elapsed && !self.links.contains_key(*addr)
        };
        self.manual.iter().find(due).map(|(addr, _)| *addr)
    }

    fn due_learnt(&mut self, elapsed: Duration) -> Option<SocketAddr> {
        if !self.wants_learnt() || elapsed < self.quiet_until {
            return None;
        }
        let filters = self.lacks_filters();
        let links = &self.links;
        let free = |entry: &Entry| !links.values().any(|link| link.holds(entry.group));
        let with_filters = |entry: &Entry| entry.filters && free(entry);
        let first = filters.then(|| self.book.choose(&mut self.random, elapsed, with_filters));
        let chosen = first.flatten();
        let chosen = chosen.or_else(|| self.book.choose(&mut self.random, elapsed, free));
        if chosen.is_none() {
            self.quiet_until = self.book.next_due(free).unwrap_or(Duration::MAX);
        }
        chosen.map(|entry| entry.addr)
    }

    fn wants_learnt(&self) -> bool {
        (self.manual.is_empty() || !self.config.manual_only) && !self.is_full()
    }

    fn is_full(&self) -> bool {
        let learnt = self.links.values().filter(|link| link.kind == LinkKind::Learnt).count();
        learnt >= self.config.outbound_target
    }

    /// Peers connected that were dialled.
    fn chosen(&self) -> usize {
        self.links.values().filter(|link| link.is_chosen()).count()
    }

    /// The learnt peer that has been slow for the longest.
    fn slow_peer(&self, elapsed: Duration) -> Option<(SocketAddr, PeerId)> {
        let slow = self.links.iter().filter_map(|(addr, link)| match link.state {
            LinkState::Connected { peer, slow_until, .. }
                if link.kind == LinkKind::Learnt && slow_until > elapsed =>
            {
                Some((slow_until, *addr, peer))
            }
            LinkState::Connected { .. } | LinkState::Dialling => None,
        });
        slow.min().map(|(_, addr, peer)| (addr, peer))
    }

    /// Something changed that may free an address.
    fn wake(&mut self) {
        self.quiet_until = Duration::ZERO;
    }
}

/// The first two words.
fn words(bytes: [u8; 32]) -> (u64, u64) {
    let word = |from: usize| {
        let mut word = [0; 8];
        word.iter_mut().zip(bytes.iter().skip(from)).for_each(|(to, byte)| *to = *byte);
        u64::from_le_bytes(word)
    };
    (word(0), word(8))
}

/// How long an address rests.
#[derive(Clone, Copy)]
enum HoldOff {
    Shortest,
    Failed,
    Longest { slow: bool },
}

#[cfg(test)]
#[path = "inbound_tests.rs"]
mod inbound_tests;
#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;

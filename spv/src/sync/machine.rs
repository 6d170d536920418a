//! The machine itself: its state, what goes in, what comes out.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use bitcoin::{BlockHash, Work};

use super::MAX_HEADERS;
use super::action::{
    GaveUp, SyncAction, SyncEvent, SyncOffence, SyncState, SyncStatus, Unanswered,
};
use super::config::SyncConfig;
use super::peer::{Peer, PeerId, PeerTraits, Turn};
use super::presync::Presync;
use crate::chain::{HeaderChain, LinkedBatch, work_of};
use crate::header::Header;
use crate::peers::derive;
use crate::time::Now;

/// Events that wait to be polled at most; a driver that polls after each call never loses one.
pub const MAX_QUEUED_EVENTS: usize = 4096;
/// Hashes of one announcement that are looked up.
const MAX_INV_LOOKUPS: usize = 64;
/// A chain that forks off below so many blocks under the tip has to show its work first.
const NEAR_TIP: usize = 144;

/// The work that a chain must end in to be kept: the network's minimum, and no less than our own
/// tip's less 144 blocks (Bitcoin Core, `GetAntiDoSWorkThreshold`).
#[must_use]
pub fn threshold(chain: &HeaderChain) -> Work {
    let minimum = chain.params().minimum_chain_work;
    let tip = chain.tip();
    let Some(entry) = chain.get(tip.height) else { return minimum };
    let unit = work_of(entry.header.compact_target());
    let mut near_tip = tip.work;
    for _ in 0..NEAR_TIP {
        if near_tip <= unit {
            return minimum;
        }
        near_tip = near_tip - unit;
    }
    near_tip.max(minimum)
}

/// Progress of the second opinions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Opinions {
    /// Batches of the primary since somebody else was asked.
    pub(super) batches: u32,
    /// When somebody was asked last.
    pub(super) since: Duration,
}

/// Header sync with several peers; see the [module](super).
#[derive(Debug)]
pub struct HeaderSync {
    pub(super) config: SyncConfig,
    pub(super) peers: BTreeMap<PeerId, Peer>,
    /// The peer whose chain is downloaded; others give second opinions.
    pub(super) primary: Option<PeerId>,
    pub(super) opinions: Opinions,
    pub(super) state: SyncState,
    /// When the tip changed last.
    pub(super) last_news: Duration,
    /// When the current round of questions began.
    pub(super) round_began: Duration,
    /// When the state was decided last.
    pub(super) last_checked: Duration,
    /// Questions asked so far.
    pub(super) questions: u64,
    /// Questions that came to nothing just now, and nobody was asked instead yet.
    pub(super) unanswered: u32,
    /// Ends of pinned branches, and how many peers pin each: at most two a peer.
    pins: BTreeMap<BlockHash, u32>,
    actions: VecDeque<SyncAction>,
    seed: u64,
    /// Secrets drawn, and visible choices.
    secrets: u64,
    choices: u64,
}

impl HeaderSync {
    /// A machine without peers. Whoever knows the seed can cheat a presync: it has to be unguessable,
    /// from the operating system, and used for nothing else. Secrets and choices that peers can see
    /// are derived from it apart from each other, by SHA-256.
    #[must_use]
    pub fn new(config: SyncConfig, seed: u64) -> Self {
        Self {
            config,
            peers: BTreeMap::new(),
            primary: None,
            opinions: Opinions::default(),
            state: SyncState::NoPeers,
            last_news: Duration::ZERO,
            round_began: Duration::ZERO,
            last_checked: Duration::ZERO,
            questions: 0,
            unanswered: 0,
            pins: BTreeMap::new(),
            actions: VecDeque::new(),
            seed,
            secrets: 0,
            choices: 0,
        }
    }

    /// A peer can be asked now. Beyond [`SyncConfig::max_peers`] it is left alone, and is not taken up
    /// later either, when others have left: report it again then, or have fewer connections.
    pub fn handle_connected(&mut self, chain: &HeaderChain, peer: PeerId, now: Now) {
        self.handle_connected_with(chain, peer, PeerTraits::default(), now);
    }

    /// As [`handle_connected`](Self::handle_connected), for a peer that is no full node or that
    /// called us.
    pub fn handle_connected_with(
        &mut self,
        chain: &HeaderChain,
        peer: PeerId,
        traits: PeerTraits,
        now: Now,
    ) {
        if self.peers.len() < self.config.max_peers {
            self.peers.entry(peer).or_insert_with(|| Peer::new(traits));
        }
        self.schedule(chain, now);
    }

    /// A peer is gone, and with it all that was remembered of it.
    pub fn handle_disconnected(&mut self, chain: &HeaderChain, peer: PeerId, now: Now) {
        self.unpin(peer);
        if let Some(Peer { pending: Some(pending), .. }) = self.peers.remove(&peer)
            && pending.pinned
        {
            self.release_pin(pending.end);
        }
        self.forget_primary(peer);
        self.schedule(chain, now);
    }

    /// Headers of a peer, be they an answer, a late answer or an announcement.
    pub fn handle_headers(
        &mut self,
        chain: &HeaderChain,
        peer: PeerId,
        headers: Vec<Header>,
        now: Now,
    ) {
        let page = self.peers.get(&peer).map_or(MAX_HEADERS, |known| known.page);
        if headers.len() > page {
            // Not worth hashing.
            let count = headers.len();
            self.refuse(peer, SyncOffence::TooManyHeaders { count });
            self.schedule(chain, now);
        } else {
            self.handle_linked(chain, peer, LinkedBatch::new(chain.params(), headers), now);
        }
    }

    /// As [`handle_headers`](Self::handle_headers), for headers that were hashed on another
    /// thread.
    pub fn handle_linked(
        &mut self,
        chain: &HeaderChain,
        peer: PeerId,
        batch: LinkedBatch,
        now: Now,
    ) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if known.turn == Turn::Refused {
            return;
        }
        if batch.len() > known.page {
            self.refuse(peer, SyncOffence::TooManyHeaders { count: batch.len() });
        } else if known.pending.is_some() {
            // The driver broke its promise; what was sent is asked for again later.
            known.announced = batch.passed().checked_sub(1).and_then(|last| batch.hash(last));
        } else {
            self.take_headers(chain, peer, batch, now);
        }
        self.schedule(chain, now);
    }

    /// A peer announces blocks by their hashes.
    pub fn handle_block_inv(
        &mut self,
        chain: &HeaderChain,
        peer: PeerId,
        hashes: &[BlockHash],
        now: Now,
    ) {
        let mut lookups = hashes.iter().rev().take(MAX_INV_LOOKUPS);
        let news = lookups.find(|hash| !chain.contains(hash));
        if self.config.defences.ask_inv
            && let Some(hash) = news
            && let Some(known) = self.peers.get_mut(&peer)
        {
            known.announced = Some(*hash);
        }
        self.schedule(chain, now);
    }

    /// The question that a peer was asked last comes to nothing; another peer is asked at once.
    /// Where it was answered or given up meanwhile, this says nothing.
    pub fn handle_unanswered(
        &mut self,
        chain: &HeaderChain,
        peer: PeerId,
        why: Unanswered,
        now: Now,
    ) {
        if self.peers.get(&peer).is_some_and(|known| known.request.is_some()) {
            match why {
                Unanswered::NoAnswer => self.expire_request(peer, now),
                Unanswered::Refused { retry_after } => self.put_off(peer, retry_after, now),
            }
        }
        self.ask_instead(chain, now);
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come.
    pub fn handle_timeout(&mut self, chain: &HeaderChain, now: Now) {
        self.expire_requests(now);
        self.end_backoffs(now);
        self.ask_instead(chain, now);
    }

    /// What to do next; none until something happens.
    pub fn poll(&mut self) -> Option<SyncAction> {
        self.actions.pop_front()
    }

    /// What the machine is doing.
    #[must_use]
    pub fn status(&self) -> SyncStatus {
        SyncStatus {
            state: self.state,
            primary: self.primary,
            peers: self.peers.iter().map(|(id, peer)| peer.status(*id)).collect(),
        }
    }

    pub(super) fn act(&mut self, action: SyncAction) {
        self.actions.push_back(action);
    }

    pub(super) fn tell(&mut self, event: SyncEvent) {
        if self.actions.len() < MAX_QUEUED_EVENTS {
            self.act(SyncAction::Event(event));
        }
    }

    /// 32 bytes that nobody can tell without the seed.
    pub(super) fn draw_secret(&mut self) -> [u8; 32] {
        self.secrets = self.secrets.wrapping_add(1);
        derive(b"ironlight header sync, presync secret", self.seed, self.secrets)
    }

    /// One of so many, none of none.
    pub(super) fn draw_below(&mut self, count: usize) -> usize {
        self.choices = self.choices.wrapping_add(1);
        let [a, b, c, d, ..] = derive(b"ironlight header sync, choice", self.seed, self.choices);
        let drawn = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(0);
        drawn.checked_rem(count).unwrap_or(0)
    }

    pub(super) fn forget_primary(&mut self, peer: PeerId) {
        if self.primary == Some(peer) {
            self.primary = None;
        }
    }

    /// Takes back the pin that a peer's branch has.
    pub(super) fn unpin(&mut self, peer: PeerId) {
        if let Some(end) = self.peers.get_mut(&peer).and_then(|peer| peer.pin.take()) {
            self.release_pin(end);
        }
    }

    /// Pins the branch that ends in a header, also if it is only about to be added.
    pub(super) fn take_pin(&mut self, end: BlockHash) {
        let pins = self.pins.entry(end).or_default();
        *pins += 1;
        if *pins == 1 {
            self.act(SyncAction::Pin(end));
        }
    }

    pub(super) fn release_pin(&mut self, end: BlockHash) {
        let Some(pins) = self.pins.get_mut(&end) else { return };
        *pins -= 1;
        if *pins == 0 {
            self.pins.remove(&end);
            self.act(SyncAction::Unpin(end));
        }
    }

    /// Frees a peer's presync and says why, where there is a reason to give.
    pub(super) fn end_presync(&mut self, peer: PeerId, reason: Option<GaveUp>) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if let (Some(presync), Some(reason)) = (known.presync.take(), reason) {
            known.failed = known.failed.saturating_add(1);
            let (height, work) = (presync.height(), presync.work());
            self.tell(SyncEvent::PresyncGaveUp { peer, height, work, reason });
        }
    }

    /// The peer has proved itself faulty.
    pub(super) fn refuse(&mut self, peer: PeerId, offence: SyncOffence) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.request = None;
        if self.config.defences.refuse_offenders {
            known.turn = Turn::Refused;
        } else {
            known.turn = Turn::Waiting;
        }
        self.end_presync(peer, None);
        self.unpin(peer);
        self.forget_primary(peer);
        self.act(SyncAction::Misbehaved { peer, offence });
    }

    /// How many presyncs hold memory.
    pub(super) fn presyncs(&self) -> usize {
        self.peers.values().filter(|peer| peer.presync.is_some()).count()
    }

    pub(super) fn presync_mut(&mut self, peer: PeerId) -> Option<&mut Box<Presync>> {
        self.peers.get_mut(&peer)?.presync.as_mut()
    }
}

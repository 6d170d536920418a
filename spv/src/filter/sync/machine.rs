//! The machine itself: its state, what goes in, what comes out.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::ops::Range;
use core::time::Duration;

use bitcoin::BlockHash;

use super::MAX_FILTERS;
use super::action::{
    FilterAction, FilterAnswer, FilterEvent, FilterOffence, FilterRequestId, FilterSyncStatus,
    FilterUnanswered,
};
use super::ask::InFlight;
use super::case::Case;
use super::config::FilterSyncConfig;
use super::deliver::Hold;
use super::delivery::Delivery;
use super::dispute::Known;
use super::peer::{FilterPeerTraits, Peer, Place, Stand};
use super::plan::Plan;
use crate::chain::{HeaderChain, Position};
use crate::filter::{Filter, FilterHash, FilterHeader, FilterHeaderChain};
use crate::header::BlockHeight;
use crate::peers::{PeerId, SplitMix64};
use crate::time::Now;

/// Events that wait to be polled at most; a driver that polls after each call never loses one.
const MAX_QUEUED_EVENTS: usize = 4096;

/// The tip of the best header chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tip {
    pub(super) height: u32,
    pub(super) hash: BlockHash,
    pub(super) since: Duration,
}

/// Filter sync with several peers; see the [module](super).
#[derive(Debug)]
pub struct FilterSync {
    pub(super) config: FilterSyncConfig,
    pub(super) filters: FilterHeaderChain,
    pub(super) peers: BTreeMap<PeerId, Peer>,
    pub(super) requests: BTreeMap<FilterRequestId, InFlight>,
    pub(super) tip: Option<Tip>,
    /// The header at the anchor's checkpoints below it, as the peer claims whose anchor it is.
    pub(super) foundation: Option<alloc::vec::Vec<FilterHeader>>,
    pub(super) plan: Option<Plan>,
    /// The chain before its anchor was moved, until the new one is as long.
    pub(super) former: Option<FilterHeaderChain>,
    pub(super) cases: BTreeMap<u32, Case>,
    /// Verdicts on claims, the last ones.
    pub(super) known: VecDeque<(BlockHash, FilterHash, Known)>,
    pub(super) undecided: BTreeSet<u32>,
    pub(super) delivery: Delivery,
    /// Where the chain ends after each change that is not committed yet.
    pub(super) commits: VecDeque<u32>,
    /// The chain is committed below this height.
    pub(super) committed: u32,
    /// Whether what is in doubt holds up the delivery.
    pub(super) hold: Hold,
    /// The last block that the branch before the last reorg shared with ours, while that is news.
    pub(super) fork: Option<u32>,
    /// The tip that was reported as synced.
    pub(super) synced: Option<BlockHash>,
    pub(super) questions: u64,
    /// Questions that came to nothing, and nobody was asked instead yet.
    pub(super) unanswered: u32,
    pub(super) random: SplitMix64,
    actions: VecDeque<FilterAction>,
}

impl FilterSync {
    /// A machine without peers, which goes on from stored filter headers or from none. The seed
    /// only decides which of equal peers is asked first.
    #[must_use]
    pub fn new(config: FilterSyncConfig, filters: FilterHeaderChain, seed: u64) -> Self {
        Self {
            config,
            committed: filters.end(),
            filters,
            peers: BTreeMap::new(),
            requests: BTreeMap::new(),
            tip: None,
            foundation: None,
            plan: None,
            former: None,
            cases: BTreeMap::new(),
            known: VecDeque::new(),
            undecided: BTreeSet::new(),
            delivery: Delivery::default(),
            commits: VecDeque::new(),
            hold: Hold::None,
            fork: None,
            synced: None,
            questions: 0,
            unanswered: 0,
            random: SplitMix64::new(seed),
            actions: VecDeque::new(),
        }
    }

    /// A peer that serves compact filters can be asked now. Beyond [`FilterSyncConfig::max_peers`] it
    /// is left alone.
    pub fn handle_connected(
        &mut self,
        chain: &HeaderChain,
        peer: PeerId,
        traits: FilterPeerTraits,
        now: Now,
    ) {
        if self.peers.len() < self.config.max_peers {
            let (stand, span) = (self.first_stand(), self.config.first_filters);
            let lot = self.random.next_u64();
            let mut new = Peer::new(traits, stand, span, lot, now.elapsed);
            if let Some(fork) = self.fork {
                // Its height may be that of another branch, shortly after a reorg.
                new.leave_branch(fork);
            }
            self.peers.entry(peer).or_insert(new);
        }
        self.schedule(chain, now);
    }

    /// A peer is gone, and its requests with it.
    pub fn handle_disconnected(&mut self, chain: &HeaderChain, peer: PeerId, now: Now) {
        let lost: alloc::vec::Vec<_> = self
            .requests
            .iter()
            .filter(|(_, asked)| asked.peer == peer)
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            if let Some(asked) = self.take_request(peer, id) {
                self.give_back(&asked);
            }
        }
        self.peers.remove(&peer);
        self.schedule(chain, now);
    }

    /// A peer has a block: it announced it, or sent a header of it. It need not be known yet.
    pub fn handle_peer_block(
        &mut self,
        chain: &HeaderChain,
        peer: PeerId,
        block: BlockHash,
        now: Now,
    ) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.told = Some(block);
        }
        self.schedule(chain, now);
    }

    /// The best header chain has changed, or is handed over for the first time. A change that shows
    /// in the chain of another call is followed there already: peers are judged by that chain alone.
    pub fn handle_tip(&mut self, chain: &HeaderChain, now: Now) {
        if self.tip.is_none() {
            self.follow_tip(chain, now);
        }
        self.schedule(chain, now);
    }

    /// A peer answered a request.
    pub fn handle_answer(
        &mut self,
        chain: &HeaderChain,
        peer: PeerId,
        id: FilterRequestId,
        answer: FilterAnswer,
        now: Now,
    ) {
        self.catch_up(chain, now);
        if let Some(asked) = self.take_request(peer, id) {
            self.take_answer(chain, &asked, answer, now);
        }
        self.schedule(chain, now);
    }

    /// A request comes to nothing; another peer is asked.
    pub fn handle_unanswered(
        &mut self,
        chain: &HeaderChain,
        peer: PeerId,
        id: FilterRequestId,
        why: FilterUnanswered,
        now: Now,
    ) {
        if let Some(asked) = self.take_request(peer, id) {
            self.give_back(&asked);
            match why {
                FilterUnanswered::NoAnswer => self.strike(peer, asked.overdue, now),
                FilterUnanswered::Refused { retry_after } => self.put_off(peer, retry_after, now),
            }
        }
        self.schedule(chain, now);
    }

    /// The oldest [`Commit`](FilterAction::Commit) that was not reported yet is stored.
    pub fn handle_committed(&mut self, chain: &HeaderChain, now: Now) {
        if let Some(end) = self.commits.pop_front() {
            self.committed = self.commits.iter().copied().fold(end, u32::min);
        }
        self.schedule(chain, now);
    }

    /// The driver is done with all that was delivered up to a height.
    pub fn handle_consumed(&mut self, chain: &HeaderChain, height: BlockHeight, now: Now) {
        self.delivery.consumed(height.0);
        if !self.is_behind(chain) && self.deliver(chain) {
            self.drive_filters(chain, now);
            self.note_synced();
        }
    }

    /// A filter that was handed out makes no sense: whoever claims it is a liar. A filter of the
    /// driver's own cache that is damaged is no peer's fault, and changes nothing here.
    pub fn handle_broken(
        &mut self,
        chain: &HeaderChain,
        height: BlockHeight,
        filter: &Filter,
        now: Now,
    ) {
        self.catch_up(chain, now);
        let is_ours = self.filters.commits_to(height, &filter.hash());
        if let (Err(error), true) = (filter.check(), is_ours) {
            self.refute(chain, height.0, error, now);
        }
        self.schedule(chain, now);
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come.
    pub fn handle_timeout(&mut self, chain: &HeaderChain, now: Now) {
        self.expire_requests(now);
        self.schedule(chain, now);
    }

    /// Filters are wanted from a height on, all of them, in order, whatever was delivered before: the
    /// way to begin, and to begin a rescan. Blocks below the lowest height ever named do not matter
    /// where they are disputed. Where the filter headers start above it, they are fetched from a lower
    /// checkpoint on.
    pub fn want_from(&mut self, chain: &HeaderChain, height: BlockHeight, now: Now) {
        self.resume_at(chain, height, height, now);
    }

    /// As [`want_from`](Self::want_from), where the driver is done with the heights from `from` up to,
    /// and without, `next`: after a restart. Should they turn out wrong, they are delivered again.
    pub fn resume_at(
        &mut self,
        chain: &HeaderChain,
        from: BlockHeight,
        next: BlockHeight,
        now: Now,
    ) {
        self.delivery.want(from.0, next.0);
        self.catch_up(chain, now);
        self.lower_anchor(chain, from.0);
        self.synced = None;
        self.schedule(chain, now);
    }

    /// The driver has these filters, verified against the headers that are stored: they are not
    /// fetched. A rollback takes those above it out again; no change of the chain is followed here,
    /// since the driver has not heard of it.
    pub fn add_cached(&mut self, chain: &HeaderChain, heights: Range<BlockHeight>, now: Now) {
        self.delivery.cached.insert(heights.start.0..heights.end.0);
        if !self.is_behind(chain) {
            self.schedule(chain, now);
        }
    }

    /// The driver has lost cached filters: they are fetched where they are wanted.
    pub fn remove_cached(&mut self, chain: &HeaderChain, heights: Range<BlockHeight>, now: Now) {
        self.delivery.cached.remove(heights.start.0..heights.end.0);
        self.schedule(chain, now);
    }

    /// What to do next; none until something happens.
    pub fn poll(&mut self) -> Option<FilterAction> {
        self.actions.pop_front()
    }

    /// The filter headers, those that are not committed yet included.
    #[must_use]
    pub const fn headers(&self) -> &FilterHeaderChain {
        &self.filters
    }

    /// The tip of the chain that was followed last. None before the first.
    #[must_use]
    pub fn tip(&self) -> Option<BlockHash> {
        self.tip.map(|tip| tip.hash)
    }

    /// What the machine is doing.
    #[must_use]
    pub fn status(&self) -> FilterSyncStatus {
        FilterSyncStatus {
            headers: self.filters.tip().map(|tip| tip.height),
            next: self.delivery.next().map(BlockHeight),
            synced: self.tip.is_some_and(|tip| self.synced == Some(tip.hash)),
            undecided: self.undecided.len(),
            disputes: self.cases.len(),
            peers: self.peers.iter().map(|(id, peer)| peer.status(*id)).collect(),
        }
    }

    pub(super) fn act(&mut self, action: FilterAction) {
        self.actions.push_back(action);
    }

    pub(super) fn tell(&mut self, event: FilterEvent) {
        if self.actions.len() < MAX_QUEUED_EVENTS {
            self.act(FilterAction::Event(event));
        }
    }

    /// Where a peer stands that has said nothing.
    pub(super) fn first_stand(&self) -> Stand {
        if self.filters.first_height() == BlockHeight::GENESIS {
            Stand::Holds(Place::start())
        } else {
            Stand::Unheard
        }
    }

    /// The header before a height on our chain, where the chain reaches so far.
    pub(super) fn before(&self, height: u32) -> Option<FilterHeader> {
        self.filters.before(BlockHeight(height))
    }

    /// Whether a peer's header at its place is ours.
    pub(super) fn is_ours(&self, place: &Place) -> bool {
        self.before(place.next) == Some(place.header)
    }

    /// The highest block that a peer can be asked about.
    pub(super) fn reach(&self, peer: &Peer) -> Option<u32> {
        let tip = self.tip?;
        Some(if peer.is_settled { tip.height } else { tip.height.min(peer.has) })
    }

    /// Whether the chain has another tip than the one that was followed last.
    fn is_behind(&self, chain: &HeaderChain) -> bool {
        self.tip.is_some_and(|tip| tip.hash != chain.tip().hash)
    }

    /// Sees to it that what is known is about the chain that is at hand: a driver hears of a new tip
    /// later than its chain has it.
    pub(super) fn catch_up(&mut self, chain: &HeaderChain, now: Now) {
        if self.is_behind(chain) {
            self.follow_tip(chain, now);
        }
    }

    fn follow_tip(&mut self, chain: &HeaderChain, now: Now) {
        let fork = self.tip.and_then(|tip| self.fork_below(chain, &tip));
        self.note_fork(fork);
        let best = chain.tip();
        self.tip = Some(Tip { height: best.height.0, hash: best.hash, since: now.elapsed });
        for peer in self.peers.values_mut() {
            peer.is_settled = false;
        }
        self.follow_reorg(chain);
    }

    /// Sees which of the blocks that peers told of are on the best chain; the others wait.
    pub(super) fn note_told(&mut self, chain: &HeaderChain) {
        for peer in self.peers.values_mut() {
            let Some(told) = peer.told else { continue };
            match chain.find(&told) {
                Some((entry, Position::Best)) => {
                    peer.has = peer.has.max(entry.height.0);
                    peer.told = None;
                }
                Some((_, Position::Side)) | None => {}
            }
        }
    }

    /// The peer has proved itself a liar; a relay only takes its claim back.
    pub(super) fn blame(&mut self, id: PeerId, offence: FilterOffence, now: Now) {
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| !peer.is_refused()) else { return };
        if peer.relays {
            return self.lapse(id, now);
        }
        peer.stand = Stand::Refused;
        self.act(FilterAction::Misbehaved { peer: id, offence });
    }

    /// The peer's claim is dropped without blame; it is asked again later.
    pub(super) fn lapse(&mut self, id: PeerId, now: Now) {
        let first = self.first_stand();
        if let Some(peer) = self.peers.get_mut(&id).filter(|peer| !peer.is_refused()) {
            peer.stand = first;
            peer.lapses = peer.lapses.saturating_add(1);
            self.tell(FilterEvent::Lapsed { peer: id });
        }
        self.back_off(id, now);
    }

    pub(super) fn filters_at_most(&self) -> u32 {
        self.config.max_filters.clamp(1, MAX_FILTERS)
    }
}

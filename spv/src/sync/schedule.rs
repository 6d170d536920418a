//! Who is asked when: one peer downloads, others give second opinions, everybody is asked in the
//! end.

use alloc::vec::Vec;
use core::time::Duration;

use bitcoin::BlockHash;

use super::action::{GaveUp, SyncAction, SyncEvent, SyncState};
use super::machine::{HeaderSync, Opinions};
use super::peer::{Peer, PeerId, Probe, Request, Turn};
use crate::chain::{BlockLocator, HeaderChain};
use crate::time::Now;

/// A backoff is doubled at most so often.
const MAX_DOUBLINGS: u32 = 4;
/// Presyncs that a locator names at most; with our own chain's hashes it stays below 101.
const MAX_PLACES: usize = 16;
/// A peer that the driver will not ask is put off for so long at least, and at most.
const SHORTEST_PUT_OFF: Duration = Duration::from_millis(100);
const LONGEST_PUT_OFF: Duration = Duration::from_secs(10 * 60);
/// Where a message takes at least so long, a peer that is twice as fast downloads the same beside.
const SLOW_PACE: Duration = Duration::from_secs(1);

impl HeaderSync {
    /// When [`handle_timeout`](Self::handle_timeout) is due, in time since the node started.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let peers = self.peers.values();
        let deadlines = peers.clone().filter_map(|peer| peer.request.as_ref()?.deadline);
        let backoffs = peers.filter_map(|peer| match peer.turn {
            Turn::Backoff { until } => Some(until),
            Turn::Waiting
            | Turn::Working { .. }
            | Turn::Standby { .. }
            | Turn::Done
            | Turn::Refused => None,
        });
        let others = [self.opinion_due(), self.reask_due(), self.grace_ends()];
        deadlines.chain(backoffs).chain(others.into_iter().flatten()).min()
    }

    /// Brings everything up to date after an event.
    pub(super) fn schedule(&mut self, chain: &HeaderChain, now: Now) {
        if self.reask_due().is_some_and(|due| due <= now.elapsed) {
            self.begin_round(now);
        }
        self.end_standbys();
        self.ask_announcers(chain, now);
        if self.primary.is_none() {
            self.opinions = Opinions { batches: 0, since: now.elapsed };
            match self.pick_for_place() {
                Some(peer) => self.start_turn(chain, peer, now),
                // Others that are at work already, if there are any.
                None => self.primary = self.furthest_at_work(),
            }
        }
        if self.is_caught_up(chain) {
            self.ask_everybody(chain, now);
        }
        if self.wants_opinion(now) {
            self.ask_opinion(chain, now);
        }
        self.update_state(chain, now);
        debug_assert!(
            self.peers.values().all(|peer| !peer.turn.is_working() || !peer.is_free()),
            "a peer at work that nothing is expected of would keep its place for ever"
        );
    }

    /// As [`schedule`](Self::schedule): what is asked at once instead of what came to nothing is a
    /// retry, what is asked later is a new question.
    pub(super) fn ask_instead(&mut self, chain: &HeaderChain, now: Now) {
        self.schedule(chain, now);
        self.unanswered = 0;
    }

    pub(super) fn working(&self) -> usize {
        self.peers.values().filter(|peer| peer.turn.is_working()).count()
    }

    /// Those that agreed with somebody whose turn is over are asked themselves.
    fn end_standbys(&mut self) {
        let at_work: Vec<PeerId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.turn.is_working())
            .map(|(id, _)| *id)
            .collect();
        for peer in self.peers.values_mut() {
            if matches!(peer.turn, Turn::Standby { with } if !at_work.contains(&with)) {
                peer.turn = Turn::Waiting;
            }
        }
    }

    fn furthest_at_work(&self) -> Option<PeerId> {
        let at_work = self.peers.iter().filter(|(_, peer)| peer.turn.is_working());
        at_work.max_by_key(|(_, peer)| peer.shown()).map(|(id, _)| *id)
    }

    /// Somebody to ask, if there is a place left among those that download.
    fn pick_for_place(&mut self) -> Option<PeerId> {
        if self.working() < self.config.max_parallel { self.pick() } else { None }
    }

    /// Somebody to ask, at random, so that being first or quick is of no use. Slow peers only
    /// where there is nobody else, and those last whose presyncs came to nothing most often: or
    /// each of them could cost a whole presync again and again.
    fn pick(&mut self) -> Option<PeerId> {
        let waiting = self.peers.iter().filter(|(_, peer)| peer.turn == Turn::Waiting);
        let free = waiting.filter(|(_, peer)| peer.is_free());
        let rank = |peer: &Peer| (peer.slow, peer.called, peer.failed);
        let ranked: Vec<_> = free.map(|(id, peer)| (rank(peer), *id)).collect();
        let best = ranked.iter().map(|(rank, _)| *rank).min()?;
        let candidates: Vec<PeerId> =
            ranked.iter().filter(|(rank, _)| *rank == best).map(|(_, id)| *id).collect();
        let chosen = self.draw_below(candidates.len());
        candidates.get(chosen).copied()
    }

    /// Asks a peer for what follows our tip, or for the next of the presync that it is in. Callers
    /// see to it that there is a place.
    pub(super) fn start_turn(&mut self, chain: &HeaderChain, peer: PeerId, now: Now) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.turn = Turn::Working { since: now.elapsed };
        known.reached = None;
        known.announced = None;
        if known.presync.is_some() {
            self.ask_presync(chain, peer, now);
        } else {
            self.ask_probe(chain, peer, now);
        }
    }

    /// Where the presyncs of those at work are, the highest first.
    fn places(&self) -> Vec<(PeerId, BlockHash)> {
        let at_work = self.peers.iter().filter(|(_, peer)| peer.turn.is_working());
        let presyncs = at_work.filter_map(|(id, peer)| {
            let presync = peer.presync.as_ref()?;
            Some((presync.height(), *id, presync.next_parent()))
        });
        let mut places: Vec<_> = presyncs.collect();
        places.sort_unstable_by(|a, b| b.cmp(a));
        places.truncate(MAX_PLACES);
        places.into_iter().map(|(_, id, at)| (id, at)).collect()
    }

    /// Asks a peer to continue where another one is, or else from the header before our tip. Whoever agrees
    /// with a presync costs one message; whoever does not starts a download of its own.
    fn ask_probe(&mut self, chain: &HeaderChain, peer: PeerId, now: Now) {
        let pace = self.peers.values().filter_map(|peer| peer.pace_at(now.elapsed)).min();
        let pace = pace.filter(|pace| *pace >= SLOW_PACE);
        let places = self.places();
        let mut locator: BlockLocator = places.iter().map(|(_, at)| *at).collect();
        // From before the tip, so that whoever has it says so (Bitcoin Core, `SendMessages`): an empty answer
        // could as well come from a node that is behind, or on the branch that a reorg has left.
        locator.extend(chain.locator_before_tip());
        self.ask(peer, locator, Some(Probe { places, pace }), now);
    }

    /// Sends a getheaders.
    pub(super) fn ask(
        &mut self,
        peer: PeerId,
        locator: BlockLocator,
        probe: Option<Probe>,
        now: Now,
    ) {
        let sent = now.elapsed;
        let deadline = sent.saturating_add(self.config.request_timeout);
        let deadline = self.config.defences.stall_timeout.then_some(deadline);
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let retry = self.unanswered > 0;
        self.unanswered = self.unanswered.saturating_sub(1);
        known.request = Some(Request { sent, deadline, probe, retry, beside: false });
        // A chain whose first part went in: nothing that others are asked about is in doubt.
        let shared = known.is_direct() && known.reached.is_some();
        self.questions += 1;
        known.asked = self.questions;
        if self.primary.is_none() && known.turn.is_working() {
            self.primary = Some(peer);
        }
        self.act(SyncAction::GetHeaders { peer, locator, stop: None, shared, retry });
    }

    /// Asks for the next headers of a peer's presync.
    pub(super) fn ask_presync(&mut self, chain: &HeaderChain, peer: PeerId, now: Now) {
        let Some(presync) = self.presync_mut(peer) else { return };
        let (next, start) = (presync.next_parent(), presync.start());
        self.ask(peer, after(chain, next, &start), None, now);
    }

    /// The peer has no more headers for us in this round.
    pub(super) fn finish_turn(&mut self, peer: PeerId) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.turn = Turn::Done;
        known.strikes = 0;
        self.unpin(peer);
        self.forget_primary(peer);
    }

    /// The peer agrees with another one, and waits for it.
    pub(super) fn stand_by(&mut self, peer: PeerId, with: PeerId) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.turn = Turn::Standby { with };
        self.unpin(peer);
        self.forget_primary(peer);
    }

    /// The attempt came to nothing; the peer is asked again later.
    pub(super) fn back_off(&mut self, peer: PeerId, now: Now) {
        let retry = self.config.retry_after;
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let wait = retry.saturating_mul(1 << known.strikes.min(MAX_DOUBLINGS));
        known.strikes = known.strikes.saturating_add(1);
        self.back_off_until(peer, now.elapsed.saturating_add(wait));
    }

    pub(super) fn back_off_until(&mut self, peer: PeerId, until: Duration) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.turn = Turn::Backoff { until };
        self.forget_primary(peer);
    }

    /// Ends a presync that came to nothing.
    pub(super) fn give_up(&mut self, peer: PeerId, reason: GaveUp, now: Now) {
        self.end_presync(peer, Some(reason));
        self.unpin(peer);
        self.back_off(peer, now);
    }

    /// Moves overdue requests to others. The presync is kept for the late answer.
    pub(super) fn expire_requests(&mut self, now: Now) {
        let overdue: Vec<PeerId> = self
            .peers
            .iter()
            .filter(|(_, peer)| {
                let deadline = peer.request.as_ref().and_then(|request| request.deadline);
                deadline.is_some_and(|deadline| deadline <= now.elapsed)
            })
            .map(|(id, _)| *id)
            .collect();
        for peer in overdue {
            self.expire_request(peer, now);
        }
    }

    /// No answer, or none in time. One that comes late is still taken.
    pub(super) fn expire_request(&mut self, peer: PeerId, now: Now) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let request = known.drop_request();
        known.heard = true;
        self.unanswered = self.unanswered.saturating_add(1);
        if request.is_some_and(|request| request.beside) {
            // What came beside the presync was the answer.
            return self.give_up(peer, GaveUp::LeftChain, now);
        }
        known.slow = true;
        self.tell(SyncEvent::Stalled { peer });
        self.back_off(peer, now);
    }

    /// The question was not sent: the peer is asked later, and nothing is held against it. The
    /// presync is kept.
    pub(super) fn put_off(&mut self, peer: PeerId, retry_after: Duration, now: Now) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let retry = known.request.take().is_some_and(|request| request.retry);
        // What stands in for it is as much a retry as it was.
        self.unanswered = self.unanswered.saturating_add(u32::from(retry));
        // Nobody waits for its word before the chain counts as synced.
        known.heard = true;
        let wait = retry_after.clamp(SHORTEST_PUT_OFF, LONGEST_PUT_OFF);
        self.back_off_until(peer, now.elapsed.saturating_add(wait));
    }

    pub(super) fn end_backoffs(&mut self, now: Now) {
        for peer in self.peers.values_mut() {
            if matches!(peer.turn, Turn::Backoff { until } if until <= now.elapsed) {
                peer.turn = Turn::Waiting;
            }
        }
    }

    /// Asks those that announced something unknown, as soon as they are free.
    fn ask_announcers(&mut self, chain: &HeaderChain, now: Now) {
        let mut announcers = Vec::new();
        for (id, peer) in &mut self.peers {
            if peer.announced.is_some_and(|hash| chain.contains(&hash)) {
                peer.announced = None;
            }
            if peer.announced.is_some() && peer.is_free() && peer.turn == Turn::Done {
                announcers.push(*id);
            }
        }
        for id in announcers {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.announced = None;
                peer.reached = None;
            }
            // Needs no place among those that download, as long as one message is enough.
            self.ask(id, chain.locator(), None, now);
        }
    }

    /// Nobody downloads a chain that is kept at once, and somebody has no more of it.
    fn is_caught_up(&self, chain: &HeaderChain) -> bool {
        let primary = self.primary.and_then(|peer| self.peers.get(&peer));
        let done = self.peers.values().any(|peer| peer.turn == Turn::Done);
        // A primary that has only been asked may well turn out to have nothing.
        let downloads = primary.is_some_and(|peer| peer.is_direct() && peer.reached.is_some());
        done && !downloads && chain.tip().work >= chain.params().minimum_chain_work
    }

    fn ask_everybody(&mut self, chain: &HeaderChain, now: Now) {
        while self.working() < self.config.max_parallel {
            let Some(peer) = self.pick() else { return };
            self.start_turn(chain, peer, now);
        }
    }

    /// When somebody else is to be asked whether the primary is right.
    fn opinion_due(&self) -> Option<Duration> {
        let others = self.peers.values().any(|peer| peer.turn.is_candidate() && peer.is_free());
        let wanted = self.config.defences.second_opinions && self.primary.is_some() && others;
        wanted.then(|| self.opinions.since.saturating_add(self.config.second_opinion_after))
    }

    fn wants_opinion(&self, now: Now) -> bool {
        let Some(due) = self.opinion_due() else { return false };
        due <= now.elapsed || self.opinions.batches >= self.config.second_opinion_batches
    }

    /// Asks the candidate that was not asked for longest.
    fn ask_opinion(&mut self, chain: &HeaderChain, now: Now) {
        self.opinions = Opinions { batches: 0, since: now.elapsed };
        if self.working() >= self.config.max_parallel && !self.preempt(now) {
            return;
        }
        let candidates =
            self.peers.iter().filter(|(_, peer)| peer.turn.is_candidate() && peer.is_free());
        let next = candidates.min_by_key(|(_, peer)| (peer.slow, peer.called, peer.asked));
        let Some(peer) = next.map(|(id, _)| *id) else { return };
        self.start_turn(chain, peer, now);
    }

    /// Takes the place of the peer that has had one for longest, if that is too long.
    fn preempt(&mut self, now: Now) -> bool {
        let since = |turn: Turn| match turn {
            Turn::Working { since } => Some(since),
            Turn::Waiting
            | Turn::Standby { .. }
            | Turn::Done
            | Turn::Backoff { .. }
            | Turn::Refused => None,
        };
        let turns = self.peers.iter().filter_map(|(id, peer)| Some((since(peer.turn)?, *id)));
        let Some((since, peer)) = turns.min() else { return false };
        if now.elapsed.saturating_sub(since) < self.config.turn_patience {
            return false;
        }
        if let Some(known) = self.peers.get_mut(&peer) {
            known.drop_request();
        }
        self.give_up(peer, GaveUp::Preempted, now);
        true
    }

    /// When everybody is asked for news again.
    fn reask_due(&self) -> Option<Duration> {
        let done = self.peers.values().any(|peer| peer.turn == Turn::Done);
        if !done || !self.config.defences.reask_when_silent {
            return None;
        }
        let since = self.last_news.max(self.round_began);
        let synced = self.state == SyncState::Synced;
        let wait = if synced { self.config.silence } else { self.config.reask_unsynced };
        Some(since.saturating_add(wait))
    }

    fn begin_round(&mut self, now: Now) {
        self.round_began = now.elapsed;
        for peer in self.peers.values_mut() {
            peer.heard = false;
            if peer.turn == Turn::Done && peer.is_free() {
                peer.turn = Turn::Waiting;
            }
        }
    }
}

/// A locator for what follows a header that we may not hold, on a chain from a known start.
fn after(chain: &HeaderChain, next: BlockHash, start: &BlockHash) -> BlockLocator {
    let below = chain.locator_from(start);
    let mut locator = BlockLocator::with_capacity(below.len() + 1);
    locator.push(next);
    locator.extend(below.into_iter().filter(|hash| *hash != next));
    locator
}

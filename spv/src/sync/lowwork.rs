//! Chains of low work: how their presyncs begin, go on and end. A presync is its peer's alone.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::action::{GaveUp, SyncEvent, SyncOffence};
use super::answer::Placement;
use super::machine::{HeaderSync, threshold};
use super::peer::{Peer, PeerId};
use super::presync::{Presync, Step};
use crate::chain::{Basis, HeaderChain, LinkedBatch};
use crate::header::{Header, IndexedHeader};
use crate::rules::timestamp::MEDIAN_SPAN;
use crate::time::{Now, UnixTime};

impl HeaderSync {
    /// It continues from where another peer's presync is. Where all that are at work are much slower
    /// it starts a presync of its own beside theirs; else it waits. No presync changes hands: whoever
    /// agrees with a message may still withhold the rest.
    pub(super) fn take_agreement(
        &mut self,
        chain: &HeaderChain,
        id: PeerId,
        with: PeerId,
        now: Now,
    ) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.note_answer(now.elapsed);
        if peer.faster && peer.turn.is_working() {
            self.ask(id, chain.locator(), None, now);
        } else {
            self.stand_by(id, with);
        }
    }

    pub(super) fn begin_presync(
        &mut self,
        chain: &HeaderChain,
        id: PeerId,
        batch: &LinkedBatch,
        place: &Placement,
        now: Now,
    ) {
        if !self.engage(id, now) {
            return;
        }
        if self.presyncs() >= self.config.max_parallel {
            self.drop_idle_presync();
        }
        let random = self.draw_secret();
        let median = median_time_past(chain, &place.start);
        let presync =
            Presync::new(chain.params(), &place.start, median, threshold(chain), random, now.unix);
        let presync =
            if self.config.defences.commitments { presync } else { presync.without_comparison() };
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let presync = presync.with_page(peer.page);
        peer.presync = Some(Box::new(presync));
        self.tell(SyncEvent::PresyncStarted { peer: id, height: place.start.height });
        self.advance_presync(chain, id, batch, place.known, now);
    }

    /// Frees the presync of a peer that is not being asked: there always is one where all places
    /// for presyncs are taken and a newcomer has a place among the working peers.
    fn drop_idle_presync(&mut self) {
        let idle = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.presync.is_some() && !peer.turn.is_working())
            .min_by_key(|(_, peer)| peer.asked)
            .map(|(id, _)| *id);
        if let Some(idle) = idle {
            self.end_presync(idle, Some(GaveUp::Preempted));
            self.unpin(idle);
        }
    }

    pub(super) fn take_presync(
        &mut self,
        chain: &HeaderChain,
        id: PeerId,
        batch: &LinkedBatch,
        now: Now,
    ) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.note_answer(now.elapsed);
        peer.unconnecting = 0;
        if batch.failure().is_some() {
            return self.refuse_fault(id, batch);
        }
        // It goes on: stalls of before are made good, but not that it started anew.
        peer.strikes = peer.strikes.min(1);
        let last = batch.len().checked_sub(1).and_then(|last| batch.hash(last));
        let redownload = peer.presync.as_ref().is_some_and(|presync| presync.status().redownload);
        match last.and_then(|last| chain.find(&last)) {
            // Somebody else has brought the same chain in the meantime.
            Some((start, _)) if !redownload => {
                self.end_presync(id, None);
                let place = Placement { known: batch.len(), start };
                let full = self.is_full(id, batch);
                self.take_known(chain, id, &place, full, true, now);
            }
            Some(_) | None => self.advance_presync(chain, id, batch, 0, now),
        }
    }

    fn advance_presync(
        &mut self,
        chain: &HeaderChain,
        id: PeerId,
        batch: &LinkedBatch,
        from: usize,
        now: Now,
    ) {
        let full = self.is_full(id, batch);
        let Some(presync) = self.presync_mut(id) else { return };
        let step = presync.advance(chain.params(), batch, from, full);
        self.take_lead(id);
        self.count_batch(id);
        match step {
            Step::More => self.ask_next(chain, id, now),
            Step::Redownload { height, work } => {
                self.tell(SyncEvent::RedownloadStarted { peer: id, height, work });
                self.ask_next(chain, id, now);
            }
            Step::Release => self.release(chain, id, full, now),
            Step::GiveUp(GaveUp::LowWork) => {
                self.end_presync(id, Some(GaveUp::LowWork));
                self.finish_turn(id);
            }
            Step::GiveUp(reason) => self.give_up(id, reason, now),
            // The heights of a chain from a trusted start are the user's word.
            Step::Invalid { .. } if chain.basis() != Basis::Genesis => {
                self.give_up(id, GaveUp::StartInDoubt, now);
            }
            Step::Invalid { hash, height, violation } => {
                let height = Some(height);
                self.refuse(id, SyncOffence::InvalidHeader { hash, height, violation });
            }
        }
    }

    /// A peer whose presync has come further than the primary's takes that one's part; the other goes
    /// on as before.
    fn take_lead(&mut self, id: PeerId) {
        let progress = |id| self.peers.get(&id).and_then(Peer::shown);
        let primary = self.primary.and_then(progress);
        if primary.is_some() && progress(id) > primary {
            self.primary = Some(id);
        }
    }

    /// Asks for the next of a presync, if the peer has or gets a place.
    fn ask_next(&mut self, chain: &HeaderChain, id: PeerId, now: Now) {
        if self.engage(id, now) {
            self.ask_presync(chain, id, now);
        }
    }

    /// Hands on what a redownload has ready, at most a message's worth at a time; asks for more
    /// where nothing is ready.
    pub(super) fn release(&mut self, chain: &HeaderChain, id: PeerId, full: bool, now: Now) {
        let Some(presync) = self.presync_mut(id) else { return };
        let released = presync.release();
        if released.is_empty() {
            return self.ask_next(chain, id, now);
        }
        self.apply(chain, id, LinkedBatch::new(chain.params(), released), now);
        if let Some(pending) = self.peers.get_mut(&id).and_then(|peer| peer.pending.as_mut()) {
            // Whether more follows is a property of the message, not of what is released of it.
            pending.full = full;
        }
    }
}

/// The median of the times of a known header and the ten before it, as far as they are known.
fn median_time_past(chain: &HeaderChain, start: &IndexedHeader) -> UnixTime {
    let mut times: Vec<UnixTime> = Vec::with_capacity(MEDIAN_SPAN);
    let mut header: Option<Header> = Some(start.header);
    while let Some(current) = header.filter(|_| times.len() < MEDIAN_SPAN) {
        times.push(current.time());
        header = chain.find(&current.prev_hash()).map(|(parent, _)| parent.header);
    }
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

//! Chains of low work: how their presyncs begin, go on, change hands and end.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bitcoin::BlockHash;

use super::action::{GaveUp, SyncEvent, SyncOffence};
use super::answer::{Placement, is_full};
use super::machine::{HeaderSync, threshold};
use super::peer::{PeerId, Turn};
use super::presync::{Presync, Step};
use crate::chain::{HeaderChain, LinkedBatch};
use crate::header::{Header, IndexedHeader};
use crate::rules::timestamp::MEDIAN_SPAN;
use crate::time::{Now, UnixTime};

impl HeaderSync {
    /// It continues from where another peer's presync is. If that one has stalled, or is the
    /// primary and much slower, it takes the presync over: what was shown is a property of the
    /// chain, not of who showed it. Else it waits.
    pub(super) fn take_agreement(
        &mut self,
        chain: &HeaderChain,
        id: PeerId,
        batch: &LinkedBatch,
        place: (PeerId, BlockHash),
        now: Now,
    ) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.note_answer(now.elapsed);
        peer.strikes = 0;
        let faster = peer.faster && self.primary == Some(place.0);
        if self.hand_over(place, id, faster) {
            return self.take_presync(chain, id, batch, now);
        }
        self.stand_by(id, place.0);
    }

    fn hand_over(&mut self, place: (PeerId, BlockHash), to: PeerId, faster: bool) -> bool {
        let (of, at) = place;
        let Some(from) = self.peers.get_mut(&of) else { return false };
        let stalled = matches!(from.turn, Turn::Backoff { .. } | Turn::Waiting);
        let there = from.presync.as_ref().is_some_and(|presync| presync.next_parent() == at);
        if !there || from.pending.is_some() || !(stalled || faster) {
            return false;
        }
        let (presync, pin) = (from.presync.take(), from.pin.take());
        if !stalled {
            from.turn = Turn::Standby { with: to };
        }
        self.forget_primary(of);
        self.unpin(to);
        if let Some(peer) = self.peers.get_mut(&to) {
            peer.presync = presync;
            peer.pin = pin;
        }
        if self.primary.is_none() {
            self.primary = Some(to);
        }
        true
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
        let random = self.draw();
        let median = median_time_past(chain, &place.start);
        let presync =
            Presync::new(chain.params(), &place.start, median, threshold(chain), random, now.unix);
        let presync =
            if self.config.defences.commitments { presync } else { presync.without_comparison() };
        let Some(peer) = self.peers.get_mut(&id) else { return };
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
        let last = batch.len().checked_sub(1).and_then(|last| batch.hash(last));
        let redownload = peer.presync.as_ref().is_some_and(|presync| presync.status().redownload);
        match last.and_then(|last| chain.find(&last)) {
            // Somebody else has brought the same chain in the meantime.
            Some((start, _)) if !redownload => {
                self.end_presync(id, None);
                let place = Placement { known: batch.len(), start };
                self.take_known(chain, id, &place, is_full(batch), true, now);
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
        let full = is_full(batch);
        let Some(presync) = self.presync_mut(id) else { return };
        let step = presync.advance(chain.params(), batch, from, full);
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
            Step::Invalid { hash, height, violation } => {
                let height = Some(height);
                self.refuse(id, SyncOffence::InvalidHeader { hash, height, violation });
            }
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

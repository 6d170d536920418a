//! What becomes of headers that a peer sent.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bitcoin::{BlockHash, Work};

use super::MAX_HEADERS;
use super::action::{GaveUp, SyncAction, SyncEvent, SyncOffence};
use super::machine::{HeaderSync, threshold};
use super::peer::{Peer, PeerId, Pending, Turn};
use super::presync::{Presync, Step};
use crate::chain::{HeaderChain, LinkedBatch, work_of};
use crate::header::{Header, IndexedHeader};
use crate::rules::timestamp::MEDIAN_SPAN;
use crate::time::{Now, UnixTime};

/// Where a batch hangs on the chain.
struct Placement {
    /// So many of its headers are known already.
    known: usize,
    /// The last known header, the parent of those that are new.
    start: IndexedHeader,
}

impl Placement {
    /// None where nothing before the batch is known.
    fn of(chain: &HeaderChain, batch: &LinkedBatch) -> Option<Self> {
        let is_known = |index| batch.hash(index).is_some_and(|hash| chain.contains(&hash));
        // Ancestors of a known header are known, so the known ones come first.
        let (mut known, mut unknown) = (0, batch.passed());
        if !is_known(0) {
            unknown = 0;
        }
        while known < unknown {
            let middle = known.midpoint(unknown);
            if is_known(middle) { known = middle + 1 } else { unknown = middle }
        }
        let start = match known.checked_sub(1) {
            Some(last_known) => batch.hash(last_known)?,
            None => batch.headers().first()?.prev_hash(),
        };
        chain.find(&start).map(|(start, _)| Self { known, start })
    }

    /// The work that the batch ends in, as far as it has proof of it.
    fn work(&self, batch: &LinkedBatch) -> Work {
        let headers = batch.headers().iter().take(batch.passed()).skip(self.known);
        let mut total = self.start.work;
        let mut bits = self.start.header.compact_target();
        let mut unit = work_of(bits);
        for header in headers {
            if header.compact_target() != bits {
                bits = header.compact_target();
                unit = work_of(bits);
            }
            total = total + unit;
        }
        total
    }
}

/// A stateless fault of a batch, with the evidence.
fn fault(batch: &LinkedBatch) -> Option<SyncOffence> {
    let violation = *batch.failure()?;
    let hash = batch.hash(batch.passed())?;
    Some(SyncOffence::InvalidHeader { hash, height: None, violation })
}

fn is_full(batch: &LinkedBatch) -> bool {
    batch.len() >= MAX_HEADERS
}

impl HeaderSync {
    /// Decides what a message is: the next of a presync, an agreeing opinion, headers that connect,
    /// or ones that do not.
    pub(super) fn take_headers(
        &mut self,
        chain: &HeaderChain,
        id: PeerId,
        batch: LinkedBatch,
        now: Now,
    ) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(first) = batch.headers().first() else {
            return self.take_empty(id);
        };
        let parent = first.prev_hash();
        let continues =
            peer.presync.as_ref().is_some_and(|presync| presync.next_parent() == parent);
        let probe = peer.request.and_then(|request| request.probe);
        match Placement::of(chain, &batch) {
            _ if continues => self.take_presync(chain, id, &batch, now),
            Some(place) => self.take_connected(chain, id, batch, &place, now),
            None if batch.failure().is_some() => self.refuse_fault(id, &batch),
            None if probe == Some(parent) => self.take_agreement(id),
            None => self.take_unconnecting(chain, id, &batch, now),
        }
    }

    /// No more headers; it cannot be an announcement, so it is an answer.
    fn take_empty(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.request = None;
        peer.slow = false;
        self.end_presync(id, Some(GaveUp::Declined));
        self.finish_turn(id);
    }

    fn refuse_fault(&mut self, id: PeerId, batch: &LinkedBatch) {
        if let Some(offence) = fault(batch) {
            self.refuse(id, offence);
        }
    }

    /// A second opinion that continues from where the primary is.
    fn take_agreement(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.request = None;
            peer.slow = false;
            peer.strikes = 0;
        }
        self.stand_by(id);
    }

    /// Perhaps an announcement that we lack the ancestors of: ask for them, so often.
    pub(super) fn take_unconnecting(
        &mut self,
        chain: &HeaderChain,
        id: PeerId,
        batch: &LinkedBatch,
        now: Now,
    ) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let last = batch.passed().checked_sub(1).and_then(|last| batch.hash(last));
        if !self.config.defences.ask_unconnecting {
            return;
        }
        if !peer.is_free() || matches!(peer.turn, Turn::Backoff { .. }) {
            peer.announced = last;
            return;
        }
        if peer.unconnecting >= self.config.max_unconnecting {
            return;
        }
        peer.unconnecting += 1;
        if self.engage(id, now) {
            self.ask(id, chain.locator(), None, now);
        }
    }

    /// Gives a peer a place among those that download, if there is one.
    pub(super) fn engage(&mut self, id: PeerId, now: Now) -> bool {
        let places = self.config.max_parallel;
        let working = self.working();
        let Some(peer) = self.peers.get_mut(&id) else { return false };
        if peer.turn.is_working() {
            return true;
        }
        if working >= places {
            peer.turn = Turn::Waiting;
            return false;
        }
        peer.turn = Turn::Working { since: now.elapsed };
        true
    }

    fn take_connected(
        &mut self,
        chain: &HeaderChain,
        id: PeerId,
        batch: LinkedBatch,
        place: &Placement,
        now: Now,
    ) {
        let full = is_full(&batch);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.unconnecting = 0;
        // A short message that does not continue the presync is an announcement beside it.
        let beside_presync = peer.presync.is_some() && !full;
        let answer = !beside_presync && peer.note_answer();
        if peer.presync.is_some() && full {
            self.end_presync(id, Some(GaveUp::LeftChain));
        }
        let enough = place.work(&batch) >= threshold(chain) || !self.config.defences.presync;
        if place.known == batch.len() {
            self.take_known(chain, id, place, full && !beside_presync, answer, now);
        } else if enough {
            self.apply(chain, id, batch, now);
        } else if batch.failure().is_some() {
            self.refuse_fault(id, &batch);
        } else if full {
            self.begin_presync(chain, id, &batch, place, now);
        } else if answer {
            // Too little work to be kept, and no more of it: nobody's fault.
            self.finish_turn(id);
        }
    }

    /// Headers that we have. If there may be more, they come after these.
    fn take_known(
        &mut self,
        chain: &HeaderChain,
        id: PeerId,
        place: &Placement,
        more: bool,
        answer: bool,
        now: Now,
    ) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let progress = peer.reached.is_none_or(|reached| place.start.height > reached);
        if more && progress && self.engage(id, now) {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.reached = Some(place.start.height);
            }
            self.ask(id, chain.locator_from(&place.start.hash), None, now);
        } else if answer {
            self.finish_turn(id);
        }
    }

    /// Hands a batch to the driver, and asks for the next at once where the peer is the primary.
    pub(super) fn apply(
        &mut self,
        chain: &HeaderChain,
        id: PeerId,
        batch: LinkedBatch,
        now: Now,
    ) {
        let Some(end) = batch.passed().checked_sub(1).and_then(|last| batch.hash(last)) else {
            // Not even the first has proof of work.
            return self.refuse_fault(id, &batch);
        };
        let full = is_full(&batch);
        let sound = batch.failure().is_none();
        let Some(peer) = self.peers.get_mut(&id) else { return };
        // What a presync has brought in so far must not be evicted before the rest is here.
        let pinned = self.config.defences.pins && (peer.presync.is_some() || peer.pin.is_some());
        peer.pending = Some(Pending { end, full, pinned });
        let direct = peer.presync.is_none();
        if pinned {
            self.act(SyncAction::Pin(end));
        }
        self.act(SyncAction::Apply { peer: id, batch });
        let primary = self.primary == Some(id);
        if direct && full && sound && primary && self.engage(id, now) {
            self.count_batch(id);
            self.ask(id, ahead(chain, end), None, now);
        }
    }

    /// One more batch of the primary without being done.
    fn count_batch(&mut self, id: PeerId) {
        if self.primary == Some(id) {
            self.opinions.batches = self.opinions.batches.saturating_add(1);
        }
    }

    fn begin_presync(
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
        let presync = Presync::new(
            chain.params(),
            &place.start,
            median,
            threshold(chain),
            random,
            now.unix,
        );
        let presync = if self.config.defences.commitments {
            presync
        } else {
            presync.without_comparison()
        };
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

    fn take_presync(&mut self, chain: &HeaderChain, id: PeerId, batch: &LinkedBatch, now: Now) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.note_answer();
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
        let (height, work) = (presync.height(), presync.work());
        self.count_batch(id);
        match step {
            Step::More => self.ask_next(chain, id, now),
            Step::Redownload => {
                let shown = batch.passed().checked_sub(1).and_then(|last| batch.hash(last));
                self.tell(SyncEvent::RedownloadStarted {
                    peer: id,
                    height: shown.map_or(height, |_| height),
                    work,
                });
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

impl Peer {
    /// An answer has come: whether it was asked for, be it late.
    fn note_answer(&mut self) -> bool {
        let in_time = self.request.take().is_some();
        if in_time {
            self.slow = false;
        }
        in_time || matches!(self.turn, Turn::Backoff { .. })
    }
}

/// A locator for what follows a header that is being applied.
fn ahead(chain: &HeaderChain, end: BlockHash) -> Vec<BlockHash> {
    let mut locator = chain.locator();
    locator.insert(0, end);
    locator
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

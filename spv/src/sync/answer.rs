//! What becomes of headers that a peer sent.

use bitcoin::{BlockHash, Work};

use super::action::{GaveUp, SyncAction, SyncOffence};
use super::machine::{HeaderSync, threshold};
use super::peer::{PeerId, Pending, Turn};
use crate::chain::{BlockLocator, HeaderChain, LinkedBatch, WorkSum};
use crate::header::IndexedHeader;
use crate::time::Now;

/// Headers that a node announces at a time at most; more are an answer (`net_processing.cpp`,
/// `MAX_BLOCKS_TO_ANNOUNCE`).
const MAX_ANNOUNCED: usize = 8;

/// Where a batch hangs on the chain.
pub(super) struct Placement {
    /// So many of its headers are known already.
    pub(super) known: usize,
    /// The last known header, the parent of those that are new.
    pub(super) start: IndexedHeader,
}

impl Placement {
    /// None where nothing before the batch is known.
    fn of(chain: &HeaderChain, batch: &LinkedBatch) -> Option<Self> {
        let known = chain.known_prefix(batch);
        let start = match known.checked_sub(1) {
            Some(last_known) => batch.hash(last_known)?,
            None => batch.headers().first()?.prev_hash(),
        };
        chain.find(&start).map(|(start, _)| Self { known, start })
    }

    /// The work that the batch ends in, as far as it has proof of it.
    fn work(&self, batch: &LinkedBatch) -> Work {
        let headers = batch.headers().iter().take(batch.passed()).skip(self.known);
        let mut work = WorkSum::from(self.start.work);
        for header in headers {
            work.add(header.compact_target());
        }
        work.total
    }
}

/// A stateless fault of a batch, with the evidence.
fn fault(batch: &LinkedBatch) -> Option<SyncOffence> {
    let violation = *batch.failure()?;
    let hash = batch.hash(batch.passed())?;
    Some(SyncOffence::InvalidHeader { hash, height: None, violation })
}

impl HeaderSync {
    /// Whether a message says that there may be more.
    pub(super) fn is_full(&self, id: PeerId, batch: &LinkedBatch) -> bool {
        self.peers.get(&id).is_some_and(|peer| batch.len() >= peer.page)
    }

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
            return self.take_empty(id, now);
        };
        let parent = first.prev_hash();
        let continues =
            peer.presync.as_ref().is_some_and(|presync| presync.next_parent() == parent);
        let probe = peer.request.as_ref().and_then(|request| request.probe.as_ref());
        let agreed =
            probe.and_then(|probe| probe.agreement(&parent)).filter(|_| batch.failure().is_none());
        match (Placement::of(chain, &batch), agreed) {
            _ if continues => self.take_presync(chain, id, &batch, now),
            (_, Some(with)) => self.take_agreement(chain, id, with, now),
            (Some(place), None) => self.take_connected(chain, id, batch, &place, now),
            (None, None) if batch.failure().is_some() => self.refuse_fault(id, &batch),
            (None, None) => self.take_unconnecting(chain, id, &batch, now),
        }
    }

    /// No more headers; it cannot be an announcement, so it is an answer.
    fn take_empty(&mut self, id: PeerId, now: Now) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.note_answer(now.elapsed);
        let shown = peer.presync.as_ref().is_some_and(|presync| presync.status().redownload);
        let reason = if shown { GaveUp::Declined } else { GaveUp::LowWork };
        self.end_presync(id, Some(reason));
        self.finish_turn(id);
    }

    pub(super) fn refuse_fault(&mut self, id: PeerId, batch: &LinkedBatch) {
        if let Some(offence) = fault(batch) {
            self.refuse(id, offence);
        }
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
        if peer.request.is_some() && batch.len() > MAX_ANNOUNCED {
            if core::mem::take(&mut peer.owes) {
                // The late answer to an earlier question, which may have lost its purpose since.
                return;
            }
            // No answer of a node that has anything of our chain.
            peer.note_answer(now.elapsed);
            return self.give_up(id, GaveUp::LeftChain, now);
        }
        if !peer.is_free() || matches!(peer.turn, Turn::Backoff { .. }) {
            peer.announced = last;
            return;
        }
        if peer.unconnecting >= self.config.max_unconnecting {
            return;
        }
        peer.unconnecting += 1;
        // One question takes no place among those that download: news must come through even if
        // floods have all places.
        self.ask(id, chain.locator(), None, now);
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
        let full = self.is_full(id, &batch);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.unconnecting = 0;
        // A few headers that do not continue the presync are an announcement beside it, or so it
        // seems for as long as an answer may still come.
        let beside_presync = peer.presync.is_some() && batch.len() <= MAX_ANNOUNCED;
        if let Some(request) = peer.request.as_mut().filter(|_| beside_presync) {
            request.beside = true;
        }
        let answer = !beside_presync && peer.note_answer(now.elapsed);
        if peer.presync.is_some() && !beside_presync {
            peer.strikes = peer.strikes.saturating_add(u32::from(full));
            let again = full && peer.strikes > 1;
            self.end_presync(id, Some(GaveUp::LeftChain));
            self.unpin(id);
            if again {
                // It keeps starting anew: not at once any more.
                return self.back_off(id, now);
            }
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
    pub(super) fn take_known(
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
        if more && progress {
            peer.reached = Some(place.start.height);
            if self.engage(id, now) {
                self.ask(id, chain.locator_from(&place.start.hash), None, now);
            }
        } else if answer {
            self.finish_turn(id);
        }
    }

    /// Hands a batch to the driver, and asks for the next at once where the peer is the primary.
    pub(super) fn apply(&mut self, chain: &HeaderChain, id: PeerId, batch: LinkedBatch, now: Now) {
        let Some(end) = batch.passed().checked_sub(1).and_then(|last| batch.hash(last)) else {
            // Not even the first has proof of work.
            return self.refuse_fault(id, &batch);
        };
        let full = self.is_full(id, &batch);
        let sound = batch.failure().is_none();
        let Some(peer) = self.peers.get_mut(&id) else { return };
        // What a presync has brought in so far must not be evicted before the rest is here.
        let pinned = self.config.defences.pins && (peer.presync.is_some() || peer.pin.is_some());
        peer.pending = Some(Pending { end, full, pinned });
        let direct = peer.presync.is_none();
        if pinned {
            self.take_pin(end);
        }
        let primary = self.primary == Some(id);
        if direct && full && sound && primary && self.engage(id, now) {
            self.count_batch(id);
            // Asked before the driver applies these, so that the answer comes meanwhile.
            self.ask(id, ahead(chain, end), None, now);
        }
        self.act(SyncAction::Apply { peer: id, batch });
    }

    /// One more batch of the primary without being done.
    pub(super) fn count_batch(&mut self, id: PeerId) {
        if self.primary == Some(id) {
            self.opinions.batches = self.opinions.batches.saturating_add(1);
        }
    }
}

/// A locator for what follows a header that we do not hold yet.
fn ahead(chain: &HeaderChain, end: BlockHash) -> BlockLocator {
    let mut locator = chain.locator();
    locator.insert(0, end);
    locator
}

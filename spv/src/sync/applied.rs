//! What becomes of the driver's verdict on a batch.

use bitcoin::BlockHash;

use super::action::{SyncEvent, SyncOffence};
use super::machine::HeaderSync;
use super::peer::{PeerId, Pending, Turn};
use crate::chain::{Blame, HeaderChain, HeaderError, Position, TipChange, Violation};
use crate::time::Now;

impl HeaderSync {
    /// The driver's verdict on an [`Apply`](super::SyncAction::Apply), after it verified, committed and applied
    /// the batch, or applied its valid prefix and refused the rest. `chain` is the chain after it.
    pub fn handle_applied(
        &mut self,
        chain: &HeaderChain,
        peer: PeerId,
        outcome: Result<&TipChange, &HeaderError>,
        now: Now,
    ) {
        let pending = self.peers.get_mut(&peer).and_then(|peer| peer.pending.take());
        if let Some(pending) = pending {
            match outcome {
                Ok(change) => self.applied(chain, peer, pending, change, now),
                Err(error) => self.apply_failed(chain, peer, pending, error, now),
            }
        }
        self.schedule(chain, now);
    }

    fn applied(
        &mut self,
        chain: &HeaderChain,
        id: PeerId,
        pending: Pending,
        change: &TipChange,
        now: Now,
    ) {
        let best = chain.find(&pending.end).is_some_and(|(_, position)| position == Position::Best);
        self.move_pin(id, pending, best);
        let moved = !matches!(change, TipChange::Unchanged);
        if moved {
            self.last_news = now.elapsed;
        }
        if moved && pending.full {
            self.fell_behind();
        }
        let Some(peer) = self.peers.get_mut(&id) else { return };
        (peer.strikes, peer.failed) = (0, 0);
        peer.reached = chain.find(&pending.end).map(|(entry, _)| entry.height).or(peer.reached);
        let finished = peer.presync.as_ref().map(|presync| presync.is_finished());
        match finished {
            Some(false) => self.release(chain, id, pending.full, now),
            Some(true) => {
                let height = self.presync_mut(id).map(|presync| presync.height());
                self.end_presync(id, None);
                if let Some(height) = height {
                    self.tell(SyncEvent::PresyncFinished { peer: id, height });
                }
                self.go_on(chain, id, pending, best, now);
            }
            None => self.go_on(chain, id, pending, best, now),
        }
    }

    /// The pin follows the end of the branch; the best chain needs none.
    fn move_pin(&mut self, id: PeerId, pending: Pending, best: bool) {
        if !pending.pinned {
            return;
        }
        self.unpin(id);
        match self.peers.get_mut(&id) {
            Some(peer) if !best => peer.pin = Some(pending.end),
            Some(_) | None => self.release_pin(pending.end),
        }
    }

    /// A batch went in: asks for the next one, or ends the turn.
    fn go_on(&mut self, chain: &HeaderChain, id: PeerId, pending: Pending, best: bool, now: Now) {
        let Some(peer) = self.peers.get(&id) else { return };
        if peer.request.is_some() {
            return;
        }
        let (turn, faster) = (peer.turn, peer.faster);
        if !pending.full {
            if turn.is_working() || matches!(turn, Turn::Backoff { .. }) {
                self.finish_turn(id);
            }
        } else if let Some(primary) = self.extends_tip(id).filter(|_| best && !faster) {
            self.stand_by(id, primary);
        } else if self.engage(id, now) {
            if best && (self.extends_tip(id).is_some() || self.is_primary_in_presync()) {
                // Another one that extends the tip stands by as soon as it has answered.
                self.primary = Some(id);
            }
            self.ask(id, chain.locator_from(&pending.end), None, now);
        }
    }

    /// The other peer that is downloading on our best chain, so that this one need not.
    fn extends_tip(&self, id: PeerId) -> Option<PeerId> {
        let primary = self.primary.filter(|primary| *primary != id)?;
        let known = self.peers.get(&primary)?;
        (known.is_direct() && known.reached.is_some()).then_some(primary)
    }

    fn is_primary_in_presync(&self) -> bool {
        let primary = self.primary.and_then(|primary| self.peers.get(&primary));
        primary.is_some_and(|primary| primary.presync.is_some())
    }

    fn apply_failed(
        &mut self,
        chain: &HeaderChain,
        id: PeerId,
        pending: Pending,
        error: &HeaderError,
        now: Now,
    ) {
        if pending.pinned {
            self.release_pin(pending.end);
        }
        if error.blame() == Blame::Peer {
            let (hash, height, violation) = (error.hash, error.height, error.violation);
            return self.refuse(id, SyncOffence::InvalidHeader { hash, height, violation });
        }
        self.end_presync(id, None);
        self.unpin(id);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if matches!(error.violation, Violation::UnknownParent { .. }) {
            return self.lost_parent(chain, id, error.hash, now);
        }
        // Ahead of our clock, or in doubt because of what we start from. Nobody is to blame, and
        // trying again soon is of no use. What is in flight would not connect to anything.
        peer.drop_request();
        let until = now.elapsed.saturating_add(self.config.clock_retry);
        self.back_off_until(id, until);
    }

    /// The branch that the batch was to go on is gone: asks where our chains part.
    fn lost_parent(&mut self, chain: &HeaderChain, id: PeerId, hash: BlockHash, now: Now) {
        let most = self.config.max_unconnecting;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.request.is_some() {
            peer.announced = Some(hash);
        } else if peer.unconnecting < most {
            peer.unconnecting += 1;
            if self.engage(id, now) {
                self.start_turn(chain, id, now);
            }
        } else {
            self.back_off(id, now);
        }
    }
}

//! Brings everything up to date after an event.

use core::time::Duration;

use super::action::FilterEvent;
use super::machine::FilterSync;
use super::peer::Peer;
use crate::chain::HeaderChain;
use crate::header::BlockHeight;
use crate::peers::PeerId;
use crate::time::Now;

impl FilterSync {
    pub(super) fn schedule(&mut self, chain: &HeaderChain, now: Now) {
        self.catch_up(chain, now);
        let Some(tip) = self.tip else { return };
        self.note_told(chain);
        self.settle_peers(tip.since, now);
        self.end_backoffs(now);
        self.drive_cases(chain, now);
        self.drive_queries(chain, now);
        self.drive_plan(chain, now);
        self.compare_former();
        self.drive_hold(now);
        let _delivered = self.deliver(chain);
        self.drive_filters(chain, now);
        self.note_synced();
    }

    /// Sees which peers have had time to get the tip, and to tell of it. One that has just come has not,
    /// however old the tip: it may be on a branch that has left ours meanwhile.
    fn settle_peers(&mut self, tip_since: Duration, now: Now) {
        let after = self.config.settle_after;
        if tip_since.saturating_add(after) <= now.elapsed {
            self.fork = None;
        }
        for peer in self.peers.values_mut() {
            peer.is_settled = peer.settles(tip_since, after) <= now.elapsed;
        }
    }

    /// The peer that is best asked next, of those that may be.
    pub(super) fn least_busy(&self, may: impl Fn(&Peer) -> bool) -> Option<PeerId> {
        let available = |peer: &Peer| peer.is_available(self.config.max_pipelined);
        let peers = self.peers.iter().filter(|(_, peer)| available(peer) && may(peer));
        let key = |peer: &Peer| {
            (peer.called, peer.overdue, peer.lapses, peer.in_flight, peer.asked, peer.lot)
        };
        peers.min_by_key(|(_, peer)| key(peer)).map(|(id, _)| *id)
    }

    /// Tells once a tip that all is done for it.
    pub(super) fn note_synced(&mut self) {
        let Some(tip) = self.tip.filter(|tip| self.synced != Some(tip.hash)) else { return };
        let end = tip.height.saturating_add(1);
        let delivered = self.delivery.next().is_none_or(|next| next >= end);
        let complete = self.filters.end() == end && self.committed == end && delivered;
        if !complete || !self.cases.is_empty() {
            return;
        }
        let judged = |peer: &Peer| {
            let reached = self.reach(peer).is_some_and(|reach| peer.holds(reach + 1));
            !peer.answers() || reached
        };
        let peers = self.peers.values().filter(|peer| peer.holds(end)).count();
        if peers > 0 && (self.peers.values().all(judged) || !self.config.defences.compare_peers) {
            self.synced = Some(tip.hash);
            self.tell(FilterEvent::Synced { height: BlockHeight(tip.height), peers });
        }
    }
}

//! What is taken back: after a reorg, after a proof, after damage in a store.

use alloc::vec::Vec;

use super::CHECKPOINT_INTERVAL;
use super::action::{FilterHeaderChange, Revision};
use super::machine::{FilterSync, Tip};
use super::peer::{Place, Stand};
use crate::chain::{HeaderChain, Position};
use crate::filter::FilterHeader;
use crate::filter::{FilterAnchor, FilterHeaderChain};
use crate::header::BlockHeight;
use crate::peers::PeerId;

impl FilterSync {
    /// The best header chain has a new tip: takes back what is not on it any more.
    pub(super) fn follow_reorg(&mut self, chain: &HeaderChain) {
        let on_best = |tip: &crate::filter::FilterTip| {
            let found = chain.find(&tip.block_hash);
            found.is_some_and(|(_, position)| position == Position::Best)
        };
        if self.filters.tip().is_some_and(|tip| !on_best(&tip)) {
            let fork = self.filters.fork_point(chain);
            let next = fork.map_or(0, |fork| fork.next().0);
            self.roll_back(chain, next, Revision::Reorg);
            self.note_fork(Some(next.saturating_sub(1)));
        }
        if self.plan.as_ref().is_some_and(|plan| !plan.is_current(chain)) {
            self.drop_plan();
        }
    }

    /// Where the branch of a former tip leaves the best chain, if it does.
    pub(super) fn fork_below(&self, chain: &HeaderChain, former: &Tip) -> Option<u32> {
        let mut hash = former.hash;
        let mut left = false;
        loop {
            match chain.find(&hash) {
                Some((entry, Position::Best)) => return left.then_some(entry.height.0),
                Some((entry, Position::Side)) => hash = entry.header.prev_hash(),
                // Forgotten already.
                None => return Some(self.filters.end().saturating_sub(1)),
            }
            left = true;
        }
    }

    /// Which blocks of a new branch peers have, they will say.
    pub(super) fn note_fork(&mut self, fork: Option<u32>) {
        let Some(fork) = fork else { return };
        self.fork = Some(self.fork.map_or(fork, |earlier| earlier.min(fork)));
        for peer in self.peers.values_mut() {
            peer.leave_branch(fork);
        }
    }

    /// Takes back all from a height on.
    pub(super) fn roll_back(&mut self, chain: &HeaderChain, next: u32, why: Revision) {
        let agreeing: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| matches!(peer.stand, Stand::Holds(place) if self.is_ours(&place)))
            .map(|(id, _)| *id)
            .collect();
        // What was not linked here says nothing of what a peer claims below its last header.
        let implied = self.filters.is_linked(next);
        if next > self.filters.first_height().0 {
            let to = BlockHeight(next - 1);
            self.filters.rollback(Some(to), chain);
            self.commit(FilterHeaderChange::Rollback { to });
        } else {
            // Not even the first stays: the chain starts anew at a checkpoint below it, or at genesis.
            let anchor = next.saturating_sub(1) / CHECKPOINT_INTERVAL * CHECKPOINT_INTERVAL;
            self.filters = FilterHeaderChain::starting_at(BlockHeight(anchor)).unwrap_or_default();
            self.foundation = None;
            self.commit(FilterHeaderChange::Restart { anchor: None });
        }
        if let Some(former) = self.former.as_mut().filter(|_| why == Revision::Reorg) {
            former.rollback(next.checked_sub(1).map(BlockHeight), chain);
        }
        self.plan = None;
        self.undecided.split_off(&next);
        self.cases.split_off(&next);
        let first_stand = self.first_stand();
        let header = self.before(next).filter(|_| implied);
        for (id, peer) in &mut self.peers {
            let ours = header.filter(|_| agreeing.contains(id));
            peer.stand = match (peer.stand, ours) {
                (Stand::Holds(place), Some(header)) if place.next > next => {
                    Stand::Holds(Place { next, header })
                }
                (Stand::Holds(place), _) if place.next > next => first_stand,
                (Stand::Differs { low, .. }, _) if low.next > next => first_stand,
                (Stand::Differs { low, high }, _) if high.next > next => Stand::Holds(low),
                (Stand::Disputes { height, before, .. }, _) if height == next => {
                    Stand::Holds(Place { next, header: before })
                }
                (Stand::Disputes { height, .. }, _) if height > next => first_stand,
                (stand, _) => stand,
            };
        }
        self.rewind(next, why);
        self.synced = None;
    }

    /// Compares the checkpoint that is our anchor, or takes it over. False where the chain starts
    /// anew, or the list does not say.
    pub(super) fn compare_anchor(
        &mut self,
        chain: &HeaderChain,
        id: PeerId,
        headers: &[FilterHeader],
    ) -> bool {
        let first = self.filters.first_height();
        let Some(at) = (first.0 / CHECKPOINT_INTERVAL).checked_sub(1) else { return true };
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let Some((below, theirs)) = headers.get(..at).zip(headers.get(at)) else { return false };
        match self.filters.get(first) {
            None => self.start_at(chain, first, Some(*theirs)),
            Some(ours) if ours != *theirs => {
                self.move_anchor(chain, headers, at);
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.lapses = peer.lapses.saturating_add(1);
                }
                return false;
            }
            Some(_) => {}
        }
        if self.foundation.is_none() {
            self.foundation = Some(below.to_vec());
        }
        true
    }

    /// Peers are not of one opinion about our anchor: the chain starts at the last checkpoint on
    /// which they are, and what comes next will tell. Where nobody stood by ours, it is the peer's.
    fn move_anchor(&mut self, chain: &HeaderChain, theirs: &[FilterHeader], at: usize) {
        let former = core::mem::take(&mut self.filters);
        let first = former.first_height();
        match self.foundation.take() {
            None => {
                self.foundation = theirs.get(..at).map(<[_]>::to_vec);
                self.filters = FilterHeaderChain::starting_at(first).unwrap_or_default();
                self.start_at(chain, first, theirs.get(at).copied());
            }
            Some(ours) => {
                let agreed =
                    ours.iter().zip(theirs).take_while(|(our, their)| our == their).count();
                let height = u32::try_from(agreed).unwrap_or(0) * CHECKPOINT_INTERVAL;
                let header = agreed.checked_sub(1).and_then(|last| theirs.get(last)).copied();
                self.foundation = theirs.get(..agreed.saturating_sub(1)).map(<[_]>::to_vec);
                let start = FilterHeaderChain::starting_at(BlockHeight(height));
                self.filters = start.unwrap_or_default();
                self.start_at(chain, BlockHeight(height), header);
            }
        }
        self.begin_anew(former);
    }

    /// Has the chain start low enough for the filter at a height to be checked, which takes the
    /// header before it.
    pub(super) fn lower_anchor(&mut self, chain: &HeaderChain, from: u32) {
        let first = self.filters.first_height();
        if first == BlockHeight::GENESIS || first < BlockHeight(from) {
            return;
        }
        let checkpoints = from.saturating_sub(1) / CHECKPOINT_INTERVAL;
        let height = BlockHeight(checkpoints * CHECKPOINT_INTERVAL);
        let start = FilterHeaderChain::starting_at(height).unwrap_or_default();
        let former = core::mem::replace(&mut self.filters, start);
        let at = checkpoints.checked_sub(1).and_then(|at| usize::try_from(at).ok());
        let below = self.foundation.take();
        let header = below.as_ref().zip(at).and_then(|(below, at)| below.get(at)).copied();
        self.foundation =
            header.and(below).zip(at).and_then(|(below, at)| below.get(..at).map(<[_]>::to_vec));
        self.start_at(chain, height, header);
        self.begin_anew(former);
    }

    /// The chain has another start: peers are compared with it from there.
    fn begin_anew(&mut self, former: FilterHeaderChain) {
        self.plan = None;
        self.cases.clear();
        self.undecided.clear();
        self.synced = None;
        let stand = self.first_stand();
        for peer in self.peers.values_mut().filter(|peer| !peer.is_refused()) {
            peer.stand = stand;
        }
        // What was delivered may well be right: that is seen when the new chain is as long.
        if self.former.is_none() && !former.is_empty() {
            self.former = Some(former);
        }
    }

    /// Begins the chain with a header.
    fn start_at(&mut self, chain: &HeaderChain, height: BlockHeight, header: Option<FilterHeader>) {
        let anchor = chain.hash_at(height).zip(header).filter(|_| height > BlockHeight::GENESIS);
        let anchor = anchor.map(|(block_hash, header)| FilterAnchor { height, block_hash, header });
        if let Some(anchor) = anchor {
            self.filters.set_anchor(anchor.header, anchor.block_hash);
        }
        self.commit(FilterHeaderChange::Restart { anchor });
    }

    /// The chain has started anew and is as long as before: sees from where on it is another one.
    pub(super) fn compare_former(&mut self) {
        let Some(former) = &self.former else { return };
        if self.filters.end() < former.end() {
            return;
        }
        let from = former.first_height().max(self.filters.first_height()).0;
        let differs = |height: &u32| {
            former.get(BlockHeight(*height)) != self.filters.get(BlockHeight(*height))
        };
        // A filter is the same where both its header and the one before are.
        let first = (from..former.end()).find(differs);
        self.former = None;
        if let Some(first) = first {
            self.rewind(first, Revision::Evidence);
        }
    }
}

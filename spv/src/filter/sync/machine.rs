//! The machine itself: its state, what goes in, what comes out.

use alloc::collections::VecDeque;
use core::ops::Range;
use core::time::Duration;

use bitcoin::BlockHash;

use super::action::{
    FilterAction, FilterAnswer, FilterRequestId, FilterSyncStatus, FilterUnanswered,
};
use super::config::FilterSyncConfig;
use super::peer::FilterPeerTraits;
use crate::chain::HeaderChain;
use crate::filter::header_chain::FilterHeaderChain;
use crate::header::BlockHeight;
use crate::peers::PeerId;
use crate::time::Now;

/// Filter sync with several peers; see the [module](super).
#[derive(Debug)]
pub struct FilterSync {
    pub(super) config: FilterSyncConfig,
    pub(super) filters: FilterHeaderChain,
    pub(super) actions: VecDeque<FilterAction>,
}

impl FilterSync {
    /// A machine without peers, which goes on from stored filter headers or from none.
    #[must_use]
    pub fn new(config: FilterSyncConfig, filters: FilterHeaderChain, seed: u64) -> Self {
        let _ = seed;
        Self { config, filters, actions: VecDeque::new() }
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
        let _ = (chain, peer, traits, now);
    }

    /// A peer is gone, and its requests with it.
    pub fn handle_disconnected(&mut self, chain: &HeaderChain, peer: PeerId, now: Now) {
        let _ = (chain, peer, now);
    }

    /// A peer has a block: it announced it, or sent a header of it. It need not be known yet.
    pub fn handle_peer_block(
        &mut self,
        chain: &HeaderChain,
        peer: PeerId,
        block: BlockHash,
        now: Now,
    ) {
        let _ = (chain, peer, block, now);
    }

    /// The best header chain has changed, or is handed over for the first time.
    pub fn handle_tip(&mut self, chain: &HeaderChain, now: Now) {
        let _ = (chain, now);
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
        let _ = (chain, peer, id, answer, now);
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
        let _ = (chain, peer, id, why, now);
    }

    /// The oldest [`Commit`](FilterAction::Commit) that was not reported yet is stored.
    pub fn handle_committed(&mut self, chain: &HeaderChain, now: Now) {
        let _ = (chain, now);
    }

    /// The driver is done with all that was delivered up to a height.
    pub fn handle_consumed(&mut self, chain: &HeaderChain, height: BlockHeight, now: Now) {
        let _ = (chain, height, now);
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come.
    pub fn handle_timeout(&mut self, chain: &HeaderChain, now: Now) {
        let _ = (chain, now);
    }

    /// Filters are wanted from a height on, all of them, in order, whatever was delivered before: the
    /// way to begin, and to begin a rescan. Blocks below the lowest height ever named do not matter
    /// where they are disputed.
    pub fn want_from(&mut self, chain: &HeaderChain, height: BlockHeight, now: Now) {
        let _ = (chain, height, now);
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
        let _ = (chain, from, next, now);
    }

    /// The driver has these filters, verified against the headers that are stored: they are not
    /// fetched. A rollback takes those above it out again.
    pub fn add_cached(&mut self, chain: &HeaderChain, heights: Range<BlockHeight>, now: Now) {
        let _ = (chain, heights, now);
    }

    /// The driver has lost cached filters: they are fetched where they are wanted.
    pub fn remove_cached(&mut self, chain: &HeaderChain, heights: Range<BlockHeight>, now: Now) {
        let _ = (chain, heights, now);
    }

    /// What to do next; none until something happens.
    pub fn poll(&mut self) -> Option<FilterAction> {
        self.actions.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, in time since the node started.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        None
    }

    /// The filter headers, those that are not committed yet included.
    #[must_use]
    pub const fn headers(&self) -> &FilterHeaderChain {
        &self.filters
    }

    /// What the machine is doing.
    #[must_use]
    pub fn status(&self) -> FilterSyncStatus {
        FilterSyncStatus::default()
    }
}

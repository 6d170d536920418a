//! The node of a simulation: the real machine, and a wallet that does what its filters say.

use std::collections::BTreeMap;

use bitcoin::BlockHash;
use ironlight_spv::filter::sync::{
    FilterAction, FilterEvent, FilterHeaderChange, FilterOffence, FilterRequest, FilterRequestId,
    FilterSync, FilterSyncConfig,
};
use ironlight_spv::filter::{Filter, FilterHeaderChain, MatchScratch, ScriptSet};
use ironlight_spv::peers::PeerId;
use ironlight_spv::{BlockHeight, HeaderChain, Now};

use super::world::FilterWorld;

/// A request that the node wants sent.
#[derive(Clone, Copy, Debug)]
pub struct FilterQuestion {
    /// To whom.
    pub peer: PeerId,
    /// Its number.
    pub id: FilterRequestId,
    /// What.
    pub request: FilterRequest,
}

/// The machine, the header chain and a wallet.
#[derive(Debug)]
pub struct FilterNode<'a> {
    world: &'a FilterWorld,
    /// The machine.
    pub sync: FilterSync,
    /// The headers.
    pub chain: HeaderChain,
    /// Blocks that concern the wallet, as far as it knows.
    pub found: BTreeMap<u32, BlockHash>,
    /// Provable faults.
    pub blamed: Vec<(PeerId, FilterOffence)>,
    /// What the machine told.
    pub events: Vec<FilterEvent>,
    /// Filters that are kept.
    cache: BTreeMap<u32, Filter>,
    /// Changes that are to be reported as stored.
    pub commits: usize,
    /// Blocks that were looked through whole.
    pub whole: usize,
    /// Something came out of order.
    pub disorder: bool,
    next: u32,
    watched: ScriptSet,
    scratch: MatchScratch,
}

impl<'a> FilterNode<'a> {
    /// A node that has the headers of its world, and wants filters from a height on.
    #[must_use]
    pub fn new(
        world: &'a FilterWorld,
        config: FilterSyncConfig,
        filters: FilterHeaderChain,
        seed: u64,
        now: Now,
    ) -> Self {
        let mut node = Self {
            world,
            sync: FilterSync::new(config, filters, seed),
            chain: world.chain.clone(),
            found: BTreeMap::new(),
            blamed: Vec::new(),
            events: Vec::new(),
            cache: BTreeMap::new(),
            commits: 0,
            whole: 0,
            disorder: false,
            next: world.birthday,
            watched: ScriptSet::new(),
            scratch: MatchScratch::new(),
        };
        for script in &world.ledger.watched {
            node.watched.push(script);
        }
        node.sync.handle_tip(&node.chain, now);
        node.sync.want_from(&node.chain, BlockHeight(world.birthday), now);
        node
    }

    /// Looks through all again, with the filters that are kept.
    pub fn rescan(&mut self, now: Now) {
        let from = BlockHeight(self.world.birthday);
        if let Some((last, _)) = self.cache.last_key_value() {
            let first = self.cache.first_key_value().map_or(*last, |(first, _)| *first);
            if self.cache.len() == usize::try_from(last - first + 1).unwrap_or(0) {
                let kept = BlockHeight(first)..BlockHeight(last + 1);
                self.sync.add_cached(&self.chain, kept, now);
            }
        }
        self.found.clear();
        self.next = from.0;
        self.sync.want_from(&self.chain, from, now);
    }

    /// Does what the machine says until it has nothing to say.
    pub fn settle(&mut self, now: Now, questions: &mut Vec<FilterQuestion>) {
        while let Some(action) = self.sync.poll() {
            match action {
                FilterAction::Ask { peer, id, request, .. } => {
                    questions.push(FilterQuestion { peer, id, request });
                }
                FilterAction::Commit(change) => self.store(&change),
                FilterAction::Filter { height, block_hash, filter } => {
                    self.pass(height.0, 1);
                    self.look(height.0, block_hash, &filter);
                    self.cache.insert(height.0, filter);
                    self.sync.handle_consumed(&self.chain, height, now);
                }
                FilterAction::Cached { heights } => {
                    self.look_again(heights.start.0..heights.end.0, now)
                }
                FilterAction::Undecided { height, block_hash, late } => {
                    if !late {
                        self.pass(height.0, 1);
                    }
                    self.whole += 1;
                    self.fetch(height.0, block_hash);
                    self.sync.handle_consumed(&self.chain, height, now);
                }
                FilterAction::Misbehaved { peer, offence } => self.blamed.push((peer, offence)),
                FilterAction::Event(event) => {
                    if let FilterEvent::Revised { from, .. } = event {
                        self.found.retain(|height, _| *height < from.0);
                        self.next = self.next.min(from.0);
                    }
                    self.events.push(event);
                }
                other => unreachable!("an action that the driver does not know: {other:?}"),
            }
        }
    }

    fn store(&mut self, change: &FilterHeaderChange) {
        self.commits += 1;
        match change {
            FilterHeaderChange::Rollback { to } => {
                self.cache.retain(|height, _| *height <= to.0);
            }
            FilterHeaderChange::Restart { .. } => self.cache.clear(),
            FilterHeaderChange::Append(_) => {}
        }
    }

    fn pass(&mut self, height: u32, count: u32) {
        self.disorder |= height != self.next;
        self.next = height + count;
    }

    fn look_again(&mut self, heights: std::ops::Range<u32>, now: Now) {
        self.pass(heights.start, heights.end - heights.start);
        for height in heights {
            let hash = self.chain.hash_at(BlockHeight(height));
            if let (Some(hash), Some(filter)) = (hash, self.cache.get(&height).cloned()) {
                self.look(height, hash, &filter);
            } else {
                self.disorder = true;
            }
            self.sync.handle_consumed(&self.chain, BlockHeight(height), now);
        }
    }

    fn look(&mut self, height: u32, block_hash: BlockHash, filter: &Filter) {
        if filter.match_any(&self.watched, &mut self.scratch).unwrap_or(true) {
            self.fetch(height, block_hash);
        }
    }

    /// A whole block has all, whoever sent it: it is checked against its header.
    fn fetch(&mut self, height: u32, block_hash: BlockHash) {
        let entry = self.world.ledger.by_hash.get(&block_hash);
        let entry = entry.and_then(|number| self.world.entry(*number));
        if entry.is_some_and(|entry| entry.pays) {
            self.found.insert(height, block_hash);
        }
    }

    /// Blocks of the best chain that concern the wallet, and that it does not know of.
    #[must_use]
    pub fn missed(&self) -> usize {
        let tip = self.world.ledger.by_hash.get(&self.chain.tip().hash);
        let mut next = tip.and_then(|number| self.world.entry(*number));
        let mut missed = 0;
        while let Some(entry) = next.filter(|entry| entry.height >= self.world.birthday) {
            let known = self.found.get(&entry.height) == Some(&entry.hash);
            missed += usize::from(entry.pays && !known);
            next = entry.parent.and_then(|parent| self.world.entry(parent));
        }
        missed
    }
}

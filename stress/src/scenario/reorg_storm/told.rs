//! The chain as a node's events tell it, checked step by step.

use std::sync::Arc;

use ironlight::devnet::ledger::{Entry, Tree};
use ironlight::events::NodeEvent;
use ironlight::{BlockHash, ChainTip};

/// What a subscriber knows that has heard everything from genesis on.
#[derive(Debug)]
pub(super) struct Told {
    /// The best chain's hashes, by height.
    chain: Vec<BlockHash>,
    /// Reorgs that were told.
    pub(super) reorgs: u64,
    /// The fork height of the last one.
    pub(super) last_fork: Option<u32>,
    /// Events that do not follow from those before them.
    pub(super) gaps: u64,
}

impl Told {
    /// Nothing was told but genesis.
    pub(super) fn new(genesis: BlockHash) -> Self {
        Self { chain: vec![genesis], reorgs: 0, last_fork: None, gaps: 0 }
    }

    /// The tip that was told.
    pub(super) fn tip(&self) -> Option<&BlockHash> {
        self.chain.last()
    }

    /// Hears an event, which has to fit the blocks that there are and what was told before.
    pub(super) fn hear(&mut self, tree: &Tree, event: &NodeEvent) {
        if let NodeEvent::TipExtended { tip, connected } = event {
            self.extend(tree, tip, *connected);
        } else if let NodeEvent::Reorg { tip, fork_point, disconnected, connected } = event {
            self.reorgs += 1;
            self.last_fork = Some(fork_point.height.0);
            self.cut(fork_point, *disconnected);
            self.extend(tree, tip, *connected);
        }
    }

    /// A branch is left: down to a block that was told, and by as many as it was told.
    fn cut(&mut self, fork_point: &ChainTip, disconnected: u32) {
        let kept = usize::try_from(fork_point.height.0).map_or(usize::MAX, |height| height + 1);
        let left = self.chain.len().checked_sub(kept);
        let as_told = left == usize::try_from(disconnected).ok();
        self.chain.truncate(kept);
        let known = self.tip() == Some(&fork_point.hash);
        self.gaps += u64::from(!(as_told && known));
    }

    /// Blocks come: as many as are told, on the last one that was told.
    fn extend(&mut self, tree: &Tree, tip: &ChainTip, connected: u32) {
        let mut hashes = Vec::new();
        let mut next: Option<&Arc<Entry>> = tree.get(&tip.hash);
        for _ in 0..connected {
            let Some(entry) = next else { break };
            hashes.push(entry.hash);
            next = tree.parent(entry);
        }
        let follows = next.map(|entry| &entry.hash) == self.tip() && self.tip().is_some();
        let complete = u32::try_from(hashes.len()) == Ok(connected);
        self.chain.extend(hashes.iter().rev());
        let height = u32::try_from(self.chain.len()).ok().and_then(|length| length.checked_sub(1));
        let high = height == Some(tip.height.0);
        self.gaps += u64::from(!(follows && complete && high));
    }
}

#[cfg(test)]
mod tests {
    use ironlight::devnet::DevnetConfig;
    use ironlight::devnet::ledger::Ledger;

    use super::*;

    fn ledger(blocks: u32) -> Ledger {
        let DevnetConfig { first_time, spacing, .. } = DevnetConfig::default();
        let mut ledger = Ledger::new(1, first_time, spacing).unwrap();
        (0..blocks).for_each(|_| drop(ledger.mine().unwrap()));
        ledger
    }

    fn at(ledger: &Ledger, height: u32) -> ChainTip {
        ledger.tree().at(height).unwrap().as_tip()
    }

    fn extended(tip: ChainTip, connected: u32) -> NodeEvent {
        NodeEvent::TipExtended { tip, connected }
    }

    #[test]
    fn what_follows_leaves_no_gap_and_what_was_left_out_does() {
        let mut ledger = ledger(5);
        let genesis = at(&ledger, 0).hash;
        let mut told = Told::new(genesis);
        told.hear(ledger.tree(), &extended(at(&ledger, 3), 3));
        told.hear(ledger.tree(), &extended(at(&ledger, 5), 2));
        let (fork_point, old) = (at(&ledger, 3), told.chain.clone());
        ledger.branch(2, 3).unwrap();
        let tip = at(&ledger, 6);
        let reorg = |disconnected| NodeEvent::Reorg { tip, fork_point, disconnected, connected: 3 };
        told.hear(ledger.tree(), &reorg(2));
        assert_eq!((told.gaps, told.reorgs, told.last_fork), (0, 1, Some(3)));
        assert_eq!(told.tip(), Some(&tip.hash));

        // By another number of blocks than were told of; from a block that was not; with one left out.
        let untold = ChainTip { hash: old[5], ..fork_point };
        let elsewhere = NodeEvent::Reorg { tip, fork_point: untold, disconnected: 2, connected: 3 };
        let late = extended(tip, 1);
        for (event, heard) in [(reorg(3), &old), (elsewhere, &old), (late, &old)] {
            let mut told = Told { chain: heard.clone(), ..Told::new(genesis) };
            told.hear(ledger.tree(), &event);
            assert_eq!(told.gaps, 1, "{event:?}");
        }
    }
}

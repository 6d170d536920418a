//! Side branches: a tree of headers that hang off the best chain.
//!
//! Bound: [`MAX_FORK_HEADERS`] headers, about 200 bytes each. When it is full the end of the
//! branch with the least work goes first, so that an attacker's cheap branches push each other
//! out. A pinned branch, one under redownload, stays; whoever pins bounds its length.

use alloc::collections::{BTreeMap, BTreeSet};

use bitcoin::{BlockHash, Work};

use crate::header::{BlockHeight, Header, IndexedHeader};

/// Headers that side branches may hold together, pinned branches apart.
pub const MAX_FORK_HEADERS: usize = 8192;

#[derive(Clone, Copy, Debug)]
struct Node {
    header: Header,
    height: BlockHeight,
    work: Work,
}

/// The side branches. A node whose parent is not in the tree has it on the best chain.
#[derive(Clone, Debug, Default)]
pub(super) struct ForkTree {
    nodes: BTreeMap<BlockHash, Node>,
    /// How many nodes name a parent, be it in the tree or on the best chain: a reorg moves
    /// headers between the two, and what hangs on them stays.
    children: BTreeMap<BlockHash, u32>,
    /// The ends of branches, the least work first.
    leaves: BTreeSet<(Work, BlockHash)>,
    pinned: BTreeSet<BlockHash>,
    evicted: u64,
}

impl ForkTree {
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(super) fn get(&self, hash: &BlockHash) -> Option<IndexedHeader> {
        let node = self.nodes.get(hash)?;
        Some(IndexedHeader {
            header: node.header,
            hash: *hash,
            height: node.height,
            work: node.work,
        })
    }

    pub(super) fn contains(&self, hash: &BlockHash) -> bool {
        self.nodes.contains_key(hash)
    }

    pub(super) fn insert(&mut self, entry: &IndexedHeader) {
        let IndexedHeader { header, hash, height, work } = *entry;
        let parent = header.prev_hash();
        *self.children.entry(parent).or_default() += 1;
        if let Some(node) = self.nodes.get(&parent) {
            self.leaves.remove(&(node.work, parent));
        }
        self.nodes.insert(hash, Node { header, height, work });
        // An end at first: a new header has no children yet, and of a branch that comes off the
        // best chain the last header has none, or they would have been the best chain.
        self.leaves.insert((work, hash));
    }

    /// Takes one node out; what hangs on it stays. Right for an end of a branch, and for headers
    /// that move to the best chain.
    pub(super) fn remove(&mut self, hash: &BlockHash) {
        let Some(node) = self.nodes.remove(hash) else { return };
        self.leaves.remove(&(node.work, *hash));
        let parent = node.header.prev_hash();
        let Some(siblings) = self.children.get_mut(&parent) else { return };
        *siblings -= 1;
        if *siblings == 0 {
            self.children.remove(&parent);
            if let Some(node) = self.nodes.get(&parent) {
                self.leaves.insert((node.work, parent));
            }
        }
    }

    pub(super) fn pin(&mut self, end: BlockHash) {
        self.pinned.insert(end);
    }

    pub(super) fn unpin(&mut self, end: &BlockHash) {
        self.pinned.remove(end);
    }

    /// Evicts branch ends, the least work first, until the bound holds again.
    pub(super) fn enforce_bound(&mut self) {
        while self.nodes.len() > MAX_FORK_HEADERS {
            let weakest =
                self.leaves.iter().map(|(_, hash)| *hash).find(|hash| !self.pinned.contains(hash));
            let Some(weakest) = weakest else { return };
            self.remove(&weakest);
            self.evicted += 1;
        }
    }
}

//! Throws away what no kept height needs.
//!
//! Nodes live in the order of their seals and refer to older ones only. So what is needed is all
//! that came after the oldest kept height, and what its own tree reaches. It is copied to fresh
//! arenas in the same order, and a node's new place is the number of needed ones before it. Hashes
//! are copied, not made again. For the time of the copy both are held.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::arena::{Node, NodeId, Record};
use super::error::{Damaged, StateError};
use super::snapshot::Snapshot;
use super::tree::Tree;

/// The tree with nothing but what these snapshots need, which are moved to it.
pub(super) fn compact(
    tree: &Tree,
    snapshots: &[Snapshot],
) -> Result<(Tree, Vec<Snapshot>), StateError> {
    let Some(oldest) = snapshots.first() else {
        return Ok((Tree::new(tree.salt), Vec::new()));
    };
    let needed = Needed::of(tree, oldest)?;
    let mut copy = Copy { old: tree, new: Tree::new(tree.salt), needed, bases: BTreeMap::new() };
    let mut moved = Vec::with_capacity(snapshots.len());
    let mut next = 0;
    for snapshot in snapshots {
        for id in (next..snapshot.nodes_end).map(NodeId) {
            copy.node(id)?;
        }
        next = snapshot.nodes_end;
        let top = snapshot.top.map(|top| copy.needed.moved(top)).transpose()?;
        let (nodes_end, values_end) = (copy.new.nodes.len(), copy.new.values.end());
        moved.push(Snapshot { top, nodes_end, values_end, ..*snapshot });
    }
    Ok((copy.new, moved))
}

/// Which old nodes are needed: a bit each, and how many are before each word.
struct Needed {
    words: Vec<u64>,
    before: Vec<u32>,
    /// From here on all are needed.
    all_from: u32,
    count: u32,
}

impl Needed {
    fn of(tree: &Tree, oldest: &Snapshot) -> Result<Self, Damaged> {
        let all_from = oldest.nodes_end;
        let words = usize::try_from(all_from.div_ceil(64)).unwrap_or(0);
        let mut needed =
            Self { words: alloc::vec![0; words], before: Vec::new(), all_from, count: 0 };
        let mut waiting: Vec<NodeId> = oldest.top.into_iter().collect();
        while let Some(at) = waiting.pop() {
            let (word, bit) = place(at);
            *needed.words.get_mut(word).ok_or(Damaged { node: at.0 })? |= bit;
            match tree.nodes.node(at)? {
                Node::Leaf { .. } => {}
                Node::Inner { left, right, .. } => waiting.extend([left, right]),
            }
        }
        for word in &needed.words {
            needed.before.push(needed.count);
            needed.count += word.count_ones();
        }
        Ok(needed)
    }

    fn has(&self, id: NodeId) -> bool {
        let (word, bit) = place(id);
        id.0 >= self.all_from || self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    fn moved(&self, id: NodeId) -> Result<NodeId, Damaged> {
        if let Some(after) = id.0.checked_sub(self.all_from) {
            return Ok(NodeId(self.count + after));
        }
        let damaged = Damaged { node: id.0 };
        let (word, bit) = place(id);
        let bits = *self.words.get(word).filter(|word| *word & bit != 0).ok_or(damaged)?;
        let before = self.before.get(word).ok_or(damaged)?;
        Ok(NodeId(before + (bits & (bit - 1)).count_ones()))
    }
}

fn place(id: NodeId) -> (usize, u64) {
    (usize::try_from(id.0 / 64).unwrap_or(usize::MAX), 1 << (id.0 % 64))
}

struct Copy<'t> {
    old: &'t Tree,
    new: Tree,
    needed: Needed,
    /// Where whole values came to stand.
    bases: BTreeMap<u64, u64>,
}

impl Copy<'_> {
    fn node(&mut self, id: NodeId) -> Result<(), StateError> {
        if !self.needed.has(id) {
            return Ok(());
        }
        let node = match self.old.nodes.node(id)? {
            Node::Leaf { .. } => Node::Leaf { record: self.record(id)? },
            Node::Inner { bit, left, right } => {
                let (left, right) = (self.needed.moved(left)?, self.needed.moved(right)?);
                Node::Inner { bit, left, right }
            }
        };
        self.new.nodes.push(node, *self.old.nodes.hash(id)?)?;
        Ok(())
    }

    /// A whole value is copied with the first that needs it, be it for a difference only.
    fn record(&mut self, id: NodeId) -> Result<u64, Damaged> {
        let written = self.old.written(id)?;
        let values = &mut self.new.values;
        let base = *self
            .bases
            .entry(written.base)
            .or_insert_with(|| values.push(Record::Whole(written.whole)));
        let delta = written.delta.map(|body| values.push(Record::Delta { base, body }));
        Ok(delta.unwrap_or(base))
    }
}

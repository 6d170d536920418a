//! What differs between two versions of the tree.
//!
//! Both are walked side by side, and what has the same hash is skipped: the cost follows the
//! number of differences, not the number of accounts.

use alloc::vec::Vec;

use super::arena::{Node, NodeId};
use super::changes::Change;
use super::error::Damaged;
use super::hash::{first_difference, is_set};
use super::tree::{Leaves, Tree};
use super::value::StateValue;

/// The changes that make the new version of the old one, ascending by place.
pub(super) fn diff<V: StateValue>(
    tree: &Tree,
    old: Option<NodeId>,
    new: Option<NodeId>,
) -> Result<Vec<Change<V>>, Damaged> {
    let mut diff = Diff { tree, changes: Vec::new() };
    diff.sides(old, new, 0)?;
    Ok(diff.changes)
}

struct Diff<'t, V> {
    tree: &'t Tree,
    changes: Vec<Change<V>>,
}

impl<V: StateValue> Diff<'_, V> {
    /// The bits before `from` are the same in all places of both.
    fn sides(
        &mut self,
        old: Option<NodeId>,
        new: Option<NodeId>,
        from: u16,
    ) -> Result<(), Damaged> {
        match (old, new) {
            (Some(old), Some(new)) => {
                let nodes = &self.tree.nodes;
                if old == new || nodes.hash(old)? == nodes.hash(new)? {
                    return Ok(());
                }
                self.nodes(old, new, from)
            }
            (old, new) => {
                let (mut gone, mut come) = (Leaves::new(old), Leaves::new(new));
                while let Some(leaf) = gone.next(&self.tree.nodes)? {
                    self.changes.push(Change::Remove(self.tree.key(leaf)?));
                }
                while let Some(leaf) = come.next(&self.tree.nodes)? {
                    self.changes.push(Change::Put(self.tree.value(leaf)?));
                }
                Ok(())
            }
        }
    }

    fn nodes(&mut self, old: NodeId, new: NodeId, from: u16) -> Result<(), Damaged> {
        let tree = self.tree;
        let (old_node, new_node) = (tree.nodes.node(old)?, tree.nodes.node(new)?);
        if let Node::Inner { bit, left: old_left, right: old_right } = old_node
            && let Node::Inner { bit: new_bit, left, right } = new_node
            && (u16::from(bit), u16::from(new_bit)) == (from, from)
        {
            self.sides(Some(old_left), Some(left), from + 1)?;
            return self.sides(Some(old_right), Some(right), from + 1);
        }
        let old_place = tree.place(tree.first_leaf(old)?)?;
        let new_place = tree.place(tree.first_leaf(new)?)?;
        let apart = first_difference(&old_place, &new_place);
        let highest = [bit_of(old_node), bit_of(new_node), apart].into_iter().flatten().min();
        let Some(bit) = highest else {
            // Two leaves of one place.
            self.changes.push(Change::Put(tree.value(new)?));
            return Ok(());
        };
        let (old_left, old_right) = halves(old, old_node, &old_place, bit);
        let (new_left, new_right) = halves(new, new_node, &new_place, bit);
        let from = u16::from(bit) + 1;
        self.sides(old_left, new_left, from)?;
        self.sides(old_right, new_right, from)
    }
}

const fn bit_of(node: Node) -> Option<u8> {
    match node {
        Node::Leaf { .. } => None,
        Node::Inner { bit, .. } => Some(bit),
    }
}

/// What a node has on both sides of a bit, which is its own or one that all under it share.
fn halves(id: NodeId, node: Node, place: &[u8; 32], at: u8) -> (Option<NodeId>, Option<NodeId>) {
    match node {
        Node::Inner { bit, left, right } if bit == at => (Some(left), Some(right)),
        Node::Inner { .. } | Node::Leaf { .. } if is_set(place, at) => (None, Some(id)),
        Node::Inner { .. } | Node::Leaf { .. } => (Some(id), None),
    }
}

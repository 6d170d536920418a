//! Recomputes all that is in memory: every hash, every shape, every count.

use alloc::vec::Vec;

use super::arena::{Node, NodeId};
use super::error::{Damaged, StateError};
use super::hash::{Preimage, first_difference, is_set};
use super::snapshot::Snapshot;
use super::tree::{Leaves, Tree};
use super::value::StateValue;
use crate::lanes;

const AT_ONCE: usize = 64;

/// Each node is checked once, whatever the number of versions that share it.
pub(super) fn audit<V: StateValue>(tree: &Tree, snapshots: &[Snapshot]) -> Result<(), StateError> {
    let mut ids: Vec<NodeId> = Vec::with_capacity(AT_ONCE);
    let mut messages: Vec<Preimage> = Vec::with_capacity(AT_ONCE);
    for id in (0..tree.nodes.len()).map(NodeId) {
        check_shape(tree, id)?;
        ids.push(id);
        messages.push(tree.preimage::<V>(id)?);
        if ids.len() == AT_ONCE {
            check_hashes(tree, &ids, &messages)?;
            ids.clear();
            messages.clear();
        }
    }
    check_hashes(tree, &ids, &messages)?;
    for snapshot in snapshots {
        check_snapshot(tree, snapshot)?;
    }
    Ok(())
}

/// An inner node's halves share all bits before its own, and differ in that. As both were checked
/// before, one leaf of each speaks for all.
fn check_shape(tree: &Tree, id: NodeId) -> Result<(), Damaged> {
    let damaged = Damaged { node: id.0 };
    let Node::Inner { bit, left, right } = tree.nodes.node(id)? else { return Ok(()) };
    for half in [left, right] {
        let below = match tree.nodes.node(half)? {
            Node::Leaf { .. } => true,
            Node::Inner { bit: lower, .. } => lower > bit,
        };
        if half >= id || !below {
            return Err(damaged);
        }
    }
    let left = tree.place(tree.first_leaf(left)?)?;
    let right = tree.place(tree.first_leaf(right)?)?;
    let parts = first_difference(&left, &right) == Some(bit) && is_set(&right, bit);
    if parts { Ok(()) } else { Err(damaged) }
}

fn check_hashes(tree: &Tree, ids: &[NodeId], messages: &[Preimage]) -> Result<(), Damaged> {
    let mut hashes = [[0; 32]; AT_ONCE];
    let (hashes, _) = hashes.split_at_mut(messages.len());
    lanes::sha256d_80(messages, hashes);
    for (id, hash) in ids.iter().zip(hashes) {
        if tree.nodes.hash(*id)? != hash {
            return Err(Damaged { node: id.0 });
        }
    }
    Ok(())
}

fn check_snapshot(tree: &Tree, snapshot: &Snapshot) -> Result<(), Damaged> {
    let damaged = Damaged { node: snapshot.top.map_or(0, |top| top.0) };
    let mut leaves = Leaves::new(snapshot.top);
    let mut count = 0u32;
    while leaves.next(&tree.nodes)?.is_some() {
        count = count.saturating_add(1);
    }
    let holds = count == snapshot.accounts && tree.root(snapshot.top)? == snapshot.root;
    if holds { Ok(()) } else { Err(damaged) }
}

//! Applies sorted changes to a version of the tree and makes the next version.
//!
//! One walk serves all changes: at each node they part into those for its left and its right, and
//! what no change reaches is shared with the version before. Nodes are made without hashes and
//! hashed afterwards, lowest first, all of one level together, so that all lanes are busy.
//!
//! Invariant: the places of the changes ascend. An attacker who chooses places can make paths of
//! 256 steps, which bounds the recursion; a salt keeps them short.

use alloc::vec::Vec;

use super::arena::{Node, NodeId, Record};
use super::changes::Change;
use super::error::{Damaged, StateError};
use super::hash::{Preimage, digest, first_difference, is_set};
use super::tree::{Step, Tree};
use super::value::StateValue;
use crate::lanes;

/// Nodes hashed at once.
const HASHED_AT_ONCE: usize = 64;

/// A change and where it belongs.
pub(super) type Placed<'a, V> = ([u8; 32], &'a Change<V>);

/// A version made by changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Updated {
    pub(super) top: Option<NodeId>,
    pub(super) inserted: u32,
    pub(super) removed: u32,
    /// How many changes had an effect.
    pub(super) effective: u32,
}

/// A subtree after the changes, and how far its top is above what is hashed already.
#[derive(Clone, Copy)]
struct Part {
    top: Option<NodeId>,
    level: usize,
}

impl Part {
    const NOTHING: Self = Self { top: None, level: 0 };

    const fn unchanged(at: NodeId) -> Self {
        Self { top: Some(at), level: 0 }
    }
}

/// Makes the next version. What was appended before an error is to be cut off by the caller.
pub(super) fn update<V: StateValue>(
    tree: &mut Tree,
    top: Option<NodeId>,
    changes: &[Placed<'_, V>],
) -> Result<Updated, StateError> {
    let mut batch = Batch {
        tree,
        levels: Vec::new(),
        leaves: Vec::with_capacity(HASHED_AT_ONCE),
        messages: Vec::with_capacity(HASHED_AT_ONCE),
        path: Vec::new(),
        whole: Vec::with_capacity(V::MAX_LEN),
        delta: Vec::with_capacity(V::MAX_LEN),
        updated: Updated { top, inserted: 0, removed: 0, effective: 0 },
    };
    batch.updated.top = batch.update(top, 0, changes)?.top;
    batch.hash_leaves()?;
    batch.hash_levels()?;
    Ok(batch.updated)
}

struct Batch<'t> {
    tree: &'t mut Tree,
    /// New inner nodes by their levels.
    levels: Vec<Vec<NodeId>>,
    /// New leaves that are not hashed yet, and their messages.
    leaves: Vec<NodeId>,
    messages: Vec<Preimage>,
    /// What a search saw.
    path: Vec<Step>,
    whole: Vec<u8>,
    delta: Vec<u8>,
    updated: Updated,
}

impl Batch<'_> {
    /// The bits before `from` are the same in all places of changes and node.
    fn update<V: StateValue>(
        &mut self,
        at: Option<NodeId>,
        from: u16,
        changes: &[Placed<'_, V>],
    ) -> Result<Part, StateError> {
        let Some(at) = at else { return self.build(changes) };
        match changes {
            [] => return Ok(Part::unchanged(at)),
            [(place, change)] => return self.one(at, place, change),
            [_, _, ..] => {}
        }
        match self.tree.nodes.node(at)? {
            Node::Leaf { .. } => {
                let place = self.tree.place(at)?;
                match first_split(&place, changes) {
                    Some(bit) => self.part(at, &place, bit, changes),
                    // Never: of two places, one is not that of the leaf.
                    None => Ok(Part::unchanged(at)),
                }
            }
            Node::Inner { bit, left, right } => {
                if u16::from(bit) > from {
                    let place = self.tree.place(self.tree.first_leaf(at)?)?;
                    if let Some(split) = first_split(&place, changes).filter(|split| *split < bit) {
                        return self.part(at, &place, split, changes);
                    }
                }
                let (to_left, to_right) = split(changes, bit);
                let from = u16::from(bit) + 1;
                let new_left = self.update(Some(left), from, to_left)?;
                let new_right = self.update(Some(right), from, to_right)?;
                if (new_left.top, new_right.top) == (Some(left), Some(right)) {
                    return Ok(Part::unchanged(at));
                }
                self.join(bit, new_left, new_right)
            }
        }
    }

    /// A node keeps one side of a bit for itself, and the other side is made of changes alone.
    fn part<V: StateValue>(
        &mut self,
        at: NodeId,
        place: &[u8; 32],
        bit: u8,
        changes: &[Placed<'_, V>],
    ) -> Result<Part, StateError> {
        let (to_left, to_right) = split(changes, bit);
        let from = u16::from(bit) + 1;
        let (left, right) = if is_set(place, bit) {
            (self.build(to_left)?, self.update(Some(at), from, to_right)?)
        } else {
            (self.update(Some(at), from, to_left)?, self.build(to_right)?)
        };
        self.join(bit, left, right)
    }

    /// A subtree of changes alone.
    fn build<V: StateValue>(&mut self, changes: &[Placed<'_, V>]) -> Result<Part, StateError> {
        let ([(first, change), ..], [.., (last, _)]) = (changes, changes) else {
            return Ok(Part::NOTHING);
        };
        let Some(bit) = first_difference(first, last) else {
            return match change {
                Change::Put(value) => self.insert(first, value),
                Change::Remove(_) => Ok(Part::NOTHING),
            };
        };
        let (to_left, to_right) = split(changes, bit);
        let (left, right) = (self.build(to_left)?, self.build(to_right)?);
        self.join(bit, left, right)
    }

    fn join(&mut self, bit: u8, left: Part, right: Part) -> Result<Part, StateError> {
        let (Some(left_top), Some(right_top)) = (left.top, right.top) else {
            return Ok(if left.top.is_none() { right } else { left });
        };
        let node = Node::Inner { bit, left: left_top, right: right_top };
        let id = self.tree.nodes.push(node, [0; 32])?;
        let below = left.level.max(right.level);
        if self.levels.len() <= below {
            self.levels.resize_with(below + 1, Vec::new);
        }
        if let Some(level) = self.levels.get_mut(below) {
            level.push(id);
        }
        Ok(Part { top: Some(id), level: below + 1 })
    }

    fn insert<V: StateValue>(&mut self, place: &[u8; 32], value: &V) -> Result<Part, StateError> {
        self.updated.inserted += 1;
        self.encode_whole(value);
        let record = self.tree.values.push(Record::Whole(&self.whole));
        self.leaf(place, record)
    }

    /// One change under a node: the search for its key tells all that there is to know.
    fn one<V: StateValue>(
        &mut self,
        at: NodeId,
        place: &[u8; 32],
        change: &Change<V>,
    ) -> Result<Part, StateError> {
        let mut path = core::mem::take(&mut self.path);
        path.clear();
        let leaf = self.tree.search(at, place, |step| path.push(step))?;
        let key = self.tree.key(leaf)?;
        let part = match change {
            Change::Put(value) if key == *value.key() => self.replace(leaf, place, value)?,
            Change::Put(value) => {
                let other = self.tree.salt.place(&key);
                let bit = first_difference(&other, place).ok_or(Damaged { node: leaf.0 })?;
                let above = path.partition_point(|step| step.bit < bit);
                let beside = path.get(above).map_or(leaf, |step| step.at);
                path.truncate(above);
                let new = self.insert(place, value)?;
                self.join_beside(place, bit, new, beside)?
            }
            Change::Remove(removed) if key == *removed => {
                self.updated.removed += 1;
                self.updated.effective += 1;
                Part::NOTHING
            }
            Change::Remove(_) => Part::unchanged(leaf),
        };
        let top = if part.top == Some(leaf) {
            Part::unchanged(at)
        } else {
            path.iter().rev().try_fold(part, |part, step| {
                self.join_beside(place, step.bit, part, step.sibling)
            })?
        };
        self.path = path;
        Ok(top)
    }

    /// Joins what has a place with what is on the other side of a bit.
    fn join_beside(
        &mut self,
        place: &[u8; 32],
        bit: u8,
        part: Part,
        beside: NodeId,
    ) -> Result<Part, StateError> {
        let beside = Part::unchanged(beside);
        if is_set(place, bit) { self.join(bit, beside, part) } else { self.join(bit, part, beside) }
    }

    fn replace<V: StateValue>(
        &mut self,
        at: NodeId,
        place: &[u8; 32],
        value: &V,
    ) -> Result<Part, StateError> {
        let damaged = Damaged { node: at.0 };
        let written = self.tree.written(at)?;
        let base = V::decode(written.whole).map_err(|_| damaged)?;
        let unchanged = match written.delta {
            None => base == *value,
            Some(delta) => V::decode_delta(&base, delta).map_err(|_| damaged)? == *value,
        };
        if unchanged {
            return Ok(Part::unchanged(at));
        }
        self.delta.clear();
        value.encode_delta(&base, &mut self.delta);
        let base = written.base;
        self.encode_whole(value);
        // Where most of a value changed, later differences had better start from here.
        let record = if self.delta.len() * 2 > self.whole.len() {
            Record::Whole(&self.whole)
        } else {
            Record::Delta { base, body: &self.delta }
        };
        let record = self.tree.values.push(record);
        self.leaf(place, record)
    }

    fn encode_whole<V: StateValue>(&mut self, value: &V) {
        self.whole.clear();
        value.encode(&mut self.whole);
    }

    /// A new leaf of the value encoded last.
    fn leaf(&mut self, place: &[u8; 32], record: u64) -> Result<Part, StateError> {
        self.updated.effective += 1;
        let id = self.tree.nodes.push(Node::Leaf { record }, [0; 32])?;
        self.leaves.push(id);
        self.messages.push(Preimage::leaf(place, &digest(&self.whole)));
        if self.leaves.len() == HASHED_AT_ONCE {
            self.hash_leaves()?;
        }
        Ok(Part { top: Some(id), level: 0 })
    }

    fn hash_leaves(&mut self) -> Result<(), StateError> {
        hash_into(self.tree, &self.leaves, &self.messages)?;
        self.leaves.clear();
        self.messages.clear();
        Ok(())
    }

    fn hash_levels(&mut self) -> Result<(), StateError> {
        for level in &self.levels {
            for ids in level.chunks(HASHED_AT_ONCE) {
                self.messages.clear();
                for id in ids {
                    if let Node::Inner { bit, left, right } = self.tree.nodes.node(*id)? {
                        let nodes = &self.tree.nodes;
                        let message = Preimage::inner(bit, nodes.hash(left)?, nodes.hash(right)?);
                        self.messages.push(message);
                    }
                }
                hash_into(self.tree, ids, &self.messages)?;
            }
        }
        Ok(())
    }
}

fn hash_into(tree: &mut Tree, ids: &[NodeId], messages: &[Preimage]) -> Result<(), StateError> {
    let mut hashes = [[0; 32]; HASHED_AT_ONCE];
    let (hashes, _) = hashes.split_at_mut(messages.len());
    lanes::sha256d_80(messages, hashes);
    for (id, hash) in ids.iter().zip(hashes) {
        tree.nodes.set_hash(*id, *hash)?;
    }
    Ok(())
}

/// The first bit in which a place and those of the changes are not all alike. As these ascend, the
/// outermost tell.
fn first_split<V>(place: &[u8; 32], changes: &[Placed<'_, V>]) -> Option<u8> {
    let outermost = [changes.first(), changes.last()];
    let splits = outermost.into_iter().flatten();
    splits.filter_map(|(other, _)| first_difference(place, other)).min()
}

/// Those with the bit unset and those with it set; all bits before are alike.
fn split<'c, 'a, V>(
    changes: &'c [Placed<'a, V>],
    bit: u8,
) -> (&'c [Placed<'a, V>], &'c [Placed<'a, V>]) {
    changes.split_at(changes.partition_point(|(place, _)| !is_set(place, bit)))
}

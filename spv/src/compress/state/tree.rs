//! Reading versions of the tree: values, paths, and leaves in order.
//!
//! The tree is a binary trie without nodes of one child. Its shape follows from its places alone,
//! so that equal states have equal roots, whatever their histories. All versions share one pair of
//! arenas, and a version is the node at its top. What an attacker can grow: a path has at most 256
//! steps, and a value takes two records at most.

use alloc::vec::Vec;

use super::arena::{Node, NodeId, Nodes, Record, Values};
use super::error::Damaged;
use super::hash::{EMPTY_ROOT, Preimage, Salt, digest, is_set};
use super::value::StateValue;

/// The nodes and values of all versions.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) salt: Salt,
    pub(super) nodes: Nodes,
    pub(super) values: Values,
}

/// A value as it is written down: whole, or a difference from one that is, with the whole one's
/// place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written<'a> {
    pub(super) base: u64,
    pub(super) whole: &'a [u8],
    pub(super) delta: Option<&'a [u8]>,
}

/// A step from the top towards a leaf.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) at: NodeId,
    pub(super) bit: u8,
    pub(super) sibling: NodeId,
}

impl Tree {
    pub(super) fn new(salt: Salt) -> Self {
        Self { salt, nodes: Nodes::default(), values: Values::default() }
    }

    pub(super) fn root(&self, top: Option<NodeId>) -> Result<[u8; 32], Damaged> {
        top.map_or(Ok(EMPTY_ROOT), |top| self.nodes.hash(top).copied())
    }

    /// The record of a leaf.
    pub(super) fn written(&self, leaf: NodeId) -> Result<Written<'_>, Damaged> {
        let damaged = Damaged { node: leaf.0 };
        let Node::Leaf { record: at } = self.nodes.node(leaf)? else { return Err(damaged) };
        match self.values.record(at).ok_or(damaged)? {
            Record::Whole(whole) => Ok(Written { base: at, whole, delta: None }),
            Record::Delta { base, body } => match self.values.record(base).ok_or(damaged)? {
                Record::Whole(whole) => Ok(Written { base, whole, delta: Some(body) }),
                Record::Delta { .. } => Err(damaged),
            },
        }
    }

    /// The value of a leaf.
    pub(super) fn value<V: StateValue>(&self, leaf: NodeId) -> Result<V, Damaged> {
        let damaged = Damaged { node: leaf.0 };
        let written = self.written(leaf)?;
        let whole = V::decode(written.whole).map_err(|_| damaged)?;
        match written.delta {
            Some(delta) => V::decode_delta(&whole, delta).map_err(|_| damaged),
            None => Ok(whole),
        }
    }

    /// The key of a leaf, without reading what changed.
    pub(super) fn key(&self, leaf: NodeId) -> Result<[u8; 32], Damaged> {
        self.written(leaf)?.whole.first_chunk().copied().ok_or(Damaged { node: leaf.0 })
    }

    pub(super) fn place(&self, leaf: NodeId) -> Result<[u8; 32], Damaged> {
        self.key(leaf).map(|key| self.salt.place(&key))
    }

    /// The leftmost leaf under a node: its place has the bits that all under the node share.
    pub(super) fn first_leaf(&self, top: NodeId) -> Result<NodeId, Damaged> {
        let mut at = top;
        while let Node::Inner { left, .. } = self.nodes.node(at)? {
            at = left;
        }
        Ok(at)
    }

    /// The one leaf that may have the place.
    pub(super) fn search(
        &self,
        top: NodeId,
        place: &[u8; 32],
        mut visit: impl FnMut(Step),
    ) -> Result<NodeId, Damaged> {
        let mut at = top;
        while let Node::Inner { bit, left, right } = self.nodes.node(at)? {
            let (next, sibling) = if is_set(place, bit) { (right, left) } else { (left, right) };
            visit(Step { at, bit, sibling });
            at = next;
        }
        Ok(at)
    }

    /// The value of a key in the version with this top.
    pub(super) fn get<V: StateValue>(
        &self,
        top: Option<NodeId>,
        key: &[u8; 32],
    ) -> Result<Option<V>, Damaged> {
        let Some(top) = top else { return Ok(None) };
        let value: V = self.value(self.search(top, &self.salt.place(key), |_| {})?)?;
        Ok((value.key() == key).then_some(value))
    }

    /// What the hash of a leaf or an inner node is made of.
    pub(super) fn preimage<V: StateValue>(&self, id: NodeId) -> Result<Preimage, Damaged> {
        match self.nodes.node(id)? {
            Node::Leaf { .. } => {
                let value: V = self.value(id)?;
                let mut bytes = Vec::with_capacity(V::MAX_LEN);
                value.encode(&mut bytes);
                Ok(Preimage::leaf(&self.salt.place(value.key()), &digest(&bytes)))
            }
            Node::Inner { bit, left, right } => {
                Ok(Preimage::inner(bit, self.nodes.hash(left)?, self.nodes.hash(right)?))
            }
        }
    }
}

/// The leaves under a node, in the order of their places.
#[derive(Clone, Debug)]
pub(super) struct Leaves {
    /// What is still to be visited, the next at the end; never more than a path has steps.
    waiting: Vec<NodeId>,
}

impl Leaves {
    pub(super) fn new(top: Option<NodeId>) -> Self {
        Self { waiting: top.into_iter().collect() }
    }

    pub(super) fn next(&mut self, nodes: &Nodes) -> Result<Option<NodeId>, Damaged> {
        while let Some(at) = self.waiting.pop() {
            match nodes.node(at)? {
                Node::Leaf { .. } => return Ok(Some(at)),
                Node::Inner { left, right, .. } => self.waiting.extend([right, left]),
            }
        }
        Ok(None)
    }
}

//! A sealed height.

use super::arena::NodeId;
use super::hash::EMPTY_ROOT;
use crate::header::BlockHeight;

/// What is kept of a sealed height: the top of its tree, and where its own nodes and values end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Snapshot {
    pub(super) height: BlockHeight,
    pub(super) top: Option<NodeId>,
    pub(super) root: [u8; 32],
    pub(super) accounts: u32,
    pub(super) nodes_end: u32,
    pub(super) values_end: u64,
}

impl Snapshot {
    /// Before any height is sealed.
    pub(super) const NOTHING: Self = Self {
        height: BlockHeight(0),
        top: None,
        root: EMPTY_ROOT,
        accounts: 0,
        nodes_end: 0,
        values_end: 0,
    };

    /// How many nodes the tree of so many accounts has.
    pub(super) const fn tree_nodes(&self) -> u32 {
        (2 * self.accounts).saturating_sub(1)
    }
}

/// A height that was sealed, and the root of its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The height.
    pub height: BlockHeight,
    /// The root of the state.
    pub root: [u8; 32],
    /// How many accounts it has.
    pub accounts: u32,
    /// How many accounts the block put, changed or removed.
    pub changes: u32,
}

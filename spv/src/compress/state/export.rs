//! One height as bytes that any machine can check, in bounded pieces.
//!
//! ```text
//! export  = head | account ... | SHA-256 of all before
//! head    = version 0x11 | kind u8 | salted u8 | salt 32 (zeros where there is none)
//!           | height u32 | count u32 | root 32
//! account = length u16 | value
//! ```
//! Accounts ascend by place. Invariant: one state has one export. What grows: no piece is longer
//! than [`PIECE`] and one account, whatever the number of accounts.

use alloc::vec::Vec;

use sha2::{Digest as _, Sha256};

use super::changes::push_with_length;
use super::error::StateError;
use super::hash::Salt;
use super::snapshot::Snapshot;
use super::tree::{Leaves, Tree};
use super::value::StateValue;

/// The first byte of an export.
pub(super) const VERSION: u8 = 0x11;
/// How long the head is.
pub(super) const HEAD: usize = 3 + 32 + 4 + 4 + 32;
/// How long the checksum at the end is.
pub(super) const CHECKSUM: usize = 32;
/// How long a piece of an export is, about.
pub const PIECE: usize = 65_536;

/// The pieces of an export, in order.
#[derive(Debug)]
pub struct Export<'a, V> {
    tree: &'a Tree,
    leaves: Leaves,
    head: Option<Snapshot>,
    hasher: Option<Sha256>,
    value: Vec<u8>,
    kind: core::marker::PhantomData<V>,
}

impl<'a, V: StateValue> Export<'a, V> {
    pub(super) fn new(tree: &'a Tree, snapshot: &Snapshot) -> Self {
        Self {
            tree,
            leaves: Leaves::new(snapshot.top),
            head: Some(*snapshot),
            hasher: Some(Sha256::new()),
            value: Vec::with_capacity(V::MAX_LEN),
            kind: core::marker::PhantomData,
        }
    }

    /// Fills a piece, and says whether it is the last.
    fn fill(&mut self, piece: &mut Vec<u8>) -> Result<bool, StateError> {
        if let Some(snapshot) = self.head.take() {
            let (salted, salt) = match self.tree.salt {
                Salt::None => (0, [0; 32]),
                Salt::Bytes(salt) => (1, salt),
            };
            piece.extend_from_slice(&[VERSION, V::KIND, salted]);
            piece.extend_from_slice(&salt);
            piece.extend_from_slice(&snapshot.height.0.to_le_bytes());
            piece.extend_from_slice(&snapshot.accounts.to_le_bytes());
            piece.extend_from_slice(&snapshot.root);
        }
        while piece.len() < PIECE {
            let Some(leaf) = self.leaves.next(&self.tree.nodes)? else { return Ok(true) };
            self.value.clear();
            self.tree.value::<V>(leaf)?.encode(&mut self.value);
            push_with_length(piece, &self.value);
        }
        Ok(false)
    }
}

impl<V: StateValue> Iterator for Export<'_, V> {
    type Item = Result<Vec<u8>, StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut hasher = self.hasher.take()?;
        let mut piece = Vec::with_capacity(PIECE + V::MAX_LEN + 2 + CHECKSUM);
        match self.fill(&mut piece) {
            Err(error) => return Some(Err(error)),
            Ok(false) => {
                hasher.update(&piece);
                self.hasher = Some(hasher);
            }
            Ok(true) => {
                hasher.update(&piece);
                piece.extend_from_slice(&hasher.finalize());
            }
        }
        Some(Ok(piece))
    }
}

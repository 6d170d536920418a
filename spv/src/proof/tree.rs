//! Bitcoin's Merkle tree: the leaves are txids, an inner node is the double SHA-256 of its two
//! children, and an odd last node is paired with itself.

use alloc::vec::Vec;

use bitcoin::hashes::Hash;
use bitcoin::{TxMerkleNode, Txid};

use super::error::ProofError;
use super::merkle_block::MerkleBlock;
use super::single::MerkleProof;
use crate::header::Header;
use crate::lanes;

/// The most transactions that a block can hold: its weight limit over that of the smallest
/// transaction, 60 bytes (Bitcoin Core, `merkleblock.cpp`).
pub const MAX_TRANSACTIONS: u32 = 4_000_000 / (4 * 60);

/// The root of the tree over some txids; none where there are none. Whether some of them are there
/// twice is not asked: see [`verify_block`](super::verify_block).
#[must_use]
pub fn merkle_root(txids: &[Txid]) -> Option<TxMerkleNode> {
    root_of(txids).map(TxMerkleNode::from_byte_array)
}

/// The root over any leaves.
pub(super) fn root_of<L: Hash<Bytes = [u8; 32]>>(leaves: &[L]) -> Option<[u8; 32]> {
    if let [only] = leaves {
        return Some(only.to_byte_array());
    }
    let mut level = parents_of_leaves(leaves);
    while level.len() > 1 {
        raise(&mut level);
    }
    level.first().copied()
}

/// The level above the leaves, which are read where they are: a copy of them would double the
/// memory that is written.
pub(super) fn parents_of_leaves<L: Hash<Bytes = [u8; 32]>>(leaves: &[L]) -> Vec<[u8; 32]> {
    let mut parents = alloc::vec![[0; 32]; leaves.len().div_ceil(2)];
    let mut nodes = [[0; 64]; 16];
    for (children, places) in leaves.chunks(32).zip(parents.chunks_mut(16)) {
        for (node, pair) in nodes.iter_mut().zip(children.chunks(2)) {
            if let [left, .., right] | [left @ right] = pair {
                *node = joined(left.as_byte_array(), right.as_byte_array());
            }
        }
        lanes::sha256d_64(nodes.get(..places.len()).unwrap_or_default(), places);
    }
    parents
}

/// The level above another one, which stays. It is made at its own size: a copy that is
/// [raised](raise) would go on to hold the memory of the level below.
fn parents_of_nodes(nodes: &[[u8; 32]]) -> Vec<[u8; 32]> {
    let mut parents = alloc::vec![[0; 32]; nodes.len().div_ceil(2)];
    let (pairs, _) = nodes.as_flattened().as_chunks();
    let (of_pairs, of_last) = parents.split_at_mut(pairs.len());
    lanes::sha256d_64(pairs, of_pairs);
    if let (Some(parent), Some(last)) = (of_last.first_mut(), nodes.last()) {
        *parent = lanes::sha256d_64_single(&joined(last, last));
    }
    parents
}

/// Replaces a level of the tree by the one above it.
pub(super) fn raise(level: &mut Vec<[u8; 32]>) {
    if level.len() % 2 == 1
        && let Some(last) = level.last().copied()
    {
        level.push(last);
    }
    lanes::sha256d_pairs(level);
    level.truncate(level.len() / 2);
}

/// The 64 bytes that an inner node is the hash of.
#[inline]
pub(super) fn joined(left: &[u8; 32], right: &[u8; 32]) -> [u8; 64] {
    let mut node = [0; 64];
    node[..32].copy_from_slice(left);
    node[32..].copy_from_slice(right);
    node
}

/// The shape of a tree, which its number of leaves says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    count: u32,
}

impl Shape {
    /// The shape over so many leaves, where a block can have so many.
    pub(super) fn of(count: u32) -> Result<Self, ProofError> {
        match count {
            0 => Err(ProofError::NoTransactions),
            1..=MAX_TRANSACTIONS => Ok(Self { count }),
            _ => Err(ProofError::TooManyTransactions { count: count.into() }),
        }
    }

    pub(super) fn of_leaves(leaves: usize) -> Result<Self, ProofError> {
        let count = u32::try_from(leaves)
            .map_err(|_| ProofError::TooManyTransactions { count: leaves as u64 })?;
        Self::of(count)
    }

    pub(super) const fn count(self) -> u32 {
        self.count
    }

    /// Levels above the leaves.
    pub(super) const fn height(self) -> u32 {
        u32::BITS - (self.count - 1).leading_zeros()
    }

    /// Nodes on a level, the leaves' being 0.
    pub(super) const fn width(self, level: u32) -> u32 {
        self.count.div_ceil(1 << level)
    }

    /// How many hashes lead from a leaf to the root: one a level, but none where the node above is
    /// paired with itself.
    pub(super) fn path_length(self, index: u32) -> Result<usize, ProofError> {
        if index >= self.count {
            return Err(ProofError::IndexOutOfRange { index, count: self.count });
        }
        let has_sibling = |level: &u32| (index >> level) ^ 1 < self.width(*level);
        Ok((0..self.height()).filter(has_sibling).count())
    }
}

/// A whole tree, which any number of proofs can be taken from: 64 bytes a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MerkleTree {
    shape: Shape,
    txids: Vec<Txid>,
    /// The levels above the leaves, lowest first.
    levels: Vec<Vec<[u8; 32]>>,
}

impl MerkleTree {
    /// Hashes the tree over a block's txids.
    ///
    /// # Errors
    /// [`ProofError::NoTransactions`] or [`ProofError::TooManyTransactions`].
    pub fn new(txids: &[Txid]) -> Result<Self, ProofError> {
        let shape = Shape::of_leaves(txids.len())?;
        let mut levels = Vec::with_capacity(usize::try_from(shape.height()).unwrap_or_default());
        if shape.height() > 0 {
            levels.push(parents_of_leaves(txids));
        }
        while let Some(last) = levels.last()
            && last.len() > 1
        {
            levels.push(parents_of_nodes(last));
        }
        Ok(Self { shape, txids: txids.to_vec(), levels })
    }

    /// The Merkle root.
    #[must_use]
    pub fn root(&self) -> TxMerkleNode {
        TxMerkleNode::from_byte_array(self.node(self.shape.height(), 0).unwrap_or_default())
    }

    /// The txids, in the block's order.
    #[must_use]
    pub fn txids(&self) -> &[Txid] {
        &self.txids
    }

    /// The proof of the transaction at a position, the coinbase's being 0.
    ///
    /// # Errors
    /// [`ProofError::WrongRoot`] where the header is not that of these transactions, and
    /// [`ProofError::IndexOutOfRange`].
    pub fn prove(&self, header: &Header, index: u32) -> Result<MerkleProof, ProofError> {
        self.check_root(header)?;
        let count = self.shape.count();
        let txid = usize::try_from(index).ok().and_then(|index| self.txids.get(index).copied());
        let txid = txid.ok_or(ProofError::IndexOutOfRange { index, count })?;
        let siblings = (0..self.shape.height()).filter_map(|level| {
            self.node(level, (index >> level) ^ 1).map(TxMerkleNode::from_byte_array)
        });
        MerkleProof::new(*header, count, index, txid, siblings.collect())
    }

    /// One proof of all transactions that match, as BIP37 has it and `gettxoutproof` gives it.
    ///
    /// # Errors
    /// [`ProofError::WrongRoot`] where the header is not that of these transactions.
    pub fn merkle_block(
        &self,
        header: &Header,
        is_match: impl FnMut(&Txid) -> bool,
    ) -> Result<MerkleBlock, ProofError> {
        self.check_root(header)?;
        let matches = self.txids.iter().map(is_match).collect();
        Ok(MerkleBlock::of_tree(*header, self, matches))
    }

    fn check_root(&self, header: &Header) -> Result<(), ProofError> {
        let (expected, got) = (header.merkle_root(), self.root());
        if expected == got { Ok(()) } else { Err(ProofError::WrongRoot { expected, got }) }
    }

    pub(super) const fn shape(&self) -> Shape {
        self.shape
    }

    /// A node of a level, the leaves' being 0.
    pub(super) fn node(&self, level: u32, position: u32) -> Option<[u8; 32]> {
        let position = usize::try_from(position).ok()?;
        match level.checked_sub(1) {
            None => self.txids.get(position).map(|txid| txid.to_byte_array()),
            Some(above) => {
                let level = self.levels.get(usize::try_from(above).ok()?)?;
                level.get(position).copied()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_keeps_its_nodes_and_no_more_memory() {
        for count in 1..=70_u32 {
            let txids: Vec<_> = (0..count).map(|n| Txid::hash(&n.to_le_bytes())).collect();
            let tree = MerkleTree::new(&txids).unwrap();
            assert_eq!(Some(tree.root()), merkle_root(&txids), "{count}");
            assert_eq!(tree.levels.capacity(), tree.levels.len(), "{count}");
            for (level, above) in (1..).zip(&tree.levels) {
                let nodes = tree.shape.width(level) as usize;
                assert_eq!((above.len(), above.capacity()), (nodes, nodes), "{count}");
            }
        }
    }
}

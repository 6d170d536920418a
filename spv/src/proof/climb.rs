//! The way from a txid up to the Merkle root, node by node.

use core::slice;

use bitcoin::TxMerkleNode;
use bitcoin::hashes::Hash as _;

use super::error::ProofError;

/// A position on the way up.
#[derive(Clone, Debug)]
pub(super) struct Climb<'a> {
    path: slice::Iter<'a, TxMerkleNode>,
    position: u32,
    /// Nodes on this level.
    width: u32,
    pub(super) hash: [u8; 32],
}

impl<'a> Climb<'a> {
    /// At a leaf of a tree of so many.
    pub(super) fn new(leaf: [u8; 32], index: u32, count: u32, path: &'a [TxMerkleNode]) -> Self {
        Self { path: path.iter(), position: index, width: count, hash: leaf }
    }

    /// Whether this is the root.
    #[inline]
    pub(super) const fn is_done(&self) -> bool {
        self.width <= 1
    }

    /// Writes the 64 bytes whose hash is the node above.
    #[inline]
    pub(super) fn next_node(&mut self, node: &mut [u8; 64]) -> Result<(), ProofError> {
        let (left, right) = node.split_at_mut(32);
        let sibling = if self.position ^ 1 < self.width { self.path.next() } else { None };
        match sibling.map(TxMerkleNode::as_byte_array) {
            None => {
                left.copy_from_slice(&self.hash);
                right.copy_from_slice(&self.hash);
            }
            Some(sibling) => {
                if *sibling == self.hash {
                    let hash = TxMerkleNode::from_byte_array(*sibling);
                    return Err(ProofError::IdenticalSiblings { hash });
                }
                let (own, other) =
                    if self.position.is_multiple_of(2) { (left, right) } else { (right, left) };
                own.copy_from_slice(&self.hash);
                other.copy_from_slice(sibling);
            }
        }
        refuse_transaction(node)?;
        self.position /= 2;
        self.width = self.width.div_ceil(2);
        Ok(())
    }
}

/// Refuses the 64 bytes of an inner node if they are a transaction that a block could hold: then
/// the node may be that transaction's id, a leaf, and what hangs below it was never in the block
/// (CVE-2017-12842). Hashes look like that once in some 10^13 nodes, so that an honest proof does
/// not fail by chance.
#[inline]
pub(super) fn refuse_transaction(node: &[u8; 64]) -> Result<(), ProofError> {
    // The number of inputs, after the version: one for all that 64 bytes can be.
    if node[4] == 1 && is_transaction(node) {
        return Err(ProofError::NodeIsTransaction {
            node: TxMerkleNode::from_byte_array(crate::lanes::sha256d_64_single(node)),
        });
    }
    Ok(())
}

/// One input and one output, whose scripts have four bytes together, and a possible amount.
#[cold]
fn is_transaction(node: &[u8; 64]) -> bool {
    const MAX_MONEY: u64 = 21_000_000 * 100_000_000;
    // Version 4, one input: count 1, outpoint 36, script, sequence 4.
    let script = usize::from(node[41]);
    if script > 4 {
        return false;
    }
    // One output: count 1, amount 8, script; then the lock time, 4.
    let output = node.get(46 + script..).and_then(<[u8]>::first_chunk::<10>);
    output.is_some_and(|[outputs, amount @ .., length]| {
        *outputs == 1
            && u64::from_le_bytes(*amount) <= MAX_MONEY
            && usize::from(*length) == 4 - script
    })
}

//! BIP37's `merkleblock`: one proof of any number of a block's transactions, and what Bitcoin
//! Core's `gettxoutproof` prints.
//!
//! ```text
//! header 80 | transactions u32 | hashes: compact size, 32 each | flags: compact size, bytes
//! ```
//! The tree is walked from the root, the left side first. Each node takes a bit, the lowest of a
//! byte first: whether a match lies at or below it. A node without, and each leaf, takes a hash.

use alloc::vec::Vec;
use core::slice;

use bitcoin::hashes::Hash as _;
use bitcoin::{TxMerkleNode, Txid};

use super::climb::refuse_transaction;
use super::error::{DecodeError, ProofError};
use super::inclusion::Inclusion;
use super::tree::{MerkleTree, Shape, joined};
use super::wire::Input;
use crate::compact_size::push_compact_size;
use crate::header::Header;
use crate::lanes;

/// A header with a partial tree, as it was received or made: it proves nothing before
/// [`verify`](Self::verify).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MerkleBlock {
    header: Header,
    count: u32,
    hashes: Vec<TxMerkleNode>,
    flags: Vec<u8>,
}

impl MerkleBlock {
    /// One made of its parts, whatever they are; the flags are bits, the lowest of a byte first.
    #[must_use]
    pub const fn from_parts(
        header: Header,
        count: u32,
        hashes: Vec<TxMerkleNode>,
        flags: Vec<u8>,
    ) -> Self {
        Self { header, count, hashes, flags }
    }

    /// The proof for the transactions of a tree that match.
    pub(super) fn of_tree(header: Header, tree: &MerkleTree, matches: Vec<bool>) -> Self {
        let mut below = alloc::vec![matches];
        for _ in 0..tree.shape().height() {
            let pairs = below.last().map(|level| level.chunks(2)).into_iter().flatten();
            let above = pairs.map(|pair| pair.contains(&true)).collect();
            below.push(above);
        }
        let mut builder = Builder { tree, below, hashes: Vec::new(), bits: Vec::new() };
        builder.visit(tree.shape().height(), 0);
        let bytes = builder
            .bits
            .chunks(8)
            .map(|bits| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit)));
        let (count, flags) = (tree.shape().count(), bytes.collect());
        Self { header, count, hashes: builder.hashes, flags }
    }

    /// Checks the partial tree against the header's Merkle root, and gives the transactions that it
    /// proves, in the block's order. There may be none: then nothing was to be proven.
    ///
    /// # Errors
    /// [`ProofError`] naming the rule.
    pub fn verify(&self) -> Result<Vec<Inclusion>, ProofError> {
        let shape = Shape::of(self.count)?;
        let (hashes, bits) = (self.hashes.len(), self.flags.len().saturating_mul(8));
        if usize::try_from(self.count).is_ok_and(|count| hashes > count) {
            return Err(ProofError::TooManyHashes { hashes, count: self.count });
        }
        if bits < hashes {
            return Err(ProofError::TooFewBits { bits, hashes });
        }
        let (hashes, flags, taken) = (self.hashes.iter(), self.flags.as_slice(), 0);
        let mut walk = Walk { shape, block: self, hashes, flags, taken, found: Vec::new() };
        let root = TxMerkleNode::from_byte_array(walk.visit(shape.height(), 0)?);
        walk.check_all_used()?;
        let expected = self.header.merkle_root();
        if expected == root {
            Ok(walk.found)
        } else {
            Err(ProofError::WrongRoot { expected, got: root })
        }
    }

    /// Checks the partial tree, as [`verify`](Self::verify), and gives the inclusion of one
    /// transaction.
    ///
    /// # Errors
    /// As [`verify`](Self::verify), and [`ProofError::NotMatched`].
    pub fn verify_one(&self, txid: Txid) -> Result<Inclusion, ProofError> {
        let found = self.verify()?.into_iter().find(|inclusion| inclusion.txid() == txid);
        found.ok_or(ProofError::NotMatched { txid })
    }

    /// The header of the block.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The claimed number of the block's transactions. A proof may hold for other numbers too.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The hashes, in the order of the walk.
    #[must_use]
    pub fn hashes(&self) -> &[TxMerkleNode] {
        &self.hashes
    }

    /// The flag bits, the lowest of a byte first.
    #[must_use]
    pub fn flags(&self) -> &[u8] {
        &self.flags
    }

    /// The payload of a `merkleblock` message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let length = 80 + 4 + 3 + 32 * self.hashes.len() + 3 + self.flags.len();
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(self.header.as_bytes());
        bytes.extend_from_slice(&self.count.to_le_bytes());
        push_compact_size(&mut bytes, self.hashes.len() as u64);
        for hash in &self.hashes {
            bytes.extend_from_slice(hash.as_byte_array());
        }
        push_compact_size(&mut bytes, self.flags.len() as u64);
        bytes.extend_from_slice(&self.flags);
        bytes
    }

    /// Reads a payload. Nothing is verified but the form.
    ///
    /// # Errors
    /// [`DecodeError`], naming the place.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input::new(bytes);
        let header = Header::from_bytes(input.array()?);
        let count = input.u32()?;
        let hashes = input.list::<32>()?;
        let flags = input.list::<1>()?.as_flattened().to_vec();
        input.end()?;
        let hashes = hashes.iter().copied().map(TxMerkleNode::from_byte_array).collect();
        Ok(Self { header, count, hashes, flags })
    }
}

/// Makes a partial tree, node by node.
struct Builder<'a> {
    tree: &'a MerkleTree,
    /// Of each level, the leaves' first: whether a match lies at or below a node.
    below: Vec<Vec<bool>>,
    hashes: Vec<TxMerkleNode>,
    bits: Vec<bool>,
}

impl Builder<'_> {
    /// At most sixteen calls deep, one a level.
    fn visit(&mut self, level: u32, position: u32) {
        let place = (usize::try_from(level), usize::try_from(position));
        let (Ok(at), Ok(of_level)) = place else { return };
        let matched =
            self.below.get(at).and_then(|level| level.get(of_level)).copied().unwrap_or_default();
        self.bits.push(matched);
        match level.checked_sub(1).filter(|_| matched) {
            None => {
                let hash = self.tree.node(level, position).map(TxMerkleNode::from_byte_array);
                self.hashes.extend(hash);
            }
            Some(lower) => {
                self.visit(lower, 2 * position);
                if 2 * position + 1 < self.tree.shape().width(lower) {
                    self.visit(lower, 2 * position + 1);
                }
            }
        }
    }
}

/// Reads a partial tree, node by node.
struct Walk<'a> {
    shape: Shape,
    block: &'a MerkleBlock,
    hashes: slice::Iter<'a, TxMerkleNode>,
    flags: &'a [u8],
    /// Bits taken.
    taken: usize,
    found: Vec<Inclusion>,
}

impl Walk<'_> {
    fn bit(&mut self) -> Result<bool, ProofError> {
        let byte = self.flags.get(self.taken / 8);
        let byte = byte.ok_or(ProofError::BitsOverrun { bits: self.flags.len() * 8 })?;
        let bit = byte >> (self.taken % 8) & 1;
        self.taken += 1;
        Ok(bit == 1)
    }

    fn hash(&mut self) -> Result<[u8; 32], ProofError> {
        let hash = self.hashes.next();
        let hash = hash.ok_or(ProofError::HashesOverrun { hashes: self.block.hashes.len() })?;
        Ok(hash.to_byte_array())
    }

    /// The hash of a node. At most sixteen calls deep, one a level.
    fn visit(&mut self, level: u32, position: u32) -> Result<[u8; 32], ProofError> {
        let matched = self.bit()?;
        let Some(lower) = level.checked_sub(1) else {
            let hash = self.hash()?;
            if matched {
                self.find(Txid::from_byte_array(hash), position);
            }
            return Ok(hash);
        };
        if !matched {
            return self.hash();
        }
        let left = self.visit(lower, 2 * position)?;
        let right = if 2 * position + 1 < self.shape.width(lower) {
            let right = self.visit(lower, 2 * position + 1)?;
            if left == right {
                let hash = TxMerkleNode::from_byte_array(left);
                return Err(ProofError::IdenticalSiblings { hash });
            }
            right
        } else {
            left
        };
        let node = joined(&left, &right);
        refuse_transaction(&node)?;
        Ok(lanes::sha256d_64_single(&node))
    }

    fn find(&mut self, txid: Txid, index: u32) {
        let (header, depth) = (self.block.header, self.shape.height());
        self.found.push(Inclusion::new(header, txid, index, depth));
    }

    fn check_all_used(&self) -> Result<(), ProofError> {
        let used = self.taken.div_ceil(8);
        if used < self.flags.len() {
            return Err(ProofError::UnusedFlagBytes { used, got: self.flags.len() });
        }
        let left = self.hashes.len();
        if left > 0 {
            let got = self.block.hashes.len();
            return Err(ProofError::UnusedHashes { used: got - left, got });
        }
        let padding = self.flags.last().map_or(0, |last| match self.taken % 8 {
            0 => 0,
            bits => last >> bits,
        });
        if padding == 0 { Ok(()) } else { Err(ProofError::PaddingNotZero) }
    }
}

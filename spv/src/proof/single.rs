//! The proof of one transaction, in a form of our own: for files and between light nodes.
//!
//! ```text
//! proof = "ILP" | 0x80 + version, 1 | header 80 | transactions u32 | position u32 | txid 32 | path
//! path  = the hash beside the node on each level, from the leaf up; none where an odd last node is
//!         paired with itself: count and position say where, so that nothing else says how many
//! ```
//! Numbers are little-endian, hashes in the order in which they are hashed. At most 15 hashes, 604
//! bytes. The first four bytes are a negative number where a block header has its version, so that
//! no proof looks like a [`MerkleBlock`](super::MerkleBlock) whose header's version is possible.

use alloc::vec::Vec;

use bitcoin::hashes::Hash as _;
use bitcoin::{TxMerkleNode, Txid};

use super::climb::Climb;
use super::error::{DecodeError, ProofError};
use super::inclusion::Inclusion;
use super::tree::Shape;
use super::wire::Input;
use crate::header::Header;
use crate::lanes;

const MAGIC: [u8; 3] = *b"ILP";
const VERSION_BIT: u8 = 0x80;
const VERSION: u8 = 1;

/// The claim that a transaction is in a block, with the hashes that show it.
///
/// Invariant: count and position are possible, and the path is as long as they ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MerkleProof {
    header: Header,
    count: u32,
    index: u32,
    txid: Txid,
    path: Vec<TxMerkleNode>,
}

impl MerkleProof {
    /// A claim made of its parts; `count` is the number of the block's transactions, `index` the
    /// position among them.
    ///
    /// # Errors
    /// [`ProofError`] where count, position and length of the path cannot be. Whether the hashes
    /// are right is for [`verify`](Self::verify) to say.
    pub fn new(
        header: Header,
        count: u32,
        index: u32,
        txid: Txid,
        path: Vec<TxMerkleNode>,
    ) -> Result<Self, ProofError> {
        let expected = Shape::of(count)?.path_length(index)?;
        if path.len() == expected {
            Ok(Self { header, count, index, txid, path })
        } else {
            Err(ProofError::PathLength { expected, got: path.len() })
        }
    }

    /// Checks that the hashes lead from the txid to the header's Merkle root. For many proofs,
    /// [`verify_batch`](super::verify_batch) is faster.
    ///
    /// # Errors
    /// [`ProofError::WrongRoot`], [`ProofError::IdenticalSiblings`] or
    /// [`ProofError::NodeIsTransaction`].
    pub fn verify(&self) -> Result<Inclusion, ProofError> {
        let mut climb = self.climb();
        let mut node = [0; 64];
        while !climb.is_done() {
            climb.next_node(&mut node)?;
            climb.hash = lanes::sha256d_64_single(&node);
        }
        self.arrived_at(climb.hash)
    }

    #[inline]
    pub(super) fn climb(&self) -> Climb<'_> {
        Climb::new(self.txid.to_byte_array(), self.index, self.count, &self.path)
    }

    /// The verdict, where the hashes lead to `root`.
    #[inline]
    pub(super) fn arrived_at(&self, root: [u8; 32]) -> Result<Inclusion, ProofError> {
        let (expected, got) = (self.header.merkle_root(), TxMerkleNode::from_byte_array(root));
        if expected != got {
            return Err(ProofError::WrongRoot { expected, got });
        }
        let depth = Shape::of(self.count)?.height();
        Ok(Inclusion::new(self.header, self.txid, self.index, depth))
    }

    /// The header of the block.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The transaction.
    #[must_use]
    pub const fn txid(&self) -> Txid {
        self.txid
    }

    /// The claimed position in the block, the coinbase's being 0.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// The claimed number of the block's transactions. A proof holds for other numbers too, as far
    /// as they make the same path.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The hashes beside the way, from the leaf up.
    #[must_use]
    pub fn path(&self) -> &[TxMerkleNode] {
        &self.path
    }

    /// Whether bytes begin as [`encode`](Self::encode) does, in whatever version.
    #[must_use]
    pub fn is_begun_by(bytes: &[u8]) -> bool {
        matches!(bytes, [a, b, c, version, ..]
            if [*a, *b, *c] == MAGIC && version & VERSION_BIT != 0)
    }

    /// The bytes, in the form that the module describes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4 + 80 + 4 + 4 + 32 + 32 * self.path.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.push(VERSION_BIT | VERSION);
        bytes.extend_from_slice(self.header.as_bytes());
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(&self.index.to_le_bytes());
        bytes.extend_from_slice(self.txid.as_byte_array());
        for hash in &self.path {
            bytes.extend_from_slice(hash.as_byte_array());
        }
        bytes
    }

    /// Reads what [`encode`](Self::encode) writes. Nothing is verified but the form.
    ///
    /// # Errors
    /// [`DecodeError`], naming the place.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input::new(bytes);
        let [a, b, c, version] = input.array()?;
        if [a, b, c] != MAGIC || version & VERSION_BIT == 0 {
            return Err(DecodeError::NotAProof);
        }
        if version != VERSION_BIT | VERSION {
            return Err(DecodeError::UnknownVersion { got: version & !VERSION_BIT });
        }
        let header = Header::from_bytes(input.array()?);
        let (count, index) = (input.u32()?, input.u32()?);
        let txid = Txid::from_byte_array(input.array()?);
        let length = Shape::of(count)
            .and_then(|shape| shape.path_length(index))
            .map_err(DecodeError::Impossible)?;
        let path = input.hashes(length)?;
        input.end()?;
        let path = path.into_iter().map(TxMerkleNode::from_byte_array).collect();
        Ok(Self { header, count, index, txid, path })
    }
}

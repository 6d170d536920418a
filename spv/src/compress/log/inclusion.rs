//! The proof that a block's hash is in a log, and where.

use alloc::vec::Vec;

use bitcoin::BlockHash;

use super::error::{LogDecodeError, LogProofError};
use super::head::{LogHead, LogRoot, hash_leaf, hash_node};
use super::walk::{Side, Walk};
use super::wire::{INCLUSION, Input, encode_proof};

/// The claim that a leaf stands at a place of a log, with the hashes that show it.
///
/// Invariant: the index is one of the log's, and the path is as long as index and size ask for.
///
/// ```text
/// proof = 0x02 | index u32 | size u32 | hash 32 for each step of the way, from the leaf up
/// ```
/// Numbers are little-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    index: u32,
    size: u32,
    path: Vec<[u8; 32]>,
}

impl InclusionProof {
    /// The most bytes that [`encode`](Self::encode) writes.
    pub const MAX_BYTES: usize = 1 + 4 + 4 + 32 * 32;

    /// A claim made of its parts, `path` from the leaf up.
    ///
    /// # Errors
    /// [`LogProofError`] where index, size and length of the path cannot be. Whether the hashes are
    /// right is for [`verify`](Self::verify) to say.
    pub fn new(index: u32, size: u32, path: Vec<[u8; 32]>) -> Result<Self, LogProofError> {
        let expected = path_length(index, size)?;
        if path.len() == expected {
            Ok(Self { index, size, path })
        } else {
            Err(LogProofError::PathLength { expected, got: path.len() })
        }
    }

    /// Checks that the block's hash is the leaf at the index, under the head.
    ///
    /// # Errors
    /// [`LogProofError::OtherSize`] or [`LogProofError::WrongRoot`].
    pub fn verify(&self, block: &BlockHash, head: &LogHead) -> Result<(), LogProofError> {
        self.verify_bytes(block.as_ref(), head)
    }

    /// RFC 9162, section 2.1.3.2.
    pub(super) fn verify_bytes(&self, leaf: &[u8], head: &LogHead) -> Result<(), LogProofError> {
        head.expect_size(self.size)?;
        let mut hash = hash_leaf(leaf);
        for (side, other) in Walk::from_leaf(self.index, self.size).zip(&self.path) {
            hash = match side {
                Side::Left => hash_node(other, &hash),
                Side::Right => hash_node(&hash, other),
            };
        }
        let (expected, got) = (head.root, LogRoot(hash));
        if expected == got { Ok(()) } else { Err(LogProofError::WrongRoot { expected, got }) }
    }

    /// The leaf's place, from 0.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// The size of the log.
    #[must_use]
    pub const fn size(&self) -> u32 {
        self.size
    }

    /// The hashes beside the way, from the leaf up.
    #[must_use]
    pub fn path(&self) -> &[[u8; 32]] {
        &self.path
    }

    /// The bytes, in the form that the type describes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode_proof(INCLUSION, [self.index, self.size], &self.path)
    }

    /// Reads what [`encode`](Self::encode) writes. Nothing is verified but the form.
    ///
    /// # Errors
    /// [`LogDecodeError`], naming the place.
    pub fn decode(bytes: &[u8]) -> Result<Self, LogDecodeError> {
        let mut input = Input::new(bytes, INCLUSION)?;
        let (index, size) = (input.number()?, input.number()?);
        let length = path_length(index, size).map_err(LogDecodeError::Impossible)?;
        Ok(Self { index, size, path: input.hashes(length)? })
    }
}

/// How many hashes the path of a leaf has.
pub(super) fn path_length(index: u32, size: u32) -> Result<usize, LogProofError> {
    if index < size {
        Ok(Walk::from_leaf(index, size).count())
    } else {
        Err(LogProofError::IndexOutOfRange { index, size })
    }
}

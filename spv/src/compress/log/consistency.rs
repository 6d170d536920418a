//! The proof that a log begins with all that an older state of it had.

use alloc::vec::Vec;

use super::error::{LogDecodeError, LogProofError};
use super::head::{LogHead, LogRoot, hash_node};
use super::walk::{Side, Walk};
use super::wire::{CONSISTENCY, Input, encode_proof};

/// The claim that a log only grew, with the hashes that show it.
///
/// Invariant: the sizes are in order, the old one is not 0, and the path is as long as they ask for.
/// Every log goes on from the empty one, so that a proof of it would say nothing about the new root
/// (RFC 6962, section 2.1.2, has none either).
///
/// ```text
/// proof = 0x03 | old size u32 | new size u32 | hash 32 for each that the sizes ask for
/// ```
/// Numbers are little-endian. Equal sizes ask for no hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    old_size: u32,
    new_size: u32,
    path: Vec<[u8; 32]>,
}

impl ConsistencyProof {
    /// The most bytes that [`encode`](Self::encode) writes.
    pub const MAX_BYTES: usize = 1 + 4 + 4 + 33 * 32;

    /// A claim made of its parts, `path` in the order of RFC 6962, section 2.1.2.
    ///
    /// # Errors
    /// [`LogProofError`] where sizes and length of the path cannot be. Whether the hashes are right
    /// is for [`verify`](Self::verify) to say.
    pub fn new(old_size: u32, new_size: u32, path: Vec<[u8; 32]>) -> Result<Self, LogProofError> {
        let expected = path_length(old_size, new_size)?;
        if path.len() == expected {
            Ok(Self { old_size, new_size, path })
        } else {
            Err(LogProofError::PathLength { expected, got: path.len() })
        }
    }

    /// Checks that the new head's log begins with the old head's.
    ///
    /// # Errors
    /// [`LogProofError::OtherSize`], [`LogProofError::WrongOldRoot`] or
    /// [`LogProofError::WrongRoot`].
    pub fn verify(&self, old: &LogHead, new: &LogHead) -> Result<(), LogProofError> {
        old.expect_size(self.old_size)?;
        new.expect_size(self.new_size)?;
        let (old_root, new_root) = self.roots(old.root);
        if old.root != old_root {
            return Err(LogProofError::WrongOldRoot { expected: old.root, got: old_root });
        }
        if new.root != new_root {
            return Err(LogProofError::WrongRoot { expected: new.root, got: new_root });
        }
        Ok(())
    }

    /// The roots that the path leads to (RFC 9162, section 2.1.4.2).
    fn roots(&self, old_root: LogRoot) -> (LogRoot, LogRoot) {
        // Step 2: where the old log is one full tree, its root is known and not in the path.
        let (start, path) = match self.path.split_first() {
            Some((start, path)) if !self.old_size.is_power_of_two() => (*start, path),
            Some(_) | None => (old_root.0, self.path.as_slice()),
        };
        // Between equal sizes there is no path, so that the walk is not taken.
        let (mut old, mut new) = (start, start);
        for (side, other) in Walk::from_old_end(self.old_size, self.new_size).zip(path) {
            match side {
                Side::Left => {
                    old = hash_node(other, &old);
                    new = hash_node(other, &new);
                }
                Side::Right => new = hash_node(&new, other),
            }
        }
        (LogRoot(old), LogRoot(new))
    }

    /// The size that the log had.
    #[must_use]
    pub const fn old_size(&self) -> u32 {
        self.old_size
    }

    /// The size that it has.
    #[must_use]
    pub const fn new_size(&self) -> u32 {
        self.new_size
    }

    /// The hashes, in the order of RFC 6962, section 2.1.2.
    #[must_use]
    pub fn path(&self) -> &[[u8; 32]] {
        &self.path
    }

    /// The bytes, in the form that the type describes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode_proof(CONSISTENCY, [self.old_size, self.new_size], &self.path)
    }

    /// Reads what [`encode`](Self::encode) writes. Nothing is verified but the form.
    ///
    /// # Errors
    /// [`LogDecodeError`], naming the place.
    pub fn decode(bytes: &[u8]) -> Result<Self, LogDecodeError> {
        let mut input = Input::new(bytes, CONSISTENCY)?;
        let (old_size, new_size) = (input.number()?, input.number()?);
        let length = path_length(old_size, new_size).map_err(LogDecodeError::Impossible)?;
        Ok(Self { old_size, new_size, path: input.hashes(length)? })
    }
}

/// How many hashes lead from one size to the other.
pub(super) fn path_length(old: u32, new: u32) -> Result<usize, LogProofError> {
    if old == 0 || old > new {
        return Err(LogProofError::SizesOutOfOrder { old, new });
    }
    if old == new {
        return Ok(0);
    }
    let start = usize::from(!old.is_power_of_two());
    Ok(start + Walk::from_old_end(old, new).count())
}

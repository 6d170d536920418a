//! Places of keys in the tree, and what its nodes' hashes are made of.
//!
//! Invariant: a leaf's message starts with 0x00 and an inner node's with 0x01, and both are 80
//! bytes, so none can be passed off as the other and all go through the multi-lane hashing.
//!
//! ```text
//! place = SHA-256(salt 32 | key 32), or the key itself where there is no salt
//! leaf  = SHA-256d(0x00 | zeros 15       | place 32 | SHA-256(encoded value) 32)
//! inner = SHA-256d(0x01 | bit | zeros 14 | left 32  | right 32)
//! ```
//! Bit 0 is the highest bit of a place's first byte. Nothing here grows.

use sha2::{Digest as _, Sha256};

use crate::lanes;

/// The root of a state without accounts.
pub const EMPTY_ROOT: [u8; 32] = [0; 32];

const INNER: u8 = 1;

/// How keys are placed in the tree.
///
/// The salt stands in the head of each export, and whoever checks a proof must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Salt {
    /// Keys are their own places: right only where keys are hashes that nobody can choose freely.
    None,
    /// Places are hashes of salt and key. Who chooses keys cannot make paths long, as long as the
    /// salt is not known before the keys are chosen.
    Bytes([u8; 32]),
}

impl Salt {
    /// Where a key stands in the tree.
    #[must_use]
    pub fn place(&self, key: &[u8; 32]) -> [u8; 32] {
        match self {
            Self::None => *key,
            Self::Bytes(salt) => {
                Sha256::new().chain_update(salt).chain_update(key).finalize().into()
            }
        }
    }
}

/// What a node's hash is the double SHA-256 of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Preimage([u8; 80]);

impl Preimage {
    pub(super) fn leaf(place: &[u8; 32], value: &[u8; 32]) -> Self {
        Self::of([0, 0], place, value)
    }

    pub(super) fn inner(bit: u8, left: &[u8; 32], right: &[u8; 32]) -> Self {
        Self::of([INNER, bit], left, right)
    }

    fn of(head: [u8; 2], first: &[u8; 32], second: &[u8; 32]) -> Self {
        let mut bytes = [0; 80];
        bytes[..2].copy_from_slice(&head);
        bytes[16..48].copy_from_slice(first);
        bytes[48..].copy_from_slice(second);
        Self(bytes)
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        lanes::sha256d_80_single(&self.0)
    }
}

impl AsRef<[u8; 80]> for Preimage {
    fn as_ref(&self) -> &[u8; 80] {
        &self.0
    }
}

/// SHA-256 of a value's encoding, or of anything else that is hashed once.
pub(super) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Whether the bit of a place is set.
pub(super) fn is_set(place: &[u8; 32], bit: u8) -> bool {
    let byte = place.get(usize::from(bit / 8)).copied().unwrap_or(0);
    byte & (0x80 >> (bit % 8)) != 0
}

/// The first bit in which two places differ, or none where they are equal.
pub(super) fn first_difference(a: &[u8; 32], b: &[u8; 32]) -> Option<u8> {
    let mut bits = 0u8;
    for (a, b) in a.iter().zip(b) {
        let different = a ^ b;
        if different != 0 {
            return u8::try_from(different.leading_zeros()).ok().map(|more| bits + more);
        }
        bits = bits.wrapping_add(8);
    }
    None
}

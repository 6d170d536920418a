//! What a log is known by, and the hashes that it is made of (RFC 6962, section 2.1).

use core::fmt;
use core::str::FromStr;

use bitcoin::hex::{DisplayHex as _, FromHex as _};
use sha2::{Digest as _, Sha256};

use super::error::NotALogRoot;
use crate::lanes::hash_short;

/// Leaves and nodes differ in their first byte, so that no node passes for a leaf.
const LEAF: u8 = 0;
const NODE: u8 = 1;

/// The root hash of a log. Written in the order of hashing, not reversed as a block's hash is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogRoot(pub [u8; 32]);

impl LogRoot {
    /// The root of the log without leaves: the hash of nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self(Sha256::digest([]).into())
    }
}

impl fmt::Display for LogRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.as_hex(), f)
    }
}

impl fmt::Debug for LogRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogRoot({self})")
    }
}

impl FromStr for LogRoot {
    type Err = NotALogRoot;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        <[u8; 32]>::from_hex(text).map(Self).map_err(NotALogRoot)
    }
}

/// A log's size and root: all that is needed to check proofs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogHead {
    /// How many leaves it has.
    pub size: u32,
    /// The root over them.
    pub root: LogRoot,
}

/// The hash of a leaf. Of any bytes, as the RFC's test vectors have other leaves than block hashes.
pub(super) fn hash_leaf(leaf: &[u8]) -> [u8; 32] {
    match <&[u8; 32]>::try_from(leaf) {
        Ok(block) => {
            let mut leaf = [LEAF; 33];
            leaf[1..].copy_from_slice(block);
            hash_short::<33, 64>(&leaf)
        }
        Err(_) => Sha256::new().chain_update([LEAF]).chain_update(leaf).finalize().into(),
    }
}

/// The hash of a node.
pub(super) fn hash_node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut node = [NODE; 65];
    node[1..33].copy_from_slice(left);
    node[33..].copy_from_slice(right);
    hash_short::<65, 128>(&node)
}

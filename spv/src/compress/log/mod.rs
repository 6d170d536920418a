//! An append-only log of block hashes: RFC 6962's Merkle tree, its head small enough to publish.
//!
//! Leaf `n` is a block's hash, by whatever order the caller keeps, which a chain's heights are. A
//! [`Frontier`] takes leaves in and tells the [`LogHead`]; an [`InclusionProof`] shows that a hash
//! is under a head, and a [`ConsistencyProof`] that a head's log goes on where an older one ended.
//!
//! ```text
//! leaf = SHA-256(0x00 | block hash 32)    node = SHA-256(0x01 | left 32 | right 32)
//! root = SHA-256() of no leaf; else the largest full tree beside the root of what is left
//! ```
//!
//! Invariant: a proof's path is as long as its numbers ask for, so that a proof has one form. A
//! root says nothing about the size of its log, and the same path may hold for several sizes:
//! proofs are checked against a head, which has both.
//!
//! What an attacker can grow: nothing. A path has at most 33 hashes, and a frontier 32; their number
//! is computed from the claimed sizes and compared with the bytes at hand before anything is
//! reserved. Making a proof takes memory for one path, and time for each leaf of the claimed size:
//! whoever serves proofs compares that size with the log's own first.
//!
//! Sources: RFC 6962, section 2.1; RFC 9162, sections 2.1.3.2 and 2.1.4.2 (verification).
//!
//! ```
//! use ironlight_spv::compress::log::{self, ConsistencyProof, Frontier, InclusionProof};
//! # use ironlight_spv::{BlockHash, bitcoin::hashes::Hash as _};
//! # let blocks: Vec<BlockHash> = (0..9).map(|n| BlockHash::from_byte_array([n; 32])).collect();
//! let mut frontier = Frontier::new();
//! blocks[..5].iter().try_for_each(|block| frontier.append(block))?;
//! let old = frontier.head();
//! blocks[5..].iter().try_for_each(|block| frontier.append(block))?;
//! let new = frontier.head();
//!
//! // Whoever has the leaves makes the proofs,
//! let grown = log::consistency_proof(blocks.iter().copied(), 5, 9)?.encode();
//! let within = log::inclusion_proof(blocks.iter().copied(), 3, 9)?.encode();
//!
//! // and whoever has the heads checks them.
//! ConsistencyProof::decode(&grown)?.verify(&old, &new)?;
//! InclusionProof::decode(&within)?.verify(&blocks[3], &new)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod consistency;
mod error;
mod frontier;
mod head;
mod inclusion;
mod prove;
mod walk;
mod wire;

#[cfg(test)]
mod tests;

pub use consistency::ConsistencyProof;
pub use error::{LogDecodeError, LogFull, LogProofError, LogProveError, NotALogRoot};
pub use frontier::{Frontier, LeafHashes};
pub use head::{LogHead, LogRoot};
pub use inclusion::InclusionProof;
pub use prove::{consistency_proof, inclusion_proof};

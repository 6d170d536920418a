//! Proofs that a transaction is in a block, and that a whole block is the one that a header names.
//!
//! Invariant: an [`Inclusion`] exists only for a txid that was hashed up to the Merkle root of its
//! header by Bitcoin's tree, and a [`VerifiedBlock`] only for transactions that are all of the
//! header's. Neither says that the header is in a chain: that is for
//! [`SpvClient`](crate::SpvClient) or a [`HeaderChain`](crate::HeaderChain).
//!
//! What an attacker can grow: nothing beyond the bytes that were sent. Counts are compared with the
//! bytes at hand before anything is reserved, a tree has at most [`MAX_TRANSACTIONS`] leaves, and
//! no walk takes more steps than the bytes have bits.
//!
//! Sources: Bitcoin Core, `merkleblock.cpp`, `consensus/merkle.cpp` and `validation.cpp`
//! (`CheckMerkleRoot`, `CheckWitnessMalleation`); BIP37; BIP141; CVE-2012-2459; CVE-2017-12842.
//!
//! ```
//! use ironlight_spv::proof::{MerkleBlock, MerkleProof, MerkleTree};
//! # use ironlight_spv::{Header, bitcoin::{Txid, hashes::Hash as _}};
//! # let txids: Vec<Txid> = (0..5).map(|n| Txid::from_byte_array([n; 32])).collect();
//! # let mut bytes = [0; 80];
//! # bytes[36..68].copy_from_slice(MerkleTree::new(&txids)?.root().as_byte_array());
//! # let header = Header::from_bytes(bytes);
//! // Whoever has the block makes the proof,
//! let tree = MerkleTree::new(&txids)?;
//! let sent = tree.prove(&header, 3)?.encode();
//!
//! // and whoever has the header checks it.
//! let inclusion = MerkleProof::decode(&sent)?.verify()?;
//! assert_eq!((inclusion.txid(), inclusion.index()), (txids[3], 3));
//!
//! // What Bitcoin Core's `gettxoutproof` prints is a `MerkleBlock`.
//! let sent = tree.merkle_block(&header, |txid| *txid == txids[3])?.encode();
//! assert_eq!(MerkleBlock::decode(&sent)?.verify()?, [inclusion]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod block;
mod climb;
mod error;
mod inclusion;
mod merkle_block;
mod single;
mod tree;
mod wire;

pub use batch::verify_batch;
pub use block::{BlockError, VerifiedBlock, Witness, verify_block};
pub use error::{DecodeError, ProofError};
pub use inclusion::{Inclusion, LeafEvidence};
pub use merkle_block::MerkleBlock;
pub use single::MerkleProof;
pub use tree::{MAX_TRANSACTIONS, MerkleTree, merkle_root};

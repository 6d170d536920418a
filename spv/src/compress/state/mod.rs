//! Compressed states: the accounts at many heights, each height with a root that proves its
//! accounts, in a few times the memory that one height takes plainly.
//!
//! [`StateCompressor`] takes the changes of a block and seals them at its height. All sealed
//! heights can be asked ([`get`](StateCompressor::get)), prove
//! ([`prove`](StateCompressor::prove)), be compared ([`diff`](StateCompressor::diff)), rolled back
//! and forgotten. What a height shares with the one before is held once: nodes of the tree by
//! reference, and of a changed account the fields that changed.
//!
//! ```
//! use ironlight_spv::BlockHeight;
//! use ironlight_spv::compress::state::{Account, Salt, StateCompressor, StateValue, Verdict};
//!
//! let salt = Salt::Bytes([7; 32]);
//! let mut states = StateCompressor::new(salt);
//! states.put(Account { balance: 5, ..Account::blank([1; 32]) });
//! let first = states.seal(BlockHeight(10))?;
//! states.put(Account { balance: 3, nonce: 1, ..Account::blank([1; 32]) });
//! states.put(Account { balance: 2, ..Account::blank([2; 32]) });
//! states.seal(BlockHeight(11))?;
//!
//! assert_eq!(states.get(&[1; 32], BlockHeight(10))?.map(|account| account.balance), Some(5));
//! let proof = states.prove(&[2; 32], BlockHeight(10))?;
//! assert_eq!(proof.verify(&first.root, &[2; 32], &salt), Ok(Verdict::Absent));
//! # Ok::<(), ironlight_spv::compress::state::StateError>(())
//! ```
//! Invariant: the root follows from the accounts alone, not from their history; and a refused
//! block, a refused change set and a refused import leave everything as it was. What an attacker
//! can grow: the accounts of the open block and of sealed ones are the caller's to bound; nodes end
//! at 2^27, with a typed error; a path at 256 steps; all that is decoded is bounded before memory
//! is reserved for it.

mod arena;
mod audit;
mod changes;
mod compressor;
mod diff;
mod error;
mod export;
mod hash;
mod history;
mod import;
mod input;
mod proof;
mod prune;
mod snapshot;
mod stats;
mod tree;
mod update;
mod value;

#[cfg(test)]
mod tests;

pub use changes::{ApplyError, Change, ChangeSet};
pub use compressor::StateCompressor;
pub use error::{Damaged, DecodeError, Full, StateError};
pub use export::{Export, PIECE};
pub use hash::{EMPTY_ROOT, Salt};
pub use import::{ImportError, Importer};
pub use proof::{ProofError, StateProof, Verdict};
pub use snapshot::Sealed;
pub use stats::Stats;
pub use value::{Account, LARGEST, StateValue, ValueError, WalletAccount};

//! Compact filters (BIP157, BIP158): what is in one and whether a wallet's scripts are, their headers,
//! their download, and who is right about them.
//!
//! A [`Filter`] says of a script that it is surely not in a block, or that it probably is. Its bytes come from a peer
//! and are read as if they were a lie: [`Filter::decode`] bounds what they can claim, and whatever reads on names the
//! place where they stop making sense. That a filter is the one that belongs to its block is not said by its structure;
//! its [`FilterHash`] and the chain of [`FilterHeader`]s ([`header_chain`]) say it, and which of those to believe is
//! decided by evidence ([`sync`]).
//!
//! Invariant: a script that is in a well-formed filter is always found.
//!
//! What an attacker can grow: a filter has at most [`Filter::MAX_ELEMENTS`] elements and [`Filter::MAX_SIZE`] bytes,
//! whatever it claims, and [`MatchScratch`] grows to some 17 bytes an element, once. The bounds of the download are
//! stated in [`sync`].

mod build;
mod error;
pub mod evidence;
mod gcs;
pub mod header_chain;
mod header_values;
mod index;
mod kept_hashes;
mod matching;
mod script_set;
pub mod sync;
#[cfg(test)]
mod tests;
mod values;

pub use bitcoin::bip158::{FilterHash, FilterHeader};
pub use build::output_elements;
pub use error::FilterError;
use gcs::hash_of;
pub use gcs::{Filter, FilterKey};
pub use header_chain::{FilterHeaderChain, VerifiedFilterHeaders};
pub use header_values::{FilterAnchor, FilterHeaderError, FilterTip};
pub use matching::MatchScratch;
pub use script_set::ScriptSet;

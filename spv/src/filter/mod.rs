//! Compact filters (BIP157, BIP158): their headers, their download, and who is right about them.

pub mod evidence;
pub mod header_chain;
pub mod sync;

pub use bitcoin::bip158::{FilterHash, FilterHeader};
pub use header_chain::{
    FilterAnchor, FilterHeaderChain, FilterHeaderError, FilterTip, VerifiedFilterHeaders,
};

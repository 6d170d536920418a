//! Verifies Bitcoin's header chain by Bitcoin's own rules.
//!
//! This crate is pure: it does no I/O, reads no clock and draws no randomness. Time and seeds are
//! arguments, so every verdict can be repeated. It needs an allocator but no standard library;
//! the default feature `std` only adds run-time detection of the processor's hashing instructions.
//!
//! Start at [`SpvClient`]: headers go in, and verdicts on transactions with their proofs come out.
//! Under it is [`HeaderChain`]: [`verify`](HeaderChain::verify) judges a batch of headers and hands
//! back proof of it, a [`VerifiedBatch`], which [`apply`](HeaderChain::apply) takes in. Merkle
//! proofs and whole blocks are checked in [`proof`].
//!
//! ```
//! use ironlight_spv::{Network, Params, SpvClient, UnixTime, Verdict};
//! use ironlight_spv::proof::DecodeError;
//!
//! let mut client = SpvClient::new(Params::new(Network::Mainnet));
//! client.add_headers(&[], UnixTime(1_700_000_000))?; // from anywhere: verifying trusts nobody
//!
//! let verdict = client.verify_encoded(b"from a stranger", 6);
//! assert_eq!(verdict, Verdict::Malformed(DecodeError::NotAProof));
//! # Ok::<(), ironlight_spv::HeadersRefused>(())
//! ```
#![no_std]

extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod chain;
mod client;
mod compact_size;
pub mod compress;
pub mod filter;
#[cfg(feature = "generate")]
pub mod generate;
mod header;
pub mod lanes;
mod params;
pub mod peers;
pub mod proof;
pub mod rules;
pub mod sync;
mod target;
mod time;

/// The crate whose types stand in this one's interface.
pub use bitcoin;
pub use bitcoin::{BlockHash, CompactTarget, Target, Work};
pub use chain::{
    Basis, ChainTip, HeaderChain, HeaderError, HeaderRun, LinkedBatch, TipChange, TrustedStart,
    VerifiedBatch, Violation,
};
pub use client::{HeadersRefused, SpvClient, Verdict};
pub use header::{BlockHeight, Header, IndexedHeader};
pub use params::{Network, Params, PresyncParams, UnknownNetwork, parse_work};
pub use target::{BitsError, decode_compact};
pub use time::{Now, UnixTime};

/// The README's example is run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

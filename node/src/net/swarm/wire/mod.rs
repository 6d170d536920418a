//! What goes over the wire between light nodes; `docs/PROTOCOL.md` is written for those who
//! implement it elsewhere.
//!
//! Structure only: whether a header is valid is decided elsewhere. Numbers are little-endian.
//! What an attacker can grow: what is allocated is in proportion to the bytes that came, and those
//! are capped before they are read ([`MAX_REQUEST`], and a cap for each protocol's responses).

mod blocks;
#[cfg(test)]
#[cfg(feature = "libp2p")]
mod documented_examples;
mod envelope;
mod filters;
mod headers;
mod proofs;
mod snapshots;

pub use blocks::{BlockRequest, MAX_BLOCK, block_head, decode_block};

pub use envelope::{
    ENVELOPE_VERSION, Extensions, MAX_EXTENSIONS, MAX_HELD, Status, TraceContext, decode_request,
    decode_response, encode_request, encode_response,
};
pub use filters::{
    FilterRange, FiltersRequest, MAX_FILTER_BYTES, MAX_FILTER_HEADERS, MAX_FILTERS,
    decode_checkpoints, decode_filter_hashes, decode_filters, encode_checkpoints,
    encode_filter_hashes, encode_filters, filters_that_fit,
};
pub use headers::{HeadersPage, HeadersRequest, MAX_LOCATOR, MAX_PAGE, Wanted};
pub use proofs::{MAX_PROOF, MAX_PROOF_TXIDS, ProofRequest, decode_proof};
pub use snapshots::{LAST_PERIOD, MAX_OFFERED, SnapshotOffer, SnapshotsRequest, decode_chunk};

/// The longest request, in bytes: a locator of [`MAX_LOCATOR`] hashes and all extensions.
pub const MAX_REQUEST: usize = 8 * 1024;

/// The longest response with headers or of the snapshots protocol, in bytes: [`MAX_PAGE`] headers in
/// their longest form (49 bytes each), or [`MAX_OFFERED`] addresses, and all extensions.
pub const MAX_RESPONSE: usize = 512 * 1024;

/// The longest response with filters, in bytes: [`MAX_FILTER_BYTES`] and all extensions.
pub const MAX_FILTERS_RESPONSE: usize = 1024 * 1024;

/// The longest response with a block, in bytes: [`MAX_BLOCK`] and all extensions.
pub const MAX_BLOCK_RESPONSE: usize = 4 * 1024 * 1024;

/// The longest response with a proof, in bytes: [`MAX_PROOF`] and all extensions.
pub const MAX_PROOF_RESPONSE: usize = 64 * 1024;

/// A gossiped tip is a header and nothing else, so that no second message can carry the same one.
pub const TIP_SIZE: usize = ironlight_spv::Header::SIZE;

//! What goes over the wire between light nodes; `docs/PROTOCOL.md` is written for those who
//! implement it elsewhere.
//!
//! Structure only: whether a header is valid is decided elsewhere. Numbers are little-endian.
//! What an attacker can grow: what is allocated is in proportion to the bytes that came, and those
//! are capped before they are read ([`MAX_REQUEST`], [`MAX_RESPONSE`]).

#[cfg(all(test, feature = "libp2p"))]
mod documented_examples;
mod envelope;
mod headers;

pub use envelope::{
    ENVELOPE_VERSION, Extensions, MAX_EXTENSIONS, Status, TraceContext, decode_request,
    decode_response, encode_request, encode_response,
};
pub use headers::{HeadersPage, HeadersRequest, MAX_LOCATOR, MAX_PAGE, Wanted};

/// The longest request, in bytes: a locator of [`MAX_LOCATOR`] hashes and all extensions.
pub const MAX_REQUEST: usize = 8 * 1024;

/// The longest response, in bytes: [`MAX_PAGE`] headers in their longest form (49 bytes each), and
/// all extensions.
pub const MAX_RESPONSE: usize = 512 * 1024;

/// A gossiped tip is a header and nothing else, so that no second message can carry the same one.
pub const TIP_SIZE: usize = ironlight_spv::Header::SIZE;

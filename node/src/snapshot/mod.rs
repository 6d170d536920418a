//! Header snapshots as files and streams: written from a chain, and verified on the way in.
//!
//! [`write()`] brings a chain into the form of [`ironlight_spv::compress::snapshot`], packed by zstd.
//! [`SnapshotReader`] reads it, and [`take_in`] has a chain take its headers, by all rules, one difficulty
//! period after the other: a period with a bad header is refused whole, and what was before it stays.
//!
//! Light nodes give each other the same periods one by one; [`Chunk`] is one that was checked.
//!
//! Files stream: memory holds a few periods, whatever the length of the chain. What an attacker can grow: a
//! frame's sizes are bounded before it is read, and unpacking stops at the size that was bounded.

mod chunk;
mod error;
pub(crate) mod fetch;
mod read;
mod take_in;
mod write;

#[cfg(feature = "libp2p")]
pub(crate) use chunk::frame;
pub(crate) use chunk::frame_headers;
pub use chunk::{Chunk, ChunkError};
pub use error::SnapshotFileError;
pub use read::{Frame, SnapshotReader};
pub use take_in::{TakenIn, take_in};
pub use write::{Written, write};

#[cfg(test)]
mod tests;

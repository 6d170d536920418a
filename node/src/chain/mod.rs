//! The node's header chain: one writer, many readers.
//!
//! All changes go through one task, which verifies, commits and only then applies and publishes:
//! no subscriber hears of a tip that a crash can lose. Readers hold a [`ChainHandle`].

mod handle;
mod start;
mod writer;

pub use handle::{ChainHandle, ChainStatus, PeerView, Phase, Stopped};
pub(crate) use start::{Joined, fetch_start};
pub(crate) use writer::{
    HeaderNetwork, NetworkInput, SnapshotPeers, Writer, WriterError, commit_blocking,
};

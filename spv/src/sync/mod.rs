//! Header sync without I/O: what arrived goes in, what to do comes out.
//!
//! [`HeaderSync`] asks peers for headers, decides which of them are worth checking, and tells its
//! driver what to send and what to apply. It follows quinn-proto: `handle_*` takes an event and the
//! time, [`poll`](HeaderSync::poll) gives out actions until there are none, and
//! [`poll_timeout`](HeaderSync::poll_timeout) says when [`handle_timeout`](HeaderSync::handle_timeout)
//! is due. The driver owns the [`HeaderChain`](crate::HeaderChain), the store and the connections.
//!
//! Invariants:
//! - A peer's headers reach the driver only if the chain that they end is shown to have the work of
//!   the [`threshold`], by themselves or by the presync (`headerssync.cpp` of Bitcoin Core).
//! - At most one getheaders is in flight a peer, and it has a deadline.
//! - Only a provable fault is blamed. Being slow, on a losing branch, or ahead of our clock is none.
//! - While one peer downloads, others are asked in bounded time whether they agree, so that no
//!   first peer can capture the sync.
//!
//! What an attacker can grow, and where it stops: peers, [`SyncConfig::max_peers`]; presyncs,
//! [`SyncConfig::max_parallel`], each of at most [`presync_memory_bound`] bytes; one remembered
//! announcement a peer; one batch a peer waiting to be applied; actions, a handful a peer and call
//! (events alone are dropped beyond [`MAX_QUEUED_EVENTS`] if nobody polls).

mod action;
mod answer;
mod applied;
mod commitments;
mod config;
mod lowwork;
mod machine;
mod peer;
mod presync;
mod schedule;
mod start;
mod state;
#[cfg(test)]
mod tests;

pub use action::{
    GaveUp, PeerPhase, PeerStatus, PresyncStatus, SyncAction, SyncEvent, SyncOffence, SyncState,
    SyncStatus,
};
pub use config::{Defences, SyncConfig};
pub use machine::{HeaderSync, MAX_QUEUED_EVENTS, threshold};
pub use peer::PeerId;
pub use presync::memory_bound as presync_memory_bound;
pub use start::{StartAction, StartConfig, StartFetch};

/// Headers in a message at most; as many mean that there may be more.
pub const MAX_HEADERS: usize = 2000;

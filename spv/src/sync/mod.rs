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
//! A peer's turn, and what moves it on. At most [`SyncConfig::max_parallel`] are working:
//!
//! | Turn    | What it is                              | Ends when                                    |
//! |---------|-----------------------------------------|----------------------------------------------|
//! | Waiting | to be asked in this round               | picked, or asked for an opinion: Working     |
//! | Working | asked, or its headers are being applied | no more headers: Done; agrees with another that is at work: Standby; stalls, or its presync comes to nothing: Backoff; no place left: Waiting |
//! | Standby | agrees with one that is at work         | that one is not at work any more: Waiting; asked for an opinion: Working |
//! | Done    | has no more headers for us              | a new round: Waiting; sends more: Working     |
//! | Backoff | is asked again later                    | the time is up: Waiting; a late answer: Working |
//! | Refused | sent something provably wrong           | never                                        |
//!
//! A presync belongs to its peer and never changes hands: others agree and stand by, or, where all
//! that are at work are slow, show the same chain themselves beside it. Whoever has come furthest is
//! the primary, the one that others are compared with.
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
mod tip;

pub use action::{
    GaveUp, PeerPhase, PeerStatus, PresyncStatus, SyncAction, SyncEvent, SyncOffence, SyncState,
    SyncStatus, Unanswered,
};
pub use config::{Defences, SyncConfig};
pub use machine::{HeaderSync, MAX_QUEUED_EVENTS, threshold};
pub use peer::{PeerId, PeerTraits};
pub use presync::memory_bound as presync_memory_bound;
pub use start::{StartAction, StartConfig, StartFetch};
pub use tip::{TipVerdict, judge_tip};

/// Headers in a message of a peer of Bitcoin's network at most; as many mean that there may be more.
pub const MAX_HEADERS: usize = 2000;
/// The same of any peer: see [`HeaderSync::handle_connected_with`].
pub const MAX_PAGE: usize = 8000;

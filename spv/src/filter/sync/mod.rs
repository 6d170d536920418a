//! Filter sync without I/O: what arrived goes in, what to do comes out.
//!
//! [`FilterSync`] fetches the filter headers and the filters of the best header chain from peers
//! that it does not trust, and tells its driver what to ask, what to store, and which filters are
//! verified. It has the manner of [`HeaderSync`](crate::sync::HeaderSync): `handle_*` takes an event
//! and the time, [`poll`](FilterSync::poll) gives out actions until there are none, and
//! [`poll_timeout`](FilterSync::poll_timeout) says when [`handle_timeout`](FilterSync::handle_timeout)
//! is due. The driver owns the [`HeaderChain`](crate::HeaderChain), the store and the connections.

mod action;
mod ask;
mod claims;
mod config;
mod deliver;
mod dispute;
mod machine;
mod peer;
mod plan;
mod revise;
mod schedule;
mod spans;

pub use action::{
    FilterAction, FilterAnswer, FilterEvent, FilterHeaderChange, FilterOffence, FilterPeerStatus,
    FilterRequest, FilterRequestId, FilterStanding, FilterSyncStatus, FilterUnanswered, Revision,
    ServedFilter, Settlement,
};
pub use config::{FilterDefences, FilterSyncConfig};
pub use machine::FilterSync;
pub use peer::FilterPeerTraits;

/// Peers name their filter header of every so many blocks at once (BIP157).
pub const CHECKPOINT_INTERVAL: u32 = 1000;
/// Filter headers in a message at most (BIP157).
pub const MAX_FILTER_HEADERS: u32 = 2000;
/// Filters that one request asks for at most (BIP157).
pub const MAX_FILTERS: u32 = 1000;

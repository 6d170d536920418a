//! Compact filters: fetched, verified and kept, for the wallet to read and for light nodes to be served.
//!
//! Purpose: one task drives [`FilterSync`](ironlight_spv::filter::sync::FilterSync), which decides what
//! to ask of whom and what to believe; this module carries its questions to the peers of both
//! networks (`net::data::DataPeers`) and what it verified into the store.
//!
//! Invariants:
//! - A filter is readable only once it, and the filter header that it proves itself by, are
//!   stored.
//! - What turns out wrong, or leaves the best chain, is forgotten before anything else is told.
//!
//! What an attacker can grow: nothing beyond the bounds of the machine. Stored filters have at most
//! [`FilterConfig::cache_bytes`] (plus those that the wallet has not looked at yet, some more than
//! [`MAX_UNREAD`]); filter headers 32 bytes a block.

mod ask;
mod kept;
mod task;

use std::time::Duration;

use ironlight_spv::BlockHeight;
use ironlight_spv::filter::sync::FilterSyncConfig;

#[cfg(feature = "daemon")]
pub(crate) use kept::{CheckedFilters, FilterFault};
pub use kept::{Filters, FiltersStatus};
pub(crate) use task::{FilterTask, FilterTaskConfig};

/// Filters that the wallet has not looked at, above which no more are fetched than are on their way, however
/// many bytes may be kept.
pub const MAX_UNREAD: u32 = 4000;

/// What of filters is fetched and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterConfig {
    /// Bytes that are kept; the lowest heights go first.
    pub cache_bytes: u64,
    /// Filters are fetched from this height on, whether or not anything is watched, to serve them to
    /// light nodes; none for as far as the wallet needs.
    pub from: Option<BlockHeight>,
    /// So long without anybody who serves filters is told
    /// ([`NoFilterPeers`](crate::events::NodeEvent::NoFilterPeers)).
    pub alone_after: Duration,
    /// Deadlines and bounds; the defaults suit Bitcoin's networks.
    pub sync: FilterSyncConfig,
}

impl Default for FilterConfig {
    fn default() -> Self {
        Self {
            cache_bytes: 500_000_000,
            from: None,
            alone_after: Duration::from_secs(30),
            sync: FilterSyncConfig::default(),
        }
    }
}

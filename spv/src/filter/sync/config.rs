//! The knobs of filter sync.

use core::time::Duration;

/// Times, bounds and defences; the defaults are right for Bitcoin's networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterSyncConfig {
    /// What is not answered by then is asked of another peer, too. A late answer is still taken, so
    /// a slow link loses no progress.
    pub request_timeout: Duration,
    /// A peer that did not answer is asked again after this, doubled with each time in a row up to
    /// sixteen-fold.
    pub retry_after: Duration,
    /// A peer that has not said that it has the newest block is taken to have it after this, counted from
    /// the later of its coming and the block's. Asking earlier for a block that it does not have would make
    /// Bitcoin Core hang up.
    pub settle_after: Duration,
    /// Requests in flight with one peer at most.
    pub max_pipelined: usize,
    /// Peers that are known to the machine at most; others are not asked.
    pub max_peers: usize,
    /// Filters in one request at first; it follows size and pace of the answers from there.
    pub first_filters: u32,
    /// Filters in one request at most (BIP157: 1000).
    pub max_filters: u32,
    /// An answer should have no more bytes of filters than this.
    pub answer_bytes: usize,
    /// Bytes of filters that are in flight or wait for those before them at most, by estimate; the
    /// next ones in order are always asked for.
    pub buffer_bytes: usize,
    /// Filters that were handed out and not consumed yet at most.
    pub max_unconsumed: usize,
    /// Disputes that are being settled at the same time at most.
    pub max_cases: usize,
    /// What can be switched off.
    pub defences: FilterDefences,
}

impl Default for FilterSyncConfig {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(20),
            retry_after: Duration::from_secs(30),
            settle_after: Duration::from_secs(30),
            max_pipelined: 3,
            max_peers: 64,
            first_filters: 100,
            max_filters: 1000,
            answer_bytes: 1 << 20,
            buffer_bytes: 4 << 20,
            max_unconsumed: 2000,
            max_cases: 4,
            defences: FilterDefences::default(),
        }
    }
}

/// Each defence on its own. Leave them on: the switches are there so that tests can show what
/// each of them is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct FilterDefences {
    /// Every peer is compared with what we have, at its tip and when it connects.
    pub compare_peers: bool,
    /// Where peers differ, filters and block are fetched and decide; else who came first is right.
    pub evidence: bool,
    /// Where nothing decides, the block is fetched whole; else who came first is right.
    pub undecided_blocks: bool,
    /// A claim whose filter nobody serves is dropped.
    pub drop_unserved: bool,
    /// A block that is evidence must have the Merkle root of its header.
    pub check_block: bool,
    /// A filter must have the hash that its header commits to.
    pub check_filters: bool,
    /// What was delivered from filters that turn out wrong is delivered again.
    pub revise: bool,
    /// What is overdue is asked of another peer.
    pub stall_timeout: bool,
}

impl Default for FilterDefences {
    fn default() -> Self {
        Self {
            compare_peers: true,
            evidence: true,
            undecided_blocks: true,
            drop_unserved: true,
            check_block: true,
            check_filters: true,
            revise: true,
            stall_timeout: true,
        }
    }
}

//! The knobs of header sync.

use core::time::Duration;

/// Times, bounds and defences; the defaults are right for Bitcoin's networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncConfig {
    /// A getheaders that is not answered by then is moved to another peer. The slow peer stays and
    /// its late answer is still taken, so a slow link loses no progress.
    pub request_timeout: Duration,
    /// A peer that stalled, or whose presync came to nothing, is asked again after this, doubled
    /// with each time in a row up to sixteen-fold.
    pub retry_after: Duration,
    /// A header ahead of our clock, or one that is refused without anybody being to blame, is asked
    /// for again after this.
    pub clock_retry: Duration,
    /// While one peer downloads, another one is asked for its opinion every so many batches ...
    pub second_opinion_batches: u32,
    /// ... or after so long, whichever is earlier.
    pub second_opinion_after: Duration,
    /// Peers that download at the same time at most.
    pub max_parallel: usize,
    /// A peer that has kept one of those places for so long gives it up if others wait.
    pub turn_patience: Duration,
    /// Peers that are known to the machine at most; others are not asked.
    pub max_peers: usize,
    /// Headers that do not connect are followed by a question so often a peer, until some connect.
    pub max_unconnecting: u32,
    /// Without news for so long every peer is asked for its tip again.
    pub silence: Duration,
    /// The same while the chain is not synced.
    pub reask_unsynced: Duration,
    /// What can be switched off.
    pub defences: Defences,
}

impl Default for SyncConfig {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(20),
            retry_after: Duration::from_secs(30),
            clock_retry: Duration::from_secs(60),
            second_opinion_batches: 16,
            second_opinion_after: Duration::from_secs(20),
            max_parallel: 8,
            turn_patience: Duration::from_secs(30 * 60),
            max_peers: 256,
            max_unconnecting: 10,
            silence: Duration::from_secs(30 * 60),
            reask_unsynced: Duration::from_secs(2 * 60),
            defences: Defences::default(),
        }
    }
}

/// Each defence on its own. Leave them on: the switches are there so that tests can show what
/// each of them is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct Defences {
    /// A chain of low work is not stored until its peer has shown that it ends in enough.
    pub presync: bool,
    /// The chain that is downloaded again must be the one that was shown.
    pub commitments: bool,
    /// Other peers are asked while one downloads.
    pub second_opinions: bool,
    /// An unanswered request is moved to another peer.
    pub stall_timeout: bool,
    /// Headers that do not connect are followed by a question.
    pub ask_unconnecting: bool,
    /// An announced hash that is not known is followed by a question.
    pub ask_inv: bool,
    /// A branch that is downloaded after a presync is not evicted.
    pub pins: bool,
    /// Silent peers are asked again from time to time.
    pub reask_when_silent: bool,
    /// A peer whose headers are provably invalid is not asked again.
    pub refuse_offenders: bool,
}

impl Default for Defences {
    fn default() -> Self {
        Self {
            presync: true,
            commitments: true,
            second_opinions: true,
            stall_timeout: true,
            ask_unconnecting: true,
            ask_inv: true,
            pins: true,
            reask_when_silent: true,
            refuse_offenders: true,
        }
    }
}

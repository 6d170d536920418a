//! How requests went, for people to look at.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ironlight_hardening::bulkhead::BulkheadStatus;
use ironlight_hardening::circuit_breaker::CircuitState;
use ironlight_hardening::monitor::LatencyReport;

/// How requests went on one network, since the start, with peers that are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestReport {
    /// Put on a line; a repeated one counts each time.
    pub sent: u64,
    /// Answered.
    pub answered: u64,
    /// Not answered, or not with anything of use.
    pub failed: u64,
    /// Not put on a line: a breaker, a limit, the retry budget, or no room.
    pub refused: u64,
    /// Asked of another peer, because the one before had failed.
    pub retried: u64,
    /// Under way.
    pub under_way: u32,
    /// Retries that the budget of all networks has left.
    pub budget: u64,
    /// Half of the lately answered took no longer.
    pub p50: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
}

/// How requests to one peer go, since it connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerRequestReport {
    /// Put on the line.
    pub sent: u64,
    /// Not answered, or not with anything of use.
    pub failed: u64,
    /// Not put on the line.
    pub refused: u64,
    /// Whether it is asked.
    pub breaker: CircuitState,
}

/// What is counted, of a network or of a peer.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) sent: AtomicU64,
    pub(super) answered: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) retried: AtomicU64,
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counts {
    pub(super) fn report(
        &self,
        places: BulkheadStatus,
        budget: u64,
        latency: LatencyReport,
    ) -> RequestReport {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RequestReport {
            sent: of(&self.sent),
            answered: of(&self.answered),
            failed: of(&self.failed),
            refused: of(&self.refused),
            retried: of(&self.retried),
            under_way: places.inside,
            budget,
            p50: latency.p50,
            p99: latency.p99,
        }
    }

    pub(super) fn peer_report(&self, breaker: CircuitState) -> PeerRequestReport {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PeerRequestReport {
            sent: of(&self.sent),
            failed: of(&self.failed),
            refused: of(&self.refused),
            breaker,
        }
    }
}

//! What a retry layer counted.

use core::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::policy::RetryPolicy;
use super::state::GaveUp;

/// What was counted since the layer was made.
///
/// See [`RetryLayer`](super::RetryLayer) for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryStats {
    /// Requests, each counted once.
    pub requests: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Requests that failed at first and worked in the end.
    pub recovered: u64,
    /// Requests that failed for good, of all kinds.
    pub gave_up: u64,
    /// Of these, those for which the budget was spent.
    pub out_of_budget: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    requests: AtomicU64,
    retries: AtomicU64,
    recovered: AtomicU64,
    gave_up: AtomicU64,
    out_of_budget: AtomicU64,
}

/// Counts only; nothing is published by it, so no order is needed.
fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn request(&self) {
        count(&self.requests);
    }

    pub(super) fn retry(&self) {
        count(&self.retries);
    }

    pub(super) fn recovered(&self) {
        count(&self.recovered);
    }

    pub(super) fn gave_up(&self, why: GaveUp) {
        count(&self.gave_up);
        if why == GaveUp::Budget {
            count(&self.out_of_budget);
        }
    }
}

/// The status of a retry layer and all its services; clones are cheap.
///
/// See [`RetryLayer`](super::RetryLayer) for an example.
#[derive(Clone)]
pub struct RetryHandle {
    pub(super) policy: Arc<RetryPolicy>,
    pub(super) counters: Arc<Counters>,
}

impl RetryHandle {
    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> RetryStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RetryStats {
            requests: read(&self.counters.requests),
            retries: read(&self.counters.retries),
            recovered: read(&self.counters.recovered),
            gave_up: read(&self.counters.gave_up),
            out_of_budget: read(&self.counters.out_of_budget),
        }
    }

    /// The policy, with its budget if it has one.
    #[must_use]
    pub fn policy(&self) -> &RetryPolicy {
        &self.policy
    }
}

impl fmt::Debug for RetryHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("RetryHandle");
        out.field("policy", &self.policy).field("stats", &self.stats()).finish()
    }
}

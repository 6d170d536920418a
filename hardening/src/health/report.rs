//! What is known at one moment.

use core::time::Duration;

use super::state::{CheckState, CheckStatus, Probe};
use crate::monitor::{Finding, HealthStatus};

/// A check as it was when asked for.
///
/// The [module](super) has an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// Its name.
    pub name: String,
    /// What it means if it fails.
    pub probe: Probe,
    /// How it is, seen over its last runs.
    pub status: CheckStatus,
    /// What the last run said; empty where all is well.
    pub output: String,
    /// What the last run measured.
    pub value: Option<(i64, &'static str)>,
    /// How long the last run took; none before the first.
    pub took: Option<Duration>,
    /// How long ago it ended.
    pub age: Option<Duration>,
    /// Failures in a row.
    pub failures: u32,
    /// Results so far.
    pub runs: u64,
}

impl CheckReport {
    pub(super) fn new(name: &str, probe: Probe, state: &CheckState, now: Duration) -> Self {
        let last = state.last();
        Self {
            name: name.into(),
            probe,
            status: state.status(now),
            output: last.map(|last| last.seen.output.clone()).unwrap_or_default(),
            value: last.and_then(|last| last.seen.value),
            took: last.map(|last| last.took),
            age: last.map(|last| now.saturating_sub(last.ended)),
            failures: state.failures(),
            runs: state.runs(),
        }
    }

    /// The same for a dashboard: 100 for pass, 60 for warn and pending, 0 for fail.
    pub(super) fn finding(self) -> Finding {
        let (status, score) = match self.status {
            CheckStatus::Pass => (HealthStatus::Healthy, 100),
            CheckStatus::Warn | CheckStatus::Pending => (HealthStatus::Degraded, 60),
            CheckStatus::Fail => (HealthStatus::Unhealthy, 0),
        };
        Finding { name: self.name, status, score, detail: self.output }
    }
}

/// Several checks as they were when asked for.
///
/// The [module](super) has an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthReport {
    /// What was asked: whether to restart, or whether to send work.
    pub probe: Probe,
    /// The worst status of all; pass where there is no check.
    pub status: CheckStatus,
    /// The checks that count for it, in the order in which they were registered.
    pub checks: Vec<CheckReport>,
}

impl HealthReport {
    pub(super) fn new(probe: Probe, checks: Vec<CheckReport>) -> Self {
        let status = checks.iter().map(|check| check.status).max().unwrap_or(CheckStatus::Pass);
        Self { probe, status, checks }
    }

    /// Whether the answer is yes. What never passed yet is alive, but not ready.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self.status {
            CheckStatus::Pass | CheckStatus::Warn => true,
            CheckStatus::Pending => self.probe == Probe::Liveness,
            CheckStatus::Fail => false,
        }
    }

    /// 200 for yes, 503 for no.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        if self.passes() { 200 } else { 503 }
    }
}

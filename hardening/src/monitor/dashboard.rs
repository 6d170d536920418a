//! All of it on one page.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use super::performance::{OperationReport, PerformanceStats};
use super::status::HealthStatus;

/// Something besides error rates that says how well we do: a failed check, a value too old.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::monitor::{Finding, HealthDashboard, HealthStatus, PerformanceStats};
///
/// let tip = |_now: Duration| {
///     let (name, detail) = ("tip".into(), "an hour old".into());
///     vec![Finding { name, status: HealthStatus::Unhealthy, score: 0, detail }]
/// };
/// let report = HealthDashboard::new(PerformanceStats::default()).with_findings(tip);
/// assert_eq!(report.report(Duration::ZERO).status, HealthStatus::Unhealthy);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub name: String,
    /// How it is.
    pub status: HealthStatus,
    /// From 0 to 100.
    pub score: u8,
    /// Why, in words; may be empty.
    pub detail: String,
}

type Findings = Arc<dyn Fn(Duration) -> Vec<Finding> + Send + Sync>;

/// Reads the figures of all operations, and whatever else says how well we do.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::monitor::{Finding, HealthDashboard, HealthStatus, PerformanceStats};
///
/// let dashboard = HealthDashboard::new(PerformanceStats::default()).with_findings(|_now| {
///     let status = HealthStatus::Unhealthy;
///     vec![Finding { name: "tip".into(), status, score: 0, detail: "3 hours old".into() }]
/// });
/// let report = dashboard.report(Duration::ZERO);
/// assert_eq!((report.status, report.score), (HealthStatus::Unhealthy, 0));
/// assert!(report.to_string().contains("3 hours old"));
/// ```
#[derive(Clone)]
pub struct HealthDashboard {
    stats: PerformanceStats,
    findings: Vec<Findings>,
}

impl fmt::Debug for HealthDashboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthDashboard")
            .field("stats", &self.stats)
            .field("findings", &self.findings.len())
            .finish()
    }
}

/// The page as it was when asked for.
///
/// The [module](super) has an example.
#[derive(Clone, Debug, PartialEq)]
pub struct DashboardReport {
    /// The worst status of all.
    pub status: HealthStatus,
    /// The lowest score of all: a service does as well as its worst part.
    pub score: u8,
    /// The operations, by name.
    pub operations: Vec<OperationReport>,
    /// What else was found.
    pub findings: Vec<Finding>,
}

impl HealthDashboard {
    /// Reads these figures.
    #[must_use]
    pub fn new(stats: PerformanceStats) -> Self {
        Self { stats, findings: Vec::new() }
    }

    /// Also asks this, whenever a report is made: `HealthRegistry::findings`, say.
    #[must_use]
    pub fn with_findings<F>(mut self, findings: F) -> Self
    where
        F: Fn(Duration) -> Vec<Finding> + Send + Sync + 'static,
    {
        self.findings.push(Arc::new(findings));
        self
    }

    /// The page at `now`.
    #[must_use]
    pub fn report(&self, now: Duration) -> DashboardReport {
        let operations = self.stats.report(now);
        let findings: Vec<_> = self.findings.iter().flat_map(|ask| ask(now)).collect();
        let statuses = operations.iter().map(|one| one.status);
        let statuses = statuses.chain(findings.iter().map(|one| one.status));
        let scores = operations.iter().map(|one| one.score);
        let scores = scores.chain(findings.iter().map(|one| one.score.min(100)));
        DashboardReport {
            status: statuses.max().unwrap_or_default(),
            score: scores.min().unwrap_or(100),
            operations,
            findings,
        }
    }
}

/// A table of fixed width. Names and details are cut, and control characters in them replaced, so
/// that nothing that came from outside moves the cursor of a terminal.
impl fmt::Display for DashboardReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, score {} of 100", self.status.name(), self.score)?;
        if !self.operations.is_empty() {
            writeln!(
                f,
                "{:<20} {:>9} {:>5} {:>8} {:>7} {:>8} {:>8} {:>8} {:>8}  most common error",
                "operation", "status", "score", "calls", "failed", "per s", "p50", "p99", "max"
            )?;
        }
        for one in &self.operations {
            let (errors, latency) = (&one.errors, &one.latency);
            writeln!(
                f,
                "{:<20} {:>9} {:>5} {:>8} {:>6.1}% {:>8.1} {:>8} {:>8} {:>8}  {}",
                plain(&one.name, 20),
                one.status.name(),
                one.score,
                errors.window_calls,
                errors.window_rate() * 100.0,
                one.throughput.recent,
                short(latency.p50),
                short(latency.p99),
                short(latency.max),
                errors.window_by_class.most_common().map_or("-", |class| class.name()),
            )?;
        }
        for one in &self.findings {
            let (name, detail) = (plain(&one.name, 20), plain(&one.detail, 100));
            writeln!(f, "{name:<20} {:>9} {:>5}  {detail}", one.status.name(), one.score)?;
        }
        Ok(())
    }
}

fn plain(text: &str, most: usize) -> String {
    let visible = |c: char| if c.is_control() { '?' } else { c };
    text.chars().take(most).map(visible).collect()
}

/// Three or four digits with a unit.
fn short(time: Duration) -> String {
    let nanos = time.as_nanos();
    let seconds = time.as_secs_f64();
    match nanos {
        0 => "-".into(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{:.1}us", seconds * 1e6),
        1_000_000..1_000_000_000 => format!("{:.1}ms", seconds * 1e3),
        _ => format!("{seconds:.2}s"),
    }
}

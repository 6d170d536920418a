//! How it goes: latencies, errors and throughput of each operation, a status and a score from
//! them, and a report that a human can read.
//!
//! [`Latencies`], [`ErrorRates`] and [`Throughput`] are the pure states. The trackers are the same
//! for many threads: each thread writes to one of a few shards, and reading adds the shards up.
//! [`PerformanceStats`] has all three by the name of an operation; [`MonitorLayer`] feeds them;
//! [`HealthDashboard`] reads them.
//!
//! Everything slides: a window is a ring of time slots, and a slot that has left the window is
//! emptied by the next recording, or not counted by a reading. Nothing has to be read for memory
//! to stay bounded.
//!
//! What an attacker can grow: nothing beyond fixed sizes. A slot of a latency window is a histogram
//! of about 12 KB whatever is recorded; a tracker has `slots * shards` of them at most (6 * 4 by
//! default, so 300 KB), each made when it is first needed. [`PerformanceStats`] keeps
//! [`PerformanceConfig::max_names`] operations; all further names share one, called `other`.
//!
//! ```
//! use core::time::Duration;
//! use ironlight_hardening::ErrorClass;
//! use ironlight_hardening::monitor::{HealthDashboard, HealthStatus, PerformanceStats};
//!
//! let stats = PerformanceStats::default();
//! let fetch = stats.operation("fetch"); // held, so that recording looks nothing up
//! let now = Duration::from_secs(100);
//! for _ in 0..93 {
//!     fetch.record(Duration::from_millis(20), Ok(()), now);
//! }
//! for _ in 0..7 {
//!     fetch.record(Duration::from_secs(1), Err(ErrorClass::Timeout), now);
//! }
//! let report = HealthDashboard::new(stats).report(now);
//! assert_eq!(report.status, HealthStatus::Degraded); // 7 % failed
//! assert!(report.to_string().contains("fetch"));
//! ```

mod dashboard;
mod errors;
mod latency;
mod layer;
mod performance;
mod ring;
mod shards;
mod status;
mod throughput;

#[cfg(test)]
mod layer_tests;
#[cfg(test)]
mod model_tests;

pub use dashboard::{DashboardReport, Finding, HealthDashboard};
pub use errors::{ErrorRateTracker, ErrorRates, ErrorReport, ErrorsByClass, LastError};
pub use latency::{Latencies, LatencyReport, LatencyTracker};
pub(crate) use layer::isolated;
pub use layer::{Monitor, MonitorFuture, MonitorLayer, SlowCall};
pub use performance::{Operation, OperationReport, PerformanceConfig, PerformanceStats};
pub use ring::Window;
pub use status::{HealthPolicy, HealthStatus};
pub use throughput::{Throughput, ThroughputReport, ThroughputTracker};

//! Latency, errors and throughput together, by the name of an operation.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::errors::{ErrorRates, ErrorReport};
use super::latency::{Latencies, LatencyReport, Sum};
use super::ring::Window;
use super::shards::Shards;
use super::status::{HealthPolicy, HealthStatus};
use super::throughput::{Throughput, ThroughputReport};
use crate::error::ErrorClass;

/// What all further names share.
const OTHER: &str = "other";

/// How operations are measured and judged.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::monitor::{PerformanceConfig, PerformanceStats};
///
/// let stats = PerformanceStats::new(PerformanceConfig { max_names: 1, ..Default::default() });
/// stats.operation("fetch");
/// stats.operation("one name too many");
/// assert_eq!(stats.shared_names(), 1);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PerformanceConfig {
    /// How far latencies and errors look back.
    pub window: Window,
    /// How many seconds throughput looks back, from 1 to 59.
    pub seconds: u32,
    /// How many threads record at once, about; from 1 to 64. Memory grows with it.
    pub shards: usize,
    /// How many operations have figures of their own. All further names share one.
    pub max_names: usize,
    /// When counting begins, on the clock of the recordings.
    pub start: Duration,
    /// How errors are judged.
    pub policy: HealthPolicy,
}

impl Default for PerformanceConfig {
    /// A minute in six pieces, 10 seconds of throughput, 4 shards, 64 names.
    fn default() -> Self {
        Self {
            window: Window::default(),
            seconds: 10,
            shards: 4,
            max_names: 64,
            start: Duration::ZERO,
            policy: HealthPolicy::default(),
        }
    }
}

/// One lock for all three: a recording takes it once.
#[derive(Debug)]
struct Measures {
    latencies: Latencies,
    errors: ErrorRates,
    throughput: Throughput,
}

#[derive(Debug)]
struct Inner {
    name: Box<str>,
    shards: Shards<Measures>,
    /// Started minus ended.
    in_flight: AtomicU64,
    cancelled: AtomicU64,
    policy: HealthPolicy,
}

/// The figures of one operation. Clones share them; hold one instead of looking it up each time.
///
/// The [module](super) has an example.
#[derive(Clone, Debug)]
pub struct Operation(Arc<Inner>);

/// An operation as it was when asked for.
///
/// The [module](super) has an example.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationReport {
    /// Its name.
    pub name: String,
    /// Its status, from the errors in the window.
    pub status: HealthStatus,
    /// Its score from 0 to 100, from the errors in the window.
    pub score: u8,
    /// How long it takes.
    pub latency: LatencyReport,
    /// How it fails.
    pub errors: ErrorReport,
    /// How much is done.
    pub throughput: ThroughputReport,
    /// Calls that go on now.
    pub in_flight: u64,
    /// Calls whose caller did not wait for the end. They are in none of the other figures.
    pub cancelled: u64,
}

impl Operation {
    fn new(name: &str, config: &PerformanceConfig) -> Self {
        let shards = Shards::new(config.shards, || Measures {
            latencies: Latencies::new(config.window),
            errors: ErrorRates::new(config.window),
            throughput: Throughput::new(config.seconds, config.start),
        });
        Self(Arc::new(Inner {
            name: name.into(),
            shards,
            in_flight: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            policy: config.policy,
        }))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Records a call that ended at `now` and took so long.
    pub fn record(&self, took: Duration, outcome: Result<(), ErrorClass>, now: Duration) {
        self.0.shards.write(|measures| {
            measures.latencies.record(took, now);
            measures.errors.record(outcome, now);
            measures.throughput.record(1, now);
        });
    }

    /// The figures at `now`.
    #[must_use]
    pub fn report(&self, now: Duration) -> OperationReport {
        let mut latency = Sum::default();
        let mut errors = ErrorReport::default();
        let mut throughput = ThroughputReport::default();
        self.0.shards.each(|measures| {
            latency.add(&measures.latencies, now);
            measures.errors.add_to(&mut errors, now);
            measures.throughput.add_to(&mut throughput, now);
        });
        let policy = &self.0.policy;
        let counted = errors.counted(policy);
        OperationReport {
            name: self.0.name.to_string(),
            status: policy.status(counted, errors.window_calls),
            score: policy.score(counted, errors.window_calls),
            latency: latency.report(),
            errors,
            throughput,
            in_flight: self.0.in_flight.load(Ordering::Relaxed),
            cancelled: self.0.cancelled.load(Ordering::Relaxed),
        }
    }

    /// Forgets everything but the calls that go on; `now` is the new start.
    pub fn reset(&self, now: Duration) {
        self.0.shards.each(|measures| {
            measures.latencies.reset();
            measures.errors.reset();
            measures.throughput.reset(now);
        });
        self.0.cancelled.store(0, Ordering::Relaxed);
    }

    /// A call begins.
    pub(crate) fn enter(&self) {
        self.0.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// A call that was entered is over.
    pub(crate) fn leave(&self, cancelled: bool) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        if cancelled {
            self.0.cancelled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[derive(Debug)]
struct Names {
    config: PerformanceConfig,
    known: Mutex<BTreeMap<Box<str>, Operation>>,
    /// How often a name was asked for that got no figures of its own.
    shared: AtomicU64,
}

/// The figures of all operations, by name. Clones share them.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::monitor::{PerformanceConfig, PerformanceStats};
///
/// let stats = PerformanceStats::new(PerformanceConfig { max_names: 2, ..Default::default() });
/// for name in ["get", "put", "guess1", "guess2"] {
///     stats.operation(name).record(Duration::from_millis(1), Ok(()), Duration::ZERO);
/// }
/// let names: Vec<_> = stats.report(Duration::ZERO).into_iter().map(|one| one.name).collect();
/// assert_eq!(names, ["get", "other", "put"]);
/// ```
#[derive(Clone, Debug)]
pub struct PerformanceStats(Arc<Names>);

impl Default for PerformanceStats {
    fn default() -> Self {
        Self::new(PerformanceConfig::default())
    }
}

impl PerformanceStats {
    /// No operations yet.
    #[must_use]
    pub fn new(config: PerformanceConfig) -> Self {
        Self(Arc::new(Names { config, known: Mutex::default(), shared: AtomicU64::new(0) }))
    }

    /// The operation of this name, made if there is room for it; else the one called `other`.
    ///
    /// Names that come from outside can fill the room: ask for those of the program first.
    #[must_use]
    pub fn operation(&self, name: &str) -> Operation {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(operation) = known.get(name) {
            return operation.clone();
        }
        let own = known.len() - usize::from(known.contains_key(OTHER));
        let name = if name == OTHER || own < self.0.config.max_names {
            name
        } else {
            self.0.shared.fetch_add(1, Ordering::Relaxed);
            OTHER
        };
        let make = || Operation::new(name, &self.0.config);
        known.entry(name.into()).or_insert_with(make).clone()
    }

    /// How often a name was asked for that got no figures of its own.
    #[must_use]
    pub fn shared_names(&self) -> u64 {
        self.0.shared.load(Ordering::Relaxed)
    }

    /// All operations at `now`, by name.
    #[must_use]
    pub fn report(&self, now: Duration) -> Vec<OperationReport> {
        // Copied first: adding up takes microseconds, in which others want to look up.
        let known: Vec<_> = {
            let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.values().cloned().collect()
        };
        known.iter().map(|operation| operation.report(now)).collect()
    }

    /// Forgets all figures, not the names; `now` is the new start.
    pub fn reset(&self, now: Duration) {
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().for_each(|operation| operation.reset(now));
    }
}

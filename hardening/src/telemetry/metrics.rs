//! Numbers for Prometheus.

use core::fmt::{self, Write};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why a metric is not registered.
///
/// ```
/// use ironlight_hardening::telemetry::{MetricError, Metrics};
///
/// let metrics = Metrics::new(10, 10);
/// metrics.counter("calls_total", "Calls.", &[]).unwrap();
/// let conflict = metrics.gauge("calls_total", "Calls.", &[]);
/// assert_eq!(conflict.unwrap_err(), MetricError::Conflict);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricError {
    /// A name, a label or a bucket that the format does not allow.
    Invalid,
    /// The name is there with another kind, other labels or other buckets.
    Conflict,
    /// No room for more metrics, or for more series of this one.
    Full,
}

impl fmt::Display for MetricError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "not a valid name, label or bucket of a metric",
            Self::Conflict => "the metric is there in another form",
            Self::Full => "no room for another metric or series",
        })
    }
}

impl core::error::Error for MetricError {}

/// Goes up only.
///
/// ```
/// use ironlight_hardening::telemetry::Metrics;
///
/// let metrics = Metrics::new(10, 10);
/// let calls = metrics.counter("calls_total", "Calls.", &[("peer", "alice")]).unwrap();
/// calls.add(2);
/// assert_eq!(calls.get(), 2);
/// assert!(metrics.render().contains("calls_total{peer=\"alice\"} 2"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Counts so many.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// What was counted.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Goes up and down.
///
/// ```
/// use ironlight_hardening::telemetry::Metrics;
///
/// let peers = Metrics::new(10, 10).gauge("peers", "Peers.", &[]).unwrap();
/// peers.set(3.0);
/// peers.add(-1.0);
/// assert_eq!(peers.get(), 2.0);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// It is so much now.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Changes it by so much.
    pub fn add(&self, value: f64) {
        add_to(&*self.0, value);
    }

    /// How much it is.
    #[must_use]
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// What is asked of an atomic word, so that loom's can take its place in tests.
/// Nothing else is published by a sum, so no order is needed.
trait Word {
    fn load(&self) -> u64;
    fn compare_exchange(&self, old: u64, new: u64) -> Result<u64, u64>;
}

impl Word for AtomicU64 {
    fn load(&self) -> u64 {
        self.load(Ordering::Relaxed)
    }

    fn compare_exchange(&self, old: u64, new: u64) -> Result<u64, u64> {
        self.compare_exchange_weak(old, new, Ordering::Relaxed, Ordering::Relaxed)
    }
}

fn add_to(bits: &impl Word, value: f64) {
    let mut now = bits.load();
    while let Err(other) = bits.compare_exchange(now, (f64::from_bits(now) + value).to_bits()) {
        now = other;
    }
}

/// Counts values by size. A scrape during [`Self::observe`] may see it in part.
///
/// ```
/// use ironlight_hardening::telemetry::Metrics;
///
/// let metrics = Metrics::new(10, 10);
/// let took = metrics.histogram("took_seconds", "Time.", &[], &[0.1, 1.0]).unwrap();
/// took.observe(0.5);
/// assert_eq!(took.count(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    bounds: Vec<f64>,
    /// One more than bounds: what is above all.
    counts: Vec<AtomicU64>,
    sum: AtomicU64,
}

impl Histogram {
    fn new(bounds: &[f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Buckets { bounds: bounds.to_vec(), counts, sum: AtomicU64::new(0) }))
    }

    /// Counts a value into the first bucket whose bound is not below it.
    pub fn observe(&self, value: f64) {
        let index = self.0.bounds.iter().position(|&bound| value <= bound);
        if let Some(count) = self.0.counts.get(index.unwrap_or(self.0.bounds.len())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        add_to(&self.0.sum, value);
    }

    /// How many values were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

#[derive(Clone, Debug)]
enum Series {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

#[derive(Debug)]
struct Family {
    help: String,
    kind: &'static str,
    names: Vec<String>,
    bounds: Vec<f64>,
    /// By their written labels.
    series: BTreeMap<String, Series>,
}

/// The metrics of a program: register once, keep the handle, count with it. The same name and
/// labels give the same handle. Clones share all.
///
/// ```
/// use ironlight_hardening::telemetry::Metrics;
///
/// let metrics = Metrics::new(100, 50);
/// let good = metrics.counter("requests_total", "Requests.", &[("answer", "ok")]).unwrap();
/// good.add(2);
/// let text = "# HELP requests_total Requests.\n# TYPE requests_total counter\n\
///             requests_total{answer=\"ok\"} 2\n";
/// assert_eq!(metrics.render(), text);
/// ```
#[derive(Clone, Debug)]
pub struct Metrics {
    families: Arc<Mutex<BTreeMap<String, Family>>>,
    max_families: usize,
    max_series: usize,
}

type Labels<'a> = [(&'a str, &'a str)];

impl Metrics {
    /// So many metrics at most, with so many combinations of labels each.
    #[must_use]
    pub fn new(max_families: usize, max_series: usize) -> Self {
        Self { families: Arc::default(), max_families, max_series }
    }

    /// A counter; by custom its name ends in `_total`.
    ///
    /// # Errors
    /// [`MetricError`].
    pub fn counter(
        &self,
        name: &str,
        help: &str,
        labels: &Labels<'_>,
    ) -> Result<Counter, MetricError> {
        let make = || Series::Counter(Counter::default());
        match self.series((name, help, "counter"), labels, &[], make)? {
            Series::Counter(counter) => Ok(counter),
            Series::Gauge(_) | Series::Histogram(_) => Err(MetricError::Conflict),
        }
    }

    /// A gauge.
    ///
    /// # Errors
    /// [`MetricError`].
    pub fn gauge(&self, name: &str, help: &str, labels: &Labels<'_>) -> Result<Gauge, MetricError> {
        let make = || Series::Gauge(Gauge::default());
        match self.series((name, help, "gauge"), labels, &[], make)? {
            Series::Gauge(gauge) => Ok(gauge),
            Series::Counter(_) | Series::Histogram(_) => Err(MetricError::Conflict),
        }
    }

    /// A histogram with rising finite bounds, 1 to 64; the bucket for what is above comes by
    /// itself.
    ///
    /// # Errors
    /// [`MetricError`].
    pub fn histogram(
        &self,
        name: &str,
        help: &str,
        labels: &Labels<'_>,
        bounds: &[f64],
    ) -> Result<Histogram, MetricError> {
        let rising = bounds.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
        let finite = bounds.iter().all(|bound| bound.is_finite());
        let le = labels.iter().any(|&(label, _)| label == "le");
        if !rising || !finite || le || !(1..=64).contains(&bounds.len()) {
            return Err(MetricError::Invalid);
        }
        let make = || Series::Histogram(Histogram::new(bounds));
        match self.series((name, help, "histogram"), labels, bounds, make)? {
            Series::Histogram(histogram) => Ok(histogram),
            Series::Counter(_) | Series::Gauge(_) => Err(MetricError::Conflict),
        }
    }

    fn series(
        &self,
        (name, help, kind): (&str, &str, &'static str),
        labels: &Labels<'_>,
        bounds: &[f64],
        make: impl FnOnce() -> Series,
    ) -> Result<Series, MetricError> {
        let good_labels =
            labels.iter().all(|&(label, _)| is_name(label, "_") && !label.starts_with("__"));
        let mut names: Vec<_> = labels.iter().map(|&(label, _)| label.to_owned()).collect();
        names.sort_unstable();
        if !is_name(name, "_:")
            || !good_labels
            || names.windows(2).any(|pair| matches!(pair, [a, b] if a == b))
        {
            return Err(MetricError::Invalid);
        }
        let mut families = self.lock();
        if families.len() >= self.max_families && !families.contains_key(name) {
            return Err(MetricError::Full);
        }
        if self.max_series == 0 {
            return Err(MetricError::Full);
        }
        let family = families.entry(name.to_owned()).or_insert_with(|| Family {
            help: escape(help, false),
            kind,
            names: names.clone(),
            bounds: bounds.to_vec(),
            series: BTreeMap::new(),
        });
        if family.kind != kind || family.names != names || family.bounds != bounds {
            return Err(MetricError::Conflict);
        }
        let written = write_labels(labels);
        if family.series.len() >= self.max_series && !family.series.contains_key(&written) {
            return Err(MetricError::Full);
        }
        Ok(family.series.entry(written).or_insert_with(make).clone())
    }

    /// All of them in Prometheus' text format, version 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        for (name, family) in &*self.lock() {
            // Writing to a string does not fail.
            let _ = write_family(&mut out, name, family);
        }
        out
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Family>> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_family(out: &mut String, name: &str, family: &Family) -> fmt::Result {
    writeln!(out, "# HELP {name} {}", family.help)?;
    writeln!(out, "# TYPE {name} {}", family.kind)?;
    for (labels, series) in &family.series {
        let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        match series {
            Series::Counter(counter) => writeln!(out, "{name}{braces} {}", counter.get())?,
            Series::Gauge(gauge) => writeln!(out, "{name}{braces} {}", number(gauge.get()))?,
            Series::Histogram(histogram) => {
                let comma = if labels.is_empty() { "" } else { "," };
                let bounds = histogram.0.bounds.iter().copied().chain([f64::INFINITY]);
                let mut below = 0;
                for (bound, count) in bounds.zip(&histogram.0.counts) {
                    below += count.load(Ordering::Relaxed);
                    let bound = number(bound);
                    writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {below}")?;
                }
                let sum = f64::from_bits(histogram.0.sum.load(Ordering::Relaxed));
                writeln!(out, "{name}_sum{braces} {}", number(sum))?;
                writeln!(out, "{name}_count{braces} {below}")?;
            }
        }
    }
    Ok(())
}

fn number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    value.to_string()
}

fn is_name(name: &str, others: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    (1..=256).contains(&name.len())
        && name.chars().all(good)
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn write_labels(labels: &Labels<'_>) -> String {
    let mut sorted = labels.to_vec();
    sorted.sort_unstable();
    let pairs = sorted.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value, true)));
    pairs.collect::<Vec<_>>().join(",")
}

fn escape(text: &str, quotes: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if quotes { text.replace('"', "\\\"") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loom::sync::atomic::AtomicU64 as Loom;

    impl Word for Loom {
        fn load(&self) -> u64 {
            self.load(Ordering::Relaxed)
        }

        fn compare_exchange(&self, old: u64, new: u64) -> Result<u64, u64> {
            self.compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed)
        }
    }

    #[test]
    fn no_part_of_a_sum_is_lost_in_any_interleaving() {
        loom::model(|| {
            let sum = loom::sync::Arc::new(Loom::new(0.0_f64.to_bits()));
            let others = [0.5, 4.0].map(|value| {
                let sum = loom::sync::Arc::clone(&sum);
                loom::thread::spawn(move || add_to(&*sum, value))
            });
            add_to(&*sum, 1.0);
            others.into_iter().for_each(|other| other.join().unwrap());
            assert_eq!(sum.load(Ordering::Relaxed), 5.5_f64.to_bits());
        });
    }
}

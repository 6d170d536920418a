//! What it costs to measure an operation, and to read the figures.

#![allow(clippy::panic, reason = "a bench that cannot start ends")]

#[allow(dead_code, reason = "not every bench has a use for all of it")]
mod figures;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use figures::{Figures, config, scattered};
use hdrhistogram::Histogram;
use ironlight_hardening::monitor::{
    ErrorRateTracker, LatencyTracker, PerformanceStats, ThroughputTracker, Window,
};

const NOW: Duration = Duration::from_secs(100);
const QUANTILES: [f64; 4] = [0.5, 0.95, 0.99, 0.999];

/// Mostly a fifth of a millisecond, now and then up to a second.
fn took(number: u64) -> Duration {
    let random = scattered(number);
    Duration::from_nanos(100_000 + random % 200_000 + (random >> 32) % (1 << (random % 30)))
}

/// A histogram of the same reach and resolution as ours, under a lock, for many threads.
fn histogram() -> Mutex<Histogram<u64>> {
    match Histogram::new_with_bounds(64, 60_000_000_000, 2) {
        Ok(histogram) => Mutex::new(histogram),
        Err(error) => panic!("{error}"),
    }
}

fn record(histogram: &Mutex<Histogram<u64>>, took: Duration) {
    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    histogram.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(nanos);
}

/// Percentiles, minimum, maximum and mean, as ours, theirs, and sorted by hand have them.
fn assert_equal_percentiles() {
    for seed in 0..20 {
        let (ours, theirs) = (LatencyTracker::new(Window::default(), 4), histogram());
        let mut sorted: Vec<Duration> =
            (0..20_000).map(|number| took(seed << 32 | number)).collect();
        for took in &sorted {
            ours.record(*took, NOW);
            record(&theirs, *took);
        }
        sorted.sort_unstable();
        let report = ours.report(NOW);
        let theirs = theirs.into_inner().unwrap_or_else(PoisonError::into_inner);
        let ours = [report.p50, report.p95, report.p99, report.p999];
        for (quantile, ours) in QUANTILES.into_iter().zip(ours) {
            let theirs = Duration::from_nanos(theirs.value_at_quantile(quantile));
            // Ours is cut at the exact maximum.
            assert_eq!(ours, theirs.min(report.max), "seed {seed}, {quantile}");
            let exact = sorted.get(rank(quantile, sorted.len())).copied().unwrap_or_default();
            let error = ours.abs_diff(exact).as_secs_f64() / exact.as_secs_f64();
            assert!(error <= 0.01, "seed {seed}, {quantile}: {ours:?}, not {exact:?}");
        }
        assert_eq!(Some(&report.min), sorted.first());
        assert_eq!(Some(&report.max), sorted.last());
        assert_eq!(report.count, theirs.len());
    }
}

/// The place in a sorted list.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a small list"
)]
fn rank(quantile: f64, len: usize) -> usize {
    ((quantile * len as f64).ceil() as usize).saturating_sub(1)
}

fn monitor(criterion: &mut Criterion) {
    assert_equal_percentiles();
    let mut figures = Figures::new(criterion, "hardening_monitor");
    recording(&mut figures);
    reading(&mut figures);
    two_threads(&mut figures);
    figures.finish();
}

fn recording(figures: &mut Figures<'_>) {
    figures.section("a latency; the time is given");
    let ours = LatencyTracker::new(Window::default(), 4);
    figures
        .time("ironlight, sliding, with exact extremes", |number| ours.record(took(number), NOW));
    let theirs = histogram();
    figures.time("hdrhistogram under a mutex, not sliding", |number| record(&theirs, took(number)));
    figures.section("latency, error and throughput");
    let operation = PerformanceStats::default().operation("fetch");
    figures.time("ironlight, an operation", |number| operation.record(took(number), Ok(()), NOW));
    let (latency, errors, throughput) = apart();
    figures.time("ironlight, three trackers", |number| {
        latency.record(took(number), NOW);
        errors.record(Ok(()), NOW);
        throughput.record(1, NOW);
    });
}

fn apart() -> (LatencyTracker, ErrorRateTracker, ThroughputTracker) {
    (
        LatencyTracker::new(Window::default(), 4),
        ErrorRateTracker::new(Window::default(), 4),
        ThroughputTracker::new(10, 4, Duration::ZERO),
    )
}

fn reading(figures: &mut Figures<'_>) {
    figures.section("four percentiles of 100,000");
    let (ours, theirs) = (LatencyTracker::new(Window::default(), 4), histogram());
    for number in 0..100_000 {
        ours.record(took(number), NOW);
        record(&theirs, took(number));
    }
    figures.time("ironlight, all shards added up", |_| ours.report(NOW).p99);
    figures.time("hdrhistogram, read in place", |_| {
        let theirs = theirs.lock().unwrap_or_else(PoisonError::into_inner);
        QUANTILES.map(|quantile| theirs.value_at_quantile(quantile))
    });
}

fn two_threads(figures: &mut Figures<'_>) {
    figures.section("a latency, two threads");
    let ours = LatencyTracker::new(Window::default(), 4);
    figures.contended("ironlight, two threads", |number| ours.record(took(number), NOW));
    let theirs = histogram();
    figures.contended("hdrhistogram under a mutex, two threads", |number| {
        record(&theirs, took(number));
    });
}

criterion_group! { name = benches; config = config(); targets = monitor }
criterion_main!(benches);

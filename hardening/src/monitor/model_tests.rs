//! Naive models: lists of everything that happened, looked through from the start each time.

use super::*;
use crate::error::ErrorClass;
use crate::testing::Numbers;
use core::time::Duration;

/// What a window of slots covers: the slot of `now` and those before it.
fn covered(at: u64, now: u64, slot: u64, slots: u64) -> bool {
    at / slot + slots > now / slot
}

struct NaiveLatencies {
    all: Vec<(u64, u64)>,
    slot: u64,
    slots: u64,
}

impl NaiveLatencies {
    fn window(&self, now: u64) -> Vec<u64> {
        let live = self.all.iter().filter(|(at, _)| covered(*at, now, self.slot, self.slots));
        let mut values: Vec<_> = live.map(|(_, took)| *took).collect();
        values.sort_unstable();
        values
    }

    fn check(&self, report: &LatencyReport, now: u64, seed: u64) {
        let values = self.window(now);
        assert_eq!(report.count, values.len() as u64, "seed {seed} at {now}");
        let mean = |values: &[u64]| {
            let sum: u128 = values.iter().map(|value| u128::from(*value)).sum();
            u64::try_from(sum / values.len().max(1) as u128).unwrap()
        };
        assert_eq!(report.mean, Duration::from_nanos(mean(&values)), "seed {seed} at {now}");
        let (first, last) = (values.first(), values.last());
        assert_eq!(report.min, Duration::from_nanos(first.copied().unwrap_or(0)));
        assert_eq!(report.max, Duration::from_nanos(last.copied().unwrap_or(0)));
        let all: Vec<_> = self.all.iter().map(|(_, took)| *took).collect();
        assert_eq!(report.overall_count, all.len() as u64);
        assert_eq!(report.overall_mean, Duration::from_nanos(mean(&all)));
        assert_eq!(report.overall_max, Duration::from_nanos(*all.iter().max().unwrap_or(&0)));
        assert_eq!(report.overall_min, Duration::from_nanos(*all.iter().min().unwrap_or(&0)));
        let shares = [(500, report.p50), (950, report.p95), (990, report.p99), (999, report.p999)];
        for (thousandths, ours) in shares {
            let rank = (values.len() * thousandths).div_ceil(1000).max(1);
            let exact = values.get(rank - 1).copied().unwrap_or(0);
            let ours = u64::try_from(ours.as_nanos()).unwrap();
            assert!(
                ours.abs_diff(exact) <= 64 + exact / 100,
                "seed {seed} at {now}: {ours} for {exact} at {thousandths}"
            );
        }
    }
}

#[test]
fn latencies_are_those_of_a_list_of_all() {
    for seed in 0..40 {
        let mut numbers = Numbers(seed);
        let (slot, slots) = (1 + numbers.below(2000), 1 + numbers.below(8));
        let window = Window {
            span: Duration::from_nanos(slot * slots),
            slots: u32::try_from(slots).unwrap(),
        };
        let mut naive = NaiveLatencies { all: Vec::new(), slot, slots };
        let mut state = Latencies::new(window);
        let tracker = LatencyTracker::new(window, 3);
        let mut now = 0;
        for step in 0..3000 {
            now +=
                if numbers.below(100) == 0 { numbers.below(slot * 12) } else { numbers.below(20) };
            let bits = numbers.below(35);
            let took = numbers.below(1 << bits);
            let (took_, now_) = (Duration::from_nanos(took), Duration::from_nanos(now));
            naive.all.push((now, took));
            state.record(took_, now_);
            tracker.record(took_, now_);
            if step % 150 == 0 {
                let later = now + numbers.below(slot * (slots + 2));
                let report = state.report(Duration::from_nanos(later));
                naive.check(&report, later, seed);
                assert_eq!(tracker.report(Duration::from_nanos(later)), report);
            }
        }
    }
}

const SOME: [ErrorClass; 6] = [
    ErrorClass::Overloaded,
    ErrorClass::Timeout,
    ErrorClass::Permanent,
    ErrorClass::RateLimited { retry_after: Some(Duration::from_secs(1)) },
    ErrorClass::CircuitOpen,
    ErrorClass::Temporary,
];

#[test]
fn errors_are_those_of_a_list_of_all() {
    for seed in 0..40 {
        let mut numbers = Numbers(seed);
        let (slot, slots) = (1 + numbers.below(100), 1 + numbers.below(8));
        let span = Duration::from_nanos(slot * slots);
        let mut state = ErrorRates::new(Window { span, slots: u32::try_from(slots).unwrap() });
        let mut all: Vec<(u64, Option<ErrorClass>)> = Vec::new();
        let mut now = 0;
        for step in 0..3000 {
            let step_end = if numbers.below(50) == 0 { slot * 12 } else { 5 };
            now += numbers.below(step_end);
            let failed = numbers.below(3) == 0;
            let class = failed.then(|| SOME[usize::try_from(numbers.below(6)).unwrap()]);
            state.record(class.map_or(Ok(()), Err), Duration::from_nanos(now));
            all.push((now, class));
            if numbers.below(1500) == 0 {
                state.reset();
                all.clear();
            }
            if step % 40 != 0 {
                continue;
            }
            let later = now + numbers.below(slot * (slots + 2));
            let report = state.report(Duration::from_nanos(later));
            let live: Vec<_> =
                all.iter().filter(|(at, _)| covered(*at, later, slot, slots)).collect();
            assert_eq!(report.calls, all.len() as u64);
            assert_eq!(report.window_calls, live.len() as u64, "seed {seed} at {now}");
            for class in SOME {
                let same = |found: &Option<ErrorClass>| {
                    found.is_some_and(|found| found.name() == class.name())
                };
                let total = all.iter().filter(|(_, found)| same(found)).count();
                assert_eq!(report.by_class.of(class), total as u64);
                let recent = live.iter().filter(|(_, found)| same(found)).count();
                assert_eq!(report.window_by_class.of(class), recent as u64);
                let most = report.most_common().map_or(0, |most| report.by_class.of(most));
                assert!(most >= total as u64);
            }
            let last = all.iter().rev().find_map(|(at, class)| class.map(|class| (*at, class)));
            let ours = report.last.map(|last| (last.at, last.class));
            assert_eq!(ours, last.map(|(at, class)| (Duration::from_nanos(at), class)));
        }
    }
}

#[test]
fn throughput_is_that_of_a_list_of_all() {
    const SECOND: u64 = 1_000_000_000;
    for seed in 0..40 {
        let mut numbers = Numbers(seed);
        let seconds = 1 + numbers.below(59);
        let start = numbers.below(100 * SECOND);
        let start_ = Duration::from_nanos(start);
        let mut state = Throughput::new(u32::try_from(seconds).unwrap(), start_);
        let mut all: Vec<(u64, u64)> = Vec::new();
        let mut now = start;
        for _ in 0..3000 {
            let end = if numbers.below(300) == 0 { 100 * SECOND } else { SECOND / 10 };
            now += numbers.below(end);
            let done = numbers.below(10);
            state.record(done, Duration::from_nanos(now));
            all.push((now, done));
            let later = now + numbers.below(3) * numbers.below(30 * SECOND);
            let report = state.report(Duration::from_nanos(later));
            let from = (later / SECOND).saturating_sub(seconds) * SECOND;
            let recent: u64 =
                all.iter().rev().take_while(|(at, _)| *at >= from).map(|(_, done)| done).sum();
            assert_eq!(report.recent_total, recent, "seed {seed} at {now}");
            let time = Duration::from_nanos(later - from.max(start)).as_secs_f64().max(1.0);
            assert!((report.recent - recent as f64 / time).abs() < 1e-9, "seed {seed} at {now}");
        }
        assert_eq!(
            state.report(Duration::from_nanos(now)).total,
            all.iter().map(|one| one.1).sum::<u64>()
        );
    }
}

#[test]
fn a_window_slides_piece_by_piece_without_being_read() {
    let second = Duration::from_secs(1);
    let mut errors = ErrorRates::new(Window { span: 4 * second, slots: 4 });
    for _ in 0..100_000 {
        errors.record(Ok(()), second / 2);
    }
    for at in 1..=4 {
        errors.record(Err(ErrorClass::Timeout), second * at);
    }
    let report = errors.report(4 * second);
    assert_eq!((report.window_calls, report.window_rate()), (4, 1.0));
    assert_eq!(errors.report(6 * second).window_calls, 2);
    assert_eq!(errors.report(8 * second).window_calls, 0);
    assert_eq!(report.calls, 100_004);
}

#[test]
fn a_clock_that_goes_back_loses_nothing() {
    let second = Duration::from_secs(1);
    let mut latencies = Latencies::new(Window { span: 4 * second, slots: 4 });
    latencies.record(second, 100 * second);
    latencies.record(second, 3 * second);
    assert_eq!(latencies.report(100 * second).count, 2);
    assert_eq!(latencies.report(3 * second).count, 2);
}

#[test]
fn what_takes_longer_than_the_histogram_knows_is_still_the_longest() {
    let mut latencies = Latencies::new(Window::default());
    latencies.record(Duration::MAX, Duration::ZERO);
    latencies.record(Duration::from_secs(3600), Duration::MAX);
    let report = latencies.report(Duration::MAX);
    assert_eq!(report.max, Duration::from_secs(3600));
    assert_eq!(report.overall_max, Duration::from_nanos(u64::MAX));
    assert_eq!(report.p50, Duration::from_secs(3600));
}

#[test]
fn threads_record_apart_and_are_read_together() {
    let stats = PerformanceStats::default();
    let operation = stats.operation("work");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    let outcome = Err(ErrorClass::Temporary);
                    operation.record(Duration::from_micros(5), outcome, Duration::from_secs(1));
                }
            });
        }
    });
    let report = stats.operation("work").report(Duration::from_secs(1));
    assert_eq!((report.latency.count, report.errors.total()), (8000, 8000));
    assert_eq!((report.status, report.score), (HealthStatus::Unhealthy, 0));
    operation.reset(Duration::from_secs(2));
    assert_eq!(operation.report(Duration::from_secs(2)).errors.calls, 0);
}

#[test]
fn a_million_names_are_a_few_operations() {
    let stats = PerformanceStats::default();
    for number in 0..1_000_000_u32 {
        let operation = stats.operation(&number.to_string());
        operation.record(Duration::from_millis(1), Ok(()), Duration::ZERO);
    }
    let report = stats.report(Duration::ZERO);
    assert_eq!(report.len(), 65);
    let other = report.iter().find(|one| one.name == "other").unwrap();
    assert_eq!(other.errors.calls, 1_000_000 - 64);
    assert_eq!(stats.shared_names(), 1_000_000 - 64);
}

#[test]
fn the_last_error_is_the_last_of_all_threads() {
    let second = Duration::from_secs(1);
    for order in [[3, 5], [5, 3]] {
        let tracker = ErrorRateTracker::new(Window::default(), 64);
        for at in order {
            std::thread::scope(|scope| {
                scope.spawn(|| tracker.record(Err(ErrorClass::Timeout), at * second));
            });
        }
        let report = tracker.report(5 * second);
        assert_eq!((report.total(), report.last.map(|last| last.at)), (2, Some(5 * second)));
    }
}

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::io::ErrorKind;
use std::sync::{Arc, Barrier, Mutex};

use super::*;
use crate::{Error, ManualClock, Rejected};

const SECOND: Duration = Duration::from_secs(1);
const ZERO: Duration = Duration::ZERO;

fn only_rates(window: Window) -> BreakerConfig {
    BreakerConfig { consecutive_failures: None, window, ..BreakerConfig::default() }
}

fn fail(breaker: &CircuitBreaker, times: u32, now: Duration) {
    for _ in 0..times {
        breaker.permit(now).unwrap().finish(Outcome::Failure, now);
    }
}

fn succeed(breaker: &CircuitBreaker, times: u32, now: Duration) {
    for _ in 0..times {
        breaker.permit(now).unwrap().finish(Outcome::Success, now);
    }
}

/// Open until 60 s and a little, half-open from then on.
fn half_open_at(breaker: &CircuitBreaker, now: Duration) {
    fail(breaker, 5, ZERO);
    drop(breaker.permit(now).unwrap());
    assert_eq!(breaker.state(), CircuitState::HalfOpen);
}

#[test]
fn a_hundred_thousand_successes_long_ago_do_not_hide_failures_of_now() {
    let time = Window::Time { length: 10 * SECOND, slices: 10 };
    for (window, failures) in [(Window::Calls(100), 50), (time, 10)] {
        let breaker = CircuitBreaker::new(only_rates(window), 1);
        succeed(&breaker, 100_000, SECOND);
        fail(&breaker, failures - 1, 20 * SECOND);
        assert!(breaker.is_closed());
        fail(&breaker, 1, 20 * SECOND);
        assert_eq!(breaker.state(), CircuitState::Open);
    }
}

#[test]
fn the_window_of_calls_forgets_exactly_the_oldest() {
    let breaker = CircuitBreaker::new(only_rates(Window::Calls(10)), 1);
    fail(&breaker, 4, ZERO);
    succeed(&breaker, 6, ZERO);
    for left in (0..4).rev() {
        succeed(&breaker, 1, ZERO);
        assert_eq!(breaker.status(ZERO).window, Tally { calls: 10, failures: left, slow: 0 });
    }
}

#[test]
fn the_window_of_time_slides_by_slices_and_not_at_once() {
    let window = Window::Time { length: 10 * SECOND, slices: 10 };
    let breaker = CircuitBreaker::new(only_rates(window), 1);
    for second in 0..9 {
        fail(&breaker, 1, second * SECOND);
    }
    let failures = |second| breaker.status(second * SECOND).window.failures;
    assert_eq!(failures(9), 9);
    assert_eq!(
        [failures(10), failures(11), failures(15), failures(18), failures(19)],
        [8, 7, 3, 0, 0]
    );
}

#[test]
fn a_success_is_judged_by_a_window_that_slid_when_somebody_looked() {
    let window = Window::Time { length: 2 * SECOND, slices: 2 };
    let config =
        BreakerConfig { minimum_calls: 2, failure_percent: Some(60), ..only_rates(window) };
    let breaker = CircuitBreaker::new(config, 1);
    succeed(&breaker, 3, SECOND / 2);
    fail(&breaker, 3, SECOND * 3 / 2);
    succeed(&breaker, 1, SECOND * 3 / 2);
    let seen = breaker.status(SECOND * 21 / 10);
    assert_eq!(
        (seen.state, seen.window),
        (CircuitState::Closed, Tally { calls: 4, failures: 3, slow: 0 })
    );
    // Three of five: the first successes are not in the window any more.
    succeed(&breaker, 1, SECOND * 22 / 10);
    assert_eq!(breaker.state(), CircuitState::Open);
}

#[test]
fn few_calls_are_no_rate_and_many_slow_ones_open() {
    let slow_calls = Some(SlowCalls { from: SECOND, percent: 40 });
    let config = BreakerConfig { slow_calls, ..only_rates(Window::Calls(20)) };
    let breaker = CircuitBreaker::new(config, 1);
    fail(&breaker, 4, ZERO);
    succeed(&breaker, 4, ZERO);
    assert!(breaker.is_closed(), "8 calls of the 10 that make a rate");
    breaker.reset(ZERO);
    succeed(&breaker, 6, ZERO);
    for _ in 0..4 {
        let permit = breaker.permit(ZERO).unwrap();
        permit.finish(Outcome::Success, SECOND);
    }
    assert_eq!(breaker.state(), CircuitState::Open);
}

#[test]
fn half_open_lets_no_more_through_than_its_permits_under_64_callers() {
    for round in 0..50 {
        let breaker = CircuitBreaker::new(BreakerConfig::default(), round);
        fail(&breaker, 5, ZERO);
        let (start, end) = (Barrier::new(64), Barrier::new(64));
        let granted = AtomicU32::new(0);
        std::thread::scope(|threads| {
            for _ in 0..64 {
                threads.spawn(|| {
                    start.wait();
                    let permit = breaker.permit(70 * SECOND);
                    granted.fetch_add(u32::from(permit.is_ok()), Ordering::Relaxed);
                    end.wait();
                });
            }
        });
        assert_eq!(granted.load(Ordering::Relaxed), 3);
        assert_eq!(breaker.status(70 * SECOND).probes, 0, "all were dropped");
    }
}

#[test]
fn a_result_from_an_earlier_epoch_changes_nothing() {
    let breaker = CircuitBreaker::new(BreakerConfig::default(), 1);
    let before = breaker.permit(ZERO).unwrap();
    half_open_at(&breaker, 70 * SECOND);
    let probe = breaker.permit(70 * SECOND).unwrap();
    let other = breaker.permit(70 * SECOND).unwrap();
    other.finish(Outcome::Failure, 71 * SECOND);
    let open = breaker.status(71 * SECOND);
    probe.finish(Outcome::Success, 71 * SECOND);
    before.finish(Outcome::Success, 71 * SECOND);
    assert_eq!(breaker.status(71 * SECOND), BreakerStatus { late: 2, ..open });

    // Half-open again: a probe of the first time must not free a place of the second.
    let again = Duration::from_secs(71 + 140);
    let old = breaker.permit(again).unwrap();
    breaker.isolate(again);
    breaker.reset(again);
    fail(&breaker, 5, again);
    let later = again + 70 * SECOND;
    let probes: Vec<_> = (0..3).map(|_| breaker.permit(later).unwrap()).collect();
    drop(old);
    assert!(breaker.permit(later).is_err());
    drop(probes);
    assert!(breaker.permit(later).is_ok());
}

#[test]
fn enough_good_probes_close_it_and_a_bad_one_doubles_the_time() {
    let config = BreakerConfig { jitter_percent: 0, ..BreakerConfig::default() };
    let breaker = CircuitBreaker::new(config, 1);
    half_open_at(&breaker, 60 * SECOND);
    fail(&breaker, 1, 60 * SECOND);
    for (failed, wait) in [(60, 120), (180, 240), (420, 480), (900, 600), (1500, 600)] {
        let (failed, wait) = (failed * SECOND, wait * SECOND);
        assert_eq!(breaker.status(failed).retry_after, Some(wait));
        assert_eq!(breaker.refuses(failed + wait - SECOND), Some(SECOND));
        fail(&breaker, 1, failed + wait);
    }
    let now = 3000 * SECOND;
    succeed(&breaker, 1, now);
    assert_eq!(breaker.state(), CircuitState::HalfOpen);
    succeed(&breaker, 1, now);
    assert_eq!(breaker.status(now).trips, 0);
    fail(&breaker, 5, now);
    assert_eq!(breaker.status(now).retry_after, Some(60 * SECOND), "it begins anew");
}

#[test]
fn breakers_that_open_together_do_not_probe_together() {
    let mut waits: Vec<_> = (0..100)
        .map(|seed| {
            let breaker = CircuitBreaker::new(BreakerConfig::default(), seed);
            fail(&breaker, 5, ZERO);
            breaker.status(ZERO).retry_after.unwrap()
        })
        .collect();
    waits.sort_unstable();
    waits.dedup();
    assert_eq!(waits.len(), 100);
    assert!(waits[0] >= 60 * SECOND && waits[99] <= 66 * SECOND);
    assert!(waits[99] - waits[0] > 4 * SECOND);
}

#[test]
fn probes_that_never_come_back_count_as_failed() {
    let breaker = CircuitBreaker::new(BreakerConfig::default(), 1);
    half_open_at(&breaker, 70 * SECOND);
    let lost: Vec<_> = (0..3).map(|_| breaker.permit(70 * SECOND).unwrap()).collect();
    assert_eq!(breaker.refuses(100 * SECOND), Some(30 * SECOND));
    assert!(breaker.permit(130 * SECOND).is_err());
    assert_eq!(breaker.status(130 * SECOND).trips, 2);
    assert!(breaker.permit(270 * SECOND).is_ok());
    drop(lost);
}

#[test]
fn isolated_stays_open_until_it_is_reset() {
    let breaker = CircuitBreaker::new(BreakerConfig::default(), 1);
    breaker.isolate(ZERO);
    let refused = breaker.permit(1_000_000 * SECOND).map(|_| ());
    assert_eq!(refused, Err(Rejected::CircuitOpen { retry_after: Duration::MAX }));
    assert!(breaker.status(SECOND).isolated);
    breaker.reset(SECOND);
    assert!(breaker.permit(SECOND).is_ok());
}

#[test]
fn listeners_hear_each_change_and_one_that_panics_harms_nobody() {
    let breaker = CircuitBreaker::new(BreakerConfig::default(), 1);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (ours, again) = (Arc::clone(&heard), breaker.clone());
    breaker.on_transition(|_| panic!("a broken listener"));
    // It may use the breaker: nothing is locked while listeners are told.
    breaker.on_transition(move |change| {
        assert_eq!(again.status(change.at).generation, change.generation);
        ours.lock().unwrap().push((change.generation, change.to, change.cause));
    });
    half_open_at(&breaker, 70 * SECOND);
    succeed(&breaker, 2, 70 * SECOND);
    assert_eq!(
        *heard.lock().unwrap(),
        [
            (1, CircuitState::Open, Cause::ConsecutiveFailures),
            (2, CircuitState::HalfOpen, Cause::OpenTimeOver),
            (3, CircuitState::Closed, Cause::ProbesSucceeded),
        ]
    );
    assert_eq!(breaker.listener_panics(), 3);
}

#[test]
fn a_closure_is_called_until_the_breaker_opens() {
    let (breaker, clock) =
        (CircuitBreaker::new(BreakerConfig::default(), 1), ManualClock::default());
    let mut calls = 0;
    for _ in 0..20 {
        let _ = breaker.call(&clock, || {
            calls += 1;
            Err::<(), _>(Error::Inner(std::io::Error::from(ErrorKind::TimedOut)))
        });
    }
    assert_eq!(calls, 5);
}

#[test]
fn no_call_of_many_threads_is_lost() {
    let window = Window::Time { length: 100 * SECOND, slices: 100 };
    let config = BreakerConfig { failure_percent: None, ..only_rates(window) };
    let breaker = CircuitBreaker::new(config, 1);
    std::thread::scope(|threads| {
        for thread in 0..8 {
            let breaker = &breaker;
            threads.spawn(move || {
                for call in 0..5_000 {
                    let at = Duration::from_millis(call);
                    match (thread, call % 1000) {
                        (0, 999) => fail(breaker, 1, at),
                        (1, 500) => drop(breaker.status(at)),
                        _ => succeed(breaker, 1, at),
                    }
                }
            });
        }
    });
    let tally = breaker.status(5 * SECOND).window;
    assert_eq!(tally, Tally { calls: 40_000 - 5, failures: 5, slow: 0 });
}

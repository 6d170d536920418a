//! The hardening crate. Times are given, but for the stack, whose layers read a clock of their own.

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::hint::black_box;
use std::time::Duration;

use ironlight_hardening::ManualClock;
use ironlight_hardening::audit::{Chain, Event, EventKind};
use ironlight_hardening::cache::SharedLruCache;
use ironlight_hardening::circuit_breaker::{BreakerConfig, CircuitBreaker, Outcome};
use ironlight_hardening::monitor::{LatencyTracker, Window};
use ironlight_hardening::rate_limit::{Quota, RateLimiter, RateLimiterConfig};
use ironlight_hardening::retry::{RetryPolicy, retry_blocking};

use super::Work;
use crate::figures::{ask, runtime, scattered};
use crate::stacks::{network, ours};

const NOW: Duration = Duration::from_secs(1);
/// So much that nothing is ever refused.
const PLENTY: u32 = 1_000_000_000;

pub(super) fn outbound() -> Option<Work> {
    let runtime = runtime();
    let mut stack = ours(network, Duration::from_secs(10));
    // Its tables are made at the first use of each key.
    let mut calls = move |count| {
        // The layers make timers.
        let _inside = runtime.enter();
        for number in 0..count {
            assert!(matches!(ask(&mut stack, number), Some(Ok(answer)) if answer == number + 1));
        }
    };
    calls(8);
    Some(Box::new(move || calls(black_box(1_000))))
}

pub(super) fn limiter() -> Option<Work> {
    // A hasher without a seed of its own: the same keys share a bucket each time.
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let config = RateLimiterConfig::default();
    let limiter = RateLimiter::with_hasher(Quota::per_second(PLENTY), config, hasher);
    let checks = move |count| {
        (0..count).all(|number| limiter.check(&(scattered(number) % 1_000), 1, NOW).is_ok())
    };
    assert!(checks(10_000));
    Some(Box::new(move || assert!(checks(black_box(10_000)))))
}

pub(super) fn breaker() -> Option<Work> {
    Some(calls(CircuitBreaker::new(BreakerConfig::default(), 1)))
}

pub(super) fn breaker_failed() -> Option<Work> {
    let breaker = CircuitBreaker::new(BreakerConfig::default(), 1);
    breaker.permit(NOW).ok()?.finish(Outcome::Failure, NOW);
    Some(calls(breaker))
}

fn calls(breaker: CircuitBreaker) -> Work {
    Box::new(move || {
        for _ in 0..black_box(10_000) {
            let permit = breaker.permit(NOW);
            assert!(permit.map(|permit| permit.finish(Outcome::Success, NOW)).is_ok());
        }
    })
}

pub(super) fn cache() -> Option<Work> {
    let cache = SharedLruCache::new(10_000);
    (0..5_000_u64).for_each(|key| _ = cache.insert(key, key));
    Some(Box::new(move || {
        for number in 0..black_box(10_000) {
            assert!(cache.get(&(scattered(number) % 5_000)).is_some(), "it has room for all");
        }
    }))
}

pub(super) fn latency() -> Option<Work> {
    let latencies = LatencyTracker::new(Window::default(), 4);
    Some(Box::new(move || {
        for number in 0..black_box(10_000) {
            latencies.record(Duration::from_nanos(scattered(number) % 1_000_000), NOW);
        }
    }))
}

pub(super) fn retry() -> Option<Work> {
    let (clock, policy) = (ManualClock::default(), RetryPolicy::new(3, NOW, NOW));
    Some(Box::new(move || {
        for number in 0..black_box(10_000) {
            let done = retry_blocking(&clock, &policy, || Ok::<_, std::io::Error>(number));
            assert!(black_box(done).is_ok(), "it goes well at once");
        }
    }))
}

pub(super) fn audit() -> Option<Work> {
    let event = |number: u64| {
        Event::new(EventKind::Ban).by("peer policy").on("192.0.2.7:8333").with("number", number)
    };
    let events: Vec<Event> = (0..1_000).map(event).collect();
    let mut chain = Chain::new();
    let mut lines = Vec::with_capacity(1 << 20);
    Some(Box::new(move || {
        for event in black_box(&events) {
            black_box(chain.append(1_767_225_600_000, event, &mut lines));
        }
    }))
}

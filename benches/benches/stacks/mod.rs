//! The same stack three times: ours, of tower's own layers, and of tower-resilience.
//!
//! From the outside: a deadline, three attempts, a rate limit, a bound on what goes on at once, a
//! circuit breaker (tower has none), an attempt's timeout. tower's rate limit cannot be cloned, so it
//! lies around the retries there.

#![allow(clippy::panic, reason = "a bench that cannot start ends")]

mod attempts;

use std::future::{Future, Ready, ready};
use std::io::Error as IoError;
use std::time::Duration;

use attempts::Attempts;
use ironlight_hardening::TokioTimer;
use ironlight_hardening::rate_limit::{Quota, RateLimiter};
use ironlight_hardening::retry::RetryPolicy;
use ironlight_hardening::stack::Outbound;
use tower::{BoxError, Layer, Service, ServiceBuilder, service_fn};
use tower_resilience::bulkhead::BulkheadLayer;
use tower_resilience::circuitbreaker::CircuitBreakerLayer;
use tower_resilience::ratelimiter::RateLimiterLayer;
use tower_resilience::retry::RetryLayer;
use tower_resilience::timelimiter::TimeLimiterLayer;

/// So much that nothing is ever refused.
const PLENTY: u32 = 1_000_000_000;
const IN_ALL: Duration = Duration::from_secs(30);
const AT_ONCE: usize = 64;
const ATTEMPTS: u32 = 3;

/// What the network answers at once.
pub(crate) fn network(number: u64) -> Ready<Result<u64, IoError>> {
    ready(Ok(number + 1))
}

/// Ours; requests count against one of eight peers' limits.
pub(crate) fn ours<W, F>(
    network: W,
    attempt: Duration,
) -> impl Service<u64, Response = u64, Error: Send, Future: Send> + Clone + Send + Sync
where
    W: Fn(u64) -> F + Clone + Send + Sync,
    F: Future<Output = Result<u64, IoError>> + Send,
{
    let retry = RetryPolicy::new(ATTEMPTS, Duration::ZERO, Duration::ZERO);
    let limiter = RateLimiter::new(Quota::per_second(PLENTY));
    let outbound =
        Outbound { retry, limiter, attempt_timeout: attempt, ..Outbound::new(TokioTimer::new()) };
    let layer = outbound.layer(|number: &u64| Some(number % 8), |number: &u64| Some(*number));
    layer.layer(service_fn(network))
}

/// tower's own layers.
pub(crate) fn of_tower<W, F>(
    network: W,
    attempt: Duration,
) -> impl Service<u64, Response = u64, Error = BoxError, Future: Send> + Send
where
    W: Fn(u64) -> F + Clone + Send,
    F: Future<Output = Result<u64, IoError>> + Send,
{
    ServiceBuilder::new()
        .timeout(IN_ALL)
        .rate_limit(u64::from(PLENTY), Duration::from_secs(1))
        .retry(Attempts(ATTEMPTS))
        .load_shed()
        .concurrency_limit(AT_ONCE)
        .timeout(attempt)
        .service(service_fn(network))
}

/// tower-resilience's layers.
pub(crate) fn of_resilience<W, F>(
    network: W,
    attempt: Duration,
) -> impl Service<u64, Response = u64, Error: Send, Future: Send> + Clone + Send + Sync
where
    W: Fn(u64) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<u64, IoError>> + Send + 'static,
{
    let plenty = usize::try_from(PLENTY).unwrap_or(usize::MAX);
    let Ok(limit) = RateLimiterLayer::builder()
        .limit_for_period(plenty)
        .refresh_period(Duration::from_secs(1))
        .timeout_duration(Duration::ZERO)
        .build()
    else {
        panic!("the rate limit is a valid one");
    };
    let Ok(bulkhead) =
        BulkheadLayer::builder().max_concurrent_calls(AT_ONCE).reject_when_full().build()
    else {
        panic!("the bulkhead is a valid one");
    };
    let Ok(breaker) = CircuitBreakerLayer::builder().consecutive_failures(5).build() else {
        panic!("the breaker is a valid one");
    };
    let attempts = usize::try_from(ATTEMPTS).unwrap_or(usize::MAX);
    let timeout = |time| {
        TimeLimiterLayer::builder().timeout_duration(time).cancel_running_future(true).build()
    };
    ServiceBuilder::new()
        .layer(timeout(IN_ALL))
        .layer(
            RetryLayer::<u64, u64, _>::builder()
                .max_attempts(attempts)
                .fixed_backoff(Duration::ZERO)
                .build(),
        )
        .layer(limit)
        .layer(bulkhead)
        .layer(breaker)
        .layer(timeout(attempt))
        .service(service_fn(network))
}

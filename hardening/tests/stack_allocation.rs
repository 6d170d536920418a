//! What the whole outbound stack allocates where nothing goes wrong. Alone in its process, for the
//! counting's sake.

#![cfg(test)]

use std::alloc::System;
use std::io::Error;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use cap::Cap;
use ironlight_hardening::TokioTimer;
use ironlight_hardening::rate_limit::{Quota, RateLimiter};
use ironlight_hardening::stack::Outbound;
use tower::{Layer, Service, service_fn};

#[global_allocator]
static BYTES: Cap<System> = Cap::new(System, usize::MAX);

const ROUNDS: usize = 10;
const REQUESTS: u64 = 1_000;

#[tokio::test(start_paused = true)]
async fn a_request_that_is_answered_at_once_allocates_nothing() {
    let limiter = RateLimiter::new([Quota::per_second(1_000_000)]);
    let outbound = Outbound { limiter, ..Outbound::new(TokioTimer::new()) };
    let network = service_fn(|n: u64| core::future::ready(Ok::<_, Error>(n + 1)));
    let layer = outbound.layer(|n: &u64| Some(n % 8), |n: &u64| Some(*n));
    let mut service = layer.layer(network);
    let mut context = Context::from_waker(Waker::noop());
    let mut round = || {
        let before = BYTES.total_allocated();
        for n in 0..REQUESTS {
            assert!(matches!(service.poll_ready(&mut context), Poll::Ready(Ok(()))));
            let answer = pin!(service.call(n)).poll(&mut context);
            assert!(matches!(answer, Poll::Ready(Ok(m)) if m == n + 1));
        }
        BYTES.total_allocated() - before
    };
    assert!(round() > 0, "it is counted: each key's allowance is made at its first request");
    let bytes = [(); ROUNDS].map(|()| round());
    // The test harness has a thread of its own, which allocates once while a test begins.
    let rounds = bytes.iter().filter(|bytes| **bytes > 0).count();
    assert!(rounds <= 1, "bytes allocated in each round: {bytes:?}");
}

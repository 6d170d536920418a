//! What only the order of the layers decides.

use core::time::Duration;
use std::io::{Error as IoError, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tower::{ServiceExt, service_fn};

use super::*;
use crate::clock::TokioTimer;
use crate::error::{Classify, Error, ErrorClass};

type Peer = &'static str;

fn key(peer: &Peer) -> Option<Peer> {
    Some(peer)
}

fn again(peer: &Peer) -> Option<Peer> {
    Some(peer)
}

fn outbound() -> Outbound<Peer, TokioTimer> {
    let retry = RetryPolicy { seed: Some(1), ..RetryPolicy::default() };
    Outbound { retry, ..Outbound::new(TokioTimer::new()) }
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_judged_and_an_open_breaker_ends_the_retries_at_the_peer() {
    let outbound = outbound();
    let asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&asked);
    let network = service_fn(move |_: Peer| {
        counter.fetch_add(1, Ordering::Relaxed);
        core::future::ready(Err::<(), _>(IoError::from(ErrorKind::ConnectionReset)))
    });
    let service = outbound.layer(key, again).layer(network);
    for _ in 0..10 {
        assert!(service.clone().oneshot("bob").await.is_err());
    }
    // Three attempts a request would be thirty.
    assert_eq!(asked.load(Ordering::Relaxed), 5, "five failures in a row open the breaker");
    let refused = service.oneshot("bob").await.unwrap_err();
    assert_eq!(refused.class(), ErrorClass::CircuitOpen);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_is_a_failure_of_the_peer() {
    let outbound = outbound();
    let network = service_fn(|_: Peer| core::future::pending::<Result<(), IoError>>());
    let service = outbound.layer(key, again).layer(network);
    let late = service.clone().oneshot("bob").await.unwrap_err();
    assert_eq!(late.class(), ErrorClass::Timeout);
    assert!(service.oneshot("bob").await.is_err());
    assert!(!outbound.breaker.is_closed());
}

#[tokio::test(start_paused = true)]
async fn places_that_are_not_free_and_limits_of_ours_do_not_count_against_the_peer() {
    let outbound = Outbound {
        bulkhead: Bulkhead::new(BulkheadLimits { concurrent: 1, queue: 0 }),
        limiter: RateLimiter::new([Quota { burst: 40, per: Duration::from_secs(3600) }]),
        retry: RetryPolicy { max_attempts: 1, ..RetryPolicy::default() },
        ..outbound()
    };
    let network = service_fn(async |_: Peer| {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok::<_, IoError>(())
    });
    let service = outbound.layer(key, again).layer(network);
    let first = tokio::spawn(service.clone().oneshot("bob"));
    tokio::task::yield_now().await;
    for _ in 0..20 {
        let error = service.clone().oneshot("bob").await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Overloaded);
    }
    assert!(first.await.unwrap().is_ok());
    let classes = [(); 40].map(|()| service.clone().oneshot("bob"));
    let mut limited = 0;
    for request in classes {
        let answer: Result<(), Error<IoError>> = request.await;
        limited += u32::from(answer.is_err_and(|error| error.class().name() == "rate_limited"));
    }
    assert_eq!(limited, 21, "of forty tokens, one and twenty were taken before");
    assert!(outbound.breaker.is_closed());
}

#[tokio::test(start_paused = true)]
async fn inbound_layers_keep_their_state_when_they_are_applied_to_many_routes() {
    let inbound = Inbound::<Peer, _>::new(TokioTimer::new());
    let layer = inbound.layer(key);
    let route = |answer: u32| {
        layer.layer(service_fn(move |_: Peer| core::future::ready(Ok::<_, IoError>(answer))))
    };
    let (one, two) = (route(1), route(2));
    for _ in 0..30 {
        assert_eq!(one.clone().oneshot("alice").await.unwrap(), 1);
        assert_eq!(two.clone().oneshot("alice").await.unwrap(), 2);
    }
    assert_eq!(two.clone().oneshot("alice").await.unwrap_err().class().name(), "rate_limited");
    assert!(one.oneshot("bob").await.is_ok());
}

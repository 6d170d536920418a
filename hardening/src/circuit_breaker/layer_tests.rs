use core::future::pending;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::ErrorKind;

use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;
use crate::by_hand::{now, poll_now, yield_now};
use crate::stamp::{BareLayer, Stamped};
use crate::{Clock, Error, ManualClock, Rejected, TokioTimer};

const SECOND: Duration = Duration::from_secs(1);
const ZERO: Duration = Duration::ZERO;

fn fail(breaker: &CircuitBreaker, times: u32, now: Duration) {
    for _ in 0..times {
        breaker.permit(now).unwrap().finish(Outcome::Failure, now);
    }
}

/// Open until 60 s and a little, half-open from then on.
fn half_open_at(breaker: &CircuitBreaker, now: Duration) {
    fail(breaker, 5, ZERO);
    drop(breaker.permit(now).unwrap());
    assert_eq!(breaker.state(), CircuitState::HalfOpen);
}

#[test]
fn only_failures_of_the_other_side_count() {
    for (kind, calls) in [(ErrorKind::ConnectionReset, 5), (ErrorKind::NotFound, 20)] {
        let clock = ManualClock::default();
        let breaker = CircuitBreaker::new(BreakerConfig::default(), 1);
        let asked = AtomicU32::new(0);
        let mut service =
            BreakerLayer::new(breaker.clone(), clock).layer(BareLayer.layer(service_fn(|()| {
                asked.fetch_add(1, Ordering::Relaxed);
                core::future::ready(Err::<(), _>(std::io::Error::from(kind)))
            })));
        for _ in 0..20 {
            let done = poll_now(now(service.ready()).unwrap().call(Stamped::new((), ZERO)));
            assert!(matches!(done, Poll::Ready(Err(_))));
        }
        assert_eq!(asked.load(Ordering::Relaxed), calls);
        assert_eq!(breaker.status(ZERO).refused, u64::from(20 - calls));
    }
}

#[test]
fn a_probe_dropped_at_any_await_frees_its_place() {
    for polls in 0..4 {
        let breaker = CircuitBreaker::new(BreakerConfig::default(), 1);
        half_open_at(&breaker, 70 * SECOND);
        let slow = service_fn(|()| async {
            for _ in 0..2 {
                yield_now().await;
            }
            pending::<Result<(), std::io::Error>>().await
        });
        let layer = BreakerLayer::new(breaker.clone(), ManualClock::default());
        let mut service = layer.layer(BareLayer.layer(slow));
        for _ in 0..3 {
            let mut call = Box::pin(service.call(Stamped::new((), 70 * SECOND)));
            assert_eq!(breaker.status(70 * SECOND).probes, 1);
            for _ in 0..polls {
                assert!(poll_now(call.as_mut()).is_pending());
            }
        }
        assert_eq!(breaker.status(70 * SECOND).probes, 0, "dropped after {polls} polls");
    }
}

#[test]
fn a_service_that_cannot_become_ready_has_failed_and_is_not_asked_while_open() {
    struct Broken(u32);
    impl Service<Stamped<()>> for Broken {
        type Response = ();
        type Error = Error<std::io::Error>;
        type Future = core::future::Ready<Result<(), Self::Error>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            self.0 += 1;
            assert!(self.0 <= 5, "asked while the breaker is open");
            Poll::Ready(Err(Error::Inner(ErrorKind::ConnectionRefused.into())))
        }
        fn call(&mut self, _: Stamped<()>) -> Self::Future {
            panic!("it is never ready");
        }
    }
    let breaker = CircuitBreaker::new(BreakerConfig::default(), 1);
    let mut service = BreakerLayer::new(breaker, ManualClock::default()).layer(Broken(0));
    for _ in 0..5 {
        assert!(now(service.ready()).is_err());
    }
    let call = now(service.ready()).unwrap().call(Stamped::new((), ZERO));
    let Poll::Ready(Err(Error::Rejected(Rejected::CircuitOpen { .. }))) = poll_now(call) else {
        panic!("it is open");
    };
}

#[tokio::test(start_paused = true)]
async fn opens_probes_and_closes_as_time_goes_by() {
    let timer = TokioTimer::new();
    let breaker = CircuitBreaker::new(BreakerConfig::default(), 1);
    let inner = service_fn(|works: bool| async move {
        tokio::time::sleep(SECOND).await;
        if works { Ok(()) } else { Err(std::io::Error::from(ErrorKind::BrokenPipe)) }
    });
    let service = BreakerLayer::new(breaker.clone(), timer).layer(BareLayer.layer(inner));
    let ask = |works| service.clone().oneshot(Stamped::new(works, timer.now()));
    for _ in 0..5 {
        assert!(matches!(ask(false).await, Err(Error::Inner(_))));
    }
    let Err(Error::Rejected(Rejected::CircuitOpen { retry_after })) = ask(true).await else {
        panic!("it is open");
    };
    assert_eq!(timer.now(), 5 * SECOND, "a refusal takes no time");
    tokio::time::sleep(retry_after).await;
    let (one, two, three, four) = tokio::join!(ask(true), ask(true), ask(true), ask(true));
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    assert!(matches!(four, Err(Error::Rejected(_))), "more than the permits");
    assert_eq!(breaker.status(timer.now()).refused, 2);
    assert!(breaker.is_closed());
}

#[test]
fn slow_answers_open_it_too() {
    let clock = ManualClock::default();
    let slow_calls = Some(SlowCalls { from: SECOND, percent: 50 });
    let config = BreakerConfig { slow_calls, ..BreakerConfig::default() };
    let breaker = CircuitBreaker::new(config, 1);
    let ours = clock.clone();
    let inner = service_fn(move |()| {
        ours.advance(SECOND);
        core::future::ready(Ok::<_, std::io::Error>(()))
    });
    let mut service =
        BreakerLayer::new(breaker.clone(), clock.clone()).layer(BareLayer.layer(inner));
    for calls in 1..=10 {
        assert!(breaker.is_closed());
        assert!(now(service.call(Stamped::new((), clock.now()))).is_ok());
        assert_eq!(breaker.status(clock.now()).window.slow, calls);
    }
    assert_eq!(breaker.state(), CircuitState::Open);
}

//! Every layer's future, and whatever else waits, dropped at every await: nothing is left behind,
//! no request under way, no permit, no place, no token that was not used.

use core::future::poll_fn;
use core::time::Duration;
use std::io::{Error as IoError, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tower::{Layer, Service, service_fn};

use crate::adaptive::{AdaptiveConfig, AdaptiveLayer, AdaptiveLimit};
use crate::batch::{BatchConfig, BatchProcessor};
use crate::bulkhead::{Bulkhead, BulkheadLayer, BulkheadLimits};
use crate::by_hand::{dropped_after_each_poll, now, yield_now};
use crate::cache::{CacheLayer, CachePolicy, SingleFlight, TtlConfig};
use crate::circuit_breaker::{BreakerConfig, BreakerLayer, CircuitBreaker, CircuitState, Outcome};
use crate::deadline::DeadlineLayer;
use crate::fallback::FallbackLayer;
use crate::fault::{FaultConfig, FaultLayer, Faults};
use crate::hedge::HedgeLayer;
use crate::lazy::AsyncLazy;
use crate::load_shed::LoadShedLayer;
use crate::monitor::{MonitorLayer, PerformanceStats};
use crate::rate_limit::{Quota, RateLimitLayer, RateLimiter};
use crate::retry::{RetryBudget, RetryLayer, RetryPolicy, retry};
use crate::stack::{Inbound, Outbound};
use crate::stamp::{Bare, BareLayer, StampLayer, Stamped};
use crate::throttle::{ClientThrottle, ThrottleConfig, ThrottleLayer};
use crate::{Clock, Error, TokioTimer};

const SECOND: Duration = Duration::from_secs(1);
/// Shorter than all that is waited for, so that no await is passed over.
const STEP: Duration = Duration::from_millis(400);

type Failure = Error<IoError>;

/// Somebody who is asked: yields, takes a second, yields again, and answers or fails.
#[derive(Clone, Default)]
struct Peer {
    begun: Arc<AtomicU32>,
    under_way: Arc<AtomicU32>,
}

struct UnderWay(Arc<AtomicU32>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Peer {
    fn ask(&self, number: u32) -> impl Future<Output = Result<u32, IoError>> + Send + use<> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.under_way.fetch_add(1, Ordering::SeqCst);
        let under_way = UnderWay(Arc::clone(&self.under_way));
        async move {
            yield_now().await;
            tokio::time::sleep(SECOND).await;
            yield_now().await;
            drop(under_way);
            if number == FAILS { Err(ErrorKind::ConnectionReset.into()) } else { Ok(number) }
        }
    }

    /// As a service.
    fn service(
        &self,
    ) -> impl Service<u32, Response = u32, Error = IoError, Future: Send + 'static> + Clone + Send + use<>
    {
        let peer = self.clone();
        service_fn(move |number| peer.ask(number))
    }

    /// As a service inside of layers.
    fn bare(
        &self,
    ) -> Bare<
        impl Service<u32, Response = u32, Error = IoError, Future: Send + 'static>
        + Clone
        + Send
        + use<>,
    > {
        BareLayer.layer(self.service())
    }

    fn is_left_alone(&self) -> bool {
        self.under_way.load(Ordering::SeqCst) == 0
    }

    fn begun(&self) -> u32 {
        self.begun.load(Ordering::SeqCst)
    }
}

/// What the peer fails at.
const FAILS: u32 = 13;

fn again(number: &u32) -> Option<u32> {
    Some(*number)
}

/// Drops the calls of a layer at every await; `look` sees the peer, too.
async fn drop_calls<L, S, F>(
    timer: TokioTimer,
    number: u32,
    mut layer: impl FnMut(&Peer, Duration) -> (L, S),
    mut look: impl FnMut(&L, &Peer),
) -> usize
where
    S: Service<Stamped<u32>, Response = u32, Error = Failure, Future = F>,
    F: Future<Output = Result<u32, Failure>>,
{
    let make = || {
        let peer = Peer::default();
        let (seen, mut service) = layer(&peer, timer.now());
        ((seen, peer), service.call(Stamped::new(number, timer.now())))
    };
    dropped_after_each_poll(STEP, make, |(seen, peer)| {
        assert!(peer.is_left_alone());
        look(&seen, &peer);
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn stamp_and_bare() {
    let timer = TokioTimer::new();
    let make = || {
        let peer = Peer::default();
        let mut service = StampLayer::new(timer).with_timeout(SECOND).layer(peer.bare());
        (peer, service.call(1))
    };
    let polls = dropped_after_each_poll(STEP, make, |peer| assert!(peer.is_left_alone())).await;
    assert!(polls >= 5, "every await was reached: {polls}");
}

#[tokio::test(start_paused = true)]
async fn retries() {
    let timer = TokioTimer::new();
    let mut most = 0;
    let layer = |peer: &Peer, _| {
        let budget = RetryBudget::new(0, 2);
        let policy = RetryPolicy { seed: Some(1), ..RetryPolicy::default() };
        let layer = RetryLayer::new(timer, policy.with_budget(budget.clone()), again);
        ((layer.handle(), budget), layer.layer(peer.bare()))
    };
    let polls = drop_calls(timer, FAILS, layer, |(handle, budget), peer| {
        // A retry is paid for before its pause, and counted when it begins.
        let (paid, retries) = (2 - budget.balance(), handle.stats().retries);
        assert!(paid == retries || paid == retries + 1, "{paid} {retries}");
        assert_eq!(u64::from(peer.begun()), 1 + retries);
        most = most.max(peer.begun());
    })
    .await;
    assert!(polls >= 13 && most == 3, "{polls} polls, {most} attempts");

    let policy = RetryPolicy { seed: Some(1), ..RetryPolicy::default() };
    let make = || {
        let peer = Peer::default();
        let asked = peer.clone();
        (peer, retry(timer, policy.clone(), move || asked.ask(FAILS)))
    };
    let mut begun = 0;
    let polls = dropped_after_each_poll(STEP, make, |peer| {
        assert!(peer.is_left_alone());
        begun = begun.max(peer.begun());
    })
    .await;
    assert!(polls >= 13 && begun == 3, "{polls} polls, {begun} attempts");
}

#[tokio::test(start_paused = true)]
async fn rate_limits() {
    let timer = TokioTimer::new();
    let one = || RateLimiter::new([Quota { burst: 1, per: 5 * SECOND }]);
    let layer = |peer: &Peer, _| {
        let limiter = one();
        (limiter.clone(), RateLimitLayer::new(limiter, |_: &u32| Some(())).layer(peer.bare()))
    };
    let polls =
        drop_calls(timer, 1, layer, |limiter, _| assert_eq!(limiter.stats().granted, 1)).await;
    assert!(polls >= 5);

    // One that has to wait: what it reserved it gives back, unless it went on.
    let (mut gave_back, mut went_on) = (0, 0);
    let layer = |peer: &Peer, now| {
        let limiter = one();
        limiter.check(&(), 1, now).unwrap();
        let layer = RateLimitLayer::new(limiter.clone(), |_: &u32| Some(()));
        ((limiter, now), layer.waiting(timer, 9 * SECOND).layer(peer.bare()))
    };
    let polls = drop_calls(timer, 1, layer, |(limiter, since), peer| {
        let owed = since.saturating_add(limiter.left(&(), *since).full_in) - *since;
        // Due, but dropped before it was polled again, counts as used.
        let due = timer.now() - *since >= 5 * SECOND;
        if peer.begun() > 0 || due {
            assert_eq!(owed, 10 * SECOND);
            went_on += 1;
        } else {
            assert_eq!(owed, 5 * SECOND);
            gave_back += 1;
        }
    })
    .await;
    assert!(polls > 15 && gave_back > 9 && went_on >= 5, "{polls} {gave_back} {went_on}");
}

#[tokio::test(start_paused = true)]
async fn bulkheads() {
    let timer = TokioTimer::new();
    let limits = BulkheadLimits { concurrent: 1, queue: 1 };
    let mut waited = 0;
    let layer = |peer: &Peer, _| {
        let bulkhead = Bulkhead::new(limits);
        let place = bulkhead.try_enter().unwrap();
        let leaves = tokio::spawn(async move {
            tokio::time::sleep(2 * SECOND).await;
            drop(place);
        });
        let layer = BulkheadLayer::new(bulkhead.clone(), 5 * SECOND, timer);
        ((bulkhead, leaves), layer.layer(peer.bare()))
    };
    let polls = drop_calls(timer, 1, layer, |(bulkhead, leaves), _| {
        let there = u32::from(!leaves.is_finished());
        waited += there;
        let status = bulkhead.status();
        assert_eq!((status.inside, status.waiting), (there, 0));
        assert_eq!(bulkhead.try_enter().is_ok(), there == 0);
    })
    .await;
    assert!(polls >= 10 && waited > 4, "{polls} {waited}");
    // And one for whom there is no room in time.
    let layer = |peer: &Peer, _| {
        let bulkhead = Bulkhead::new(limits);
        let place = bulkhead.try_enter().unwrap();
        let layer = BulkheadLayer::new(bulkhead.clone(), SECOND, timer);
        ((bulkhead, place), layer.layer(peer.bare()))
    };
    drop_calls(timer, 1, layer, |(bulkhead, _), peer| {
        assert_eq!((bulkhead.status().inside, bulkhead.status().waiting), (1, 0));
        assert_eq!(peer.begun(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn breakers_half_open() {
    let timer = TokioTimer::new();
    tokio::time::advance(SECOND).await;
    for number in [1, FAILS] {
        let layer = |peer: &Peer, now: Duration| {
            let breaker = half_open_at(now);
            let layer = BreakerLayer::new(breaker.clone(), timer);
            (breaker, layer.layer(peer.bare()))
        };
        let mut freed = 0;
        let polls = drop_calls(timer, number, layer, |breaker, _| {
            let status = breaker.status(timer.now());
            assert_eq!(status.probes, 0);
            if status.state == CircuitState::HalfOpen {
                let all: Vec<_> = (0..4).map(|_| breaker.permit(timer.now())).collect();
                assert_eq!(all.iter().filter(|permit| permit.is_ok()).count(), 3);
                freed += 1;
            }
        })
        .await;
        assert!(polls >= 5 && freed >= 4, "{polls} {freed}");
    }
}

/// Its open time is over.
fn half_open_at(now: Duration) -> CircuitBreaker {
    let config = BreakerConfig {
        open_for: Duration::from_nanos(1),
        consecutive_failures: Some(1),
        ..BreakerConfig::default()
    };
    let breaker = CircuitBreaker::new(config, 1);
    let before = now.checked_sub(SECOND).unwrap();
    breaker.permit(before).unwrap().finish(Outcome::Failure, before);
    breaker
}

#[tokio::test(start_paused = true)]
async fn deadlines() {
    let timer = TokioTimer::new();
    for timeout in [SECOND / 2, 9 * SECOND] {
        let layer = |peer: &Peer, _| {
            let layer = DeadlineLayer::new(timer).with_attempt_timeout(timeout);
            (layer.status().clone(), layer.layer(peer.bare()))
        };
        let mut given_up = 0;
        let polls = drop_calls(timer, 1, layer, |status, _| given_up = status.given_up()).await;
        assert_eq!(given_up, u64::from(timeout < SECOND));
        assert!(polls >= 3);
    }
}

#[tokio::test(start_paused = true)]
async fn hedges() {
    let timer = TokioTimer::new();
    for number in [1, FAILS] {
        let mut hedged = 0;
        let layer = |peer: &Peer, _| {
            let layer = HedgeLayer::new(timer, || SECOND / 2, again, |_| true);
            (layer.status().clone(), layer.layer(peer.bare()))
        };
        let polls = drop_calls(timer, number, layer, |status, peer| {
            assert_eq!(u64::from(peer.begun()), 1 + status.hedged());
            hedged += status.hedged();
        })
        .await;
        assert!(polls >= 5 && hedged >= 3, "{polls} {hedged}");
    }
}

#[tokio::test(start_paused = true)]
async fn fallbacks() {
    let timer = TokioTimer::new();
    let layer = |peer: &Peer, _| {
        let other = peer.clone();
        let answer = move |(): (), _: Failure| {
            let answer = other.ask(1);
            async move { answer.await.map_err(Error::Inner) }
        };
        ((), FallbackLayer::new(|_: &u32| (), answer).layer(peer.bare()))
    };
    let mut begun = 0;
    let polls = drop_calls(timer, FAILS, layer, |(), peer| begun = begun.max(peer.begun())).await;
    assert!(polls >= 9 && begun == 2, "{polls} {begun}");
}

#[tokio::test(start_paused = true)]
async fn load_shedding() {
    let timer = TokioTimer::new();
    let layer = |peer: &Peer, _| {
        let layer = LoadShedLayer::default();
        let mut shed = layer.layer(peer.bare());
        now(poll_fn(|context| shed.poll_ready(context))).unwrap();
        (layer.status().clone(), shed)
    };
    let polls = drop_calls(timer, 1, layer, |status, peer| {
        assert_eq!((status.running(), status.refused()), (0, 0));
        assert_eq!(peer.begun(), 1);
    })
    .await;
    assert!(polls >= 5);
}

#[tokio::test(start_paused = true)]
async fn adaptive_limits_and_throttles() {
    let timer = TokioTimer::new();
    for number in [1, FAILS] {
        let layer = |peer: &Peer, _| {
            let limit = AdaptiveLimit::new(AdaptiveConfig::default());
            (limit.clone(), AdaptiveLayer::new(limit, timer).layer(peer.bare()))
        };
        let polls =
            drop_calls(timer, number, layer, |limit, _| assert_eq!(limit.status().in_flight, 0))
                .await;
        assert!(polls >= 5);

        let mut counted = 0;
        let layer = |peer: &Peer, now| {
            let throttle = ClientThrottle::new(ThrottleConfig::default(), 1);
            ((throttle.clone(), now), ThrottleLayer::new(throttle).layer(peer.bare()))
        };
        let polls = drop_calls(timer, number, layer, |(throttle, now), _| {
            counted += throttle.status(*now).requests;
        })
        .await;
        assert_eq!((polls >= 5, counted), (true, 1), "only the one that came to its end");
    }
}

#[derive(Clone)]
struct Numbered;

impl CachePolicy<u32> for Numbered {
    type Key = u32;
    type Response = u32;

    fn key(&self, request: &u32) -> Option<u32> {
        Some(*request)
    }
}

/// `IoError` cannot be cloned, and those who wait for one answer each get the error.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Failed;

#[tokio::test(start_paused = true)]
async fn caches_and_single_flights() {
    let timer = TokioTimer::new();
    let make = || {
        let peer = Peer::default();
        let asked = peer.clone();
        let inner = service_fn(move |number| {
            let answer = asked.ask(number);
            async move { answer.await.map_err(|_| Failed) }
        });
        let cache = CacheLayer::<u32, _, Error<Failed>>::new(Numbered, TtlConfig::default());
        let mut service = cache.layer(BareLayer.layer(inner));
        let call = service.call(Stamped::new(1, timer.now()));
        ((peer, cache), call)
    };
    let mut kept = 0;
    let polls = dropped_after_each_poll(STEP, make, |(peer, cache)| {
        assert!(peer.is_left_alone());
        kept += cache.cache().stats().len;
    })
    .await;
    assert_eq!((polls >= 5, kept), (true, 1));

    let make = || {
        let (peer, flights) = (Peer::default(), SingleFlight::new());
        let asked = peer.clone();
        let run = flights.run("key", move || {
            let answer = asked.ask(1);
            async move { answer.await.is_ok() }
        });
        ((peer, flights), run)
    };
    let polls = dropped_after_each_poll(STEP, make, |(peer, flights)| {
        assert!(peer.is_left_alone());
        assert_eq!(flights.flying(), 0);
    })
    .await;
    assert!(polls >= 5);

    let make = || {
        let (peer, lazy) = (Peer::default(), AsyncLazy::new());
        let (asked, mine) = (peer.clone(), lazy.clone());
        let get = async move {
            *mine
                .get_or_init(|| {
                    let answer = asked.ask(1);
                    async move { answer.await.is_ok() }
                })
                .await
        };
        ((peer, lazy), get)
    };
    let mut made = 0;
    dropped_after_each_poll(STEP, make, |(peer, lazy): (Peer, AsyncLazy<bool>)| {
        assert!(peer.is_left_alone());
        made += u32::from(lazy.get().is_some());
    })
    .await;
    assert_eq!(made, 1);
}

#[tokio::test(start_paused = true)]
async fn monitors_and_faults() {
    let timer = TokioTimer::new();
    for number in [1, FAILS] {
        let layer = |peer: &Peer, _| {
            let operation = PerformanceStats::default().operation("ask");
            (operation.clone(), MonitorLayer::new(operation, timer).layer(peer.bare()))
        };
        let (mut ended, mut cancelled) = (0, 0);
        let polls = drop_calls(timer, number, layer, |operation, _| {
            let report = operation.report(timer.now());
            assert_eq!(report.in_flight, 0);
            assert_eq!(report.cancelled + report.errors.calls, 1);
            (ended, cancelled) = (ended + report.errors.calls, cancelled + report.cancelled);
        })
        .await;
        assert_eq!((ended, cancelled), (1, polls as u64));
    }
    let late = FaultConfig {
        delay_share: 1.0,
        delay_from: SECOND,
        delay_to: 2 * SECOND,
        ..FaultConfig::default()
    };
    for error_share in [0.0, 1.0] {
        let error = || Error::Inner(IoError::from(ErrorKind::ConnectionReset));
        let layer = |peer: &Peer, _| {
            // The same seed each time, so that all are late by the same.
            let faults = Faults::new(FaultConfig { error_share, ..late }, 1);
            ((), FaultLayer::new(faults, timer, error).layer(peer.bare()))
        };
        let polls = drop_calls(timer, 1, layer, |(), _| ()).await;
        assert!(polls >= 4);
    }
}

#[tokio::test(start_paused = true)]
async fn batches() {
    let config = BatchConfig { max_items: 2, queue_items: 2, ..BatchConfig::default() };
    let batches = |peer: &Peer| {
        let asked = peer.clone();
        let batches = BatchProcessor::spawn(config, move |_: Vec<u32>| {
            let answer = asked.ask(1);
            async move { answer.await.map(drop) }
        });
        (0..2).for_each(|item| batches.push(item, 1).unwrap());
        batches
    };
    // Pushed, flushed, shut down: what was pushed before is done whoever goes away.
    for which in 0..3 {
        let mut taken = Vec::new();
        let make = || {
            let peer = Peer::default();
            let batches = batches(&peer);
            let mine = batches.clone();
            let wait = async move {
                match which {
                    0 => mine.push_wait(2, 1).await.is_ok(),
                    1 => mine.flush().await,
                    _ => mine.shutdown().await,
                }
            };
            (batches, wait)
        };
        let polls = dropped_after_each_poll(STEP, make, |batches| taken.push(batches)).await;
        assert!(polls >= 2, "{which}: {polls}");
        let last = taken.len() - 1;
        for (n, batches) in taken.into_iter().enumerate() {
            assert!(batches.shutdown().await);
            let stats = batches.stats();
            let pushed = if which == 0 && n == last { 3 } else { 2 };
            assert_eq!((stats.pushed, stats.taken, stats.items_waiting), (pushed, pushed, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn both_stacks() {
    let timer = TokioTimer::new();
    tokio::time::advance(SECOND).await;
    for number in [1, FAILS] {
        let make = || {
            let peer = Peer::default();
            let outbound = Outbound {
                breaker: half_open_at(timer.now()),
                bulkhead: Bulkhead::new(BulkheadLimits { concurrent: 1, queue: 1 }),
                retry: RetryPolicy { seed: Some(1), ..RetryPolicy::default() },
                ..Outbound::new(timer)
            };
            let mut service = outbound.layer(|_: &u32| Some(()), again).layer(peer.service());
            let call = service.call(number);
            ((peer, outbound), call)
        };
        let polls = dropped_after_each_poll(STEP, make, |(peer, outbound)| {
            assert!(peer.is_left_alone());
            assert_eq!(outbound.breaker.status(timer.now()).probes, 0);
            let status = outbound.bulkhead.status();
            assert_eq!((status.inside, status.waiting), (0, 0));
            assert!(outbound.bulkhead.try_enter().is_ok());
        })
        .await;
        assert!(polls >= 5, "{polls}");

        let make = || {
            let peer = Peer::default();
            let bulkhead = Bulkhead::new(BulkheadLimits { concurrent: 1, queue: 1 });
            let inbound = Inbound { bulkhead, timeout: 9 * SECOND, ..Inbound::new(timer) };
            let call = inbound.layer(|_: &u32| Some(())).layer(peer.service()).call(number);
            ((peer, inbound), call)
        };
        let polls = dropped_after_each_poll(STEP, make, |(peer, inbound)| {
            assert!(peer.is_left_alone());
            let status = inbound.bulkhead.status();
            assert_eq!((status.inside, status.waiting), (0, 0));
        })
        .await;
        assert!(polls >= 5, "{polls}");
    }
}

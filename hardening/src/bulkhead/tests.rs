use core::future::pending;
use core::pin::Pin;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Arc;
use std::task::Wake;

use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;
use crate::by_hand::{now, poll_now, yield_now};
use crate::stamp::{BareLayer, Stamped};
use crate::{Clock, Error, Rejected, TokioTimer};

const SECOND: Duration = Duration::from_secs(1);

fn bulkhead(concurrent: u32, queue: u32) -> Bulkhead {
    Bulkhead::new(BulkheadLimits { concurrent, queue })
}

#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn those_who_wait_are_woken_in_order_and_one_at_a_time() {
    let bulkhead = bulkhead(1, 2);
    let inside = now(bulkhead.enter()).unwrap();
    let woken: [Arc<Woken>; 2] = Default::default();
    let mut waits = [bulkhead.enter(), bulkhead.enter()];
    for (enter, woken) in waits.iter_mut().zip(&woken) {
        let waker = Waker::from(Arc::clone(woken));
        assert!(Pin::new(enter).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(now(bulkhead.enter()).unwrap_err(), Rejected::Overloaded { limit: 1 });
    drop(inside);
    assert_eq!(woken.each_ref().map(|woken| woken.0.load(Ordering::Relaxed)), [1, 0]);
    assert!(bulkhead.try_enter().is_err(), "the place is taken for the first who waits");
    assert!(poll_now(&mut waits[1]).is_pending());
    let place = now(&mut waits[0]).unwrap();
    drop(place);
    assert!(poll_now(&mut waits[1]).is_ready());
}

#[test]
fn one_who_was_let_in_and_goes_away_gives_its_turn_to_the_next() {
    let bulkhead = bulkhead(1, 2);
    let inside = now(bulkhead.enter()).unwrap();
    let (mut first, mut second) = (bulkhead.enter(), bulkhead.enter());
    assert!(poll_now(&mut first).is_pending() && poll_now(&mut second).is_pending());
    drop(inside);
    drop(first);
    let place = now(&mut second).unwrap();
    assert_eq!(bulkhead.status().inside, 1);
    drop(place);
    assert_eq!(bulkhead.status().inside, 0);
}

#[test]
fn the_last_waker_is_the_one_that_is_woken() {
    let bulkhead = bulkhead(1, 1);
    let inside = now(bulkhead.enter()).unwrap();
    let woken: [Arc<Woken>; 2] = Default::default();
    let mut enter = bulkhead.enter();
    for woken in &woken {
        let waker = Waker::from(Arc::clone(woken));
        assert!(Pin::new(&mut enter).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    drop(inside);
    assert_eq!(woken.each_ref().map(|woken| woken.0.load(Ordering::Relaxed)), [0, 1]);
}

#[test]
fn a_higher_limit_lets_in_those_who_wait() {
    let bulkhead = bulkhead(0, 3);
    let mut waits = [bulkhead.enter(), bulkhead.enter(), bulkhead.enter()];
    assert!(waits.iter_mut().all(|enter| poll_now(enter).is_pending()));
    bulkhead.set_limits(BulkheadLimits { concurrent: 2, queue: 3 });
    let inside: Vec<_> = waits.iter_mut().map(poll_now).collect();
    assert!(inside[0].is_ready() && inside[1].is_ready() && inside[2].is_pending());
}

#[tokio::test(start_paused = true)]
async fn waits_for_no_longer_than_the_queue_s_time_or_the_deadline() {
    let timer = TokioTimer::new();
    let bulkhead = bulkhead(1, 10);
    let service = BulkheadLayer::new(bulkhead.clone(), 5 * SECOND, timer)
        .layer(BareLayer.layer(service_fn(async |()| Ok::<_, std::io::Error>(()))));
    let inside = bulkhead.try_enter().unwrap();
    for (deadline, waits) in [(None, 5), (Some(2), 2), (Some(60), 5)] {
        let began = timer.now();
        let deadline = deadline.map(|seconds| began + seconds * SECOND);
        let request = Stamped { request: (), at: began, deadline };
        // Kept beyond its end: what is over must not hold a place in the queue.
        let mut call = Box::pin(service.clone().oneshot(request));
        let done = (&mut call).await;
        assert_eq!(done.unwrap_err().to_string(), "no room: 1 are there already");
        assert_eq!(timer.now() - began, waits * SECOND);
        assert_eq!(bulkhead.status().waiting, 0);
    }
    assert_eq!(bulkhead.status().refused, 3);
    drop(inside);
    service.oneshot(Stamped::new((), timer.now())).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn never_more_inside_than_the_limit_and_all_get_through() {
    let timer = TokioTimer::new();
    let bulkhead = bulkhead(3, 100);
    let inside = Arc::new(AtomicU32::new(0));
    let slow = service_fn(move |at: Duration| {
        let inside = Arc::clone(&inside);
        async move {
            assert!(inside.fetch_add(1, Ordering::SeqCst) < 3);
            tokio::time::sleep(SECOND).await;
            inside.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, std::io::Error>(at)
        }
    });
    let layer = BulkheadLayer::new(bulkhead.clone(), 60 * SECOND, timer);
    let service = layer.layer(BareLayer.layer(slow));
    let calls: Vec<_> = (0..100)
        .map(|_| tokio::spawn(service.clone().oneshot(Stamped::new(SECOND, timer.now()))))
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(timer.now(), 34 * SECOND);
    assert_eq!((bulkhead.status().inside, bulkhead.status().refused), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_await_it_leaves_all_places_free() {
    for blocked in [false, true] {
        for polls in 0..6 {
            let bulkhead = bulkhead(1, 1);
            let slow = service_fn(async |()| {
                yield_now().await;
                yield_now().await;
                pending::<Result<(), std::io::Error>>().await
            });
            let mut service = BulkheadLayer::new(bulkhead.clone(), SECOND, TokioTimer::new())
                .layer(BareLayer.layer(slow));
            let mut inside = blocked.then(|| bulkhead.try_enter().unwrap());
            now(service.ready()).unwrap();
            let mut call = Box::pin(service.call(Stamped::new((), Duration::ZERO)));
            for poll in 0..polls {
                if poll == 2 {
                    inside = None;
                }
                assert!(poll_now(call.as_mut()).is_pending());
            }
            drop((call, inside));
            let status = bulkhead.status();
            assert_eq!((status.inside, status.waiting), (0, 0), "{blocked}, {polls} polls");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_who_waited_is_stamped_anew() {
    let timer = TokioTimer::new();
    let bulkhead = bulkhead(1, 1);
    let inner = tower::util::service_fn(async |stamped: Stamped<()>| {
        Ok::<_, Error<std::io::Error>>(stamped.at)
    });
    let service = BulkheadLayer::new(bulkhead.clone(), 9 * SECOND, timer).layer(inner);
    let inside = bulkhead.try_enter().unwrap();
    let call = tokio::spawn(service.clone().oneshot(Stamped::new((), timer.now())));
    tokio::time::sleep(3 * SECOND).await;
    drop(inside);
    assert_eq!(call.await.unwrap().unwrap(), 3 * SECOND);
    assert_eq!(service.oneshot(Stamped::new((), SECOND)).await.unwrap(), SECOND);
}

#[test]
fn a_call_that_is_ready_needs_one_poll() {
    let bulkhead = bulkhead(1, 0);
    let mut service = BulkheadLayer::new(bulkhead, SECOND, NoTimer)
        .layer(BareLayer.layer(service_fn(async |()| Ok::<_, std::io::Error>(1))));
    let Poll::Ready(Ok(1)) = poll_now(service.call(Stamped::new((), SECOND))) else {
        panic!("nothing is in its way");
    };
}

/// A timer that nobody may ask.
#[derive(Clone)]
struct NoTimer;

impl Clock for NoTimer {
    fn now(&self) -> Duration {
        panic!("the clock is not needed")
    }
}

impl crate::Timer for NoTimer {
    type Sleep = core::future::Pending<()>;

    fn sleep(&self, _: Duration) -> Self::Sleep {
        panic!("the timer is not needed")
    }
}

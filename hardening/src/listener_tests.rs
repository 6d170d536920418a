//! Whoever listens hears of each refusal, and one that panics harms nobody.

use core::future::{pending, ready};
use core::time::Duration;
use std::io::{Error as IoError, ErrorKind};
use std::sync::{Arc, Mutex};

use tower::{Layer, Service, service_fn};

use crate::bulkhead::{Bulkhead, BulkheadLayer, BulkheadLimits};
use crate::by_hand::{now, poll_now};
use crate::deadline::DeadlineLayer;
use crate::fallback::FallbackLayer;
use crate::hedge::HedgeLayer;
use crate::load_shed::LoadShedLayer;
use crate::stamp::{BareLayer, Stamped};
use crate::throttle::{ClientThrottle, ThrottleConfig};
use crate::{Clock, Error, TokioTimer};

const SECOND: Duration = Duration::from_secs(1);

/// What was heard.
struct Heard<T>(Arc<Mutex<Vec<T>>>);

impl<T: Send + 'static> Heard<T> {
    fn new() -> (Self, impl Fn(T) + Send + Sync + 'static) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ours = Arc::clone(&heard);
        (Self(heard), move |one| ours.lock().unwrap().push(one))
    }

    fn all(&self) -> Vec<T> {
        core::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn of_bulkheads_and_deadlines() {
    let timer = TokioTimer::new();
    let never = || service_fn(|()| pending::<Result<(), IoError>>());
    let bulkhead = Bulkhead::new(BulkheadLimits { concurrent: 1, queue: 1 });
    let (heard, hear) = Heard::new();
    bulkhead.on_refused(|_| panic!("a listener that panics"));
    bulkhead.on_refused(hear);
    let _inside = bulkhead.try_enter().unwrap();
    assert!(bulkhead.try_enter().is_err());
    let mut service =
        BulkheadLayer::new(bulkhead.clone(), SECOND, timer).layer(BareLayer.layer(never()));
    let mut waits = Box::pin(service.call(Stamped::new((), timer.now())));
    assert!(poll_now(waits.as_mut()).is_pending());
    assert!(now(bulkhead.enter()).is_err(), "the queue is full");
    assert!(waits.await.is_err(), "it waited for too long");
    assert_eq!(heard.all(), [1, 1, 1]);
    assert_eq!(bulkhead.status().refused, 3);

    let layer = DeadlineLayer::new(timer);
    let (heard, hear) = Heard::new();
    layer.status().on_given_up(|_| panic!("a listener that panics"));
    layer.status().on_given_up(hear);
    let mut service = layer.layer(BareLayer.layer(never()));
    let at = timer.now();
    for seconds in [3, 0] {
        let deadline = Some(at + seconds * SECOND);
        assert!(service.call(Stamped { request: (), at, deadline }).await.is_err());
    }
    assert_eq!(heard.all(), [3 * SECOND, Duration::ZERO]);
}

#[tokio::test(start_paused = true)]
async fn of_hedges_and_fallbacks() {
    let timer = TokioTimer::new();
    let slow = service_fn(|()| async {
        tokio::time::sleep(5 * SECOND).await;
        Ok::<_, IoError>(())
    });
    let layer = HedgeLayer::new(timer, || SECOND, |(): &()| Some(()), |_| true);
    let (heard, hear) = Heard::new();
    layer.status().on_hedged(|_| panic!("a listener that panics"));
    layer.status().on_hedged(hear);
    let call = layer.layer(BareLayer.layer(slow)).call(Stamped::new((), timer.now()));
    assert!(call.await.is_ok());
    assert_eq!(heard.all(), [SECOND]);

    let answer = |(): (), _: Error<IoError>| ready(Ok(7));
    let layer = FallbackLayer::new(|(): &()| (), answer);
    let (heard, hear) = Heard::new();
    layer.status().on_used(|_| panic!("a listener that panics"));
    layer.status().on_used(hear);
    let fails = service_fn(|()| ready(Err::<u32, _>(IoError::from(ErrorKind::TimedOut))));
    let mut service = layer.layer(BareLayer.layer(fails));
    assert_eq!(service.call(Stamped::new((), SECOND)).await.unwrap(), 7);
    assert_eq!(heard.all().into_iter().map(|class| class.name()).collect::<Vec<_>>(), ["timeout"]);
}

#[test]
fn of_load_shedding_and_throttles() {
    let layer = LoadShedLayer::default();
    let (heard, hear) = Heard::new();
    layer.status().on_refused(|_| panic!("a listener that panics"));
    layer.status().on_refused(hear);
    // Nobody asked whether it is ready, so it is taken for one that is not.
    let inner = BareLayer.layer(service_fn(|()| ready(Ok::<_, IoError>(()))));
    assert!(now(layer.layer(inner).call(Stamped::new((), SECOND))).is_err());
    assert_eq!(heard.all(), [0]);

    let throttle = ClientThrottle::new(ThrottleConfig::default(), 1);
    let refusals = Arc::new(Mutex::new(0));
    let count = Arc::clone(&refusals);
    throttle.on_refused(|_| panic!("a listener that panics"));
    throttle.on_refused(move |status| {
        assert!(status.refusal > 0.5);
        *count.lock().unwrap() += 1;
    });
    (0..100).for_each(|_| throttle.record(false, SECOND));
    let refused = (0..100).filter(|_| !throttle.admits(SECOND)).count();
    assert!(refused > 50);
    assert_eq!(*refusals.lock().unwrap(), refused);
}

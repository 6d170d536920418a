use super::*;
use crate::clock::TokioTimer;
use crate::error::Error;
use crate::stamp::{BareLayer, StampLayer};
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

/// Odd numbers are asked each time; answers over 100 are not kept, those over 50 a second.
#[derive(Clone)]
struct Even;

impl CachePolicy<u32> for Even {
    type Key = u32;
    type Response = u32;

    fn key(&self, request: &u32) -> Option<u32> {
        request.is_multiple_of(2).then_some(*request)
    }

    fn keep(&self, response: &u32) -> Keep {
        match response {
            0..=50 => Keep::Full,
            51..=100 => Keep::For(Duration::from_secs(1)),
            _ => Keep::No,
        }
    }
}

type Failure = Error<&'static str>;

fn cached(
    layer: CacheLayer<u32, Even, Failure>,
    asked: Arc<AtomicU32>,
) -> impl Service<u32, Response = u32, Error = Failure> + Clone {
    let inner = service_fn(move |request: u32| {
        asked.fetch_add(1, Ordering::Relaxed);
        async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if request == 13 || request == 66 { Err("unlucky") } else { Ok(request) }
        }
    });
    ServiceBuilder::new()
        .layer(StampLayer::new(TokioTimer::new()))
        .layer(layer)
        .layer(BareLayer)
        .service(inner)
}

#[tokio::test(start_paused = true)]
async fn asks_once_for_what_may_be_kept() {
    let asked = Arc::new(AtomicU32::new(0));
    let layer = CacheLayer::new(Even, TtlConfig { jitter: 0, ..Default::default() });
    let (service, other) =
        (cached(layer.clone(), asked.clone()), cached(layer.clone(), asked.clone()));
    let times = |request: u32, expected: u32| {
        let (service, other, asked) = (service.clone(), other.clone(), asked.clone());
        async move {
            let before = asked.load(Ordering::Relaxed);
            let answers = tokio::join!(
                service.clone().oneshot(request),
                service.clone().oneshot(request),
                other.oneshot(request)
            );
            assert_eq!((answers.0, answers.1), (answers.2, answers.2));
            let again = service.oneshot(request).await;
            assert_eq!(again, answers.2);
            assert_eq!(asked.load(Ordering::Relaxed) - before, expected, "{request}");
        }
    };
    times(2, 1).await;
    times(3, 4).await;
    times(52, 1).await;
    times(102, 2).await;
    times(13, 4).await;
    times(66, 2).await;
    tokio::time::advance(Duration::from_secs(40)).await;
    times(2, 0).await;
    times(52, 1).await;
    assert!(layer.cache().invalidate(&2));
    times(2, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_at_any_await_leaves_nothing_under_way() {
    let asked = Arc::new(AtomicU32::new(0));
    let layer = CacheLayer::new(Even, TtlConfig::default());
    let mut service = cached(layer, asked.clone());
    for polls in 0..3_u32 {
        let mut call = Box::pin(service.call(8));
        for _ in 0..polls {
            core::future::poll_fn(|context| {
                assert!(call.as_mut().poll(context).is_pending());
                core::task::Poll::Ready(())
            })
            .await;
        }
        drop(call);
        assert_eq!(asked.load(Ordering::Relaxed), polls, "each began anew");
    }
    assert_eq!(service.oneshot(8).await, Ok(8));
}

#[tokio::test(start_paused = true)]
async fn what_came_between_the_look_and_the_first_poll_is_not_asked_for_again() {
    let asked = Arc::new(AtomicU32::new(0));
    let mut service = cached(CacheLayer::new(Even, TtlConfig::default()), asked.clone());
    let (one, two) = (service.call(8), service.call(8));
    assert_eq!((one.await, two.await), (Ok(8), Ok(8)));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

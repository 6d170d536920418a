use core::time::Duration;
use std::sync::Arc;

use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;
use crate::by_hand::{now, poll_now, yield_now};
use crate::stamp::{BareLayer, Stamped};
use crate::{Clock, Error, Rejected, TokioTimer};

const SECOND: Duration = Duration::from_secs(1);

/// Takes so many seconds and says which deadline it saw.
async fn seconds(stamped: Stamped<u32>) -> Result<Option<Duration>, Error<std::io::Error>> {
    tokio::time::sleep(stamped.request * SECOND).await;
    Ok(stamped.deadline)
}

#[tokio::test(start_paused = true)]
async fn the_earlier_of_deadline_and_attempt_holds() {
    let timer = TokioTimer::new();
    let layer = DeadlineLayer::new(timer).with_attempt_timeout(5 * SECOND);
    let service = layer.layer(service_fn(seconds));
    // Takes, deadline from now, gives up after.
    let cases = [(3, None, None), (9, None, Some(5)), (9, Some(2), Some(2)), (9, Some(8), Some(5))];
    for (takes, deadline, gives_up) in cases {
        let began = timer.now();
        let deadline = deadline.map(|seconds| began + seconds * SECOND);
        let done = service.clone().oneshot(Stamped { request: takes, at: began, deadline }).await;
        let took = timer.now() - began;
        match gives_up {
            None => assert_eq!(done.unwrap(), Some(began + 5 * SECOND)),
            Some(after) => {
                let after = after * SECOND;
                assert_eq!(took, after);
                let Err(Error::Rejected(rejected)) = done else { panic!("it took too long") };
                assert_eq!(rejected, Rejected::Timeout { after });
            }
        }
    }
    assert_eq!((layer.status().given_up(), layer.status().unbegun()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn time_spent_before_it_is_polled_counts() {
    let timer = TokioTimer::new();
    let mut service = DeadlineLayer::new(timer).layer(service_fn(seconds));
    let call = service.call(Stamped { request: 9, at: timer.now(), deadline: Some(4 * SECOND) });
    tokio::time::sleep(3 * SECOND).await;
    call.await.unwrap_err();
    assert_eq!(timer.now(), 4 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn what_comes_too_late_is_not_begun_and_without_a_deadline_nothing_is() {
    let timer = TokioTimer::new();
    let layer = DeadlineLayer::new(timer);
    let mut never = layer.layer(service_fn(
        |_: Stamped<u32>| -> core::future::Pending<Result<(), Error<std::io::Error>>> {
            panic!("it is too late")
        },
    ));
    let late = Stamped { request: 1, at: SECOND, deadline: Some(SECOND) };
    assert!(never.call(late).await.is_err());
    assert_eq!(layer.status().unbegun(), 1);
    let slow = layer.layer(service_fn(seconds));
    slow.oneshot(Stamped::new(1_000_000, timer.now())).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_await_or_given_up_it_drops_the_call() {
    for polls in 0..4 {
        let held = Arc::new(());
        let ours = Arc::clone(&held);
        let slow = service_fn(move |()| {
            let ours = Arc::clone(&ours);
            async move {
                yield_now().await;
                core::future::pending::<()>().await;
                drop(ours);
                Ok::<_, std::io::Error>(())
            }
        });
        let layer = DeadlineLayer::new(TokioTimer::new()).with_attempt_timeout(SECOND);
        let mut service = layer.layer(BareLayer.layer(slow));
        now(service.ready()).unwrap();
        let mut call = Box::pin(service.call(Stamped::new((), Duration::ZERO)));
        for _ in 0..polls {
            assert!(poll_now(call.as_mut()).is_pending());
        }
        if polls == 3 {
            (&mut call).await.unwrap_err();
            assert_eq!(Arc::strong_count(&held), 2, "the call is gone before its future is");
        }
        drop(call);
        drop(service);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}

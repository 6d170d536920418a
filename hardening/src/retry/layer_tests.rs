//! The layer, in paused time.

use core::time::Duration;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Layer, Service, ServiceExt};

use super::{GaveUp, Jitter, RetryBudget, RetryLayer, RetryPolicy};
use crate::error::{Classify, ErrorClass};
use crate::stamp::Stamped;
use crate::{Clock, TokioTimer};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Failure(ErrorClass);

impl Classify for Failure {
    fn class(&self) -> ErrorClass {
        self.0
    }
}

/// Fails so many times, then answers; each request holds a permit for two polls. It must be
/// polled ready before each call.
struct Flaky {
    failures: Arc<AtomicU32>,
    class: ErrorClass,
    permits: Arc<Semaphore>,
    ready: Option<OwnedSemaphorePermit>,
    seen: Arc<Mutex<Vec<Stamped<u32>>>>,
}

impl Flaky {
    fn new(failures: u32) -> Self {
        Self {
            failures: Arc::new(AtomicU32::new(failures)),
            class: ErrorClass::Temporary,
            permits: Arc::new(Semaphore::new(4)),
            ready: None,
            seen: Arc::default(),
        }
    }
}

impl Clone for Flaky {
    fn clone(&self) -> Self {
        Self {
            failures: Arc::clone(&self.failures),
            class: self.class,
            permits: Arc::clone(&self.permits),
            ready: None,
            seen: Arc::clone(&self.seen),
        }
    }
}

impl Service<Stamped<u32>> for Flaky {
    type Response = u32;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<u32, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if self.ready.is_none() {
            self.ready = Arc::clone(&self.permits).try_acquire_owned().ok();
        }
        if self.ready.is_some() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, stamped: Stamped<u32>) -> Self::Future {
        let permit = self.ready.take().expect("polled ready");
        self.seen.lock().unwrap().push(stamped);
        let less = |failures: u32| failures.checked_sub(1);
        let fails = self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok();
        let class = self.class;
        Box::pin(async move {
            tokio::task::yield_now().await;
            drop(permit);
            if fails { Err(Failure(class)) } else { Ok(stamped.request) }
        })
    }
}

fn exact(max_attempts: u32) -> RetryPolicy {
    RetryPolicy { jitter: Jitter::None, ..RetryPolicy::new(max_attempts, SECOND, 8 * SECOND) }
}

#[expect(clippy::unnecessary_wraps, reason = "the form that the layer asks for")]
fn one_more(request: &u32) -> Option<u32> {
    Some(request + 1)
}

#[tokio::test(start_paused = true)]
async fn asks_again_with_the_time_of_the_attempt_and_the_deadline_of_the_request() {
    let timer = TokioTimer::new();
    let layer = RetryLayer::new(timer, exact(4), one_more);
    let flaky = Flaky::new(2);
    let seen = Arc::clone(&flaky.seen);
    let deadline = Some(60 * SECOND);
    let request = Stamped { request: 10, at: timer.now(), deadline };
    assert_eq!(layer.layer(flaky).oneshot(request).await, Ok(12));
    let sent = |request, at| Stamped { request, at: at * SECOND, deadline };
    assert_eq!(*seen.lock().unwrap(), [sent(10, 0), sent(11, 1), sent(12, 3)]);
    let stats = layer.handle().stats();
    assert_eq!((stats.requests, stats.retries, stats.recovered, stats.gave_up), (1, 2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_made_again_is_sent_once() {
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&reasons);
    let layer = RetryLayer::new(TokioTimer::new(), exact(4), |n: &u32| (*n < 11).then_some(n + 1))
        .on_gave_up(|_, _| panic!("a listener of no use"))
        .on_gave_up(move |why, context| heard.lock().unwrap().push((why, context.attempts)));
    let flaky = Flaky::new(100);
    let service = layer.layer(flaky.clone());
    let ask = |n| service.clone().oneshot(Stamped::new(n, Duration::ZERO));
    assert!(ask(11).await.is_err());
    assert_eq!(flaky.seen.lock().unwrap().len(), 1);
    assert!(ask(9).await.is_err(), "9 becomes 10, 11, and then it ends");
    assert_eq!(flaky.seen.lock().unwrap().len(), 4);
    let expected = [(GaveUp::NotRepeatable, 1), (GaveUp::NotRepeatable, 3)];
    assert_eq!(*reasons.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn the_last_attempt_makes_no_spare_and_permanent_failures_are_final() {
    let spares = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&spares);
    let layer = RetryLayer::new(TokioTimer::new(), exact(3), move |n: &u32| {
        count.fetch_add(1, Ordering::Relaxed);
        Some(*n)
    });
    let flaky = Flaky::new(100);
    let failed = layer.layer(flaky.clone()).oneshot(Stamped::new(1, Duration::ZERO)).await;
    assert!(failed.is_err());
    assert_eq!((flaky.seen.lock().unwrap().len(), spares.load(Ordering::Relaxed)), (3, 2));
    let denied = Flaky { class: ErrorClass::Permanent, ..Flaky::new(100) };
    let failed = layer.layer(denied.clone()).oneshot(Stamped::new(1, Duration::ZERO)).await;
    assert!(failed.is_err());
    assert_eq!(denied.seen.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_retry_begins_after_the_deadline_of_the_request() {
    let timer = TokioTimer::new();
    let layer = RetryLayer::new(timer, exact(9), one_more);
    let flaky = Flaky::new(100);
    let request = Stamped { request: 0, at: timer.now(), deadline: Some(5 * SECOND) };
    assert!(layer.layer(flaky.clone()).oneshot(request).await.is_err());
    assert_eq!(flaky.seen.lock().unwrap().len(), 3);
    assert_eq!(timer.now(), 3 * SECOND, "the next one would have begun at 7");
}

#[tokio::test(start_paused = true)]
async fn clones_and_services_share_the_budget_and_what_is_counted() {
    let policy = exact(5).with_budget(RetryBudget::new(10, 2));
    let layer = RetryLayer::new(TokioTimer::new(), policy, one_more);
    for n in 0..100 {
        let service = layer.clone().layer(Flaky::new(100));
        assert!(service.clone().oneshot(Stamped::new(n, Duration::ZERO)).await.is_err());
    }
    let stats = layer.handle().stats();
    assert_eq!((stats.requests, stats.gave_up), (100, 100));
    assert!((10..=12).contains(&stats.retries), "{stats:?}");
    assert!(stats.out_of_budget >= 98, "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_poll_it_holds_no_permit() {
    let timer = TokioTimer::new();
    for polls in 0..9 {
        let flaky = Flaky::new(100);
        let permits = Arc::clone(&flaky.permits);
        let mut service = RetryLayer::new(timer, exact(4), one_more).layer(flaky.clone());
        let request = Stamped::new(1, timer.now());
        let mut asked = Box::pin(service.ready().await.unwrap().call(request));
        drop(service);
        let mut ended = false;
        for _ in 0..polls {
            if !ended {
                let mut once = asked.as_mut();
                let polled = std::future::poll_fn(|context| {
                    Poll::Ready(once.as_mut().poll(context).is_ready())
                });
                ended = polled.await;
            }
            tokio::time::advance(8 * SECOND).await;
        }
        assert_eq!(ended, polls == 8);
        drop(asked);
        assert_eq!(permits.available_permits(), 4, "after {polls} polls");
        let calls = [1, 1, 1, 2, 2, 3, 3, 4, 4];
        assert_eq!(flaky.seen.lock().unwrap().len(), calls[polls], "after {polls} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_until_the_service_is_ready() {
    let timer = TokioTimer::new();
    let flaky = Flaky::new(1);
    let permits = Arc::clone(&flaky.permits);
    let asked = RetryLayer::new(timer, exact(2), one_more).layer(flaky.clone());
    let mut asked = Box::pin(asked.oneshot(Stamped::new(1, timer.now())));
    let early = tokio::time::timeout(SECOND / 2, asked.as_mut()).await;
    assert!(early.is_err(), "it waits for its second attempt");
    let busy = permits.acquire_many(4).await.unwrap();
    let late = tokio::time::timeout(5 * SECOND, asked.as_mut()).await;
    assert!(late.is_err() && flaky.seen.lock().unwrap().len() == 1);
    drop(busy);
    assert_eq!(asked.await, Ok(2));
}

/// Ready once; its clones never are, or fail at it.
struct Once {
    first: bool,
    then: Option<Failure>,
}

impl Clone for Once {
    fn clone(&self) -> Self {
        Self { first: false, then: self.then }
    }
}

impl Service<Stamped<u32>> for Once {
    type Response = u32;
    type Error = Failure;
    type Future = std::future::Ready<Result<u32, Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match (self.first, self.then) {
            (true, _) => Poll::Ready(Ok(())),
            (false, Some(failure)) => Poll::Ready(Err(failure)),
            (false, None) => Poll::Pending,
        }
    }

    fn call(&mut self, _: Stamped<u32>) -> Self::Future {
        assert!(self.first, "polled ready");
        std::future::ready(Err(Failure(ErrorClass::Temporary)))
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_never_ready_again_ends_the_request_at_its_deadline() {
    let broken = Failure(ErrorClass::Permanent);
    let last = Failure(ErrorClass::Temporary);
    let quick = RetryPolicy { deadline: Some(3 * SECOND), ..exact(4) };
    for (policy, then, expected, why, after) in [
        (exact(4), None, last, GaveUp::Deadline, 5),
        (quick, None, last, GaveUp::Deadline, 3),
        (exact(4), Some(broken), broken, GaveUp::Permanent, 1),
    ] {
        let timer = TokioTimer::new();
        let reasons = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&reasons);
        let layer = RetryLayer::new(timer, policy, one_more)
            .on_gave_up(move |why, context| heard.lock().unwrap().push((why, context.attempts)));
        let mut service = layer.layer(Once { first: true, then });
        let start = timer.now();
        let request = Stamped { request: 1, at: start, deadline: Some(start + 5 * SECOND) };
        let asked = service.ready().await.unwrap().call(request);
        assert_eq!(asked.await, Err(expected));
        assert_eq!(timer.now() - start, after * SECOND);
        assert_eq!(*reasons.lock().unwrap(), [(why, 1)]);
        let stats = layer.handle().stats();
        assert_eq!((stats.requests, stats.retries, stats.gave_up), (1, 0, 1));
    }
}

//! A bulkhead in front of a service.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;

use tower_layer::Layer;
use tower_service::Service;

use super::shared::{Bulkhead, Enter, Place};
use crate::clock::Timer;
use crate::error::Rejected;
use crate::stamp::Stamped;

/// Puts a bulkhead in front of services; all of them share it.
///
/// A request takes its place when it is handed over. One that finds none waits from its first poll on,
/// but not longer than the queue's time, nor than its deadline; then it is [`Rejected::Overloaded`].
/// One that waited is stamped anew.
///
/// The layer is ready whenever the service is: with a bulkhead that made callers wait before they
/// hand their request over, that wait would have no bounds. The service that was asked whether it
/// is ready waits with the request, so each clone of it should be able to be ready at once.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::bulkhead::{Bulkhead, BulkheadLayer, BulkheadLimits};
/// use ironlight_hardening::stamp::{BareLayer, StampLayer};
/// use ironlight_hardening::TokioTimer;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let timer = TokioTimer::new();
/// let full = Bulkhead::new(BulkheadLimits { concurrent: 0, queue: 1 });
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(timer))
///     .layer(BulkheadLayer::new(full.clone(), Duration::from_secs(1), timer))
///     .layer(BareLayer)
///     .service(service_fn(async |n: u32| Ok::<_, std::io::Error>(n + 1)));
/// assert!(service.oneshot(1).await.is_err(), "after a second");
/// assert_eq!(full.status().refused, 1);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BulkheadLayer<T> {
    bulkhead: Bulkhead,
    queue_time: Duration,
    timer: T,
}

impl<T: Timer> BulkheadLayer<T> {
    /// Nobody waits for longer than `queue_time`. Keep a clone of the bulkhead for its status.
    pub const fn new(bulkhead: Bulkhead, queue_time: Duration, timer: T) -> Self {
        Self { bulkhead, queue_time, timer }
    }
}

impl<S, T: Clone> Layer<S> for BulkheadLayer<T> {
    type Service = Bulkheaded<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        Bulkheaded { inner, layer: self.clone() }
    }
}

/// The service of [`BulkheadLayer`].
///
/// The [module](super) has an example.
#[derive(Clone, Debug)]
pub struct Bulkheaded<S, T> {
    inner: S,
    layer: BulkheadLayer<T>,
}

impl<S, T, R> Service<Stamped<R>> for Bulkheaded<S, T>
where
    S: Service<Stamped<R>> + Clone,
    S::Error: From<Rejected>,
    T: Timer,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BulkheadFuture<S, R, T>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, stamped: Stamped<R>) -> Self::Future {
        if let Some(place) = self.layer.bulkhead.enter_now() {
            let running = self.inner.call(stamped);
            return BulkheadFuture { step: Step::Inside { running, place } };
        }
        // The instance that was polled ready goes along; a fresh one stays here.
        let fresh = self.inner.clone();
        let service = core::mem::replace(&mut self.inner, fresh);
        let layer = &self.layer;
        let waiting = Waiting {
            enter: layer.bulkhead.enter(),
            call: Some((service, stamped)),
            queue_time: layer.queue_time,
            timer: layer.timer.clone(),
        };
        BulkheadFuture { step: Step::Outside { waiting, sleep: None } }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`Bulkheaded`]. Dropped, it frees its place, or leaves the queue.
    pub struct BulkheadFuture<S, R, T>
    where
        S: Service<Stamped<R>>,
        T: Timer,
    {
        #[pin]
        step: Step<S, R, T, S::Future, T::Sleep>,
    }
}

pin_project_lite::pin_project! {
    #[project = StepProjection]
    enum Step<S, R, T, F, W> {
        Outside {
            waiting: Waiting<S, R, T>,
            #[pin]
            sleep: Option<W>,
        },
        Inside {
            #[pin]
            running: F,
            // After the call, so that the place is free only when the call is gone.
            place: Place,
        },
        Done,
    }
}

/// The service, the request and their place.
type Entered<S, R> = (S, Stamped<R>, Place);

/// One that found no room.
struct Waiting<S, R, T> {
    enter: Enter,
    /// Gone with the place.
    call: Option<(S, Stamped<R>)>,
    queue_time: Duration,
    timer: T,
}

impl<S, R, T: Timer> Waiting<S, R, T> {
    /// What is to be called, once there is a place.
    fn poll(
        &mut self,
        mut sleep: Pin<&mut Option<T::Sleep>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Entered<S, R>, Rejected>> {
        if let Poll::Ready(entered) = Pin::new(&mut self.enter).poll(context) {
            let place = entered?;
            let Some((service, mut stamped)) = self.call.take() else { return Poll::Pending };
            if sleep.is_some() {
                stamped.at = self.timer.now();
            }
            return Poll::Ready(Ok((service, stamped, place)));
        }
        if sleep.is_none() {
            let left = self.call.as_ref().and_then(|(_, stamped)| stamped.left(self.timer.now()));
            let longest = left.map_or(self.queue_time, |left| left.min(self.queue_time));
            sleep.set(Some(self.timer.sleep(longest)));
        }
        if let Some(sleep) = sleep.as_pin_mut() {
            ready!(sleep.poll(context));
        }
        Poll::Ready(Err(self.enter.refuse()))
    }
}

impl<S: Service<Stamped<R>>, R, T: Timer> core::fmt::Debug for BulkheadFuture<S, R, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let inside = matches!(self.step, Step::Inside { .. });
        f.debug_struct("BulkheadFuture").field("inside", &inside).finish_non_exhaustive()
    }
}

impl<S, R, T> Future for BulkheadFuture<S, R, T>
where
    S: Service<Stamped<R>>,
    S::Error: From<Rejected>,
    T: Timer,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut step = self.project().step;
        loop {
            match step.as_mut().project() {
                StepProjection::Outside { waiting, sleep } => {
                    match ready!(waiting.poll(sleep, context)) {
                        Ok((mut service, stamped, place)) => {
                            let running = service.call(stamped);
                            step.set(Step::Inside { running, place });
                        }
                        Err(rejected) => {
                            step.set(Step::Done);
                            return Poll::Ready(Err(rejected.into()));
                        }
                    }
                }
                StepProjection::Inside { running, .. } => {
                    let done = ready!(running.poll(context));
                    step.set(Step::Done);
                    return Poll::Ready(done);
                }
                // It must not be polled after its end.
                StepProjection::Done => return Poll::Pending,
            }
        }
    }
}

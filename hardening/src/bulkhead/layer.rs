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
/// A request that finds no room waits, but not longer than the queue's time, nor than its deadline;
/// then it is [`Rejected::Overloaded`]. One that waited is stamped anew.
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
        // The instance that was polled ready goes along; a fresh one stays here.
        let fresh = self.inner.clone();
        let inner = core::mem::replace(&mut self.inner, fresh);
        let layer = &self.layer;
        BulkheadFuture {
            enter: layer.bulkhead.enter(),
            call: Some((inner, stamped)),
            queue_time: layer.queue_time,
            timer: layer.timer.clone(),
            sleep: None,
            running: None,
            place: None,
        }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`Bulkheaded`]. Dropped, it frees its place, or leaves the queue.
    pub struct BulkheadFuture<S, R, T>
    where
        S: Service<Stamped<R>>,
        T: Timer,
    {
        enter: Enter,
        call: Option<(S, Stamped<R>)>,
        queue_time: Duration,
        timer: T,
        #[pin]
        sleep: Option<T::Sleep>,
        #[pin]
        running: Option<S::Future>,
        // After the call, so that the place is free only when the call is gone.
        place: Option<Place>,
    }
}

impl<S: Service<Stamped<R>>, R, T: Timer> core::fmt::Debug for BulkheadFuture<S, R, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BulkheadFuture").field("place", &self.place).finish_non_exhaustive()
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
        let mut this = self.project();
        loop {
            if let Some(running) = this.running.as_mut().as_pin_mut() {
                let done = ready!(running.poll(context));
                *this.place = None;
                return Poll::Ready(done);
            }
            if let Poll::Ready(entered) = Pin::new(&mut *this.enter).poll(context) {
                *this.place = Some(entered?);
                // Gone only after the end, where it must not be polled again.
                let Some((mut service, mut stamped)) = this.call.take() else {
                    return Poll::Pending;
                };
                if this.sleep.is_some() {
                    stamped.at = this.timer.now();
                    this.sleep.set(None);
                }
                this.running.set(Some(service.call(stamped)));
                continue;
            }
            if this.sleep.is_none() {
                let left =
                    this.call.as_ref().and_then(|(_, stamped)| stamped.left(this.timer.now()));
                let longest = left.map_or(*this.queue_time, |left| left.min(*this.queue_time));
                this.sleep.set(Some(this.timer.sleep(longest)));
            }
            if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
                ready!(sleep.poll(context));
            }
            return Poll::Ready(Err(this.enter.refuse().into()));
        }
    }
}

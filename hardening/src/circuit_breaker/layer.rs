//! A breaker in front of a service.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use tower_layer::Layer;
use tower_service::Service;

use super::breaker::{CircuitBreaker, Permit};
use crate::clock::Clock;
use crate::error::{Classify, Rejected};
use crate::stamp::Stamped;

/// Puts a breaker in front of services; all of them share it.
///
/// A request is let through or refused by the time that it is stamped with. What the service
/// answers is counted by its [class](crate::ErrorClass); a failure to become ready as well. While
/// the breaker refuses, the layer is ready at once and does not ask the service.
///
/// A call that is dropped counts for nothing. So that a service that hangs is seen to fail, a
/// [`DeadlineLayer`](crate::deadline::DeadlineLayer) with an attempt timeout belongs behind it.
///
/// ```
/// use ironlight_hardening::circuit_breaker::{BreakerConfig, BreakerLayer, CircuitBreaker};
/// use ironlight_hardening::stamp::{BareLayer, StampLayer};
/// use ironlight_hardening::TokioTimer;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let timer = TokioTimer::new();
/// let breaker = CircuitBreaker::new(BreakerConfig::default(), 1);
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(timer))
///     .layer(BreakerLayer::new(breaker.clone(), timer))
///     .layer(BareLayer)
///     .service(service_fn(async |n: u32| Ok::<_, std::io::Error>(n + 1)));
/// assert_eq!(service.oneshot(1).await.unwrap(), 2);
/// assert!(breaker.is_closed());
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BreakerLayer<C> {
    breaker: CircuitBreaker,
    clock: C,
}

impl<C: Clock> BreakerLayer<C> {
    /// The clock is the one that stamps the requests. Keep a clone of the breaker for its status.
    pub const fn new(breaker: CircuitBreaker, clock: C) -> Self {
        Self { breaker, clock }
    }
}

impl<S, C: Clone> Layer<S> for BreakerLayer<C> {
    type Service = Breaker<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        let (breaker, clock) = (self.breaker.clone(), self.clock.clone());
        Breaker { inner, breaker, clock, refusal: None }
    }
}

/// The service of [`BreakerLayer`].
///
/// The [module](super) has an example.
#[derive(Debug)]
pub struct Breaker<S, C> {
    inner: S,
    breaker: CircuitBreaker,
    clock: C,
    /// Refused when it was asked whether it is ready: the inner service was not asked.
    refusal: Option<Rejected>,
}

impl<S: Clone, C: Clone> Clone for Breaker<S, C> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            breaker: self.breaker.clone(),
            clock: self.clock.clone(),
            refusal: None,
        }
    }
}

impl<S, C> Breaker<S, C> {
    /// Its breaker.
    #[must_use]
    pub const fn breaker(&self) -> &CircuitBreaker {
        &self.breaker
    }
}

impl<S, C, R> Service<Stamped<R>> for Breaker<S, C>
where
    S: Service<Stamped<R>>,
    S::Error: From<Rejected> + Classify,
    C: Clock,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BreakerFuture<S::Future, C>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.refusal = None;
        if !self.breaker.is_closed()
            && let Some(retry_after) = self.breaker.refuses(self.clock.now())
        {
            self.refusal = Some(Rejected::CircuitOpen { retry_after });
            return Poll::Ready(Ok(()));
        }
        let done = ready!(self.inner.poll_ready(context));
        if done.is_err()
            && let Ok(permit) = self.breaker.permit(self.clock.now())
        {
            permit.finish_with(&done, &self.clock);
        }
        Poll::Ready(done)
    }

    fn call(&mut self, stamped: Stamped<R>) -> Self::Future {
        let permit = match self.refusal.take() {
            Some(rejected) => {
                self.breaker.count_refused();
                Err(rejected)
            }
            None => self.breaker.permit_owned(stamped.at),
        };
        let inner = permit.is_ok().then(|| self.inner.call(stamped));
        BreakerFuture { inner, permit: permit.map(Some), clock: self.clock.clone() }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`Breaker`]. Dropped before its end it counts for nothing.
    #[derive(Debug)]
    pub struct BreakerFuture<F, C> {
        #[pin]
        inner: Option<F>,
        // Taken at the end of the call.
        permit: Result<Option<Permit<CircuitBreaker>>, Rejected>,
        clock: C,
    }
}

impl<F, C, T, E> Future for BreakerFuture<F, C>
where
    F: Future<Output = Result<T, E>>,
    E: From<Rejected> + Classify,
    C: Clock,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match (this.permit, this.inner.as_pin_mut()) {
            (Ok(permit), Some(inner)) => {
                let done = ready!(inner.poll(context));
                if let Some(permit) = permit.take() {
                    permit.finish_with(&done, this.clock);
                }
                Poll::Ready(done)
            }
            (Err(rejected), _) => Poll::Ready(Err((*rejected).into())),
            // The inner call and its permit are there or not together.
            (Ok(_), None) => Poll::Pending,
        }
    }
}

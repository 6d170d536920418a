//! A limit that adapts itself, in front of a service.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use tower_layer::Layer;
use tower_service::Service;

use super::shared::{AdaptiveLimit, AdaptivePermit};
use super::state::Ended;
use crate::clock::Clock;
use crate::error::{Classify, Rejected};
use crate::stamp::Stamped;

/// Refuses what is over the limit, which it adapts to how the services behind it answer. All of
/// them share it. Time is counted from the stamp. A call that is dropped only frees its place, so an
/// attempt timeout belongs behind it.
///
/// ```
/// use ironlight_hardening::adaptive::{AdaptiveConfig, AdaptiveLayer, AdaptiveLimit};
/// use ironlight_hardening::stamp::{BareLayer, StampLayer};
/// use ironlight_hardening::TokioTimer;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let timer = TokioTimer::new();
/// let limit = AdaptiveLimit::new(AdaptiveConfig::default());
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(timer))
///     .layer(AdaptiveLayer::new(limit.clone(), timer))
///     .layer(BareLayer)
///     .service(service_fn(async |n: u32| Ok::<_, std::io::Error>(n + 1)));
/// assert_eq!(service.oneshot(1).await.unwrap(), 2);
/// assert_eq!(limit.status().in_flight, 0);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AdaptiveLayer<C> {
    limit: AdaptiveLimit,
    clock: C,
}

impl<C: Clock> AdaptiveLayer<C> {
    /// The clock is the one that stamps the requests. Keep a clone of the limit for its status.
    pub const fn new(limit: AdaptiveLimit, clock: C) -> Self {
        Self { limit, clock }
    }
}

impl<S, C: Clone> Layer<S> for AdaptiveLayer<C> {
    type Service = Adaptive<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Adaptive { inner, layer: self.clone() }
    }
}

/// The service of [`AdaptiveLayer`].
///
/// The [module](super) has an example.
#[derive(Clone, Debug)]
pub struct Adaptive<S, C> {
    inner: S,
    layer: AdaptiveLayer<C>,
}

impl<S, C, R> Service<Stamped<R>> for Adaptive<S, C>
where
    S: Service<Stamped<R>>,
    S::Error: From<Rejected> + Classify,
    C: Clock,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = AdaptiveFuture<S::Future, C>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, stamped: Stamped<R>) -> Self::Future {
        let permit = self.layer.limit.enter(stamped.at);
        let inner = permit.is_ok().then(|| self.inner.call(stamped));
        AdaptiveFuture { inner, permit: permit.map(Some), clock: self.layer.clock.clone() }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`Adaptive`]. Dropped before its end it only frees its place.
    #[derive(Debug)]
    pub struct AdaptiveFuture<F, C> {
        #[pin]
        inner: Option<F>,
        // Taken at the end of the call.
        permit: Result<Option<AdaptivePermit>, Rejected>,
        clock: C,
    }
}

impl<F, C, T, E> Future for AdaptiveFuture<F, C>
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
                    let ended = match &done {
                        Ok(_) => Ended::Answered,
                        Err(error) => error.class().into(),
                    };
                    permit.finish(ended, this.clock.now());
                }
                Poll::Ready(done)
            }
            (Err(rejected), _) => Poll::Ready(Err((*rejected).into())),
            // The inner call and its permit are there or not together.
            (Ok(_), None) => Poll::Pending,
        }
    }
}

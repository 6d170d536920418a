//! A client's throttle in front of a service.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tower_layer::Layer;
use tower_service::Service;

use super::state::{ThrottleConfig, ThrottleState, ThrottleStatus};
use crate::error::{Classify, ErrorClass, Rejected};
use crate::listeners::Listeners;
use crate::stamp::Stamped;

/// A throttle that many share: one for each other side. Clones share it.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::throttle::{ClientThrottle, ThrottleConfig};
///
/// let throttle = ClientThrottle::new(ThrottleConfig::default(), 1);
/// let now = Duration::ZERO;
/// if throttle.admits(now) {
///     let accepted = true;
///     throttle.record(accepted, now);
/// }
/// assert_eq!(throttle.status(now).refusal, 0.0);
/// ```
#[derive(Clone, Debug)]
pub struct ClientThrottle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<ThrottleState>,
    listeners: Listeners<ThrottleStatus>,
}

impl ClientThrottle {
    /// Nothing was asked yet. The seed decides which requests are refused.
    #[must_use]
    pub fn new(config: ThrottleConfig, seed: u64) -> Self {
        let state = Mutex::new(ThrottleState::new(config, seed));
        Self { shared: Arc::new(Shared { state, listeners: Listeners::default() }) }
    }

    /// Whether to send a request. One that is not sent counts as a request.
    #[must_use]
    pub fn admits(&self, now: Duration) -> bool {
        let mut state = self.lock();
        if state.admits(now) {
            return true;
        }
        let status = state.status(now);
        drop(state);
        self.shared.listeners.tell(&status);
        false
    }

    /// Has each refusal told. One that panics harms nothing.
    pub fn on_refused(&self, listener: impl Fn(&ThrottleStatus) + Send + Sync + 'static) {
        self.shared.listeners.add(Arc::new(listener));
    }

    /// Counts a request that was sent, and whether the other side accepted it.
    pub fn record(&self, accepted: bool, now: Duration) {
        self.lock().record(accepted, now);
    }

    /// What was asked and accepted within the window.
    #[must_use]
    pub fn status(&self, now: Duration) -> ThrottleStatus {
        self.lock().status(now)
    }

    fn lock(&self) -> MutexGuard<'_, ThrottleState> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts a throttle in front of services; all of them share it.
///
/// Answers and [`ErrorClass::Permanent`] errors count as accepted: the other side did look at the
/// request. All times are those of the stamps. What is refused here is
/// [`Rejected::Overloaded`]; the limit in it is the number of requests that the other side
/// accepted within the window.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::throttle::{ClientThrottle, ThrottleConfig, ThrottleLayer};
/// use ironlight_hardening::stamp::{BareLayer, StampLayer};
/// use ironlight_hardening::TokioTimer;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let timer = TokioTimer::new();
/// let throttle = ClientThrottle::new(ThrottleConfig::default(), 1);
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(timer))
///     .layer(ThrottleLayer::new(throttle.clone()))
///     .layer(BareLayer)
///     .service(service_fn(async |n: u32| Ok::<_, std::io::Error>(n + 1)));
/// assert_eq!(service.oneshot(1).await.unwrap(), 2);
/// assert_eq!(throttle.status(Duration::ZERO).refusal, 0.0);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ThrottleLayer {
    throttle: ClientThrottle,
}

impl ThrottleLayer {
    /// Keep a clone of the throttle for its status.
    #[must_use]
    pub const fn new(throttle: ClientThrottle) -> Self {
        Self { throttle }
    }
}

impl<S> Layer<S> for ThrottleLayer {
    type Service = Throttle<S>;

    fn layer(&self, inner: S) -> Throttle<S> {
        Throttle { inner, throttle: self.throttle.clone() }
    }
}

/// The service of [`ThrottleLayer`].
///
/// The [module](super) has an example.
#[derive(Clone, Debug)]
pub struct Throttle<S> {
    inner: S,
    throttle: ClientThrottle,
}

impl<S, R> Service<Stamped<R>> for Throttle<S>
where
    S: Service<Stamped<R>>,
    S::Error: From<Rejected> + Classify,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ThrottleFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, stamped: Stamped<R>) -> Self::Future {
        let at = stamped.at;
        let inner = self.throttle.admits(at).then(|| self.inner.call(stamped));
        ThrottleFuture { inner, throttle: self.throttle.clone(), at }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`Throttle`]. Dropped before its end it counts for nothing.
    #[derive(Debug)]
    pub struct ThrottleFuture<F> {
        #[pin]
        inner: Option<F>,
        throttle: ClientThrottle,
        at: Duration,
    }
}

impl<F, T, E> Future for ThrottleFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: From<Rejected> + Classify,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else {
            let accepts = this.throttle.status(*this.at).accepts;
            let limit = u32::try_from(accepts).unwrap_or(u32::MAX);
            return Poll::Ready(Err(Rejected::Overloaded { limit }.into()));
        };
        let done = ready!(inner.poll(context));
        let accepted = match &done {
            Ok(_) => true,
            Err(error) => error.class() == ErrorClass::Permanent,
        };
        this.throttle.record(accepted, *this.at);
        Poll::Ready(done)
    }
}

//! One time and one deadline that a request carries through all layers.
//!
//! Reading the clock costs more than most decisions here. So it is read once, on the outside, by
//! [`StampLayer`]; the layers see [`Stamped`] requests; and [`BareLayer`], on the inside, gives the
//! service what it knows: its own request. There the service's error also becomes an [`Error`],
//! which the layers can add their refusals to.
//!
//! ```
//! use core::time::Duration;
//! use ironlight_hardening::stamp::{BareLayer, StampLayer, Stamped};
//! use ironlight_hardening::{ManualClock, Error};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let service = ServiceBuilder::new()
//!     .layer(StampLayer::new(ManualClock::default()).with_timeout(Duration::from_secs(10)))
//!     .layer(BareLayer)
//!     .service(service_fn(async |n: u32| Ok::<_, std::io::Error>(n + 1)));
//! assert_eq!(service.oneshot(1).await.unwrap(), 2);
//! # }
//! ```

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;

use tower_layer::Layer;
use tower_service::Service;

use crate::clock::Clock;
use crate::error::Error;

/// A request with its time.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::stamp::Stamped;
///
/// let second = Duration::from_secs(1);
/// let stamped = Stamped { deadline: Some(9 * second), ..Stamped::new("tip", 2 * second) };
/// assert_eq!(stamped.left(5 * second), Some(4 * second));
/// assert_eq!(stamped.map(str::len).request, 3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamped<R> {
    /// What is asked for.
    pub request: R,
    /// When it came in.
    pub at: Duration,
    /// When nobody waits for the answer any more.
    pub deadline: Option<Duration>,
}

impl<R> Stamped<R> {
    /// A request without a deadline.
    pub const fn new(request: R, at: Duration) -> Self {
        Self { request, at, deadline: None }
    }

    /// The same with another request in it.
    pub fn map<Q>(self, with: impl FnOnce(R) -> Q) -> Stamped<Q> {
        Stamped { request: with(self.request), at: self.at, deadline: self.deadline }
    }

    /// The time that is left; none where there is no deadline.
    #[must_use]
    pub fn left(&self, now: Duration) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_sub(now))
    }
}

/// Stamps requests, on the outside of the layers.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::ManualClock;
/// use ironlight_hardening::stamp::{StampLayer, Stamped};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(ManualClock::default()).with_timeout(Duration::from_secs(9)))
///     .service(service_fn(async |stamped: Stamped<()>| Ok::<_, ()>(stamped.deadline)));
/// assert_eq!(service.oneshot(()).await, Ok(Some(Duration::from_secs(9))));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StampLayer<C> {
    clock: C,
    timeout: Option<Duration>,
}

impl<C: Clock> StampLayer<C> {
    /// Requests without a deadline.
    pub const fn new(clock: C) -> Self {
        Self { clock, timeout: None }
    }

    /// Requests with a deadline so long after they come in. A layer has to keep it: see
    /// `DeadlineLayer`.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }
}

impl<S, C: Clone> Layer<S> for StampLayer<C> {
    type Service = Stamp<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Stamp { inner, clock: self.clock.clone(), timeout: self.timeout }
    }
}

/// The service of [`StampLayer`].
///
/// The [module](self) has an example.
#[derive(Clone, Debug)]
pub struct Stamp<S, C> {
    inner: S,
    clock: C,
    timeout: Option<Duration>,
}

impl<S, C, R> Service<R> for Stamp<S, C>
where
    S: Service<Stamped<R>>,
    C: Clock,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> S::Future {
        let at = self.clock.now();
        let deadline = self.timeout.map(|timeout| at.saturating_add(timeout));
        self.inner.call(Stamped { request, at, deadline })
    }
}

/// Gives the service its own requests, on the inside of the layers.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::Error;
/// use ironlight_hardening::stamp::{BareLayer, Stamped};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let service = ServiceBuilder::new()
///     .layer(BareLayer)
///     .service(service_fn(async |n: u32| if n > 0 { Ok(n) } else { Err("none") }));
/// let asked = service.oneshot(Stamped::new(0, Duration::ZERO));
/// assert_eq!(asked.await, Err(Error::Inner("none")));
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct BareLayer;

impl<S> Layer<S> for BareLayer {
    type Service = Bare<S>;

    fn layer(&self, inner: S) -> Bare<S> {
        Bare { inner }
    }
}

/// The service of [`BareLayer`].
///
/// The [module](self) has an example.
#[derive(Clone, Copy, Debug)]
pub struct Bare<S> {
    inner: S,
}

impl<S, R> Service<Stamped<R>> for Bare<S>
where
    S: Service<R>,
{
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = BareFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(Error::Inner)
    }

    fn call(&mut self, stamped: Stamped<R>) -> Self::Future {
        BareFuture { inner: self.inner.call(stamped.request) }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`Bare`].
    #[derive(Debug)]
    pub struct BareFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, T, E> Future for BareFuture<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let done = ready!(self.project().inner.poll(context));
        Poll::Ready(done.map_err(Error::Inner))
    }
}

//! A deadline in front of a service.

use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::sync::Arc;

use tower_layer::Layer;
use tower_service::Service;

use super::state::tightened;
use crate::clock::Timer;
use crate::error::Rejected;
use crate::listeners::Listeners;
use crate::stamp::Stamped;

/// Gives up on requests whose deadline has passed, and on attempts that take too long.
///
/// The services behind it see the deadline that holds. A request that comes too late is not handed
/// on. An answer that is there when the time is over still counts. Time is counted from the stamp.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::deadline::DeadlineLayer;
/// use ironlight_hardening::stamp::{BareLayer, StampLayer};
/// use ironlight_hardening::TokioTimer;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let timer = TokioTimer::new();
/// let deadline = DeadlineLayer::new(timer).with_attempt_timeout(Duration::from_secs(10));
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(timer))
///     .layer(deadline)
///     .layer(BareLayer)
///     .service(service_fn(|()| core::future::pending::<Result<(), std::io::Error>>()));
/// assert!(service.oneshot(()).await.is_err(), "after ten seconds");
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DeadlineLayer<T> {
    timer: T,
    attempt_timeout: Option<Duration>,
    status: DeadlineStatus,
}

/// How many requests were given up; clones show the same.
///
/// The [module](super) has an example.
#[derive(Clone, Debug, Default)]
pub struct DeadlineStatus {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    unbegun: AtomicU64,
    given_up: AtomicU64,
    listeners: Listeners<Duration>,
}

impl DeadlineStatus {
    /// Those that came too late and were not begun.
    #[must_use]
    pub fn unbegun(&self) -> u64 {
        self.counts.unbegun.load(Ordering::Relaxed)
    }

    /// Those that were begun and took too long.
    #[must_use]
    pub fn given_up(&self) -> u64 {
        self.counts.given_up.load(Ordering::Relaxed)
    }

    /// Has each request that is given up told, with how long was waited for it: not at all for one
    /// that came too late. One that panics harms nothing.
    pub fn on_given_up(&self, listener: impl Fn(Duration) + Send + Sync + 'static) {
        self.counts.listeners.add(Arc::new(move |after: &Duration| listener(*after)));
    }
}

impl<T: Timer> DeadlineLayer<T> {
    /// Keeps the deadlines that requests have. The timer is the one that stamps them.
    pub fn new(timer: T) -> Self {
        Self { timer, attempt_timeout: None, status: DeadlineStatus::default() }
    }

    /// No attempt takes longer than this either.
    ///
    /// ```
    /// use core::time::Duration;
    /// use ironlight_hardening::deadline::DeadlineLayer;
    /// use ironlight_hardening::stamp::{BareLayer, StampLayer};
    /// use ironlight_hardening::TokioTimer;
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let timer = TokioTimer::new();
    /// let deadline = DeadlineLayer::new(timer).with_attempt_timeout(Duration::from_secs(10));
    /// let status = deadline.status().clone();
    /// let service = ServiceBuilder::new()
    ///     .layer(StampLayer::new(timer))
    ///     .layer(deadline)
    ///     .layer(BareLayer)
    ///     .service(service_fn(|()| core::future::pending::<Result<(), std::io::Error>>()));
    /// assert!(service.oneshot(()).await.is_err());
    /// assert_eq!((status.given_up(), status.unbegun()), (1, 0));
    /// # }
    /// ```
    #[must_use]
    pub fn with_attempt_timeout(self, timeout: Duration) -> Self {
        Self { attempt_timeout: Some(timeout), ..self }
    }

    /// Counts where others of the same guard count.
    pub(crate) fn with_status(self, status: DeadlineStatus) -> Self {
        Self { status, ..self }
    }

    /// How many requests were given up.
    #[must_use]
    pub const fn status(&self) -> &DeadlineStatus {
        &self.status
    }
}

impl<S, T: Clone> Layer<S> for DeadlineLayer<T> {
    type Service = Deadline<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        Deadline { inner, layer: self.clone() }
    }
}

/// The service of [`DeadlineLayer`].
///
/// The [module](super) has an example.
#[derive(Clone, Debug)]
pub struct Deadline<S, T> {
    inner: S,
    layer: DeadlineLayer<T>,
}

impl<S, T, R> Service<Stamped<R>> for Deadline<S, T>
where
    S: Service<Stamped<R>>,
    S::Error: From<Rejected>,
    T: Timer,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = DeadlineFuture<S::Future, T>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut stamped: Stamped<R>) -> Self::Future {
        let layer = &self.layer;
        stamped.deadline = tightened(stamped.deadline, layer.attempt_timeout, stamped.at);
        let (began, deadline) = (stamped.at, stamped.deadline);
        let in_time = deadline.is_none_or(|deadline| began < deadline);
        DeadlineFuture {
            inner: in_time.then(|| self.inner.call(stamped)),
            began,
            deadline,
            sleep: None,
            timer: layer.timer.clone(),
            status: layer.status.clone(),
        }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`Deadline`].
    #[derive(Debug)]
    pub struct DeadlineFuture<F, T: Timer> {
        #[pin]
        inner: Option<F>,
        began: Duration,
        deadline: Option<Duration>,
        // Made when the answer is not there at once.
        #[pin]
        sleep: Option<T::Sleep>,
        timer: T,
        status: DeadlineStatus,
    }
}

impl<F, T, A, E> Future for DeadlineFuture<F, T>
where
    F: Future<Output = Result<A, E>>,
    T: Timer,
    E: From<Rejected>,
{
    type Output = Result<A, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            this.status.counts.unbegun.fetch_add(1, Ordering::Relaxed);
            this.status.counts.listeners.tell(&Duration::ZERO);
            return Poll::Ready(Err(Rejected::Timeout { after: Duration::ZERO }.into()));
        };
        if let Poll::Ready(done) = inner.poll(context) {
            return Poll::Ready(done);
        }
        let Some(deadline) = *this.deadline else { return Poll::Pending };
        if this.sleep.is_none() {
            let left = deadline.saturating_sub(this.timer.now());
            this.sleep.set(Some(this.timer.sleep(left)));
        }
        if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
            ready!(sleep.poll(context));
        }
        this.status.counts.given_up.fetch_add(1, Ordering::Relaxed);
        // What is given up is dropped now, not when its caller gets to it.
        this.inner.set(None);
        let after = deadline.saturating_sub(*this.began);
        this.status.counts.listeners.tell(&after);
        Poll::Ready(Err(Rejected::Timeout { after }.into()))
    }
}

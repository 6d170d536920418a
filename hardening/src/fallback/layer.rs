//! A fallback in front of a service.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll, ready};
use std::sync::Arc;

use tower_layer::Layer;
use tower_service::Service;

use super::answer::Answer;
use crate::error::{Classify, ErrorClass};
use crate::listeners::Listeners;
use crate::stamp::Stamped;

/// Gives another answer for errors of chosen classes.
///
/// `keep` takes from the request what the answer needs, before the service gets it. `answer` makes
/// the other answer from that and the error, at once or later ([`Answer`]); it may also give an
/// error, the same or another.
///
/// ```
/// use ironlight_hardening::fallback::{AtOnce, FallbackLayer};
/// use ironlight_hardening::Error;
/// use ironlight_hardening::stamp::{BareLayer, StampLayer};
/// use ironlight_hardening::TokioTimer;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let timer = TokioTimer::new();
/// let answer = AtOnce::new(|_: Error<std::io::Error>| Ok(0));
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(timer))
///     .layer(FallbackLayer::new(|_: &u32| (), answer))
///     .layer(BareLayer)
///     .service(service_fn(async |_: u32| {
///         Err::<u32, _>(std::io::Error::from(std::io::ErrorKind::TimedOut))
///     }));
/// assert_eq!(service.oneshot(1).await.unwrap(), 0);
/// # }
/// ```
pub struct FallbackLayer<K, A> {
    keep: K,
    answer: A,
    chosen: fn(ErrorClass) -> bool,
    status: FallbackStatus,
}

/// How often the other answer was asked for; clones show the same.
///
/// The [module](super) has an example.
#[derive(Clone, Debug, Default)]
pub struct FallbackStatus(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    used: AtomicU64,
    listeners: Listeners<ErrorClass>,
}

impl FallbackStatus {
    /// How often, in all.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Has each use told, with the class of the error that it stands in for. One that panics harms
    /// nothing.
    pub fn on_used(&self, listener: impl Fn(ErrorClass) + Send + Sync + 'static) {
        self.0.listeners.add(Arc::new(move |class: &ErrorClass| listener(*class)));
    }
}

impl<K, A> FallbackLayer<K, A> {
    /// For all errors but [`ErrorClass::Permanent`] ones.
    pub fn new(keep: K, answer: A) -> Self {
        Self { keep, answer, chosen: ErrorClass::is_retryable, status: FallbackStatus::default() }
    }

    /// For errors of these classes.
    ///
    /// ```
    /// use core::time::Duration;
    /// use ironlight_hardening::fallback::{AtOnce, FallbackLayer};
    /// use ironlight_hardening::stamp::{BareLayer, Stamped};
    /// use ironlight_hardening::{Error, ErrorClass};
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let layer = FallbackLayer::new(|(): &()| (), AtOnce::new(|_: Error<std::io::Error>| Ok(0)))
    ///     .for_classes(|class| class == ErrorClass::Timeout);
    /// let status = layer.status().clone();
    /// let denied = || std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    /// let service = ServiceBuilder::new()
    ///     .layer(layer)
    ///     .layer(BareLayer)
    ///     .service(service_fn(async |()| Err::<u32, _>(denied())));
    /// assert!(service.oneshot(Stamped::new((), Duration::ZERO)).await.is_err());
    /// assert_eq!(status.used(), 0);
    /// # }
    /// ```
    #[must_use]
    pub fn for_classes(self, chosen: fn(ErrorClass) -> bool) -> Self {
        Self { chosen, ..self }
    }

    /// Counts where others of the same guard count.
    pub(crate) fn with_status(self, status: FallbackStatus) -> Self {
        Self { status, ..self }
    }

    /// How often the other answer was asked for.
    #[must_use]
    pub const fn status(&self) -> &FallbackStatus {
        &self.status
    }
}

impl<K: Clone, A: Clone> Clone for FallbackLayer<K, A> {
    fn clone(&self) -> Self {
        Self {
            keep: self.keep.clone(),
            answer: self.answer.clone(),
            chosen: self.chosen,
            status: self.status.clone(),
        }
    }
}

impl<K, A> fmt::Debug for FallbackLayer<K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackLayer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl<S, K: Clone, A: Clone> Layer<S> for FallbackLayer<K, A> {
    type Service = Fallback<S, K, A>;

    fn layer(&self, inner: S) -> Self::Service {
        Fallback { inner, layer: self.clone() }
    }
}

/// The service of [`FallbackLayer`]. It covers what the call answers; an error on becoming ready
/// is passed on, as there is no request yet.
///
/// The [module](super) has an example.
#[derive(Clone, Debug)]
pub struct Fallback<S, K, A> {
    inner: S,
    layer: FallbackLayer<K, A>,
}

impl<S, K, A, R, Kept> Service<Stamped<R>> for Fallback<S, K, A>
where
    S: Service<Stamped<R>>,
    S::Error: Classify,
    K: Fn(&R) -> Kept,
    A: Answer<Kept, S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = FallbackFuture<S::Future, A::Future, A, Kept>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, stamped: Stamped<R>) -> Self::Future {
        let kept = (self.layer.keep)(&stamped.request);
        FallbackFuture {
            inner: self.inner.call(stamped),
            other: None,
            answer: Some((self.layer.answer.clone(), kept)),
            chosen: self.layer.chosen,
            status: self.layer.status.clone(),
        }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`Fallback`].
    pub struct FallbackFuture<I, F, A, K> {
        #[pin]
        inner: I,
        #[pin]
        other: Option<F>,
        answer: Option<(A, K)>,
        chosen: fn(ErrorClass) -> bool,
        status: FallbackStatus,
    }
}

impl<I, F, A, K> fmt::Debug for FallbackFuture<I, F, A, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answering = self.other.is_some();
        f.debug_struct("FallbackFuture").field("answering", &answering).finish_non_exhaustive()
    }
}

impl<I, F, A, K, T, E> Future for FallbackFuture<I, F, A, K>
where
    I: Future<Output = Result<T, E>>,
    F: Future<Output = Result<T, E>>,
    A: Answer<K, T, E, Future = F>,
    E: Classify,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if let Some(other) = this.other.as_mut().as_pin_mut() {
                return other.poll(context);
            }
            let error = match ready!(this.inner.as_mut().poll(context)) {
                Err(error) if (this.chosen)(error.class()) => error,
                done => return Poll::Ready(done),
            };
            let Some((answer, kept)) = this.answer.take() else {
                return Poll::Ready(Err(error));
            };
            this.status.0.used.fetch_add(1, Ordering::Relaxed);
            this.status.0.listeners.tell(&error.class());
            this.other.set(Some(answer.answer(kept, error)));
        }
    }
}

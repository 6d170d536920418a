//! Measures every call that passes.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tower_layer::Layer;
use tower_service::Service;

use super::performance::Operation;
use crate::clock::Clock;
use crate::error::{Classify, ErrorClass};
use crate::stamp::Stamped;

/// Calls a listener; one that panics disturbs nobody else.
pub(crate) fn isolated(listener: impl FnOnce()) {
    // What the listener left half-done is the listener's own.
    let _panicked = catch_unwind(AssertUnwindSafe(listener));
}

/// A call that took long.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::monitor::{MonitorLayer, PerformanceStats};
/// use ironlight_hardening::MonotonicClock;
///
/// let operation = PerformanceStats::default().operation("fetch");
/// let layer = MonitorLayer::new(operation, MonotonicClock::new())
///     .slow_from(Duration::from_secs(1))
///     .on_slow(|call| eprintln!("{} took {:?}", call.name, call.took));
/// assert_eq!(layer.operation().name(), "fetch");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SlowCall<'a> {
    /// The operation.
    pub name: &'a str,
    /// How long it took.
    pub took: Duration,
    /// How it ended.
    pub outcome: Result<(), ErrorClass>,
}

type OnSlow = Arc<dyn Fn(&SlowCall<'_>) + Send + Sync>;

/// What a call needs of its layer, in one `Arc`: counting references up and down costs as much as
/// the recording.
#[derive(Clone)]
struct Shared {
    operation: Operation,
    slow_from: Duration,
    on_slow: Vec<OnSlow>,
}

/// A call that goes on. Dropped before its end, it counts as cancelled.
struct Call {
    shared: Arc<Shared>,
    ended: bool,
}

impl Call {
    fn begin(shared: Arc<Shared>) -> Self {
        shared.operation.enter();
        Self { shared, ended: false }
    }

    fn end(&mut self, took: Duration, outcome: Result<(), ErrorClass>, now: Duration) {
        self.ended = true;
        self.shared.operation.record(took, outcome, now);
        if took >= self.shared.slow_from {
            let slow = SlowCall { name: self.shared.operation.name(), took, outcome };
            for listener in &self.shared.on_slow {
                isolated(|| listener(&slow));
            }
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.shared.operation.leave(!self.ended);
    }
}

/// Records each call to an operation: from its stamp to its end, with the class of its error.
///
/// The operation is the handle to read the figures from.
///
/// ```
/// use ironlight_hardening::ManualClock;
/// use ironlight_hardening::monitor::{MonitorLayer, PerformanceStats};
/// use ironlight_hardening::stamp::{BareLayer, StampLayer};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let clock = ManualClock::default();
/// let fetch = PerformanceStats::default().operation("fetch");
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(clock.clone()))
///     .layer(MonitorLayer::new(fetch.clone(), clock))
///     .layer(BareLayer)
///     .service(service_fn(async |n: u32| Ok::<_, std::io::Error>(n + 1)));
/// service.oneshot(1).await.unwrap();
/// assert_eq!(fetch.report(core::time::Duration::ZERO).errors.calls, 1);
/// # }
/// ```
#[derive(Clone)]
pub struct MonitorLayer<C> {
    clock: C,
    shared: Arc<Shared>,
}

impl<C> fmt::Debug for MonitorLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MonitorLayer")
            .field("operation", &self.shared.operation)
            .finish_non_exhaustive()
    }
}

impl<C: Clock> MonitorLayer<C> {
    /// Records to this operation. The clock is the one that stamps the requests.
    #[must_use]
    pub fn new(operation: Operation, clock: C) -> Self {
        let shared = Shared { operation, slow_from: Duration::from_secs(1), on_slow: Vec::new() };
        Self { clock, shared: Arc::new(shared) }
    }

    /// From when on a call is slow; a second if this is not called.
    #[must_use]
    pub fn slow_from(mut self, time: Duration) -> Self {
        Arc::make_mut(&mut self.shared).slow_from = time;
        self
    }

    /// Calls this after every slow call, where the call ended; it should not take long.
    #[must_use]
    pub fn on_slow(mut self, listener: impl Fn(&SlowCall<'_>) + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.shared).on_slow.push(Arc::new(listener));
        self
    }

    /// The operation that is recorded to.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.shared.operation.clone()
    }
}

impl<S, C: Clone> Layer<S> for MonitorLayer<C> {
    type Service = Monitor<S, C>;

    fn layer(&self, inner: S) -> Monitor<S, C> {
        Monitor { inner, layer: self.clone() }
    }
}

/// The service of [`MonitorLayer`].
///
/// See [`MonitorLayer`] for an example.
#[derive(Clone, Debug)]
pub struct Monitor<S, C> {
    inner: S,
    layer: MonitorLayer<C>,
}

impl<S, C, R> Service<Stamped<R>> for Monitor<S, C>
where
    S: Service<Stamped<R>>,
    S::Error: Classify,
    C: Clock,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = MonitorFuture<S::Future, C>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, stamped: Stamped<R>) -> Self::Future {
        let call = Call::begin(self.layer.shared.clone());
        let at = stamped.at;
        let inner = self.inner.call(stamped);
        MonitorFuture { inner, call, at, clock: self.layer.clock.clone() }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`Monitor`]. Dropped before its end, the call counts as cancelled.
    pub struct MonitorFuture<F, C> {
        #[pin]
        inner: F,
        call: Call,
        at: Duration,
        clock: C,
    }
}

impl<F, C> fmt::Debug for MonitorFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MonitorFuture").field("at", &self.at).finish_non_exhaustive()
    }
}

impl<F, C, T, E> Future for MonitorFuture<F, C>
where
    F: Future<Output = Result<T, E>>,
    E: Classify,
    C: Clock,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let done = ready!(this.inner.poll(context));
        let outcome = done.as_ref().map(|_| ()).map_err(Classify::class);
        let now = this.clock.now();
        this.call.end(now.saturating_sub(*this.at), outcome, now);
        Poll::Ready(done)
    }
}

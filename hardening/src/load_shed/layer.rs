//! Load shedding in front of a service.

use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::task::{Context, Poll, ready};
use std::sync::Arc;

use tower_layer::Layer;
use tower_service::Service;

use crate::error::Rejected;
use crate::listeners::Listeners;
use crate::stamp::Stamped;

/// Is always ready; refuses requests while the service is not, with
/// [`Rejected::Overloaded`]. The limit in it is the number of requests that are being done.
///
/// ```
/// use ironlight_hardening::load_shed::LoadShedLayer;
/// use ironlight_hardening::stamp::{BareLayer, StampLayer};
/// use ironlight_hardening::TokioTimer;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let timer = TokioTimer::new();
/// let shed = LoadShedLayer::default();
/// let status = shed.status().clone();
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(timer))
///     .layer(shed)
///     .layer(BareLayer)
///     .service(service_fn(async |n: u32| Ok::<_, std::io::Error>(n + 1)));
/// assert_eq!(service.oneshot(1).await.unwrap(), 2);
/// assert_eq!((status.running(), status.refused()), (0, 0));
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct LoadShedLayer {
    status: LoadShedStatus,
}

/// How many are being done and how many were refused; clones show the same.
///
/// The [module](super) has an example.
#[derive(Clone, Debug, Default)]
pub struct LoadShedStatus {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    running: AtomicU32,
    refused: AtomicU64,
    listeners: Listeners<u32>,
}

impl LoadShedStatus {
    /// How many are being done.
    #[must_use]
    pub fn running(&self) -> u32 {
        self.counts.running.load(Ordering::Relaxed)
    }

    /// How many were refused, in all.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.counts.refused.load(Ordering::Relaxed)
    }

    /// Has each refusal told, with how many are being done. One that panics harms nothing.
    pub fn on_refused(&self, listener: impl Fn(u32) + Send + Sync + 'static) {
        self.counts.listeners.add(Arc::new(move |running: &u32| listener(*running)));
    }
}

impl LoadShedLayer {
    /// How many are being done and how many were refused.
    #[must_use]
    pub const fn status(&self) -> &LoadShedStatus {
        &self.status
    }
}

impl<S> Layer<S> for LoadShedLayer {
    type Service = LoadShed<S>;

    fn layer(&self, inner: S) -> LoadShed<S> {
        LoadShed { inner, ready: false, status: self.status.clone() }
    }
}

/// The service of [`LoadShedLayer`].
///
/// The [module](super) has an example.
#[derive(Debug)]
pub struct LoadShed<S> {
    inner: S,
    /// Whether the inner service said so, this instance of it.
    ready: bool,
    status: LoadShedStatus,
}

impl<S: Clone> Clone for LoadShed<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), ready: false, status: self.status.clone() }
    }
}

impl<S, R> Service<Stamped<R>> for LoadShed<S>
where
    S: Service<Stamped<R>>,
    S::Error: From<Rejected>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = LoadShedFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if !self.ready {
            self.ready = match self.inner.poll_ready(context) {
                Poll::Ready(done) => done.map(|()| true)?,
                Poll::Pending => false,
            };
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, stamped: Stamped<R>) -> Self::Future {
        if !core::mem::take(&mut self.ready) {
            return LoadShedFuture { inner: None, running: Running(self.status.clone(), false) };
        }
        self.status.counts.running.fetch_add(1, Ordering::Relaxed);
        let running = Running(self.status.clone(), true);
        LoadShedFuture { inner: Some(self.inner.call(stamped)), running }
    }
}

/// One request, and whether it is among those that are being done.
#[derive(Debug)]
struct Running(LoadShedStatus, bool);

impl Running {
    fn end(&mut self) {
        if core::mem::take(&mut self.1) {
            self.0.counts.running.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

pin_project_lite::pin_project! {
    /// The future of [`LoadShed`].
    #[derive(Debug)]
    pub struct LoadShedFuture<F> {
        #[pin]
        inner: Option<F>,
        running: Running,
    }
}

impl<F, T, E> Future for LoadShedFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: From<Rejected>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(inner) = this.inner.as_pin_mut() {
            let done = ready!(inner.poll(context));
            this.running.end();
            return Poll::Ready(done);
        }
        let status = &this.running.0;
        status.counts.refused.fetch_add(1, Ordering::Relaxed);
        let limit = status.running();
        status.counts.listeners.tell(&limit);
        Poll::Ready(Err(Rejected::Overloaded { limit }.into()))
    }
}

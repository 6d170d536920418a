//! Closures and futures as services, and the future that asks a service once.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::sync::{Arc, Mutex, PoisonError};

use tower_service::Service;

/// A service that calls a closure, which makes a new future each time.
///
/// The lock is never waited for: one attempt follows the other.
///
/// Made by [`Guard::call`](super::Guard::call), which has an example.
pub struct Repeat<F>(Arc<Mutex<F>>);

impl<F> Repeat<F> {
    pub(super) fn new(operation: F) -> Self {
        Self(Arc::new(Mutex::new(operation)))
    }
}

impl<F> Clone for Repeat<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F> fmt::Debug for Repeat<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Repeat")
    }
}

impl<F, O, V, E> Service<()> for Repeat<F>
where
    F: FnMut() -> O,
    O: Future<Output = Result<V, E>>,
{
    type Response = V;
    type Error = E;
    type Future = O;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> O {
        let mut operation = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        operation()
    }
}

/// A service whose requests are the futures that it runs.
///
/// Made by [`Guard::once`](super::Guard::once), which has an example.
#[derive(Clone, Copy, Debug)]
pub struct Once;

impl<O, V, E> Service<O> for Once
where
    O: Future<Output = Result<V, E>>,
{
    type Response = V;
    type Error = E;
    type Future = O;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, operation: O) -> O {
        operation
    }
}

pin_project_lite::pin_project! {
    /// The future of a guarded operation. Nothing happens before it is polled; dropped, it gives back
    /// all that it holds, and counts neither for nor against anybody.
    pub struct GuardFuture<S, R>
    where
        S: Service<R>,
    {
        // Until it is asked.
        start: Option<(S, R)>,
        #[pin]
        asked: Option<S::Future>,
    }
}

impl<S: Service<R>, R> GuardFuture<S, R> {
    pub(super) const fn new(service: S, request: R) -> Self {
        Self { start: Some((service, request)), asked: None }
    }
}

impl<S: Service<R>, R> fmt::Debug for GuardFuture<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = self.asked.is_some();
        f.debug_struct("GuardFuture").field("asked", &asked).finish_non_exhaustive()
    }
}

impl<S: Service<R>, R> Future for GuardFuture<S, R> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some((service, _)) = this.start {
            ready!(service.poll_ready(context))?;
        }
        if let Some((mut service, request)) = this.start.take() {
            this.asked.set(Some(service.call(request)));
        }
        match this.asked.as_mut().as_pin_mut() {
            Some(asked) => asked.poll(context),
            // It was asked for before the service failed to become ready: there is nothing to come.
            None => Poll::Pending,
        }
    }
}

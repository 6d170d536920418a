//! From refusals to answers, and from the handler to the layers.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::body::EdgeBody;
use super::future::{EdgeFuture, Finish};
use super::rejection::{Failure, Rejection};
use crate::stamp::Stamped;

/// Makes answers of refusals: outside of all layers that refuse.
///
/// ```
/// use core::convert::Infallible;
/// use core::time::Duration;
/// use http::{Request, Response};
/// use ironlight_hardening::Rejected;
/// use ironlight_hardening::edge::{AnswerLayer, Failure};
/// use ironlight_hardening::stamp::Stamped;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let full = service_fn(async |_: Stamped<Request<()>>| {
///     let rejected = Rejected::Overloaded { limit: 64 };
///     Err::<Response<()>, Failure<Infallible>>(rejected.into())
/// });
/// let asked = Stamped::new(Request::new(()), Duration::ZERO);
/// let answer = AnswerLayer.layer(full).oneshot(asked).await.unwrap();
/// assert_eq!(answer.status(), 503);
/// assert_eq!(answer.headers()["retry-after"], "1");
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct AnswerLayer;

impl<S> Layer<S> for AnswerLayer {
    type Service = Answer<S>;

    fn layer(&self, inner: S) -> Answer<S> {
        Answer { inner, refused: None }
    }
}

/// The service of [`AnswerLayer`].
///
/// See [`AnswerLayer`] for an example.
#[derive(Debug)]
pub struct Answer<S> {
    inner: S,
    /// The inner service refused to be ready; the next request is told so.
    refused: Option<Rejection>,
}

impl<S: Clone> Clone for Answer<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), refused: None }
    }
}

impl<S, B, D, E> Service<Stamped<Request<B>>> for Answer<S>
where
    S: Service<Stamped<Request<B>>, Response = Response<D>, Error = Failure<E>>,
{
    type Response = Response<EdgeBody<D>>;
    type Error = E;
    type Future = EdgeFuture<S::Future, Answering>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), E>> {
        match ready!(self.inner.poll_ready(context)) {
            Ok(()) => self.refused = None,
            Err(Failure::Rejection(rejection)) => self.refused = Some(rejection),
            Err(Failure::Inner(error)) => return Poll::Ready(Err(error)),
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, stamped: Stamped<Request<B>>) -> Self::Future {
        match self.refused.take() {
            Some(rejection) => EdgeFuture::known(Ok(rejection.response())),
            None => EdgeFuture::runs(self.inner.call(stamped), Answering),
        }
    }
}

/// What [`Answer`] does with an answer.
///
/// See [`AnswerLayer`] for an example.
#[derive(Clone, Copy, Debug)]
pub struct Answering;

impl<D, E> Finish<Result<Response<D>, Failure<E>>> for Answering {
    type Output = Result<Response<EdgeBody<D>>, E>;

    fn finish(self, done: Result<Response<D>, Failure<E>>) -> Self::Output {
        match done {
            Ok(response) => Ok(response.map(EdgeBody::new)),
            Err(Failure::Rejection(rejection)) => Ok(rejection.response()),
            Err(Failure::Inner(error)) => Err(error),
        }
    }
}

/// Gives the handler its own requests, on the inside of the layers, and makes its error one that
/// layers can add their refusals to.
///
/// ```
/// use core::time::Duration;
/// use http::{Request, Response};
/// use ironlight_hardening::edge::{Failure, HandlerLayer};
/// use ironlight_hardening::stamp::Stamped;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let handler = service_fn(async |request: Request<u32>| match request.into_body() {
///     0 => Err("nothing is not enough"),
///     n => Ok(Response::new(n)),
/// });
/// let at = Duration::ZERO;
/// let ask = |n| HandlerLayer.layer(handler).oneshot(Stamped::new(Request::new(n), at));
/// assert_eq!(ask(7).await.unwrap().into_body(), 7);
/// assert_eq!(ask(0).await.unwrap_err(), Failure::Inner("nothing is not enough"));
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct HandlerLayer;

impl<S> Layer<S> for HandlerLayer {
    type Service = Handler<S>;

    fn layer(&self, inner: S) -> Handler<S> {
        Handler { inner }
    }
}

/// The service of [`HandlerLayer`].
///
/// See [`HandlerLayer`] for an example.
#[derive(Clone, Copy, Debug)]
pub struct Handler<S> {
    inner: S,
}

impl<S, B> Service<Stamped<Request<B>>> for Handler<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = Failure<S::Error>;
    type Future = HandlerFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(Failure::Inner)
    }

    fn call(&mut self, stamped: Stamped<Request<B>>) -> Self::Future {
        HandlerFuture { inner: self.inner.call(stamped.request) }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`Handler`].
    #[derive(Debug)]
    pub struct HandlerFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, T, E> Future for HandlerFuture<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, Failure<E>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(context).map_err(Failure::Inner)
    }
}

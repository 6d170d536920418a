//! How large a request's body may be.

use core::fmt;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, ready};
use std::sync::Arc;

use bytes::Buf;
use http::header::CONTENT_LENGTH;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tower_layer::Layer;
use tower_service::Service;

use super::future::{EdgeFuture, Finish};
use super::rejection::Rejection;
use crate::stamp::Stamped;

/// Refuses bodies that say that they are larger, before a byte of them is read, and ends those that
/// turn out to be while they arrive.
///
/// Whatever the handler answers after that becomes [`Rejection::BodyTooLarge`], unless its answer
/// has begun before.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use ironlight_hardening::ManualClock;
/// use ironlight_hardening::edge::{AnswerLayer, BodyCapLayer, CappedBody, HandlerLayer};
/// use ironlight_hardening::stamp::StampLayer;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(ManualClock::default()))
///     .layer(AnswerLayer)
///     .layer(BodyCapLayer::new(10))
///     .layer(HandlerLayer)
///     .service(service_fn(async |_: Request<CappedBody<Full<Bytes>>>| {
///         Ok::<_, std::io::Error>(Response::new(()))
///     }));
/// for (body, status) in [("0123456789", 200), ("0123456789+", 413)] {
///     let answer = service.clone().oneshot(Request::new(body.into())).await.unwrap();
///     assert_eq!(answer.status(), status);
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BodyCapLayer {
    limit: u64,
}

impl BodyCapLayer {
    /// So many bytes at most, of data; the server bounds headers and trailers.
    #[must_use]
    pub const fn new(limit: u64) -> Self {
        Self { limit }
    }
}

impl<S> Layer<S> for BodyCapLayer {
    type Service = BodyCap<S>;

    fn layer(&self, inner: S) -> BodyCap<S> {
        BodyCap { inner, limit: self.limit }
    }
}

/// The service of [`BodyCapLayer`].
///
/// See [`BodyCapLayer`] for an example.
#[derive(Clone, Copy, Debug)]
pub struct BodyCap<S> {
    inner: S,
    limit: u64,
}

/// What the head says about the body's length, if anything that can be read.
fn announced<B: Body>(request: &Request<B>) -> u64 {
    let header = request.headers().get(CONTENT_LENGTH);
    let length = header.and_then(|value| value.to_str().ok()?.parse().ok());
    length.unwrap_or(0).max(request.body().size_hint().lower())
}

impl<S, B, D> Service<Stamped<Request<B>>> for BodyCap<S>
where
    S: Service<Stamped<Request<CappedBody<B>>>, Response = Response<D>>,
    S::Error: From<Rejection>,
    B: Body,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = EdgeFuture<S::Future, Capping>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, stamped: Stamped<Request<B>>) -> Self::Future {
        let limit = self.limit;
        if announced(&stamped.request) > limit {
            return EdgeFuture::known(Err(Rejection::BodyTooLarge { limit }.into()));
        }
        // Most requests have no body, and so nothing to watch.
        let empty = stamped.request.body().is_end_stream();
        let over = (!empty).then(Arc::<AtomicBool>::default);
        let capping = Capping { over: over.clone(), limit };
        let capped = |body| CappedBody { body, left: limit, limit, over, ended: false };
        EdgeFuture::runs(self.inner.call(stamped.map(|request| request.map(capped))), capping)
    }
}

/// What [`BodyCap`] does with an answer.
///
/// See [`BodyCapLayer`] for an example.
#[derive(Clone, Debug)]
pub struct Capping {
    over: Option<Arc<AtomicBool>>,
    limit: u64,
}

impl<D, E: From<Rejection>> Finish<Result<Response<D>, E>> for Capping {
    type Output = Result<Response<D>, E>;

    fn finish(self, done: Result<Response<D>, E>) -> Self::Output {
        if self.over.is_some_and(|over| over.load(Ordering::Relaxed)) {
            return Err(Rejection::BodyTooLarge { limit: self.limit }.into());
        }
        done
    }
}

pin_project_lite::pin_project! {
    /// A body that ends with an error where it becomes too large.
    #[derive(Debug)]
    pub struct CappedBody<B> {
        #[pin]
        body: B,
        left: u64,
        limit: u64,
        over: Option<Arc<AtomicBool>>,
        ended: bool,
    }
}

impl<B: Body> Body for CappedBody<B>
where
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BodyError>>> {
        let this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        let frame = match ready!(this.body.poll_frame(context)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(BodyError::Inner(error.into())))),
            Some(Ok(frame)) => frame,
        };
        let size = frame.data_ref().map_or(0, Buf::remaining);
        match this.left.checked_sub(u64::try_from(size).unwrap_or(u64::MAX)) {
            Some(left) => *this.left = left,
            None => {
                *this.ended = true;
                if let Some(over) = this.over {
                    over.store(true, Ordering::Relaxed);
                }
                return Poll::Ready(Some(Err(BodyError::TooLarge { limit: *this.limit })));
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().min(self.left));
        hint.set_upper(inner.upper().map_or(self.left, |upper| upper.min(self.left)));
        hint
    }
}

/// Any error, as body types have it.
type BoxError = Box<dyn core::error::Error + Send + Sync>;

/// Why a [`CappedBody`] ended.
///
/// ```
/// use bytes::Bytes;
/// use core::time::Duration;
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Full};
/// use ironlight_hardening::edge::{BodyCapLayer, BodyError, CappedBody, Failure, HandlerLayer};
/// use ironlight_hardening::stamp::Stamped;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let service = ServiceBuilder::new().layer(BodyCapLayer::new(10)).layer(HandlerLayer);
/// let service = service.service(service_fn(async |request: Request<CappedBody<_>>| {
///     let error = request.into_body().collect().await.unwrap_err();
///     assert!(matches!(error, BodyError::TooLarge { limit: 10 }));
///     assert_eq!(error.to_string(), "the body is larger than 10 bytes");
///     Ok::<_, std::io::Error>(Response::new(()))
/// }));
/// // A body that does not say before how long it is.
/// let body = Full::<Bytes>::from("0123456789+").map_frame(|frame| frame);
/// let refused = service.oneshot(Stamped::new(Request::new(body), Duration::ZERO)).await;
/// assert!(matches!(refused, Err(Failure::Rejection(_))));
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// It was larger than is taken.
    TooLarge {
        /// The most bytes.
        limit: u64,
    },
    /// The body's own error.
    Inner(BoxError),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => write!(f, "the body is larger than {limit} bytes"),
            Self::Inner(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::TooLarge { .. } => None,
            Self::Inner(error) => error.source(),
        }
    }
}

//! Refuses what is over its limit, and tells everybody what is left.

use core::fmt;
use core::task::{Context, Poll};
use std::sync::Arc;

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::client::ClientKey;
use super::future::{EdgeFuture, Finish};
use super::head::Head;
use super::limits::{CostClass, EdgeLimits, LimitReport};
use super::rejection::Rejection;
use crate::stamp::Stamped;

type Classify = Arc<dyn Fn(&Head<'_>) -> CostClass + Send + Sync>;

/// Takes a token for each request from the limit of its class and its client
/// ([`Client`](super::Client)); refuses with [`Rejection::RateLimited`]. Answers carry `RateLimit`
/// and `RateLimit-Policy`, refusals too.
///
/// ```
/// use http::{Request, Response};
/// use ironlight_hardening::ManualClock;
/// use ironlight_hardening::edge::{AnswerLayer, EdgeLimits, HandlerLayer, LimitLayer};
/// use ironlight_hardening::stamp::StampLayer;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(ManualClock::default()))
///     .layer(AnswerLayer)
///     .layer(LimitLayer::new(EdgeLimits::default()))
///     .layer(HandlerLayer)
///     .service(service_fn(async |_: Request<()>| Ok::<_, std::io::Error>(Response::new(()))));
/// let answer = service.oneshot(Request::new(())).await.unwrap();
/// assert_eq!(answer.headers()["ratelimit-policy"], r#""light-minute";q=60;w=60"#);
/// assert_eq!(answer.headers()["ratelimit"], r#""light-minute";r=59;t=1"#);
/// # }
/// ```
#[derive(Clone)]
pub struct LimitLayer {
    limits: EdgeLimits,
    classify: Classify,
}

impl fmt::Debug for LimitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitLayer").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl LimitLayer {
    /// These limits; classes by method ([`CostClass::by_method`]).
    #[must_use]
    pub fn new(limits: EdgeLimits) -> Self {
        Self { limits, classify: Arc::new(CostClass::by_method) }
    }

    /// Says what a request costs. It must not depend on what callers can choose at no cost, such
    /// as a header of theirs.
    #[must_use]
    pub fn classify(
        self,
        classify: impl Fn(&Head<'_>) -> CostClass + Send + Sync + 'static,
    ) -> Self {
        Self { classify: Arc::new(classify), ..self }
    }

    fn take<B>(&self, stamped: &Stamped<Request<B>>) -> Result<Option<LimitReport>, Rejection> {
        let head = Head::of(&stamped.request);
        let key = ClientKey::of(head.extensions);
        self.limits.take((self.classify)(&head), &key, stamped.at)
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        Limited { inner, layer: self.clone() }
    }
}

/// The service of [`LimitLayer`].
///
/// See [`LimitLayer`] for an example.
#[derive(Clone, Debug)]
pub struct Limited<S> {
    inner: S,
    layer: LimitLayer,
}

impl<S, B, D> Service<Stamped<Request<B>>> for Limited<S>
where
    S: Service<Stamped<Request<B>>, Response = Response<D>>,
    S::Error: From<Rejection>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = EdgeFuture<S::Future, Report>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, stamped: Stamped<Request<B>>) -> Self::Future {
        match self.layer.take(&stamped) {
            Ok(report) => EdgeFuture::runs(self.inner.call(stamped), Report(report)),
            Err(rejection) => EdgeFuture::known(Err(rejection.into())),
        }
    }
}

/// What [`Limited`] does with an answer.
///
/// See [`LimitLayer`] for an example.
#[derive(Clone, Copy, Debug)]
pub struct Report(Option<LimitReport>);

impl<D, E> Finish<Result<Response<D>, E>> for Report {
    type Output = Result<Response<D>, E>;

    fn finish(self, done: Result<Response<D>, E>) -> Self::Output {
        done.map(|mut response| {
            if let Some(report) = self.0 {
                report.write_to(response.headers_mut());
            }
            response
        })
    }
}

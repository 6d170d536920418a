//! Answers from the cache, and takes out what writes change.

use core::fmt;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AGE, HeaderName};
use http::{HeaderValue, Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::fill::{Fill, Tee};
use super::key::CacheKey;
use super::rules::{Freshness, Invalidate, age, keep, lasting};
use super::state::{Begun, ResponseCache, Stored};
use crate::edge::body::EdgeBody;
use crate::edge::future::{EdgeFuture, Finish};
use crate::edge::head::Head;
use crate::stamp::Stamped;

/// `hit` or `miss`; absent where the cache was not asked.
pub const CACHE_HEADER: HeaderName = HeaderName::from_static("x-cache");

type FreshnessRule = Arc<dyn Fn(&Head<'_>) -> Freshness + Send + Sync>;
type InvalidateRule = Arc<dyn Fn(&Head<'_>) -> Invalidate + Send + Sync>;

/// Puts a [`ResponseCache`] before services; all of them share it. What is in an answer's
/// extensions is not kept.
///
/// A write whose answer is the caller's mistake (4xx) changed nothing, and takes nothing out.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Empty, Full};
/// use ironlight_hardening::ManualClock;
/// use ironlight_hardening::edge::{HandlerLayer, ResponseCache, ResponseCacheLayer};
/// use ironlight_hardening::stamp::StampLayer;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let cache = ResponseCache::new(Default::default());
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(ManualClock::default()))
///     .layer(ResponseCacheLayer::new(cache.clone()))
///     .layer(HandlerLayer)
///     .service(service_fn(async |_: Request<Empty<Bytes>>| {
///         Ok::<_, std::io::Error>(Response::new(Full::<Bytes>::from("7")))
///     }));
/// for expected in ["miss", "hit"] {
///     let answer = service.clone().oneshot(Request::new(Empty::new())).await.unwrap();
///     assert_eq!(answer.headers()["x-cache"], expected);
///     assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "7");
/// }
/// assert_eq!(cache.stats().hits, 1);
/// # }
/// ```
#[derive(Clone)]
pub struct ResponseCacheLayer {
    cache: Option<ResponseCache>,
    freshness: FreshnessRule,
    invalidates: InvalidateRule,
}

impl fmt::Debug for ResponseCacheLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseCacheLayer").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl ResponseCacheLayer {
    /// Answers that do not say how long they hold are kept [`Freshness::UntilNext`], unless
    /// [`freshness`](Self::freshness) says otherwise; [`Edge::new`](crate::edge::Edge::new) has it
    /// say [`Freshness::Never`]. A write takes out its path's
    /// [first segment](Invalidate::first_segment).
    ///
    /// An answer that depends on the [`Client`](crate::edge::Client) must be [`Freshness::Never`]:
    /// who asks is part of the key only as a [`Principal`](crate::edge::Principal).
    #[must_use]
    pub fn new(cache: ResponseCache) -> Self {
        Self { cache: Some(cache), ..Self::off() }
    }

    /// Keeps nothing.
    #[must_use]
    pub fn off() -> Self {
        let freshness = Arc::new(|_: &Head<'_>| Freshness::UntilNext);
        Self { cache: None, freshness, invalidates: Arc::new(Invalidate::first_segment) }
    }

    /// How long answers hold that do not say so themselves.
    #[must_use]
    pub fn freshness(self, rule: impl Fn(&Head<'_>) -> Freshness + Send + Sync + 'static) -> Self {
        Self { freshness: Arc::new(rule), ..self }
    }

    /// What a write makes wrong.
    #[must_use]
    pub fn invalidates(
        self,
        rule: impl Fn(&Head<'_>) -> Invalidate + Send + Sync + 'static,
    ) -> Self {
        Self { invalidates: Arc::new(rule), ..self }
    }

    /// What is to be done with a request.
    fn plan<B: Body>(&self, stamped: &Stamped<Request<B>>) -> Plan {
        let Some(cache) = &self.cache else { return Plan::Pass };
        let head = Head::of(&stamped.request);
        if !head.is_safe() {
            let what = (self.invalidates)(&head);
            return Plan::Write(Invalidator { cache: cache.clone(), what });
        }
        let key = CacheKey::of(&head, cache.config());
        let Some(key) = key.filter(|_| stamped.request.body().is_end_stream()) else {
            return Plan::Pass;
        };
        match cache.look(&key, stamped.at) {
            Ok(stored) => Plan::Hit(stored),
            Err(begun) => {
                let rule = (self.freshness)(&head);
                Plan::Miss(Box::new(Miss { cache: cache.clone(), key, begun, rule }))
            }
        }
    }
}

enum Plan {
    Pass,
    Hit(Arc<Stored>),
    Miss(Box<Miss>),
    Write(Invalidator),
}

/// A lookup that found nothing.
#[derive(Debug)]
struct Miss {
    cache: ResponseCache,
    key: CacheKey,
    begun: Begun,
    rule: Freshness,
}

/// Takes out what a write made wrong when the write is over, or when nobody waits for its end.
#[derive(Debug)]
struct Invalidator {
    cache: ResponseCache,
    what: Invalidate,
}

impl Drop for Invalidator {
    fn drop(&mut self) {
        self.cache.invalidate(&self.what);
    }
}

impl<S> Layer<S> for ResponseCacheLayer {
    type Service = ResponseCached<S>;

    fn layer(&self, inner: S) -> ResponseCached<S> {
        ResponseCached { inner, layer: self.clone() }
    }
}

/// The service of [`ResponseCacheLayer`].
///
/// See [`ResponseCacheLayer`] for an example.
#[derive(Clone, Debug)]
pub struct ResponseCached<S> {
    inner: S,
    layer: ResponseCacheLayer,
}

impl<S, B, D> Service<Stamped<Request<B>>> for ResponseCached<S>
where
    S: Service<Stamped<Request<B>>, Response = Response<D>>,
    B: Body,
    D: Body<Data = Bytes>,
{
    type Response = Response<EdgeBody<Tee<D>>>;
    type Error = S::Error;
    type Future = EdgeFuture<S::Future, CacheFinish>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, stamped: Stamped<Request<B>>) -> Self::Future {
        let kind = match self.layer.plan(&stamped) {
            Plan::Hit(stored) => return EdgeFuture::known(Ok(answer(&stored, stamped.at))),
            Plan::Pass => Kind::Pass,
            Plan::Miss(miss) => Kind::Miss(miss),
            Plan::Write(invalidator) => Kind::Write(invalidator),
        };
        EdgeFuture::runs(self.inner.call(stamped), CacheFinish(kind))
    }
}

fn answer<D>(stored: &Stored, now: Duration) -> Response<EdgeBody<D>> {
    let mut response = Response::new(EdgeBody::known(stored.body.clone()));
    *response.headers_mut() = stored.headers.clone();
    let here = now.saturating_sub(stored.at);
    let age = here.saturating_add(age(&stored.headers)).as_secs();
    response.headers_mut().insert(AGE, age.into());
    response.headers_mut().insert(CACHE_HEADER, HeaderValue::from_static("hit"));
    response
}

/// What [`ResponseCached`] does with an answer.
///
/// See [`ResponseCacheLayer`] for an example.
#[derive(Debug)]
pub struct CacheFinish(Kind);

#[derive(Debug)]
enum Kind {
    Pass,
    Miss(Box<Miss>),
    Write(Invalidator),
}

impl<D: Body<Data = Bytes>, E> Finish<Result<Response<D>, E>> for CacheFinish {
    type Output = Result<Response<EdgeBody<Tee<D>>>, E>;

    fn finish(self, done: Result<Response<D>, E>) -> Self::Output {
        let response = done?;
        match self.0 {
            Kind::Pass => Ok(response.map(|body| EdgeBody::new(Tee::new(body, None)))),
            Kind::Miss(miss) => Ok(miss.fill(response)),
            Kind::Write(mut invalidator) => {
                if response.status().is_client_error() {
                    invalidator.what = Invalidate::Nothing;
                }
                Ok(response.map(|body| EdgeBody::new(Tee::new(body, None))))
            }
        }
    }
}

impl Miss {
    fn fill<D: Body<Data = Bytes>>(self, response: Response<D>) -> Response<EdgeBody<Tee<D>>> {
        let Self { cache, key, begun, rule } = self;
        let (mut parts, body) = response.into_parts();
        let keep = keep(&parts, &key, rule, cache.config());
        let fill = keep.and_then(|keep| {
            let headers = lasting(&parts.headers);
            Fill::begin(&cache, key, headers, keep, begun, &body.size_hint())
        });
        parts.headers.insert(CACHE_HEADER, HeaderValue::from_static("miss"));
        Response::from_parts(parts, EdgeBody::new(Tee::new(body, fill)))
    }
}

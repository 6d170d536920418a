//! A name for each request, to find it again in logs.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll};
use std::sync::Arc;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::client::Client;
use super::future::{EdgeFuture, Finish};
use crate::chance::Chance;
use crate::stamp::Stamped;

/// The header with the request's id, in both directions.
pub const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Bytes of an id.
pub const MAX_REQUEST_ID: usize = 64;

/// A request's id: 1 to [`MAX_REQUEST_ID`] letters, digits, dots, hyphens and underscores, so that
/// it can stand in any log as it is. In the extensions of requests and of answers.
///
/// ```
/// use ironlight_hardening::edge::RequestId;
///
/// assert_eq!(RequestId::parse("a1-b2").unwrap().as_str(), "a1-b2");
/// assert!(RequestId::parse("a\nb").is_none());
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// None where it is not well-formed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let fits = (1..=MAX_REQUEST_ID).contains(&text.len());
        let well_formed = fits && text.bytes().all(good);
        well_formed.then(|| HeaderValue::from_str(text).ok()).flatten().map(Self)
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // All of its characters are visible ASCII.
        self.0.to_str().unwrap_or_default()
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequestId").field(&self.as_str()).finish()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Makes ids: 32 hexadecimal digits from a seed, none twice in 2^63. They are not secrets: whoever
/// sees some can tell the next. Clones share the sequence.
///
/// ```
/// use ironlight_hardening::edge::RequestIds;
///
/// let ids = RequestIds::new(7);
/// let first = ids.next();
/// assert_eq!(first.as_str().len(), 32);
/// assert_ne!(first, ids.clone().next());
/// assert_eq!(first, RequestIds::new(7).next());
/// ```
#[derive(Clone, Debug)]
pub struct RequestIds(Arc<AtomicU64>);

impl RequestIds {
    /// What SplitMix64 adds to its state for each number; an id takes two.
    const TWO_STEPS: u64 = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(2);

    /// The sequence of this seed. Two processes need different ones.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    /// The next id.
    #[must_use]
    pub fn next(&self) -> RequestId {
        let mut chance = Chance::new(self.0.fetch_add(Self::TWO_STEPS, Ordering::Relaxed));
        let text = format!("{:016x}{:016x}", chance.next(), chance.next());
        // Hexadecimal digits are always a header's value.
        let value = HeaderValue::try_from(text);
        RequestId(value.unwrap_or_else(|_| HeaderValue::from_static("none")))
    }
}

/// From whom an id is taken as it comes.
///
/// ```
/// use http::{Request, Response};
/// use ironlight_hardening::ManualClock;
/// use ironlight_hardening::edge::{AcceptId, Client, RequestIdLayer, RequestIds};
/// use ironlight_hardening::stamp::{BareLayer, StampLayer};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let address = "192.0.2.7".parse().unwrap();
/// let stranger = Client { address, peer: address, by_proxy: false };
/// for (accept, taken) in [(AcceptId::FromProxies, false), (AcceptId::FromAll, true)] {
///     let service = ServiceBuilder::new()
///         .layer(StampLayer::new(ManualClock::default()))
///         .layer(RequestIdLayer::new(RequestIds::new(7)).accept(accept))
///         .layer(BareLayer)
///         .service(service_fn(async |_: Request<()>| Ok::<_, std::io::Error>(Response::new(()))));
///     let request = Request::get("/").extension(stranger).header("x-request-id", "r-1");
///     let answer = service.oneshot(request.body(()).unwrap()).await.unwrap();
///     assert_eq!(answer.headers()["x-request-id"] == "r-1", taken);
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AcceptId {
    /// From nobody.
    Never,
    /// From trusted proxies ([`Client::by_proxy`]): they are where a request's trace begins.
    #[default]
    FromProxies,
    /// From everybody. Callers can then give two requests the same id.
    FromAll,
}

/// Gives each request an id, and its answer the same.
///
/// ```
/// use http::{Request, Response};
/// use ironlight_hardening::ManualClock;
/// use ironlight_hardening::edge::{AcceptId, RequestIdLayer, RequestIds};
/// use ironlight_hardening::stamp::{BareLayer, StampLayer};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(ManualClock::default()))
///     .layer(RequestIdLayer::new(RequestIds::new(7)).accept(AcceptId::FromAll))
///     .layer(BareLayer)
///     .service(service_fn(async |_: Request<()>| Ok::<_, std::io::Error>(Response::new(()))));
/// let request = Request::get("/").header("x-request-id", "r-1").body(()).unwrap();
/// let answer = service.oneshot(request).await.unwrap();
/// assert_eq!(answer.headers()["x-request-id"], "r-1");
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RequestIdLayer {
    ids: RequestIds,
    accept: AcceptId,
}

impl RequestIdLayer {
    /// New ids from here, others from trusted proxies.
    #[must_use]
    pub fn new(ids: RequestIds) -> Self {
        Self { ids, accept: AcceptId::default() }
    }

    /// From whom an id is taken.
    #[must_use]
    pub fn accept(self, accept: AcceptId) -> Self {
        Self { accept, ..self }
    }

    fn id<B>(&self, request: &Request<B>) -> RequestId {
        let believed = match self.accept {
            AcceptId::Never => false,
            AcceptId::FromProxies => {
                request.extensions().get::<Client>().is_some_and(|client| client.by_proxy)
            }
            AcceptId::FromAll => true,
        };
        let theirs = believed.then(|| only(request.headers())).flatten();
        theirs.unwrap_or_else(|| self.ids.next())
    }
}

/// The id that came, where there is one and not several.
fn only(headers: &HeaderMap) -> Option<RequestId> {
    let mut values = headers.get_all(REQUEST_ID_HEADER).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { RequestId::parse(value.to_str().ok()?) }
}

impl<S> Layer<S> for RequestIdLayer {
    type Service = WithRequestId<S>;

    fn layer(&self, inner: S) -> WithRequestId<S> {
        WithRequestId { inner, layer: self.clone() }
    }
}

/// The service of [`RequestIdLayer`].
///
/// See [`RequestIdLayer`] for an example.
#[derive(Clone, Debug)]
pub struct WithRequestId<S> {
    inner: S,
    layer: RequestIdLayer,
}

impl<S, B, D> Service<Stamped<Request<B>>> for WithRequestId<S>
where
    S: Service<Stamped<Request<B>>, Response = Response<D>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = EdgeFuture<S::Future, NameAnswer>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut stamped: Stamped<Request<B>>) -> Self::Future {
        let id = self.layer.id(&stamped.request);
        // Handlers that pass the header on pass on this one.
        stamped.request.headers_mut().insert(REQUEST_ID_HEADER, id.0.clone());
        stamped.request.extensions_mut().insert(id.clone());
        EdgeFuture::runs(self.inner.call(stamped), NameAnswer(id))
    }
}

/// What [`WithRequestId`] does with an answer.
///
/// See [`RequestIdLayer`] for an example.
#[derive(Clone, Debug)]
pub struct NameAnswer(RequestId);

impl<D, E> Finish<Result<Response<D>, E>> for NameAnswer {
    type Output = Result<Response<D>, E>;

    fn finish(self, done: Result<Response<D>, E>) -> Self::Output {
        done.map(|mut response| {
            response.headers_mut().insert(REQUEST_ID_HEADER, self.0.0.clone());
            response.extensions_mut().insert(self.0);
            response
        })
    }
}

//! Which layer goes around which: decided once, here.

use core::time::Duration;

use tower_layer::Layer;

use super::answer::{Answer, AnswerLayer, Handler, HandlerLayer};
use super::auth::{AuthLayer, Authenticated};
use super::cache::{
    Freshness, ResponseCache, ResponseCacheConfig, ResponseCacheLayer, ResponseCached,
};
use super::cap::{BodyCap, BodyCapLayer};
use super::client::{ClientLayer, WithClient};
use super::forwarded::TrustedProxies;
use super::limit_layer::{LimitLayer, Limited};
use super::limits::EdgeLimits;
use super::observe::{Observe, ObserveLayer};
use super::request_id::{RequestIdLayer, RequestIds, WithRequestId};
use crate::bulkhead::{Bulkhead, BulkheadLayer, BulkheadLimits, Bulkheaded};
use crate::clock::Timer;
use crate::deadline::{Deadline, DeadlineLayer};
use crate::load_shed::{LoadShed, LoadShedLayer};
use crate::monitor::PerformanceStats;
use crate::stamp::{Stamp, StampLayer};

/// What surrounds an HTTP service that strangers call. Its parts are handles that can be shared,
/// and keep their state when the layer is applied to many routes.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Empty, Full};
/// use ironlight_hardening::TokioTimer;
/// use ironlight_hardening::edge::{CappedBody, Edge};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let edge = Edge::new(TokioTimer::new(), 7);
/// let handler = service_fn(async |_: Request<CappedBody<Empty<Bytes>>>| {
///     Ok::<_, core::convert::Infallible>(Response::new(Full::<Bytes>::from("tip")))
/// });
/// let service = edge.layer().layer(handler);
/// let answer = service.oneshot(Request::new(Empty::new())).await.unwrap();
/// assert_eq!(answer.headers()["x-cache"], "miss");
/// assert_eq!(answer.headers()["ratelimit"], r#""light-minute";r=59;t=1"#);
/// assert_eq!(answer.headers()["x-request-id"].len(), 32);
/// assert_eq!(answer.headers()["x-process-time"], "0.000000");
/// assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "tip");
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Edge<T> {
    /// The clock of all layers.
    pub timer: T,
    /// How long the head of an answer may take. How long its body takes is the server's to bound.
    pub timeout: Duration,
    /// What is recorded and logged.
    pub observe: ObserveLayer<T>,
    /// Who asks.
    pub client: ClientLayer,
    /// What requests are called.
    pub request_id: RequestIdLayer,
    /// The most bytes of a request's body.
    pub max_body: u64,
    /// How many requests are inside at once, those in the queue behind too. Nobody waits here.
    pub in_flight: Bulkhead,
    /// How many were refused since the handler was not ready.
    pub shed: LoadShedLayer,
    /// What may be asked, by who asks.
    pub limit: LimitLayer,
    /// Who may ask.
    pub auth: AuthLayer,
    /// What is answered from memory; by [`new`](Self::new), only what says that it may be.
    pub cache: ResponseCacheLayer,
    /// How many requests the handler has at once.
    pub bulkhead: Bulkhead,
    /// How long a request may wait for a place.
    pub queue_time: Duration,
}

/// The services of [`Edge`], from the outside in.
pub type EdgeService<S, T> =
    Stamp<Observe<WithClient<WithRequestId<Answer<Refusing<S, T>>>>, T>, T>;
/// What refuses before anything is done.
type Refusing<S, T> = BodyCap<Bulkheaded<LoadShed<Limited<Authenticated<Timed<S, T>>>>, T>>;
/// What has a deadline.
type Timed<S, T> = Deadline<ResponseCached<Bulkheaded<Handler<S>, T>>, T>;

impl<T: Timer> Edge<T> {
    /// 30 s an answer, 1 MiB a body, 1,024 requests inside and 64 at the handler with as many
    /// waiting for up to a second; [`EdgeLimits`] by method; no trusted proxies, no
    /// authentication; a [`ResponseCache`]. `seed` is that of the request ids.
    ///
    /// Kept is only an answer that says for how long, by a [`Freshness`] among its extensions or by
    /// `Cache-Control: max-age`. One that depends on the [`Client`](super::Client) (its address, a
    /// limit of its own) must not say so, or say [`Freshness::Never`]: the client is not part of
    /// what answers are found by.
    ///
    /// The server has to say where a request comes from, by a [`PeerAddr`](super::PeerAddr) among
    /// its extensions; else all callers are [`ClientKey::Unknown`](super::ClientKey::Unknown) and
    /// share one limit. With axum's `into_make_service_with_connect_info::<SocketAddr>()`, set
    /// [`client`](Self::client) to
    /// `ClientLayer::new(TrustedProxies::default()).with_peer(|extensions|
    /// extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0))`.
    #[must_use]
    pub fn new(timer: T, seed: u64) -> Self {
        let operation = PerformanceStats::default().operation("http");
        let cache = ResponseCacheConfig { seed, ..ResponseCacheConfig::default() };
        Self {
            timeout: Duration::from_secs(30),
            observe: ObserveLayer::new(operation, timer.clone()),
            client: ClientLayer::new(TrustedProxies::default()),
            request_id: RequestIdLayer::new(RequestIds::new(seed)),
            max_body: 1 << 20,
            in_flight: Bulkhead::new(BulkheadLimits { concurrent: 1024, queue: 0 }),
            shed: LoadShedLayer::default(),
            limit: LimitLayer::new(EdgeLimits::default()),
            auth: AuthLayer::off(),
            cache: ResponseCacheLayer::new(ResponseCache::new(cache))
                .freshness(|_| Freshness::Never),
            bulkhead: Bulkhead::new(BulkheadLimits { concurrent: 64, queue: 64 }),
            queue_time: Duration::from_secs(1),
            timer,
        }
    }

    /// The layer, with the parts as they are now.
    pub fn layer(&self) -> EdgeLayer<T> {
        EdgeLayer { edge: self.clone() }
    }
}

/// All layers of the edge in their order. See the [module](super).
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::{Empty, Full};
/// use ironlight_hardening::TokioTimer;
/// use ironlight_hardening::edge::{CappedBody, Edge};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let layer = Edge::new(TokioTimer::new(), 7).layer();
/// // Applied to two routes, it counts both.
/// for left in [r#""light-minute";r=59;t=1"#, r#""light-minute";r=58;t=1"#] {
///     let route = service_fn(async |_: Request<CappedBody<Empty<Bytes>>>| {
///         Ok::<_, core::convert::Infallible>(Response::new(Full::<Bytes>::from("tip")))
///     });
///     let answer = layer.layer(route).oneshot(Request::new(Empty::new())).await.unwrap();
///     assert_eq!(answer.headers()["ratelimit"], left);
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct EdgeLayer<T> {
    edge: Edge<T>,
}

impl<S, T: Timer> Layer<S> for EdgeLayer<T> {
    type Service = EdgeService<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        let edge = &self.edge;
        let timer = || edge.timer.clone();
        let places = BulkheadLayer::new(edge.bulkhead.clone(), edge.queue_time, timer());
        let kept = edge.cache.layer(places.layer(HandlerLayer.layer(inner)));
        let known = edge.auth.layer(DeadlineLayer::new(timer()).layer(kept));
        let room = BulkheadLayer::new(edge.in_flight.clone(), Duration::ZERO, timer());
        let room = room.layer(edge.shed.layer(edge.limit.layer(known)));
        let answered = AnswerLayer.layer(BodyCapLayer::new(edge.max_body).layer(room));
        let named = edge.client.layer(edge.request_id.layer(answered));
        let stamp = StampLayer::new(timer()).with_timeout(edge.timeout);
        stamp.layer(edge.observe.layer(named))
    }
}

//! Times and counts every request, and warns of slow ones.

use core::fmt;
use core::task::{Context, Poll};
use core::time::Duration;

use http::header::HeaderName;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use tower_layer::Layer;
use tower_service::Service;

use super::future::{EdgeFuture, Finish};
use super::request_id::RequestId;
use crate::clock::Clock;
use crate::error::{Classify, ErrorClass};
use crate::monitor::Operation;
use crate::stamp::Stamped;
use crate::telemetry::{self, SlowLog};

/// How long an answer took, in seconds with six decimals, from the stamp to the answer's head.
pub const PROCESS_TIME_HEADER: HeaderName = HeaderName::from_static("x-process-time");

/// Records each request to an [`Operation`], says in `X-Process-Time` how long it took, and warns
/// of those that took longer than a second (see [`SlowLog`]) with request id, method, path, status
/// and milliseconds.
///
/// The caller's own mistakes (4xx) are no errors here: else whoever asks for nonsense makes the
/// service look ill. One whose caller goes away counts as cancelled.
///
/// ```
/// use http::{Request, Response};
/// use ironlight_hardening::ManualClock;
/// use ironlight_hardening::edge::ObserveLayer;
/// use ironlight_hardening::monitor::PerformanceStats;
/// use ironlight_hardening::stamp::{BareLayer, StampLayer};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let clock = ManualClock::default();
/// let http = PerformanceStats::default().operation("http");
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(clock.clone()))
///     .layer(ObserveLayer::new(http.clone(), clock.clone()))
///     .layer(BareLayer)
///     .service(service_fn(async |_: Request<()>| Ok::<_, std::io::Error>(Response::new(()))));
/// let answer = service.oneshot(Request::new(())).await.unwrap();
/// assert_eq!(answer.headers()["x-process-time"], "0.000000");
/// assert_eq!(http.report(core::time::Duration::ZERO).errors.calls, 1);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ObserveLayer<C> {
    operation: Operation,
    slow: SlowLog,
    clock: C,
}

impl<C: Clock> ObserveLayer<C> {
    /// Records to this operation. The clock is the one that stamps the requests.
    #[must_use]
    pub fn new(operation: Operation, clock: C) -> Self {
        Self { operation, slow: SlowLog::default(), clock }
    }

    /// Another log of slow requests.
    #[must_use]
    pub fn with_slow_log(self, slow: SlowLog) -> Self {
        Self { slow, ..self }
    }
}

impl<S, C: Clone> Layer<S> for ObserveLayer<C> {
    type Service = Observe<S, C>;

    fn layer(&self, inner: S) -> Observe<S, C> {
        Observe { inner, layer: self.clone() }
    }
}

/// The service of [`ObserveLayer`].
///
/// See [`ObserveLayer`] for an example.
#[derive(Clone, Debug)]
pub struct Observe<S, C> {
    inner: S,
    layer: ObserveLayer<C>,
}

impl<S, C, B, D> Service<Stamped<Request<B>>> for Observe<S, C>
where
    S: Service<Stamped<Request<B>>, Response = Response<D>>,
    S::Error: Classify,
    C: Clock,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = EdgeFuture<S::Future, Observing<C>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, stamped: Stamped<Request<B>>) -> Self::Future {
        self.layer.operation.enter();
        let observing = Observing {
            layer: self.layer.clone(),
            at: stamped.at,
            method: stamped.request.method().clone(),
            uri: stamped.request.uri().clone(),
            ended: false,
        };
        EdgeFuture::runs(self.inner.call(stamped), observing)
    }
}

/// A request that goes on. Dropped before its end, it counts as cancelled.
///
/// See [`ObserveLayer`] for an example.
pub struct Observing<C> {
    layer: ObserveLayer<C>,
    at: Duration,
    method: Method,
    uri: Uri,
    ended: bool,
}

impl<C> fmt::Debug for Observing<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observing").field("at", &self.at).finish_non_exhaustive()
    }
}

impl<C> Drop for Observing<C> {
    fn drop(&mut self) {
        self.layer.operation.leave(!self.ended);
    }
}

impl<C: Clock, D, E: Classify> Finish<Result<Response<D>, E>> for Observing<C> {
    type Output = Result<Response<D>, E>;

    fn finish(mut self, mut done: Result<Response<D>, E>) -> Self::Output {
        self.ended = true;
        let now = self.layer.clock.now();
        let took = now.saturating_sub(self.at);
        let outcome = match &done {
            Ok(response) => outcome_of(response.status()),
            Err(error) => Err(error.class()),
        };
        self.layer.operation.record(took, outcome, now);
        let (status, id) = match &done {
            Ok(response) => (response.status(), response.extensions().get::<RequestId>()),
            Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, None),
        };
        let operation = telemetry::Operation {
            request_id: id.map_or("", RequestId::as_str),
            method: self.method.as_str(),
            path: self.uri.path(),
            status: status.as_u16(),
        };
        self.layer.slow.ended(&operation, took);
        let seconds = format!("{}.{:06}", took.as_secs(), took.subsec_micros());
        if let (Ok(response), Ok(value)) = (&mut done, HeaderValue::try_from(seconds)) {
            response.headers_mut().insert(PROCESS_TIME_HEADER, value);
        }
        done
    }
}

/// What an answer says about us.
fn outcome_of(status: StatusCode) -> Result<(), ErrorClass> {
    match status {
        StatusCode::SERVICE_UNAVAILABLE => Err(ErrorClass::Overloaded),
        StatusCode::GATEWAY_TIMEOUT => Err(ErrorClass::Timeout),
        status if status.is_server_error() => Err(ErrorClass::Temporary),
        // The caller's mistakes, and those who ask for too much.
        _ => Ok(()),
    }
}

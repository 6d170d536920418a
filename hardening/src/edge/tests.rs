//! Each layer alone.

use core::convert::Infallible;
use core::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use super::testing::{Parts, header, ok, text};
use super::*;
use crate::error::{Error, Rejected};
use crate::monitor::PerformanceStats;
use crate::rate_limit::{Quota, RateLimiter};
use crate::stamp::{StampLayer, Stamped};
use crate::testing::Numbers;
use crate::{Clock, ManualClock};

const SECOND: Duration = Duration::from_secs(1);

fn from(client: &str) -> Client {
    let address = client.parse().unwrap();
    Client { address, peer: address, by_proxy: false }
}

fn request(client: &str) -> Request<Empty<Bytes>> {
    Request::get("/").extension(from(client)).body(Empty::new()).unwrap()
}

#[test]
fn an_id_is_taken_from_proxies_only_and_only_if_it_is_well_formed() {
    let layer = RequestIdLayer::new(RequestIds::new(7));
    let handler = service_fn(async |request: Request<()>| {
        let id = request.extensions().get::<RequestId>().unwrap().clone();
        assert_eq!(request.headers()["x-request-id"], id.as_str());
        Ok::<_, Infallible>(Response::new(id))
    });
    let ask = |ids: &[&str], by_proxy: bool, layer: &RequestIdLayer| {
        let client = Client { by_proxy, ..from("192.0.2.7") };
        let mut request = Request::get("/").extension(client);
        for id in ids {
            request = request.header("x-request-id", *id);
        }
        let mut service = layer.layer(HandlerLayer.layer(handler));
        let stamped = Stamped::new(request.body(()).unwrap(), Duration::ZERO);
        let answer = crate::by_hand::now(service.call(stamped)).unwrap();
        assert_eq!(header(&answer, "x-request-id"), Some(answer.body().as_str()));
        answer.into_body().to_string()
    };
    let longest = "x".repeat(MAX_REQUEST_ID);
    let longer = "x".repeat(MAX_REQUEST_ID + 1);
    assert_eq!(ask(&["a-1"], true, &layer), "a-1");
    assert_eq!(ask(&[&longest], true, &layer), longest);
    for bad in [&["a-1"][..], &[]] {
        assert_eq!(ask(bad, false, &layer).len(), 32, "a stranger's is not taken: {bad:?}");
    }
    for bad in [&["a 1"][..], &["a-1", "a-2"], &[""], &["a\"b"], &[&longer]] {
        assert_eq!(ask(bad, true, &layer).len(), 32, "{bad:?}");
    }
    let (all, none) = (layer.clone().accept(AcceptId::FromAll), layer.accept(AcceptId::Never));
    assert_eq!(ask(&["a-1"], false, &all), "a-1");
    assert_eq!(ask(&["a-1"], true, &none).len(), 32);
}

#[test]
fn no_key_is_printed_with_a_head() {
    let request = Request::get("http://alice:secret@a/blocks?key=secret")
        .header("authorization", "Bearer secret")
        .header("x-api-key", "secret")
        .extension(Principal::new("secret"))
        .body(())
        .unwrap();
    let head = Head::of(&request);
    assert_eq!(format!("{head:?}"), r#"Head { method: GET, path: "/blocks", .. }"#);
}

#[test]
fn a_hundred_thousand_ids_are_all_different() {
    let ids = RequestIds::new(3);
    let all: std::collections::HashSet<_> = (0..100_000).map(|_| ids.next().to_string()).collect();
    assert_eq!(all.len(), 100_000);
}

#[tokio::test]
async fn what_is_slow_is_logged_and_only_our_own_mistakes_are_errors() {
    let clock = ManualClock::default();
    let http = PerformanceStats::default().operation("http");
    let slow = crate::telemetry::SlowLog::default();
    let observe = ObserveLayer::new(http.clone(), clock.clone()).with_slow_log(slow.clone());
    let passes = clock.clone();
    let handler = service_fn(move |request: Request<()>| {
        let mut path = request.uri().path().split('/').skip(1);
        let mut number = || path.next().unwrap().parse::<u16>().unwrap();
        let (status, millis) = (number(), number());
        passes.advance(Duration::from_millis(millis.into()));
        let answer = Response::builder().status(status).body(()).unwrap();
        core::future::ready(Ok::<_, std::io::Error>(answer))
    });
    let service = ServiceBuilder::new()
        .layer(StampLayer::new(clock.clone()))
        .layer(observe)
        .layer(RequestIdLayer::new(RequestIds::new(7)))
        .layer(HandlerLayer)
        .service(handler);
    let logged = logged::Fields::default();
    let _guard = tracing::subscriber::set_default(logged.clone());
    for path in ["/200/1000", "/404/10", "/429/10", "/503/10", "/504/10", "/500/1001"] {
        let request = Request::get(format!("{path}?secret")).body(()).unwrap();
        let answer = service.clone().oneshot(request).await.unwrap();
        if path == "/500/1001" {
            assert_eq!(header(&answer, "x-process-time"), Some("1.001000"));
            let id = header(&answer, "x-request-id").unwrap();
            let expected = format!(
                "request_id={id:?} method=\"GET\" path=\"/500/1001\" status=500 duration_ms=1001 "
            );
            assert!(logged.text().starts_with(&expected), "{}", logged.text());
        }
    }
    assert_eq!(slow.count(), 1, "over a second, not a second");
    let report = http.report(clock.now());
    assert_eq!((report.errors.calls, report.errors.total()), (6, 3));
    assert_eq!(report.in_flight, 0);
}

/// What `tracing` was told.
mod logged {
    use core::fmt::{Debug, Write};
    use std::sync::{Arc, Mutex};
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    #[derive(Clone, Default)]
    pub(super) struct Fields(Arc<Mutex<String>>);

    impl Fields {
        pub(super) fn text(&self) -> String {
            self.0.lock().unwrap().clone()
        }
    }

    struct Writer<'a>(&'a mut String);

    impl Visit for Writer<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            if field.name() != "message" {
                write!(self.0, "{}={value:?} ", field.name()).unwrap();
            }
        }
    }

    impl Subscriber for Fields {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &Event<'_>) {
            event.record(&mut Writer(&mut self.0.lock().unwrap()));
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }
}

#[tokio::test]
async fn each_client_has_limits_by_class_and_is_told_of_them() {
    let clock = ManualClock::default();
    let limits = EdgeLimits::default();
    let layer = LimitLayer::new(limits.clone()).classify(|head| match head.path() {
        "/health" => CostClass::Exempt,
        "/search" => CostClass::Search,
        _ => CostClass::by_method(head),
    });
    let service = ServiceBuilder::new()
        .layer(StampLayer::new(clock.clone()))
        .layer(AnswerLayer)
        .layer(layer)
        .layer(HandlerLayer)
        .service(service_fn(async |_: Request<Empty<Bytes>>| Ok::<_, Infallible>(ok("x"))));
    let ask = |method: &str, path: &str, client: &str| {
        let request = Request::builder().method(method).uri(path).extension(from(client));
        service.clone().oneshot(request.body(Empty::new()).unwrap())
    };
    for left in (0..60).rev() {
        let answer = ask("GET", "/", "192.0.2.7").await.unwrap();
        let expected = format!(r#""light-minute";r={left};t=1"#);
        assert_eq!(header(&answer, "ratelimit"), Some(expected.as_str()));
    }
    let refused = ask("GET", "/", "192.0.2.7").await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&refused, "retry-after"), Some("1"));
    assert_eq!(header(&refused, "ratelimit"), Some(r#""light-minute";r=0;t=1"#));
    assert_eq!(header(&refused, "ratelimit-policy"), Some(r#""light-minute";q=60;w=60"#));
    let problem = text(refused.into_body()).await;
    let expected = concat!(
        r#"{"type":"about:blank","title":"Too Many Requests","status":429,"#,
        r#""detail":"over the limit","retry_after":1}"#
    );
    assert_eq!(problem, expected);
    // The client's other classes, other clients, and what is exempt.
    assert_eq!(ask("GET", "/search", "192.0.2.7").await.unwrap().status(), 200);
    assert_eq!(ask("GET", "/", "192.0.2.8").await.unwrap().status(), 200);
    let exempt = ask("GET", "/health", "192.0.2.7").await.unwrap();
    assert_eq!((exempt.status().as_u16(), header(&exempt, "ratelimit")), (200, None));
    let write = ask("POST", "/", "192.0.2.7").await.unwrap();
    let policy = r#""write-minute";q=60;w=60, "write-hour";q=1000;w=3600"#;
    assert_eq!(header(&write, "ratelimit-policy"), Some(policy));
    // IPv6 by its /64.
    for n in 0..60 {
        assert_eq!(ask("GET", "/", &format!("2001:db8::{n}")).await.unwrap().status(), 200);
    }
    assert_eq!(ask("GET", "/", "2001:db8::ffff").await.unwrap().status(), 429);
    clock.advance(SECOND);
    assert_eq!(ask("GET", "/", "192.0.2.7").await.unwrap().status(), 200);
    assert_eq!(limits.light.stats().refused, 2);
}

#[test]
fn a_thousand_writes_an_hour_are_the_tighter_limit_in_the_end() {
    let (limits, key) = (EdgeLimits::default(), ClientKey::Unknown);
    let mut granted = 0;
    for second in 0..3600 {
        let now = second * SECOND;
        granted += u32::from(limits.take(CostClass::Write, &key, now).is_ok());
    }
    // A full bucket, and what came back in the hour.
    assert!((1000..=2000).contains(&granted), "{granted}");
    let refused = limits.take(CostClass::Write, &key, 3600 * SECOND);
    let report = match refused {
        Ok(report) | Err(Rejection::RateLimited { report, .. }) => report,
        Err(other) => panic!("{other:?}"),
    };
    assert!(report.unwrap().left().starts_with(r#""write-hour";r="#));
}

#[test]
fn no_refusal_asks_to_come_back_before_there_is_more() {
    let (limits, key, mut numbers) = (EdgeLimits::default(), ClientKey::Unknown, Numbers(5));
    let (mut now, mut refused) = (SECOND, 0);
    for _ in 0..20_000 {
        now += Duration::from_millis(numbers.below(2500));
        let Err(rejection) = limits.take(CostClass::Write, &key, now) else { continue };
        let answer = rejection.response::<Empty<Bytes>>();
        let retry: u32 = header(&answer, "retry-after").unwrap().parse().unwrap();
        let (_, more) = header(&answer, "ratelimit").unwrap().split_once(";r=0;t=").unwrap();
        let more: u32 = more.parse().unwrap();
        assert!((1..=4).contains(&more) && more <= retry, "{more} {retry}");
        assert_eq!(limits.write.remaining(&key, now), 0);
        assert!(limits.write.remaining(&key, now + retry * SECOND) > 0);
        refused += 1;
    }
    assert!(refused > 5000, "{refused}");
}

#[test]
fn a_window_shorter_than_the_header_can_say_is_told_as_a_second() {
    let quick = Quota { burst: 5, per: Duration::from_millis(20) };
    let limits = EdgeLimits { light: RateLimiter::new(quick), ..EdgeLimits::default() };
    let taken = limits.take(CostClass::Light, &ClientKey::Unknown, SECOND);
    let report = taken.unwrap().unwrap();
    assert_eq!(report.policy(), r#""light-second";q=5;w=1"#);
    assert_eq!(report.left(), r#""light-second";r=4;t=1"#);
}

/// Reads the whole body, and answers with its length or with a 400.
fn reader<B>(
    limit: u64,
) -> impl Service<Request<B>, Response = Response<EdgeBody<Full<Bytes>>>, Error = Infallible> + Clone
where
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn core::error::Error + Send + Sync>>,
{
    let handler = service_fn(async |request: Request<CappedBody<B>>| {
        let answer = match request.into_body().collect().await {
            Ok(body) => Response::new(Full::<Bytes>::from(body.to_bytes().len().to_string())),
            Err(error) => {
                let body = Full::<Bytes>::from(error.to_string());
                Response::builder().status(400).body(body).unwrap()
            }
        };
        Ok::<_, Infallible>(answer)
    });
    ServiceBuilder::new()
        .layer(StampLayer::new(ManualClock::default()))
        .layer(AnswerLayer)
        .layer(BodyCapLayer::new(limit))
        .layer(HandlerLayer)
        .service(handler)
}

#[tokio::test]
async fn a_body_is_refused_by_its_length_before_it_is_read_and_else_while_it_arrives() {
    let announced = Request::post("/").header("content-length", "11").body(Parts::default());
    let answer = reader(10).oneshot(announced.unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(header(&answer, "retry-after"), None);
    let known = Request::new(Full::<Bytes>::from("12345678901"));
    assert_eq!(reader(10).oneshot(known).await.unwrap().status(), 413);
    let whole = Request::new(Parts::of(&["12345", "67890"]).then_trailers());
    let answer = reader(10).oneshot(whole).await.unwrap();
    assert_eq!(text(answer.into_body()).await, "10");
    // The handler's own answer to the error is not what the caller is told.
    let longer = Request::new(Parts::of(&["12345", "67890", "1", "more"]));
    assert_eq!(reader(10).oneshot(longer).await.unwrap().status(), 413);
    let broken = Request::new(Parts::of(&["1"]).then_error());
    let answer = reader(10).oneshot(broken).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), text(answer.into_body()).await.as_str()),
        (400, "broken")
    );
}

#[tokio::test]
async fn a_capped_body_passes_what_a_sum_allows() {
    const PART: &str = "0123456789";
    let mut numbers = Numbers(17);
    let (mut passed, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let limit = numbers.below(40);
        let lengths: Vec<_> =
            (0..numbers.below(8)).map(|_| usize::try_from(numbers.below(11)).unwrap()).collect();
        let parts: Vec<_> = lengths.iter().map(|len| PART.split_at(*len).0).collect();
        let sum: usize = lengths.iter().sum();
        let answer = reader(limit).oneshot(Request::new(Parts::of(&parts))).await.unwrap();
        if sum as u64 <= limit {
            assert_eq!(text(answer.into_body()).await, sum.to_string());
            passed += 1;
        } else {
            assert_eq!(answer.status(), 413);
            refused += 1;
        }
    }
    assert!(passed > 3000 && refused > 3000);
}

#[test]
fn each_refusal_has_its_status_and_its_hint() {
    let status = |rejection: Rejection| {
        let answer = rejection.response::<Empty<Bytes>>();
        let retry = header(&answer, "retry-after").map(str::to_owned);
        (answer.status().as_u16(), retry)
    };
    let three = Some("3".to_owned());
    let wait = 2 * SECOND + Duration::from_nanos(1);
    let of = |rejected: Rejected| status(rejected.into());
    assert_eq!(of(Rejected::Timeout { after: SECOND }), (504, Some("1".into())));
    assert_eq!(of(Rejected::Overloaded { limit: 7 }), (503, Some("1".into())));
    assert_eq!(of(Rejected::CircuitOpen { retry_after: wait }), (503, three.clone()));
    assert_eq!(of(Rejected::RateLimited { retry_after: wait }), (429, three));
    assert_eq!(of(Rejected::RateLimited { retry_after: Duration::MAX }), (429, None));
    assert_eq!(of(Rejected::CircuitOpen { retry_after: Duration::MAX }), (503, None));
    let soon = Rejected::RateLimited { retry_after: Duration::from_nanos(1) };
    assert_eq!(of(soon), (429, Some("1".into())));
    assert_eq!(status(Rejection::BodyTooLarge { limit: 7 }), (413, None));
    assert_eq!(status(Rejection::Unauthorized { reason: AuthReason::Missing }), (401, None));
    let failure = Failure::from(Error::<&str>::Rejected(Rejected::Overloaded { limit: 7 }));
    assert_eq!(failure, Failure::Rejection(Rejection::Overloaded { limit: 7 }));
}

#[tokio::test]
async fn a_service_that_refuses_to_be_ready_is_answered_for() {
    #[derive(Clone)]
    struct Unready;
    impl Service<Stamped<Request<Empty<Bytes>>>> for Unready {
        type Response = Response<Full<Bytes>>;
        type Error = Failure<Infallible>;
        type Future = core::future::Ready<Result<Self::Response, Self::Error>>;

        fn poll_ready(
            &mut self,
            _: &mut core::task::Context<'_>,
        ) -> core::task::Poll<Result<(), Self::Error>> {
            core::task::Poll::Ready(Err(Rejected::Overloaded { limit: 1 }.into()))
        }

        fn call(&mut self, _: Stamped<Request<Empty<Bytes>>>) -> Self::Future {
            panic!("it was not ready")
        }
    }
    let stamped = Stamped::new(request("192.0.2.7"), SECOND);
    assert_eq!(AnswerLayer.layer(Unready).oneshot(stamped).await.unwrap().status(), 503);
}

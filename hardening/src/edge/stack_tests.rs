//! What only the order of the layers decides.

use core::convert::Infallible;
use core::future::pending;
use core::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::testing::{Answered, header, ok, text};
use super::*;
use crate::bulkhead::{Bulkhead, BulkheadLimits};
use crate::by_hand::{poll_now, yield_now};
use crate::clock::{Clock, TokioTimer};
use crate::monitor::PerformanceStats;

type Sent = Request<Empty<Bytes>>;
type Handled = Request<CappedBody<Empty<Bytes>>>;

const KEY: &str = "kV3xTq0bYw8mZr5s";

fn sent(method: &str, path: &str) -> Sent {
    let peer = PeerAddr("192.0.2.7:4711".parse().unwrap());
    Request::builder().method(method).uri(path).extension(peer).body(Empty::new()).unwrap()
}

fn keyed(path: &str) -> Sent {
    let mut request = sent("GET", path);
    request.headers_mut().insert("x-api-key", KEY.parse().unwrap());
    request
}

/// An answer that says that it may be kept.
fn kept(body: &'static str) -> Response<Full<Bytes>> {
    let mut answer = ok(body);
    answer.extensions_mut().insert(Freshness::UntilNext);
    answer
}

fn edge() -> Edge<TokioTimer> {
    let keys = ApiKeys::default();
    keys.add("alice", KEY).unwrap();
    let auth = AuthLayer::new(keys).access(|head| match head.path() {
        "/private" => Access::Keyed,
        _ => Access::Open,
    });
    Edge { auth, ..Edge::new(TokioTimer::new(), 7) }
}

#[tokio::test(start_paused = true)]
async fn refusals_of_all_layers_are_named_timed_and_counted() {
    let timer = TokioTimer::new();
    let http = PerformanceStats::default().operation("http");
    let edge = Edge {
        bulkhead: Bulkhead::new(BulkheadLimits { concurrent: 1, queue: 0 }),
        observe: ObserveLayer::new(http.clone(), timer),
        max_body: 10,
        timer,
        ..edge()
    };
    let handler = service_fn(async |request: Handled| match request.uri().path() {
        "/never" => pending::<Answered>().await,
        _ => Ok(ok("x")),
    });
    let service = edge.layer().layer(handler);
    let ask = |request: Sent| service.clone().oneshot(request);
    let mut large = sent("POST", "/");
    large.headers_mut().insert("content-length", "11".parse().unwrap());
    let held = tokio::spawn(ask(sent("GET", "/never")));
    tokio::task::yield_now().await;
    let mut statuses = Vec::new();
    for request in [sent("GET", "/"), sent("GET", "/private"), large, keyed("/private")] {
        let answer = ask(request).await.unwrap();
        assert_eq!(header(&answer, "x-request-id").unwrap().len(), 32);
        assert_eq!(header(&answer, "x-process-time"), Some("0.000000"));
        assert_eq!(header(&answer, "content-type"), Some(PROBLEM_JSON));
        statuses.push(answer.status().as_u16());
    }
    assert_eq!(statuses, [503, 401, 413, 503]);
    let late = held.await.unwrap().unwrap();
    assert_eq!((late.status().as_u16(), header(&late, "retry-after")), (504, Some("1")));
    assert_eq!(header(&late, "x-process-time"), Some("30.000000"));
    for _ in 0..60 {
        ask(sent("GET", "/")).await.unwrap();
    }
    assert_eq!(ask(sent("GET", "/")).await.unwrap().status(), 429);
    let report = http.report(timer.now());
    assert_eq!((report.errors.calls, report.errors.total(), report.in_flight), (66, 3, 0));
}

#[tokio::test(start_paused = true)]
async fn tried_keys_are_limited_and_refusals_are_not_cached() {
    let edge = edge();
    let service = edge.layer().layer(service_fn(async |_: Handled| -> Answered { Ok(kept("x")) }));
    let mut statuses = Vec::new();
    for n in 0..100 {
        let mut request = sent("GET", "/private");
        let key = format!("tried-key-{n:06}").parse().unwrap();
        request.headers_mut().insert("x-api-key", key);
        statuses.push(service.clone().oneshot(request).await.unwrap().status().as_u16());
    }
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 60);
    assert!(statuses[60..].iter().all(|status| *status == 429));
    assert_eq!(edge.auth.failures(), 60);
    tokio::time::advance(Duration::from_secs(60)).await;
    for expected in ["miss", "hit"] {
        let answer = service.clone().oneshot(keyed("/private")).await.unwrap();
        assert_eq!(header(&answer, "x-cache"), Some(expected));
        assert_eq!(text(answer.into_body()).await, "x");
    }
    // What alice was given is not for others.
    assert_eq!(service.oneshot(sent("GET", "/private")).await.unwrap().status(), 401);
}

#[tokio::test(start_paused = true)]
async fn only_what_says_so_is_kept() {
    let service = edge().layer().layer(service_fn(async |request: Handled| -> Answered {
        let mut answer = ok("x");
        match request.uri().path() {
            "/extension" => return Ok(kept("x")),
            "/header" => {
                answer.headers_mut().insert("cache-control", "max-age=9".parse().unwrap());
            }
            _ => {}
        }
        Ok(answer)
    }));
    for (path, second) in [("/", "miss"), ("/extension", "hit"), ("/header", "hit")] {
        for expected in ["miss", second] {
            let answer = service.clone().oneshot(sent("GET", path)).await.unwrap();
            assert_eq!(header(&answer, "x-cache"), Some(expected), "{path}");
            assert_eq!(text(answer.into_body()).await, "x");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hit_needs_no_place_at_the_handler() {
    let edge =
        Edge { bulkhead: Bulkhead::new(BulkheadLimits { concurrent: 1, queue: 0 }), ..edge() };
    let service = edge.layer().layer(service_fn(async |_: Handled| -> Answered { Ok(kept("x")) }));
    let ask = || service.clone().oneshot(sent("GET", "/"));
    ask().await.unwrap().into_body().collect().await.unwrap();
    let _place = edge.bulkhead.try_enter().unwrap();
    assert_eq!(header(&ask().await.unwrap(), "x-cache"), Some("hit"));
    assert_eq!(service.clone().oneshot(sent("GET", "/other")).await.unwrap().status(), 503);
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_await_it_leaves_all_places_free() {
    for method in ["GET", "POST"] {
        for blocked in [false, true] {
            for polls in 0..6 {
                let timer = TokioTimer::new();
                let http = PerformanceStats::default().operation("http");
                let cache = ResponseCache::new(ResponseCacheConfig::default());
                let edge = Edge {
                    bulkhead: Bulkhead::new(BulkheadLimits { concurrent: 1, queue: 1 }),
                    observe: ObserveLayer::new(http.clone(), timer),
                    cache: ResponseCacheLayer::new(cache.clone()),
                    timer,
                    ..edge()
                };
                let slow = service_fn(async |_: Handled| {
                    yield_now().await;
                    yield_now().await;
                    pending::<Answered>().await
                });
                let mut service = edge.layer().layer(slow);
                let mut inside = blocked.then(|| edge.bulkhead.try_enter().unwrap());
                service.ready().await.unwrap();
                let mut call = Box::pin(service.call(sent(method, "/")));
                for poll in 0..polls {
                    if poll == 2 {
                        inside = None;
                    }
                    assert!(poll_now(call.as_mut()).is_pending());
                }
                drop((call, inside));
                let name = format!("{method}, {blocked}, {polls} polls");
                for bulkhead in [&edge.bulkhead, &edge.in_flight] {
                    let status = bulkhead.status();
                    assert_eq!((status.inside, status.waiting), (0, 0), "{name}");
                }
                let report = http.report(timer.now());
                assert_eq!((report.in_flight, report.cancelled), (0, 1), "{name}");
                assert_eq!((cache.filling(), edge.shed.status().running()), (0, 0), "{name}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn many_routes_share_one_state() {
    let edge = edge();
    let layer = edge.layer();
    let route = |answer: &'static str| {
        layer.layer(service_fn(move |_: Handled| {
            core::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(answer))))
        }))
    };
    let (one, two) = (route("1"), route("2"));
    for _ in 0..30 {
        assert_eq!(one.clone().oneshot(sent("GET", "/1")).await.unwrap().status(), 200);
        assert_eq!(two.clone().oneshot(sent("GET", "/2")).await.unwrap().status(), 200);
    }
    assert_eq!(two.oneshot(sent("GET", "/2")).await.unwrap().status(), 429);
}

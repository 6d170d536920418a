//! What is kept, for whom, and what takes it out.

use core::convert::Infallible;
use core::future::pending;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{Empty, Full};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;
use crate::by_hand::{poll_now, yield_now};
use crate::edge::testing::{Answered, Parts, header, ok, text};
use crate::edge::{EdgeBody, Failure, HandlerLayer, Principal};
use crate::stamp::Stamped;

const SECOND: Duration = Duration::from_secs(1);

type Sent = Request<Full<Bytes>>;

fn cache() -> ResponseCache {
    ResponseCache::new(ResponseCacheConfig { jitter: 0, ..ResponseCacheConfig::default() })
}

fn get(target: &str) -> Sent {
    Request::get(target).body(Full::default()).unwrap()
}

/// A cache before a handler that counts.
struct Setup<H> {
    layer: ResponseCacheLayer,
    cache: ResponseCache,
    asked: Arc<AtomicU32>,
    handler: H,
}

impl<H: Fn(&Sent) -> Response<Full<Bytes>> + Clone + Send> Setup<H> {
    fn new(handler: H) -> Self {
        let cache = cache();
        let layer = ResponseCacheLayer::new(cache.clone());
        Self { layer, cache, asked: Arc::default(), handler }
    }

    /// The value of `X-Cache`, and the body.
    async fn ask(&self, request: Sent, at: Duration) -> (Option<String>, String) {
        let (asked, handler) = (Arc::clone(&self.asked), self.handler.clone());
        let inner = service_fn(move |request: Sent| {
            asked.fetch_add(1, Ordering::Relaxed);
            let answer: Answered = Ok(handler(&request));
            core::future::ready(answer)
        });
        let service = self.layer.layer(HandlerLayer.layer(inner));
        let answer = service.oneshot(Stamped::new(request, at)).await.unwrap();
        let said = header(&answer, "x-cache").map(str::to_owned);
        (said, text(answer.into_body()).await)
    }

    /// Asks twice, and says whether the second answer came from the cache.
    async fn keeps(&self, request: impl Fn() -> Sent) -> bool {
        self.cache.clear();
        let before = self.asked.load(Ordering::Relaxed);
        self.ask(request(), SECOND).await;
        let second = self.ask(request(), SECOND).await;
        let asked = self.asked.load(Ordering::Relaxed) - before;
        assert_eq!(asked == 1, second.0.as_deref() == Some("hit"), "{second:?}");
        asked == 1
    }
}

/// Answers that are shaped by the request's path.
fn shaped(request: &Sent) -> Response<Full<Bytes>> {
    let mut answer = ok("body");
    let path = request.uri().path().trim_start_matches('/');
    match path.split_once('=') {
        Some(("status", status)) => *answer.status_mut() = status.parse().unwrap(),
        Some((name, value)) => {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            answer.headers_mut().insert(name, value.replace('+', " ").parse().unwrap());
        }
        None => {}
    }
    answer
}

#[tokio::test]
async fn errors_and_what_is_not_for_all_are_not_kept() {
    let setup = Setup::new(shaped);
    for path in ["/", "/vary=Accept,+accept-encoding", "/vary=Authorization", "/x=y"] {
        assert!(setup.keeps(|| get(path)).await, "{path}");
    }
    let not = [
        "/status=404",
        "/status=500",
        "/status=206",
        "/status=304",
        "/cache-control=no-store",
        "/cache-control=max-age=60,+No-Cache",
        "/cache-control=private",
        "/cache-control=max-age=0",
        "/cache-control=max-age=soon",
        "/vary=*",
        "/vary=accept,+user-agent",
        "/set-cookie=a",
        "/content-length=7",
        "/expires=0",
        "/expires=Thu,+01+Dec+2095+16:00:00+GMT",
        "/pragma=no-cache",
    ];
    for path in not {
        assert!(!setup.keeps(|| get(path)).await, "{path}");
    }
    for (name, value) in [
        ("cookie", "a=b"),
        ("authorization", "Bearer x"),
        ("x-api-key", "x"),
        ("range", "bytes=0-"),
    ] {
        let request = || {
            let mut request = get("/");
            request.headers_mut().insert(name, value.parse().unwrap());
            request
        };
        assert!(!setup.keeps(request).await, "{name}");
    }
    assert!(!setup.keeps(|| Request::get("/").body(Full::from("fat")).unwrap()).await);
    let long = format!("/{}", "x".repeat(3000));
    assert!(!setup.keeps(|| get(&long)).await, "a long path");
}

#[tokio::test]
async fn each_principal_host_and_method_has_its_own_answers() {
    let setup = Setup::new(|request: &Sent| {
        let who = request.extensions().get::<Principal>().map(Principal::to_string);
        let host = request.headers().get("host").map(|host| host.to_str().unwrap().to_owned());
        let answer = format!("{} {who:?} {host:?}", request.method());
        let private = [("cache-control", "private")];
        let mut response = Response::new(Full::from(answer));
        if who.is_some() {
            let [(name, value)] = private;
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        response
    });
    let request = |method: &str, who: Option<&str>, host: Option<&'static str>| {
        let mut request = Request::builder().method(method).uri("/me?x");
        if let Some(who) = who {
            request = request.extension(Principal::new(who)).header("authorization", "Bearer x");
        }
        if let Some(host) = host {
            request = request.header("host", host);
        }
        request.body(Full::<Bytes>::default()).unwrap()
    };
    let mut answers = Vec::new();
    for round in ["miss", "hit"] {
        for method in ["GET", "HEAD"] {
            for who in [None, Some("alice"), Some("bob")] {
                for host in [None, Some("a"), Some("b")] {
                    let (said, body) = setup.ask(request(method, who, host), SECOND).await;
                    assert_eq!(said.as_deref(), Some(round));
                    let who = who.map(str::to_owned);
                    let host = host.map(str::to_owned);
                    assert_eq!(body, format!("{method} {who:?} {host:?}"));
                    answers.push(body);
                }
            }
        }
    }
    assert_eq!(setup.asked.load(Ordering::Relaxed), 18);
}

#[tokio::test]
async fn the_host_of_the_request_line_is_part_of_what_is_asked_for() {
    let setup = Setup::new(|request: &Sent| {
        Response::new(Full::from(request.uri().to_string().to_lowercase()))
    });
    let targets = ["http://a/me", "http://b/me", "https://a/me", "http://a:81/me", "/me"];
    for host in [None, Some("a")] {
        for round in ["miss", "hit"] {
            for target in targets {
                let mut request = get(target);
                if let Some(host) = host {
                    request.headers_mut().insert("host", host.parse().unwrap());
                }
                let expected = (Some(round.to_owned()), target.to_owned());
                assert_eq!(setup.ask(request, SECOND).await, expected, "{host:?}");
            }
        }
    }
    assert_eq!(setup.ask(get("HTTP://A/me"), SECOND).await.0.as_deref(), Some("hit"));
    assert!(!setup.keeps(|| get("http://alice:secret@a/me")).await, "somebody's own");
    let long = format!("http://{}/", "x".repeat(3000));
    assert!(!setup.keeps(|| get(&long)).await, "a long host");
    setup.ask(get("http://a/me"), SECOND).await;
    setup.ask(get("http://b/me"), SECOND).await;
    assert_eq!(setup.cache.invalidate_prefix("/me"), 2, "under each host");
}

#[tokio::test]
async fn an_answer_holds_as_long_as_it_says_and_five_minutes_else() {
    let setup = Setup::new(|request: &Sent| {
        let mut answer = ok("body");
        let freshness = match request.uri().path() {
            "/block" => Freshness::Immutable,
            "/tip" => Freshness::UntilNext,
            "/soon" => Freshness::For(10 * SECOND),
            "/never" => Freshness::Never,
            _ => {
                answer.headers_mut().insert("cache-control", "max-age=20".parse().unwrap());
                return answer;
            }
        };
        answer.extensions_mut().insert(freshness);
        answer
    });
    let said = async |path: &str, at: u32| setup.ask(get(path), at * SECOND).await.0.unwrap();
    for (path, last) in [("/block", 299), ("/tip", 299), ("/soon", 9), ("/header", 19)] {
        assert_eq!(said(path, 0).await, "miss", "{path}");
        assert_eq!(said(path, last).await, "hit", "{path}");
        assert_eq!(said(path, last + 1).await, "miss", "{path}");
        setup.cache.clear();
    }
    assert_eq!((said("/never", 0).await, said("/never", 0).await), ("miss".into(), "miss".into()));
    for path in ["/block", "/tip"] {
        assert_eq!(said(path, 0).await, "miss");
    }
    setup.cache.next_generation();
    assert_eq!(said("/block", 1).await, "hit");
    assert_eq!(said("/tip", 1).await, "miss");
    assert_eq!(said("/tip", 1).await, "hit");
}

#[tokio::test]
async fn what_a_cache_behind_us_kept_holds_shorter_by_its_age_and_says_so() {
    let inner = service_fn(|request: Sent| {
        let mut answer = ok("body");
        let (max_age, age) = request.uri().path().trim_start_matches('/').split_once('/').unwrap();
        for (name, value) in
            [("cache-control", max_age), ("age", age), ("expires", "0"), ("pragma", "no-cache")]
        {
            answer.headers_mut().insert(name, value.parse().unwrap());
        }
        let answer: Answered = Ok(answer);
        core::future::ready(answer)
    });
    let service = ResponseCacheLayer::new(cache()).layer(HandlerLayer.layer(inner));
    let hit = async |path: &str, at: u32| {
        let answer = service.clone().oneshot(Stamped::new(get(path), at * SECOND)).await.unwrap();
        let age = header(&answer, "age").filter(|_| header(&answer, "x-cache") == Some("hit"));
        let age = age.map(str::to_owned);
        text(answer.into_body()).await;
        age
    };
    for (path, at, age) in [
        ("/max-age=20/15", 4, Some("19")),
        ("/max-age=20/14", 6, None),
        ("/max-age=20/20", 0, None),
        ("/max-age=20/30", 0, None),
        ("/max-age=9,s-maxage=20/15", 4, Some("19")),
        ("/max-age=20/soon", 19, Some("19")),
    ] {
        assert_eq!(hit(path, 0).await, None, "{path}");
        assert_eq!(hit(path, at).await.as_deref(), age, "{path}");
    }
}

#[tokio::test]
async fn a_hit_says_its_age_and_is_otherwise_the_same_answer() {
    let cache = cache();
    let inner = service_fn(async |_: Sent| {
        let mut answer = ok("body");
        for (name, value) in [("etag", "\"7\""), ("connection", "x-hop"), ("x-hop", "1")] {
            answer.headers_mut().insert(name, value.parse().unwrap());
        }
        let answer: Answered = Ok(answer);
        answer
    });
    let service = ResponseCacheLayer::new(cache).layer(HandlerLayer.layer(inner));
    let ask = |at: u32| service.clone().oneshot(Stamped::new(get("/"), at * SECOND));
    let answer = ask(5).await.unwrap();
    assert_eq!((header(&answer, "age"), header(&answer, "x-hop")), (None, Some("1")));
    assert_eq!(text(answer.into_body()).await, "body");
    let hit = ask(47).await.unwrap();
    assert_eq!((header(&hit, "age"), header(&hit, "etag")), (Some("42"), Some("\"7\"")));
    assert_eq!((header(&hit, "connection"), header(&hit, "x-hop")), (None, None));
    assert_eq!(hit.body().size_hint().exact(), Some(4));
}

#[tokio::test]
async fn a_write_takes_out_its_segment_unless_it_was_the_callers_mistake() {
    let setup = Setup::new(|request: &Sent| {
        let mut answer = ok("body");
        if let Some(status) = request.uri().query().and_then(|query| query.parse::<u16>().ok()) {
            *answer.status_mut() = status.try_into().unwrap();
        }
        answer
    });
    for (method, target, gone) in [
        ("POST", "/notes", true),
        ("PUT", "/notes/7", true),
        ("DELETE", "/notes/7?500", true),
        ("POST", "/", true),
        ("POST", "/other", false),
        ("POST", "/notes?404", false),
        ("OPTIONS", "/notes", false),
    ] {
        for path in ["/notes", "/notes/9?x"] {
            setup.ask(get(path), SECOND).await;
        }
        let write = Request::builder().method(method).uri(target).body(Full::default()).unwrap();
        assert_eq!(setup.ask(write, SECOND).await.0, None);
        for path in ["/notes", "/notes/9?x"] {
            let said = setup.ask(get(path), SECOND).await.0.unwrap();
            assert_eq!(said == "miss", gone, "{method} {target}");
        }
    }
}

#[tokio::test]
async fn what_began_before_a_write_ended_is_not_put_in_after_it() {
    let cache = cache();
    let slow = service_fn(async |request: Sent| {
        yield_now().await;
        if request.method() == "POST" {
            return pending::<Answered>().await;
        }
        let answer: Answered = Ok(ok("old"));
        answer
    });
    let mut service = ResponseCacheLayer::new(cache.clone()).layer(HandlerLayer.layer(slow));
    let mut call = |request: Sent| Box::pin(service.call(Stamped::new(request, SECOND)));
    let read = call(get("/notes"));
    let mut write = call(Request::post("/notes").body(Full::default()).unwrap());
    assert!(poll_now(write.as_mut()).is_pending());
    // Nobody waits for the write any more: whether it was done is not known.
    drop(write);
    let answer = read.await.unwrap();
    assert_eq!(text(answer.into_body()).await, "old");
    assert_eq!((cache.stats().entries, cache.stats().refused), (0, 1));
}

/// The service's answers are these parts.
fn streaming(
    cache: &ResponseCache,
    parts: fn() -> Parts,
) -> impl Service<
    Stamped<Request<Empty<Bytes>>>,
    Response = Response<EdgeBody<Tee<Parts>>>,
    Error = Failure<Infallible>,
> + Clone {
    let inner = service_fn(move |_: Request<Empty<Bytes>>| {
        core::future::ready(Ok::<_, Infallible>(Response::new(parts())))
    });
    ResponseCacheLayer::new(cache.clone()).layer(HandlerLayer.layer(inner))
}

#[tokio::test]
async fn only_a_whole_body_that_is_small_enough_is_kept() {
    async fn drain(body: EdgeBody<Tee<Parts>>) {
        drop(http_body_util::BodyExt::collect(body).await);
    }
    let config = ResponseCacheConfig { max_body: 10, ..ResponseCacheConfig::default() };
    let cases: [(fn() -> Parts, bool); 6] = [
        (|| Parts::of(&["12345", "67890"]), true),
        (|| Parts::of(&[]), true),
        (|| Parts::of(&["12345", "67890", "1"]), false),
        (|| Parts::of(&["12345"]).then_trailers(), false),
        (|| Parts::of(&["12345"]).then_error(), false),
        (|| Parts::of(&["12345678901"]), false),
    ];
    for (at, (parts, kept)) in cases.into_iter().enumerate() {
        let cache = ResponseCache::new(config.clone());
        let service = streaming(&cache, parts);
        let request = || Stamped::new(Request::new(Empty::new()), SECOND);
        let half = service.clone().oneshot(request()).await.unwrap();
        assert_eq!(cache.filling(), 1);
        drop(half);
        assert_eq!((cache.stats().entries, cache.filling()), (0, 0), "dropped before its end");
        drain(service.oneshot(request()).await.unwrap().into_body()).await;
        assert_eq!(cache.stats().entries, usize::from(kept), "case {at}");
        assert_eq!(cache.filling(), 0);
    }
}

#[tokio::test]
async fn no_more_answers_are_copied_at_once_than_the_bound() {
    let config = ResponseCacheConfig { filling: 3, ..ResponseCacheConfig::default() };
    let cache = ResponseCache::new(config);
    let service = streaming(&cache, || Parts::of(&["body"]));
    let mut answers = Vec::new();
    for n in 0..5 {
        let request = Request::get(format!("/{n}")).body(Empty::new()).unwrap();
        answers.push(service.clone().oneshot(Stamped::new(request, SECOND)).await.unwrap());
    }
    assert_eq!((cache.filling(), cache.stats().refused), (3, 2));
    for answer in answers {
        assert_eq!(text(answer.into_body()).await, "body");
    }
    assert_eq!((cache.filling(), cache.stats().entries), (0, 3));
}

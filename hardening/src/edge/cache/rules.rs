//! What may be kept, and for how long.

use core::time::Duration;

use http::header::{
    AGE, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_RANGE, COOKIE, EXPIRES, HeaderName,
    PRAGMA, PROXY_AUTHENTICATE, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VARY,
};
use http::response::Parts;
use http::{HeaderMap, StatusCode};

use super::key::CacheKey;
use super::state::ResponseCacheConfig;
use crate::edge::auth::API_KEY_HEADER;
use crate::edge::head::Head;

/// How long an answer holds. Handlers put it into their answer's extensions.
///
/// ```
/// use http::Response;
/// use ironlight_hardening::edge::Freshness;
///
/// let mut answer = Response::new("block 7");
/// answer.extensions_mut().insert(Freshness::Immutable);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It cannot change: [`ResponseCacheConfig::ttl`].
    Immutable,
    /// Until [`ResponseCache::next_generation`](super::ResponseCache::next_generation), such as
    /// the next tip, and no longer than the ttl.
    UntilNext,
    /// For so long at most.
    For(Duration),
    /// It is not kept.
    Never,
}

/// What a write makes wrong.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Empty, Full};
/// use ironlight_hardening::ManualClock;
/// use ironlight_hardening::edge::{HandlerLayer, Invalidate, ResponseCache, ResponseCacheLayer};
/// use ironlight_hardening::stamp::StampLayer;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let cache = ResponseCache::new(Default::default());
/// let layer = ResponseCacheLayer::new(cache.clone()).invalidates(|head| match head.path() {
///     "/log" => Invalidate::Nothing,
///     "/notes" => Invalidate::Prefix("/search".into()),
///     _ => Invalidate::All,
/// });
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(ManualClock::default()))
///     .layer(layer)
///     .layer(HandlerLayer)
///     .service(service_fn(async |_: Request<Empty<Bytes>>| {
///         Ok::<_, std::io::Error>(Response::new(Full::<Bytes>::from("7")))
///     }));
/// let ask = async |method: &str, path: &str| {
///     let request = Request::builder().method(method).uri(path).body(Empty::new()).unwrap();
///     let answer = service.clone().oneshot(request).await.unwrap();
///     answer.into_body().collect().await.unwrap();
///     cache.stats().entries
/// };
/// assert_eq!((ask("GET", "/search?a").await, ask("GET", "/tip").await), (1, 2));
/// assert_eq!(ask("POST", "/log").await, 2);
/// assert_eq!(ask("POST", "/notes").await, 1);
/// assert_eq!(ask("POST", "/").await, 0);
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalidate {
    /// Nothing that is kept.
    Nothing,
    /// What is found under paths that begin so.
    Prefix(String),
    /// Everything.
    All,
}

impl Invalidate {
    /// The first segment of the path: a write to `/notes/7` makes `/notes` and all below wrong. The
    /// rule where you bring none.
    ///
    /// ```
    /// use http::Request;
    /// use ironlight_hardening::edge::{Head, Invalidate};
    ///
    /// let request = Request::put("/notes/7").body(()).unwrap();
    /// let expected = Invalidate::Prefix("/notes".into());
    /// assert_eq!(Invalidate::first_segment(&Head::of(&request)), expected);
    /// ```
    #[must_use]
    pub fn first_segment(head: &Head<'_>) -> Self {
        let path = head.path().strip_prefix('/').unwrap_or_default();
        let segment = path.split('/').next().unwrap_or_default();
        if segment.is_empty() { Self::All } else { Self::Prefix(format!("/{segment}")) }
    }
}

/// How long an answer is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keep {
    pub(super) ttl: Duration,
    pub(super) until_next: bool,
}

/// Whether the answer may be kept, and for how long; `rule` is what holds if it does not say.
pub(super) fn keep(
    parts: &Parts,
    key: &CacheKey,
    rule: Freshness,
    config: &ResponseCacheConfig,
) -> Option<Keep> {
    let headers = &parts.headers;
    let said = CacheControl::of(headers);
    let barred = [&SET_COOKIE, &CONTENT_RANGE, &TRAILER, &UPGRADE];
    if parts.status != StatusCode::OK
        || said.never
        || (said.private && !key.is_private())
        || barred.into_iter().any(|name| headers.contains_key(name))
        || !varies_only_by(headers, &config.vary)
    {
        return None;
    }
    let own = parts.extensions.get().copied();
    let left = said.max_age.map(|time| Freshness::For(time.saturating_sub(age(headers))));
    let freshness = match own.or(left) {
        Some(freshness) => freshness,
        // Older ways to say how long it holds, which are not read: not ours to say then.
        None if headers.contains_key(EXPIRES) || headers.contains_key(PRAGMA) => return None,
        None => rule,
    };
    let (ttl, until_next) = match freshness {
        Freshness::Immutable => (config.ttl, false),
        Freshness::UntilNext => (config.ttl, true),
        Freshness::For(time) => (time.min(config.ttl), false),
        Freshness::Never => return None,
    };
    (!ttl.is_zero()).then_some(Keep { ttl, until_next })
}

/// What is understood of `Cache-Control` (RFC 9111, 5.2.2).
#[derive(Default)]
struct CacheControl {
    never: bool,
    private: bool,
    max_age: Option<Duration>,
}

impl CacheControl {
    fn of(headers: &HeaderMap) -> Self {
        let mut said = Self::default();
        let mut shared_age = None;
        for value in headers.get_all(CACHE_CONTROL) {
            // What cannot be read may forbid it.
            let Ok(text) = value.to_str() else {
                return Self { never: true, ..said };
            };
            for directive in text.split(',') {
                let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
                match name.trim().to_ascii_lowercase().as_str() {
                    "no-store" | "no-cache" => said.never = true,
                    "private" => said.private = true,
                    "max-age" => said.max_age = Some(seconds(value)),
                    "s-maxage" => shared_age = Some(seconds(value)),
                    // The standard asks to ignore what is not known.
                    _ => {}
                }
            }
        }
        said.max_age = shared_age.or(said.max_age);
        said
    }
}

/// How old an answer was when it came: a cache behind us gave it. What is no number is not heeded
/// (RFC 9111, 5.1).
pub(super) fn age(headers: &HeaderMap) -> Duration {
    let text = headers.get(AGE).and_then(|value| value.to_str().ok());
    Duration::from_secs(text.and_then(|text| text.trim().parse().ok()).unwrap_or(0))
}

/// What is no number is zero: stale at once (RFC 9111, 4.2.1).
fn seconds(text: &str) -> Duration {
    Duration::from_secs(text.trim().trim_matches('"').parse().unwrap_or(0))
}

/// Whether `Vary` names nothing but what is in the key, or what keeps a request from the cache.
fn varies_only_by(headers: &HeaderMap, known: &[HeaderName]) -> bool {
    let judged = [AUTHORIZATION, API_KEY_HEADER, COOKIE];
    headers.get_all(VARY).iter().all(|value| {
        value.to_str().is_ok_and(|text| {
            let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
            let in_key = |name: &str| {
                let mut all = known.iter().chain(&judged);
                all.any(|known| known.as_str().eq_ignore_ascii_case(name))
            };
            names.into_iter().all(in_key)
        })
    })
}

/// The headers that are kept: those that belong to the answer and not to its connection (RFC 9110,
/// 7.6.1).
pub(super) fn lasting(headers: &HeaderMap) -> HeaderMap {
    let named = |name: &HeaderName| {
        let listed = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
        let mut names = listed.flat_map(|text| text.split(',')).map(str::trim);
        names.any(|listed| name.as_str().eq_ignore_ascii_case(listed))
    };
    let keep_alive = HeaderName::from_static("keep-alive");
    let hop = [CONNECTION, TE, TRANSFER_ENCODING, PROXY_AUTHENTICATE, keep_alive];
    let mut kept = HeaderMap::new();
    for (name, value) in headers {
        if !hop.contains(name) && !named(name) {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

//! What an answer is found by.

use http::header::{AUTHORIZATION, COOKIE, HeaderName, RANGE, UPGRADE};
use http::{HeaderMap, Method};

use super::state::ResponseCacheConfig;
use crate::edge::auth::{API_KEY_HEADER, Principal};
use crate::edge::head::Head;

/// What an answer is found by: method, path with query, principal, and the headers that the
/// configuration names.
///
/// ```
/// use http::Request;
/// use ironlight_hardening::edge::{CacheKey, Head, ResponseCacheConfig};
///
/// let config = ResponseCacheConfig::default();
/// let request = Request::get("/blocks/7?full").body(()).unwrap();
/// let key = CacheKey::of(&Head::of(&request), &config).unwrap();
/// assert_eq!(key.target(), "/blocks/7?full");
/// let request = Request::post("/blocks").body(()).unwrap();
/// assert!(CacheKey::of(&Head::of(&request), &config).is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey {
    target: Box<str>,
    is_head: bool,
    principal: Option<Principal>,
    vary: Box<[u8]>,
}

impl CacheKey {
    /// None for what is to be asked each time. That a request has a body is not seen here.
    #[must_use]
    pub fn of(head: &Head<'_>, config: &ResponseCacheConfig) -> Option<Self> {
        let is_head = head.method == Method::HEAD;
        if !is_head && head.method != Method::GET {
            return None;
        }
        let has = |name: &HeaderName| head.headers.contains_key(name);
        let principal = head.extensions.get::<Principal>().cloned();
        // A key that authentication did not look at: the handler may do so itself.
        let unjudged = principal.is_none() && (has(&AUTHORIZATION) || has(&API_KEY_HEADER));
        if unjudged || has(&COOKIE) || has(&RANGE) || has(&UPGRADE) {
            return None;
        }
        let target = head.uri.path_and_query().map_or(head.uri.path(), |target| target.as_str());
        let vary = vary_of(head.headers, &config.vary);
        let fits = target.len().saturating_add(vary.len()) <= config.max_key;
        let vary = vary.into();
        fits.then(|| Self { target: target.into(), is_head, principal, vary })
    }

    /// The path with its query.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Whether only this principal sees what is kept.
    #[must_use]
    pub const fn is_private(&self) -> bool {
        self.principal.is_some()
    }

    pub(super) const fn is_head(&self) -> bool {
        self.is_head
    }

    /// The bytes that it takes.
    pub(super) fn size(&self) -> usize {
        let name = self.principal.as_ref().map_or(0, |principal| principal.as_str().len());
        size_of::<Self>() + self.target.len() + self.vary.len() + name
    }
}

/// The values of these headers, each with its length before it, so that no two lists look alike.
fn vary_of(headers: &HeaderMap, names: &[HeaderName]) -> Vec<u8> {
    let mut out = Vec::new();
    for name in names {
        for value in headers.get_all(name) {
            out.extend_from_slice(&(value.len() as u64).to_le_bytes());
            out.extend_from_slice(value.as_bytes());
        }
        // No value is that long: the end of this header.
        out.extend_from_slice(&u64::MAX.to_le_bytes());
    }
    out
}

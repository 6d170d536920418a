//! What an answer is found by.

use http::header::{AUTHORIZATION, COOKIE, HeaderName, RANGE, UPGRADE};
use http::{HeaderMap, Method, Uri};

use super::state::ResponseCacheConfig;
use crate::edge::auth::{API_KEY_HEADER, Principal};
use crate::edge::head::Head;

/// What an answer is found by: method, path with query, scheme and host where the request line has
/// them (HTTP/2, or a proxy's form), principal, and the headers that the configuration names.
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
    /// Where it was asked for, and the varying headers.
    rest: Box<[u8]>,
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
        // The same of a name and a password before the host.
        let named = head.uri.authority().is_some_and(|place| place.as_str().contains('@'));
        if unjudged || named || has(&COOKIE) || has(&RANGE) || has(&UPGRADE) {
            return None;
        }
        let target = head.uri.path_and_query().map_or(head.uri.path(), |target| target.as_str());
        let mut rest = Vec::new();
        push_place(head.uri, &mut rest);
        push_vary(head.headers, &config.vary, &mut rest);
        let fits = target.len().saturating_add(rest.len()) <= config.max_key;
        let rest = rest.into();
        fits.then(|| Self { target: target.into(), is_head, principal, rest })
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
        size_of::<Self>() + self.target.len() + self.rest.len() + name
    }
}

/// Scheme and host of the request line, in small letters: which letters they are written in means
/// nothing. Without them (HTTP/1) it is the `Host` header that says where.
fn push_place(uri: &Uri, out: &mut Vec<u8>) {
    let authority = uri.authority().map(|authority| authority.as_str());
    for part in [uri.scheme_str(), authority] {
        if let Some(part) = part {
            push_value(part.to_ascii_lowercase().as_bytes(), out);
        }
        push_end(out);
    }
}

/// The values of these headers.
fn push_vary(headers: &HeaderMap, names: &[HeaderName], out: &mut Vec<u8>) {
    for name in names {
        for value in headers.get_all(name) {
            push_value(value.as_bytes(), out);
        }
        push_end(out);
    }
}

/// With its length before it, so that no two lists look alike.
fn push_value(value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    out.extend_from_slice(value);
}

/// No value is that long: the end of one list.
fn push_end(out: &mut Vec<u8>) {
    out.extend_from_slice(&u64::MAX.to_le_bytes());
}

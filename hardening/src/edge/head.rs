//! What the rules at the edge look at.

use core::fmt;

use http::{Extensions, HeaderMap, Method, Request, Uri};

/// A request without its body: what your rules (what it costs, whether a key is asked for, how long
/// its answer lasts) are given.
///
/// ```
/// use http::Request;
/// use ironlight_hardening::edge::Head;
///
/// let request = Request::get("/blocks/7").body(()).unwrap();
/// assert_eq!(Head::of(&request).path(), "/blocks/7");
/// assert!(Head::of(&request).is_safe());
/// ```
#[derive(Clone, Copy)]
pub struct Head<'a> {
    /// What is to be done.
    pub method: &'a Method,
    /// With what.
    pub uri: &'a Uri,
    /// What else was said.
    pub headers: &'a HeaderMap,
    /// What layers further out found: [`Client`](super::Client), [`RequestId`](super::RequestId)
    /// and, behind authentication, [`Principal`](super::Principal).
    pub extensions: &'a Extensions,
}

/// Method and path only: keys are among the rest, and in queries too.
impl fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Head");
        out.field("method", self.method).field("path", &self.path()).finish_non_exhaustive()
    }
}

impl<'a> Head<'a> {
    /// Of this request.
    #[must_use]
    pub fn of<B>(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }

    /// The path, without its query.
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.uri.path()
    }

    /// Whether the method only looks (RFC 9110, 9.2.1).
    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.method.is_safe()
    }
}

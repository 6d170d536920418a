//! Why a request was not carried out, and what the caller is told.

use core::fmt;
use core::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};

use super::auth::AuthReason;
use super::body::EdgeBody;
use super::limits::LimitReport;
use crate::error::{Classify, Error, ErrorClass, Rejected};

/// When to come back where nothing better is known: what is full for a moment is seldom full for
/// longer.
const SOON: Duration = Duration::from_secs(1);

/// The media type of a [`Rejection`]'s body (RFC 9457).
pub const PROBLEM_JSON: &str = "application/problem+json";

/// A refusal of the edge.
///
/// ```
/// use core::time::Duration;
/// use http::StatusCode;
/// use ironlight_hardening::Rejected;
/// use ironlight_hardening::edge::Rejection;
///
/// let wait = Duration::from_millis(2100);
/// let rejection = Rejection::from(Rejected::RateLimited { retry_after: wait });
/// assert_eq!(rejection.status(), StatusCode::TOO_MANY_REQUESTS);
/// assert_eq!(rejection.retry_after(), Some(wait));
/// let answer = rejection.response::<()>();
/// assert_eq!(answer.headers()["retry-after"], "3");
/// assert_eq!(answer.headers()["content-type"], "application/problem+json");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// 401: no right key came with it.
    Unauthorized {
        /// What was wrong.
        reason: AuthReason,
    },
    /// 413: the body is larger than is taken.
    BodyTooLarge {
        /// The most bytes.
        limit: u64,
    },
    /// 429: over the limit.
    RateLimited {
        /// When it is granted; [`Duration::MAX`] for never.
        retry_after: Duration,
        /// The limit, where it is one of the edge's.
        report: Option<LimitReport>,
    },
    /// 503: no room.
    Overloaded {
        /// The limit that was reached.
        limit: u32,
    },
    /// 503: what it needs is known to be broken.
    Unavailable {
        /// When it is tried again; [`Duration::MAX`] for never.
        retry_after: Duration,
    },
    /// 504: no answer in time.
    Timeout {
        /// How long was waited.
        after: Duration,
    },
}

impl From<Rejected> for Rejection {
    fn from(rejected: Rejected) -> Self {
        match rejected {
            Rejected::Timeout { after } => Self::Timeout { after },
            Rejected::CircuitOpen { retry_after } => Self::Unavailable { retry_after },
            Rejected::RateLimited { retry_after } => {
                Self::RateLimited { retry_after, report: None }
            }
            Rejected::Overloaded { limit } => Self::Overloaded { limit },
        }
    }
}

impl Rejection {
    /// The status code.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized { .. } => StatusCode::UNAUTHORIZED,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Overloaded { .. } | Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// When the same request may work; none where it never will.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match *self {
            Self::Unauthorized { .. } | Self::BodyTooLarge { .. } => None,
            Self::RateLimited { retry_after: Duration::MAX, .. }
            | Self::Unavailable { retry_after: Duration::MAX } => None,
            Self::RateLimited { retry_after, .. } | Self::Unavailable { retry_after } => {
                Some(retry_after)
            }
            Self::Overloaded { .. } | Self::Timeout { .. } => Some(SOON),
        }
    }

    /// What the caller is told: status, `Retry-After`, `WWW-Authenticate`, the limits, and a small
    /// JSON body. Nothing of it comes from the request.
    #[must_use]
    pub fn response<D>(&self) -> Response<EdgeBody<D>> {
        let mut response = Response::new(EdgeBody::known(self.json()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        // A cache between us and the caller must not answer others with it.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(time) = self.retry_after() {
            headers.insert(RETRY_AFTER, whole_seconds(time).max(1).into());
        }
        match self {
            Self::Unauthorized { reason } => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(reason.challenge()));
            }
            Self::RateLimited { report: Some(report), .. } => report.write_to(headers),
            Self::RateLimited { report: None, .. }
            | Self::BodyTooLarge { .. }
            | Self::Overloaded { .. }
            | Self::Unavailable { .. }
            | Self::Timeout { .. } => {}
        }
        response
    }

    /// The body: a problem of RFC 9457. `detail` and title hold nothing that needs escaping.
    fn json(&self) -> Bytes {
        let status = self.status();
        let title = status.canonical_reason().unwrap_or("Refused");
        let mut json = format!(
            r#"{{"type":"about:blank","title":"{title}","status":{},"detail":"{self}""#,
            status.as_u16()
        );
        if let Some(time) = self.retry_after() {
            json.push_str(&format!(r#","retry_after":{}"#, whole_seconds(time).max(1)));
        }
        json.push('}');
        json.into()
    }
}

/// Rounded up: whoever comes back then is not too early.
pub(super) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthorized { reason } => reason.fmt(f),
            Self::BodyTooLarge { limit } => write!(f, "the body is larger than {limit} bytes"),
            Self::RateLimited { retry_after: Duration::MAX, .. } => {
                f.write_str("more than the limit ever allows at once")
            }
            Self::RateLimited { .. } => f.write_str("over the limit"),
            Self::Overloaded { .. } => f.write_str("busy"),
            Self::Unavailable { .. } => f.write_str("what this needs is out of order"),
            Self::Timeout { .. } => f.write_str("no answer in time"),
        }
    }
}

impl core::error::Error for Rejection {}

impl Classify for Rejection {
    fn class(&self) -> ErrorClass {
        match *self {
            Self::Unauthorized { .. } | Self::BodyTooLarge { .. } => ErrorClass::Permanent,
            Self::RateLimited { retry_after, .. } => {
                ErrorClass::RateLimited { retry_after: Some(retry_after) }
            }
            Self::Overloaded { .. } => ErrorClass::Overloaded,
            Self::Unavailable { .. } => ErrorClass::CircuitOpen,
            Self::Timeout { .. } => ErrorClass::Timeout,
        }
    }
}

/// The error between the layers of the edge: the handler's own, or a refusal.
///
/// ```
/// use ironlight_hardening::edge::{Failure, Rejection};
/// use ironlight_hardening::{Error, Rejected};
///
/// let own: Failure<&str> = Error::Inner("no such block").into();
/// assert_eq!(own, Failure::Inner("no such block"));
/// let refused: Failure<&str> = Error::Rejected(Rejected::Overloaded { limit: 64 }).into();
/// assert_eq!(refused, Failure::Rejection(Rejection::Overloaded { limit: 64 }));
/// assert_eq!(refused.to_string(), "busy");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure<E> {
    /// The handler's own error.
    Inner(E),
    /// A layer refused.
    Rejection(Rejection),
}

impl<E> From<Rejection> for Failure<E> {
    fn from(rejection: Rejection) -> Self {
        Self::Rejection(rejection)
    }
}

impl<E> From<Rejected> for Failure<E> {
    fn from(rejected: Rejected) -> Self {
        Self::Rejection(rejected.into())
    }
}

impl<E> From<Error<E>> for Failure<E> {
    fn from(error: Error<E>) -> Self {
        match error {
            Error::Inner(error) => Self::Inner(error),
            Error::Rejected(rejected) => rejected.into(),
        }
    }
}

impl<E: Classify> Classify for Failure<E> {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Inner(error) => error.class(),
            Self::Rejection(rejection) => rejection.class(),
        }
    }
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inner(error) => error.fmt(f),
            Self::Rejection(rejection) => rejection.fmt(f),
        }
    }
}

impl<E: core::error::Error + 'static> core::error::Error for Failure<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Inner(error) => error.source(),
            Self::Rejection(_) => None,
        }
    }
}

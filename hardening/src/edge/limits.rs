//! Limits by what a request costs.

use core::fmt;
use core::fmt::Write;
use core::time::Duration;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

use super::client::ClientKey;
use super::head::Head;
use super::rejection::{Rejection, whole_seconds};
use crate::rate_limit::{Left, Limit, MAX_WINDOWS, Quota, RateLimiter, RetryAfter};

/// What a request costs us, and so which limit holds for it.
///
/// ```
/// use http::Request;
/// use ironlight_hardening::edge::{CostClass, Head};
///
/// let read = Request::get("/tip").body(()).unwrap();
/// assert_eq!(CostClass::by_method(&Head::of(&read)), CostClass::Light);
/// let write = Request::post("/notes").body(()).unwrap();
/// assert_eq!(CostClass::by_method(&Head::of(&write)), CostClass::Write);
/// assert_eq!(CostClass::Write.name(), "write");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CostClass {
    /// An answer that is at hand.
    Light,
    /// Something has to be looked for, or listed.
    Search,
    /// Proofs, scans.
    Expensive,
    /// Something changes.
    Write,
    /// No limit: health, metrics, documentation.
    Exempt,
}

impl CostClass {
    /// [`Light`](Self::Light) for what only looks, else [`Write`](Self::Write): the rule where you
    /// bring none.
    #[must_use]
    pub fn by_method(head: &Head<'_>) -> Self {
        if head.is_safe() { Self::Light } else { Self::Write }
    }

    /// A short fixed name, for headers and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Search => "search",
            Self::Expensive => "expensive",
            Self::Write => "write",
            Self::Exempt => "exempt",
        }
    }
}

/// A limiter for each class. They are handles: clones share their state.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::edge::{ClientKey, CostClass, EdgeLimits};
///
/// let limits = EdgeLimits::default();
/// let (now, who) = (Duration::from_secs(1), ClientKey::Unknown);
/// for left in (0..10).rev() {
///     let report = limits.take(CostClass::Expensive, &who, now).unwrap().unwrap();
///     assert_eq!(report.remaining(), left);
/// }
/// let refused = limits.take(CostClass::Expensive, &who, now).unwrap_err();
/// assert_eq!(refused.retry_after(), Some(Duration::from_secs(6)));
/// assert!(limits.take(CostClass::Light, &who, now).is_ok());
/// assert_eq!(limits.take(CostClass::Exempt, &who, now), Ok(None));
/// ```
#[derive(Clone, Debug)]
pub struct EdgeLimits {
    /// For [`CostClass::Light`].
    pub light: RateLimiter<ClientKey>,
    /// For [`CostClass::Search`].
    pub search: RateLimiter<ClientKey>,
    /// For [`CostClass::Expensive`].
    pub expensive: RateLimiter<ClientKey>,
    /// For [`CostClass::Write`].
    pub write: RateLimiter<ClientKey>,
}

impl Default for EdgeLimits {
    /// A minute and client: 60 light reads, 30 searches, 10 expensive requests, 60 writes; 1,000
    /// writes an hour.
    fn default() -> Self {
        Self {
            light: RateLimiter::new(Quota::per_minute(60)),
            search: RateLimiter::new(Quota::per_minute(30)),
            expensive: RateLimiter::new(Quota::per_minute(10)),
            write: RateLimiter::new([Quota::per_minute(60), Quota::per_hour(1000)]),
        }
    }
}

impl EdgeLimits {
    /// The limiter of a class; none for what is exempt.
    #[must_use]
    pub const fn of(&self, class: CostClass) -> Option<&RateLimiter<ClientKey>> {
        match class {
            CostClass::Light => Some(&self.light),
            CostClass::Search => Some(&self.search),
            CostClass::Expensive => Some(&self.expensive),
            CostClass::Write => Some(&self.write),
            CostClass::Exempt => None,
        }
    }

    /// Takes one request's token, and says what is left; none for what is exempt.
    ///
    /// # Errors
    /// [`Rejection::RateLimited`]; nothing is taken then.
    pub fn take(
        &self,
        class: CostClass,
        key: &ClientKey,
        now: Duration,
    ) -> Result<Option<LimitReport>, Rejection> {
        let Some(limiter) = self.of(class) else { return Ok(None) };
        let taken = limiter.check(key, 1, now);
        let (limit, left) = limiter.status(key, now);
        let report = Some(LimitReport::new(class, &limit, left));
        match taken {
            Ok(()) => Ok(report),
            Err(RetryAfter(retry_after)) => Err(Rejection::RateLimited { retry_after, report }),
        }
    }

    /// The bytes that all of them take at most, whatever callers send.
    #[must_use]
    pub fn memory_bound(&self) -> usize {
        let all = [&self.light, &self.search, &self.expensive, &self.write];
        all.into_iter().map(RateLimiter::memory_bound).sum()
    }
}

/// The header with the limits (draft-ietf-httpapi-ratelimit-headers-11).
pub const POLICY_HEADER: HeaderName = HeaderName::from_static("ratelimit-policy");
/// The header with what is left in the tightest of them.
pub const LIMIT_HEADER: HeaderName = HeaderName::from_static("ratelimit");

/// What a caller is told of its limit: the `RateLimit` and `RateLimit-Policy` headers.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::edge::{ClientKey, CostClass, EdgeLimits};
///
/// let limits = EdgeLimits::default();
/// let taken = limits.take(CostClass::Write, &ClientKey::Unknown, Duration::ZERO);
/// let report = taken.unwrap().unwrap();
/// assert_eq!(report.policy(), r#""write-minute";q=60;w=60, "write-hour";q=1000;w=3600"#);
/// assert_eq!(report.left(), r#""write-minute";r=59;t=1"#);
/// assert_eq!(report.remaining(), 59);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitReport {
    class: CostClass,
    windows: [Option<Window>; MAX_WINDOWS],
    tightest: Window,
    remaining: u32,
    more_in: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    quota: u32,
    seconds: u32,
}

impl Window {
    fn of(quota: Quota) -> Self {
        // A token's time is rounded up to a nanosecond; the whole window is meant.
        let time = quota.per.saturating_mul(quota.burst).saturating_add(Duration::from_millis(500));
        let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        // The header has whole seconds, and at least one; callers may then ask more slowly than
        // they need to, but never too fast.
        Self { quota: quota.burst, seconds: seconds.max(1) }
    }
}

/// The window's part of a policy's name.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seconds {
            1 => f.write_str("second"),
            60 => f.write_str("minute"),
            3600 => f.write_str("hour"),
            86_400 => f.write_str("day"),
            seconds => write!(f, "{seconds}s"),
        }
    }
}

impl LimitReport {
    fn new(class: CostClass, limit: &Limit, left: Left) -> Self {
        let mut windows = [None; MAX_WINDOWS];
        for (window, quota) in windows.iter_mut().zip(limit.quotas()) {
            *window = Some(Window::of(quota));
        }
        let Left { quota, remaining, full_in } = left;
        // Until it is full, all tokens that are not there come back, and one of them first.
        let later = quota.burst.saturating_sub(remaining).saturating_sub(1);
        let more_in = full_in.saturating_sub(quota.per.saturating_mul(later));
        Self { class, windows, tightest: Window::of(quota), remaining, more_in }
    }

    /// What is left in the tightest window.
    #[must_use]
    pub const fn remaining(&self) -> u32 {
        self.remaining
    }

    /// The value of `RateLimit-Policy`: `"write-minute";q=60;w=60, "write-hour";q=1000;w=3600`.
    #[must_use]
    pub fn policy(&self) -> String {
        let mut text = String::new();
        for window in self.windows.iter().flatten() {
            let comma = if text.is_empty() { "" } else { ", " };
            let (class, quota, seconds) = (self.class.name(), window.quota, window.seconds);
            let _infallible = write!(text, r#"{comma}"{class}-{window}";q={quota};w={seconds}"#);
        }
        text
    }

    /// The value of `RateLimit`: `"write-minute";r=59;t=1`, with the seconds until there is more.
    ///
    /// Not those until it is full: whoever heeds it asks for no more than `r` until then, and a
    /// refusal's `Retry-After` must not be before it.
    #[must_use]
    pub fn left(&self) -> String {
        let (class, window) = (self.class.name(), self.tightest);
        format!(r#""{class}-{window}";r={};t={}"#, self.remaining, whole_seconds(self.more_in))
    }

    pub(super) fn write_to(&self, headers: &mut HeaderMap) {
        for (name, value) in [(POLICY_HEADER, self.policy()), (LIMIT_HEADER, self.left())] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }
}

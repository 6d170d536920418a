//! Warnings about what is slow.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a path or an id that are logged; the rest is cut off.
pub const MAX_LOGGED: usize = 256;

/// An operation that ended.
///
/// See [`SlowLog`] for an example.
#[derive(Clone, Copy, Debug)]
pub struct Operation<'a> {
    /// Its name in the logs.
    pub request_id: &'a str,
    /// `GET` and so on, or any short name of what was done.
    pub method: &'a str,
    /// On what, without its query: that may hold secrets.
    pub path: &'a str,
    /// How it ended.
    pub status: u16,
}

/// Warns about operations that took longer than a second, or another time. Clones count together.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::telemetry::{Operation, SlowLog};
///
/// let log = SlowLog::default();
/// let tip = Operation { request_id: "r1", method: "GET", path: "/tip", status: 200 };
/// assert!(!log.ended(&tip, Duration::from_secs(1)));
/// assert!(log.ended(&tip, Duration::from_millis(1001)));
/// assert_eq!(log.count(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct SlowLog {
    over: Duration,
    count: Arc<AtomicU64>,
}

impl Default for SlowLog {
    /// Over a second.
    fn default() -> Self {
        Self::new(Duration::from_secs(1))
    }
}

impl SlowLog {
    /// Warns above this time.
    #[must_use]
    pub fn new(over: Duration) -> Self {
        Self { over, count: Arc::default() }
    }

    /// Whether so long is slow.
    #[must_use]
    pub fn is_slow(&self, took: Duration) -> bool {
        took > self.over
    }

    /// Warns if it was slow, and says whether it was.
    pub fn ended(&self, operation: &Operation<'_>, took: Duration) -> bool {
        if !self.is_slow(took) {
            return false;
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            request_id = cut(operation.request_id),
            method = cut(operation.method),
            path = cut(operation.path),
            status = operation.status,
            duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "slow operation"
        );
        true
    }

    /// How many were slow.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

pub(super) fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_LOGGED)).unwrap_or(text)
}

//! A limit that many share.

use core::fmt;
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::state::{AdaptiveConfig, AdaptiveState, AdaptiveStatus, Ended};
use crate::error::Rejected;
use crate::listeners::Listeners;

/// A limit to concurrency that finds its own value. Clones share it.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::adaptive::{AdaptiveConfig, AdaptiveLimit, Ended};
///
/// let limit = AdaptiveLimit::new(AdaptiveConfig::default());
/// let permit = limit.enter(Duration::ZERO).unwrap();
/// assert_eq!(limit.status().in_flight, 1);
/// permit.finish(Ended::Answered, Duration::from_millis(5));
/// assert_eq!(limit.status().in_flight, 0);
/// ```
#[derive(Clone)]
pub struct AdaptiveLimit {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<AdaptiveState>,
    listeners: Listeners<u32>,
}

impl fmt::Debug for AdaptiveLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdaptiveLimit").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl AdaptiveLimit {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(config: AdaptiveConfig) -> Self {
        let state = Mutex::new(AdaptiveState::new(config));
        Self { shared: Arc::new(Shared { state, listeners: Listeners::default() }) }
    }

    /// Goes in, if the limit allows it.
    ///
    /// # Errors
    /// [`Rejected::Overloaded`].
    pub fn enter(&self, now: Duration) -> Result<AdaptivePermit, Rejected> {
        let mut state = self.lock();
        if state.enter() {
            return Ok(AdaptivePermit { limit: self.clone(), began: now, finished: false });
        }
        Err(Rejected::Overloaded { limit: state.limit() })
    }

    /// What can be said about it.
    #[must_use]
    pub fn status(&self) -> AdaptiveStatus {
        self.lock().status()
    }

    /// Has each new limit told. One that panics harms nothing.
    ///
    /// ```
    /// use core::time::Duration;
    /// use ironlight_hardening::adaptive::{AdaptiveConfig, AdaptiveLimit, Ended};
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// let config = AdaptiveConfig { min_answers: 1, ..AdaptiveConfig::default() };
    /// let (limit, told) = (AdaptiveLimit::new(config), Arc::new(AtomicU32::new(0)));
    /// let to = Arc::clone(&told);
    /// limit.on_change(move |new| to.store(new, Ordering::Relaxed));
    /// limit.enter(Duration::ZERO).unwrap().finish(Ended::Overloaded, Duration::from_secs(1));
    /// assert_eq!((limit.status().limit, told.load(Ordering::Relaxed)), (18, 18), "a tenth less");
    /// ```
    pub fn on_change(&self, listener: impl Fn(u32) + Send + Sync + 'static) {
        self.shared.listeners.add(Arc::new(move |limit: &u32| listener(*limit)));
    }

    fn lock(&self) -> MutexGuard<'_, AdaptiveState> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among those that are being done; free again when this is dropped.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::adaptive::{AdaptiveConfig, AdaptiveLimit, Ended};
///
/// let limit = AdaptiveLimit::new(AdaptiveConfig::default());
/// let permit = limit.enter(Duration::ZERO).unwrap();
/// assert_eq!(limit.status().in_flight, 1);
/// permit.finish(Ended::Answered, Duration::from_millis(3));
/// assert_eq!(limit.status().in_flight, 0);
/// ```
#[derive(Debug)]
#[must_use = "dropped at once, it says nothing about the request"]
pub struct AdaptivePermit {
    limit: AdaptiveLimit,
    began: Duration,
    finished: bool,
}

impl AdaptivePermit {
    /// Says how it ended.
    pub fn finish(mut self, ended: Ended, now: Duration) {
        self.finished = true;
        let mut state = self.limit.lock();
        let before = state.limit();
        state.leave(ended, self.began, now);
        let after = state.limit();
        drop(state);
        if before != after {
            self.limit.shared.listeners.tell(&after);
        }
    }
}

impl Drop for AdaptivePermit {
    fn drop(&mut self) {
        if !self.finished {
            self.limit.lock().abandon();
        }
    }
}

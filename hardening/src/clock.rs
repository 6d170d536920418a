//! Where the time comes from, and how to wait: the edge between the pure states and the world.
//!
//! States take `now`, the time since any fixed start. Layers read it from a [`Clock`], and those
//! that have to wait do so with a [`Timer`]. Tests bring a [`ManualClock`], or tokio's paused time.

use core::future::Future;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// In nanoseconds; saturates after 584 years.
#[inline]
pub(crate) const fn nanos(time: Duration) -> u64 {
    let below = time.subsec_nanos() as u64;
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(below)
}

/// Tells the time since a fixed start; it never goes back.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::Clock;
///
/// /// Whole seconds are enough for some.
/// #[derive(Clone)]
/// struct Seconds<C>(C);
/// impl<C: Clock> Clock for Seconds<C> {
///     fn now(&self) -> Duration {
///         Duration::from_secs(self.0.now().as_secs())
///     }
/// }
///
/// let clock = ironlight_hardening::ManualClock::default();
/// clock.advance(Duration::from_millis(1700));
/// assert_eq!(Seconds(clock).now(), Duration::from_secs(1));
/// ```
pub trait Clock: Clone + Send + Sync + 'static {
    /// The time since the start.
    fn now(&self) -> Duration;
}

/// A clock that can also wait.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::{Clock, Timer, TokioTimer};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let timer = TokioTimer::new();
/// timer.sleep(Duration::from_secs(3600)).await;
/// assert!(timer.now() >= Duration::from_secs(3600), "at once, for tokio's time is paused");
/// # }
/// ```
pub trait Timer: Clock {
    /// Ends when the time has passed.
    type Sleep: Future<Output = ()> + Send;

    /// Waits; dropping the future gives the wait up.
    fn sleep(&self, time: Duration) -> Self::Sleep;
}

/// The operating system's monotonic clock, from when it was made.
///
/// ```
/// use ironlight_hardening::{Clock, MonotonicClock};
///
/// let clock = MonotonicClock::new();
/// let before = clock.now();
/// assert!(clock.now() >= before);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock {
    start: Instant,
}

impl MonotonicClock {
    /// Starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for MonotonicClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for MonotonicClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Shows the same time, as long as tokio's is not paused; for threads outside of tokio.
#[cfg(feature = "tokio")]
impl From<TokioTimer> for MonotonicClock {
    fn from(timer: TokioTimer) -> Self {
        Self { start: timer.start.into_std() }
    }
}

/// A clock that stands still until it is moved, for tests. Clones show the same time.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::{Clock, ManualClock};
///
/// let clock = ManualClock::default();
/// clock.advance(Duration::from_secs(5));
/// assert_eq!(clock.clone().now(), Duration::from_secs(5));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Moves it on.
    pub fn advance(&self, time: Duration) {
        self.0.fetch_add(nanos(time), Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// tokio's clock and timer, from when it was made; tokio's paused time drives it.
///
/// See [`Timer`] for an example.
#[cfg(feature = "tokio")]
#[derive(Clone, Copy, Debug)]
pub struct TokioTimer {
    start: tokio::time::Instant,
}

#[cfg(feature = "tokio")]
impl TokioTimer {
    /// Starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { start: tokio::time::Instant::now() }
    }
}

#[cfg(feature = "tokio")]
impl Default for TokioTimer {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(feature = "tokio")]
impl Clock for TokioTimer {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

#[cfg(feature = "tokio")]
impl Timer for TokioTimer {
    type Sleep = tokio::time::Sleep;

    fn sleep(&self, time: Duration) -> Self::Sleep {
        tokio::time::sleep(time)
    }
}

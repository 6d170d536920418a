//! When a breaker opens, for how long, and what closes it.

use core::time::Duration;

use super::window::Window;

/// When a breaker opens, for how long, and what closes it.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::circuit_breaker::{BreakerConfig, Window};
///
/// let config = BreakerConfig { window: Window::Calls(100), ..BreakerConfig::default() };
/// assert_eq!(config.open_for, Duration::from_secs(60));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// Opens after so many failures in a row.
    pub consecutive_failures: Option<u32>,
    /// What the rates below are taken over.
    pub window: Window,
    /// With fewer calls in the window no rate is looked at.
    pub minimum_calls: u32,
    /// Opens when this share of the calls in the window failed, or more.
    pub failure_percent: Option<u8>,
    /// Opens when too many calls are slow.
    pub slow_calls: Option<SlowCalls>,
    /// How long it is open the first time. It doubles each time that probes fail.
    pub open_for: Duration,
    /// It does not double beyond this.
    pub open_at_most: Duration,
    /// Up to this share of the time is added by chance, so that many breakers do not probe at once.
    pub jitter_percent: u8,
    /// So many probes at once in the half-open state. None counts as one.
    pub half_open_permits: u32,
    /// So many successful probes close it. None counts as one.
    pub successes_to_close: u32,
    /// When all permits are taken and none was given back for so long, the probes count as failed.
    pub probe_timeout: Duration,
}

/// When calls are too slow.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::circuit_breaker::{
///     BreakerConfig, CircuitBreaker, CircuitState, Outcome, SlowCalls,
/// };
///
/// let second = Duration::from_secs(1);
/// let slow_calls = Some(SlowCalls { from: second, percent: 50 });
/// let breaker = CircuitBreaker::new(BreakerConfig { slow_calls, ..Default::default() }, 1);
/// for _ in 0..10 {
///     breaker.permit(Duration::ZERO).unwrap().finish(Outcome::Success, 2 * second);
/// }
/// assert_eq!(breaker.state(), CircuitState::Open);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowCalls {
    /// A call that takes so long is slow.
    pub from: Duration,
    /// Opens when this share of the calls in the window was slow, or more.
    pub percent: u8,
}

impl Default for BreakerConfig {
    /// 5 failures in a row, or half of at least 10 calls in the last minute; open for 60 s, at most
    /// 10 minutes, up to a tenth more by chance; 3 probes at once, 2 successes close.
    fn default() -> Self {
        Self {
            consecutive_failures: Some(5),
            window: Window::Time { length: Duration::from_secs(60), slices: 20 },
            minimum_calls: 10,
            failure_percent: Some(50),
            slow_calls: None,
            open_for: Duration::from_secs(60),
            open_at_most: Duration::from_secs(600),
            jitter_percent: 10,
            half_open_permits: 3,
            successes_to_close: 2,
            probe_timeout: Duration::from_secs(60),
        }
    }
}

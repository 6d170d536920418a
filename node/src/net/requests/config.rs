//! The knobs of requests to peers.

use std::time::Duration;

use ironlight_hardening::circuit_breaker::{BreakerConfig, SlowCalls};
use ironlight_hardening::rate_limit::Quota;

/// Times and bounds of requests to peers; the defaults suit Bitcoin's networks.
///
/// ```
/// use std::time::Duration;
/// use ironlight::{Network, NodeConfig};
///
/// let mut config = NodeConfig::new(Network::Signet);
/// // On a line that is known to be quick.
/// config.requests.attempt_timeout = Duration::from_secs(5);
/// assert_eq!(config.requests.floor, 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestConfig {
    /// A request may take so long with all its attempts. A node cuts both times to what is less than
    /// [`SyncConfig::request_timeout`](ironlight_spv::sync::SyncConfig::request_timeout), so that the
    /// peer's breaker hears of it first.
    pub timeout: Duration,
    /// One attempt may take so long.
    pub attempt_timeout: Duration,
    /// A request for a block or for filters may take so long, while something of the answer comes at
    /// least every `attempt_timeout`: what is large takes its time on a slow line.
    pub data_timeout: Duration,
    /// A busy peer is asked so often.
    pub attempts: u32,
    /// The first pause before that; it grows, and what the peer asks for comes on top.
    pub pause: Duration,
    /// A peer that wants a longer pause is given up.
    pub longest_pause: Duration,
    /// Questions that may be asked instead of others, in a hundred of all peers together; and of one
    /// peer, how often it is asked again where it is busy.
    pub retry_percent: u32,
    /// Such questions that may be asked before that.
    pub retry_reserve: u32,
    /// What one address is asked at most.
    pub per_peer: Quota,
    /// Requests under way on one network at most.
    pub concurrent: u32,
    /// Requests that wait for a place.
    pub queue: u32,
    /// How long they do.
    pub queue_time: Duration,
    /// When a peer is not asked for a while, and for how long.
    pub breaker: BreakerConfig,
    /// With fewer peers of our choice and of different owners that may be asked, the open breakers of
    /// such peers refuse nothing.
    pub floor: usize,
}

impl RequestConfig {
    /// The same with requests that end before the deadline of whoever asks.
    pub(crate) fn within(self, deadline: Duration) -> Self {
        let timeout = self.timeout.min(deadline / 20 * 19);
        Self { timeout, attempt_timeout: self.attempt_timeout.min(timeout), ..self }
    }
}

impl Default for RequestConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(19),
            attempt_timeout: Duration::from_secs(18),
            // 4 MB, the largest block, at 13 KB a second; no message may take longer than that.
            data_timeout: Duration::from_secs(300),
            attempts: 6,
            pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
            retry_percent: 20,
            retry_reserve: 20,
            // A first sync of mainnet takes about 1,000 questions to full nodes, twice with presync.
            per_peer: Quota { burst: 4000, per: Duration::from_millis(20) },
            concurrent: 64,
            queue: 64,
            queue_time: Duration::from_secs(1),
            breaker: BreakerConfig {
                consecutive_failures: Some(3),
                slow_calls: Some(SlowCalls { from: Duration::from_secs(9), percent: 80 }),
                ..BreakerConfig::default()
            },
            // One to download from, another one to compare it with.
            floor: 2,
        }
    }
}

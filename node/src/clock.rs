//! The one place where clocks are read: everything behind it takes the time as an argument.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ironlight_spv::{Now, UnixTime};
use tokio::time::Instant;

/// Both clocks, the second one since the node started.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The time by both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { unix: unix_now(), elapsed: self.start.elapsed() }
    }

    /// The moment at which so much time has passed since the start.
    #[must_use]
    pub fn instant(&self, elapsed: Duration) -> Instant {
        self.start.checked_add(elapsed).unwrap_or_else(|| self.start + FAR)
    }
}

/// The wall clock. One that is set before 1970 or beyond what headers can carry counts as the
/// nearest time that they can.
#[must_use]
pub fn unix_now() -> UnixTime {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime(u32::try_from(since_1970.as_secs()).unwrap_or(u32::MAX))
}

/// The wall clock in milliseconds since 1970.
#[cfg(feature = "daemon")]
pub(crate) fn unix_millis() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

/// Later than any node runs.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl Default for Clock {
    fn default() -> Self {
        Self::start()
    }
}

//! When the next attempt is made.

use core::time::Duration;

use crate::chance::Chance;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The pauses of the Standard Webhooks' schedule, after the first attempt, which is at once.
pub const STANDARD_PAUSES: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(14 * 3600),
    Duration::from_secs(20 * 3600),
    Duration::from_secs(24 * 3600),
];

/// The pauses between attempts. The default: three retries within seconds (about 0.5, 1 and 2
/// seconds), then [`STANDARD_PAUSES`]; 13 attempts in a little over three days.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::webhook::Schedule;
///
/// let schedule = Schedule { jitter_percent: 0, ..Schedule::default() };
/// assert_eq!(schedule.pause(1, None, &mut 7), Some(schedule.pauses[0]));
/// assert_eq!(schedule.pause(1 + schedule.pauses.len() as u32, None, &mut 7), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The pause after the first attempt, after the second, and so on; at most 64 count.
    pub pauses: Vec<Duration>,
    /// By how much a pause grows by chance at most, in hundredths: those who failed together do
    /// not return together.
    pub jitter_percent: u32,
    /// A retry-after beyond this is not honoured in full.
    pub max_retry_after: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        let quick = [SECOND / 2, SECOND, 2 * SECOND];
        let pauses = quick.into_iter().chain(STANDARD_PAUSES).collect();
        Self { pauses, jitter_percent: 20, max_retry_after: 24 * HOUR }
    }
}

impl Schedule {
    /// The pause after so many failed attempts, from 1 on; none when that was the last. A longer
    /// `retry_after` is waited for instead.
    #[must_use]
    pub fn pause(
        &self,
        attempts: u32,
        retry_after: Option<Duration>,
        random: &mut u64,
    ) -> Option<Duration> {
        let index = usize::try_from(attempts.checked_sub(1)?).ok()?;
        let pause = *self.pauses.iter().take(64).nth(index)?;
        let asked = retry_after.unwrap_or_default().min(self.max_retry_after);
        Some(jittered(pause.max(asked), self.jitter_percent, random))
    }
}

/// Longer by a drawn part.
pub(super) fn jittered(time: Duration, percent: u32, random: &mut u64) -> Duration {
    let mut chance = Chance::new(*random);
    *random = chance.next();
    time.saturating_add(chance.part_of(time.saturating_mul(percent) / 100))
}

/// When an endpoint that fails again and again is left alone, and for how long.
///
/// ```
/// use ironlight_hardening::webhook::{BreakerConfig, WebhookConfig};
///
/// let breaker = BreakerConfig { failures: 3, ..BreakerConfig::default() };
/// let config = WebhookConfig { breaker, ..WebhookConfig::default() };
/// assert_eq!(config.breaker.failures, 3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// Failures in a row, of any messages, that open it. Zero counts as one.
    pub failures: u32,
    /// The first break; each further one is twice as long.
    pub pause: Duration,
    /// No break is longer.
    pub max_pause: Duration,
}

impl Default for BreakerConfig {
    /// 5 failures, a minute, an hour.
    fn default() -> Self {
        Self { failures: 5, pause: MINUTE, max_pause: HOUR }
    }
}

impl BreakerConfig {
    /// The break after so many before it.
    pub(super) fn break_after(&self, breaks: u32) -> Duration {
        let factor = 1_u32.checked_shl(breaks).unwrap_or(u32::MAX);
        self.pause.saturating_mul(factor).min(self.max_pause)
    }
}

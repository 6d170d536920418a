//! From figures to a judgement.

use crate::error::ErrorClass;

/// How well something does. The order is from good to bad.
///
/// ```
/// use ironlight_hardening::monitor::HealthStatus;
///
/// assert_eq!(HealthStatus::from_error_rate(0.01), HealthStatus::Healthy);
/// assert_eq!(HealthStatus::from_error_rate(0.07), HealthStatus::Degraded);
/// assert_eq!(HealthStatus::from_error_rate(0.2).name(), "unhealthy");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HealthStatus {
    /// Fewer than 5 % of the calls fail.
    #[default]
    Healthy,
    /// From 5 % to 10 % fail.
    Degraded,
    /// More than 10 % fail.
    Unhealthy,
}

impl HealthStatus {
    /// The status of a part of calls that fail, from 0 to 1, with the usual limits. What is not a
    /// number is unhealthy.
    ///
    /// ```
    /// use ironlight_hardening::monitor::HealthStatus;
    ///
    /// assert_eq!(HealthStatus::from_error_rate(0.049), HealthStatus::Healthy);
    /// assert_eq!(HealthStatus::from_error_rate(0.05), HealthStatus::Degraded);
    /// assert_eq!(HealthStatus::from_error_rate(0.101), HealthStatus::Unhealthy);
    /// ```
    #[must_use]
    pub fn from_error_rate(rate: f64) -> Self {
        if rate < 0.05 {
            Self::Healthy
        } else if rate <= 0.1 {
            Self::Degraded
        } else {
            Self::Unhealthy
        }
    }

    /// A short fixed name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// How errors are judged.
///
/// ```
/// use ironlight_hardening::monitor::{HealthPolicy, HealthStatus};
///
/// let policy = HealthPolicy { minimum_calls: 10, ..HealthPolicy::default() };
/// assert_eq!(policy.status(1, 2), HealthStatus::Healthy, "two calls say little");
/// assert_eq!(policy.status(10, 20), HealthStatus::Unhealthy);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct HealthPolicy {
    /// Degraded from this part on, in thousandths.
    pub degraded_from: u32,
    /// Unhealthy above this part, in thousandths.
    pub unhealthy_above: u32,
    /// With fewer calls in the window there is nothing to judge: one failure of one is no trend.
    pub minimum_calls: u64,
    /// Which errors count.
    pub counts: fn(ErrorClass) -> bool,
}

impl Default for HealthPolicy {
    /// 5 %, 10 %, at least 10 calls. What the caller did wrong (`Permanent`) or too often
    /// (`RateLimited`) does not count: else anybody could make us look ill.
    fn default() -> Self {
        Self {
            degraded_from: 50,
            unhealthy_above: 100,
            minimum_calls: 10,
            counts: |class| class.is_failure_of_the_other() || class == ErrorClass::CircuitOpen,
        }
    }
}

impl HealthPolicy {
    /// The same with every error counted.
    ///
    /// ```
    /// use ironlight_hardening::ErrorClass;
    /// use ironlight_hardening::monitor::HealthPolicy;
    ///
    /// assert!(!(HealthPolicy::default().counts)(ErrorClass::Permanent));
    /// assert!((HealthPolicy::default().every_error().counts)(ErrorClass::Permanent));
    /// ```
    #[must_use]
    pub fn every_error(self) -> Self {
        Self { counts: |_| true, ..self }
    }

    /// The status where so many of so many calls failed.
    #[must_use]
    pub fn status(&self, failed: u64, calls: u64) -> HealthStatus {
        let thousandths = u128::from(failed) * 1000;
        let share_of = |limit: u32| u128::from(calls) * u128::from(limit);
        if calls < self.minimum_calls.max(1) || thousandths < share_of(self.degraded_from) {
            HealthStatus::Healthy
        } else if thousandths <= share_of(self.unhealthy_above) {
            HealthStatus::Degraded
        } else {
            HealthStatus::Unhealthy
        }
    }

    /// A score from 100 (nothing failed) to 0 (all failed) that agrees with the status: at least
    /// 80 where healthy, 50 to 79 where degraded, below 50 where unhealthy.
    #[must_use]
    pub fn score(&self, failed: u64, calls: u64) -> u8 {
        let rate = u128::from(failed.min(calls)) * 1_000_000;
        let rate = rate.checked_div(u128::from(calls)).unwrap_or(0);
        let millionths = |limit: u32| u128::from(limit) * 1000;
        let (middle, high) = (millionths(self.degraded_from), millionths(self.unhealthy_above));
        match self.status(failed, calls) {
            HealthStatus::Healthy if calls < self.minimum_calls.max(1) => 100,
            HealthStatus::Healthy => between(rate, (0, middle), (100, 80)),
            HealthStatus::Degraded => between(rate, (middle, high), (79, 50)),
            HealthStatus::Unhealthy => between(rate, (high, 1_000_000), (49, 0)),
        }
    }
}

/// Falls evenly over the range, and never out of its bounds.
fn between(rate: u128, range: (u128, u128), score: (u8, u8)) -> u8 {
    let passed = rate.saturating_sub(range.0) * u128::from(score.0 - score.1);
    let fallen = passed.checked_div(range.1.saturating_sub(range.0)).unwrap_or(0);
    score.0.saturating_sub(u8::try_from(fallen).unwrap_or(u8::MAX)).max(score.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_where_they_are_said_to_be() {
        let policy = HealthPolicy::default();
        for (failed, calls, status, score) in [
            (0, 0, HealthStatus::Healthy, 100),
            (9, 9, HealthStatus::Healthy, 100),
            (0, 1000, HealthStatus::Healthy, 100),
            (49, 1000, HealthStatus::Healthy, 81),
            (50, 1000, HealthStatus::Degraded, 79),
            (100, 1000, HealthStatus::Degraded, 50),
            (101, 1000, HealthStatus::Unhealthy, 49),
            (1000, 1000, HealthStatus::Unhealthy, 0),
            (u64::MAX, u64::MAX, HealthStatus::Unhealthy, 0),
        ] {
            assert_eq!(policy.status(failed, calls), status, "{failed} of {calls}");
            assert_eq!(policy.score(failed, calls), score, "{failed} of {calls}");
        }
    }

    #[test]
    fn more_failures_never_score_better_and_score_and_status_agree() {
        let policy = HealthPolicy { degraded_from: 33, unhealthy_above: 270, ..Default::default() };
        for calls in [10, 11, 37, 1000, 99_999] {
            let mut before = 100;
            for failed in 0..=calls.min(3000) {
                let score = policy.score(failed, calls);
                assert!(score <= before, "{failed} of {calls}");
                before = score;
                let said = match score {
                    80.. => HealthStatus::Healthy,
                    50..80 => HealthStatus::Degraded,
                    0..50 => HealthStatus::Unhealthy,
                };
                assert_eq!(policy.status(failed, calls), said, "{failed} of {calls}");
            }
        }
    }

    #[test]
    fn what_is_not_a_number_is_not_healthy() {
        assert_eq!(HealthStatus::from_error_rate(f64::NAN), HealthStatus::Unhealthy);
        assert_eq!(HealthStatus::from_error_rate(0.1), HealthStatus::Degraded);
    }
}

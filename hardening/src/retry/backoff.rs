//! Growing pauses between attempts.
//!
//! Purpose: whatever fails again and again is tried more and more rarely, and those who fail
//! together do not return together. The pause doubles up to a cap; of each pause the first half
//! is certain and the second is drawn (equal jitter, as in "Exponential Backoff And Jitter", AWS
//! Architecture Blog, 2015), so that no attempt follows at once.
//!
//! Invariant: the n-th pause is at least half and at most all of `min(cap, base * 2^(n-1))`.
//!
//! What an attacker can grow: nothing; the state has a fixed size.

use core::time::Duration;

use crate::chance::Chance;

/// How fast pauses grow.
///
/// See [`Backoff`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffConfig {
    /// The first pause at its longest.
    pub base: Duration,
    /// No pause is longer.
    pub cap: Duration,
}

/// The pauses of one thing that is retried.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::retry::{Backoff, BackoffConfig};
///
/// let second = Duration::from_secs(1);
/// let mut backoff = Backoff::new(BackoffConfig { base: second, cap: 60 * second }, 7);
/// assert!((second / 2..=second).contains(&backoff.next_delay()));
/// assert!((second..=2 * second).contains(&backoff.next_delay()));
/// backoff.reset();
/// assert!((second / 2..=second).contains(&backoff.next_delay()));
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    config: BackoffConfig,
    failures: u32,
    chance: Chance,
}

impl Backoff {
    /// Nothing has failed yet. Of two with different seeds the pauses differ.
    #[must_use]
    pub const fn new(config: BackoffConfig, seed: u64) -> Self {
        Self { config, failures: 0, chance: Chance::new(seed) }
    }

    /// Counts a failure and says how long to wait after it.
    pub fn next_delay(&mut self) -> Duration {
        let doubled = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        let ceiling = self.config.base.saturating_mul(doubled).min(self.config.cap);
        let half = ceiling / 2;
        half + self.chance.part_of(ceiling - half)
    }

    /// It worked: the next pause is the first one again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Numbers;

    #[test]
    fn pauses_stay_between_half_and_all_of_the_doubling() {
        for seed in 0..500 {
            let mut numbers = Numbers(seed);
            let base = Duration::from_millis(1 + numbers.below(5_000));
            let cap = base + Duration::from_millis(numbers.below(10_000_000));
            let mut backoff = Backoff::new(BackoffConfig { base, cap }, seed);
            let mut naive = base;
            for attempt in 0..70 {
                let ceiling = naive.min(cap);
                let pause = backoff.next_delay();
                assert!(pause >= ceiling / 2 && pause <= ceiling, "seed {seed}, {attempt}");
                naive = (naive * 2).min(cap);
            }
        }
    }

    #[test]
    fn those_who_fail_together_return_apart() {
        let config = BackoffConfig { base: Duration::from_secs(10), cap: Duration::from_secs(600) };
        let mut pauses: Vec<_> =
            (0..100).map(|seed| Backoff::new(config, seed).next_delay()).collect();
        pauses.sort_unstable();
        pauses.dedup();
        assert_eq!(pauses.len(), 100);
        let spread = pauses[99] - pauses[0];
        assert!(spread > Duration::from_secs(4), "{spread:?} of 5 s");
    }
}

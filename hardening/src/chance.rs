//! Chance from a seed, so that every decision can be repeated.

use core::hash::{BuildHasher as _, Hasher as _};
use core::time::Duration;
use std::hash::RandomState;

use crate::clock::nanos;

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). Not
/// for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, each of all equally likely.
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A drawn time below `time`; zero of zero.
    pub(crate) fn part_of(&mut self, time: Duration) -> Duration {
        let share = (u128::from(self.next()) * u128::from(nanos(time))) >> 64;
        Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX))
    }

    /// Whether it happens that happens in `share` of all cases; never at 0, always from 1 on.
    pub(crate) fn happens(&mut self, share: f64) -> bool {
        // The upper 53 bits, which an f64 holds exactly.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let drawn = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        drawn < share
    }
}

/// A seed that nobody chose: the standard library's own salt, which differs from call to call.
pub(crate) fn fresh_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

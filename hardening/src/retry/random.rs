//! Chance, from a seed.

use core::hash::{BuildHasher, Hasher};
use core::time::Duration;
use std::hash::RandomState;

/// A drawn part of a time: SplitMix64's next number, as a fraction of all
/// numbers.
pub(super) fn share_of(random: &mut u64, time: Duration) -> Duration {
    *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *random;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let nanos = time.as_nanos().min(u128::from(u64::MAX));
    let share = (u128::from(mixed ^ (mixed >> 31)) * nanos) >> 64;
    Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX))
}

/// A seed that nobody chose: the standard library's own salt, which differs from call to call.
pub(super) fn fresh_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

//! Deterministic numbers and secrets from a seed.

use core::time::Duration;

use sha2::{Digest as _, Sha256};

/// SHA-256 of a tag, a seed and a counter: what is derived under one tag tells nothing of the seed,
/// nor of what is derived under another.
pub(crate) fn derive(tag: &[u8], seed: u64, counter: u64) -> [u8; 32] {
    let hash = Sha256::new().chain_update(tag).chain_update(seed.to_le_bytes());
    hash.chain_update(counter.to_le_bytes()).finalize().into()
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, seeded, repeatable.
///
/// It is not cryptographic: whoever sees one whole output knows all that follow. So nothing
/// that it yields leaves the node, or keeps a secret: it picks among candidates and spreads
/// pauses, which a peer sees only in traces of a few bits. What an attacker must not be able to
/// compute, the place of an address in the book, is decided by a keyed hash, whose key is derived
/// from the seed by SHA-256 and apart from these numbers.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// The generator of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 when there is none. The bias of the remainder is at most
    /// `end / 2^64`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_u64().checked_rem(end).unwrap_or(0)
    }

    /// True in one of `n` cases, and always for an `n` of 0 or 1.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// A drawn part of a time, up to the whole.
    pub fn share_of(&mut self, time: Duration) -> Duration {
        let nanos = time.as_nanos().min(u128::from(u64::MAX));
        let share = (u128::from(self.next_u64()) * nanos) >> 64;
        Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yields_the_published_numbers() {
        // The reference implementation's first outputs for the seed 1234567.
        let mut random = SplitMix64::new(1_234_567);
        assert_eq!(random.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(random.next_u64(), 3_203_168_211_198_807_973);
        assert_eq!(random.next_u64(), 9_817_491_932_198_370_423);
    }

    #[test]
    fn what_is_derived_depends_on_tag_seed_and_counter() {
        let one = derive(b"tag", 1, 1);
        assert_eq!(one, derive(b"tag", 1, 1));
        for other in [derive(b"tug", 1, 1), derive(b"tag", 2, 1), derive(b"tag", 1, 2)] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn stays_below_its_end() {
        let mut random = SplitMix64::new(1);
        assert_eq!(random.below(0), 0);
        for end in 1..200 {
            assert!(random.below(end) < end);
            assert!(random.share_of(Duration::from_millis(end)) <= Duration::from_millis(end));
        }
    }
}

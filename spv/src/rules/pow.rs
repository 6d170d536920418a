//! Proof of work: the hash, as a little-endian number, is at most the target that the header
//! itself names, and that target is one the network allows.
//!
//! Source: Bitcoin Core, `pow.cpp`, `CheckProofOfWorkImpl` and `DeriveTarget`.

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, CompactTarget, Target};

use crate::chain::Violation;
use crate::target::decode_compact;

/// Checks headers' proof of work; remembers the last target, because neighbours share it.
#[derive(Debug)]
pub struct PowCheck {
    limit: Target,
    bits: CompactTarget,
    target: Words,
}

impl PowCheck {
    /// Starts with the network's limit, which is a valid target.
    #[must_use]
    pub fn new(limit: CompactTarget) -> Self {
        let target = Target::from_compact(limit);
        Self { limit: target, bits: limit, target: Words::of(&target.to_le_bytes()) }
    }

    /// Checks one header's hash against the bits that the header names.
    ///
    /// # Errors
    /// [`Violation::InvalidBits`], [`Violation::AboveLimit`] or [`Violation::HashAboveTarget`].
    #[inline]
    pub fn check(&mut self, bits: CompactTarget, hash: &BlockHash) -> Result<(), Violation> {
        if bits != self.bits {
            self.retarget(bits)?;
        }
        if self.target.is_met_by(&Words::of(hash.as_byte_array())) {
            Ok(())
        } else {
            Err(Violation::HashAboveTarget { bits })
        }
    }

    #[cold]
    fn retarget(&mut self, bits: CompactTarget) -> Result<(), Violation> {
        let target =
            decode_compact(bits).map_err(|reason| Violation::InvalidBits { bits, reason })?;
        if target > self.limit {
            return Err(Violation::AboveLimit { bits, limit: self.limit.to_compact_lossy() });
        }
        self.bits = bits;
        self.target = Words::of(&target.to_le_bytes());
        Ok(())
    }
}

/// A 256-bit number as two words, the most significant first: comparing ends at the first word in
/// nearly all cases.
#[derive(Clone, Copy, Debug)]
struct Words {
    high: u128,
    low: u128,
}

impl Words {
    #[inline]
    fn of(little_endian: &[u8; 32]) -> Self {
        let mut words = [0; 2];
        for (word, bytes) in words.iter_mut().zip(little_endian.as_chunks::<16>().0) {
            *word = u128::from_le_bytes(*bytes);
        }
        let [low, high] = words;
        Self { high, low }
    }

    #[inline]
    fn is_met_by(&self, hash: &Self) -> bool {
        hash.high < self.high || (hash.high == self.high && hash.low <= self.low)
    }
}

//! One salted bit a period of headers: enough to recognise a chain, too little to be worth
//! attacking.
//!
//! Source: Bitcoin Core, `headerssync.cpp`. The salt keeps an attacker from computing which bits
//! another chain would give; memory grows in chunks, so that it is never twice what is needed.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use sha2::{Digest as _, Sha256};

/// Words in a chunk of bits.
const WORDS: usize = 512;
/// Bits in a chunk.
pub(super) const CHUNK_BITS: usize = WORDS * 64;

/// A queue of bits.
#[derive(Debug, Default)]
pub(super) struct Bits {
    chunks: VecDeque<Box<[u64; WORDS]>>,
    /// Bits taken out of the first chunk.
    head: usize,
    len: usize,
}

impl Bits {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, bit: bool) {
        let at = (self.head + self.len) % CHUNK_BITS;
        if at == 0 {
            self.chunks.push_back(Box::new([0; WORDS]));
        }
        let word = self.chunks.back_mut().and_then(|chunk| chunk.get_mut(at / 64));
        if let Some(word) = word {
            *word |= u64::from(bit) << (at % 64);
            self.len += 1;
        }
    }

    pub(super) fn pop(&mut self) -> Option<bool> {
        self.len = self.len.checked_sub(1)?;
        let word = *self.chunks.front()?.get(self.head / 64)?;
        let bit = (word >> (self.head % 64)) & 1 == 1;
        self.head += 1;
        if self.head == CHUNK_BITS {
            self.head = 0;
            self.chunks.pop_front();
        }
        Some(bit)
    }
}

/// The secret of one presync: which headers are committed to, and how.
#[derive(Clone, Copy)]
pub(super) struct Secret {
    salt: [u8; 32],
    offset: u32,
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// From 32 random bytes.
    pub(super) fn new(random: [u8; 32], period: u32) -> Self {
        let drawn = Sha256::new().chain_update(b"offset").chain_update(random).finalize();
        let mut first = [0; 4];
        first.iter_mut().zip(drawn).for_each(|(byte, drawn)| *byte = drawn);
        Self { salt: random, offset: u32::from_le_bytes(first) % period.max(1) }
    }

    pub(super) const fn is_at(&self, height: u32, period: u32) -> bool {
        match height.checked_rem(period) {
            Some(place) => place == self.offset,
            None => true,
        }
    }

    pub(super) fn bit(&self, hash: &BlockHash) -> bool {
        let digest = Sha256::new().chain_update(self.salt).chain_update(hash.as_byte_array());
        digest.finalize().first().is_some_and(|byte| byte & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_out_as_they_went_in_and_memory_is_given_back() {
        let mut bits = Bits::default();
        let pattern = |number: usize| number.wrapping_mul(2_654_435_761) >> 7 & 1 == 1;
        (0..3 * CHUNK_BITS + 5).for_each(|number| bits.push(pattern(number)));
        for number in 0..2 * CHUNK_BITS + 1 {
            assert_eq!(bits.pop(), Some(pattern(number)));
        }
        assert_eq!(bits.chunks.len(), 2);
        bits.push(true);
        for number in 2 * CHUNK_BITS + 1..3 * CHUNK_BITS + 5 {
            assert_eq!(bits.pop(), Some(pattern(number)));
        }
        assert_eq!((bits.pop(), bits.pop(), bits.len()), (Some(true), None, 0));
    }

    #[test]
    fn every_period_has_one_committed_height() {
        for seed in 0..50u8 {
            let secret = Secret::new([seed; 32], 641);
            assert_eq!((1_000..1_641).filter(|height| secret.is_at(*height, 641)).count(), 1);
        }
    }

    #[test]
    fn salts_give_different_bits() {
        let hash = BlockHash::from_byte_array([7; 32]);
        let ones = (0..64u8).filter(|seed| Secret::new([*seed; 32], 641).bit(&hash)).count();
        assert!((16..48).contains(&ones), "{ones} of 64");
    }
}

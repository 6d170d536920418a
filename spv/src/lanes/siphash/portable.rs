//! One message at a time in plain code: works everywhere, and is what every other way is judged by.
//!
//! The algorithm is that of Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012), section 2.

use super::{Key, Row};
use core::iter;
use core::num::NonZeroUsize;

/// The 8-byte blocks of a message as SipHash reads them: little-endian, the last one with what is left of the message
/// and with its length modulo 256 in the highest byte. There is always a last one.
pub fn blocks(message: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let (whole, rest) = message.as_chunks::<8>();
    let mut last = [0; 8];
    for (place, byte) in last.iter_mut().zip(rest) {
        *place = *byte;
    }
    let [length, ..] = message.len().to_le_bytes();
    last[7] = length;
    let whole = whole.iter().map(|block| u64::from_le_bytes(*block));
    whole.chain(iter::once(u64::from_le_bytes(last)))
}

/// How many blocks [`blocks`] gives.
#[must_use]
pub const fn blocks_in(message: &[u8]) -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(message.len() / 8)
}

/// SipHash-2-4 of one message.
#[must_use]
pub fn hash(key: Key, message: &[u8]) -> u64 {
    hash_blocks(key, blocks(message))
}

pub(super) fn hash_groups(key: Key, rows: &[Row], blocks_each: NonZeroUsize, out: &mut [Row]) {
    for (group, hashes) in rows.chunks_exact(blocks_each.get()).zip(out) {
        for (lane, place) in hashes.iter_mut().enumerate() {
            *place = hash_blocks(key, group.iter().map(|row| row[lane]));
        }
    }
}

#[inline]
fn hash_blocks(key: Key, blocks: impl Iterator<Item = u64>) -> u64 {
    let mut state = key.start();
    for block in blocks {
        state[3] ^= block;
        state = round(round(state));
        state[0] ^= block;
    }
    state[2] ^= 0xff;
    let [v0, v1, v2, v3] = round(round(round(round(state))));
    v0 ^ v1 ^ v2 ^ v3
}

#[inline]
const fn round([v0, v1, v2, v3]: [u64; 4]) -> [u64; 4] {
    let v0 = v0.wrapping_add(v1);
    let v1 = v1.rotate_left(13) ^ v0;
    let v0 = v0.rotate_left(32);
    let v2 = v2.wrapping_add(v3);
    let v3 = v3.rotate_left(16) ^ v2;
    let v0 = v0.wrapping_add(v3);
    let v3 = v3.rotate_left(21) ^ v0;
    let v2 = v2.wrapping_add(v1);
    let v1 = v1.rotate_left(17) ^ v2;
    let v2 = v2.rotate_left(32);
    [v0, v1, v2, v3]
}

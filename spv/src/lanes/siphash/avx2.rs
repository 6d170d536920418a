//! Eight messages in two times four lanes of AVX2.
//!
//! Invariant: an [`Avx2`] exists only where the processor has AVX2, so its methods are safe to call.
//!
//! AVX2 has no 64-bit rotate. By 32 and by 16 bits it is a shuffle, by anything else two shifts and an or. The second
//! register fills the waiting time of the first; a third would leave no register for what a rotate needs.

#![allow(clippy::needless_range_loop, reason = "one index walks several arrays of N lanes in step")]
#![allow(
    clippy::unused_self,
    reason = "the value is the proof that the processor has the instructions"
)]
#![allow(clippy::wildcard_imports, reason = "intrinsics, which have names that nothing else has")]

use super::{Key, LANES, Row};
use core::arch::x86_64::*;
use core::num::NonZeroUsize;

/// Lanes of one register.
const WIDTH: usize = 4;
/// Registers that are worked on side by side.
const PARTS: usize = LANES / WIDTH;
const _: () = assert!(PARTS * WIDTH == LANES);

/// A number of each of the messages.
type Parts = [__m256i; PARTS];

/// Proof that the processor has AVX2.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        std::arch::is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    pub(super) fn hash(self, key: Key, rows: &[Row], blocks_each: NonZeroUsize, out: &mut [Row]) {
        // SAFETY: only `detect` makes an `Avx2`, and only where the feature is there.
        unsafe { hash_groups(key, rows, blocks_each, out) }
    }
}

#[target_feature(enable = "avx2")]
fn hash_groups(key: Key, rows: &[Row], blocks_each: NonZeroUsize, out: &mut [Row]) {
    let start = key.start().map(|word| [_mm256_set1_epi64x(word.cast_signed()); PARTS]);
    let end = [_mm256_set1_epi64x(0xff); PARTS];
    for (group, hashes) in rows.chunks_exact(blocks_each.get()).zip(out) {
        let mut state = start;
        for row in group {
            let block = load(row);
            state[3] = xor(state[3], block);
            state = round(round(state));
            state[0] = xor(state[0], block);
        }
        state[2] = xor(state[2], end);
        let [v0, v1, v2, v3] = round(round(round(round(state))));
        store(hashes, xor(xor(v0, v1), xor(v2, v3)));
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn round([v0, v1, v2, v3]: [Parts; 4]) -> [Parts; 4] {
    let v0 = add(v0, v1);
    let v1 = xor(rotated::<13, 51>(v1), v0);
    let v0 = rotated_by_32(v0);
    let v2 = add(v2, v3);
    let v3 = xor(rotated_by_16(v3), v2);
    let v0 = add(v0, v3);
    let v3 = xor(rotated::<21, 43>(v3), v0);
    let v2 = add(v2, v1);
    let v1 = xor(rotated::<17, 47>(v1), v2);
    let v2 = rotated_by_32(v2);
    [v0, v1, v2, v3]
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(mut a: Parts, b: Parts) -> Parts {
    for n in 0..PARTS {
        a[n] = _mm256_add_epi64(a[n], b[n]);
    }
    a
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor(mut a: Parts, b: Parts) -> Parts {
    for n in 0..PARTS {
        a[n] = _mm256_xor_si256(a[n], b[n]);
    }
    a
}

/// To the left by `LEFT` bits; `RIGHT` is what is missing to 64.
#[inline]
#[target_feature(enable = "avx2")]
fn rotated<const LEFT: i32, const RIGHT: i32>(mut a: Parts) -> Parts {
    const { assert!(LEFT + RIGHT == 64) };
    for n in 0..PARTS {
        a[n] = _mm256_or_si256(_mm256_slli_epi64::<LEFT>(a[n]), _mm256_srli_epi64::<RIGHT>(a[n]));
    }
    a
}

#[inline]
#[target_feature(enable = "avx2")]
fn rotated_by_32(mut a: Parts) -> Parts {
    for n in 0..PARTS {
        a[n] = _mm256_shuffle_epi32::<0b10_11_00_01>(a[n]);
    }
    a
}

#[inline]
#[target_feature(enable = "avx2")]
fn rotated_by_16(mut a: Parts) -> Parts {
    // Byte `i` of each half comes from byte `i - 2` of the same 8.
    let low = 0x0504_0302_0100_0706;
    let high = 0x0d0c_0b0a_0908_0f0e;
    let order = _mm256_set_epi64x(high, low, high, low);
    for n in 0..PARTS {
        a[n] = _mm256_shuffle_epi8(a[n], order);
    }
    a
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(row: &Row) -> Parts {
    let mut parts = [_mm256_setzero_si256(); PARTS];
    for n in 0..PARTS {
        // SAFETY: the 4 numbers from 4 * n on lie inside the 8, since n is below 2; the load may be unaligned.
        parts[n] = unsafe { _mm256_loadu_si256(row.as_ptr().add(WIDTH * n).cast()) };
    }
    parts
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(row: &mut Row, parts: Parts) {
    for n in 0..PARTS {
        // SAFETY: the 4 numbers from 4 * n on lie inside the 8, since n is below 2; the store may be unaligned.
        unsafe { _mm256_storeu_si256(row.as_mut_ptr().add(WIDTH * n).cast(), parts[n]) };
    }
}

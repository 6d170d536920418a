//! Eight messages in the lanes of one register of AVX-512.
//!
//! Invariant: an [`Avx512`] exists only where the processor has AVX-512F, so its methods are safe to call.
//!
//! Rotates are one instruction. Groups do not depend on each other, so the processor overlaps them by itself.

#![allow(
    clippy::unused_self,
    reason = "the value is the proof that the processor has the instructions"
)]
#![allow(clippy::wildcard_imports, reason = "intrinsics, which have names that nothing else has")]

use super::{Key, LANES, Row};
use core::arch::x86_64::*;
use core::num::NonZeroUsize;

const _: () = assert!(size_of::<__m512i>() == 8 * LANES);

/// Proof that the processor has AVX-512F.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

impl Avx512 {
    pub(super) fn detect() -> Option<Self> {
        std::arch::is_x86_feature_detected!("avx512f").then_some(Self(()))
    }

    pub(super) fn hash(self, key: Key, rows: &[Row], blocks_each: NonZeroUsize, out: &mut [Row]) {
        // SAFETY: only `detect` makes an `Avx512`, and only where the feature is there.
        unsafe { hash_groups(key, rows, blocks_each, out) }
    }
}

#[target_feature(enable = "avx512f")]
fn hash_groups(key: Key, rows: &[Row], blocks_each: NonZeroUsize, out: &mut [Row]) {
    let start = key.start().map(|word| _mm512_set1_epi64(word.cast_signed()));
    let end = _mm512_set1_epi64(0xff);
    for (group, hashes) in rows.chunks_exact(blocks_each.get()).zip(out) {
        let mut state = start;
        for row in group {
            let block = load(row);
            state[3] = _mm512_xor_si512(state[3], block);
            state = round(round(state));
            state[0] = _mm512_xor_si512(state[0], block);
        }
        state[2] = _mm512_xor_si512(state[2], end);
        let [v0, v1, v2, v3] = round(round(round(round(state))));
        store(hashes, _mm512_xor_si512(_mm512_xor_si512(v0, v1), _mm512_xor_si512(v2, v3)));
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn round([v0, v1, v2, v3]: [__m512i; 4]) -> [__m512i; 4] {
    let v0 = _mm512_add_epi64(v0, v1);
    let v1 = _mm512_xor_si512(_mm512_rol_epi64::<13>(v1), v0);
    let v0 = _mm512_rol_epi64::<32>(v0);
    let v2 = _mm512_add_epi64(v2, v3);
    let v3 = _mm512_xor_si512(_mm512_rol_epi64::<16>(v3), v2);
    let v0 = _mm512_add_epi64(v0, v3);
    let v3 = _mm512_xor_si512(_mm512_rol_epi64::<21>(v3), v0);
    let v2 = _mm512_add_epi64(v2, v1);
    let v1 = _mm512_xor_si512(_mm512_rol_epi64::<17>(v1), v2);
    let v2 = _mm512_rol_epi64::<32>(v2);
    [v0, v1, v2, v3]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(row: &Row) -> __m512i {
    // SAFETY: a row is exactly the 64 bytes that are read; the load may be unaligned.
    unsafe { _mm512_loadu_si512(row.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(row: &mut Row, hashes: __m512i) {
    // SAFETY: a row is exactly the 64 bytes that are written; the store may be unaligned.
    unsafe { _mm512_storeu_si512(row.as_mut_ptr().cast(), hashes) }
}

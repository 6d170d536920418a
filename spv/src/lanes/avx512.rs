//! Sixteen headers, or Merkle nodes, at once: each register holds the same word of sixteen messages.
//!
//! Invariant: a [`Wide`] exists only where the processor has AVX-512F and AVX-512BW, so its methods are safe to call.
//!
//! What makes it fast: a rotate is one instruction and so are the three-way xor, choose and majority (`vpternlogd`);
//! the rounds are unrolled, so that the sixteen message words and the state stay in the 32 registers and every constant
//! word (padding, lengths, initial state) is folded away by the compiler; and the first hash, being one word a register
//! already, is the second hash's message as it stands.

#![allow(clippy::many_single_char_names, reason = "a to h are the names of FIPS 180-4")]
#![allow(
    clippy::unused_self,
    reason = "the value is the proof that the processor has the instructions"
)]
#![allow(clippy::wildcard_imports, reason = "intrinsics, which have names that nothing else has")]

use super::constants::{DIGEST_BITS, END_OF_MESSAGE, HEADER_BITS, INITIAL, K, NODE_PADDING};
use core::arch::x86_64::*;

/// One word of each of sixteen messages.
type Words = __m512i;

/// Truth tables of `vpternlogd`, indexed by the bits of its three operands.
const XOR: i32 = 0b1001_0110;
const CHOOSE: i32 = 0b1100_1010;
const MAJORITY: i32 = 0b1110_1000;

/// Proof that the processor has what sixteen lanes need.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wide(());

impl Wide {
    pub(super) fn detect() -> Option<Self> {
        let found = std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw");
        found.then_some(Self(()))
    }

    /// Double SHA-256 of sixteen headers.
    pub(super) fn hash_headers(self, inputs: &[&[u8; 80]; 16], out: &mut [[u8; 32]; 16]) {
        // SAFETY: only `detect` makes a `Wide`, and only where both features are there.
        unsafe { hash_sixteen_headers(inputs, out) }
    }

    /// Double SHA-256 of sixteen Merkle nodes.
    pub(super) fn hash_nodes(self, inputs: &[&[u8; 64]; 16], out: &mut [[u8; 32]; 16]) {
        // SAFETY: only `detect` makes a `Wide`, and only where both features are there.
        unsafe { hash_sixteen_nodes(inputs, out) }
    }
}

/// Runs the 64 rounds on `$state`, using up the message words `$w`.
///
/// A macro, because only indexes known at compile time let both arrays live in registers.
macro_rules! compress {
    ($state:ident, $w:ident) => {
        compress!(@plain $state, $w, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        compress!(@scheduled $state, $w, 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
        compress!(@scheduled $state, $w, 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47);
        compress!(@scheduled $state, $w, 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);
    };
    (@plain $state:ident, $w:ident, $($t:literal)*) => {
        $( round::<$t>(&mut $state, $w[$t]); )*
    };
    (@scheduled $state:ident, $w:ident, $($t:literal)*) => {
        $(
            schedule::<$t>(&mut $w);
            round::<$t>(&mut $state, $w[$t % 16]);
        )*
    };
}

/// Runs the 64 rounds of a Merkle node's second block, whose words are known.
macro_rules! compress_node_padding {
    ($state:ident) => {
        compress_node_padding!(@rounds $state, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        compress_node_padding!(@rounds $state, 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
        compress_node_padding!(@rounds $state, 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47);
        compress_node_padding!(@rounds $state, 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);
    };
    (@rounds $state:ident, $($t:literal)*) => {
        $( round_with_constant::<$t>(&mut $state, splat(const { NODE_PADDING[$t] })); )*
    };
}

#[target_feature(enable = "avx512f,avx512bw")]
fn hash_sixteen_headers(inputs: &[&[u8; 80]; 16], out: &mut [[u8; 32]; 16]) {
    let before = compress_first_block(inputs);
    let mut state = before;
    let zero = splat(0);
    let [w0, w1, w2, w3] = load_words::<4, 80>(inputs);
    let end = splat(END_OF_MESSAGE);
    let bits = splat(HEADER_BITS);
    let mut w =
        [w0, w1, w2, w3, end, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, bits];
    compress!(state, w);
    add_each(&mut state, &before);
    hash_digests(&state, out);
}

#[target_feature(enable = "avx512f,avx512bw")]
fn hash_sixteen_nodes(inputs: &[&[u8; 64]; 16], out: &mut [[u8; 32]; 16]) {
    let before = compress_first_block(inputs);
    let mut state = before;
    compress_node_padding!(state);
    add_each(&mut state, &before);
    hash_digests(&state, out);
}

/// The state after the first 64 bytes of each message.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn compress_first_block<const LEN: usize>(inputs: &[&[u8; LEN]; 16]) -> [Words; 8] {
    let [w0, w1, w2, w3] = load_words::<0, LEN>(inputs);
    let [w4, w5, w6, w7] = load_words::<1, LEN>(inputs);
    let [w8, w9, w10, w11] = load_words::<2, LEN>(inputs);
    let [w12, w13, w14, w15] = load_words::<3, LEN>(inputs);
    let mut w = [w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15];
    let mut state = initial();
    compress!(state, w);
    add_each(&mut state, &initial());
    state
}

/// The second hash: of the first one's digests, as they stand in the registers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn hash_digests(digests: &[Words; 8], out: &mut [[u8; 32]; 16]) {
    let zero = splat(0);
    let end = splat(END_OF_MESSAGE);
    let bits = splat(DIGEST_BITS);
    let [w0, w1, w2, w3, w4, w5, w6, w7] = *digests;
    let mut w = [w0, w1, w2, w3, w4, w5, w6, w7, end, zero, zero, zero, zero, zero, zero, bits];
    let mut state = initial();
    compress!(state, w);
    add_each(&mut state, &initial());
    store_digests(&state, out);
}

/// Round `T` with a message word.
#[inline]
#[target_feature(enable = "avx512f")]
fn round<const T: usize>(state: &mut [Words; 8], word: Words) {
    round_with_constant::<T>(state, _mm512_add_epi32(word, splat(K[T])));
}

/// Round `T` with a message word to which the round's constant was added. The names of the state words move on by one
/// each round instead of the words.
#[inline]
#[target_feature(enable = "avx512f")]
fn round_with_constant<const T: usize>(state: &mut [Words; 8], word: Words) {
    let [a, b, c, d, e, f, g, h] = const { moved_by(T) };
    let (in_a, in_e) = (state[a], state[e]);
    let sum_e = _mm512_ternarylogic_epi32::<XOR>(
        rotated::<6>(in_e),
        rotated::<11>(in_e),
        rotated::<25>(in_e),
    );
    let choice = _mm512_ternarylogic_epi32::<CHOOSE>(in_e, state[f], state[g]);
    let known = _mm512_add_epi32(state[h], word);
    let first = _mm512_add_epi32(_mm512_add_epi32(known, choice), sum_e);
    let sum_a = _mm512_ternarylogic_epi32::<XOR>(
        rotated::<2>(in_a),
        rotated::<13>(in_a),
        rotated::<22>(in_a),
    );
    let majority = _mm512_ternarylogic_epi32::<MAJORITY>(in_a, state[b], state[c]);
    state[d] = _mm512_add_epi32(state[d], first);
    state[h] = _mm512_add_epi32(_mm512_add_epi32(first, majority), sum_a);
}

/// Where the state words a to h are before round `t`.
const fn moved_by(t: usize) -> [usize; 8] {
    let mut places = [0; 8];
    let mut word = 0;
    while word < 8 {
        places[word] = (word + 64 - t) % 8;
        word += 1;
    }
    places
}

/// Replaces the message word of round `T - 16` by that of round `T`.
#[inline]
#[target_feature(enable = "avx512f")]
fn schedule<const T: usize>(w: &mut [Words; 16]) {
    let (near, far) = (w[(T + 1) % 16], w[(T + 14) % 16]);
    let small_near = _mm512_ternarylogic_epi32::<XOR>(
        rotated::<7>(near),
        rotated::<18>(near),
        _mm512_srli_epi32::<3>(near),
    );
    let small_far = _mm512_ternarylogic_epi32::<XOR>(
        rotated::<17>(far),
        rotated::<19>(far),
        _mm512_srli_epi32::<10>(far),
    );
    let sum = _mm512_add_epi32(_mm512_add_epi32(w[T % 16], small_near), w[(T + 9) % 16]);
    w[T % 16] = _mm512_add_epi32(sum, small_far);
}

#[inline]
#[target_feature(enable = "avx512f")]
fn rotated<const BY: i32>(words: Words) -> Words {
    _mm512_ror_epi32::<BY>(words)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn splat(word: u32) -> Words {
    _mm512_set1_epi32(word.cast_signed())
}

#[inline]
#[target_feature(enable = "avx512f")]
fn initial() -> [Words; 8] {
    let mut state = [splat(0); 8];
    for (words, word) in state.iter_mut().zip(INITIAL) {
        *words = splat(word);
    }
    state
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add_each(state: &mut [Words; 8], other: &[Words; 8]) {
    for (words, more) in state.iter_mut().zip(other) {
        *words = _mm512_add_epi32(*words, *more);
    }
}

/// Words `4 * COLUMN` to `4 * COLUMN + 3` of every message, in host order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_words<const COLUMN: usize, const LEN: usize>(inputs: &[&[u8; LEN]; 16]) -> [Words; 4] {
    // Message 4 * q + i goes to 128-bit quarter q of row i: transposed inside the quarters, lane n is message n.
    let mut rows = [splat(0); 4];
    for (i, row) in rows.iter_mut().enumerate() {
        let quarter = _mm512_castsi128_si512(load_column::<COLUMN, LEN>(inputs[i]));
        let quarter = _mm512_inserti32x4::<1>(quarter, load_column::<COLUMN, LEN>(inputs[i + 4]));
        let quarter = _mm512_inserti32x4::<2>(quarter, load_column::<COLUMN, LEN>(inputs[i + 8]));
        let quarter = _mm512_inserti32x4::<3>(quarter, load_column::<COLUMN, LEN>(inputs[i + 12]));
        *row = with_bytes_swapped(quarter);
    }
    transposed(rows)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_column<const COLUMN: usize, const LEN: usize>(input: &[u8; LEN]) -> __m128i {
    const { assert!(16 * COLUMN + 16 <= LEN) };
    // SAFETY: the 16 bytes from 16 * COLUMN on lie inside the LEN by the assertion; the load may be unaligned.
    unsafe { _mm_loadu_si128(input.as_ptr().add(16 * COLUMN).cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn store_digests(state: &[Words; 8], out: &mut [[u8; 32]; 16]) {
    let [a, b, c, d, e, f, g, h] = *state;
    let first_halves = transposed([a, b, c, d]);
    let second_halves = transposed([e, f, g, h]);
    for i in 0..4 {
        let first = with_bytes_swapped(first_halves[i]);
        let second = with_bytes_swapped(second_halves[i]);
        store(
            &mut out[i],
            _mm512_extracti32x4_epi32::<0>(first),
            _mm512_extracti32x4_epi32::<0>(second),
        );
        store(
            &mut out[i + 4],
            _mm512_extracti32x4_epi32::<1>(first),
            _mm512_extracti32x4_epi32::<1>(second),
        );
        store(
            &mut out[i + 8],
            _mm512_extracti32x4_epi32::<2>(first),
            _mm512_extracti32x4_epi32::<2>(second),
        );
        store(
            &mut out[i + 12],
            _mm512_extracti32x4_epi32::<3>(first),
            _mm512_extracti32x4_epi32::<3>(second),
        );
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(digest: &mut [u8; 32], first: __m128i, second: __m128i) {
    let place = digest.as_mut_ptr();
    // SAFETY: two times 16 bytes fill the 32 exactly; the stores may be unaligned.
    unsafe {
        _mm_storeu_si128(place.cast(), first);
        _mm_storeu_si128(place.add(16).cast(), second);
    }
}

/// Transposes the 4x4 words in each 128-bit quarter.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed([r0, r1, r2, r3]: [Words; 4]) -> [Words; 4] {
    let low_01 = _mm512_unpacklo_epi32(r0, r1);
    let low_23 = _mm512_unpacklo_epi32(r2, r3);
    let high_01 = _mm512_unpackhi_epi32(r0, r1);
    let high_23 = _mm512_unpackhi_epi32(r2, r3);
    [
        _mm512_unpacklo_epi64(low_01, low_23),
        _mm512_unpackhi_epi64(low_01, low_23),
        _mm512_unpacklo_epi64(high_01, high_23),
        _mm512_unpackhi_epi64(high_01, high_23),
    ]
}

/// SHA-256 reads and writes its words most significant byte first.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn with_bytes_swapped(words: Words) -> Words {
    let order = _mm512_set4_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);
    _mm512_shuffle_epi8(words, order)
}

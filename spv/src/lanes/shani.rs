//! One header or Merkle node, or two interleaved, with the SHA instructions of x86.
//!
//! Invariant: a [`Pair`] exists only where the processor has SHA-NI, SSSE3 and SSE4.1, so its methods are safe to call.
//!
//! A second message fills the waiting time of the first one's round instruction; a third would gain nothing more. The
//! padding of the second block and of the second hash is constant, so the compiler adds the round constants to it.

#![allow(clippy::many_single_char_names, reason = "a to h are the names of FIPS 180-4")]
#![allow(clippy::needless_range_loop, reason = "one index walks several arrays of N lanes in step")]
#![allow(
    clippy::unused_self,
    reason = "the value is the proof that the processor has the instructions"
)]
#![allow(clippy::wildcard_imports, reason = "intrinsics, which have names that nothing else has")]

use super::constants::{DIGEST_BITS, END_OF_MESSAGE, HEADER_BITS, INITIAL, K, NODE_PADDING};
use core::arch::x86_64::*;

/// Four consecutive message words of each of `N` messages.
type Quads<const N: usize> = [__m128i; N];

/// Proof that the processor has what the SHA lanes need.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair(());

/// The states of `N` messages, in the order that the round instruction wants.
#[derive(Clone, Copy)]
struct States<const N: usize> {
    abef: Quads<N>,
    cdgh: Quads<N>,
}

impl Pair {
    pub(super) fn detect() -> Option<Self> {
        let found = std::arch::is_x86_feature_detected!("sha")
            && std::arch::is_x86_feature_detected!("ssse3")
            && std::arch::is_x86_feature_detected!("sse4.1");
        found.then_some(Self(()))
    }

    /// Double SHA-256 of one header, or of two in much less time than one after the other.
    pub(super) fn hash_headers<const N: usize>(self, inputs: [&[u8; 80]; N]) -> [[u8; 32]; N] {
        // SAFETY: only `detect` makes a `Pair`, and only where the features are there.
        unsafe { headers_interleaved(inputs) }
    }

    /// Double SHA-256 of one Merkle node, or of two in much less time than one after the other.
    pub(super) fn hash_nodes<const N: usize>(self, inputs: [&[u8; 64]; N]) -> [[u8; 32]; N] {
        // SAFETY: only `detect` makes a `Pair`, and only where the features are there.
        unsafe { nodes_interleaved(inputs) }
    }

    /// SHA-256, applied once, of two messages of as many blocks, which carry their padding.
    pub(super) fn hash_padded<const BYTES: usize>(
        self,
        inputs: [&[u8; BYTES]; 2],
    ) -> [[u8; 32]; 2] {
        // SAFETY: only `detect` makes a `Pair`, and only where the features are there.
        unsafe { padded_interleaved(inputs) }
    }
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn headers_interleaved<const N: usize>(inputs: [&[u8; 80]; N]) -> [[u8; 32]; N] {
    let first = compress_block(initial(), inputs);
    hash_digests(compress_second_block(first, load::<4, 80, N>(inputs)))
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn nodes_interleaved<const N: usize>(inputs: [&[u8; 64]; N]) -> [[u8; 32]; N] {
    let first = compress_block(initial(), inputs);
    hash_digests(compress_node_padding(first))
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn padded_interleaved<const BYTES: usize>(inputs: [&[u8; BYTES]; 2]) -> [[u8; 32]; 2] {
    let [first, second] = inputs.map(|input| input.as_chunks::<64>().0);
    let blocks = first.iter().zip(second);
    digests(blocks.fold(initial(), |states, (a, b)| compress_block(states, [a, b])))
}

/// The second hash, of the digests that these states are.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn hash_digests<const N: usize>(states: States<N>) -> [[u8; 32]; N] {
    let (low, high) = message_order(states);
    digests(compress_digest(low, high))
}

/// The digests that these states are, as bytes.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn digests<const N: usize>(states: States<N>) -> [[u8; 32]; N] {
    let (low, high) = message_order(states);
    let mut out = [[0; 32]; N];
    for n in 0..N {
        store(&mut out[n], with_bytes_swapped(low[n]), with_bytes_swapped(high[n]));
    }
    out
}

/// Rounds `4 * $q` and on, for each `$q`, with the schedule moved on before each.
macro_rules! scheduled {
    ($states:ident, $w:ident, $($q:literal)*) => {
        $(
            schedule::<$q, N>(&mut $w);
            four_rounds::<$q, N>(&mut $states, $w[$q % 4]);
        )*
    };
}

/// Rounds `4 * $q` and on, for each `$q`, of a Merkle node's second block.
macro_rules! known {
    ($states:ident, $($q:literal)*) => {
        $(
            let words = quad(const { four_of(&NODE_PADDING, $q) });
            four_rounds_with_constants(&mut $states, [words; N]);
        )*
    };
}

#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn compress_block<const LEN: usize, const N: usize>(
    before: States<N>,
    inputs: [&[u8; LEN]; N],
) -> States<N> {
    let mut states = before;
    let mut w = [
        load::<0, LEN, N>(inputs),
        load::<1, LEN, N>(inputs),
        load::<2, LEN, N>(inputs),
        load::<3, LEN, N>(inputs),
    ];
    four_rounds::<0, N>(&mut states, w[0]);
    four_rounds::<1, N>(&mut states, w[1]);
    four_rounds::<2, N>(&mut states, w[2]);
    four_rounds::<3, N>(&mut states, w[3]);
    scheduled!(states, w, 4 5 6 7 8 9 10 11 12 13 14 15);
    sum(states, before)
}

/// A Merkle node's second block: padding alone, scheduled at compile time.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn compress_node_padding<const N: usize>(before: States<N>) -> States<N> {
    let mut states = before;
    known!(states, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    sum(states, before)
}

/// A header's second block: four words of it, then the padding.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn compress_second_block<const N: usize>(before: States<N>, tail: Quads<N>) -> States<N> {
    let mut states = before;
    let end = quad([END_OF_MESSAGE, 0, 0, 0]);
    let bits = quad([0, 0, 0, HEADER_BITS]);
    four_rounds::<0, N>(&mut states, tail);
    four_rounds::<1, N>(&mut states, [end; N]);
    four_rounds::<2, N>(&mut states, [quad([0; 4]); N]);
    four_rounds::<3, N>(&mut states, [bits; N]);

    let mut w = [tail, [end; N], [quad([0; 4]); N], [bits; N]];
    scheduled!(states, w, 4 5 6 7 8 9 10 11 12 13 14 15);
    sum(states, before)
}

/// The second hash: the eight words of the first one's digest, then the padding.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn compress_digest<const N: usize>(low: Quads<N>, high: Quads<N>) -> States<N> {
    let before = initial();
    let mut states = before;
    let end = quad([END_OF_MESSAGE, 0, 0, 0]);
    let bits = quad([0, 0, 0, DIGEST_BITS]);
    four_rounds::<0, N>(&mut states, low);
    four_rounds::<1, N>(&mut states, high);
    four_rounds::<2, N>(&mut states, [end; N]);
    four_rounds::<3, N>(&mut states, [bits; N]);

    let mut w = [low, high, [end; N], [bits; N]];
    scheduled!(states, w, 4 5 6 7 8 9 10 11 12 13 14 15);
    sum(states, before)
}

/// Rounds `4 * Q` to `4 * Q + 3` of every message, side by side.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn four_rounds<const Q: usize, const N: usize>(states: &mut States<N>, words: Quads<N>) {
    let k = quad(const { four_of(&K, Q) });
    let mut sums = words;
    for n in 0..N {
        sums[n] = _mm_add_epi32(words[n], k);
    }
    four_rounds_with_constants(states, sums);
}

/// Four rounds whose constants were added to the message words.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn four_rounds_with_constants<const N: usize>(states: &mut States<N>, sums: Quads<N>) {
    for n in 0..N {
        states.cdgh[n] = _mm_sha256rnds2_epu32(states.cdgh[n], states.abef[n], sums[n]);
    }
    for n in 0..N {
        states.abef[n] = _mm_sha256rnds2_epu32(
            states.abef[n],
            states.cdgh[n],
            _mm_shuffle_epi32::<0x0e>(sums[n]),
        );
    }
}

/// Replaces the message words of four rounds by those of the four rounds from `4 * Q` on.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn schedule<const Q: usize, const N: usize>(w: &mut [Quads<N>; 4]) {
    for n in 0..N {
        let last = w[(Q + 3) % 4][n];
        let started = _mm_sha256msg1_epu32(w[Q % 4][n], w[(Q + 1) % 4][n]);
        let middle = _mm_alignr_epi8::<4>(last, w[(Q + 2) % 4][n]);
        w[Q % 4][n] = _mm_sha256msg2_epu32(_mm_add_epi32(started, middle), last);
    }
}

/// Words `4 * q` to `4 * q + 3`.
const fn four_of(words: &[u32; 64], q: usize) -> [u32; 4] {
    [words[4 * q], words[4 * q + 1], words[4 * q + 2], words[4 * q + 3]]
}

#[inline]
#[target_feature(enable = "sse2")]
fn quad(words: [u32; 4]) -> __m128i {
    let [w0, w1, w2, w3] = words.map(u32::cast_signed);
    _mm_set_epi32(w3, w2, w1, w0)
}

#[inline]
#[target_feature(enable = "sse2")]
fn initial<const N: usize>() -> States<N> {
    let [a, b, c, d, e, f, g, h] = INITIAL;
    States { abef: [quad([f, e, b, a]); N], cdgh: [quad([h, g, d, c]); N] }
}

#[inline]
#[target_feature(enable = "sse2")]
fn sum<const N: usize>(mut states: States<N>, other: States<N>) -> States<N> {
    for n in 0..N {
        states.abef[n] = _mm_add_epi32(states.abef[n], other.abef[n]);
        states.cdgh[n] = _mm_add_epi32(states.cdgh[n], other.cdgh[n]);
    }
    states
}

/// The words a to d and e to h of every state, in the order of a message.
#[inline]
#[target_feature(enable = "sse2")]
fn message_order<const N: usize>(states: States<N>) -> (Quads<N>, Quads<N>) {
    let (mut low, mut high) = (states.abef, states.cdgh);
    for n in 0..N {
        let abef = _mm_shuffle_epi32::<0x1b>(states.abef[n]);
        let cdgh = _mm_shuffle_epi32::<0x1b>(states.cdgh[n]);
        low[n] = _mm_unpacklo_epi64(abef, cdgh);
        high[n] = _mm_unpackhi_epi64(abef, cdgh);
    }
    (low, high)
}

/// Words `4 * COLUMN` to `4 * COLUMN + 3` of every message, in host order.
#[inline]
#[target_feature(enable = "ssse3")]
fn load<const COLUMN: usize, const LEN: usize, const N: usize>(
    inputs: [&[u8; LEN]; N],
) -> Quads<N> {
    const { assert!(16 * COLUMN + 16 <= LEN) };
    let mut words = [_mm_setzero_si128(); N];
    for n in 0..N {
        // SAFETY: the 16 bytes from 16 * COLUMN on lie inside the LEN by the assertion; the load may be unaligned.
        let bytes = unsafe { _mm_loadu_si128(inputs[n].as_ptr().add(16 * COLUMN).cast()) };
        words[n] = with_bytes_swapped(bytes);
    }
    words
}

#[inline]
#[target_feature(enable = "sse2")]
fn store(digest: &mut [u8; 32], low: __m128i, high: __m128i) {
    let place = digest.as_mut_ptr();
    // SAFETY: two times 16 bytes fill the 32 exactly; the stores may be unaligned.
    unsafe {
        _mm_storeu_si128(place.cast(), low);
        _mm_storeu_si128(place.add(16).cast(), high);
    }
}

/// SHA-256 reads and writes its words most significant byte first.
#[inline]
#[target_feature(enable = "ssse3")]
fn with_bytes_swapped(words: __m128i) -> __m128i {
    _mm_shuffle_epi8(words, _mm_set_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203))
}

//! Double SHA-256 of many 80-byte block headers, or 64-byte Merkle nodes, at once, by the widest way that the processor
//! offers.
//!
//! Messages are hashed sixteen at a time with AVX-512, two at a time with the SHA instructions of x86, and one at a time
//! by `sha2` elsewhere. The way is chosen at run time, so one build serves every processor; without the feature `std`
//! there is no run-time detection and only the portable way remains.
//!
//! Invariant: whatever the way, the result is that of `sha2`. Each way must agree with it on a fixed set at first use,
//! or is switched off and reported (see [`report`]).
//!
//! An attacker chooses the bytes, never the number of steps: time and memory depend only on how many messages the caller
//! passes, and nothing is allocated.

// The one place of the project where `unsafe` is allowed: the compiler cannot know which processor it will run on, and
// loads and stores of vectors take pointers. It is needed for three things only. First, calling a function compiled for
// instructions that may be missing: `Wide` and `Pair` are made by run-time detection alone and stand for its proof.
// Second, reading and writing 16 bytes inside arrays of fixed size, at offsets checked at compile time. Third, a hint to
// the caches about a place that a reference stands for.
#![allow(unsafe_code, reason = "vector instructions; audited, and tested against a portable twin")]
#![deny(unsafe_op_in_unsafe_fn)]
#![allow(
    clippy::indexing_slicing,
    reason = "every index into a fixed-size array is bounded by a constant"
)]

mod constants;
mod portable;
mod report;
pub mod siphash;

#[cfg(not(all(feature = "std", target_arch = "x86_64")))]
mod absent;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod avx512;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod shani;
#[cfg(test)]
mod tests;

pub(crate) use portable::{hash_short, padded};
pub use report::{Report, Standing, Way, report};

#[cfg(not(all(feature = "std", target_arch = "x86_64")))]
use absent::{Pair, Wide};
#[cfg(all(feature = "std", target_arch = "x86_64"))]
use avx512::Wide;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
use shani::Pair;

/// Has the caches fetch a place that is needed soon, without waiting for it. It changes no result.
pub(crate) fn prefetch<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the instruction is part of every x86-64 processor, and neither reads nor faults as far as
        // a program can see, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(place).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Writes the double SHA-256 of each 80-byte input to the same place of `out`.
///
/// # Panics
///
/// If `inputs` and `out` differ in length.
pub fn sha256d_80<H: AsRef<[u8; 80]>>(inputs: &[H], out: &mut [[u8; 32]]) {
    report().plan().hash(inputs, H::as_ref, out);
}

/// Double SHA-256 of one 80-byte header.
#[must_use]
pub fn sha256d_80_single(input: &[u8; 80]) -> [u8; 32] {
    report().plan().hash_one(input)
}

/// Same as [`sha256d_80`], but all of it by one way: for tests and measurements.
///
/// Returns false, with `out` untouched, if that way is unavailable or switched off.
///
/// # Panics
///
/// If `inputs` and `out` differ in length.
pub fn sha256d_80_with<H: AsRef<[u8; 80]>>(way: Way, inputs: &[H], out: &mut [[u8; 32]]) -> bool {
    let forced = report().plan().only(way);
    if let Some(plan) = forced {
        plan.hash(inputs, H::as_ref, out);
    }
    forced.is_some()
}

/// Writes the double SHA-256 of each Merkle node, the left child's hash and then the right one's, to the same place of
/// `out`.
///
/// # Panics
///
/// If `nodes` and `out` differ in length.
pub fn sha256d_64(nodes: &[[u8; 64]], out: &mut [[u8; 32]]) {
    report().plan().hash(nodes, |node| node, out);
}

/// Double SHA-256 of one Merkle node.
#[must_use]
pub fn sha256d_64_single(node: &[u8; 64]) -> [u8; 32] {
    report().plan().hash_one(node)
}

/// Same as [`sha256d_64`], but all of it by one way: for tests and measurements.
///
/// Returns false, with `out` untouched, if that way is unavailable or switched off.
///
/// # Panics
///
/// If `nodes` and `out` differ in length.
pub fn sha256d_64_with(way: Way, nodes: &[[u8; 64]], out: &mut [[u8; 32]]) -> bool {
    let forced = report().plan().only(way);
    if let Some(plan) = forced {
        plan.hash(nodes, |node| node, out);
    }
    forced.is_some()
}

/// Writes the SHA-256, applied once, of each message to the same place of `out`. The messages carry their padding
/// (see [`padded`]).
///
/// # Panics
///
/// If `messages` and `out` differ in length.
pub(crate) fn sha256_padded<const BYTES: usize>(messages: &[[u8; BYTES]], out: &mut [[u8; 32]]) {
    report().plan().hash_padded(messages, out);
}

/// Replaces the first half of `hashes` by the double SHA-256 of each neighbouring pair: one level of a Merkle tree up,
/// in place. What was in the second half, and an odd last hash, stays.
pub fn sha256d_pairs(hashes: &mut [[u8; 32]]) {
    let plan = report().plan();
    let mut digests = [[0; 32]; 16];
    let pairs = hashes.len() / 2;
    let mut done = 0;
    while done < pairs {
        let count = digests.len().min(pairs - done);
        let (nodes, _) = hashes[2 * done..2 * (done + count)].as_flattened().as_chunks::<64>();
        plan.hash(nodes, |node| node, &mut digests[..count]);
        hashes[done..done + count].copy_from_slice(&digests[..count]);
        done += count;
    }
}

/// A kind of message, with the function of each kind of lanes that hashes it.
trait Message: Sized {
    fn by_wide(lanes: Wide, messages: &[&Self; 16], out: &mut [[u8; 32]; 16]);
    fn by_pair<const N: usize>(lanes: Pair, messages: [&Self; N]) -> [[u8; 32]; N];
    fn portable(&self) -> [u8; 32];
}

/// A block header.
impl Message for [u8; 80] {
    fn by_wide(lanes: Wide, messages: &[&Self; 16], out: &mut [[u8; 32]; 16]) {
        lanes.hash_headers(messages, out);
    }

    fn by_pair<const N: usize>(lanes: Pair, messages: [&Self; N]) -> [[u8; 32]; N] {
        lanes.hash_headers(messages)
    }

    fn portable(&self) -> [u8; 32] {
        portable::hash_header(self)
    }
}

/// A Merkle node.
impl Message for [u8; 64] {
    fn by_wide(lanes: Wide, messages: &[&Self; 16], out: &mut [[u8; 32]; 16]) {
        lanes.hash_nodes(messages, out);
    }

    fn by_pair<const N: usize>(lanes: Pair, messages: [&Self; N]) -> [[u8; 32]; N] {
        lanes.hash_nodes(messages)
    }

    fn portable(&self) -> [u8; 32] {
        portable::hash_node(self)
    }
}

/// Which lanes hash, and which rest is worth a padded wide group.
#[derive(Clone, Copy, Debug)]
struct Plan {
    wide: Option<Wide>,
    pair: Option<Pair>,
    /// The least rest that goes through sixteen lanes padded with copies.
    pad_from: usize,
}

impl Plan {
    const PORTABLE: Self = Self { wide: None, pair: None, pad_from: 1 };

    /// A padded group takes as long as about eight messages by SHA-NI, or two by plain code.
    const fn of(wide: Option<Wide>, pair: Option<Pair>) -> Self {
        Self { wide, pair, pad_from: if pair.is_some() { 8 } else { 2 } }
    }

    fn only_wide(wide: Wide) -> Self {
        Self { wide: Some(wide), ..Self::PORTABLE }
    }

    fn only_pair(pair: Pair) -> Self {
        Self { pair: Some(pair), ..Self::PORTABLE }
    }

    /// The plan with one way alone, where this plan has it.
    fn only(self, way: Way) -> Option<Self> {
        match way {
            Way::Avx512x16 => self.wide.map(Self::only_wide),
            Way::ShaNiX2 => self.pair.map(Self::only_pair),
            Way::Portable => Some(Self::PORTABLE),
        }
    }

    fn hash_one<M: Message>(self, message: &M) -> [u8; 32] {
        match self.pair {
            Some(pair) => {
                let [digest] = M::by_pair(pair, [message]);
                digest
            }
            None => message.portable(),
        }
    }

    /// By two lanes or one: nobody has needed sixteen of these so far.
    fn hash_padded<const BYTES: usize>(self, messages: &[[u8; BYTES]], out: &mut [[u8; 32]]) {
        assert_eq!(messages.len(), out.len(), "one place for each digest");
        let (messages, out) = match self.pair {
            Some(pair) => {
                let (couples, rest) = messages.as_chunks::<2>();
                let (places, places_rest) = out.as_chunks_mut::<2>();
                for (couple, place) in couples.iter().zip(places) {
                    *place = pair.hash_padded(couple.each_ref());
                }
                (rest, places_rest)
            }
            None => (messages, out),
        };
        for (message, place) in messages.iter().zip(out) {
            *place = portable::hash_blocks(message);
        }
    }

    fn hash<I, M: Message>(self, inputs: &[I], view: fn(&I) -> &M, out: &mut [[u8; 32]]) {
        assert_eq!(inputs.len(), out.len(), "one place for each digest");
        let (inputs, out) = match self.wide {
            Some(wide) => hash_wide(wide, self.pad_from, inputs, view, out),
            None => (inputs, out),
        };
        match self.pair {
            Some(pair) => hash_pairs(pair, inputs, view, out),
            None => hash_each(inputs, view, out),
        }
    }
}

/// Hashes full groups of sixteen, and the rest too if it has at least `pad_from`; returns what is left.
fn hash_wide<'i, 'o, I, M: Message>(
    wide: Wide,
    pad_from: usize,
    inputs: &'i [I],
    view: fn(&I) -> &M,
    out: &'o mut [[u8; 32]],
) -> (&'i [I], &'o mut [[u8; 32]]) {
    let (groups, rest) = inputs.as_chunks::<16>();
    let (places, places_rest) = out.as_chunks_mut::<16>();
    for (group, place) in groups.iter().zip(places) {
        M::by_wide(wide, &group.each_ref().map(view), place);
    }
    match rest {
        [first, ..] if rest.len() >= pad_from => {
            let padded = core::array::from_fn(|n| view(rest.get(n).unwrap_or(first)));
            let mut digests = [[0; 32]; 16];
            M::by_wide(wide, &padded, &mut digests);
            for (place, digest) in places_rest.iter_mut().zip(digests) {
                *place = digest;
            }
            (&[], &mut [])
        }
        _ => (rest, places_rest),
    }
}

fn hash_pairs<I, M: Message>(pair: Pair, inputs: &[I], view: fn(&I) -> &M, out: &mut [[u8; 32]]) {
    let (couples, rest) = inputs.as_chunks::<2>();
    let (places, places_rest) = out.as_chunks_mut::<2>();
    for (couple, place) in couples.iter().zip(places) {
        *place = M::by_pair(pair, couple.each_ref().map(view));
    }
    for (input, place) in rest.iter().zip(places_rest) {
        let [digest] = M::by_pair(pair, [view(input)]);
        *place = digest;
    }
}

fn hash_each<I, M: Message>(inputs: &[I], view: fn(&I) -> &M, out: &mut [[u8; 32]]) {
    for (input, place) in inputs.iter().zip(out) {
        *place = view(input).portable();
    }
}

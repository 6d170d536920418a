//! Double SHA-256 of many 80-byte block headers at once, by the widest way that the processor offers.
//!
//! Headers are hashed sixteen at a time with AVX-512, two at a time with the SHA instructions of x86, and one at a time
//! by `sha2` elsewhere. The way is chosen at run time, so one build serves every processor; without the feature `std`
//! there is no run-time detection and only the portable way remains.
//!
//! Invariant: whatever the way, the result is that of `sha2`. Each way must agree with it on a fixed set at first use,
//! or is switched off and reported (see [`report`]).
//!
//! An attacker chooses the bytes, never the number of steps: time and memory depend only on how many headers the caller
//! passes, and nothing is allocated.

// The one place of the project where `unsafe` is allowed: the compiler cannot know which processor it will run on, and
// loads and stores of vectors take pointers. It is needed for two things only. First, calling a function compiled for
// instructions that may be missing: `Wide` and `Pair` are made by run-time detection alone and stand for its proof.
// Second, reading and writing 16 bytes inside arrays of fixed size, at offsets checked at compile time.
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

pub use report::{Report, Standing, Way, report};

#[cfg(not(all(feature = "std", target_arch = "x86_64")))]
use absent::{Pair, Wide};
#[cfg(all(feature = "std", target_arch = "x86_64"))]
use avx512::Wide;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
use shani::Pair;

/// Writes the double SHA-256 of each 80-byte input to the same place of `out`.
///
/// # Panics
///
/// If `inputs` and `out` differ in length.
pub fn sha256d_80<H: AsRef<[u8; 80]>>(inputs: &[H], out: &mut [[u8; 32]]) {
    report().plan().hash(inputs, out);
}

/// Double SHA-256 of one 80-byte header.
#[must_use]
pub fn sha256d_80_single(input: &[u8; 80]) -> [u8; 32] {
    match report().plan().pair {
        Some(pair) => pair.hash_one(input),
        None => portable::hash(input),
    }
}

/// Same as [`sha256d_80`], but all of it by one way: for tests and measurements.
///
/// Returns false, with `out` untouched, if that way is unavailable or switched off.
///
/// # Panics
///
/// If `inputs` and `out` differ in length.
pub fn sha256d_80_with<H: AsRef<[u8; 80]>>(way: Way, inputs: &[H], out: &mut [[u8; 32]]) -> bool {
    let chosen = report().plan();
    let forced = match way {
        Way::Avx512x16 => chosen.wide.map(Plan::only_wide),
        Way::ShaNiX2 => chosen.pair.map(Plan::only_pair),
        Way::Portable => Some(Plan::PORTABLE),
    };
    if let Some(plan) = forced {
        plan.hash(inputs, out);
    }
    forced.is_some()
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

    /// A padded group takes as long as about eight headers by SHA-NI, or two by plain code.
    const fn of(wide: Option<Wide>, pair: Option<Pair>) -> Self {
        Self { wide, pair, pad_from: if pair.is_some() { 8 } else { 2 } }
    }

    fn only_wide(wide: Wide) -> Self {
        Self { wide: Some(wide), ..Self::PORTABLE }
    }

    fn only_pair(pair: Pair) -> Self {
        Self { pair: Some(pair), ..Self::PORTABLE }
    }

    fn hash<H: AsRef<[u8; 80]>>(self, inputs: &[H], out: &mut [[u8; 32]]) {
        assert_eq!(inputs.len(), out.len(), "one place for each digest");
        let (inputs, out) = match self.wide {
            Some(wide) => hash_wide(wide, self.pad_from, inputs, out),
            None => (inputs, out),
        };
        match self.pair {
            Some(pair) => hash_pairs(pair, inputs, out),
            None => hash_each(inputs, out),
        }
    }
}

/// Hashes full groups of sixteen, and the rest too if it has at least `pad_from`; returns what is left.
fn hash_wide<'i, 'o, H: AsRef<[u8; 80]>>(
    wide: Wide,
    pad_from: usize,
    inputs: &'i [H],
    out: &'o mut [[u8; 32]],
) -> (&'i [H], &'o mut [[u8; 32]]) {
    let (groups, rest) = inputs.as_chunks::<16>();
    let (places, places_rest) = out.as_chunks_mut::<16>();
    for (group, place) in groups.iter().zip(places) {
        wide.hash(&group.each_ref().map(H::as_ref), place);
    }
    match rest {
        [first, ..] if rest.len() >= pad_from => {
            let padded = core::array::from_fn(|n| rest.get(n).unwrap_or(first).as_ref());
            let mut digests = [[0; 32]; 16];
            wide.hash(&padded, &mut digests);
            for (place, digest) in places_rest.iter_mut().zip(digests) {
                *place = digest;
            }
            (&[], &mut [])
        }
        _ => (rest, places_rest),
    }
}

fn hash_pairs<H: AsRef<[u8; 80]>>(pair: Pair, inputs: &[H], out: &mut [[u8; 32]]) {
    let (couples, rest) = inputs.as_chunks::<2>();
    let (places, places_rest) = out.as_chunks_mut::<2>();
    for (couple, place) in couples.iter().zip(places) {
        *place = pair.hash_two(couple.each_ref().map(H::as_ref));
    }
    for (input, place) in rest.iter().zip(places_rest) {
        *place = pair.hash_one(input.as_ref());
    }
}

fn hash_each<H: AsRef<[u8; 80]>>(inputs: &[H], out: &mut [[u8; 32]]) {
    for (input, place) in inputs.iter().zip(out) {
        *place = portable::hash(input.as_ref());
    }
}

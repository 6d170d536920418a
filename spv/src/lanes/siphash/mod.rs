//! SipHash-2-4 of many short messages at once, under one key.
//!
//! A compact filter is matched by hashing every watched script under a key that changes with every block, so this hash
//! is what matching costs. Eight messages are hashed at a time: in one register of AVX-512, in two of AVX2, one after
//! the other elsewhere. The way is chosen at run time, as for headers.
//!
//! Invariant: whatever the way, the result is that of the portable one. Each way must agree with it on a fixed set at
//! first use, or is switched off and reported (see [`report`]).
//!
//! An attacker chooses the key, never the number of steps: time depends only on the messages that the caller packed,
//! and nothing is allocated.

// `unsafe` is allowed by the module above and needed for its two things only: calling what is compiled for instructions
// that may be missing, of which an `Avx2` or an `Avx512` is the proof, and reading and writing a row of 64 bytes.

mod portable;
mod report;

#[cfg(not(all(feature = "std", target_arch = "x86_64")))]
mod absent;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod avx2;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod avx512;
#[cfg(test)]
mod tests;

pub use portable::{blocks, blocks_in, hash};
pub use report::{Report, Way, report};

#[cfg(not(all(feature = "std", target_arch = "x86_64")))]
use absent::{Avx2, Avx512};
#[cfg(all(feature = "std", target_arch = "x86_64"))]
use avx2::Avx2;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
use avx512::Avx512;

use core::num::NonZeroUsize;

/// Messages that are hashed together.
pub const LANES: usize = 8;

/// One 8-byte block of each of the messages that are hashed together, or a hash of each.
pub type Row = [u64; LANES];

/// The key: two numbers that are read little-endian from its 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The first 8 bytes.
    pub k0: u64,
    /// The last 8 bytes.
    pub k1: u64,
}

/// What a state starts from, the key apart: "somepseudorandomlygeneratedbytes".
const START: [u64; 4] =
    [0x736f_6d65_7073_6575, 0x646f_7261_6e64_6f6d, 0x6c79_6765_6e65_7261, 0x7465_6462_7974_6573];

impl Key {
    /// The state that hashing begins with.
    const fn start(self) -> [u64; 4] {
        let [v0, v1, v2, v3] = START;
        [v0 ^ self.k0, v1 ^ self.k1, v2 ^ self.k0, v3 ^ self.k1]
    }
}

/// Hashes groups of [`LANES`] messages, all of the same number of blocks.
///
/// `rows` holds the groups one after the other: `blocks_each` rows a group, of which the first has the first block of
/// each message (see [`blocks`]). Each group's hashes go to its place in `out`.
///
/// # Panics
///
/// If `rows` does not hold exactly one group for each place of `out`.
pub fn hash_groups(key: Key, rows: &[Row], blocks_each: NonZeroUsize, out: &mut [Row]) {
    hash_by(report().fastest_lanes(), key, rows, blocks_each, out);
}

/// Same as [`hash_groups`], but all of it by one way: for tests and measurements.
///
/// Returns false, with `out` untouched, if that way is unavailable or switched off.
///
/// # Panics
///
/// If `rows` does not hold exactly one group for each place of `out`.
pub fn hash_groups_with(
    way: Way,
    key: Key,
    rows: &[Row],
    blocks_each: NonZeroUsize,
    out: &mut [Row],
) -> bool {
    let lanes = report().lanes_of(way);
    if let Some(lanes) = lanes {
        hash_by(lanes, key, rows, blocks_each, out);
    }
    lanes.is_some()
}

/// A way, with the proof that the processor has it.
#[derive(Clone, Copy, Debug)]
enum Lanes {
    Avx512(Avx512),
    Avx2(Avx2),
    Portable,
}

fn hash_by(lanes: Lanes, key: Key, rows: &[Row], blocks_each: NonZeroUsize, out: &mut [Row]) {
    let groups = out.len().checked_mul(blocks_each.get());
    assert_eq!(groups, Some(rows.len()), "one place for each group");
    match lanes {
        Lanes::Avx512(lanes) => lanes.hash(key, rows, blocks_each, out),
        Lanes::Avx2(lanes) => lanes.hash(key, rows, blocks_each, out),
        Lanes::Portable => portable::hash_groups(key, rows, blocks_each, out),
    }
}

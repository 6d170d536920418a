//! Making proofs in one pass over the leaves, without keeping a tree.

use alloc::vec::Vec;
use core::ops::Range;

use bitcoin::BlockHash;

use super::consistency::{self, ConsistencyProof};
use super::error::LogProveError;
use super::frontier::Peaks;
use super::inclusion::{self, InclusionProof};

/// Proves that the leaf at `index` is in the log of the first `size` leaves. More leaves are not
/// looked at.
///
/// # Errors
/// [`LogProveError`] where there is no such place, or there are fewer leaves.
pub fn inclusion_proof(
    leaves: impl IntoIterator<Item = BlockHash>,
    index: u32,
    size: u32,
) -> Result<InclusionProof, LogProveError> {
    prove_inclusion(leaves.into_iter(), index, size)
}

/// Proves that the log of the first `old` leaves is the beginning of that of the first `new` ones.
/// More leaves are not looked at.
///
/// # Errors
/// [`LogProveError`] where the sizes are out of order, or there are fewer leaves.
pub fn consistency_proof(
    leaves: impl IntoIterator<Item = BlockHash>,
    old: u32,
    new: u32,
) -> Result<ConsistencyProof, LogProveError> {
    prove_consistency(leaves.into_iter(), old, new)
}

pub(super) fn prove_inclusion<L: AsRef<[u8]>>(
    leaves: impl Iterator<Item = L>,
    index: u32,
    size: u32,
) -> Result<InclusionProof, LogProveError> {
    inclusion::path_length(index, size).map_err(LogProveError::Impossible)?;
    let path = Leaves { rest: leaves, taken: 0, size }.hashes(beside_leaf(index, size))?;
    InclusionProof::new(index, size, path).map_err(LogProveError::Impossible)
}

pub(super) fn prove_consistency<L: AsRef<[u8]>>(
    leaves: impl Iterator<Item = L>,
    old: u32,
    new: u32,
) -> Result<ConsistencyProof, LogProveError> {
    consistency::path_length(old, new).map_err(LogProveError::Impossible)?;
    let path = Leaves { rest: leaves, taken: 0, size: new }.hashes(beside_old_end(old, new))?;
    ConsistencyProof::new(old, new, path).map_err(LogProveError::Impossible)
}

/// The subtrees that make a leaf's path, from the root down (RFC 6962, section 2.1.1). `index` is
/// less than `size`.
pub(super) fn beside_leaf(index: u32, size: u32) -> Vec<Range<u32>> {
    let mut wanted = Vec::new();
    let mut within = 0..size;
    while within.len() > 1 {
        let (left, right) = split(&within);
        let (other, on) = if left.contains(&index) { (right, left) } else { (left, right) };
        wanted.push(other);
        within = on;
    }
    wanted
}

/// The subtrees that show one log within another, from the root down (RFC 6962, section 2.1.2). `old`
/// is not 0 and at most `new`.
pub(super) fn beside_old_end(old: u32, new: u32) -> Vec<Range<u32>> {
    let mut wanted = Vec::new();
    let mut within = 0..new;
    while within.end != old {
        let (left, right) = split(&within);
        let (other, on) = if old <= left.end { (right, left) } else { (left, right) };
        wanted.push(other);
        within = on;
    }
    // Whoever checks knows the old log's own root.
    if within.start != 0 {
        wanted.push(within);
    }
    wanted
}

/// Parts a tree of two leaves at least: the left part is the largest power of two below its size.
fn split(tree: &Range<u32>) -> (Range<u32>, Range<u32>) {
    let middle = tree.start + (1 << (tree.end - tree.start - 1).ilog2());
    (tree.start..middle, middle..tree.end)
}

/// The leaves of a log, of which each is taken once.
struct Leaves<I> {
    rest: I,
    taken: u32,
    size: u32,
}

impl<L: AsRef<[u8]>, I: Iterator<Item = L>> Leaves<I> {
    /// The hashes of subtrees that have no leaf in common, the last first. All leaves of the log
    /// must be there, whether their hashes are wanted or not.
    fn hashes(mut self, wanted: Vec<Range<u32>>) -> Result<Vec<[u8; 32]>, LogProveError> {
        let mut subtrees: Vec<_> = wanted.into_iter().rev().enumerate().collect();
        subtrees.sort_unstable_by_key(|(_, leaves)| leaves.start);
        let mut hashes = Vec::with_capacity(subtrees.len());
        for (place, leaves) in subtrees {
            self.skip_to(leaves.start)?;
            hashes.push((place, self.hash_to(leaves.end)?));
        }
        self.skip_to(self.size)?;
        hashes.sort_unstable_by_key(|(place, _)| *place);
        Ok(hashes.into_iter().map(|(_, hash)| hash).collect())
    }

    fn skip_to(&mut self, end: u32) -> Result<(), LogProveError> {
        while self.taken < end {
            self.take()?;
        }
        Ok(())
    }

    /// The root of the leaves from here on, which are some.
    fn hash_to(&mut self, end: u32) -> Result<[u8; 32], LogProveError> {
        let mut peaks = Peaks::default();
        for before in 0..end - self.taken {
            peaks.push(self.take()?.as_ref(), before);
        }
        peaks.root().ok_or_else(|| self.too_few())
    }

    fn take(&mut self) -> Result<L, LogProveError> {
        let leaf = self.rest.next().ok_or_else(|| self.too_few())?;
        self.taken += 1;
        Ok(leaf)
    }

    const fn too_few(&self) -> LogProveError {
        LogProveError::TooFewLeaves { expected: self.size, got: self.taken }
    }
}

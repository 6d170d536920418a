//! The growing end of a log: what is needed to append, and nothing else.

use alloc::vec::Vec;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;

use super::error::{LogDecodeError, LogFull};
use super::head::{LogHead, LogRoot, hash_leaf, hash_leaves, hash_node, hash_nodes};
use super::wire::{FRONTIER, Input};

/// The roots of the full trees that some leaves make, the largest first: one for each bit of their
/// number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Peaks(Vec<[u8; 32]>);

impl Peaks {
    /// Adds a leaf behind the `before` leaves that are there.
    pub(super) fn push(&mut self, leaf: &[u8], before: u32) {
        let mut hash = hash_leaf(leaf);
        // As in binary counting: the trees of the number's trailing ones join into one.
        for _ in 0..before.trailing_ones() {
            if let Some(left) = self.0.pop() {
                hash = hash_node(&left, &hash);
            }
        }
        self.0.push(hash);
    }

    /// Adds leaves behind the `before` leaves that are there, level by level: so the nodes' hashes are
    /// made side by side.
    fn push_all(&mut self, LeafHashes(mut level): LeafHashes, before: u32) {
        let (mut kept, mut left_over) = (before, Vec::new());
        while !level.is_empty() {
            // A tree of this height without a right neighbour so far: what comes first is its neighbour.
            if kept & 1 == 1
                && let Some(left) = self.0.pop()
            {
                level.insert(0, left);
            }
            if level.len() % 2 == 1 {
                left_over.extend(level.pop());
            }
            level = hash_nodes(&level);
            kept >>= 1;
        }
        self.0.extend(left_over.iter().rev());
    }

    /// RFC 6962, section 2.1: the largest power of two below the size parts left from right, so
    /// that the trees join from the smallest up.
    pub(super) fn root(&self) -> Option<[u8; 32]> {
        self.0.iter().rev().copied().reduce(|right, left| hash_node(&left, &right))
    }
}

/// The hashes of leaves that follow each other: that part of appending them that needs no log, and may be
/// done on any thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafHashes(Vec<[u8; 32]>);

impl LeafHashes {
    /// Hashes the leaves of these blocks, several at a time.
    pub fn of(blocks: impl Iterator<Item = BlockHash>) -> Self {
        let mut hashes = blocks.map(BlockHash::to_byte_array).collect::<Vec<_>>();
        hash_leaves(&mut hashes);
        Self(hashes)
    }
}

/// The growing end of a log, in at most 32 hashes. A clone is a place to come back to.
///
/// Invariant: there is one hash for each bit of the size.
///
/// ```text
/// frontier = 0x01 | size u32, little-endian | hash 32 for each bit set in size, highest first
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u32,
    peaks: Peaks,
}

impl Frontier {
    /// The most bytes that [`encode`](Self::encode) writes.
    pub const MAX_BYTES: usize = 1 + 4 + 32 * 32;

    /// The end of a log without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a leaf: two hashes on average, 32 at most.
    ///
    /// # Errors
    /// [`LogFull`], with nothing changed.
    pub fn append(&mut self, block: &BlockHash) -> Result<(), LogFull> {
        self.append_bytes(block.as_ref())
    }

    /// Adds many leaves, as [`append`](Self::append) does one after the other, in half of the time.
    ///
    /// # Errors
    /// [`LogFull`], with nothing changed.
    pub fn append_all(&mut self, leaves: LeafHashes) -> Result<(), LogFull> {
        let added = u32::try_from(leaves.0.len()).map_err(|_| LogFull)?;
        let size = self.size.checked_add(added).ok_or(LogFull)?;
        self.peaks.push_all(leaves, self.size);
        self.size = size;
        Ok(())
    }

    pub(super) fn append_bytes(&mut self, leaf: &[u8]) -> Result<(), LogFull> {
        // Bytes may claim any size, so the last one can be met.
        let size = self.size.checked_add(1).ok_or(LogFull)?;
        self.peaks.push(leaf, self.size);
        self.size = size;
        Ok(())
    }

    /// How many leaves there are.
    #[must_use]
    pub const fn size(&self) -> u32 {
        self.size
    }

    /// The root over all leaves: one hash less than the size has bits set.
    #[must_use]
    pub fn root(&self) -> LogRoot {
        self.peaks.root().map_or_else(LogRoot::empty, LogRoot)
    }

    /// Size and root.
    #[must_use]
    pub fn head(&self) -> LogHead {
        LogHead { size: self.size, root: self.root() }
    }

    /// The bytes, in the form that the type describes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + 4 + 32 * self.peaks.0.len());
        bytes.push(FRONTIER);
        bytes.extend_from_slice(&self.size.to_le_bytes());
        bytes.extend_from_slice(self.peaks.0.as_flattened());
        bytes
    }

    /// Reads what [`encode`](Self::encode) writes. Any hashes make a frontier: whether they are the
    /// right ones, its [`head`](Self::head) tells.
    ///
    /// # Errors
    /// [`LogDecodeError`], naming the place.
    pub fn decode(bytes: &[u8]) -> Result<Self, LogDecodeError> {
        let mut input = Input::new(bytes, FRONTIER)?;
        let size = input.number()?;
        // At most 32, so nothing is lost.
        let peaks = Peaks(input.hashes(size.count_ones() as usize)?);
        Ok(Self { size, peaks })
    }
}

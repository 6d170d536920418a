//! A filter's bytes: a Golomb-coded set (BIP158, "Golomb-Coded Sets").
//!
//! ```text
//! filter  = number of elements, compact size | element ... | zero bits up to a whole byte
//! element = difference from the one before: quotient by 2^19 in unary, a zero bit, 19 bits of remainder
//! ```
//! Bits are read from the highest of each byte down.

use alloc::vec::Vec;
use core::fmt;
use core::ops::ControlFlow;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use sha2::{Digest, Sha256};

use super::values::{REMAINDER_BITS, Values, write_values};
use super::{FilterError, FilterHash};
use crate::compact_size::push_compact_size;
use crate::lanes::siphash;

/// One in so many other scripts matches by accident: the parameter M.
const FALSE_POSITIVE_RATE: u64 = 784_931;
/// The least weight of a script that is in a filter: an output's amount, its script's length and a script of one byte
/// take 10 bytes without witness discount. An input, by which a spent script gets in, takes 41.
const LEAST_WEIGHT: u32 = 4 * 10;
/// What a block may weigh (BIP141).
const MAX_BLOCK_WEIGHT: u32 = 4_000_000;
/// The fewest bits of an element: an empty quotient, its end, the remainder.
const LEAST_BITS: u64 = 1 + REMAINDER_BITS as u64;
/// The longest form of the number of elements that [`Filter::MAX_ELEMENTS`] allows.
const MAX_COUNT_SIZE: usize = 5;

/// What a filter's hashes are keyed with: it follows from the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FilterKey(siphash::Key);

impl FilterKey {
    /// The first 16 bytes of the block hash, as serialized (BIP158, "Block Filters").
    #[must_use]
    pub fn new(block: BlockHash) -> Self {
        let bytes = block.to_byte_array();
        let number = |from: usize| {
            let bytes = bytes.iter().skip(from).take(8).rev();
            bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
        };
        Self(siphash::Key { k0: number(0), k1: number(8) })
    }

    pub(super) const fn sip(self) -> siphash::Key {
        self.0
    }
}

impl From<BlockHash> for FilterKey {
    fn from(block: BlockHash) -> Self {
        Self::new(block)
    }
}

/// The basic filter of a block: its bytes, whose size fits the number of elements that they claim, and the key that its
/// elements were hashed with.
#[derive(Clone, PartialEq, Eq)]
pub struct Filter {
    key: FilterKey,
    elements: u32,
    /// Where the elements start.
    head: usize,
    bytes: Vec<u8>,
}

impl Filter {
    /// The most scripts that fit into a block.
    pub const MAX_ELEMENTS: u32 = MAX_BLOCK_WEIGHT / LEAST_WEIGHT;
    /// The longest filter, in bytes.
    pub const MAX_SIZE: usize = MAX_COUNT_SIZE + most_bytes(Self::MAX_ELEMENTS);

    /// Takes bytes that a peer gave for a block's filter, with the number of elements in front.
    ///
    /// The size is checked, the elements are not: [`Filter::check`] reads them all.
    ///
    /// # Errors
    /// [`FilterError`], where the number of elements is not one, or so many elements do not have that size.
    pub fn decode(key: FilterKey, bytes: Vec<u8>) -> Result<Self, FilterError> {
        let (count, head) = decode_count(&bytes)?;
        let elements = checked_count(count)?;
        let size = bytes.len();
        let least = head + least_bytes(elements);
        if size < least {
            return Err(FilterError::TooShort { count: elements, size, least });
        }
        let most = head + most_bytes(elements);
        if size > most {
            return Err(FilterError::TooLong { count: elements, size, most });
        }
        Ok(Self { key, elements, head, bytes })
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> FilterKey {
        self.key
    }

    /// How many elements it claims to have.
    #[must_use]
    pub const fn elements(&self) -> u32 {
        self.elements
    }

    /// The bytes, as peers send them: the number of elements is in front.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, as peers send them.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The double SHA-256 of the bytes (BIP157). [`FilterHash::filter_header`] chains it.
    #[must_use]
    pub fn hash(&self) -> FilterHash {
        hash_of(&self.bytes)
    }

    /// Reads every element.
    ///
    /// # Errors
    /// [`FilterError`], at the first place that makes no sense.
    pub fn check(&self) -> Result<(), FilterError> {
        let _: ControlFlow<()> = self.values().visit(|_| ControlFlow::Continue(()))?;
        Ok(())
    }

    /// What hashes are mapped below: elements times M.
    pub(super) const fn range(&self) -> u64 {
        range(self.elements)
    }

    pub(super) fn values(&self) -> Values<'_> {
        Values::new(&self.bytes, self.head, self.elements, self.range())
    }

    /// The filter whose values these are, which do not fall: as many as `elements` says.
    pub(super) fn encode(key: FilterKey, elements: u32, values: &[u64]) -> Self {
        let mut bytes = Vec::with_capacity(MAX_COUNT_SIZE + most_bytes(elements));
        push_compact_size(&mut bytes, elements.into());
        let head = bytes.len();
        Self { key, elements, head, bytes: write_values(values, bytes) }
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its hash names it; the bytes tell a reader nothing.
        f.debug_struct("Filter")
            .field("elements", &self.elements)
            .field("size", &self.bytes.len())
            .field("hash", &self.hash())
            .finish_non_exhaustive()
    }
}

/// The hash of a filter as it is sent, whether or not it is one: see [`Filter::hash`].
pub(super) fn hash_of(filter: &[u8]) -> FilterHash {
    // `sha2` finds the processor's instructions without `std`, too, where `bitcoin` does not.
    FilterHash::from_byte_array(Sha256::digest(Sha256::digest(filter)).into())
}

/// The number of elements, if a block can have so many.
pub(super) fn checked_count(count: u64) -> Result<u32, FilterError> {
    let fits = u32::try_from(count).ok().filter(|count| *count <= Filter::MAX_ELEMENTS);
    fits.ok_or(FilterError::TooManyElements { count })
}

pub(super) const fn range(elements: u32) -> u64 {
    elements as u64 * FALSE_POSITIVE_RATE
}

/// Maps a hash below `range`: faster than the remainder, and as even (BIP158, "Hashing Data Objects").
#[inline]
pub(super) fn reduced(hash: u64, range: u64) -> u64 {
    hash.carrying_mul(range, 0).1
}

const fn least_bytes(elements: u32) -> usize {
    bytes_of(elements as u64 * LEAST_BITS)
}

/// All quotients together are at most the quotient of the largest value that there may be.
const fn most_bytes(elements: u32) -> usize {
    let quotients = range(elements).saturating_sub(1) >> REMAINDER_BITS;
    bytes_of(elements as u64 * LEAST_BITS + quotients)
}

#[allow(clippy::cast_possible_truncation, reason = "at most 100,000 elements, far below 2^32 bits")]
const fn bytes_of(bits: u64) -> usize {
    bits.div_ceil(8) as usize
}

/// The number of elements, a compact size in its shortest form, and how many bytes it takes.
fn decode_count(bytes: &[u8]) -> Result<(u64, usize), FilterError> {
    let truncated = FilterError::CountTruncated { size: bytes.len() };
    let (first, rest) = bytes.split_first().ok_or(truncated)?;
    let (count, size, least) = match first {
        0xfd => (rest.first_chunk().map(|bytes| u16::from_le_bytes(*bytes).into()), 3, 0xfd),
        0xfe => (rest.first_chunk().map(|bytes| u32::from_le_bytes(*bytes).into()), 5, 0x1_0000),
        0xff => (rest.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)), 9, 0x1_0000_0000),
        small => (Some(u64::from(*small)), 1, 0),
    };
    let count = count.ok_or(truncated)?;
    if count < least {
        return Err(FilterError::CountNotCanonical { count });
    }
    Ok((count, size))
}

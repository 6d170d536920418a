//! Reading a proof's bytes, field by field.

use alloc::vec::Vec;

use super::error::DecodeError;

/// Bytes, and how far they were read.
pub(super) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let field = self.rest().first_chunk().ok_or(DecodeError::Truncated { at: self.at })?;
        self.at += N;
        Ok(*field)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    /// So many entries of the same size, counted by a compact size in front.
    pub(super) fn list<const N: usize>(&mut self) -> Result<&'a [[u8; N]], DecodeError> {
        let at = self.at;
        let length = self.compact_size()?;
        let entries = usize::try_from(length).ok();
        let bytes = entries.and_then(|entries| entries.checked_mul(N));
        let found = bytes.and_then(|bytes| self.rest().get(..bytes));
        let found = found.ok_or(DecodeError::TooLong { at, length })?;
        self.at += found.len();
        Ok(found.as_chunks().0)
    }

    /// So many hashes as the caller knows there are.
    pub(super) fn hashes(&mut self, count: usize) -> Result<Vec<[u8; 32]>, DecodeError> {
        (0..count).map(|_| self.array()).collect()
    }

    fn compact_size(&mut self) -> Result<u64, DecodeError> {
        let at = self.at;
        let [first] = self.array()?;
        let (value, least) = match first {
            0xfd => (u16::from_le_bytes(self.array()?).into(), 0xfd),
            0xfe => (u32::from_le_bytes(self.array()?).into(), 0x1_0000),
            0xff => (u64::from_le_bytes(self.array()?), 0x1_0000_0000),
            0..=0xfc => (u64::from(first), 0),
        };
        if value < least { Err(DecodeError::LongLength { at }) } else { Ok(value) }
    }

    pub(super) fn end(&self) -> Result<(), DecodeError> {
        match self.rest().len() {
            0 => Ok(()),
            count => Err(DecodeError::TrailingBytes { count }),
        }
    }
}

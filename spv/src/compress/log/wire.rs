//! The bytes of proofs and frontiers: a kind, numbers, and hashes up to the end.

use alloc::vec::Vec;

use super::error::LogDecodeError;

/// The first bytes. Another form of the same thing would get another one.
pub(super) const FRONTIER: u8 = 1;
pub(super) const INCLUSION: u8 = 2;
pub(super) const CONSISTENCY: u8 = 3;

/// A proof's bytes: `kind u8 | number u32 | number u32 | path`, little-endian.
pub(super) fn encode_proof(kind: u8, numbers: [u32; 2], path: &[[u8; 32]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + 4 + 4 + 32 * path.len());
    bytes.push(kind);
    for number in numbers {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(path.as_flattened());
    bytes
}

/// Bytes, and how far they were read.
pub(super) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    /// Behind the kind, which must be the expected one.
    pub(super) fn new(bytes: &'a [u8], expected: u8) -> Result<Self, LogDecodeError> {
        let mut input = Self { bytes, at: 0 };
        let [got] = input.array()?;
        if got == expected { Ok(input) } else { Err(LogDecodeError::OtherKind { expected, got }) }
    }

    pub(super) fn number(&mut self) -> Result<u32, LogDecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    /// So many hashes as the numbers ask for, and nothing behind them. Looks before it reserves.
    pub(super) fn hashes(self, count: usize) -> Result<Vec<[u8; 32]>, LogDecodeError> {
        let (hashes, partial) = self.rest().as_chunks();
        match hashes.get(..count) {
            None => Err(LogDecodeError::Truncated { at: self.at + 32 * hashes.len() }),
            Some(path) if path.len() == hashes.len() && partial.is_empty() => Ok(path.to_vec()),
            Some(path) => {
                Err(LogDecodeError::TrailingBytes { count: self.rest().len() - 32 * path.len() })
            }
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], LogDecodeError> {
        let field = self.rest().first_chunk().ok_or(LogDecodeError::Truncated { at: self.at })?;
        self.at += N;
        Ok(*field)
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
}

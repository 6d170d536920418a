//! Reads fields from bytes, and knows where it is.
//!
//! Nothing is reserved here: what the bytes claim is checked against the bytes at hand.

use super::error::DecodeError;
use super::value::StateValue;

pub(super) struct Input<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Input<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let field = rest.first_chunk::<N>().ok_or(DecodeError::Truncated { at: self.at })?;
        self.at += N;
        Ok(*field)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.take().map(u32::from_le_bytes)
    }

    /// The version of a form, and the kind of values in it.
    pub(super) fn version_and_kind(&mut self, version: u8, kind: u8) -> Result<(), DecodeError> {
        match self.take()? {
            [got, _] if got != version => Err(DecodeError::UnknownVersion { got }),
            [_, got] if got != kind => Err(DecodeError::WrongKind { got }),
            [_, _] => Ok(()),
        }
    }

    /// A value of so many bytes.
    pub(super) fn value<V: StateValue>(&mut self, len: usize) -> Result<V, DecodeError> {
        let at = self.at;
        let bytes = self.bytes.get(at..).and_then(|rest| rest.get(..len));
        let bytes = bytes.ok_or(DecodeError::Truncated { at })?;
        self.at += len;
        V::decode(bytes).map_err(|error| DecodeError::Value { at, error })
    }

    pub(super) fn end(&self) -> Result<(), DecodeError> {
        match self.left() {
            0 => Ok(()),
            _ => Err(DecodeError::TrailingBytes { at: self.at }),
        }
    }
}

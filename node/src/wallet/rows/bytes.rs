//! Takes the parts of a row off its front.

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, BlockHash, ScriptBuf, Txid};
use ironlight_spv::BlockHeight;

/// What is left of a row; each call gives none where too little is left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (part, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*part)
    }

    pub(crate) fn slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (part, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(part)
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    /// A byte that is 0 or 1.
    pub(crate) fn flag(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            2.. => None,
        }
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn height(&mut self) -> Option<BlockHeight> {
        self.u32().map(BlockHeight)
    }

    /// An amount that there can be.
    pub(crate) fn amount(&mut self) -> Option<Amount> {
        self.u64().map(Amount::from_sat).filter(|amount| *amount <= Amount::MAX_MONEY)
    }

    pub(crate) fn txid(&mut self) -> Option<Txid> {
        self.array().map(Txid::from_byte_array)
    }

    pub(crate) fn block_hash(&mut self) -> Option<BlockHash> {
        self.array().map(BlockHash::from_byte_array)
    }

    /// A script with its length, u16, in front.
    pub(crate) fn script(&mut self) -> Option<ScriptBuf> {
        let length = self.u16()?;
        self.slice(usize::from(length)).map(|bytes| ScriptBuf::from_bytes(bytes.to_vec()))
    }

    /// A text with its length, one byte, in front.
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let length = self.u8()?;
        self.slice(usize::from(length)).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// A number for each keychain, with how many there are, one byte, in front.
    pub(crate) fn counts(&mut self) -> Option<Vec<u32>> {
        let keychains = self.u8()?;
        (0..keychains).map(|_| self.u32()).collect()
    }

    /// The value, if nothing is left.
    pub(crate) fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

/// Appends a script with its length in front. Watched scripts have 10,000 bytes at most.
pub(crate) fn push_script(bytes: &mut Vec<u8>, script: &bitcoin::Script) {
    bytes.extend(u16::try_from(script.len()).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend_from_slice(script.as_bytes());
}

/// Appends a number for each keychain, of which there are 255 at most, with how many in front.
pub(crate) fn push_counts(bytes: &mut Vec<u8>, counts: &[u32]) {
    bytes.push(u8::try_from(counts.len()).unwrap_or(u8::MAX));
    bytes.extend(counts.iter().flat_map(|count| count.to_le_bytes()));
}

/// Appends a text with its length in front. Names have 128 bytes at most.
pub(crate) fn push_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(text.as_bytes());
}

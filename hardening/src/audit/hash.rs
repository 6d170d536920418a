//! SHA-256 values and their hexadecimal form.

use core::fmt;

use sha2::{Digest, Sha256};

/// A SHA-256 value; shown as 64 lower-case hexadecimal digits.
///
/// ```
/// use ironlight_hardening::audit::Hash;
///
/// let hash = Hash::of(&[b"in ", b"parts"]);
/// assert_eq!(hash, Hash::of(&[b"in parts"]));
/// assert_eq!(Hash::from_hex(hash.to_string().as_bytes()), Some(hash));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What stands where there is no earlier record.
    pub const ZERO: Self = Self([0; 32]);

    /// SHA-256 of parts, one after the other.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// Reads 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        decode_hex(text).map(Self)
    }

    pub(crate) fn push_hex(&self, out: &mut Vec<u8>) {
        push_hex(&self.0, out);
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

const fn digit(nibble: u8) -> u8 {
    match nibble & 15 {
        low @ 0..=9 => b'0' + low,
        high => b'a' - 10 + high,
    }
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

pub(crate) fn push_hex(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + 2 * bytes.len(), b'0');
    let (pairs, _) = out.get_mut(start..).unwrap_or_default().as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(bytes) {
        *pair = [digit(byte >> 4), digit(*byte)];
    }
}

/// Exactly `N` bytes in lower-case digits: upper case would be a second form of the same value.
pub(crate) fn decode_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(bytes)
}

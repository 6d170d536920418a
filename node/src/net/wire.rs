//! Reading numbers from bytes that a stranger sent.
//!
//! Every read is checked, none allocates, and none can go back: a decoder built on it ends.

use core::fmt;

use ironlight_spv::compress::CodecError;

/// What is wrong with a payload, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The byte at which it was noticed.
    pub at: usize,
    /// What it is.
    pub problem: Problem,
}

/// What can be wrong with a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// It ends too early.
    Short {
        /// Bytes needed here.
        needed: usize,
        /// Bytes left.
        left: usize,
    },
    /// A count in more bytes than it needs (Core, `serialize.h`, `ReadCompactSize`).
    NonCanonicalCount,
    /// More entries than the protocol allows.
    TooMany {
        /// The entries said to be there.
        count: u64,
        /// The most that there may be.
        max: u32,
    },
    /// Bytes are left over.
    Trailing {
        /// How many.
        left: usize,
    },
    /// A header that is followed by transactions.
    TransactionsAfterHeader,
    /// An address whose length is not that of its network (BIP155).
    AddressLength {
        /// The network.
        network: u8,
        /// The length.
        length: u64,
    },
    /// A field has a value that has no meaning.
    Unknown {
        /// The field.
        field: &'static str,
        /// Its value.
        got: u32,
    },
    /// An extension that does not come after the one before it.
    ExtensionOrder {
        /// Its type.
        kind: u16,
    },
    /// An extension of a known type with a length that it never has.
    ExtensionLength {
        /// Its type.
        kind: u16,
        /// The length.
        length: u16,
    },
    /// An extension that must be understood, and is not.
    ExtensionRequired {
        /// Its type.
        kind: u16,
    },
    /// A segment in the compact codec that is none.
    Segment(CodecError),
    /// The header of another block than the one that was asked for.
    OtherBlock,
    /// An entry that does not come after the one before it.
    Order,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: ", self.at)?;
        match self.problem {
            Problem::Short { needed, left } => write!(f, "{needed} bytes needed, {left} left"),
            Problem::NonCanonicalCount => f.write_str("a count longer than it needs to be"),
            Problem::TooMany { count, max } => write!(f, "{count} entries, at most {max} allowed"),
            Problem::Trailing { left } => write!(f, "{left} bytes left over"),
            Problem::TransactionsAfterHeader => f.write_str("transactions after a header"),
            Problem::AddressLength { network, length } => {
                write!(f, "an address of network {network} with {length} bytes")
            }
            Problem::Unknown { field, got } => write!(f, "{field} {got} is not known"),
            Problem::ExtensionOrder { kind } => write!(f, "extension {kind} out of order"),
            Problem::ExtensionLength { kind, length } => {
                write!(f, "extension {kind} with {length} bytes")
            }
            Problem::ExtensionRequired { kind } => {
                write!(f, "extension {kind} has to be understood and is not")
            }
            Problem::Segment(error) => write!(f, "headers: {error}"),
            Problem::OtherBlock => f.write_str("the header of another block"),
            Problem::Order => f.write_str("an entry that does not come after the one before it"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// A place in a payload.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    length: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of a payload.
    #[must_use]
    pub const fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload, length: payload.len() }
    }

    /// Bytes not read yet.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.rest.len()
    }

    /// An error at this place.
    #[must_use]
    pub const fn error(&self, problem: Problem) -> DecodeError {
        DecodeError { at: self.length - self.rest.len(), problem }
    }

    /// The next bytes, as many as asked for.
    ///
    /// # Errors
    /// [`Problem::Short`]
    pub fn take(&mut self, needed: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(needed) else {
            return Err(self.error(Problem::Short { needed, left: self.rest.len() }));
        };
        self.rest = rest;
        Ok(taken)
    }

    /// The next bytes, as many as the array holds.
    ///
    /// # Errors
    /// [`Problem::Short`]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((taken, rest)) = self.rest.split_first_chunk() else {
            return Err(self.error(Problem::Short { needed: N, left: self.rest.len() }));
        };
        self.rest = rest;
        Ok(*taken)
    }

    /// A number of 16 bits, its high byte first: ports are so.
    ///
    /// # Errors
    /// [`Problem::Short`]
    pub fn port(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    /// A number of 8 bits.
    ///
    /// # Errors
    /// [`Problem::Short`]
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_le_bytes)
    }

    /// A number of 16 bits.
    ///
    /// # Errors
    /// [`Problem::Short`]
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    /// A number of 32 bits.
    ///
    /// # Errors
    /// [`Problem::Short`]
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    /// A number of 64 bits.
    ///
    /// # Errors
    /// [`Problem::Short`]
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number in as many bytes as it needs (compact size).
    ///
    /// # Errors
    /// [`Problem::Short`]; [`Problem::NonCanonicalCount`], since a number has one form only.
    pub fn compact(&mut self) -> Result<u64, DecodeError> {
        let start = self.clone();
        let (number, least) = match self.u8()? {
            0xfd => (u64::from(u16::from_le_bytes(self.array()?)), 0xfd),
            0xfe => (u64::from(self.u32()?), 0x1_0000),
            0xff => (self.u64()?, 0x1_0000_0000),
            small => (u64::from(small), 0),
        };
        if number < least {
            return Err(start.error(Problem::NonCanonicalCount));
        }
        Ok(number)
    }

    /// A count of entries.
    ///
    /// # Errors
    /// Those of [`compact`](Self::compact); [`Problem::TooMany`] above `max`.
    pub fn count(&mut self, max: u32) -> Result<usize, DecodeError> {
        let start = self.clone();
        let count = self.compact()?;
        match usize::try_from(count) {
            Ok(entries) if count <= u64::from(max) => Ok(entries),
            Ok(_) | Err(_) => Err(start.error(Problem::TooMany { count, max })),
        }
    }

    /// Makes sure that nothing is left.
    ///
    /// # Errors
    /// [`Problem::Trailing`]
    pub const fn end(&self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(self.error(Problem::Trailing { left })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::consensus::encode::{VarInt, serialize};

    #[test]
    fn counts_are_those_of_the_bitcoin_crate_and_have_one_form() {
        for number in [0, 1, 0xfc, 0xfd, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, u64::MAX] {
            let bytes = serialize(&VarInt(number));
            let mut cursor = Cursor::new(&bytes);
            assert_eq!(cursor.compact(), Ok(number));
            assert_eq!(cursor.end(), Ok(()));
        }
        for long in [&[0xfd, 0xfc, 0][..], &[0xfe, 0xff, 0xff, 0, 0], &[0xff; 9][..5]] {
            assert!(Cursor::new(long).compact().is_err(), "{long:?}");
        }
        let too_many = Cursor::new(&[0xfd, 0xd1, 7]).count(2000);
        let problem = Problem::TooMany { count: 2001, max: 2000 };
        assert_eq!(too_many, Err(DecodeError { at: 0, problem }));
    }
}

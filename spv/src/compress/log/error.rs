//! Why bytes are no proof, why a proof proves nothing, and why none can be made.

use core::fmt;

use bitcoin::hex::HexToArrayError;

use super::head::{LogHead, LogRoot};

/// Why a proof does not prove what it claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogProofError {
    /// The log has no such place.
    IndexOutOfRange {
        /// The place.
        index: u32,
        /// How many leaves there are.
        size: u32,
    },
    /// The old log is empty, or larger than the new one.
    SizesOutOfOrder {
        /// The old size.
        old: u32,
        /// The new one.
        new: u32,
    },
    /// The path is not as long as the numbers ask for.
    PathLength {
        /// The hashes that there must be.
        expected: usize,
        /// Those that there are.
        got: usize,
    },
    /// The proof is for a log of another size.
    OtherSize {
        /// The head's.
        expected: u32,
        /// The proof's.
        got: u32,
    },
    /// The hashes do not lead to the old root.
    WrongOldRoot {
        /// The old head's.
        expected: LogRoot,
        /// Where they lead.
        got: LogRoot,
    },
    /// The hashes do not lead to the root, which of two is the new one.
    WrongRoot {
        /// The head's.
        expected: LogRoot,
        /// Where they lead.
        got: LogRoot,
    },
}

impl fmt::Display for LogProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IndexOutOfRange { index, size } => {
                write!(f, "there is no place {index} in a log of {size} leaves")
            }
            Self::SizesOutOfOrder { old: 0, new: _ } => {
                f.write_str("every log goes on from the empty one, so there is nothing to prove")
            }
            Self::SizesOutOfOrder { old, new } => {
                write!(f, "a log of {new} leaves does not go on from one of {old}")
            }
            Self::PathLength { expected, got } => {
                write!(f, "the path has {got} hashes where its place needs {expected}")
            }
            Self::OtherSize { expected, got } => {
                write!(f, "the proof is for a log of {got} leaves, the head's has {expected}")
            }
            Self::WrongOldRoot { expected, got } => {
                write!(f, "the hashes lead to the old root {got}, the head's is {expected}")
            }
            Self::WrongRoot { expected, got } => {
                write!(f, "the hashes lead to the root {got}, the head's is {expected}")
            }
        }
    }
}

impl core::error::Error for LogProofError {}

impl LogHead {
    pub(super) const fn expect_size(&self, got: u32) -> Result<(), LogProofError> {
        if self.size == got {
            Ok(())
        } else {
            Err(LogProofError::OtherSize { expected: self.size, got })
        }
    }
}

/// Why a proof cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogProveError {
    /// What is to be proven cannot be.
    Impossible(LogProofError),
    /// The leaves end before the log does.
    TooFewLeaves {
        /// The size of the log.
        expected: u32,
        /// The leaves that came.
        got: u32,
    },
}

impl fmt::Display for LogProveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Impossible(_) => f.write_str("there is nothing to prove"),
            Self::TooFewLeaves { expected, got } => {
                write!(f, "{got} leaves came where the log has {expected}")
            }
        }
    }
}

impl core::error::Error for LogProveError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Impossible(source) => Some(source),
            Self::TooFewLeaves { .. } => None,
        }
    }
}

/// Why bytes are no proof, or no frontier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogDecodeError {
    /// The bytes end inside a field.
    Truncated {
        /// Where the missing field starts.
        at: usize,
    },
    /// The first byte names another kind, or another form.
    OtherKind {
        /// The kind that was to be read.
        expected: u8,
        /// What it names.
        got: u8,
    },
    /// No log has such numbers.
    Impossible(LogProofError),
    /// Bytes follow the last hash.
    TrailingBytes {
        /// How many.
        count: usize,
    },
}

impl fmt::Display for LogDecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { at } => write!(f, "the bytes end inside the field at {at}"),
            Self::OtherKind { expected, got } => {
                write!(f, "the bytes are of kind {got}, not {expected}")
            }
            Self::Impossible(_) => f.write_str("no log has such numbers"),
            Self::TrailingBytes { count } => write!(f, "{count} bytes follow the last hash"),
        }
    }
}

impl core::error::Error for LogDecodeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Impossible(source) => Some(source),
            Self::Truncated { .. } | Self::OtherKind { .. } | Self::TrailingBytes { .. } => None,
        }
    }
}

/// A log has at most `u32::MAX` leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogFull;

impl fmt::Display for LogFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the log has {} leaves and takes no more", u32::MAX)
    }
}

impl core::error::Error for LogFull {}

/// A text is not the root of a log. Says why: the hex crate's errors are no sources without `std`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotALogRoot(pub(super) HexToArrayError);

impl fmt::Display for NotALogRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a log's root is 64 hexadecimal digits: {}", self.0)
    }
}

impl core::error::Error for NotALogRoot {}

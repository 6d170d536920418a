//! What can be wrong with a log.

use core::fmt;
use std::io;

/// What is wrong with a record.
///
/// See [`detect_tampering`](super::detect_tampering) for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// It does not have a record's form.
    NotARecord,
    /// Its hash is not that of its content.
    WrongHash,
    /// It has another index than its place.
    WrongIndex {
        /// The index of its place.
        expected: u64,
    },
    /// It does not continue the record before it.
    WrongPrevious,
    /// It does not continue its trace.
    WrongTracePrevious,
    /// A segment's first record names another tree than that of the records before it.
    WrongTree,
    /// The last record has no end: what a crash leaves behind.
    Torn,
    /// Records are missing at the end.
    Cut {
        /// So many there were, by a checkpoint.
        size: u64,
    },
    /// From here on, or later, other records stand here than when the checkpoint was made.
    OtherHistory {
        /// So many records there were at the checkpoint.
        size: u64,
    },
    /// The file of a segment does not begin with that segment's first record.
    WrongSegment,
    /// A compressed segment has another hash than its seal says.
    WrongSeal,
    /// No record seals this compressed segment.
    NotSealed,
    /// The file cannot be decompressed.
    Undecodable,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARecord => f.write_str("not a record"),
            Self::WrongHash => f.write_str("the hash is not that of the content"),
            Self::WrongIndex { expected } => write!(f, "another index than {expected}"),
            Self::WrongPrevious => f.write_str("does not continue the record before it"),
            Self::WrongTracePrevious => f.write_str("does not continue its trace"),
            Self::WrongTree => f.write_str("names another tree than that of the records before"),
            Self::Torn => f.write_str("has no end"),
            Self::Cut { size } => write!(f, "missing: a checkpoint says that there were {size}"),
            Self::OtherHistory { size } => {
                write!(f, "from here on another history than in the checkpoint of {size} records")
            }
            Self::WrongSegment => f.write_str("not the first record of the file's segment"),
            Self::WrongSeal => f.write_str("the file's hash is not the one in its seal"),
            Self::NotSealed => f.write_str("a compressed segment that no record seals"),
            Self::Undecodable => f.write_str("the file cannot be decompressed"),
        }
    }
}

/// The first record that is wrong.
///
/// See [`detect_tampering`](super::detect_tampering) for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tampering {
    /// Its index in the log; all before it are right.
    pub index: u64,
    /// What is wrong with it.
    pub what: Damage,
}

impl fmt::Display for Tampering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}: {}", self.index, self.what)
    }
}

impl core::error::Error for Tampering {}

/// Why a log was not found right.
///
/// See [`verify_chain`](super::verify_chain) for an example.
#[derive(Debug)]
#[non_exhaustive]
pub enum VerifyError {
    /// It is wrong.
    Tampered(Tampering),
    /// It could not be read.
    Io(io::Error),
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tampered(tampering) => tampering.fmt(f),
            Self::Io(error) => write!(f, "the log cannot be read: {error}"),
        }
    }
}

impl core::error::Error for VerifyError {}

impl From<io::Error> for VerifyError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Tampering> for VerifyError {
    fn from(tampering: Tampering) -> Self {
        Self::Tampered(tampering)
    }
}

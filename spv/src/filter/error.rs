//! Why bytes are no filter.

use core::fmt;

use super::Filter;

/// Why bytes are no filter. They are a peer's, and so is the blame: no honest node makes such bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterError {
    /// The bytes end inside the number of elements.
    CountTruncated {
        /// How many bytes there are.
        size: usize,
    },
    /// The number of elements is not in its shortest form.
    CountNotCanonical {
        /// What it says.
        count: u64,
    },
    /// More elements than a block can have scripts.
    TooManyElements {
        /// What the filter claims.
        count: u64,
    },
    /// Fewer bytes than so many elements take.
    TooShort {
        /// How many elements the filter claims.
        count: u32,
        /// How many bytes there are.
        size: usize,
        /// How many there must be at least.
        least: usize,
    },
    /// More bytes than so many elements can take.
    TooLong {
        /// How many elements the filter claims.
        count: u32,
        /// How many bytes there are.
        size: usize,
        /// How many there may be at most.
        most: usize,
    },
    /// The bits end inside an element.
    Truncated {
        /// The element, from 0.
        element: u32,
        /// The bit at which it starts, from the first bit of the filter.
        bit: usize,
    },
    /// An element beyond the range that hashes are mapped to. Elements are written as differences from the one before,
    /// so that they cannot be out of order in another way.
    OutOfRange {
        /// The element, from 0.
        element: u32,
        /// The bit at which it starts, from the first bit of the filter.
        bit: usize,
        /// Its value.
        value: u64,
        /// What it must be below.
        range: u64,
    },
    /// Something follows the last element: whole bytes, or padding that is not zero.
    Leftover {
        /// The bit at which the elements end, from the first bit of the filter.
        bit: usize,
        /// How many bits follow.
        bits: usize,
    },
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CountTruncated { size } => {
                write!(f, "a filter of {size} bytes ends inside its number of elements")
            }
            Self::CountNotCanonical { count } => {
                write!(f, "the number of elements, {count}, is not in its shortest form")
            }
            Self::TooManyElements { count } => {
                write!(f, "{count} elements, at most {} fit a block", Filter::MAX_ELEMENTS)
            }
            Self::TooShort { count, size, least } => {
                write!(f, "{size} bytes for {count} elements, which take at least {least}")
            }
            Self::TooLong { count, size, most } => {
                write!(f, "{size} bytes for {count} elements, which take at most {most}")
            }
            Self::Truncated { element, bit } => {
                write!(f, "the filter ends inside element {element}, which starts at bit {bit}")
            }
            Self::OutOfRange { element, bit, value, range } => {
                write!(f, "element {element} at bit {bit} is {value}, it must be below {range}")
            }
            Self::Leftover { bit, bits } => {
                write!(f, "{bits} bits that are not padding follow the last element at bit {bit}")
            }
        }
    }
}

impl core::error::Error for FilterError {}

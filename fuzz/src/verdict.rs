//! What must hold of every error.

use ironlight::net::wire::{DecodeError, Problem};
use ironlight_spv::compress::CodecError;

/// An error names a place in the input of so many bytes, and its figures fit that place.
///
/// # Panics
/// When they do not.
pub fn names_its_place(error: &DecodeError, length: usize) {
    let DecodeError { at, problem } = *error;
    assert!(at <= length, "place {at} of {length} bytes: {error}");
    match problem {
        Problem::Short { needed, left } => {
            assert_eq!(at + left, length, "{error}");
            assert!(needed > left, "{error}");
        }
        Problem::Trailing { left } => {
            assert_eq!(at + left, length, "{error}");
            assert!(left > 0, "{error}");
        }
        Problem::TooMany { count, max } => assert!(count > u64::from(max), "{error}"),
        Problem::Segment(CodecError::Truncated { at: inner }) => {
            assert!(at + inner <= length, "{error}");
        }
        Problem::Segment(CodecError::TrailingBytes { count }) => {
            assert!(count > 0 && at + count < length, "{error}");
        }
        Problem::NonCanonicalCount
        | Problem::TransactionsAfterHeader
        | Problem::AddressLength { .. }
        | Problem::Unknown { .. }
        | Problem::ExtensionOrder { .. }
        | Problem::ExtensionLength { .. }
        | Problem::ExtensionRequired { .. }
        | Problem::Segment(_)
        | _ => assert!(at < length, "{error} at the end of {length} bytes"),
    }
}

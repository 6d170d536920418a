//! Records of our own that may change shape with a migration: bincode with serde.
//!
//! bincode is unmaintained (RUSTSEC-2025-0141) and its 3.0.0 is a compile error on purpose, so
//! 2.0.1 stays behind these two functions. It is for bytes that this node wrote itself and that
//! passed their checksum; never for what a peer sent, nor for hash preimages, nor for formats that
//! other programs read: those are written by hand.
//!
//! Invariant: a record takes at most [`MAX_RECORD_BYTES`], and is decoded from all of its bytes or
//! not at all, so that a longer record of a later version is never read as a shorter one.

use bincode::config::{self, Configuration, Limit, LittleEndian, Varint};
use bincode::error::{DecodeError, EncodeError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// The longest record. Decoding claims no more memory than this, whatever lengths the bytes state.
pub const MAX_RECORD_BYTES: usize = 64 * 1024;

/// Why a record could not be encoded or decoded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The value has no encoding.
    #[error("a record cannot be encoded: this is a bug, report it")]
    Encode(#[source] EncodeError),
    /// The bytes are not a record of this type.
    #[error("a record of {bytes} bytes cannot be decoded: run `ironlight store check`")]
    Decode {
        /// How many bytes there were.
        bytes: usize,
        /// What bincode found.
        source: DecodeError,
    },
    /// Bytes are left after the record.
    #[error("a record of {bytes} bytes ends after {used}: run `ironlight store check`")]
    Trailing {
        /// How many bytes there were.
        bytes: usize,
        /// How many belong to the record.
        used: usize,
    },
    /// The record is over the limit.
    #[error(
        "a record has {bytes} bytes, at most {MAX_RECORD_BYTES} are stored: this is a bug, report it"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

const fn configuration() -> Configuration<LittleEndian, Varint, Limit<MAX_RECORD_BYTES>> {
    config::standard().with_limit::<MAX_RECORD_BYTES>()
}

/// The bytes of a record.
///
/// # Errors
/// If its serde implementation fails, or it is over [`MAX_RECORD_BYTES`].
pub fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, RecordError> {
    let bytes =
        bincode::serde::encode_to_vec(record, configuration()).map_err(RecordError::Encode)?;
    if bytes.len() > MAX_RECORD_BYTES {
        return Err(RecordError::TooLarge { bytes: bytes.len() });
    }
    Ok(bytes)
}

/// The record in the bytes.
///
/// # Errors
/// If the bytes are not exactly one record of this type, or more than [`MAX_RECORD_BYTES`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RecordError> {
    if bytes.len() > MAX_RECORD_BYTES {
        return Err(RecordError::TooLarge { bytes: bytes.len() });
    }
    let (record, used) = bincode::serde::decode_from_slice(bytes, configuration())
        .map_err(|source| RecordError::Decode { bytes: bytes.len(), source })?;
    if used != bytes.len() {
        return Err(RecordError::Trailing { bytes: bytes.len(), used });
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Address {
        host: String,
        port: u16,
        seen: Option<u32>,
    }

    fn address() -> Address {
        Address { host: "peer.example".into(), port: 8333, seen: Some(1_700_000_000) }
    }

    #[test]
    fn record_is_read_back() {
        let bytes = encode(&address()).unwrap();
        assert_eq!(decode::<Address>(&bytes).unwrap(), address());
    }

    #[test]
    fn trailing_and_missing_bytes_are_refused() {
        let mut bytes = encode(&address()).unwrap();
        let whole = bytes.len();
        bytes.push(0);
        let error = decode::<Address>(&bytes).unwrap_err();
        assert!(matches!(error, RecordError::Trailing { used, .. } if used == whole));
        for length in 0..whole {
            let error = decode::<Address>(&bytes[..length]).unwrap_err();
            assert!(matches!(error, RecordError::Decode { .. }), "{length}");
        }
    }

    #[test]
    fn stated_length_beyond_the_limit_claims_no_memory() {
        // A byte string that claims 2^62 bytes.
        let mut bytes = vec![253];
        bytes.extend_from_slice(&(1_u64 << 62).to_le_bytes());
        assert!(matches!(decode::<Vec<u8>>(&bytes), Err(RecordError::Decode { .. })));
    }

    #[test]
    fn record_over_the_limit_is_refused_both_ways() {
        let long = vec![1_u8; MAX_RECORD_BYTES];
        assert!(matches!(encode(&long), Err(RecordError::TooLarge { .. })));
        let bytes = [long.as_slice(), &[1]].concat();
        assert!(matches!(decode::<Vec<u8>>(&bytes), Err(RecordError::TooLarge { .. })));
    }
}

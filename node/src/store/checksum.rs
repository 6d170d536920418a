//! The frame around every stored value: the payload, then 8 bytes of checksum.
//!
//! The checksum covers the place (table and key) as well as the payload, so that a valid value at
//! the wrong place is found too. It finds accidents (bad memory, bad disks, bugs of a backend). It
//! is no defence against someone who can write to the disk: the key is public.
//!
//! Free functions, used by the schema for each row: see the [module above](super) for why they are
//! not inside the backends.
//!
//! ```
//! # use ironlight::store::{Table, checksum};
//! let stored = checksum::seal(Table::Meta, b"tip", b"payload");
//! assert_eq!(checksum::open(Table::Meta, b"tip", &stored), Ok(&b"payload"[..]));
//! assert!(checksum::open(Table::Meta, b"top", &stored).is_err());
//! ```

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::Table;
use super::error::hex;

/// How many bytes the frame adds.
pub const CHECKSUM_BYTES: usize = 8;

/// A stored value that is not what was stored there.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the {table} row {} is damaged: {what}", hex(key))]
pub struct Damage {
    /// The table.
    pub table: Table,
    /// The key.
    pub key: Vec<u8>,
    /// What is wrong.
    pub what: Fault,
}

/// What is wrong with a stored value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// Too short to hold a checksum.
    #[error("it has {bytes} bytes, fewer than its checksum")]
    TooShort {
        /// How many there are.
        bytes: usize,
    },
    /// The checksum is that of other bytes or another place.
    #[error("its checksum is {stored:016x}, its bytes give {computed:016x}")]
    Mismatch {
        /// The checksum in the frame, as a big-endian number.
        stored: u64,
        /// The checksum of what is there.
        computed: u64,
    },
}

/// The first 8 bytes of SHA-256 over table id, key length, key and payload.
fn checksum(table: Table, key: &[u8], payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hash = Sha256::new();
    hash.update([table.id()]);
    // The length keeps the border between key and payload where it was. Keys have 512 bytes at
    // most, so the fallback is never taken.
    hash.update(u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
    hash.update(key);
    hash.update(payload);
    let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = hash.finalize().into();
    [a, b, c, d, e, f, g, h]
}

/// Frames a payload for its place.
#[must_use]
pub fn seal(table: Table, key: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(payload.len().saturating_add(CHECKSUM_BYTES));
    stored.extend_from_slice(payload);
    stored.extend_from_slice(&checksum(table, key, payload));
    stored
}

/// Checks the frame and gives back the payload.
///
/// # Errors
/// If this is not what [`seal`] made for this table and key.
pub fn open<'a>(table: Table, key: &[u8], stored: &'a [u8]) -> Result<&'a [u8], Damage> {
    let damage = |what| Damage { table, key: key.to_vec(), what };
    let Some((payload, found)) = stored.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Err(damage(Fault::TooShort { bytes: stored.len() }));
    };
    let computed = checksum(table, key, payload);
    if *found == computed {
        return Ok(payload);
    }
    Err(damage(Fault::Mismatch {
        stored: u64::from_be_bytes(*found),
        computed: u64::from_be_bytes(computed),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_is_the_documented_one() {
        // The test vector of docs/STORE_FORMAT.md.
        let stored = seal(Table::Meta, b"format", &[1, 0, 0, 0]);
        assert_eq!(hex(&stored), "01000000c1241f7b904fb16b");
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let sealed = seal(Table::Headers, &[7], b"some payload");
        assert_eq!(open(Table::Headers, &[7], &sealed), Ok(&b"some payload"[..]));
        for bit in 0..sealed.len() * 8 {
            let mut stored = sealed.clone();
            stored[bit / 8] ^= 1 << (bit % 8);
            assert!(open(Table::Headers, &[7], &stored).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn value_at_the_wrong_place_is_found() {
        let stored = seal(Table::Headers, b"ab", b"c");
        assert!(open(Table::Peers, b"ab", &stored).is_err());
        assert!(open(Table::Headers, b"ac", &stored).is_err());
        // The border between key and payload counts.
        let shifted = [&b"bc"[..], &stored[1..]].concat();
        assert!(open(Table::Headers, b"a", &shifted).is_err());
    }

    #[test]
    fn damage_names_table_key_and_fault() {
        let error = open(Table::Peers, &[0xab, 1], b"short").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the peers row ab01 is damaged: it has 5 bytes, fewer than its checksum"
        );
    }
}

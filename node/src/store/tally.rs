//! A count and a sum over all rows, committed with them: how the sled backend notices lost rows.
//!
//! sled takes a damaged message in the middle of its log for the log's end and opens without the
//! rows behind it, or with old ones, and says nothing. A checksum in each value cannot find a row
//! that is not there; this can. It also counts commits: a file beside the log keeps that number too,
//! so that a log which went back to an earlier commit is noticed.

use sha2::{Digest, Sha256};

/// How many commits there were, how many rows there are, and the wrapping sum of their hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) commits: u64,
    pub(crate) rows: u64,
    sum: u64,
}

impl Tally {
    /// No rows, after so many commits.
    pub(crate) fn after(commits: u64) -> Self {
        Tally { commits, rows: 0, sum: 0 }
    }

    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.rows = self.rows.wrapping_add(1);
        self.sum = self.sum.wrapping_add(row_hash(key, value));
    }

    pub(crate) fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.rows = self.rows.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(row_hash(key, value));
    }

    /// Three numbers of 8 bytes, little-endian.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        [self.commits, self.rows, self.sum].map(u64::to_le_bytes).concat()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (commits, rest) = bytes.split_first_chunk::<8>()?;
        let (rows, sum) = rest.split_first_chunk::<8>()?;
        let sum: [u8; 8] = sum.try_into().ok()?;
        Some(Tally {
            commits: u64::from_le_bytes(*commits),
            rows: u64::from_le_bytes(*rows),
            sum: u64::from_le_bytes(sum),
        })
    }
}

/// The first 8 bytes of SHA-256 over key length, key and value, as a little-endian number.
fn row_hash(key: &[u8], value: &[u8]) -> u64 {
    let mut hash = Sha256::new();
    hash.update(u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
    hash.update(key);
    hash.update(value);
    let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = hash.finalize().into();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_changes_does_not_matter() {
        let (mut one, mut two) = (Tally::default(), Tally::default());
        one.add(b"a", b"1");
        one.add(b"b", b"2");
        two.add(b"b", b"old");
        two.add(b"a", b"1");
        assert_ne!(one, two);
        two.remove(b"b", b"old");
        two.add(b"b", b"2");
        assert_eq!(one, two);
    }

    #[test]
    fn border_between_key_and_value_counts() {
        let (mut one, mut two) = (Tally::default(), Tally::default());
        one.add(b"ab", b"c");
        two.add(b"a", b"bc");
        assert_ne!(one, two);
    }

    #[test]
    fn bytes_are_read_back() {
        let mut tally = Tally { commits: 7, ..Tally::default() };
        tally.add(b"a", b"1");
        assert_eq!(Tally::from_bytes(&tally.to_bytes()), Some(tally));
        assert_eq!(Tally::from_bytes(&[0; 23]), None);
        assert_eq!(Tally::from_bytes(&[0; 25]), None);
    }
}

//! The blocks protocol: a block with its witnesses.
//!
//! ```text
//! request  = hash 32
//! response = length u32 | block
//! ```
//! The length tells a block that does not parse from one whose end is missing: nobody is blamed for
//! the second.

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use ironlight_spv::Header;

use crate::net::wire::{Cursor, DecodeError, Problem};

/// The longest block, in bytes: each weighs at least one of 4,000,000 (BIP141, Block size).
pub const MAX_BLOCK: usize = 4_000_000;

/// A request for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockRequest {
    /// Which.
    pub hash: BlockHash,
}

impl BlockRequest {
    /// The body of the request.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.hash.to_byte_array().to_vec()
    }

    /// Reads the body of a request to its end.
    ///
    /// # Errors
    /// [`DecodeError`]
    pub fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let hash = cursor.array().map(BlockHash::from_byte_array)?;
        cursor.end()?;
        Ok(Self { hash })
    }
}

/// What stands before a block in the body of a response.
#[must_use]
pub fn block_head(block: &[u8]) -> [u8; 4] {
    u32::try_from(block.len()).unwrap_or(u32::MAX).to_le_bytes()
}

/// Reads the body of a response to its end: a block whose header has the hash. Whether what follows
/// the header belongs to it is decided elsewhere.
///
/// # Errors
/// [`DecodeError`]
pub fn decode_block(cursor: &mut Cursor<'_>, hash: &BlockHash) -> Result<Vec<u8>, DecodeError> {
    let place = cursor.clone();
    let got = cursor.u32()?;
    let length = usize::try_from(got).unwrap_or(usize::MAX);
    if !(Header::SIZE..=MAX_BLOCK).contains(&length) {
        return Err(place.error(Problem::Unknown { field: "length of a block", got }));
    }
    let place = cursor.clone();
    let block = cursor.take(length)?;
    cursor.end()?;
    begins_with(&place, block, hash)?;
    Ok(block.to_vec())
}

/// Whether bytes begin with the header that has the hash.
pub(super) fn begins_with(
    place: &Cursor<'_>,
    bytes: &[u8],
    hash: &BlockHash,
) -> Result<(), DecodeError> {
    let header = Header::from_bytes(Cursor::new(bytes).array()?);
    if header.hash() == *hash { Ok(()) } else { Err(place.error(Problem::OtherBlock)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::swarm::wire::{MAX_BLOCK_RESPONSE, MAX_EXTENSIONS};
    use ironlight_spv::{Network, Params};

    fn genesis() -> (BlockHash, Vec<u8>) {
        let block = bitcoin::constants::genesis_block(bitcoin::Network::Regtest);
        let hash = Params::new(Network::Regtest).genesis.hash();
        (hash, bitcoin::consensus::serialize(&block))
    }

    #[test]
    fn a_request_is_a_hash_and_nothing_else() {
        let request = BlockRequest { hash: genesis().0 };
        let bytes = request.encode();
        assert_eq!(BlockRequest::decode(&mut Cursor::new(&bytes)), Ok(request));
        assert!(BlockRequest::decode(&mut Cursor::new(&bytes[1..])).is_err());
        assert!(BlockRequest::decode(&mut Cursor::new(&[0; 33])).is_err());
    }

    #[test]
    fn a_block_makes_the_round_trip_and_another_one_is_refused() {
        let (hash, block) = genesis();
        let bytes = [&block_head(&block)[..], &block].concat();
        assert_eq!(decode_block(&mut Cursor::new(&bytes), &hash), Ok(block));
        let other = BlockHash::all_zeros();
        let refused = decode_block(&mut Cursor::new(&bytes), &other).unwrap_err();
        assert_eq!(refused, DecodeError { at: 4, problem: Problem::OtherBlock });
        let longer = [&bytes[..], &[0]].concat();
        let refused = decode_block(&mut Cursor::new(&longer), &hash).unwrap_err();
        assert_eq!(refused.problem, Problem::Trailing { left: 1 });
    }

    #[test]
    fn a_block_that_was_cut_off_is_told_from_one_of_a_length_that_cannot_be() {
        let (hash, block) = genesis();
        let bytes = [&block_head(&block)[..], &block].concat();
        for length in 0..bytes.len() {
            let cut = decode_block(&mut Cursor::new(&bytes[..length]), &hash).unwrap_err();
            assert!(matches!(cut.problem, Problem::Short { .. }), "{length}");
        }
        for length in [79, 4_000_001_u32] {
            let head = length.to_le_bytes();
            let refused = decode_block(&mut Cursor::new(&head), &hash).unwrap_err();
            assert!(matches!(refused.problem, Problem::Unknown { .. }), "{length}");
        }
        assert!(MAX_BLOCK + 8 + usize::from(MAX_EXTENSIONS) <= MAX_BLOCK_RESPONSE);
    }
}

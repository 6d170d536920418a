//! The proofs protocol: that transactions are in a block.
//!
//! ```text
//! request  = block 32 | count u8 | txid 32 ...        txids ascend, byte by byte
//! response = a merkleblock (BIP37): header 80 | transactions u32 | count | hash 32 ...
//!                                 | length | flags    count and length in compact size
//! ```

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, Txid};
use ironlight_spv::Header;

use super::blocks::begins_with;
use crate::net::wire::{Cursor, DecodeError, Problem};

/// Transactions in a request at most.
pub const MAX_PROOF_TXIDS: usize = 100;
/// The longest proof, in bytes. A block has at most 16,666 transactions of at least 60 bytes, so a
/// hundred of them lie at a depth of 15 and take 1,500 hashes at most.
pub const MAX_PROOF: usize = 64_000;

/// A request for a proof.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProofRequest {
    /// The block.
    pub block: BlockHash,
    /// The transactions, ascending, from one to [`MAX_PROOF_TXIDS`].
    pub txids: Vec<Txid>,
}

impl ProofRequest {
    /// The body of the request. The transactions are cut after [`MAX_PROOF_TXIDS`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let count = self.txids.len().min(MAX_PROOF_TXIDS);
        let mut bytes = self.block.to_byte_array().to_vec();
        bytes.push(u8::try_from(count).unwrap_or(u8::MAX));
        bytes.extend(self.txids.iter().take(count).flat_map(|txid| txid.to_byte_array()));
        bytes
    }

    /// Reads the body of a request to its end.
    ///
    /// # Errors
    /// [`DecodeError`]
    pub fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let block = cursor.array().map(BlockHash::from_byte_array)?;
        let place = cursor.clone();
        let count = cursor.u8()?;
        if count == 0 {
            return Err(place.error(Problem::Unknown { field: "number of transactions", got: 0 }));
        }
        if usize::from(count) > MAX_PROOF_TXIDS {
            let max = u32::try_from(MAX_PROOF_TXIDS).unwrap_or(u32::MAX);
            return Err(place.error(Problem::TooMany { count: u64::from(count), max }));
        }
        let mut txids = Vec::new();
        for _ in 0..count {
            let place = cursor.clone();
            let txid = Txid::from_byte_array(cursor.array()?);
            if txids.last().is_some_and(|last: &Txid| last.as_byte_array() >= txid.as_byte_array())
            {
                return Err(place.error(Problem::Order));
            }
            txids.push(txid);
        }
        cursor.end()?;
        Ok(Self { block, txids })
    }
}

/// Reads the body of a response to its end: a merkleblock whose header has the hash. What it proves
/// is decided elsewhere.
///
/// # Errors
/// [`DecodeError`]
pub fn decode_proof(cursor: &mut Cursor<'_>, block: &BlockHash) -> Result<Vec<u8>, DecodeError> {
    let place = cursor.clone();
    let max = u32::try_from(MAX_PROOF).unwrap_or(u32::MAX);
    if cursor.left() > MAX_PROOF {
        let count = u64::try_from(cursor.left()).unwrap_or(u64::MAX);
        return Err(place.error(Problem::TooMany { count, max }));
    }
    let whole = cursor.clone().take(cursor.left())?;
    cursor.take(Header::SIZE)?;
    cursor.u32()?;
    let hashes = cursor.count(max / 32)?;
    cursor.take(hashes.saturating_mul(32))?;
    let flags = cursor.count(max)?;
    cursor.take(flags)?;
    cursor.end()?;
    begins_with(&place, whole, block)?;
    Ok(whole.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::swarm::wire::{MAX_EXTENSIONS, MAX_PROOF_RESPONSE, MAX_REQUEST};
    use bitcoin::MerkleBlock;

    fn txid(first: u8) -> Txid {
        Txid::from_byte_array([first; 32])
    }

    fn request(count: u8) -> ProofRequest {
        let txids = (0..count).map(txid).collect();
        ProofRequest { block: BlockHash::from_byte_array([9; 32]), txids }
    }

    #[test]
    fn requests_make_the_round_trip_and_fit() {
        for count in [1, 2, 100] {
            let request = request(count);
            let bytes = request.encode();
            assert!(bytes.len() + 3 + usize::from(MAX_EXTENSIONS) <= MAX_REQUEST);
            assert_eq!(ProofRequest::decode(&mut Cursor::new(&bytes)), Ok(request));
            assert!(ProofRequest::decode(&mut Cursor::new(&bytes[..bytes.len() - 1])).is_err());
            let longer = [&bytes[..], &[0]].concat();
            assert!(ProofRequest::decode(&mut Cursor::new(&longer)).is_err());
        }
    }

    #[test]
    fn requests_for_nothing_for_too_much_or_for_the_same_twice_are_refused() {
        let refused = |bytes: &[u8]| ProofRequest::decode(&mut Cursor::new(bytes)).unwrap_err();
        let nothing = refused(&request(0).encode());
        assert!(matches!(nothing.problem, Problem::Unknown { got: 0, .. }));
        let too_many = refused(&[&[9; 32][..], &[101], &[0; 101 * 32]].concat());
        assert_eq!(too_many.problem, Problem::TooMany { count: 101, max: 100 });
        for txids in [vec![txid(1), txid(1)], vec![txid(2), txid(1)]] {
            let error = refused(&ProofRequest { txids, ..request(0) }.encode());
            assert_eq!(error, DecodeError { at: 65, problem: Problem::Order });
        }
    }

    #[test]
    fn a_merkleblock_makes_the_round_trip_and_another_block_s_is_refused() {
        let block = bitcoin::constants::genesis_block(bitcoin::Network::Regtest);
        let proof = MerkleBlock::from_block_with_predicate(&block, |_| true);
        let bytes = bitcoin::consensus::serialize(&proof);
        let hash = block.block_hash();
        assert_eq!(decode_proof(&mut Cursor::new(&bytes), &hash), Ok(bytes.clone()));
        let refused = decode_proof(&mut Cursor::new(&bytes), &BlockHash::all_zeros()).unwrap_err();
        assert_eq!(refused.problem, Problem::OtherBlock);
        for length in 0..bytes.len() {
            let cut = decode_proof(&mut Cursor::new(&bytes[..length]), &hash).unwrap_err();
            assert!(matches!(cut.problem, Problem::Short { .. }), "{length}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(decode_proof(&mut Cursor::new(&longer), &hash).is_err());
    }

    #[test]
    fn the_longest_proof_fits_into_a_response() {
        // All the way up from each of a hundred leaves, and three flags a hash.
        let hashes = MAX_PROOF_TXIDS * 15;
        assert!(80 + 4 + 3 + hashes * 32 + 3 + hashes * 3 / 8 <= MAX_PROOF);
        assert!(MAX_PROOF + 4 + usize::from(MAX_EXTENSIONS) <= MAX_PROOF_RESPONSE);
    }
}

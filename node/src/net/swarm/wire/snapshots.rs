//! The snapshots protocol: which difficulty periods a peer has, and one of them.
//!
//! ```text
//! request  = 0x00 | from u32                  the addresses of whole periods from this one on
//!          | 0x01 | period u32 | hash 32      that period
//! response = first u32 | hash 32 ...          to 0x00
//!          | packed length u32 | small length u32 | packed | large | checksum 8    to 0x01
//! ```
//! A period is that of a header snapshot, heights 2016 n to 2016 n + 2015, and its address the hash of
//! its last block. The second response is a snapshot's frame. Here is its structure only: sizes, bounds
//! and what is left over. What is packed in it is for whoever has zstd.

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use ironlight_spv::compress::snapshot::{
    FRAME_HEAD_SIZE, FRAME_HEADERS, FrameHead, SnapshotError, period_heights,
};

use crate::net::wire::{Cursor, DecodeError, Problem};

/// Addresses in an offer at most: 32 million headers.
pub const MAX_OFFERED: usize = 16_000;
/// The last period whose heights all have one above them.
pub const LAST_PERIOD: u32 = u32::MAX / FRAME_HEADERS - 1;

const OFFER: u8 = 0;
const CHUNK: u8 = 1;

/// A request for what a peer has of snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SnapshotsRequest {
    /// The addresses of the whole periods of its best chain.
    Offer {
        /// The first period.
        from: u32,
    },
    /// The headers of a period.
    Chunk {
        /// Which, counted from 0.
        period: u32,
        /// Its address.
        hash: BlockHash,
    },
}

impl SnapshotsRequest {
    /// The body of the request.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Offer { from } => [&[OFFER][..], &from.to_le_bytes()].concat(),
            Self::Chunk { period, hash } => {
                [&[CHUNK][..], &period.to_le_bytes(), hash.as_byte_array()].concat()
            }
        }
    }

    /// Reads the body of a request to its end.
    ///
    /// # Errors
    /// [`DecodeError`]
    pub fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let place = cursor.clone();
        let request = match cursor.u8()? {
            OFFER => Self::Offer { from: period(cursor)? },
            CHUNK => {
                let period = period(cursor)?;
                Self::Chunk { period, hash: cursor.array().map(BlockHash::from_byte_array)? }
            }
            other => {
                let problem = Problem::Unknown { field: "way to ask", got: u32::from(other) };
                return Err(place.error(problem));
            }
        };
        cursor.end()?;
        Ok(request)
    }
}

fn period(cursor: &mut Cursor<'_>) -> Result<u32, DecodeError> {
    let place = cursor.clone();
    match cursor.u32()? {
        period if period <= LAST_PERIOD => Ok(period),
        got => Err(place.error(Problem::Unknown { field: "period", got })),
    }
}

/// The periods that a peer says it has, which follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotOffer {
    /// The first of them, or the one that would be.
    pub first: u32,
    /// Their addresses: the hash of each one's last block.
    pub addresses: Vec<BlockHash>,
}

impl SnapshotOffer {
    /// The body of a response. Addresses after [`MAX_OFFERED`] are left out.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.first.to_le_bytes().to_vec();
        for address in self.addresses.iter().take(MAX_OFFERED) {
            bytes.extend_from_slice(address.as_byte_array());
        }
        bytes
    }

    /// Reads the body of a response to its end. It begins with the period that was asked for, or later.
    ///
    /// # Errors
    /// [`DecodeError`]
    pub fn decode(cursor: &mut Cursor<'_>, from: u32) -> Result<Self, DecodeError> {
        let place = cursor.clone();
        let first = period(cursor)?;
        if first < from {
            return Err(place.error(Problem::Order));
        }
        let place = cursor.clone();
        let count = cursor.left() / 32;
        if count > MAX_OFFERED {
            let max = u32::try_from(MAX_OFFERED).unwrap_or(u32::MAX);
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            return Err(place.error(Problem::TooMany { count, max }));
        }
        let mut addresses = Vec::with_capacity(count);
        while cursor.left() > 0 {
            addresses.push(cursor.array().map(BlockHash::from_byte_array)?);
        }
        Ok(Self { first, addresses })
    }
}

/// Reads the body of a response to its end: the frame of a whole period, with sizes within their
/// bounds. Whether it unpacks, and to what, is decided elsewhere.
///
/// # Errors
/// [`DecodeError`]
pub fn decode_chunk(cursor: &mut Cursor<'_>, period: u32) -> Result<Vec<u8>, DecodeError> {
    let place = cursor.clone();
    let sizes: [u8; FRAME_HEAD_SIZE] = cursor.array()?;
    let first = period_heights(period).start;
    let head = FrameHead::decode(sizes, first, FRAME_HEADERS).map_err(|error| {
        let got = if let SnapshotError::TooLarge { bytes, .. } = error { bytes } else { u32::MAX };
        place.error(Problem::Unknown { field: "size of a frame's part", got })
    })?;
    let rest = cursor.take(head.frame_size(FRAME_HEADERS) - FRAME_HEAD_SIZE)?;
    cursor.end()?;
    Ok([&sizes, rest].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::swarm::wire::{MAX_EXTENSIONS, MAX_RESPONSE};

    fn hash(byte: u8) -> BlockHash {
        BlockHash::from_byte_array([byte; 32])
    }

    #[test]
    fn requests_make_the_round_trip_and_nothing_may_follow() {
        for request in [
            SnapshotsRequest::Offer { from: 0 },
            SnapshotsRequest::Offer { from: LAST_PERIOD },
            SnapshotsRequest::Chunk { period: 7, hash: hash(1) },
        ] {
            let bytes = request.encode();
            assert_eq!(SnapshotsRequest::decode(&mut Cursor::new(&bytes)), Ok(request));
            for length in 0..bytes.len() {
                assert!(SnapshotsRequest::decode(&mut Cursor::new(&bytes[..length])).is_err());
            }
            let longer = [&bytes[..], &[0]].concat();
            let error = SnapshotsRequest::decode(&mut Cursor::new(&longer)).unwrap_err();
            assert_eq!(error.problem, Problem::Trailing { left: 1 });
        }
    }

    #[test]
    fn a_period_that_cannot_be_and_an_unknown_way_to_ask_are_refused() {
        let beyond = SnapshotsRequest::Offer { from: LAST_PERIOD + 1 }.encode();
        for bytes in [&beyond[..], &[2, 0, 0, 0, 0]] {
            let error = SnapshotsRequest::decode(&mut Cursor::new(bytes)).unwrap_err();
            assert!(matches!(error.problem, Problem::Unknown { .. }));
        }
        assert!((LAST_PERIOD + 1).checked_mul(FRAME_HEADERS).is_some_and(|end| end < u32::MAX));
    }

    #[test]
    fn an_offer_begins_where_it_was_asked_for_or_later() {
        let offer = SnapshotOffer { first: 3, addresses: vec![hash(1), hash(2)] };
        let bytes = offer.encode();
        for from in [0, 3] {
            assert_eq!(SnapshotOffer::decode(&mut Cursor::new(&bytes), from), Ok(offer.clone()));
        }
        let early = SnapshotOffer::decode(&mut Cursor::new(&bytes), 4).unwrap_err();
        assert_eq!(early, DecodeError { at: 0, problem: Problem::Order });
        let cut = SnapshotOffer::decode(&mut Cursor::new(&bytes[..40]), 3).unwrap_err();
        assert!(matches!(cut.problem, Problem::Short { .. }));
        let none = SnapshotOffer { first: 3, addresses: Vec::new() };
        assert_eq!(SnapshotOffer::decode(&mut Cursor::new(&none.encode()), 3), Ok(none));
    }

    #[test]
    fn the_longest_offer_fits_into_a_response_and_a_longer_one_is_refused() {
        let offer = SnapshotOffer { first: 0, addresses: vec![hash(1); MAX_OFFERED + 1] };
        let bytes = offer.encode();
        assert!(bytes.len() + 4 + usize::from(MAX_EXTENSIONS) <= MAX_RESPONSE);
        let read = SnapshotOffer::decode(&mut Cursor::new(&bytes), 0).unwrap();
        assert_eq!(read.addresses.len(), MAX_OFFERED);
        let longer = [&bytes[..], &[0; 32]].concat();
        let error = SnapshotOffer::decode(&mut Cursor::new(&longer), 0).unwrap_err();
        assert!(matches!(error.problem, Problem::TooMany { count: 16_001, max: 16_000 }));
    }

    #[test]
    fn a_chunk_has_the_bytes_that_its_sizes_say() {
        let sizes = FrameHead { packed: 3, small: 9 }.encode().unwrap();
        let bytes = [&sizes[..], &[7; 3 + 2016 * 36 + 8]].concat();
        assert_eq!(decode_chunk(&mut Cursor::new(&bytes), 1), Ok(bytes.clone()));
        for length in [0, 7, 8, bytes.len() - 1] {
            let cut = decode_chunk(&mut Cursor::new(&bytes[..length]), 1).unwrap_err();
            assert!(matches!(cut.problem, Problem::Short { .. }), "{length}");
        }
        let longer = [&bytes[..], &[0]].concat();
        let error = decode_chunk(&mut Cursor::new(&longer), 1).unwrap_err();
        assert_eq!(error.problem, Problem::Trailing { left: 1 });
        let large = FrameHead { packed: 27_274, small: 9 }.encode().unwrap();
        let error = decode_chunk(&mut Cursor::new(&large), 1).unwrap_err();
        assert!(matches!(error.problem, Problem::Unknown { got: 27_274, .. }));
    }
}

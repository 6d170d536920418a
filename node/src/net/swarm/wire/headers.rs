//! The headers protocol: what is asked for, and a page of headers.
//!
//! ```text
//! request  = most u32 | 0x00 | count u8 | hash 32 ...     after the first known hash of a locator
//!                     | 0x01 | height u32                 from a height on
//!                     | 0x02 | hash 32                    this one
//! response = tip height u32 | first height u32 | [segment in the compact codec]
//! ```
//! A response may have fewer headers than were asked for, and has none only at the tip.

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use ironlight_spv::compress;
use ironlight_spv::{BlockHeight, Header};

use crate::net::wire::{Cursor, DecodeError, Problem};

/// Hashes in a locator at most, as in Bitcoin's `getheaders` (Core, `MAX_LOCATOR_SZ`).
pub const MAX_LOCATOR: usize = 101;
/// Headers in a response at most.
pub const MAX_PAGE: u32 = 8000;

const AFTER: u8 = 0;
const FROM: u8 = 1;
const EXACTLY: u8 = 2;

/// Which headers are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those after the first hash that lies on the peer's best chain; newest first.
    After(Vec<BlockHash>),
    /// Those of the peer's best chain from a height on.
    From(BlockHeight),
    /// This one, on whatever branch.
    Exactly(BlockHash),
}

/// A request for headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadersRequest {
    /// Which.
    pub wanted: Wanted,
    /// How many at most, from 1 on.
    pub most: u32,
}

impl HeadersRequest {
    /// The body of the request. A locator is cut after [`MAX_LOCATOR`] hashes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.most.to_le_bytes().to_vec();
        match &self.wanted {
            Wanted::After(locator) => {
                let count = locator.len().min(MAX_LOCATOR);
                bytes.extend_from_slice(&[AFTER, u8::try_from(count).unwrap_or(u8::MAX)]);
                for hash in locator.iter().take(count) {
                    bytes.extend_from_slice(hash.as_byte_array());
                }
            }
            Wanted::From(height) => {
                bytes.push(FROM);
                bytes.extend_from_slice(&height.0.to_le_bytes());
            }
            Wanted::Exactly(hash) => {
                bytes.push(EXACTLY);
                bytes.extend_from_slice(hash.as_byte_array());
            }
        }
        bytes
    }

    /// Reads the body of a request to its end.
    ///
    /// # Errors
    /// [`DecodeError`]
    pub fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let place = cursor.clone();
        let most = cursor.u32()?;
        if most == 0 {
            return Err(place.error(Problem::Unknown { field: "number of headers", got: 0 }));
        }
        let place = cursor.clone();
        let wanted = match cursor.u8()? {
            AFTER => Wanted::After(locator(cursor)?),
            FROM => Wanted::From(BlockHeight(cursor.u32()?)),
            EXACTLY => Wanted::Exactly(hash(cursor)?),
            other => {
                let problem = Problem::Unknown { field: "way to ask", got: u32::from(other) };
                return Err(place.error(problem));
            }
        };
        cursor.end()?;
        Ok(Self { wanted, most })
    }
}

fn hash(cursor: &mut Cursor<'_>) -> Result<BlockHash, DecodeError> {
    cursor.array().map(BlockHash::from_byte_array)
}

fn locator(cursor: &mut Cursor<'_>) -> Result<Vec<BlockHash>, DecodeError> {
    let place = cursor.clone();
    let count = cursor.u8()?;
    if usize::from(count) > MAX_LOCATOR {
        let max = u32::try_from(MAX_LOCATOR).unwrap_or(u32::MAX);
        return Err(place.error(Problem::TooMany { count: u64::from(count), max }));
    }
    (0..count).map(|_| hash(cursor)).collect()
}

/// A page of headers that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadersPage {
    /// The height of the peer's tip; a claim.
    pub tip: BlockHeight,
    /// The height of the first header, or where it would be; a claim.
    pub first: BlockHeight,
    /// The headers.
    pub headers: Vec<Header>,
}

impl HeadersPage {
    /// The body of a response; `segment` is empty where there are no headers, else in the compact
    /// codec.
    #[must_use]
    pub fn encode(tip: BlockHeight, first: BlockHeight, segment: &[u8]) -> Vec<u8> {
        [&tip.0.to_le_bytes()[..], &first.0.to_le_bytes(), segment].concat()
    }

    /// Reads the body of a response to its end; of headers at most `most`.
    ///
    /// Their parents are what the compact form says, so each is hashed to find the next one's.
    ///
    /// # Errors
    /// [`DecodeError`]
    pub fn decode(cursor: &mut Cursor<'_>, most: u32) -> Result<Self, DecodeError> {
        let (tip, first) = (BlockHeight(cursor.u32()?), BlockHeight(cursor.u32()?));
        let place = cursor.clone();
        let segment = cursor.take(cursor.left())?;
        let most = usize::try_from(most.min(MAX_PAGE)).unwrap_or(usize::MAX);
        let headers = match segment {
            [] => Vec::new(),
            segment => compress::decode(segment, most)
                .map_err(|error| place.error(Problem::Segment(error)))?,
        };
        Ok(Self { tip, first, headers })
    }

    /// The height after the last header.
    #[must_use]
    pub fn next(&self) -> BlockHeight {
        self.first.plus(u32::try_from(self.headers.len()).unwrap_or(u32::MAX))
    }

    /// Whether the peer has nothing after this.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.headers.is_empty() || self.next() > self.tip
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::swarm::wire::{MAX_REQUEST, MAX_RESPONSE};
    use ironlight_spv::compress::{CodecError, HeaderBody};
    use ironlight_spv::generate::Miner;
    use ironlight_spv::{Network, Params};

    fn chain(count: usize) -> Vec<Header> {
        let genesis = Params::new(Network::Regtest).genesis;
        Miner::new(1).run(&genesis, count, 600)
    }

    fn page(headers: &[Header]) -> Vec<u8> {
        let bodies = headers.iter().map(HeaderBody::from);
        let segment = compress::encode(headers[0].prev_hash(), bodies);
        HeadersPage::encode(BlockHeight(50), BlockHeight(1), &segment)
    }

    #[test]
    fn requests_make_the_round_trip_and_fit() {
        let hash = chain(1)[0].hash();
        let longest = Wanted::After(vec![hash; MAX_LOCATOR]);
        for wanted in
            [longest, Wanted::After(vec![]), Wanted::From(BlockHeight(7)), Wanted::Exactly(hash)]
        {
            let request = HeadersRequest { wanted, most: MAX_PAGE };
            let bytes = request.encode();
            assert!(
                bytes.len() + usize::from(crate::net::swarm::wire::MAX_EXTENSIONS) < MAX_REQUEST
            );
            assert_eq!(HeadersRequest::decode(&mut Cursor::new(&bytes)), Ok(request));
            for length in 0..bytes.len() {
                assert!(HeadersRequest::decode(&mut Cursor::new(&bytes[..length])).is_err());
            }
            let longer = [&bytes[..], &[0]].concat();
            let error = HeadersRequest::decode(&mut Cursor::new(&longer)).unwrap_err();
            assert_eq!(error.problem, Problem::Trailing { left: 1 });
        }
    }

    #[test]
    fn a_request_for_nothing_or_in_an_unknown_way_is_refused() {
        for bytes in [[0, 0, 0, 0, FROM, 0, 0, 0, 0], [1, 0, 0, 0, 9, 0, 0, 0, 0]] {
            let error = HeadersRequest::decode(&mut Cursor::new(&bytes)).unwrap_err();
            assert!(matches!(error.problem, Problem::Unknown { .. }));
        }
    }

    #[test]
    fn a_page_makes_the_round_trip() {
        let headers = chain(50);
        let bytes = page(&headers);
        let found = HeadersPage::decode(&mut Cursor::new(&bytes), 50).unwrap();
        assert_eq!(found.headers, headers);
        assert_eq!((found.next(), found.is_last()), (BlockHeight(51), true));
        let too_many = HeadersPage::decode(&mut Cursor::new(&bytes), 49).unwrap_err();
        let problem = Problem::Segment(CodecError::TooMany { count: 50 });
        assert_eq!(too_many, DecodeError { at: 8, problem });
        let empty = HeadersPage::encode(BlockHeight(50), BlockHeight(51), &[]);
        let found = HeadersPage::decode(&mut Cursor::new(&empty), 1).unwrap();
        assert!(found.headers.is_empty() && found.is_last());
    }

    #[test]
    fn the_longest_page_fits_into_a_response() {
        let longest = 8 + 41 + 49 * usize::try_from(MAX_PAGE).unwrap();
        assert!(longest + 4 + usize::from(crate::net::swarm::wire::MAX_EXTENSIONS) <= MAX_RESPONSE);
    }
}

//! The filters protocol: BIP157's three questions about basic filters (BIP158), asked by range.
//!
//! ```text
//! request  = 0x00 | stop 32                           filter headers at every thousandth height
//!          | 0x01 | start u32 | count u16 | stop 32   filter hashes of a range
//!          | 0x02 | start u32 | count u16 | stop 32   filters of a range
//! response = header 32 ...                            to 0x00
//!          | previous header 32 | hash 32 ...         to 0x01: as many as asked for
//!          | (length u32 | filter) ...                to 0x02: the first of them, at least one
//! ```
//! A range names its last block, so that both sides mean the same branch.

use bitcoin::BlockHash;
use bitcoin::bip158::{FilterHash, FilterHeader};
use bitcoin::hashes::Hash as _;
use ironlight_spv::BlockHeight;

use crate::net::data;
use crate::net::wire::{Cursor, DecodeError, Problem};

/// Filter hashes in a response at most (BIP157, `getcfheaders`).
pub const MAX_FILTER_HEADERS: u32 = data::MAX_FILTER_HEADERS;
/// Filters in a response at most (BIP157, `getcfilters`).
pub const MAX_FILTERS: u32 = data::MAX_FILTERS;
/// Bytes of filters in a response at most, with their lengths. The filter of the largest block that
/// can be has less than half of them.
pub const MAX_FILTER_BYTES: usize = 1_000_000;

const CHECKPOINTS: u8 = 0;
const HEADERS: u8 = 1;
const FILTERS: u8 = 2;

/// Blocks that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FilterRange {
    /// The height of the first.
    pub start: BlockHeight,
    /// How many, from 1 on.
    pub count: u32,
    /// The last one.
    pub stop: BlockHash,
}

/// A request for filters or for what proves them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FiltersRequest {
    /// The filter headers at every thousandth height, up to a block.
    Checkpoints {
        /// The block.
        stop: BlockHash,
    },
    /// The hashes of a range's filters, at most [`MAX_FILTER_HEADERS`].
    Headers(FilterRange),
    /// A range's filters, at most [`MAX_FILTERS`].
    Filters(FilterRange),
}

impl FiltersRequest {
    /// The body of the request.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Checkpoints { stop } => [&[CHECKPOINTS], &stop.as_byte_array()[..]].concat(),
            Self::Headers(range) => range.encode(HEADERS),
            Self::Filters(range) => range.encode(FILTERS),
        }
    }

    /// Reads the body of a request to its end.
    ///
    /// # Errors
    /// [`DecodeError`]
    pub fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let place = cursor.clone();
        let request = match cursor.u8()? {
            CHECKPOINTS => Self::Checkpoints { stop: cursor.array().map(hash)? },
            HEADERS => Self::Headers(FilterRange::decode(cursor, MAX_FILTER_HEADERS)?),
            FILTERS => Self::Filters(FilterRange::decode(cursor, MAX_FILTERS)?),
            other => {
                let problem = Problem::Unknown { field: "way to ask", got: u32::from(other) };
                return Err(place.error(problem));
            }
        };
        cursor.end()?;
        Ok(request)
    }
}

impl FilterRange {
    fn encode(&self, way: u8) -> Vec<u8> {
        let count = u16::try_from(self.count).unwrap_or(u16::MAX).to_le_bytes();
        let start = self.start.0.to_le_bytes();
        [&[way][..], &start, &count, self.stop.as_byte_array()].concat()
    }

    fn decode(cursor: &mut Cursor<'_>, max: u32) -> Result<Self, DecodeError> {
        let start = BlockHeight(cursor.u32()?);
        let place = cursor.clone();
        let count = u32::from(cursor.u16()?);
        if count == 0 {
            return Err(place.error(Problem::Unknown { field: "number of blocks", got: 0 }));
        }
        if count > max {
            return Err(place.error(Problem::TooMany { count: u64::from(count), max }));
        }
        Ok(Self { start, count, stop: cursor.array().map(hash)? })
    }
}

fn hash(bytes: [u8; 32]) -> BlockHash {
    BlockHash::from_byte_array(bytes)
}

/// The body of a response with checkpoints.
#[must_use]
pub fn encode_checkpoints(headers: &[FilterHeader]) -> Vec<u8> {
    headers.iter().flat_map(|header| header.to_byte_array()).collect()
}

/// Reads the body of a response with so many checkpoints to its end.
///
/// # Errors
/// [`DecodeError`]
pub fn decode_checkpoints(
    cursor: &mut Cursor<'_>,
    count: u32,
) -> Result<Vec<FilterHeader>, DecodeError> {
    let read = |_| cursor.array().map(FilterHeader::from_byte_array);
    let headers = (0..count).map(read).collect::<Result<_, _>>()?;
    cursor.end()?;
    Ok(headers)
}

/// The body of a response with the hashes of a range's filters.
#[must_use]
pub fn encode_filter_hashes(previous: &FilterHeader, hashes: &[FilterHash]) -> Vec<u8> {
    let hashes = hashes.iter().map(|hash| hash.to_byte_array());
    std::iter::once(previous.to_byte_array()).chain(hashes).flatten().collect()
}

/// Reads the body of a response with so many hashes to its end: the filter header before the first,
/// and the hashes.
///
/// # Errors
/// [`DecodeError`]
pub fn decode_filter_hashes(
    cursor: &mut Cursor<'_>,
    count: u32,
) -> Result<(FilterHeader, Vec<FilterHash>), DecodeError> {
    let previous = cursor.array().map(FilterHeader::from_byte_array)?;
    let read = |_| cursor.array().map(FilterHash::from_byte_array);
    let hashes = (0..count).map(read).collect::<Result<_, _>>()?;
    cursor.end()?;
    Ok((previous, hashes))
}

/// The body of a response with filters.
#[must_use]
pub fn encode_filters<'a>(filters: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for filter in filters {
        bytes.extend_from_slice(&u32::try_from(filter.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(filter);
    }
    bytes
}

/// How many of these filters a response has room for, from the first on.
#[must_use]
pub fn filters_that_fit<'a>(filters: impl IntoIterator<Item = &'a [u8]>) -> usize {
    let mut left = MAX_FILTER_BYTES;
    let fits = |filter: &&[u8]| {
        let rest = left.checked_sub(filter.len().saturating_add(4));
        rest.inspect(|rest| left = *rest).is_some()
    };
    filters.into_iter().take_while(fits).count()
}

/// Reads the body of a response with filters to its end: from one to `most`.
///
/// # Errors
/// [`DecodeError`]
pub fn decode_filters(cursor: &mut Cursor<'_>, most: u32) -> Result<Vec<Vec<u8>>, DecodeError> {
    let mut filters = Vec::new();
    for _ in 0..most {
        let place = cursor.clone();
        let length = usize::try_from(cursor.u32()?).unwrap_or(usize::MAX);
        if length > MAX_FILTER_BYTES {
            let max = u32::try_from(MAX_FILTER_BYTES).unwrap_or(u32::MAX);
            let count = u64::try_from(length).unwrap_or(u64::MAX);
            return Err(place.error(Problem::TooMany { count, max }));
        }
        filters.push(cursor.take(length)?.to_vec());
        if cursor.left() == 0 {
            break;
        }
    }
    cursor.end()?;
    Ok(filters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::swarm::wire::{MAX_EXTENSIONS, MAX_FILTERS_RESPONSE};

    fn range(count: u32) -> FilterRange {
        FilterRange { start: BlockHeight(7), count, stop: hash([3; 32]) }
    }

    #[test]
    fn requests_make_the_round_trip_and_end_where_they_end() {
        for request in [
            FiltersRequest::Checkpoints { stop: hash([3; 32]) },
            FiltersRequest::Headers(range(MAX_FILTER_HEADERS)),
            FiltersRequest::Filters(range(MAX_FILTERS)),
        ] {
            let bytes = request.encode();
            assert_eq!(FiltersRequest::decode(&mut Cursor::new(&bytes)), Ok(request));
            for length in 0..bytes.len() {
                assert!(FiltersRequest::decode(&mut Cursor::new(&bytes[..length])).is_err());
            }
            let longer = [&bytes[..], &[0]].concat();
            let error = FiltersRequest::decode(&mut Cursor::new(&longer)).unwrap_err();
            assert_eq!(error.problem, Problem::Trailing { left: 1 });
        }
    }

    #[test]
    fn requests_for_nothing_for_too_much_or_in_an_unknown_way_are_refused() {
        let refused = |bytes: &[u8]| FiltersRequest::decode(&mut Cursor::new(bytes)).unwrap_err();
        let nothing = refused(&FiltersRequest::Filters(range(0)).encode());
        assert!(matches!(nothing.problem, Problem::Unknown { got: 0, .. }));
        let filters = refused(&FiltersRequest::Filters(range(MAX_FILTERS + 1)).encode());
        assert_eq!(filters.problem, Problem::TooMany { count: 1001, max: 1000 });
        let headers = refused(&FiltersRequest::Headers(range(MAX_FILTER_HEADERS + 1)).encode());
        assert_eq!(headers, DecodeError { at: 5, ..headers });
        assert_eq!(headers.problem, Problem::TooMany { count: 2001, max: 2000 });
        assert!(matches!(refused(&[3; 40]).problem, Problem::Unknown { got: 3, .. }));
    }

    #[test]
    fn checkpoints_and_hashes_are_exactly_as_many_as_asked_for() {
        let headers: Vec<_> = (0..3).map(|at| FilterHeader::from_byte_array([at; 32])).collect();
        let bytes = encode_checkpoints(&headers);
        assert_eq!(decode_checkpoints(&mut Cursor::new(&bytes), 3), Ok(headers.clone()));
        let short = decode_checkpoints(&mut Cursor::new(&bytes), 4).unwrap_err();
        assert_eq!(short.problem, Problem::Short { needed: 32, left: 0 });
        let long = decode_checkpoints(&mut Cursor::new(&bytes), 2).unwrap_err();
        assert_eq!(long.problem, Problem::Trailing { left: 32 });

        let hashes: Vec<_> = (5..8).map(|at| FilterHash::from_byte_array([at; 32])).collect();
        let bytes = encode_filter_hashes(&headers[0], &hashes);
        let found = decode_filter_hashes(&mut Cursor::new(&bytes), 3);
        assert_eq!(found, Ok((headers[0], hashes)));
        assert!(decode_filter_hashes(&mut Cursor::new(&bytes), 2).is_err());
        assert!(decode_filter_hashes(&mut Cursor::new(&bytes), 4).is_err());
    }

    #[test]
    fn filters_may_be_fewer_than_asked_for_but_one_there_is() {
        let filters = [vec![1, 2, 3], vec![], vec![4; 300]];
        let bytes = encode_filters(filters.iter().map(Vec::as_slice));
        for most in [3, 1000] {
            assert_eq!(decode_filters(&mut Cursor::new(&bytes), most), Ok(filters.to_vec()));
        }
        let long = decode_filters(&mut Cursor::new(&bytes), 2).unwrap_err();
        assert!(matches!(long.problem, Problem::Trailing { .. }));
        let none = decode_filters(&mut Cursor::new(&[]), 3).unwrap_err();
        assert!(matches!(none.problem, Problem::Short { .. }));
        let cut = decode_filters(&mut Cursor::new(&bytes[..bytes.len() - 1]), 3).unwrap_err();
        assert!(matches!(cut.problem, Problem::Short { .. }));
    }

    #[test]
    fn a_page_is_as_long_as_its_room_and_fits_into_a_response() {
        let half = vec![0; MAX_FILTER_BYTES / 2 - 4];
        let page = [&half[..], &half, &[]];
        assert_eq!(filters_that_fit(page), 2);
        assert_eq!(filters_that_fit([&vec![0; MAX_FILTER_BYTES - 3][..]]), 0);
        let bytes = encode_filters(page.into_iter().take(2));
        assert_eq!(bytes.len(), MAX_FILTER_BYTES);
        assert!(MAX_FILTER_BYTES + 4 + usize::from(MAX_EXTENSIONS) <= MAX_FILTERS_RESPONSE);
        let claims = u32::try_from(MAX_FILTER_BYTES + 1).unwrap().to_le_bytes();
        let error = decode_filters(&mut Cursor::new(&claims), 1).unwrap_err();
        assert!(matches!(error.problem, Problem::TooMany { .. }));
    }
}

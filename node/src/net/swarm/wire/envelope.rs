//! The envelope that every request and response has, whatever its protocol.
//!
//! ```text
//! request    = version 0x01 | extensions | body
//! response   = version 0x01 | status u8 | extensions | body
//! extensions = length u16 of what follows | (type u16 | length u16 | value) ...
//! ```
//! Types ascend. One that is not known is skipped if it is odd; if it is even, the message cannot
//! be understood without it (the rule of Lightning's BOLT 1: "it's ok to be odd").

use std::ops::Range;
use std::time::Duration;

use ironlight_spv::BlockHeight;

use crate::net::wire::{Cursor, DecodeError, Problem};

/// The first byte of every message.
pub const ENVELOPE_VERSION: u8 = 1;
/// Bytes of extensions at most.
pub const MAX_EXTENSIONS: u16 = 1024;
/// Ranges in [`Extensions::held`] at most: those above are left out.
pub const MAX_HELD: usize = 64;

const DEADLINE: u16 = 1;
const TRACE_CONTEXT: u16 = 3;
const RETRY_AFTER: u16 = 5;
const HELD: u16 = 7;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The body has what was asked for.
    Ok,
    /// The peer does not have it.
    NotFound,
    /// The peer has it, but no time; it may say when to ask again.
    Busy,
    /// The request cannot be understood.
    Invalid,
}

impl Status {
    const ALL: [Self; 4] = [Self::Ok, Self::NotFound, Self::Busy, Self::Invalid];

    /// Its number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::NotFound => 1,
            Self::Busy => 2,
            Self::Invalid => 3,
        }
    }
}

/// Where a request belongs in a distributed trace (W3C Trace Context, `traceparent`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// `trace-id`
    pub trace_id: [u8; 16],
    /// `parent-id`
    pub span_id: [u8; 8],
    /// `trace-flags`
    pub flags: u8,
}

/// What an envelope may say beside its message; all of it may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// How long the sender of a request still waits for the response, in whole milliseconds.
    pub deadline: Option<Duration>,
    /// Its trace.
    pub trace: Option<TraceContext>,
    /// When to ask again, in whole milliseconds; with [`Status::Busy`].
    pub retry_after: Option<Duration>,
    /// The heights whose filters the sender has, ascending; with responses of the filters protocol.
    pub held: Option<Vec<Range<BlockHeight>>>,
}

impl Extensions {
    fn encode(&self, bytes: &mut Vec<u8>) {
        let at = bytes.len();
        bytes.extend_from_slice(&[0; 2]);
        if let Some(deadline) = self.deadline {
            field(bytes, DEADLINE, &millis(deadline).to_le_bytes());
        }
        if let Some(TraceContext { trace_id, span_id, flags }) = self.trace {
            field(bytes, TRACE_CONTEXT, &[&trace_id[..], &span_id, &[flags]].concat());
        }
        if let Some(retry_after) = self.retry_after {
            field(bytes, RETRY_AFTER, &millis(retry_after).to_le_bytes());
        }
        if let Some(held) = &self.held {
            let ranges = held.iter().take(MAX_HELD);
            let bounds = ranges.flat_map(|range| [range.start, range.end]);
            let value: Vec<u8> = bounds.flat_map(|height| height.0.to_le_bytes()).collect();
            field(bytes, HELD, &value);
        }
        let length = u16::try_from(bytes.len() - at - 2).unwrap_or(u16::MAX);
        if let Some(place) = bytes.get_mut(at..at + 2) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }

    fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let before = cursor.clone();
        let length = cursor.u16()?;
        if length > MAX_EXTENSIONS {
            let (count, max) = (u64::from(length), u32::from(MAX_EXTENSIONS));
            return Err(before.error(Problem::TooMany { count, max }));
        }
        let length = usize::from(length);
        let end = cursor.left().checked_sub(length);
        let end =
            end.ok_or(cursor.error(Problem::Short { needed: length, left: cursor.left() }))?;
        let mut found = Self::default();
        let mut last = 0;
        while cursor.left() > end {
            let place = cursor.clone();
            let (kind, length) = (cursor.u16()?, cursor.u16()?);
            if kind <= last {
                return Err(place.error(Problem::ExtensionOrder { kind }));
            }
            last = kind;
            let value = cursor.take(usize::from(length))?;
            if cursor.left() < end {
                return Err(place.error(Problem::ExtensionLength { kind, length }));
            }
            found.set(kind, value).map_err(|problem| place.error(problem))?;
        }
        Ok(found)
    }

    fn set(&mut self, kind: u16, value: &[u8]) -> Result<(), Problem> {
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        let wrong_length = Problem::ExtensionLength { kind, length };
        match kind {
            DEADLINE => self.deadline = Some(duration(value).ok_or(wrong_length)?),
            TRACE_CONTEXT => self.trace = Some(trace(value).ok_or(wrong_length)?),
            RETRY_AFTER => self.retry_after = Some(duration(value).ok_or(wrong_length)?),
            HELD => self.held = Some(held(value, wrong_length)?),
            _ if kind.is_multiple_of(2) => return Err(Problem::ExtensionRequired { kind }),
            _ => {}
        }
        Ok(())
    }
}

fn field(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    bytes.extend_from_slice(&kind.to_le_bytes());
    bytes.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend_from_slice(value);
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

fn duration(value: &[u8]) -> Option<Duration> {
    let millis = u32::from_le_bytes(value.try_into().ok()?);
    Some(Duration::from_millis(u64::from(millis)))
}

fn trace(value: &[u8]) -> Option<TraceContext> {
    let (trace_id, rest) = value.split_first_chunk::<16>()?;
    let (span_id, rest) = rest.split_first_chunk::<8>()?;
    let [flags] = rest else { return None };
    Some(TraceContext { trace_id: *trace_id, span_id: *span_id, flags: *flags })
}

/// From the first height of each range to the one after its last; ranges ascend and do not touch.
fn held(value: &[u8], wrong_length: Problem) -> Result<Vec<Range<BlockHeight>>, Problem> {
    let (heights, []) = value.as_chunks::<4>() else { return Err(wrong_length) };
    let (pairs, []) = heights.as_chunks::<2>() else { return Err(wrong_length) };
    if pairs.len() > MAX_HELD {
        return Err(wrong_length);
    }
    let height = |bytes: &[u8; 4]| BlockHeight(u32::from_le_bytes(*bytes));
    if !heights.is_sorted_by(|one, next| height(one) < height(next)) {
        return Err(Problem::Order);
    }
    Ok(pairs.iter().map(|[from, to]| height(from)..height(to)).collect())
}

fn version(cursor: &mut Cursor<'_>) -> Result<(), DecodeError> {
    let place = cursor.clone();
    match cursor.u8()? {
        ENVELOPE_VERSION => Ok(()),
        other => {
            let field = "envelope version";
            Err(place.error(Problem::Unknown { field, got: u32::from(other) }))
        }
    }
}

/// A request with its body.
#[must_use]
pub fn encode_request(extensions: &Extensions, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![ENVELOPE_VERSION];
    extensions.encode(&mut bytes);
    bytes.extend_from_slice(body);
    bytes
}

/// A response with its body.
#[must_use]
pub fn encode_response(status: Status, extensions: &Extensions, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64 + body.len());
    bytes.extend_from_slice(&[ENVELOPE_VERSION, status.code()]);
    extensions.encode(&mut bytes);
    bytes.extend_from_slice(body);
    bytes
}

/// The envelope of a request, and a place at the start of its body.
///
/// # Errors
/// [`DecodeError`]
pub fn decode_request(bytes: &[u8]) -> Result<(Extensions, Cursor<'_>), DecodeError> {
    let mut cursor = Cursor::new(bytes);
    version(&mut cursor)?;
    let extensions = Extensions::decode(&mut cursor)?;
    Ok((extensions, cursor))
}

/// The envelope of a response, and a place at the start of its body.
///
/// # Errors
/// [`DecodeError`]
pub fn decode_response(bytes: &[u8]) -> Result<(Status, Extensions, Cursor<'_>), DecodeError> {
    let mut cursor = Cursor::new(bytes);
    version(&mut cursor)?;
    let place = cursor.clone();
    let code = cursor.u8()?;
    let status = Status::ALL.into_iter().find(|status| status.code() == code);
    let unknown = Problem::Unknown { field: "status", got: u32::from(code) };
    let status = status.ok_or(place.error(unknown))?;
    let extensions = Extensions::decode(&mut cursor)?;
    Ok((status, extensions, cursor))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Extensions {
        Extensions {
            deadline: Some(Duration::from_millis(20_000)),
            trace: Some(TraceContext { trace_id: [7; 16], span_id: [8; 8], flags: 1 }),
            retry_after: Some(Duration::from_millis(250)),
            held: Some(vec![BlockHeight(3)..BlockHeight(9), BlockHeight(700)..BlockHeight(701)]),
        }
    }

    fn with_extensions(records: &[(u16, &[u8])]) -> Vec<u8> {
        let mut inner = Vec::new();
        records.iter().for_each(|(kind, value)| field(&mut inner, *kind, value));
        let length = u16::try_from(inner.len()).unwrap().to_le_bytes();
        [&[ENVELOPE_VERSION][..], &length, &inner, b"body"].concat()
    }

    #[test]
    fn envelopes_make_the_round_trip() {
        for extensions in [Extensions::default(), full()] {
            let bytes = encode_request(&extensions, b"body");
            let (found, mut body) = decode_request(&bytes).unwrap();
            assert_eq!((&found, body.take(4).unwrap()), (&extensions, &b"body"[..]));
            for status in Status::ALL {
                let bytes = encode_response(status, &extensions, b"body");
                let (got, found, mut body) = decode_response(&bytes).unwrap();
                assert_eq!((got, &found), (status, &extensions));
                assert_eq!(body.take(4).unwrap(), b"body");
            }
        }
    }

    #[test]
    fn an_unknown_extension_is_skipped_if_it_is_odd_and_refused_if_it_is_even() {
        let deadline = 5_u32.to_le_bytes();
        let bytes = with_extensions(&[(DEADLINE, &deadline), (9, b"?"), (11, b"")]);
        let (found, mut body) = decode_request(&bytes).unwrap();
        assert_eq!(found.deadline, Some(Duration::from_millis(5)));
        assert_eq!(body.take(4).unwrap(), b"body");
        let even = with_extensions(&[(DEADLINE, &deadline), (2, b"?")]);
        let required = Problem::ExtensionRequired { kind: 2 };
        assert_eq!(decode_request(&even).unwrap_err().problem, required);
        let descending = with_extensions(&[(3, &[0; 25]), (2, b"?")]);
        let order = Problem::ExtensionOrder { kind: 2 };
        assert_eq!(decode_request(&descending).unwrap_err().problem, order);
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        let short = with_extensions(&[(DEADLINE, b"abc")]);
        let problem = Problem::ExtensionLength { kind: DEADLINE, length: 3 };
        assert_eq!(decode_request(&short).unwrap_err().problem, problem);
        let mut beyond = with_extensions(&[(9, b"value")]);
        beyond[5] = 9;
        let problem = Problem::ExtensionLength { kind: 9, length: 9 };
        assert_eq!(decode_request(&beyond).unwrap_err().problem, problem);
        let large = with_extensions(&[(9, &[0; MAX_EXTENSIONS as usize])]);
        assert!(matches!(decode_request(&large).unwrap_err().problem, Problem::TooMany { .. }));
    }

    #[test]
    fn ranges_that_are_none_are_refused() {
        let read = |heights: &[u32]| {
            let value: Vec<u8> = heights.iter().flat_map(|height| height.to_le_bytes()).collect();
            let decoded =
                decode_request(&with_extensions(&[(HELD, &value)])).map(|found| found.0.held);
            decoded.map_err(|error| error.problem)
        };
        assert_eq!(read(&[]), Ok(Some(Vec::new())));
        for heights in [[5, 5, 7, 8], [5, 4, 7, 8], [1, 4, 4, 8], [1, 4, 3, 8]] {
            assert_eq!(read(&heights), Err(Problem::Order), "{heights:?}");
        }
        for count in [1, 3, 2 * 64 + 2] {
            let heights: Vec<u32> = (0..count).collect();
            assert!(matches!(read(&heights), Err(Problem::ExtensionLength { .. })), "{count}");
        }
    }

    #[test]
    fn a_message_that_was_cut_off_is_refused_wherever_it_was_cut() {
        let bytes = encode_response(Status::Busy, &full(), b"");
        for length in 0..bytes.len() {
            assert!(decode_response(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn unknown_versions_and_states_are_refused() {
        let mut bytes = encode_response(Status::Ok, &Extensions::default(), b"");
        bytes[1] = 4;
        let problem = Problem::Unknown { field: "status", got: 4 };
        assert_eq!(decode_response(&bytes).unwrap_err(), DecodeError { at: 1, problem });
        bytes[0] = 2;
        assert_eq!(decode_response(&bytes).unwrap_err().at, 0);
    }
}

//! The record format, version 1: one line a record, in JSON that has one form only.
//!
//! A record is these members, in this order, without any white space, and a line feed (`0x0a`):
//!
//! ```json
//! {"v":1,"n":12,"at":1767225600123,"kind":"ban","by":"peer policy","on":"192.0.2.7:8333",
//!  "trace":"000102030405060708090a0b0c0d0e0f","data":{"score":100},
//!  "trace_prev":"<hash>","prev":"<hash>","hash":"<hash>"}
//! ```
//!
//! (broken here into three lines to be read).
//!
//! | member | what it is |
//! |---|---|
//! | `v` | the version of this format, 1 |
//! | `n` | the record's index in the log, from 0 on |
//! | `at` | when, in milliseconds since 1970-01-01 UTC; it may go back |
//! | `kind` | 1 to 32 of `a` to `z`, `0` to `9`, `_`; `log_` begins the log's own kinds |
//! | `by`, `on` | who did it, and to what or whom; empty for none |
//! | `trace` | 32 hexadecimal digits of the trace, or `null` |
//! | `data` | up to 17 members, keys as in `kind`, no key twice, in the caller's order; values are texts, `true`, `false` or whole numbers from -2^63 to 2^63-1 |
//! | `trace_prev` | the hash of the trace's record before this one in this segment, zeros for the first; `null` without a trace |
//! | `prev` | the hash of record `n - 1`, zeros for record 0 |
//! | `hash` | this record's hash |
//!
//! Hashes are 64 hexadecimal digits, all of them lower-case. Numbers have no leading zeros, no
//! plus, no fraction, no exponent. In UTF-8, `by` and `on` are at most 288 bytes long, texts in `data`
//! at most 1,056 (`tree` of a segment: 4,096). In texts `"` and `\` are escaped as `\"` and `\\`; every
//! UTF-16 unit that is not printable ASCII (0x20 to 0x7e) as `\u` and four lower-case digits;
//! nothing else is escaped. A line is at most [`MAX_LINE`] bytes long, with its line feed.
//!
//! **The hash** is SHA-256 over the 19 bytes `ironlight-audit-v1\n` and then the line's bytes from
//! `{` up to, and not including, `,"hash":`. **The tree** is that of RFC 6962 with the 32 bytes of
//! record `n`'s hash as leaf `n`.
//!
//! **Segments.** A record `log_segment` begins each file of a log. `on` is the log's name, and `tree`
//! in its data the roots of the perfect subtrees of the `n` records before it, largest first, 64
//! digits each, in one text. At a segment every trace starts again with zeros, so that a
//! segment verifies without those before it. Within a segment the trace table has 4,096 places:
//! when a record of a new trace comes and the table is full, the trace whose last record is oldest
//! falls out, and starts again with zeros if it returns.
//!
//! **Test vectors** (the first three records of a log; `printf 'ironlight-audit-v1\n%s' BODY |
//! sha256sum`, with the line up to `,"hash"` as `BODY`, gives the hash):
//!
//! ```json
#![doc = include_str!("vectors.jsonl")]
//! ```

use core::fmt;
use std::borrow::Cow;

use super::damage::Damage;
use super::event::{CUT_NOTE, Event, MAX_FIELDS, MAX_NAME_TEXT, MAX_TEXT, TraceId, Value};
use super::hash::Hash;
use super::json::{Cursor, push_natural, push_text, push_value};
use super::kind::{EventKind, LogKind, is_plain};

/// The longest line, in bytes, with its line feed.
pub const MAX_LINE: usize = 128 << 10;

const DOMAIN: &[u8] = b"ironlight-audit-v1\n";
const BEFORE_HASH: &[u8] = b",\"hash\":\"";
const AFTER_HASH: &[u8] = b"\"}";

/// A record of a log: an event with its place.
///
/// See [`verify_event`] for an example.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Its index in the log.
    pub index: u64,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// What happened.
    pub event: Event,
    /// The hash of the trace's record before it; none without a trace.
    pub trace_previous: Option<Hash>,
    /// The hash of the record before it.
    pub previous: Hash,
    /// Its own hash.
    pub hash: Hash,
}

impl Record {
    /// The line that it stands in, without the line feed.
    ///
    /// ```
    /// use ironlight_hardening::audit::{Chain, Event, EventKind, verify_event};
    ///
    /// let mut line = Vec::new();
    /// Chain::new().append(1_767_225_600_000, &Event::new(EventKind::Start), &mut line);
    /// let line = line.trim_ascii_end();
    /// assert_eq!(verify_event(line).unwrap().line().as_bytes(), line);
    /// ```
    #[must_use]
    pub fn line(&self) -> String {
        let place = Place {
            index: self.index,
            at: self.at,
            trace_previous: self.trace_previous,
            previous: self.previous,
        };
        let mut line = Vec::new();
        encode(&self.event, &place, &mut line);
        // Nothing but ASCII is written.
        String::from_utf8_lossy(line.trim_ascii_end()).into_owned()
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("index", &self.index)
            .field("at", &self.at)
            .field("event", &self.event)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

/// Where a record stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) index: u64,
    pub(super) at: u64,
    pub(super) trace_previous: Option<Hash>,
    pub(super) previous: Hash,
}

/// Writes a record with its line feed and returns its hash.
pub(super) fn encode(event: &Event, place: &Place, out: &mut Vec<u8>) -> Hash {
    let start = out.len();
    encode_body(event, place, out);
    let hash = Hash::of(&[DOMAIN, out.get(start..).unwrap_or_default()]);
    out.extend_from_slice(BEFORE_HASH);
    hash.push_hex(out);
    out.extend_from_slice(AFTER_HASH);
    out.push(b'\n');
    hash
}

fn encode_body(event: &Event, place: &Place, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"v\":1,\"n\":");
    push_natural(place.index, out);
    out.extend_from_slice(b",\"at\":");
    push_natural(place.at, out);
    out.extend_from_slice(b",\"kind\":");
    push_text(event.kind.name(), out);
    out.extend_from_slice(b",\"by\":");
    push_text(&event.by, out);
    out.extend_from_slice(b",\"on\":");
    push_text(&event.on, out);
    out.extend_from_slice(b",\"trace\":");
    push_or_null(event.trace.map(|trace| move |out: &mut Vec<u8>| trace.push_hex(out)), out);
    out.extend_from_slice(b",\"data\":{");
    for (i, (key, value)) in event.data.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_text(key, out);
        out.push(b':');
        push_value(value, out);
    }
    out.extend_from_slice(b"},\"trace_prev\":");
    push_or_null(place.trace_previous.map(|hash| move |out: &mut Vec<u8>| hash.push_hex(out)), out);
    out.extend_from_slice(b",\"prev\":\"");
    place.previous.push_hex(out);
    out.push(b'"');
}

fn push_or_null(write: Option<impl Fn(&mut Vec<u8>)>, out: &mut Vec<u8>) {
    match write {
        Some(write) => {
            out.push(b'"');
            write(out);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

/// Reads one line without its line feed, and checks all that can be seen in it alone: its form,
/// and that its hash is that of its content.
///
/// # Errors
/// [`Damage::WrongHash`] or [`Damage::NotARecord`].
///
/// ```
/// use ironlight_hardening::audit::{Chain, Event, EventKind, verify_event};
///
/// let mut line = Vec::new();
/// Chain::new().append(1_767_225_600_000, &Event::new(EventKind::Start), &mut line);
/// let line = line.trim_ascii_end();
/// assert_eq!(verify_event(line).unwrap().index, 0);
/// let changed = String::from_utf8_lossy(line).replace("start", "stop");
/// assert!(verify_event(changed.as_bytes()).is_err());
/// ```
pub fn verify_event(line: &[u8]) -> Result<Record, Damage> {
    let (body, hash) = split_hash(line).ok_or(Damage::NotARecord)?;
    if Hash::of(&[DOMAIN, body]) != hash {
        return Err(Damage::WrongHash);
    }
    let record = decode_body(body, hash).ok_or(Damage::NotARecord)?;
    let place = Place {
        index: record.index,
        at: record.at,
        trace_previous: record.trace_previous,
        previous: record.previous,
    };
    let mut again = Vec::with_capacity(body.len());
    encode_body(&record.event, &place, &mut again);
    if again == body { Ok(record) } else { Err(Damage::NotARecord) }
}

/// The hash that stands in a line.
pub(super) fn hash_of(line: &[u8]) -> Option<Hash> {
    split_hash(line).map(|(_, hash)| hash)
}

fn split_hash(line: &[u8]) -> Option<(&[u8], Hash)> {
    if line.len() >= MAX_LINE {
        return None;
    }
    let rest = line.strip_suffix(AFTER_HASH)?;
    let (rest, hash) = rest.split_at_checked(rest.len().checked_sub(64)?)?;
    Some((rest.strip_suffix(BEFORE_HASH)?, Hash::from_hex(hash)?))
}

fn decode_body(body: &[u8], hash: Hash) -> Option<Record> {
    let mut cursor = Cursor(body);
    cursor.expect(b"{\"v\":1,\"n\":")?;
    let index = cursor.natural()?;
    cursor.expect(b",\"at\":")?;
    let at = cursor.natural()?;
    cursor.expect(b",\"kind\":")?;
    let mut event = Event::of(EventKind::from_name(&cursor.text()?)?);
    cursor.expect(b",\"by\":")?;
    event.by = Cow::Owned(short(cursor.text()?, MAX_NAME_TEXT + CUT_NOTE)?);
    cursor.expect(b",\"on\":")?;
    event.on = Cow::Owned(short(cursor.text()?, MAX_NAME_TEXT + CUT_NOTE)?);
    cursor.expect(b",\"trace\":")?;
    event.trace = or_null(&mut cursor, 32, TraceId::from_hex)?;
    cursor.expect(b",\"data\":{")?;
    read_data(&mut cursor, &mut event)?;
    cursor.expect(b",\"trace_prev\":")?;
    let trace_previous = or_null(&mut cursor, 64, Hash::from_hex)?;
    cursor.expect(b",\"prev\":\"")?;
    let previous = Hash::from_hex(cursor.take(64)?)?;
    cursor.expect(b"\"")?;
    let whole = cursor.0.is_empty() && trace_previous.is_some() == event.trace.is_some();
    whole.then_some(Record { index, at, event, trace_previous, previous, hash })
}

/// What is longer was not written by us, and would not fit in a line when it is written again.
fn short(text: String, longest: usize) -> Option<String> {
    (text.len() <= longest).then_some(text)
}

fn read_data(cursor: &mut Cursor<'_>, event: &mut Event) -> Option<()> {
    if cursor.expect(b"}").is_some() {
        return Some(());
    }
    loop {
        let key = cursor.text()?;
        cursor.expect(b":")?;
        let value = cursor.value()?;
        if event.data.len() > MAX_FIELDS || !is_plain(&key) || event.value(&key).is_some() {
            return None;
        }
        let tree = matches!(event.kind, EventKind::Log(LogKind::Segment)) && key == "tree";
        let longest = if tree { 64 * 64 } else { MAX_TEXT + CUT_NOTE };
        if matches!(&value, Value::Text(text) if text.len() > longest) {
            return None;
        }
        event.data.push((Cow::Owned(key), value));
        match cursor.take(1)? {
            b"," => {}
            b"}" => return Some(()),
            _ => return None,
        }
    }
}

/// What stands in quotes, or nothing for `null`; the outer none is damage.
fn or_null<T>(
    cursor: &mut Cursor<'_>,
    digits: usize,
    read: impl Fn(&[u8]) -> Option<T>,
) -> Option<Option<T>> {
    if cursor.expect(b"null").is_some() {
        return Some(None);
    }
    cursor.expect(b"\"")?;
    let value = read(cursor.take(digits)?)?;
    cursor.expect(b"\"")?;
    Some(Some(value))
}

//! The compact header codec: 39 to 43 bytes a header on mainnet.
//!
//! A parent's hash is never written but the first: it is the hash of the header before. Bits,
//! version and time are written where they do not follow from the header before. The form is
//! self-contained, decoding needs no rules and no chain; and canonical, so that equal headers
//! have equal bytes.
//!
//! ```text
//! segment = version 0x01 | count u32 | first parent 32 | first bits u32 | header ...
//! header  = flags u8 | [version i32] | [bits u32] | time | merkle root 32 | nonce u32
//! flags   = 1: version follows, else as before (the first header: 0)
//!           2: bits follow, else as before (never at the first header)
//!           4: time is absolute, u32; else the difference from the one before, i16
//!              (before the first header: time 0)
//! ```
//! Numbers are little-endian. What an attacker can grow: the caller's limit on headers bounds the
//! memory, and the count is checked against the bytes at hand before anything is reserved.

use alloc::vec::Vec;
use core::fmt;

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, CompactTarget, TxMerkleNode};

use crate::header::Header;
use crate::lanes;
use crate::time::UnixTime;

/// The first byte of an encoded segment.
pub const CODEC_VERSION: u8 = 1;

pub(super) const VERSION_FOLLOWS: u8 = 1;
pub(super) const BITS_FOLLOW: u8 = 2;
pub(super) const TIME_ABSOLUTE: u8 = 4;
/// Version, count, first parent, first bits.
pub(super) const HEAD: usize = 1 + 4 + 32 + 4;
/// Flags, short time, Merkle root, nonce.
const SMALLEST_HEADER: usize = 1 + 2 + 32 + 4;

/// A header without its parent's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderBody {
    /// The version.
    pub version: i32,
    /// The root of the block's transaction tree.
    pub merkle_root: TxMerkleNode,
    /// The time.
    pub time: UnixTime,
    /// The compact target.
    pub bits: CompactTarget,
    /// The nonce.
    pub nonce: u32,
}

impl HeaderBody {
    /// The header that this is, given its parent.
    #[must_use]
    pub fn with_parent(&self, parent: BlockHash) -> Header {
        let mut bytes = [0; Header::SIZE];
        bytes[..4].copy_from_slice(&self.version.to_le_bytes());
        bytes[4..36].copy_from_slice(parent.as_byte_array());
        bytes[36..68].copy_from_slice(self.merkle_root.as_byte_array());
        bytes[68..72].copy_from_slice(&self.time.0.to_le_bytes());
        bytes[72..76].copy_from_slice(&self.bits.to_consensus().to_le_bytes());
        bytes[76..].copy_from_slice(&self.nonce.to_le_bytes());
        Header::from_bytes(bytes)
    }
}

impl From<&Header> for HeaderBody {
    fn from(header: &Header) -> Self {
        Self {
            version: header.version(),
            merkle_root: header.merkle_root(),
            time: header.time(),
            bits: header.compact_target(),
            nonce: header.nonce(),
        }
    }
}

/// Why bytes are no compact segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes end inside a field.
    Truncated {
        /// Where the missing field starts.
        at: usize,
    },
    /// The first byte names another version of the codec.
    UnknownVersion {
        /// What it names.
        got: u8,
    },
    /// More headers than the caller accepts or than the bytes can hold.
    TooMany {
        /// The count that the segment claims.
        count: u32,
    },
    /// A segment has at least one header.
    Empty,
    /// A shorter form of the same header exists, or an unknown flag is set.
    NotCanonical {
        /// The header's place, from 0.
        index: usize,
    },
    /// Bytes follow the last header.
    TrailingBytes {
        /// How many.
        count: usize,
    },
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { at } => write!(f, "the bytes end inside the field at {at}"),
            Self::UnknownVersion { got } => write!(f, "codec version {got} is not known"),
            Self::TooMany { count } => write!(f, "a count of {count} headers cannot be"),
            Self::Empty => f.write_str("a segment without headers"),
            Self::NotCanonical { index } => {
                write!(f, "header {index} of the segment is not in its shortest form")
            }
            Self::TrailingBytes { count } => write!(f, "{count} bytes follow the last header"),
        }
    }
}

impl core::error::Error for CodecError {}

/// Encodes headers that follow each other.
#[must_use]
pub fn encode(first_parent: BlockHash, bodies: impl Iterator<Item = HeaderBody>) -> Vec<u8> {
    let mut bodies = bodies.peekable();
    let mut before = State::default();
    before.bits = bodies.peek().map_or(before.bits, |first| first.bits);
    let mut bytes = Vec::with_capacity(HEAD + bodies.size_hint().0 * 43);
    bytes.push(CODEC_VERSION);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(first_parent.as_byte_array());
    bytes.extend_from_slice(&before.bits.to_consensus().to_le_bytes());
    let mut count = 0u32;
    for body in bodies {
        before.encode(&body, &mut bytes);
        count = count.saturating_add(1);
    }
    if let Some(place) = bytes.get_mut(1..5) {
        place.copy_from_slice(&count.to_le_bytes());
    }
    bytes
}

/// Decodes a segment of at most `limit` headers. Nothing about the headers is verified but that
/// they are in canonical form; their parents are what the form says.
///
/// # Errors
/// [`CodecError`], naming the place.
pub fn decode(bytes: &[u8], limit: usize) -> Result<Vec<Header>, CodecError> {
    Ok(Unlinked::decode(bytes, limit)?.link().headers)
}

/// The headers of a segment without their parents.
pub(crate) struct Unlinked {
    first_parent: [u8; 32],
    headers: Vec<Header>,
}

/// Headers and their hashes, each of which is the next one's parent.
pub(crate) struct Hashed {
    pub(crate) headers: Vec<Header>,
    pub(crate) hashes: Vec<[u8; 32]>,
}

impl Unlinked {
    pub(crate) fn decode(bytes: &[u8], limit: usize) -> Result<Self, CodecError> {
        let mut input = Input { bytes, at: 0 };
        let [version] = input.take()?;
        if version != CODEC_VERSION {
            return Err(CodecError::UnknownVersion { got: version });
        }
        let claimed = u32::from_le_bytes(input.take()?);
        let first_parent = input.take()?;
        let mut before = State { bits: input.bits()?, ..State::default() };
        let count = usize::try_from(claimed).unwrap_or(usize::MAX);
        if count == 0 {
            return Err(CodecError::Empty);
        }
        if count > limit || count > input.left() / SMALLEST_HEADER {
            return Err(CodecError::TooMany { count: claimed });
        }
        let mut headers = Vec::with_capacity(count);
        let unknown = BlockHash::from_byte_array([0; 32]);
        for index in 0..count {
            headers.push(before.decode(&mut input, index)?.with_parent(unknown));
        }
        match input.left() {
            0 => Ok(Self { first_parent, headers }),
            count => Err(CodecError::TrailingBytes { count }),
        }
    }

    /// Hashes the headers, one after the other: each has the hash of the one before in it.
    pub(crate) fn link(self) -> Hashed {
        let hashes = Vec::with_capacity(self.headers.len());
        link_rest(self.first_parent, Hashed { headers: self.headers, hashes })
    }

    /// The same for two segments, in little more than the time of one: their hashes do not wait for each
    /// other.
    pub(crate) fn link_two([mut one, mut other]: [Self; 2]) -> [Hashed; 2] {
        let mut hashes = [&one, &other].map(|it| Vec::with_capacity(it.headers.len()));
        let mut last = [one.first_parent, other.first_parent];
        for (a, b) in one.headers.iter_mut().zip(&mut other.headers) {
            a.set_parent(&last[0]);
            b.set_parent(&last[1]);
            lanes::sha256d_80(&[&*a, &*b], &mut last);
            hashes[0].push(last[0]);
            hashes[1].push(last[1]);
        }
        let [ours, theirs] = hashes;
        [
            link_rest(last[0], Hashed { headers: one.headers, hashes: ours }),
            link_rest(last[1], Hashed { headers: other.headers, hashes: theirs }),
        ]
    }
}

/// Hashes the headers that have no hash yet, the first of which has this parent.
fn link_rest(mut parent: [u8; 32], mut hashed: Hashed) -> Hashed {
    for header in hashed.headers.iter_mut().skip(hashed.hashes.len()) {
        header.set_parent(&parent);
        parent = header.hash().to_byte_array();
        hashed.hashes.push(parent);
    }
    hashed
}

/// The fields that the next header may repeat.
#[derive(Default)]
struct State {
    version: i32,
    bits: CompactTarget,
    time: UnixTime,
}

impl State {
    fn encode(&mut self, body: &HeaderBody, bytes: &mut Vec<u8>) {
        let delta = i16::try_from(i64::from(body.time.0) - i64::from(self.time.0)).ok();
        let flags = if body.version == self.version { 0 } else { VERSION_FOLLOWS }
            | if body.bits == self.bits { 0 } else { BITS_FOLLOW }
            | if delta.is_some() { 0 } else { TIME_ABSOLUTE };
        bytes.push(flags);
        if flags & VERSION_FOLLOWS != 0 {
            bytes.extend_from_slice(&body.version.to_le_bytes());
        }
        if flags & BITS_FOLLOW != 0 {
            bytes.extend_from_slice(&body.bits.to_consensus().to_le_bytes());
        }
        match delta {
            Some(delta) => bytes.extend_from_slice(&delta.to_le_bytes()),
            None => bytes.extend_from_slice(&body.time.0.to_le_bytes()),
        }
        bytes.extend_from_slice(body.merkle_root.as_byte_array());
        bytes.extend_from_slice(&body.nonce.to_le_bytes());
        *self = Self { version: body.version, bits: body.bits, time: body.time };
    }

    fn decode(&mut self, input: &mut Input<'_>, index: usize) -> Result<HeaderBody, CodecError> {
        let not_canonical = CodecError::NotCanonical { index };
        let [flags] = input.take()?;
        if flags > VERSION_FOLLOWS | BITS_FOLLOW | TIME_ABSOLUTE {
            return Err(not_canonical);
        }
        if flags & VERSION_FOLLOWS != 0 {
            let version = i32::from_le_bytes(input.take()?);
            if core::mem::replace(&mut self.version, version) == version {
                return Err(not_canonical);
            }
        }
        if flags & BITS_FOLLOW != 0 {
            let bits = input.bits()?;
            // The first header's bits stand in the segment's head.
            if core::mem::replace(&mut self.bits, bits) == bits || index == 0 {
                return Err(not_canonical);
            }
        }
        self.time = decode_time(input, flags, self.time).ok_or(not_canonical)??;
        let merkle_root = TxMerkleNode::from_byte_array(input.take()?);
        let nonce = u32::from_le_bytes(input.take()?);
        let Self { version, bits, time } = *self;
        Ok(HeaderBody { version, merkle_root, time, bits, nonce })
    }
}

/// The time, or none where another form was due or the sum leaves the range of times.
fn decode_time(
    input: &mut Input<'_>,
    flags: u8,
    before: UnixTime,
) -> Option<Result<UnixTime, CodecError>> {
    let absolute = flags & TIME_ABSOLUTE != 0;
    let decoded = if absolute {
        input.take().map(|bytes| i64::from(u32::from_le_bytes(bytes)))
    } else {
        input.take().map(|bytes| i64::from(before.0) + i64::from(i16::from_le_bytes(bytes)))
    };
    match decoded {
        Ok(time) => {
            let fits = i16::try_from(time - i64::from(before.0)).is_ok();
            let time = u32::try_from(time).ok()?;
            (fits != absolute).then_some(Ok(UnixTime(time)))
        }
        Err(error) => Some(Err(error)),
    }
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Input<'_> {
    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let field = rest.first_chunk::<N>().ok_or(CodecError::Truncated { at: self.at })?;
        self.at += N;
        Ok(*field)
    }

    fn bits(&mut self) -> Result<CompactTarget, CodecError> {
        self.take().map(|bytes| CompactTarget::from_consensus(u32::from_le_bytes(bytes)))
    }
}

//! Header snapshots: a chain in one file, all its headers from genesis, or a trusted start, to a tip.
//!
//! This is the form, without I/O and without a compressor; whoever reads and writes files has both.
//!
//! ```text
//! snapshot = head | frame, one for each difficulty period | trailer
//! head     = "IRONHDR1" 8 | network magic 4 | flags u32 0 | first header | last header | checksum 8
//!            where a header is: height u32 | hash 32 | total work with it 32, big-endian
//! frame    = packed length u32 | small length u32 | packed | large | checksum 8
//! trailer  = root 32 | checksum 8
//! ```
//! A frame holds one compact segment as [`Columns`]: the small part packed by zstd, the large part as it
//! is. Its heights are 2016 n to 2016 n + 2015, so far as there are such. Numbers are little-endian. Each checksum is the first 8 bytes of SHA-256 of what is before it in its
//! part; a frame's begins with the height of its first header (u32), the trailer's with the head, so that
//! nothing can stand at another place. They find accidents. What a stranger wrote is found by the rules, at
//! its height, and by the root, of RFC 6962 over the block hashes in order.
//!
//! What an attacker can grow: a frame is bounded by the headers that it has room for, before anything is
//! read or unpacked ([`FrameHead::decode`]); the heights only say how many frames to expect. A first header that is
//! not genesis is a claim like all others: whoever takes it in has to have it in a chain, or to trust it.

use core::fmt;
use core::ops::Range;

use bitcoin::hashes::Hash as _;
use bitcoin::hex::DisplayHex as _;
use bitcoin::{BlockHash, Work};
use sha2::{Digest as _, Sha256};

use super::columns::Columns;
use crate::chain::{ChainTip, HeaderChain};
use crate::header::BlockHeight;
use crate::params::Params;

/// Headers in a frame: a difficulty period of mainnet, on every network.
pub const FRAME_HEADERS: u32 = 2016;
/// Bytes of a frame's head.
pub const FRAME_HEAD_SIZE: usize = 4 + 4;
/// Bytes of a checksum.
pub const CHECKSUM_SIZE: usize = 8;
/// Bytes of a trailer.
pub const TRAILER_SIZE: usize = 32 + CHECKSUM_SIZE;

/// The heights of a whole period's headers, from the first to the one after the last. A period so high
/// that heights end within it has fewer.
#[must_use]
pub const fn period_heights(period: u32) -> Range<BlockHeight> {
    let first = period.saturating_mul(FRAME_HEADERS);
    BlockHeight(first)..BlockHeight(first.saturating_add(FRAME_HEADERS))
}

const MAGIC: &[u8; 8] = b"IRONHDR1";
/// A header's height, hash and total work.
const PLACE_SIZE: usize = 4 + 32 + 32;
/// What zstd may add to what it cannot compress, generously.
const PACKING: usize = 1024;

/// What a snapshot says of itself before its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotHead {
    /// The network's magic: signets share a genesis.
    pub magic: [u8; 4],
    /// The first header: genesis, or what its writer's chain starts with.
    pub start: ChainTip,
    /// The last header.
    pub tip: ChainTip,
}

/// Why bytes are no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Other bytes than a snapshot's stand at its beginning.
    NotASnapshot,
    /// A newer program wrote it: a flag is set that is not known here.
    UnknownFlags {
        /// The flags.
        flags: u32,
    },
    /// It ends below its beginning.
    Heights {
        /// Of the first header.
        start: BlockHeight,
        /// Of the last.
        tip: BlockHeight,
    },
    /// It is of another network.
    OtherNetwork {
        /// The magic that it names.
        magic: [u8; 4],
        /// Its first header.
        start: ChainTip,
    },
    /// A checksum is not that of the bytes.
    Checksum {
        /// In which part.
        part: SnapshotPart,
    },
    /// A frame claims more bytes than its headers can have.
    TooLarge {
        /// The height of its first header.
        height: BlockHeight,
        /// The bytes.
        bytes: u32,
    },
    /// Its headers end at another tip than its head says.
    OtherTip {
        /// What the head says.
        claimed: ChainTip,
        /// What they end at.
        got: ChainTip,
    },
    /// Its headers have another root than its trailer says.
    OtherRoot {
        /// What the trailer says.
        claimed: [u8; 32],
        /// The root.
        got: [u8; 32],
    },
}

/// A part of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotPart {
    /// The head.
    Head,
    /// The frame whose first header has this height.
    Frame(BlockHeight),
    /// The trailer.
    Trailer,
}

impl fmt::Display for SnapshotPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("the head"),
            Self::Frame(first) => {
                let last = first.plus(FRAME_HEADERS - 1 - first.0 % FRAME_HEADERS);
                write!(f, "the frame of heights {first} to {last}")
            }
            Self::Trailer => f.write_str("the trailer"),
        }
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotASnapshot => f.write_str("no header snapshot: it begins otherwise"),
            Self::UnknownFlags { flags } => {
                write!(f, "flags {flags:#x} are not known: a newer program wrote it")
            }
            Self::Heights { start, tip } => {
                write!(f, "heights {start} to {tip} cannot be")
            }
            Self::OtherNetwork { magic: [a, b, c, d], start } => write!(
                f,
                "of another network: magic {a:02x}{b:02x}{c:02x}{d:02x}, first header {start}"
            ),
            Self::Checksum { part } => write!(f, "{part} is damaged: its checksum differs"),
            Self::TooLarge { height, bytes } => {
                write!(
                    f,
                    "the frame from height {height} claims {bytes} bytes, more than it can have"
                )
            }
            Self::OtherTip { claimed, got } => write!(
                f,
                "its headers end at {got} with work {:x}, and it says at {claimed} with work {:x}",
                got.work, claimed.work
            ),
            Self::OtherRoot { claimed, got } => {
                let (claimed, got) = (claimed.as_hex(), got.as_hex());
                write!(f, "its headers have the root {got}, and it says {claimed}")
            }
        }
    }
}

impl core::error::Error for SnapshotError {}

impl SnapshotHead {
    /// Bytes of a head.
    pub const SIZE: usize = 8 + 4 + 4 + 2 * PLACE_SIZE + CHECKSUM_SIZE;

    /// The head of a snapshot of a chain.
    #[must_use]
    pub fn of(chain: &HeaderChain) -> Self {
        let start = chain.start();
        let (height, hash, work) = (start.height, start.header.hash(), start.work);
        let start = ChainTip { height, hash, work };
        Self { magic: chain.params().magic, start, tip: chain.tip() }
    }

    /// How many headers there are, the first and the last included.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.tip.height.0.saturating_sub(self.start.height.0).saturating_add(1)
    }

    /// The headers of the frame that begins at a height; 0 after the last one.
    #[must_use]
    pub fn frame_headers(&self, first: BlockHeight) -> u32 {
        let left = self.tip.height.0.saturating_add(1).saturating_sub(first.0);
        left.min(FRAME_HEADERS - first.0 % FRAME_HEADERS)
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let (body, sum) = bytes.split_at_mut(Self::SIZE - CHECKSUM_SIZE);
        let (start, tip) = (place(&self.start), place(&self.tip));
        let fields: [&[u8]; 5] = [MAGIC, &self.magic, &[0; 4], &start, &tip];
        let fields = fields.into_iter().flatten();
        body.iter_mut().zip(fields).for_each(|(place, byte)| *place = *byte);
        sum.copy_from_slice(&checksum([body]));
        bytes
    }

    /// Reads a head of a network's snapshot.
    ///
    /// # Errors
    /// [`SnapshotError`]
    pub fn decode(bytes: &[u8; Self::SIZE], params: &Params) -> Result<Self, SnapshotError> {
        let (body, sum) = bytes.split_at(Self::SIZE - CHECKSUM_SIZE);
        let mut rest = body;
        if take(&mut rest) != *MAGIC {
            return Err(SnapshotError::NotASnapshot);
        }
        if checksum([body]) != *sum {
            return Err(SnapshotError::Checksum { part: SnapshotPart::Head });
        }
        let magic = take(&mut rest);
        let flags = u32::from_le_bytes(take(&mut rest));
        if flags != 0 {
            return Err(SnapshotError::UnknownFlags { flags });
        }
        let (start, tip) = (take_place(&mut rest), take_place(&mut rest));
        let is_genesis = start.height == BlockHeight::GENESIS;
        if magic != params.magic || (is_genesis && start.hash != params.genesis.hash()) {
            return Err(SnapshotError::OtherNetwork { magic, start });
        }
        // The greatest height is none, so that each has one above it.
        if start.height > tip.height || tip.height.0 == u32::MAX {
            return Err(SnapshotError::Heights { start: start.height, tip: tip.height });
        }
        Ok(Self { magic, start, tip })
    }

    /// The trailer, with a root.
    #[must_use]
    pub fn trailer(&self, root: [u8; 32]) -> [u8; TRAILER_SIZE] {
        let mut bytes = [0; TRAILER_SIZE];
        let (place, sum) = bytes.split_at_mut(32);
        place.copy_from_slice(&root);
        sum.copy_from_slice(&checksum([&self.encode(), &root]));
        bytes
    }

    /// The root that a trailer names.
    ///
    /// # Errors
    /// [`SnapshotError::Checksum`]
    pub fn root(&self, trailer: &[u8; TRAILER_SIZE]) -> Result<[u8; 32], SnapshotError> {
        let mut root = [0; 32];
        root.copy_from_slice(trailer.split_at(32).0);
        if self.trailer(root) == *trailer {
            Ok(root)
        } else {
            Err(SnapshotError::Checksum { part: SnapshotPart::Trailer })
        }
    }

    /// Compares what a snapshot's headers came to with what it says of them.
    ///
    /// # Errors
    /// [`SnapshotError::OtherTip`] and [`SnapshotError::OtherRoot`]
    pub fn check_end(
        &self,
        got: ChainTip,
        root: [u8; 32],
        trailer: &[u8; TRAILER_SIZE],
    ) -> Result<(), SnapshotError> {
        let claimed = self.root(trailer)?;
        if self.tip != got {
            return Err(SnapshotError::OtherTip { claimed: self.tip, got });
        }
        if claimed != root {
            return Err(SnapshotError::OtherRoot { claimed, got: root });
        }
        Ok(())
    }
}

/// The sizes in front of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// Bytes of the packed small part.
    pub packed: usize,
    /// Bytes of the small part, unpacked.
    pub small: usize,
}

impl FrameHead {
    /// Its bytes. None where a size is beyond what a frame can have.
    #[must_use]
    pub fn encode(&self) -> Option<[u8; FRAME_HEAD_SIZE]> {
        let (packed, small) = (u32::try_from(self.packed).ok()?, u32::try_from(self.small).ok()?);
        let mut bytes = [0; FRAME_HEAD_SIZE];
        let (left, right) = bytes.split_at_mut(4);
        left.copy_from_slice(&packed.to_le_bytes());
        right.copy_from_slice(&small.to_le_bytes());
        Some(bytes)
    }

    /// The bytes of a whole frame of so many headers.
    #[must_use]
    pub fn frame_size(&self, headers: u32) -> usize {
        let headers = usize::try_from(headers).unwrap_or(usize::MAX);
        FRAME_HEAD_SIZE + self.packed + Columns::large_size(headers) + CHECKSUM_SIZE
    }

    /// Reads the sizes of a frame of so many headers, which bound them.
    ///
    /// # Errors
    /// [`SnapshotError::TooLarge`]
    pub fn decode(
        bytes: [u8; FRAME_HEAD_SIZE],
        height: BlockHeight,
        headers: u32,
    ) -> Result<Self, SnapshotError> {
        let mut rest: &[u8] = &bytes;
        let most = Columns::most_small(usize::try_from(headers).unwrap_or(usize::MAX));
        let packed = u32::from_le_bytes(take(&mut rest));
        let small = u32::from_le_bytes(take(&mut rest));
        let bounded = |bytes: u32, most| {
            let size = usize::try_from(bytes).ok().filter(|size| *size <= most);
            size.ok_or(SnapshotError::TooLarge { height, bytes })
        };
        Ok(Self { packed: bounded(packed, most + PACKING)?, small: bounded(small, most)? })
    }
}

/// The checksum of a frame, from the height of its first header and all its bytes before.
#[must_use]
pub fn frame_checksum(first: BlockHeight, parts: [&[u8]; 3]) -> [u8; CHECKSUM_SIZE] {
    let [head, packed, large] = parts;
    checksum([&first.0.to_le_bytes(), head, packed, large])
}

fn place(tip: &ChainTip) -> [u8; PLACE_SIZE] {
    let mut bytes = [0; PLACE_SIZE];
    let (height, rest) = bytes.split_at_mut(4);
    let (hash, work) = rest.split_at_mut(32);
    height.copy_from_slice(&tip.height.0.to_le_bytes());
    hash.copy_from_slice(tip.hash.as_byte_array());
    work.copy_from_slice(&tip.work.to_be_bytes());
    bytes
}

fn take_place(bytes: &mut &[u8]) -> ChainTip {
    let height = BlockHeight(u32::from_le_bytes(take(bytes)));
    let hash = BlockHash::from_byte_array(take(bytes));
    ChainTip { height, hash, work: Work::from_be_bytes(take(bytes)) }
}

fn checksum<const N: usize>(parts: [&[u8]; N]) -> [u8; CHECKSUM_SIZE] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    let hash: [u8; 32] = hash.finalize().into();
    let mut sum = [0; CHECKSUM_SIZE];
    sum.copy_from_slice(hash.split_at(CHECKSUM_SIZE).0);
    sum
}

/// The next field of bytes whose number is known to be enough; else zeros.
fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (field, rest) = bytes.split_first_chunk::<N>().unwrap_or((&[0; N], &[]));
    *bytes = rest;
    *field
}

//! One period of a snapshot by itself: made for others, and checked when it comes from them.

use std::io;

use bitcoin::hashes::Hash as _;
use ironlight_spv::compress::snapshot::{
    FRAME_HEAD_SIZE, FRAME_HEADERS, FrameHead, SnapshotError, SnapshotPart, frame_checksum,
    period_heights,
};
use ironlight_spv::compress::{CodecError, Columns, ColumnsError};
use ironlight_spv::{BlockHash, LinkedBatch, Params, Violation, Work};
use zstd::bulk::Decompressor;

/// Why bytes are not the chunk that their address says. Whoever sent them is to blame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// It is shorter or longer than its sizes say.
    #[error("{got} bytes, where its sizes ask for {expected}")]
    Length {
        /// By the sizes at its beginning.
        expected: usize,
        /// All that there are.
        got: usize,
    },
    /// A size or the checksum is wrong.
    #[error(transparent)]
    Form(#[from] SnapshotError),
    /// What zstd packed cannot be unpacked to the size that was said.
    #[error("it cannot be unpacked: {0}")]
    Unpacking(#[source] io::Error),
    /// Its columns do not fit together.
    #[error(transparent)]
    Columns(#[from] ColumnsError),
    /// Its segment is none.
    #[error(transparent)]
    Segment(#[from] CodecError),
    /// A period has another number of headers.
    #[error("{got} headers instead of a period's {FRAME_HEADERS}")]
    Count {
        /// How many it has.
        got: usize,
    },
    /// It ends with another block.
    #[error("its address is {address}, and its last block {got}")]
    OtherAddress {
        /// What was asked for.
        address: BlockHash,
        /// What came.
        got: BlockHash,
    },
}

/// A chunk that is what its address says: only [`Chunk::open`] makes one. Each header names its
/// parent, so the address settles every byte of the headers, and what is wrong with them is the fault
/// of whoever gave the address.
#[derive(Debug)]
pub struct Chunk {
    batch: LinkedBatch,
    bytes: usize,
}

impl Chunk {
    /// Opens the frame of a period. Its sizes are bounded before anything is unpacked.
    ///
    /// # Errors
    /// [`ChunkError`]
    pub fn open(
        params: &Params,
        period: u32,
        address: BlockHash,
        bytes: &[u8],
    ) -> Result<Self, ChunkError> {
        let segment = unframe(period, bytes)?;
        let batch = LinkedBatch::decode(params, &segment, frame_headers())?;
        if batch.len() != frame_headers() {
            return Err(ChunkError::Count { got: batch.len() });
        }
        let got = batch.hashes().next_back().unwrap_or_else(BlockHash::all_zeros);
        if got != address {
            return Err(ChunkError::OtherAddress { address, got });
        }
        Ok(Self { batch, bytes: bytes.len() })
    }

    /// The parent of its first header: the address of the period before.
    #[must_use]
    pub fn parent(&self) -> BlockHash {
        let first = self.batch.headers().first();
        first.map_or_else(BlockHash::all_zeros, ironlight_spv::Header::prev_hash)
    }

    /// What is wrong with its headers before any chain is asked: one has no proof of work.
    #[must_use]
    pub const fn failure(&self) -> Option<&Violation> {
        self.batch.failure()
    }

    /// The work that its headers stand for; none where one has no proof of it.
    #[must_use]
    pub fn work(&self) -> Option<Work> {
        self.batch.work()
    }

    /// Bytes that it had on its way.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Its headers, hashed and linked.
    #[must_use]
    pub fn into_batch(self) -> LinkedBatch {
        self.batch
    }
}

/// Headers of a period, as a length.
pub(crate) fn frame_headers() -> usize {
    usize::try_from(FRAME_HEADERS).unwrap_or(usize::MAX)
}

/// The frame of a period whose headers are a segment, as [`Chunk::open`] takes it.
///
/// # Errors
/// What zstd says where it cannot pack, for want of memory.
#[cfg(any(feature = "libp2p", test))]
pub(crate) fn frame(period: u32, segment: &[u8]) -> io::Result<Vec<u8>> {
    super::write::pack(period_heights(period).start, segment)
}

/// The segment in a frame.
fn unframe(period: u32, bytes: &[u8]) -> Result<Vec<u8>, ChunkError> {
    let first = period_heights(period).start;
    let short = |expected| ChunkError::Length { expected, got: bytes.len() };
    let (sizes, rest) =
        bytes.split_first_chunk::<FRAME_HEAD_SIZE>().ok_or(short(FRAME_HEAD_SIZE))?;
    let head = FrameHead::decode(*sizes, first, FRAME_HEADERS)?;
    let large = Columns::large_size(frame_headers());
    let expected = head.frame_size(FRAME_HEADERS);
    if bytes.len() != expected {
        return Err(short(expected));
    }
    let (packed, rest) = rest.split_at_checked(head.packed).ok_or(short(expected))?;
    let (large, sum) = rest.split_at_checked(large).ok_or(short(expected))?;
    if frame_checksum(first, [sizes, packed, large]) != sum {
        return Err(SnapshotError::Checksum { part: SnapshotPart::Frame(first) }.into());
    }
    let mut unpacker = Decompressor::new().map_err(ChunkError::Unpacking)?;
    let small = unpack(&mut unpacker, packed, head.small).map_err(ChunkError::Unpacking)?;
    Ok(Columns::join(&small, large)?)
}

/// Unpacks to exactly so many bytes: it writes no further than there is room.
pub(super) fn unpack(
    unpacker: &mut Decompressor<'_>,
    packed: &[u8],
    size: usize,
) -> io::Result<Vec<u8>> {
    let mut small = Vec::with_capacity(size);
    match unpacker.decompress_to_buffer(packed, &mut small)? {
        written if written == size => Ok(small),
        written => Err(io::Error::other(format!("{written} bytes instead of {size}"))),
    }
}

#[cfg(test)]
#[path = "chunk_tests.rs"]
mod tests;

//! From a snapshot to segments of headers, checked for damage only.

use std::io::{ErrorKind, Read};

use ironlight_spv::compress::Columns;
use ironlight_spv::compress::snapshot::{
    CHECKSUM_SIZE, FRAME_HEAD_SIZE, FrameHead, SnapshotError, SnapshotHead, SnapshotPart,
    TRAILER_SIZE, frame_checksum,
};
use ironlight_spv::{BlockHeight, Params};
use zstd::bulk::Decompressor;

use super::chunk::unpack;
use super::error::SnapshotFileError;

/// The headers of a period, as a compact segment.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The height of its first header.
    pub first: BlockHeight,
    /// How many headers it has.
    pub headers: u32,
    /// The segment, for [`decode`](ironlight_spv::compress::decode).
    pub segment: Vec<u8>,
}

/// Reads a snapshot frame by frame.
pub struct SnapshotReader<R> {
    input: R,
    head: SnapshotHead,
    next: BlockHeight,
    unpacker: Decompressor<'static>,
}

impl<R> std::fmt::Debug for SnapshotReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { input: _, head, next, unpacker: _ } = self;
        f.debug_struct("SnapshotReader")
            .field("head", head)
            .field("next", next)
            .finish_non_exhaustive()
    }
}

impl<R: Read> SnapshotReader<R> {
    /// Reads the head of a network's snapshot. What it reads in small pieces wants a buffer.
    ///
    /// # Errors
    /// [`SnapshotFileError`]
    pub fn open(mut input: R, params: &Params) -> Result<Self, SnapshotFileError> {
        let mut head = [0; SnapshotHead::SIZE];
        fill(&mut input, &mut head, SnapshotPart::Head)?;
        let head = SnapshotHead::decode(&head, params)?;
        let unpacker = Decompressor::new().map_err(SnapshotFileError::Io)?;
        Ok(Self { input, head, next: head.start.height, unpacker })
    }

    /// What the snapshot says of itself.
    pub const fn head(&self) -> &SnapshotHead {
        &self.head
    }

    /// The next frame; none after the last one.
    ///
    /// # Errors
    /// [`SnapshotFileError`]
    pub fn frame(&mut self) -> Result<Option<Frame>, SnapshotFileError> {
        let (first, headers) = (self.next, self.head.frame_headers(self.next));
        if headers == 0 {
            return Ok(None);
        }
        let part = SnapshotPart::Frame(first);
        let mut sizes = [0; FRAME_HEAD_SIZE];
        fill(&mut self.input, &mut sizes, part)?;
        let head = FrameHead::decode(sizes, first, headers)?;
        let mut packed = vec![0; head.packed];
        fill(&mut self.input, &mut packed, part)?;
        let mut large = vec![0; Columns::large_size(usize::try_from(headers).unwrap_or(0))];
        fill(&mut self.input, &mut large, part)?;
        let mut sum = [0; CHECKSUM_SIZE];
        fill(&mut self.input, &mut sum, part)?;
        if frame_checksum(first, [&sizes, &packed, &large]) != sum {
            return Err(SnapshotError::Checksum { part }.into());
        }
        let small = self.unpack(first, &packed, head.small)?;
        let segment = Columns::join(&small, &large)
            .map_err(|source| SnapshotFileError::Columns { first, source })?;
        self.next = first.plus(headers);
        Ok(Some(Frame { first, headers, segment }))
    }

    fn unpack(
        &mut self,
        first: BlockHeight,
        packed: &[u8],
        size: usize,
    ) -> Result<Vec<u8>, SnapshotFileError> {
        unpack(&mut self.unpacker, packed, size)
            .map_err(|error| SnapshotFileError::Unpacking { first, reason: error.to_string() })
    }

    /// The trailer, after the last frame, and that nothing follows it.
    ///
    /// # Errors
    /// [`SnapshotFileError`]
    pub fn trailer(mut self) -> Result<[u8; TRAILER_SIZE], SnapshotFileError> {
        let mut trailer = [0; TRAILER_SIZE];
        fill(&mut self.input, &mut trailer, SnapshotPart::Trailer)?;
        self.head.root(&trailer)?;
        let more =
            self.input.take(1).read_to_end(&mut Vec::new()).map_err(SnapshotFileError::Io)?;
        if more == 0 { Ok(trailer) } else { Err(SnapshotFileError::TrailingBytes) }
    }
}

fn fill(
    input: &mut impl Read,
    bytes: &mut [u8],
    part: SnapshotPart,
) -> Result<(), SnapshotFileError> {
    input.read_exact(bytes).map_err(|error| {
        let is_short = error.kind() == ErrorKind::UnexpectedEof;
        if is_short { SnapshotFileError::Truncated { part } } else { SnapshotFileError::Io(error) }
    })
}

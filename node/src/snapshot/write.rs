//! From a chain to a snapshot.

use std::io::{self, Write};

use ironlight_spv::compress::log::{Frontier, LeafHashes, LogHead};
use ironlight_spv::compress::snapshot::{FrameHead, SnapshotHead, frame_checksum};
use ironlight_spv::compress::{Columns, HeaderBody, encode};
use ironlight_spv::{BlockHash, BlockHeight, HeaderChain};

use super::error::SnapshotFileError;

/// Above this level zstd takes ten times as long and gains less than a hundredth.
const LEVEL: i32 = 3;

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// What the snapshot says of itself.
    pub head: SnapshotHead,
    /// Number of headers and root over their hashes.
    pub root: LogHead,
    /// Bytes of the compact segments.
    pub plain: u64,
    /// Bytes of the snapshot.
    pub bytes: u64,
}

/// Writes all headers of a chain. `progress` is told how many more are done.
///
/// # Errors
/// [`SnapshotFileError::Io`]; what was written by then is no snapshot.
pub fn write(
    chain: &HeaderChain,
    out: &mut impl Write,
    mut progress: impl FnMut(u32),
) -> Result<Written, SnapshotFileError> {
    let head = SnapshotHead::of(chain);
    let mut writer = Writer { out, log: Frontier::new(), plain: 0, bytes: 0 };
    writer.put(&head.encode())?;
    let mut parent = chain.start().header.prev_hash();
    let mut first = head.start.height;
    while let count @ 1.. = head.frame_headers(first) {
        let end = first.plus(count);
        parent = writer.frame(first, parent, chain.bodies(first..end))?;
        progress(count);
        first = end;
    }
    let root = writer.log.head();
    writer.put(&head.trailer(root.root.0))?;
    writer.out.flush().map_err(SnapshotFileError::Io)?;
    Ok(Written { head, root, plain: writer.plain, bytes: writer.bytes })
}

struct Writer<'a, W> {
    out: &'a mut W,
    log: Frontier,
    plain: u64,
    bytes: u64,
}

impl<W: Write> Writer<'_, W> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), SnapshotFileError> {
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes).map_err(SnapshotFileError::Io)
    }

    /// Writes headers that follow a parent; gives the last one's hash.
    fn frame(
        &mut self,
        first: BlockHeight,
        parent: BlockHash,
        bodies: impl Iterator<Item = HeaderBody>,
    ) -> Result<BlockHash, SnapshotFileError> {
        let (mut last, mut hashes) = (parent, Vec::new());
        let bodies = bodies.inspect(|body| {
            last = body.with_parent(last).hash();
            hashes.push(last);
        });
        let segment = encode(parent, bodies);
        // There are no more than heights, and there is room for each height.
        let _full = self.log.append_all(LeafHashes::of(hashes.into_iter()));
        self.plain += segment.len() as u64;
        let frame = pack(first, &segment).map_err(SnapshotFileError::Io)?;
        self.put(&frame)?;
        Ok(last)
    }
}

/// A frame's bytes.
pub(super) fn pack(first: BlockHeight, segment: &[u8]) -> io::Result<Vec<u8>> {
    let columns = Columns::split(segment).unwrap_or_else(|| unreachable!("a segment as encoded"));
    let packed = zstd::bulk::compress(&columns.small, LEVEL)?;
    let sizes = FrameHead { packed: packed.len(), small: columns.small.len() };
    let sizes = sizes.encode().unwrap_or_else(|| unreachable!("a period has few bytes"));
    let sum = frame_checksum(first, [&sizes, &packed, &columns.large]);
    Ok([&sizes[..], &packed, &columns.large, &sum].concat())
}

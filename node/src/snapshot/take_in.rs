//! From a snapshot into a chain, by all rules.

use std::error::Error;
use std::io::{ErrorKind, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use ironlight_spv::compress::CodecError;
use ironlight_spv::compress::log::{Frontier, LeafHashes, LogHead};
use ironlight_spv::compress::snapshot::{SnapshotHead, TRAILER_SIZE};
use ironlight_spv::{
    BlockHash, BlockHeight, ChainTip, HeaderChain, LinkedBatch, Params, TipChange, UnixTime,
    VerifiedBatch,
};

use super::error::SnapshotFileError;
use super::read::{Frame, SnapshotReader};

/// Periods that wait hashed for their turn, at most: half a megabyte each. Three more are in the hands of the threads.
const AHEAD: usize = 4;
/// Headers that room is made for before the first is read, at most: 11 MB.
const RESERVED: usize = 1 << 20;

/// What was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenIn {
    /// What the snapshot said of itself, which turned out right.
    pub head: SnapshotHead,
    /// Number of headers and root over their hashes.
    pub root: LogHead,
    /// Bytes of the compact segments.
    pub plain: u64,
    /// Headers that the chain did not have, on whatever branch.
    pub new: u64,
}

/// Has a chain take the headers of a snapshot: what it has of them already it passes over, so that whatever
/// was interrupted goes on. Each period is verified whole, given to `commit`, and applied then. Another
/// thread reads and hashes ahead. `progress` is told how many more are done.
///
/// # Errors
/// [`SnapshotFileError`]. The chain keeps the periods before the one that is wrong; where the end is wrong
/// it has all headers, each of which stands by itself.
pub fn take_in<R: Read + Send, E: Into<Box<dyn Error + Send + Sync>>>(
    reader: SnapshotReader<R>,
    chain: &mut HeaderChain,
    now: UnixTime,
    mut commit: impl FnMut(&HeaderChain, &VerifiedBatch) -> Result<(), E>,
    mut progress: impl FnMut(u32),
) -> Result<TakenIn, SnapshotFileError> {
    let (head, params) = (*reader.head(), chain.params().clone());
    if tip_of(chain, &head.start.hash) != Some(head.start) {
        return Err(SnapshotFileError::NotOnChain { start: head.start });
    }
    // The number is the file's word.
    chain.reserve(usize::try_from(head.count()).map_or(RESERVED, |count| count.min(RESERVED)));
    let (sender, receiver) = sync_channel(AHEAD);
    let waiting = &AtomicUsize::new(0);
    thread::scope(|scope| {
        // Gone with whatever ends this, so that the other thread does not wait for room.
        let receiver = receiver;
        let ahead = move || read_ahead(reader, &params, &sender, waiting);
        thread::Builder::new().name("snapshot-reader".to_owned()).spawn_scoped(scope, ahead)?;
        let log = Frontier::new();
        let mut taking =
            Taking { chain, now, start: head.start, log, last: None, plain: 0, new: 0 };
        let trailer = loop {
            match next(&receiver)? {
                Ahead::Period(period) => {
                    waiting.fetch_sub(1, Ordering::Relaxed);
                    let headers = u32::try_from(period.batch.len()).unwrap_or(u32::MAX);
                    let verified = taking.verify(period)?;
                    commit(taking.chain, &verified)
                        .map_err(|error| SnapshotFileError::Commit(error.into()))?;
                    taking.chain.apply(verified)?;
                    progress(headers);
                }
                Ahead::End(trailer) => break trailer,
            }
        };
        taking.finish(head, &trailer)
    })
}

/// A frame, decoded and hashed.
struct Period {
    first: BlockHeight,
    /// Of the segment.
    bytes: u64,
    batch: LinkedBatch,
    /// Where the reader had time for them.
    leaves: Option<LeafHashes>,
}

/// What the other thread has read.
enum Ahead {
    Period(Period),
    End([u8; TRAILER_SIZE]),
}

/// Reads and hashes until the end, the first error, or nobody wants more. Where no period waits, the other
/// thread is the quicker one, and hashes the leaves itself.
fn read_ahead<R: Read>(
    mut reader: SnapshotReader<R>,
    params: &Params,
    sender: &SyncSender<Result<Ahead, SnapshotFileError>>,
    waiting: &AtomicUsize,
) {
    loop {
        let (frames, more) = two_frames(&mut reader);
        for mut linked in link(&frames, params) {
            let failed = linked.is_err();
            if let Ok(Ahead::Period(period)) = &mut linked {
                let has_time = waiting.fetch_add(1, Ordering::Relaxed) > 0;
                period.leaves = has_time.then(|| LeafHashes::of(period.batch.hashes()));
            }
            // Whoever does not want it has met an error of its own.
            if sender.send(linked).is_err() || failed {
                return;
            }
        }
        match more {
            Ok(true) => {}
            Ok(false) => {
                let _ = sender.send(reader.trailer().map(Ahead::End));
                return;
            }
            Err(error) => {
                let _ = sender.send(Err(error));
                return;
            }
        }
    }
}

/// The next two frames, or as many as there are; and whether there may be more.
fn two_frames<R: Read>(
    reader: &mut SnapshotReader<R>,
) -> (Vec<Frame>, Result<bool, SnapshotFileError>) {
    let mut frames = Vec::with_capacity(2);
    while frames.len() < 2 {
        match reader.frame() {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, Ok(false)),
            Err(error) => return (frames, Err(error)),
        }
    }
    (frames, Ok(true))
}

/// Hashes frames, two of them side by side.
fn link(frames: &[Frame], params: &Params) -> Vec<Result<Ahead, SnapshotFileError>> {
    let batches = match frames.iter().map(sized).collect::<Vec<_>>()[..] {
        [one, other] => LinkedBatch::decode_two(params, [one, other]).into(),
        ref few => few.iter().map(|it| LinkedBatch::decode(params, it.0, it.1)).collect(),
    };
    let period = |(frame, batch): (&Frame, Result<LinkedBatch, CodecError>)| {
        let Frame { first, ref segment, .. } = *frame;
        let batch = batch.map_err(|source| SnapshotFileError::Segment { first, source })?;
        Ok(Ahead::Period(Period { first, bytes: segment.len() as u64, batch, leaves: None }))
    };
    frames.iter().zip::<Vec<_>>(batches).map(period).collect()
}

/// A frame's segment, and how many headers it may have.
fn sized(frame: &Frame) -> (&[u8], usize) {
    (&frame.segment, usize::try_from(frame.headers).unwrap_or(usize::MAX))
}

fn next(receiver: &Receiver<Result<Ahead, SnapshotFileError>>) -> Result<Ahead, SnapshotFileError> {
    // The other thread sends an end or an error before it ends, unless it panics, which the scope
    // passes on.
    receiver.recv().unwrap_or_else(|_| Err(SnapshotFileError::Io(ErrorKind::BrokenPipe.into())))
}

/// A header that a chain has, on whatever branch.
fn tip_of(chain: &HeaderChain, hash: &BlockHash) -> Option<ChainTip> {
    let (entry, _position) = chain.find(hash)?;
    Some(ChainTip { height: entry.height, hash: entry.hash, work: entry.work })
}

/// What the headers come to, on their way into the chain.
struct Taking<'a> {
    chain: &'a mut HeaderChain,
    now: UnixTime,
    start: ChainTip,
    log: Frontier,
    /// The last header of the frame before.
    last: Option<BlockHash>,
    plain: u64,
    new: u64,
}

impl Taking<'_> {
    /// Whether a frame begins where the one before ended, or the first with the first header: the rules
    /// alone would take headers again that the chain has, and the root would be another chain's.
    fn follows(&self, batch: &LinkedBatch) -> bool {
        match self.last {
            None => batch.hash(0) == Some(self.start.hash),
            Some(last) => batch.headers().first().is_some_and(|first| first.prev_hash() == last),
        }
    }

    /// A period is verified whole or not at all.
    fn verify(
        &mut self,
        Period { first, bytes, batch, leaves }: Period,
    ) -> Result<VerifiedBatch, SnapshotFileError> {
        if !self.follows(&batch) {
            return Err(SnapshotFileError::NotConsecutive { first });
        }
        self.plain += bytes;
        // There are no more than heights, and there is room for each height.
        let _full = self.log.append_all(leaves.unwrap_or_else(|| LeafHashes::of(batch.hashes())));
        self.last = batch.hashes().next_back().or(self.last);
        let verified = self.chain.verify_linked(batch, self.now).map_err(|mut error| {
            error.prefix = None;
            let height = first.plus(u32::try_from(error.index).unwrap_or(u32::MAX));
            SnapshotFileError::Header { height, first, error: Box::new(error) }
        })?;
        let connected = match verified.change() {
            TipChange::Unchanged => 0,
            TipChange::Extended { connected } | TipChange::Reorg { connected, .. } => {
                connected.len()
            }
        };
        self.new += (connected + verified.side_branch().len()) as u64;
        Ok(verified)
    }

    /// Compares all with what the snapshot says of itself.
    fn finish(
        self,
        head: SnapshotHead,
        trailer: &[u8; TRAILER_SIZE],
    ) -> Result<TakenIn, SnapshotFileError> {
        let root = self.log.head();
        let got = self.last.and_then(|last| tip_of(self.chain, &last)).unwrap_or(head.start);
        head.check_end(got, root.root.0, trailer)?;
        Ok(TakenIn { head, root, plain: self.plain, new: self.new })
    }
}

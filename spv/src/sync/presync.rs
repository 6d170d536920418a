//! The presync of one peer's chain: first it shows that it ends in enough work, then it is
//! downloaded again and compared with what was shown.
//!
//! Source: Bitcoin Core, `headerssync.cpp`. While the chain is shown only its last header's hash,
//! height and work are kept, and one salted bit every [`PresyncParams::commitment_period`] headers.
//! The second time headers wait in a buffer of [`PresyncParams::redownload_buffer`] until enough
//! bits behind them have been compared.
//!
//! What an attacker can grow, and where it stops: see [`memory_bound`].
//!
//! [`PresyncParams::commitment_period`]: crate::PresyncParams::commitment_period
//! [`PresyncParams::redownload_buffer`]: crate::PresyncParams::redownload_buffer

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bitcoin::{BlockHash, CompactTarget, Work};

use super::MAX_HEADERS;
use super::action::{GaveUp, PresyncStatus};
use super::commitments::{Bits, CHUNK_BITS, Secret};
use crate::chain::{LinkedBatch, Violation, WorkSum};
use crate::header::{BlockHeight, Header, IndexedHeader};
use crate::params::Params;
use crate::rules::difficulty::is_permitted;
use crate::rules::timestamp::MAX_FUTURE;
use crate::time::UnixTime;

/// The fastest that blocks can come for long: the median of eleven times must rise each time.
const MAX_BLOCKS_A_SECOND: u64 = 6;
/// A header without its parent's hash.
const COMPACT: usize = Header::SIZE - 32;

/// The most bytes that one presync holds, from a start with this median time past, of a peer whose
/// messages hold up to `page` headers.
///
/// The bits of the longest chain that can exist by now, plus a full buffer and one message behind
/// it at 48 bytes a header, plus what the queues themselves take. Mainnet from genesis in 2026:
/// 0.66 MB of bits and 0.83 MB of headers, 1.49 MB together, with messages of 2,000 headers.
#[must_use]
pub fn memory_bound(
    params: &Params,
    start_median_time: UnixTime,
    now: UnixTime,
    page: usize,
) -> usize {
    let bits = max_commitments(params, start_median_time, now);
    let bits = usize::try_from(bits).unwrap_or(usize::MAX);
    let chunks = bits.div_ceil(CHUNK_BITS).saturating_add(1);
    // A queue of pointers to chunks may have doubled just now.
    let chunks = chunks.saturating_mul(CHUNK_BITS / 8 + 4 * size_of::<usize>());
    let headers = kept(params).saturating_add(page).saturating_mul(COMPACT);
    size_of::<Presync>().saturating_add(chunks).saturating_add(headers)
}

fn max_commitments(params: &Params, start: UnixTime, now: UnixTime) -> u64 {
    let seconds = u64::from(now.0.saturating_sub(start.0)) + u64::from(MAX_FUTURE);
    MAX_BLOCKS_A_SECOND * seconds / u64::from(params.presync.commitment_period.max(1))
}

/// Headers that are held back at the second download. One message more may be held.
fn kept(params: &Params) -> usize {
    usize::try_from(params.presync.redownload_buffer).unwrap_or(usize::MAX)
}

/// What the driver of a presync is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask for more, from [`Presync::next_parent`] on.
    More,
    /// Enough work was shown up to here: ask for the same again, from [`Presync::next_parent`] on.
    Redownload { height: BlockHeight, work: Work },
    /// Headers may be released, or more asked for: see [`Presync::release`].
    Release,
    /// The attempt is over; nobody is to blame.
    GiveUp(GaveUp),
    /// Bits follow bits as they can on no chain.
    Invalid { hash: BlockHash, height: BlockHeight, violation: Violation },
}

/// How far a pass over the chain has come.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    hash: BlockHash,
    height: BlockHeight,
    bits: CompactTarget,
    work: WorkSum,
}

impl Cursor {
    fn at(entry: &IndexedHeader) -> Self {
        let bits = entry.header.compact_target();
        let work = WorkSum::from(entry.work);
        Self { hash: entry.hash, height: entry.height, bits, work }
    }

    /// Moves on by one header if its bits may follow.
    fn push(&mut self, params: &Params, header: &Header, hash: BlockHash) -> Result<(), Violation> {
        let height = self.height.next();
        let bits = header.compact_target();
        if !is_permitted(params, height, self.bits, bits) {
            return Err(Violation::ForbiddenTransition { from: self.bits, got: bits });
        }
        self.work.add(bits);
        *self = Self { hash, height, bits, work: self.work };
        Ok(())
    }
}

/// The second download.
#[derive(Debug)]
struct Buffer {
    headers: VecDeque<[u8; COMPACT]>,
    /// The parent of the first header held.
    first_parent: BlockHash,
    /// So many are held back.
    kept: usize,
    /// The threshold was reached once more: all is released, and bits are not compared any more.
    complete: bool,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Presync {
    start: Cursor,
    threshold: Work,
    secret: Secret,
    period: u32,
    max_commitments: u64,
    commitments: Bits,
    cursor: Cursor,
    redownload: Option<Buffer>,
    compare: bool,
    /// Headers in one of the peer's messages at most.
    page: usize,
}

impl Presync {
    /// Starts from a known header. `random` are 32 bytes that no peer can know.
    pub(super) fn new(
        params: &Params,
        start: &IndexedHeader,
        start_median_time: UnixTime,
        threshold: Work,
        random: [u8; 32],
        now: UnixTime,
    ) -> Self {
        let period = params.presync.commitment_period.max(1);
        Self {
            start: Cursor::at(start),
            threshold,
            secret: Secret::new(random, period),
            period,
            max_commitments: max_commitments(params, start_median_time, now),
            commitments: Bits::default(),
            cursor: Cursor::at(start),
            redownload: None,
            compare: true,
            page: MAX_HEADERS,
        }
    }

    /// For a peer whose messages hold up to so many headers.
    pub(super) fn with_page(self, page: usize) -> Self {
        Self { page, ..self }
    }

    /// Takes any chain at the second download. For tests of what the comparison is for.
    pub(super) fn without_comparison(self) -> Self {
        Self { compare: false, ..self }
    }

    /// The hash that the next header has to name as its parent.
    pub(super) const fn next_parent(&self) -> BlockHash {
        self.cursor.hash
    }

    /// The known header that the presync started from.
    pub(super) const fn start(&self) -> BlockHash {
        self.start.hash
    }

    pub(super) const fn height(&self) -> BlockHeight {
        self.cursor.height
    }

    pub(super) const fn work(&self) -> Work {
        self.cursor.work.total
    }

    pub(super) const fn status(&self) -> PresyncStatus {
        PresyncStatus {
            redownload: self.redownload.is_some(),
            height: self.cursor.height,
            work: self.cursor.work.total,
            threshold: self.threshold,
        }
    }

    /// Whether all of the second download has been released.
    pub(super) fn is_finished(&self) -> bool {
        self.redownload.as_ref().is_some_and(|buffer| buffer.complete && buffer.headers.is_empty())
    }

    /// Takes the next headers, all of which have proof of work and follow each other and
    /// [`next_parent`](Self::next_parent); those before `from` are known already. `full` says that
    /// there may be more.
    pub(super) fn advance(
        &mut self,
        params: &Params,
        batch: &LinkedBatch,
        from: usize,
        full: bool,
    ) -> Step {
        for (index, header) in batch.headers().iter().enumerate().skip(from) {
            let Some(hash) = batch.hash(index) else { break };
            let height = self.cursor.height.next();
            if let Err(violation) = self.cursor.push(params, header, hash) {
                return Step::Invalid { hash, height, violation };
            }
            if let Err(reason) = self.commit_or_compare(header, &hash) {
                return Step::GiveUp(reason);
            }
        }
        match &self.redownload {
            None if self.cursor.work.total >= self.threshold => self.begin_redownload(params),
            None if full => Step::More,
            None => Step::GiveUp(GaveUp::LowWork),
            Some(buffer) if buffer.complete || full => Step::Release,
            Some(_) => Step::GiveUp(GaveUp::Declined),
        }
    }

    /// What is kept of the header that the cursor has just moved to.
    fn commit_or_compare(&mut self, header: &Header, hash: &BlockHash) -> Result<(), GaveUp> {
        let committed = self.secret.is_at(self.cursor.height.0, self.period);
        let Some(buffer) = &mut self.redownload else {
            if committed {
                self.commitments.push(self.secret.bit(hash));
            }
            let kept = u64::try_from(self.commitments.len()).unwrap_or(u64::MAX);
            return if kept > self.max_commitments { Err(GaveUp::TooLong) } else { Ok(()) };
        };
        buffer.complete |= self.cursor.work.total >= self.threshold;
        if committed && !buffer.complete && self.compare {
            match self.commitments.pop() {
                None => return Err(GaveUp::CommitmentOverrun),
                Some(bit) if bit != self.secret.bit(hash) => {
                    return Err(GaveUp::CommitmentMismatch);
                }
                Some(_) => {}
            }
        }
        buffer.headers.push_back(compact(header));
        Ok(())
    }

    fn begin_redownload(&mut self, params: &Params) -> Step {
        // Made once in its full size: growing by doubling would cost half as much again.
        let held = usize::try_from(self.cursor.height.0.saturating_sub(self.start.height.0))
            .unwrap_or(usize::MAX)
            .saturating_add(self.page);
        self.redownload = Some(Buffer {
            headers: VecDeque::with_capacity(held.min(kept(params).saturating_add(self.page))),
            first_parent: self.start.hash,
            kept: kept(params),
            complete: false,
        });
        let (height, work) = (self.cursor.height, self.cursor.work.total);
        self.cursor = self.start;
        Step::Redownload { height, work }
    }

    /// The next headers that may be checked and kept, at most one message's worth; empty where
    /// more must be downloaded first.
    pub(super) fn release(&mut self) -> Vec<Header> {
        let Some(buffer) = &mut self.redownload else { return Vec::new() };
        let kept = if buffer.complete { 0 } else { buffer.kept };
        let ready = buffer.headers.len().saturating_sub(kept).min(MAX_HEADERS);
        let mut released = Vec::with_capacity(ready);
        for bytes in buffer.headers.drain(..ready) {
            let header = expand(&bytes, &buffer.first_parent);
            buffer.first_parent = header.hash();
            released.push(header);
        }
        released
    }
}

fn compact(header: &Header) -> [u8; COMPACT] {
    let mut bytes = [0; COMPACT];
    let whole = header.as_bytes();
    bytes[..4].copy_from_slice(&whole[..4]);
    bytes[4..].copy_from_slice(&whole[36..]);
    bytes
}

fn expand(bytes: &[u8; COMPACT], parent: &BlockHash) -> Header {
    let mut whole = [0; Header::SIZE];
    whole[..4].copy_from_slice(&bytes[..4]);
    whole[4..36].copy_from_slice(parent.as_ref());
    whole[36..].copy_from_slice(&bytes[4..]);
    Header::from_bytes(whole)
}

#[cfg(test)]
mod tests;

//! The stages of a batch of headers: linked, verified, applied.
//!
//! [`LinkedBatch`] is stateless work and may be done on any thread. [`VerifiedBatch`] can only be
//! had from [`HeaderChain::verify`](super::HeaderChain::verify), so holding one is the proof that
//! all rules were checked; its [`TipChange`] says beforehand what applying it will do, so that a
//! store can commit first.

use alloc::vec::Vec;
use core::fmt;

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, Work};

use super::context::Context;
use super::error::Violation;
use super::work::WorkSum;
use crate::compress::{CodecError, Hashed, Unlinked};
use crate::header::{BlockHeight, Header};
use crate::lanes;
use crate::params::Params;
use crate::rules::pow::PowCheck;

/// The last header of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainTip {
    /// Its height.
    pub height: BlockHeight,
    /// Its hash.
    pub hash: BlockHash,
    /// Total work of the chain, its last header included.
    pub work: Work,
}

impl fmt::Display for ChainTip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at height {}", self.hash, self.height)
    }
}

/// Headers that follow each other, with their hashes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HeaderRun {
    first: BlockHeight,
    headers: Vec<Header>,
    hashes: Vec<[u8; 32]>,
}

impl fmt::Debug for HeaderRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Two thousand headers tell a reader less than their place does.
        f.debug_struct("HeaderRun")
            .field("first", &self.first)
            .field("len", &self.len())
            .field("last_hash", &self.last_hash())
            .finish_non_exhaustive()
    }
}

impl HeaderRun {
    pub(super) fn starting_at(first: BlockHeight) -> Self {
        Self { first, headers: Vec::new(), hashes: Vec::new() }
    }

    pub(super) fn push(&mut self, header: Header, hash: BlockHash) {
        self.headers.push(header);
        self.hashes.push(hash.to_byte_array());
    }

    pub(super) fn append(&mut self, mut other: Self) {
        self.headers.append(&mut other.headers);
        self.hashes.append(&mut other.hashes);
    }

    /// Height of the first header.
    #[must_use]
    pub const fn first_height(&self) -> BlockHeight {
        self.first
    }

    /// The headers, oldest first.
    #[must_use]
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    pub(super) fn hashes(&self) -> &[[u8; 32]] {
        &self.hashes
    }

    /// The headers with their heights and hashes, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (BlockHeight, BlockHash, &Header)> {
        self.headers.iter().zip(&self.hashes).enumerate().map(|(offset, (header, hash))| {
            let offset = u32::try_from(offset).unwrap_or(u32::MAX);
            (self.first.plus(offset), BlockHash::from_byte_array(*hash), header)
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.headers.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    /// Hash of the last header.
    #[must_use]
    pub fn last_hash(&self) -> Option<BlockHash> {
        self.hashes.last().copied().map(BlockHash::from_byte_array)
    }
}

/// What a batch does to the best chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TipChange {
    /// The tip stays: the headers were known, or lie on a branch with no more work.
    Unchanged,
    /// The best chain grows.
    Extended {
        /// The new headers.
        connected: HeaderRun,
    },
    /// A branch with more work takes over.
    Reorg {
        /// The last header that both branches share.
        fork_point: ChainTip,
        /// The old branch above the fork point, oldest first.
        disconnected: HeaderRun,
        /// The new branch above the fork point, oldest first.
        connected: HeaderRun,
    },
}

/// A batch whose headers are hashed, meet their own targets and follow each other. What needs a
/// chain has not been checked yet.
pub struct LinkedBatch {
    pub(super) headers: Vec<Header>,
    pub(super) hashes: Vec<[u8; 32]>,
    /// So many headers passed; after them comes the failure, if there is one.
    pub(super) passed: usize,
    pub(super) failure: Option<Violation>,
}

impl fmt::Debug for LinkedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkedBatch")
            .field("len", &self.len())
            .field("passed", &self.passed)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

impl LinkedBatch {
    /// Hashes a batch in parallel lanes and checks proof of work and continuity.
    #[must_use]
    pub fn new(params: &Params, headers: Vec<Header>) -> Self {
        let mut hashes = alloc::vec![[0; 32]; headers.len()];
        lanes::sha256d_80(&headers, &mut hashes);
        Self::of_hashed(params, Hashed { headers, hashes })
    }

    /// The same, from a compact segment of at most so many headers: decoding it hashes them anyway.
    ///
    /// # Errors
    /// [`CodecError`], where the bytes are no segment.
    pub fn decode(params: &Params, segment: &[u8], limit: usize) -> Result<Self, CodecError> {
        Ok(Self::of_hashed(params, Unlinked::decode(segment, limit)?.link()))
    }

    /// The same for two segments, each with its limit, in little more than the time of one.
    ///
    /// # Errors
    /// [`CodecError`], for each of them by itself.
    pub fn decode_two(
        params: &Params,
        segments: [(&[u8], usize); 2],
    ) -> [Result<Self, CodecError>; 2] {
        match segments.map(|(segment, limit)| Unlinked::decode(segment, limit)) {
            [Ok(one), Ok(other)] => {
                Unlinked::link_two([one, other]).map(|hashed| Ok(Self::of_hashed(params, hashed)))
            }
            apart => apart.map(|decoded| Ok(Self::of_hashed(params, decoded?.link()))),
        }
    }

    fn of_hashed(params: &Params, Hashed { headers, hashes }: Hashed) -> Self {
        let mut pow = PowCheck::new(params.pow_limit);
        let mut passed = 0;
        let mut failure = None;
        let mut parent: Option<&[u8; 32]> = None;
        for (header, hash) in headers.iter().zip(&hashes) {
            let checked = pow
                .check(header.compact_target(), &BlockHash::from_byte_array(*hash))
                .and_then(|()| follows(parent, header));
            if let Err(violation) = checked {
                failure = Some(violation);
                break;
            }
            parent = Some(hash);
            passed += 1;
        }
        Self { headers, hashes, passed, failure }
    }

    /// Appends the headers of another one: what comes of it is as if all had come in together.
    pub fn append(&mut self, mut next: Self) {
        if self.failure.is_none() {
            let link = next.headers.first().map_or(Ok(()), |it| follows(self.hashes.last(), it));
            (self.passed, self.failure) = match link {
                Ok(()) => (self.passed + next.passed, next.failure),
                Err(violation) => (self.passed, Some(violation)),
            };
        }
        self.headers.append(&mut next.headers);
        self.hashes.append(&mut next.hashes);
    }

    /// How many headers came in, the failing ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.headers.len()
    }

    /// Whether no headers came in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    /// The headers as they came in, the failing ones included.
    #[must_use]
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// How many headers, from the first on, have work for their own targets and follow each other.
    #[must_use]
    pub const fn passed(&self) -> usize {
        self.passed
    }

    /// What is wrong with the header after those that passed, if there is one.
    #[must_use]
    pub const fn failure(&self) -> Option<&Violation> {
        self.failure.as_ref()
    }

    /// The work that the headers stand for; none where one has failed, since a target that nothing was
    /// done for may stand for more than a sum can hold.
    #[must_use]
    pub fn work(&self) -> Option<Work> {
        if self.failure.is_some() {
            return None;
        }
        let mut sum = WorkSum::from(crate::params::no_work());
        for header in &self.headers {
            sum.add(header.compact_target());
        }
        Some(sum.total)
    }

    /// The hashes of all headers, the failing ones included.
    pub fn hashes(&self) -> impl ExactSizeIterator<Item = BlockHash> + DoubleEndedIterator {
        self.hashes.iter().copied().map(BlockHash::from_byte_array)
    }

    /// The hash of one of the headers.
    #[must_use]
    pub fn hash(&self, index: usize) -> Option<BlockHash> {
        self.hashes.get(index).copied().map(BlockHash::from_byte_array)
    }

    /// The headers from `from` up to `to`, with hashes, taken out of the batch.
    pub(super) fn into_run(self, from: usize, to: usize, first: BlockHeight) -> HeaderRun {
        let (mut headers, mut hashes) = (self.headers, self.hashes);
        headers.truncate(to);
        hashes.truncate(to);
        if from > 0 {
            headers.drain(..from.min(to));
            hashes.drain(..from.min(to));
        }
        HeaderRun { first, headers, hashes }
    }
}

#[inline]
fn follows(parent: Option<&[u8; 32]>, header: &Header) -> Result<(), Violation> {
    match parent {
        Some(parent) if header.prev_hash().as_byte_array() != parent => {
            Err(Violation::NotConsecutive {
                expected: BlockHash::from_byte_array(*parent),
                got: header.prev_hash(),
            })
        }
        Some(_) | None => Ok(()),
    }
}

/// Headers that passed every rule, and what applying them will do.
#[derive(Clone, Debug)]
pub struct VerifiedBatch {
    pub(super) change: TipChange,
    /// With an unchanged tip: the headers, which go onto a side branch.
    pub(super) side: HeaderRun,
    /// The last header of the batch and what its children's rules need.
    pub(super) end: Context,
    /// The state of the chain that the plan was made for, and its tip then.
    pub(super) revision: u64,
    pub(super) made_on: BlockHash,
}

impl VerifiedBatch {
    /// What applying this batch will do to the best chain.
    #[must_use]
    pub const fn change(&self) -> &TipChange {
        &self.change
    }

    /// The headers that go onto a side branch; empty where the tip changes.
    #[must_use]
    pub const fn side_branch(&self) -> &HeaderRun {
        &self.side
    }

    /// The last header of the batch.
    #[must_use]
    pub fn end(&self) -> ChainTip {
        self.end.tip()
    }

    /// Whether every header was known already.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self.change, TipChange::Unchanged) && self.side.is_empty()
    }
}

/// The chain has changed since the batch was verified, or is another one; verify it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaleBatch;

impl fmt::Display for StaleBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the chain has changed since the batch was verified: verify it again")
    }
}

impl core::error::Error for StaleBatch {}

//! The header chain: verify a batch, apply it, look things up.
//!
//! Invariant: every header in it passed every rule that its [`Basis`] allows to be applied, and
//! the best chain is the one with the most work, the first seen among equals. What an attacker
//! can grow: side branches, up to [`MAX_FORK_HEADERS`] headers, and the list of headers known to
//! be invalid, up to [`MAX_INVALID`].

mod ancestry;
mod apply;
mod batch;
mod context;
mod error;
mod forks;
mod index;
mod locator;
mod spine;
mod start;
mod verify;
mod work;

use alloc::collections::{BTreeSet, VecDeque};
use core::ops::Range;

use bitcoin::{BlockHash, CompactTarget};

pub use batch::{ChainTip, HeaderRun, LinkedBatch, StaleBatch, TipChange, VerifiedBatch};
use context::Context;
pub use context::Unapplied;
pub use error::{Blame, HeaderError, Violation};
use forks::ForkTree;
pub use forks::MAX_FORK_HEADERS;
pub use locator::BlockLocator;
use spine::Spine;
pub use start::{Basis, TrustedStart};
pub(crate) use work::{WorkSum, work_of};

use crate::compress::HeaderBody;
use crate::header::{BlockHeight, IndexedHeader};
use crate::params::Params;
use crate::rules::checkpoint;
use crate::rules::difficulty::{self, Required};
use crate::rules::pow::PowCheck;
use crate::time::UnixTime;

/// Headers remembered as invalid; the oldest is forgotten first.
pub const MAX_INVALID: usize = 1024;

/// Where a known header lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// On the best chain.
    Best,
    /// On a side branch.
    Side,
}

/// A chain of verified headers, with its side branches.
#[derive(Clone, Debug)]
pub struct HeaderChain {
    params: Params,
    start: TrustedStart,
    spine: Spine,
    forks: ForkTree,
    /// The tip and what its children's rules need.
    tip: Context,
    /// The same for the side branch that grew last, so that a long one grows in linear time.
    last_side: Option<Context>,
    invalid: BTreeSet<BlockHash>,
    invalid_order: VecDeque<BlockHash>,
    revision: u64,
}

impl HeaderChain {
    /// A chain that holds its network's genesis.
    #[must_use]
    pub fn new(params: Params) -> Self {
        let work = work_of(params.genesis.compact_target());
        let genesis = params.genesis;
        Self::starting_at(params, TrustedStart::bare(BlockHeight::GENESIS, genesis, work))
    }

    /// A chain that starts at a header which the user trusts.
    ///
    /// # Errors
    /// [`HeaderError`] where not even the start's own proof of work holds, where it claims height
    /// 0 and is not genesis, or where the total work that it claims cannot be.
    pub fn from_start(params: Params, start: TrustedStart) -> Result<Self, HeaderError> {
        let hash = start.header.hash();
        let genesis = params.genesis.hash();
        let checked = if start.height == BlockHeight::GENESIS && hash != genesis {
            Err(Violation::WrongStart { expected: genesis })
        } else {
            PowCheck::new(params.pow_limit).check(start.header.compact_target(), &hash)
        };
        let checked = checked
            .and_then(|()| start.check_work())
            .and_then(|()| checkpoint::check(&params, start.height, &hash));
        match checked {
            Ok(()) => Ok(Self::starting_at(params, start)),
            Err(violation) => {
                let height = Some(start.height);
                let blame = violation.blame();
                Err(HeaderError { index: 0, height, hash, violation, blame, prefix: None })
            }
        }
    }

    fn starting_at(mut params: Params, start: TrustedStart) -> Self {
        let tip = start.context(&params);
        if start.counts_from_itself() {
            // What is counted from the start cannot be compared with a network's total.
            params.minimum_chain_work = crate::params::no_work();
        }
        Self {
            spine: Spine::new(start.height, &start.header, start.work),
            params,
            start,
            forks: ForkTree::default(),
            tip,
            last_side: None,
            invalid: BTreeSet::new(),
            invalid_order: VecDeque::new(),
            revision: 0,
        }
    }

    /// The network's parameters.
    #[must_use]
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// What the chain's verdicts rest on.
    #[must_use]
    pub fn basis(&self) -> Basis {
        if self.start.height == BlockHeight::GENESIS {
            return Basis::Genesis;
        }
        let (height, hash) = (self.start.height, self.start.header.hash());
        let unapplied = self.start.unapplied(&self.params);
        if self.start.imported {
            Basis::Import { height, hash, unapplied }
        } else {
            Basis::TrustedStart { height, hash, unapplied }
        }
    }

    /// The header that the chain starts from, genesis included.
    #[must_use]
    pub const fn start(&self) -> &TrustedStart {
        &self.start
    }

    /// The lowest height held.
    #[must_use]
    pub const fn start_height(&self) -> BlockHeight {
        self.spine.start()
    }

    /// The last header of the best chain.
    #[must_use]
    pub fn tip(&self) -> ChainTip {
        self.tip.tip()
    }

    /// Median of the times of the tip and the ten headers before it; none shortly after a trusted
    /// start whose context was not given.
    #[must_use]
    pub fn median_time_past(&self) -> Option<UnixTime> {
        self.tip.times.median()
    }

    /// The time that the tip claims.
    #[must_use]
    pub const fn tip_time(&self) -> UnixTime {
        self.tip.lineage.time
    }

    /// The compact target that a header on the tip must name if it claims a time.
    #[must_use]
    pub fn required_after_tip(&self, time: UnixTime) -> CompactTarget {
        match difficulty::required(&self.params, &self.tip.lineage, time) {
            Required::Exactly(bits) | Required::PermittedFrom(bits) => bits,
        }
    }

    /// How many headers lie on side branches.
    #[must_use]
    pub fn side_headers(&self) -> usize {
        self.forks.len()
    }

    /// How many headers of side branches were evicted so far.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.forks.evicted()
    }

    /// The header at a height of the best chain.
    #[must_use]
    pub fn get(&self, height: BlockHeight) -> Option<IndexedHeader> {
        self.spine.indexed(height)
    }

    /// The hash at a height of the best chain.
    #[must_use]
    pub fn hash_at(&self, height: BlockHeight) -> Option<BlockHash> {
        if height == self.tip.lineage.height {
            return Some(self.tip.hash);
        }
        self.spine.parent_hash(height.next())
    }

    /// The header with a hash, on whatever branch.
    #[must_use]
    pub fn find(&self, hash: &BlockHash) -> Option<(IndexedHeader, Position)> {
        if let Some(entry) = self.forks.get(hash) {
            return Some((entry, Position::Side));
        }
        let height = self.best_height(hash)?;
        self.get(height).map(|entry| (entry, Position::Best))
    }

    /// Whether a header is known, on whatever branch.
    #[must_use]
    pub fn contains(&self, hash: &BlockHash) -> bool {
        self.forks.contains(hash) || self.best_height(hash).is_some()
    }

    fn best_height(&self, hash: &BlockHash) -> Option<BlockHeight> {
        if *hash == self.tip.hash {
            return Some(self.tip.lineage.height);
        }
        self.spine.find(hash)
    }

    /// Headers of the best chain without their parents' hashes, oldest first: what an encoder
    /// needs, read without hashing. Ends early where the chain does.
    pub fn bodies(&self, heights: Range<BlockHeight>) -> impl Iterator<Item = HeaderBody> {
        self.spine.bodies(heights)
    }

    /// Keeps the branch that ends in a header from being evicted.
    pub fn pin(&mut self, end: BlockHash) {
        self.forks.pin(end);
    }

    /// Takes a pin back.
    pub fn unpin(&mut self, end: &BlockHash) {
        self.forks.unpin(end);
    }

    /// Remembers a header that broke a rule through its sender's fault, so that descendants of
    /// it are refused without checking them. Errors that are nobody's fault are not remembered,
    /// nor are headers without proof of work: they cost nothing to make, and would push out the
    /// ones that did cost something.
    pub fn remember_invalid(&mut self, error: &HeaderError) {
        let lasting = error.blame() == Blame::Peer && error.violation.has_work();
        if !lasting || !self.invalid.insert(error.hash) {
            return;
        }
        self.invalid_order.push_back(error.hash);
        if self.invalid_order.len() > MAX_INVALID
            && let Some(oldest) = self.invalid_order.pop_front()
        {
            self.invalid.remove(&oldest);
        }
    }
}

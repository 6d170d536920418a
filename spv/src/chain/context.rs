//! What the rules need to know of a header's ancestors, moved on header by header.

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, CompactTarget, Work};

use super::batch::ChainTip;
use super::error::Violation;
use super::work::WorkSum;
use crate::header::{BlockHeight, Header};
use crate::params::Params;
use crate::rules::difficulty::{self, Lineage, Required};
use crate::rules::timestamp::{self, RecentTimes};
use crate::rules::{checkpoint, version};
use crate::time::UnixTime;

/// The parent of the next header, and what its rules need of its ancestors.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(super) hash: BlockHash,
    pub(super) work: WorkSum,
    pub(super) times: RecentTimes,
    pub(super) lineage: Lineage,
}

impl Context {
    pub(super) fn new(hash: BlockHash, work: Work, times: RecentTimes, lineage: Lineage) -> Self {
        Self { hash, work: WorkSum::from(work), times, lineage }
    }

    pub(super) fn tip(&self) -> ChainTip {
        ChainTip { height: self.lineage.height, hash: self.hash, work: self.work.total }
    }

    /// Checks all rules that need ancestors, in the order of `ContextualCheckBlockHeader`.
    #[inline]
    pub(super) fn check(
        &self,
        params: &Params,
        header: &Header,
        hash: &[u8; 32],
        now: UnixTime,
    ) -> Result<(), Violation> {
        let height = self.lineage.height.next();
        let time = header.time();
        self.check_target(params, header)?;
        timestamp::check_median(&self.times, time)?;
        if params.bip94 && self.lineage.next_starts_period() {
            timestamp::check_timewarp(self.lineage.time, time)?;
        }
        timestamp::check_future(now, time)?;
        version::check(params, height, header.version())?;
        if params.checkpoints.is_empty() {
            return Ok(());
        }
        checkpoint::check(params, height, &BlockHash::from_byte_array(*hash))
    }

    #[inline]
    fn check_target(&self, params: &Params, header: &Header) -> Result<(), Violation> {
        let got = header.compact_target();
        match difficulty::required(params, &self.lineage, header.time()) {
            Required::Exactly(expected) if got != expected => {
                Err(Violation::WrongTarget { expected, got })
            }
            Required::PermittedFrom(from)
                if !difficulty::is_permitted(params, self.lineage.height.next(), from, got) =>
            {
                Err(Violation::ForbiddenTransition { from, got })
            }
            Required::Exactly(_) | Required::PermittedFrom(_) => Ok(()),
        }
    }

    /// Moves on to the next header, whose rules were checked.
    #[inline]
    pub(super) fn push(&mut self, params: &Params, header: &Header, hash: BlockHash) {
        self.push_fields(params, header.time(), header.compact_target());
        self.hash = hash;
    }

    /// Moves on, all but the hash.
    #[inline]
    pub(super) fn push_fields(&mut self, params: &Params, time: UnixTime, bits: CompactTarget) {
        self.work.add(bits);
        self.times.push(time);
        self.lineage.push(params, time, bits);
    }
}

/// Which rules could not be applied to the first headers after a start, and how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unapplied {
    /// The median-time rule, up to and including this height.
    pub median_time_until: Option<BlockHeight>,
    /// The exact target, up to and including this height; permitted transitions were checked.
    pub difficulty_until: Option<BlockHeight>,
    /// The minimum chain work: the work before the start is not known.
    pub minimum_work: bool,
}

//! What the rules need to know of a header's ancestors, moved on header by header.

use bitcoin::{BlockHash, CompactTarget, Work};

use super::batch::ChainTip;
use super::error::Violation;
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
    pub(super) work: Work,
    pub(super) times: RecentTimes,
    pub(super) lineage: Lineage,
    /// The work of one header with the lineage's bits: dividing is dear, and bits change rarely.
    unit: (CompactTarget, Work),
}

impl Context {
    pub(super) fn new(hash: BlockHash, work: Work, times: RecentTimes, lineage: Lineage) -> Self {
        let unit = (lineage.bits, work_of(lineage.bits));
        Self { hash, work, times, lineage, unit }
    }

    pub(super) fn tip(&self) -> ChainTip {
        ChainTip { height: self.lineage.height, hash: self.hash, work: self.work }
    }

    /// Checks all rules that need ancestors, in the order of `ContextualCheckBlockHeader`.
    #[inline]
    pub(super) fn check(
        &self,
        params: &Params,
        header: &Header,
        hash: &BlockHash,
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
        checkpoint::check(params, height, hash)
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
        if self.unit.0 != bits {
            self.unit = (bits, work_of(bits));
        }
        self.work = self.work + self.unit.1;
        self.times.push(time);
        self.lineage.push(params, time, bits);
    }
}

/// The work that one header with these bits stands for; the bits were checked before.
pub(crate) fn work_of(bits: CompactTarget) -> Work {
    bitcoin::Target::from_compact(bits).to_work()
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

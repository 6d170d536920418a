//! Where a chain starts, and what its verdicts therefore rest on.

use alloc::vec::Vec;
use core::fmt;

use bitcoin::{BlockHash, CompactTarget, Work};

use super::context::{Context, Unapplied};
use super::error::Violation;
use super::work::work_of;
use crate::header::{BlockHeight, Header};
use crate::params::Params;
use crate::rules::difficulty::{Lineage, PeriodFirst};
use crate::rules::timestamp::{MEDIAN_SPAN, RecentTimes};
use crate::time::UnixTime;

/// A header that the user trusts, to start from instead of genesis.
///
/// The rules for its first descendants look at ancestors of it. What is not given here leaves
/// some of them unapplied, and the chain's [`Basis`] says which.
#[derive(Clone, Debug)]
pub struct TrustedStart {
    /// Its height.
    pub height: BlockHeight,
    /// The header.
    pub header: Header,
    /// Total work up to and including it.
    pub work: Work,
    /// The times of the headers before it, newest last; ten are enough, or all there are.
    pub previous_times: Vec<UnixTime>,
    /// The first header of its difficulty period, unless it is that itself.
    pub period_first: Option<PeriodFirst>,
    /// Where minimum-difficulty blocks exist: the bits of the last header of its period that is
    /// not at the limit, unless it is that itself.
    pub last_ordinary: Option<CompactTarget>,
    /// Whether it comes from a file: then its height and work are the file's owner's word.
    pub imported: bool,
}

impl TrustedStart {
    /// A start of which nothing before it is known.
    #[must_use]
    pub const fn bare(height: BlockHeight, header: Header, work: Work) -> Self {
        Self {
            height,
            header,
            work,
            previous_times: Vec::new(),
            period_first: None,
            last_ordinary: None,
            imported: false,
        }
    }

    /// The total includes the header's own work, and leaves room for all that will be added.
    pub(super) fn check_work(&self) -> Result<(), Violation> {
        let mut half = [0; 32];
        half[0] = 0x80;
        let own = work_of(self.header.compact_target());
        if self.work < own || self.work >= Work::from_be_bytes(half) {
            return Err(Violation::ImpossibleWork { own, got: self.work });
        }
        Ok(())
    }

    /// Whether the work before the start is not known: then its own is all that is claimed, work
    /// is counted from the start on, and the minimum chain work is not asked for.
    #[must_use]
    pub fn counts_from_itself(&self) -> bool {
        self.height > BlockHeight::GENESIS && self.work == work_of(self.header.compact_target())
    }

    pub(super) fn context(&self, params: &Params) -> Context {
        let before = usize::try_from(self.height.0).unwrap_or(usize::MAX);
        let mut times = RecentTimes::new(self.previous_times.len() >= before);
        for time in self.previous_times.iter().rev().take(before.min(MEDIAN_SPAN - 1)).rev() {
            times.push(*time);
        }
        times.push(self.header.time());
        let lineage = Lineage::of_start(
            params,
            self.height,
            self.header.time(),
            self.header.compact_target(),
            self.period_first,
            self.last_ordinary,
        );
        Context::new(self.header.hash(), self.work, times, lineage)
    }

    /// Which rules cannot be applied after this start, and how far.
    #[must_use]
    pub(super) fn unapplied(&self, params: &Params) -> Unapplied {
        let context = self.context(params);
        let known = self.previous_times.len().min(MEDIAN_SPAN - 1);
        let missing = u32::try_from(MEDIAN_SPAN - 1 - known).unwrap_or(0);
        let into_period = self.height.0 % params.period;
        let next_period = self.height.plus(params.period - into_period);
        let retargets = !params.no_retargeting;
        let first_unknown = retargets && context.lineage.period_first.is_none();
        let ordinary_unknown =
            params.minimum_difficulty_blocks && context.lineage.last_ordinary.is_none();
        Unapplied {
            median_time_until: (!context.times.is_complete()).then(|| self.height.plus(missing)),
            minimum_work: self.counts_from_itself(),
            difficulty_until: (first_unknown || ordinary_unknown).then_some(next_period),
        }
    }
}

/// What a chain's verdicts rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Every rule, from the network's first block on.
    Genesis,
    /// A header that the user trusts; rules apply from there on.
    TrustedStart {
        /// Its height.
        height: BlockHeight,
        /// Its hash.
        hash: BlockHash,
        /// What could not be applied to its first descendants.
        unapplied: Unapplied,
    },
    /// The first header of a file, with the height and work that came with it; rules apply from
    /// there on.
    Import {
        /// Its height.
        height: BlockHeight,
        /// Its hash.
        hash: BlockHash,
        /// What could not be applied to its first descendants.
        unapplied: Unapplied,
    },
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, height, hash, unapplied) = match self {
            Self::Genesis => return f.write_str("all rules from genesis"),
            Self::TrustedStart { height, hash, unapplied } => ("trusted", height, hash, unapplied),
            Self::Import { height, hash, unapplied } => ("imported", height, hash, unapplied),
        };
        write!(f, "all rules from the {what} start {hash} at height {height}")?;
        if let Some(until) = unapplied.median_time_until {
            let first = height.next();
            write!(f, "; median-time rule not applied to heights {first} to {until}")?;
        }
        if let Some(until) = unapplied.difficulty_until {
            write!(f, "; exact target not checked up to height {until}")?;
        }
        if unapplied.minimum_work {
            f.write_str("; work counted from there, minimum chain work not asked for")?;
        }
        Ok(())
    }
}

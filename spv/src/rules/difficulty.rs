//! The target that a header must name, no easier and no harder.
//!
//! Source: Bitcoin Core, `pow.cpp`: `GetNextWorkRequired`, `CalculateNextWorkRequired`,
//! `PermittedDifficultyTransition`; BIP94 for testnet4.

use bitcoin::{CompactTarget, Target};

use crate::header::BlockHeight;
use crate::params::Params;
use crate::target::{decode_compact, scale};
use crate::time::UnixTime;

/// What a retarget needs of a period's first header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeriodFirst {
    /// Its time.
    pub time: UnixTime,
    /// Its compact target.
    pub bits: CompactTarget,
}

/// What the rule needs of a header's ancestors. All are of the header's own branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The parent's height.
    pub height: BlockHeight,
    /// The parent's time.
    pub time: UnixTime,
    /// The parent's compact target.
    pub bits: CompactTarget,
    /// The first header of the parent's period; unknown shortly after some trusted starts.
    pub period_first: Option<PeriodFirst>,
    /// Where minimum-difficulty blocks exist: the bits of the last header of the parent's period
    /// that is not at the limit, or of the period's first. Unknown after some trusted starts.
    pub last_ordinary: Option<CompactTarget>,
    /// How many headers of the parent's period are still to come: counted, because dividing by
    /// the period at each header costs more than all else here.
    left: u32,
}

impl Lineage {
    /// The lineage of the children of a trusted header, of which only this much is known.
    #[must_use]
    pub fn of_start(
        params: &Params,
        height: BlockHeight,
        time: UnixTime,
        bits: CompactTarget,
        period_first: Option<PeriodFirst>,
        last_ordinary: Option<CompactTarget>,
    ) -> Self {
        let itself = PeriodFirst { time, bits };
        let (period_first, last_ordinary) = if params.starts_period(height) {
            (Some(itself), Some(bits))
        } else if params.no_retargeting {
            // All bits are at the limit: there is no other to walk back to.
            (period_first, Some(bits))
        } else if bits != params.pow_limit {
            (period_first, Some(bits))
        } else {
            (period_first, last_ordinary)
        };
        let left = params.period - 1 - height.0 % params.period;
        Self { height, time, bits, period_first, last_ordinary, left }
    }

    /// Whether the next header is the first of its period.
    #[must_use]
    #[inline]
    pub const fn next_starts_period(&self) -> bool {
        self.left == 0
    }

    /// Moves on by one header.
    #[inline]
    pub fn push(&mut self, params: &Params, time: UnixTime, bits: CompactTarget) {
        self.height = self.height.next();
        self.time = time;
        self.bits = bits;
        if self.left == 0 {
            self.left = params.period - 1;
            self.period_first = Some(PeriodFirst { time, bits });
            self.last_ordinary = Some(bits);
            return;
        }
        self.left -= 1;
        if bits != params.pow_limit {
            self.last_ordinary = Some(bits);
        }
    }
}

/// What the next header's bits may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Required {
    /// Exactly these.
    Exactly(CompactTarget),
    /// The ancestors that decide are not known: any permitted transition from these.
    PermittedFrom(CompactTarget),
}

/// The bits required of the header that follows `parent`.
#[must_use]
#[inline]
pub fn required(params: &Params, parent: &Lineage, time: UnixTime) -> Required {
    if parent.next_starts_period() {
        return retarget(params, parent);
    }
    if !params.minimum_difficulty_blocks {
        return Required::Exactly(parent.bits);
    }
    if time > parent.time.plus_seconds(2 * params.spacing) {
        return Required::Exactly(params.pow_limit);
    }
    match parent.last_ordinary {
        Some(bits) => Required::Exactly(bits),
        None => Required::PermittedFrom(parent.bits),
    }
}

/// The bits of a period's first header: the old target times the actual span over the intended
/// one. The span runs from the period's first header to its last, one interval short of the
/// period: the well-known off-by-one.
#[cold]
fn retarget(params: &Params, parent: &Lineage) -> Required {
    if params.no_retargeting {
        return Required::Exactly(parent.bits);
    }
    let Some(first) = parent.period_first else {
        return Required::PermittedFrom(parent.bits);
    };
    // A span below zero is clamped like any short one.
    let span = parent
        .time
        .0
        .saturating_sub(first.time.0)
        .clamp(params.timespan / 4, params.timespan.saturating_mul(4));
    // BIP94: from the first header's target, so that one minimum-difficulty block at the end of
    // a period does not set the whole next one to the limit.
    let old = if params.bip94 { first.bits } else { parent.bits };
    let limit = params.pow_limit_target();
    Required::Exactly(scale(Target::from_compact(old), span, params.timespan, limit))
}

/// Whether bits may follow bits on a chain whose ancestors are not all known: equal within a
/// period, within a factor of four at its start, anything where minimum-difficulty blocks exist.
#[must_use]
pub fn is_permitted(
    params: &Params,
    height: BlockHeight,
    old: CompactTarget,
    new: CompactTarget,
) -> bool {
    if params.minimum_difficulty_blocks {
        return true;
    }
    if !params.starts_period(height) {
        return old == new;
    }
    let (Ok(old), Ok(new)) = (decode_compact(old), decode_compact(new)) else {
        return false;
    };
    let limit = params.pow_limit_target();
    let bound = |span| Target::from_compact(scale(old, span, params.timespan, limit));
    let easiest = bound(params.timespan.saturating_mul(4));
    let hardest = bound(params.timespan / 4);
    hardest <= new && new <= easiest
}

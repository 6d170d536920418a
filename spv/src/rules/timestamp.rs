//! The rules about a header's time.
//!
//! Source: Bitcoin Core, `validation.cpp`, `ContextualCheckBlockHeader`; BIP94, "Time warp fix".

use crate::chain::Violation;
use crate::time::UnixTime;

/// Headers whose times the median is taken of.
pub const MEDIAN_SPAN: usize = 11;
/// Seconds that a header may be ahead of the clock.
pub const MAX_FUTURE: u32 = 2 * 60 * 60;
/// BIP94: seconds that a period's first block may be earlier than its parent.
pub const MAX_TIMEWARP: u32 = 600;

/// The times of the headers before the next one, at most eleven.
#[derive(Clone, Debug)]
pub struct RecentTimes {
    // A time not known yet is u32::MAX: it is never counted as earlier than anything.
    times: [u32; MEDIAN_SPAN],
    next: usize,
    known: usize,
    from_genesis: bool,
    /// The latest of all times that were ever pushed.
    latest: u32,
}

impl RecentTimes {
    /// No times yet. `from_genesis` says that the first time pushed is genesis', so that fewer
    /// than eleven are all there are; else fewer than eleven mean that the median is unknown.
    #[must_use]
    pub const fn new(from_genesis: bool) -> Self {
        Self { times: [u32::MAX; MEDIAN_SPAN], next: 0, known: 0, from_genesis, latest: 0 }
    }

    /// Adds the time of the newest header.
    #[inline]
    pub fn push(&mut self, time: UnixTime) {
        if let Some(slot) = self.times.get_mut(self.next) {
            *slot = time.0;
        }
        self.latest = self.latest.max(time.0);
        self.next = if self.next + 1 == MEDIAN_SPAN { 0 } else { self.next + 1 };
        self.known = (self.known + 1).min(MEDIAN_SPAN);
    }

    /// The median; none where too few ancestors are known.
    #[must_use]
    pub fn median(&self) -> Option<UnixTime> {
        if !self.is_complete() {
            return None;
        }
        let mut sorted = self.times;
        sorted.sort_unstable();
        sorted.get(self.known / 2).copied().map(UnixTime)
    }

    /// Whether the rule can be applied to the next header.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.known == MEDIAN_SPAN || (self.from_genesis && self.known > 0)
    }

    /// Whether a time is greater than the median: more than half of the times are smaller, which
    /// needs no sorting. True where the rule cannot be applied.
    #[inline]
    fn median_is_before(&self, time: UnixTime) -> bool {
        // Nearly every header is later than all before it: then there is nothing to count.
        if time.0 > self.latest {
            return true;
        }
        let earlier: usize = self.times.iter().map(|known| usize::from(*known < time.0)).sum();
        // An unknown time is u32::MAX and not smaller than any.
        earlier > self.known / 2 || !self.is_complete()
    }
}

/// A header is later than the median of the eleven headers before it.
///
/// # Errors
/// [`Violation::TimeTooOld`].
#[inline]
pub fn check_median(recent: &RecentTimes, time: UnixTime) -> Result<(), Violation> {
    if recent.median_is_before(time) {
        return Ok(());
    }
    Err(Violation::TimeTooOld { median: recent.median().unwrap_or_default(), got: time })
}

/// BIP94: a period's first header is at most ten minutes earlier than its parent.
///
/// # Errors
/// [`Violation::Timewarp`].
pub fn check_timewarp(parent: UnixTime, time: UnixTime) -> Result<(), Violation> {
    if time.plus_seconds(MAX_TIMEWARP) < parent {
        return Err(Violation::Timewarp { parent, got: time });
    }
    Ok(())
}

/// A header is at most two hours ahead of the clock.
///
/// # Errors
/// [`Violation::TimeTooNew`], which is nobody's fault and cures itself.
#[inline]
pub fn check_future(now: UnixTime, time: UnixTime) -> Result<(), Violation> {
    let latest = now.plus_seconds(MAX_FUTURE);
    if time > latest { Err(Violation::TimeTooNew { latest, got: time }) } else { Ok(()) }
}

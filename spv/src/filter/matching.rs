//! Whether scripts are in a filter.
//!
//! Few scripts are sorted by hash and the filter is read along them, up to the last one at most. Many are looked up in
//! an [`Index`] of the whole filter, batch by batch, which needs no order. Both give the same answer, on broken filters
//! too: what decides is what comes before the place that makes no sense.

use alloc::vec::Vec;
use core::ops::ControlFlow;

use bitcoin::Script;

use super::gcs::reduced;
use super::index::Index;
use super::{Filter, FilterError, ScriptSet};
use crate::lanes::siphash;

/// With fewer elements than so many a script, an index is worth building. Measured: see `benches/filters.rs`.
const ELEMENTS_A_SORTED_SCRIPT: usize = 16;

/// Memory that matching works in. It grows to what the largest filter and the largest sorted set need, and stays.
#[derive(Clone, Debug, Default)]
pub struct MatchScratch {
    index: Index,
    sorted: Vec<u64>,
    matched: Vec<usize>,
}

impl MatchScratch {
    /// Some that has not grown yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Filter {
    /// Whether any script of a set is in the filter: `true` is wrong in one of 784,931 cases a script, `false` never.
    ///
    /// The filter is read only as far as the answer needs.
    ///
    /// # Errors
    /// [`FilterError`], where the filter makes no sense before it has decided the answer.
    pub fn match_any(
        &self,
        set: &ScriptSet,
        scratch: &mut MatchScratch,
    ) -> Result<bool, FilterError> {
        let searched = set.searched();
        if self.elements() == 0 || searched == 0 {
            return Ok(false);
        }
        let sort = searched.saturating_mul(ELEMENTS_A_SORTED_SCRIPT) <= self.elements() as usize;
        // A broken filter may still decide the answer before the place where it breaks.
        if sort || scratch.index.build(self).is_err() {
            return self.walk(set, &mut scratch.sorted);
        }
        let (range, index) = (self.range(), &scratch.index);
        let found = set.hash(self.key().sip(), |_, hashes| {
            if hashes.iter().any(|hash| index.contains(reduced(*hash, range))) {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        Ok(found.is_break())
    }

    /// The places of all scripts of a set that are in the filter, the lowest first; each is wrong in one of 784,931
    /// cases. The filter is read whole.
    ///
    /// # Errors
    /// [`FilterError`], where the filter makes no sense.
    pub fn matches<'a>(
        &self,
        set: &ScriptSet,
        scratch: &'a mut MatchScratch,
    ) -> Result<&'a [usize], FilterError> {
        let MatchScratch { index, matched, .. } = scratch;
        matched.clear();
        index.build(self)?;
        let range = self.range();
        let _: ControlFlow<()> = set.hash(self.key().sip(), |places, hashes| {
            let found = places.iter().zip(hashes);
            let found = found.filter(|(_, hash)| index.contains(reduced(**hash, range)));
            matched.extend(found.map(|(place, _)| *place));
            ControlFlow::Continue(())
        });
        matched.sort_unstable();
        Ok(matched)
    }

    /// Whether a script is in the filter: `true` is wrong in one of 784,931 cases, `false` never.
    ///
    /// # Errors
    /// [`FilterError`], where the filter makes no sense before it has decided the answer.
    pub fn contains(&self, script: &Script) -> Result<bool, FilterError> {
        if script.is_empty() {
            return Ok(false);
        }
        self.decide(&[reduced(siphash::hash(self.key().sip(), script.as_bytes()), self.range())])
    }

    /// By sorting the scripts' hashes.
    pub(super) fn walk(&self, set: &ScriptSet, sorted: &mut Vec<u64>) -> Result<bool, FilterError> {
        sorted.clear();
        let range = self.range();
        let _: ControlFlow<()> = set.hash(self.key().sip(), |places, hashes| {
            sorted.extend(places.iter().zip(hashes).map(|(_, hash)| reduced(*hash, range)));
            ControlFlow::Continue(())
        });
        sorted.sort_unstable();
        self.decide(sorted)
    }

    /// Whether any of the values, which do not fall, is in the filter.
    pub(super) fn decide(&self, sorted: &[u64]) -> Result<bool, FilterError> {
        let mut wanted = sorted.iter();
        let Some(mut next) = wanted.next() else { return Ok(false) };
        let decided = self.values().visit(|value| {
            while *next < value {
                let Some(following) = wanted.next() else { return ControlFlow::Break(false) };
                next = following;
            }
            if *next == value { ControlFlow::Break(true) } else { ControlFlow::Continue(()) }
        })?;
        Ok(decided == ControlFlow::Break(true))
    }
}

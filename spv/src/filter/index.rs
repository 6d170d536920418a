//! A filter's values, laid out so that one look tells that a value is not among them.
//!
//! Hashes come in no order. Sorting ten thousand of them to walk along the filter costs more than hashing them; looking
//! each up does not. Values spread evenly below elements times M, so that their highest bits choose a bit of a map in
//! which one in some fifty is set, and the values of one word of that map lie side by side.

use alloc::vec::Vec;
use core::ops::ControlFlow;

use super::{Filter, FilterError};

/// Values that share a bit of the map lie within 2^14: M is nearly 48 times that, so one bit in 48 is set.
const BIT_SHIFT: u32 = 14;
/// Values that share a word of 64 bits.
const WORD_SHIFT: u32 = BIT_SHIFT + 6;

/// The values of one filter after the other; the memory stays.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    values: Vec<u64>,
    /// The map.
    present: Vec<u64>,
    /// Where in `values` the first value of a word is; of words without any value, whatever was there before.
    first: Vec<u32>,
}

impl Index {
    /// Replaces what is there by the values of a filter.
    ///
    /// # Errors
    /// [`FilterError`], at the first place that makes no sense. What is there then is not to be used.
    pub(super) fn build(&mut self, filter: &Filter) -> Result<(), FilterError> {
        // Values are below the range, so that each has its word.
        let words = word_of(filter.range()) + 1;
        self.present.clear();
        self.present.resize(words, 0);
        if self.first.len() < words {
            self.first.resize(words, 0);
        }
        self.values.clear();
        self.values.reserve(filter.elements() as usize);
        let mut place = 0;
        let _: ControlFlow<()> = filter.values().visit(|value| {
            let word = word_of(value);
            if let (Some(bits), Some(first)) =
                (self.present.get_mut(word), self.first.get_mut(word))
            {
                *first = if *bits == 0 { place } else { *first };
                *bits |= bit_of(value);
            }
            self.values.push(value);
            place += 1;
            ControlFlow::Continue(())
        })?;
        Ok(())
    }

    /// Whether a value is there.
    #[inline]
    pub(super) fn contains(&self, value: u64) -> bool {
        let word = word_of(value);
        let bits = self.present.get(word).copied().unwrap_or_default();
        bits & bit_of(value) != 0 && self.is_listed(word, value)
    }

    #[inline(never)]
    fn is_listed(&self, word: usize, value: u64) -> bool {
        let first = self.first.get(word).map_or(0, |first| *first as usize);
        let listed = self.values.get(first..).unwrap_or_default();
        listed.iter().take_while(|listed| **listed <= value).any(|listed| *listed == value)
    }
}

#[inline]
fn word_of(value: u64) -> usize {
    usize::try_from(value >> WORD_SHIFT).unwrap_or(usize::MAX)
}

#[inline]
const fn bit_of(value: u64) -> u64 {
    1 << ((value >> BIT_SHIFT) & 63)
}

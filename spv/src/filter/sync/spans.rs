//! Sets of heights, kept as ranges.

use alloc::collections::BTreeMap;
use core::ops::Range;

/// Heights as ranges that neither touch nor overlap.
#[derive(Clone, Debug, Default)]
pub(super) struct Spans {
    /// From each start to its end.
    ranges: BTreeMap<u32, u32>,
}

impl Spans {
    pub(super) fn insert(&mut self, mut range: Range<u32>) {
        if range.is_empty() {
            return;
        }
        if let Some((start, end)) = self.ranges.range(..=range.start).next_back()
            && *end >= range.start
        {
            range = *start..range.end.max(*end);
        }
        while let Some((start, end)) = self.ranges.range(range.start..=range.end).next() {
            let (start, end) = (*start, *end);
            self.ranges.remove(&start);
            range.end = range.end.max(end);
        }
        self.ranges.insert(range.start, range.end);
    }

    pub(super) fn remove(&mut self, range: Range<u32>) {
        if range.is_empty() {
            return;
        }
        if let Some((start, end)) = self.ranges.range(..range.start).next_back() {
            let (start, end) = (*start, *end);
            if end > range.start {
                self.ranges.insert(start, range.start);
            }
            if end > range.end {
                self.ranges.insert(range.end, end);
            }
        }
        while let Some((start, end)) = self.ranges.range(range.clone()).next() {
            let (start, end) = (*start, *end);
            self.ranges.remove(&start);
            if end > range.end {
                self.ranges.insert(range.end, end);
            }
        }
    }

    /// The end of the range that a height is in.
    pub(super) fn end_of(&self, height: u32) -> Option<u32> {
        let (_, end) = self.ranges.range(..=height).next_back()?;
        (*end > height).then_some(*end)
    }

    /// Where the next range after a height starts.
    pub(super) fn next_start(&self, height: u32) -> Option<u32> {
        self.ranges.range(height..).next().map(|(start, _)| *start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::SplitMix64;

    #[test]
    fn they_are_what_a_list_of_heights_is() {
        let mut random = SplitMix64::new(1);
        let mut draw = |below: u32| u32::try_from(random.next_u64() % u64::from(below)).unwrap();
        for _ in 0..200 {
            let (mut spans, mut plain) = (Spans::default(), [false; 64]);
            for _ in 0..20 {
                let start = draw(60);
                let range = start..(start + draw(9)).min(64);
                let insert = draw(2) == 0;
                for height in range.clone() {
                    plain[height as usize] = insert;
                }
                if insert { spans.insert(range) } else { spans.remove(range) }
            }
            for height in 0..64_u32 {
                let at = height as usize;
                let end = (at..64).find(|at| !plain[*at]).unwrap_or(64);
                let expected = plain[at].then_some(u32::try_from(end).unwrap());
                assert_eq!(spans.end_of(height), expected);
            }
            let starts: alloc::vec::Vec<_> = spans.ranges.iter().collect();
            assert!(starts.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
    }
}

//! A filter's values, read from its bits and written to them (BIP158, "Golomb-Rice Coding").
//!
//! Invariant: reading ends, whatever the bits are. It makes at most as many steps as there are elements and bits, and
//! nothing grows.

use alloc::vec::Vec;
use core::ops::ControlFlow;

use super::FilterError;

/// Bits of an element's remainder: the parameter P (BIP158, "Block Filters").
pub(super) const REMAINDER_BITS: u32 = 19;

/// The values of a filter, one by one.
#[derive(Clone, Debug)]
pub(super) struct Values<'a> {
    /// The filter's bytes behind its head.
    bits: &'a [u8],
    /// The bit that comes next.
    at: usize,
    /// How many bits there are.
    end: usize,
    /// How many bits there were before them.
    head: usize,
    element: u32,
    elements: u32,
    value: u64,
    range: u64,
}

/// A window has at least so many bits of the filter.
const WINDOW_BITS: u32 = 57;
/// A window holds two elements whose quotients together are not longer.
const SHORT_QUOTIENTS: u32 = WINDOW_BITS - 2 * (1 + REMAINDER_BITS);

impl<'a> Values<'a> {
    /// The values of a filter whose elements start at a byte.
    pub(super) fn new(filter: &'a [u8], head: usize, elements: u32, range: u64) -> Self {
        let bits = filter.get(head..).unwrap_or_default();
        let (end, head) = (bits.len() * 8, head * 8);
        Self { bits, at: 0, end, head, element: 0, elements, value: 0, range }
    }

    /// Shows the values, which never fall, one after the other until told to stop.
    ///
    /// # Errors
    /// [`FilterError`], after all values before the place that makes no sense have been shown.
    #[inline]
    pub(super) fn visit<B>(
        mut self,
        mut show: impl FnMut(u64) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, FilterError> {
        loop {
            // Where an element starts is known when the one before is read, so two a read are much faster.
            if let Some([first, second]) = self.two() {
                if let ControlFlow::Break(found) = show(first) {
                    return Ok(ControlFlow::Break(found));
                }
                if let ControlFlow::Break(found) = show(second) {
                    return Ok(ControlFlow::Break(found));
                }
            } else if let Some(value) = self.one()? {
                if let ControlFlow::Break(found) = show(value) {
                    return Ok(ControlFlow::Break(found));
                }
            } else {
                return Ok(ControlFlow::Continue(()));
            }
        }
    }

    /// The next two values; none, with nothing read, where something about them is unusual.
    #[inline]
    fn two(&mut self) -> Option<[u64; 2]> {
        if self.elements - self.element < 2 {
            return None;
        }
        let word = self.bits.get(self.at / 8..)?.first_chunk()?;
        let window = u64::from_be_bytes(*word) << (self.at % 8);
        let quotient = window.leading_ones();
        if quotient > SHORT_QUOTIENTS {
            return None;
        }
        let window = window << (quotient + 1);
        let first = self.value + difference(quotient, window);
        let window = window << REMAINDER_BITS;
        let other = window.leading_ones();
        if quotient + other > SHORT_QUOTIENTS {
            return None;
        }
        let second = first + difference(other, window << (other + 1));
        if second >= self.range {
            return None;
        }
        self.at += (quotient + other + 2 * (1 + REMAINDER_BITS)) as usize;
        self.element += 2;
        self.value = second;
        Some([first, second])
    }

    /// The next value; none behind the last one.
    fn one(&mut self) -> Result<Option<u64>, FilterError> {
        if self.element == self.elements {
            return self.finish().map(|()| None);
        }
        let start = self.at;
        let quotient = self.quotient();
        let remainder = self.window();
        self.at += REMAINDER_BITS as usize;
        self.value += difference(quotient, remainder);
        if self.at > self.end || self.value >= self.range {
            return Err(self.malformed(start));
        }
        self.element += 1;
        Ok(Some(self.value))
    }

    /// Reads ones and the zero that ends them.
    fn quotient(&mut self) -> u32 {
        let mut quotient = 0;
        loop {
            // Zeros follow the end, so this ends there.
            let ones = self.window().leading_ones().min(WINDOW_BITS);
            quotient += ones;
            self.at += ones as usize;
            if ones < WINDOW_BITS {
                self.at += 1;
                return quotient;
            }
        }
    }

    /// The bits from here on, the next one highest: at least [`WINDOW_BITS`] of the filter, or all that are left. Zeros
    /// follow.
    fn window(&self) -> u64 {
        let bytes = self.bits.get(self.at / 8..).unwrap_or_default();
        let word =
            bytes.first_chunk().map_or_else(|| last_word(bytes), |word| u64::from_be_bytes(*word));
        word << (self.at % 8)
    }

    #[cold]
    fn malformed(&self, start: usize) -> FilterError {
        let (element, bit) = (self.element, self.head + start);
        if self.at > self.end {
            return FilterError::Truncated { element, bit };
        }
        FilterError::OutOfRange { element, bit, value: self.value, range: self.range }
    }

    /// Nothing but zeros up to the next whole byte may follow.
    #[cold]
    fn finish(&self) -> Result<(), FilterError> {
        let bits = self.end - self.at;
        if bits >= 8 || self.window() != 0 {
            return Err(FilterError::Leftover { bit: self.head + self.at, bits });
        }
        Ok(())
    }
}

/// A difference, whose remainder is at the front of the window.
#[inline]
fn difference(quotient: u32, window: u64) -> u64 {
    u64::from(quotient) << REMAINDER_BITS | window >> (u64::BITS - REMAINDER_BITS)
}

/// The last bytes, fewer than eight, with zeros behind them.
#[cold]
fn last_word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    for (place, byte) in word.iter_mut().zip(bytes) {
        *place = *byte;
    }
    u64::from_be_bytes(word)
}

/// Puts a filter's values, which do not fall, behind its head.
pub(super) fn write_values(values: &[u64], head: Vec<u8>) -> Vec<u8> {
    let mut writer = BitWriter { bytes: head, pending: 0, filled: 0 };
    let mut before = 0;
    for value in values {
        writer.element(value - before);
        before = *value;
    }
    writer.finish()
}

/// Puts bits behind bytes.
struct BitWriter {
    bytes: Vec<u8>,
    /// Its lowest bits, fewer than 8, are not written yet; what is above them is.
    pending: u64,
    /// How many those are.
    filled: u32,
}

impl BitWriter {
    fn element(&mut self, difference: u64) {
        let (mut ones, remainder) =
            (difference >> REMAINDER_BITS, difference & ((1 << REMAINDER_BITS) - 1));
        while ones > 0 {
            self.push(1, 1);
            ones -= 1;
        }
        // The zero bit that ends the quotient comes with the remainder.
        self.push(remainder, 1 + REMAINDER_BITS);
    }

    /// The lowest `count` bits, of which the others are zero; at most 56.
    fn push(&mut self, bits: u64, count: u32) {
        self.pending = self.pending << count | bits;
        self.filled += count;
        while self.filled >= 8 {
            self.filled -= 8;
            let [.., byte] = (self.pending >> self.filled).to_be_bytes();
            self.bytes.push(byte);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if self.filled > 0 {
            self.push(0, 8 - self.filled);
        }
        self.bytes
    }
}

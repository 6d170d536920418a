//! Targets: the compact form, and the retarget arithmetic.
//!
//! Source of the compact form and of the arithmetic: Bitcoin Core, `arith_uint256.cpp`
//! (`SetCompact`, `GetCompact`) and `pow.cpp`.

use core::fmt;

use bitcoin::{CompactTarget, Target};

/// Why a compact target stands for no target at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BitsError {
    /// The sign bit is set.
    Negative,
    /// The target would be zero, which no hash meets.
    Zero,
    /// The target would not fit 256 bits.
    Overflow,
}

impl fmt::Display for BitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Negative => "negative",
            Self::Zero => "zero",
            Self::Overflow => "more than 256 bits",
        })
    }
}

impl core::error::Error for BitsError {}

/// Decodes a compact target strictly.
///
/// # Errors
/// [`BitsError`] where Bitcoin Core's `DeriveTarget` refuses: negative, zero or overflowing.
pub fn decode_compact(bits: CompactTarget) -> Result<Target, BitsError> {
    let bits = bits.to_consensus();
    let size = bits >> 24;
    // What a size below three cuts off counts for nothing, not even for the sign.
    let word = (bits & 0x007f_ffff) >> (8 * 3u32.saturating_sub(size));
    if word != 0 && bits & 0x0080_0000 != 0 {
        return Err(BitsError::Negative);
    }
    if word != 0 && (size > 34 || (word > 0xff && size > 33) || (word > 0xffff && size > 32)) {
        return Err(BitsError::Overflow);
    }
    if word == 0 {
        return Err(BitsError::Zero);
    }
    // The sign bit is clear here.
    Ok(Target::from_compact(CompactTarget::from_consensus(bits)))
}

/// `target * span / timespan`, capped at `limit`, rounded through the compact form.
pub(crate) fn scale(target: Target, span: u32, timespan: u32, limit: Target) -> CompactTarget {
    let mut limbs = limbs_of(target);
    let mut carry = 0u64;
    for limb in &mut limbs {
        let product = u64::from(*limb) * u64::from(span) + carry;
        (*limb, carry) = split(product);
    }
    // The carry limb leads the division, so a product wider than 256 bits is still exact.
    let mut remainder = carry % u64::from(timespan);
    let overflow = carry / u64::from(timespan) != 0;
    for limb in limbs.iter_mut().rev() {
        let dividend = (remainder << 32) | u64::from(*limb);
        (*limb, _) = split(dividend / u64::from(timespan));
        remainder = dividend % u64::from(timespan);
    }
    let scaled = target_of(limbs);
    let capped = if overflow || scaled > limit { limit } else { scaled };
    capped.to_compact_lossy()
}

/// The low and the high half of a 64-bit number.
fn split(number: u64) -> (u32, u64) {
    #[allow(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
    (number as u32, number >> 32)
}

fn limbs_of(target: Target) -> [u32; 8] {
    let bytes = target.to_le_bytes();
    let mut limbs = [0; 8];
    for (limb, chunk) in limbs.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *limb = u32::from_le_bytes(*chunk);
    }
    limbs
}

fn target_of(limbs: [u32; 8]) -> Target {
    let mut bytes = [0; 32];
    for (chunk, limb) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(limbs) {
        *chunk = limb.to_le_bytes();
    }
    Target::from_le_bytes(bytes)
}

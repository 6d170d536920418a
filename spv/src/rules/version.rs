//! Versions that soft forks have retired.
//!
//! Source: BIP34, BIP66, BIP65; Bitcoin Core, `validation.cpp`, `ContextualCheckBlockHeader`.
//! The version is a signed number: 0xffffffff is -1 and too low.

use crate::chain::Violation;
use crate::header::BlockHeight;
use crate::params::Params;

/// The lowest version that a height allows.
#[must_use]
pub fn minimum(params: &Params, height: BlockHeight) -> i32 {
    if height >= params.bip65_height {
        4
    } else if height >= params.bip66_height {
        3
    } else if height >= params.bip34_height {
        2
    } else {
        i32::MIN
    }
}

/// A header's version is at least the lowest that its height allows.
///
/// # Errors
/// [`Violation::OutdatedVersion`].
#[inline]
pub fn check(params: &Params, height: BlockHeight, version: i32) -> Result<(), Violation> {
    let minimum = minimum(params, height);
    if version < minimum {
        return Err(Violation::OutdatedVersion { minimum, got: version });
    }
    Ok(())
}

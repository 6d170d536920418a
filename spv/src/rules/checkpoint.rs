//! Checkpoints: none are built in (Bitcoin Core has dropped its own), the user may give some.

use bitcoin::BlockHash;

use crate::chain::Violation;
use crate::header::BlockHeight;
use crate::params::Params;

/// A header at a checkpoint's height has the checkpoint's hash.
///
/// # Errors
/// [`Violation::CheckpointMismatch`].
#[inline]
pub fn check(params: &Params, height: BlockHeight, hash: &BlockHash) -> Result<(), Violation> {
    match params.checkpoints.get(&height) {
        Some(expected) if expected != hash => {
            Err(Violation::CheckpointMismatch { expected: *expected })
        }
        Some(_) | None => Ok(()),
    }
}

/// No fork starts below the last checkpoint that the best chain has passed.
///
/// # Errors
/// [`Violation::ForkBelowCheckpoint`].
pub fn check_fork(params: &Params, fork: BlockHeight, tip: BlockHeight) -> Result<(), Violation> {
    match params.last_checkpoint(tip) {
        Some((checkpoint, _)) if fork < checkpoint => {
            Err(Violation::ForkBelowCheckpoint { checkpoint, fork })
        }
        Some(_) | None => Ok(()),
    }
}

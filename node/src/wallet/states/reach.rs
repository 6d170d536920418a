//! Up to which height the history is known to be complete.

use ironlight_spv::BlockHeight;
use thiserror::Error;

use crate::wallet::Wallet;

/// The history at a height is not complete yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the wallet's history is not complete at height {height}: {}", reaches(*complete))]
pub struct NotComplete {
    /// What was asked for.
    pub height: BlockHeight,
    /// Up to where it is; none where it is nowhere.
    pub complete: Option<BlockHeight>,
}

/// What the wallet had at the tip is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the wallet's history is not complete up to the tip, at height {tip}: {}. Wait until `ironlight \
     wallet state` shows that it is, or give a height up to which it is (`--height`)",
    reaches(*complete)
)]
pub struct Behind {
    /// The height of the tip.
    pub tip: BlockHeight,
    /// Up to where the history is complete; none where it is nowhere.
    pub complete: Option<BlockHeight>,
}

/// The tip, where the history is complete up to it.
///
/// # Errors
/// [`Behind`]
pub(in crate::wallet) fn check_at_tip(
    complete: Option<BlockHeight>,
    tip: BlockHeight,
) -> Result<BlockHeight, Behind> {
    match complete {
        Some(complete) if complete >= tip => Ok(tip),
        Some(_) | None => Err(Behind { tip, complete }),
    }
}

/// Refuses heights above the one up to which the history is complete.
///
/// # Errors
/// [`NotComplete`]
pub(in crate::wallet) fn check_height(
    complete: Option<BlockHeight>,
    height: BlockHeight,
) -> Result<(), NotComplete> {
    if complete.is_some_and(|complete| height <= complete) {
        Ok(())
    } else {
        Err(NotComplete { height, complete })
    }
}

fn reaches(complete: Option<BlockHeight>) -> String {
    match complete {
        Some(height) => {
            format!(
                "it is up to {height}, and goes on as blocks are looked at (`ironlight rescan` makes those urgent)"
            )
        }
        None => "blocks are looked at from the first one on".to_owned(),
    }
}

impl Wallet {
    /// The last block up to which every script was looked for: below all scans, those for scripts
    /// that were derived late included, and at the tip at most.
    #[must_use]
    pub fn complete_to(&self) -> Option<BlockHeight> {
        let tip = self.tip()?.height;
        let lowest = self.jobs().map(|(_, job)| job.next).min();
        match lowest {
            Some(next) => next.minus(1).map(|below| below.min(tip)),
            None => Some(tip),
        }
    }

    /// Refuses heights at which the history is not complete.
    ///
    /// # Errors
    /// [`NotComplete`]
    pub fn check_complete(&self, height: BlockHeight) -> Result<(), NotComplete> {
        check_height(self.complete_to(), height)
    }
}

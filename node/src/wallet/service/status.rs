//! How far the wallet is, and what follows from it for whoever waits.

use ironlight_spv::BlockHeight;

use super::handle::WalletError;
#[cfg(doc)]
use super::handle::WalletHandle;
use crate::wallet::BlockId;

/// How far the wallet has followed the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanStatus {
    /// The last block that was looked at for everything watched.
    pub tip: Option<BlockId>,
    /// Blocks that are to be looked at still, those of rescans included.
    pub blocks_left: u32,
    /// Whether all is done up to the best chain's tip, which is synced.
    pub synced: bool,
    /// Up to which height the history is complete and can be asked
    /// ([`state_at`](WalletHandle::state_at)); lower than the tip while blocks are looked at for what was
    /// added or derived late.
    pub complete_to: Option<BlockHeight>,
    /// The history cannot be asked any more before the next start, which makes its states anew.
    pub states_lost: bool,
}

impl ScanStatus {
    /// Whether it says that the scan has come further. How far the history is complete moves when older
    /// blocks are looked at, too.
    pub(super) fn is_further_than(self, old: Self) -> bool {
        let Self { complete_to, states_lost, .. } = self;
        self != Self { complete_to, states_lost, ..old }
    }

    /// What whoever waits for the history up to a height is told; none while there is reason to wait.
    pub(super) fn answer_at(self, height: BlockHeight) -> Option<Result<(), WalletError>> {
        if self.states_lost {
            return Some(Err(WalletError::StatesLost));
        }
        self.complete_to.filter(|complete| *complete >= height).map(|_| Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> ScanStatus {
        ScanStatus { synced: true, complete_to: Some(BlockHeight(5)), ..ScanStatus::default() }
    }

    #[test]
    fn a_history_that_moves_alone_is_no_news_of_the_scan() {
        let old = status();
        let looked_back = ScanStatus { complete_to: Some(BlockHeight(9)), ..old };
        let lost = ScanStatus { complete_to: None, states_lost: true, ..old };
        assert!(!old.is_further_than(old));
        assert!(!looked_back.is_further_than(old) && !lost.is_further_than(old));
        assert!(old.is_further_than(ScanStatus { synced: false, ..looked_back }));
        assert!(ScanStatus { blocks_left: 1, ..old }.is_further_than(old));
    }

    #[test]
    fn nobody_waits_for_states_that_are_lost() {
        assert!(matches!(status().answer_at(BlockHeight(5)), Some(Ok(()))));
        assert!(status().answer_at(BlockHeight(6)).is_none());
        let lost = ScanStatus { complete_to: None, states_lost: true, ..status() };
        assert!(matches!(lost.answer_at(BlockHeight(6)), Some(Err(WalletError::StatesLost))));
    }
}

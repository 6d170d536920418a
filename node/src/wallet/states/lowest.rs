//! From which height on a change makes another history.

use bitcoin::OutPoint;
use ironlight_spv::BlockHeight;

use crate::wallet::Wallet;
use crate::wallet::coin::Coin;
use crate::wallet::draft::Changes;
use crate::wallet::plan::Effects;

impl Wallet {
    /// The lowest height whose accounts are others with a planned change than without it; none where
    /// it changes no coin. Whatever was sealed from there on has to be taken back before the change is
    /// committed.
    pub(in crate::wallet) fn lowest_change(&self, effects: &Effects) -> Option<BlockHeight> {
        self.lowest_in(&effects.changes)
    }

    /// The same of changes that are not planned to the end.
    pub(in crate::wallet) fn lowest_in(&self, changes: &Changes) -> Option<BlockHeight> {
        let coins = changes.coins.iter();
        coins.filter_map(|(outpoint, after)| self.lowest_of(outpoint, after.as_ref())).min()
    }

    fn lowest_of(&self, outpoint: &OutPoint, after: Option<&Coin>) -> Option<BlockHeight> {
        let before = self.ledger.coin(outpoint);
        if before == after {
            return None;
        }
        let both = [before, after].into_iter().flatten();
        let spent = both.clone().filter_map(|coin| coin.spent).map(|spend| spend.place.height);
        let only_spends = before.map(as_made) == after.map(as_made);
        let made = both.filter(|_| !only_spends).map(|coin| coin.made.height);
        spent.chain(made).min()
    }
}

/// A coin as it was made.
fn as_made(coin: &Coin) -> Coin {
    Coin { spent: None, ..coin.clone() }
}

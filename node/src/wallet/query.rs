//! What accounts have and what happened to them.
//!
//! An account sees what belongs to its items and nothing else, so all amounts are worked out from
//! coins when they are asked for: nothing has to be corrected when items come and go.

use bitcoin::{Amount, OutPoint, Txid};
use ironlight_spv::BlockHeight;

use super::Wallet;
use super::coin::{Balance, Coin, HistoryEntry, HistoryPage, Place, Utxo};
use super::label::AccountName;

/// A sum that stays at what there can be at most; peers may tell of transactions that pay more.
pub(super) fn sum(amounts: impl Iterator<Item = Amount>) -> Amount {
    let add = |sum: Amount, amount| sum.checked_add(amount).unwrap_or(Amount::MAX_MONEY);
    amounts.fold(Amount::ZERO, add).min(Amount::MAX_MONEY)
}

impl Wallet {
    /// Blocks from one to the tip, both counted.
    fn confirmations(&self, height: BlockHeight) -> u32 {
        let Some(tip) = self.marks.tip() else { return 0 };
        tip.height.next().0.saturating_sub(height.0)
    }

    fn is_of(&self, coin: &Coin, account: Option<&AccountName>) -> bool {
        self.watched.counts(&coin.script, coin.made.height, account)
    }

    fn unspent(&self, account: Option<&AccountName>) -> impl Iterator<Item = (&OutPoint, &Coin)> {
        let coins = self.ledger.coins().iter().filter(|(_, coin)| coin.spent.is_none());
        coins.filter(move |(_, coin)| self.is_of(coin, account))
    }

    /// What an account has, or all of them together.
    #[must_use]
    pub fn balance(&self, account: Option<&AccountName>) -> Balance {
        let mut balance = Balance { pending_in: self.pending_in(account), ..Balance::default() };
        for (outpoint, coin) in self.unspent(account) {
            let mature = coin.is_mature(self.confirmations(coin.made.height));
            let part = if mature { &mut balance.confirmed } else { &mut balance.immature };
            *part = sum([*part, coin.value].into_iter());
            if self.pending.spender(outpoint).is_some() {
                balance.pending_out = sum([balance.pending_out, coin.value].into_iter());
            }
        }
        balance
    }

    /// Unspent coins of an account, or of all, in the order of the chain.
    #[must_use]
    pub fn utxos(&self, account: Option<&AccountName>) -> Vec<Utxo> {
        let unspent = self.unspent(account).map(|(outpoint, coin)| {
            let confirmations = self.confirmations(coin.made.height);
            let owners = self.watched.owners_at(&coin.script, coin.made.height);
            Utxo {
                outpoint: *outpoint,
                value: coin.value,
                script: coin.script.clone(),
                place: coin.made,
                confirmations,
                coinbase: coin.coinbase,
                mature: coin.is_mature(confirmations),
                pending_spend: self.pending.spender(outpoint),
                owners: owners.map(|(owner, _)| owner).collect(),
            }
        });
        let mut unspent: Vec<Utxo> = unspent.collect();
        unspent.sort_by_key(|utxo| (utxo.place, utxo.outpoint));
        unspent
    }

    /// Confirmed transactions of an account, or of all, the newest first: at most `limit` of those
    /// before a place.
    #[must_use]
    pub fn history(
        &self,
        account: Option<&AccountName>,
        before: Option<Place>,
        limit: usize,
    ) -> HistoryPage {
        let end = before.unwrap_or(Place { height: BlockHeight(u32::MAX), position: u32::MAX });
        let older = self.ledger.entries().range(..end).rev();
        let mut seen = older.filter_map(|(place, _)| self.history_entry(*place, account));
        let entries: Vec<HistoryEntry> = seen.by_ref().take(limit).collect();
        let more = seen.next().is_some();
        let next = entries.last().filter(|_| more).map(|entry| entry.place);
        HistoryPage { entries, next }
    }

    /// How an account sees the transaction of a place; none where it has no part in it.
    #[must_use]
    pub fn history_entry(
        &self,
        place: Place,
        account: Option<&AccountName>,
    ) -> Option<HistoryEntry> {
        let entry = self.ledger.entry(&place)?;
        let made = self.ledger.made_by(entry.txid);
        let spent = self.ledger.spent_by(&entry.txid);
        let spent: Vec<&Coin> = spent.map(|(_, coin)| coin).collect();
        let all_known = u32::try_from(spent.len()).is_ok_and(|known| known == entry.inputs);
        let inputs = sum(spent.iter().map(|coin| coin.value));
        let made: Vec<&Coin> =
            made.map(|(_, coin)| coin).filter(|coin| self.is_of(coin, account)).collect();
        let taken: Vec<&Coin> =
            spent.into_iter().filter(|coin| self.is_of(coin, account)).collect();
        if made.is_empty() && taken.is_empty() {
            return None;
        }
        Some(HistoryEntry {
            txid: entry.txid,
            place,
            block: entry.block,
            received: sum(made.iter().map(|coin| coin.value)),
            sent: sum(taken.iter().map(|coin| coin.value)),
            fee: all_known.then(|| inputs.checked_sub(entry.output_total)).flatten(),
            confirmations: self.confirmations(place.height),
        })
    }

    /// Where a transaction of ours is confirmed.
    #[must_use]
    pub fn place_of(&self, txid: &Txid) -> Option<Place> {
        self.ledger.place_of(txid)
    }
}

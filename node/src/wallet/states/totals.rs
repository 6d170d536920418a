//! What accounts have at a height, from what their scripts have.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::Amount;
use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::WalletAccount;

use super::script_id;
use crate::wallet::Wallet;
use crate::wallet::coin::Coin;
use crate::wallet::label::AccountName;
use crate::wallet::query::sum;
use crate::wallet::watch::ScriptOwner;

/// What an account had at a height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountAt {
    /// The account.
    pub account: AccountName,
    /// What its unspent coins are worth.
    pub balance: Amount,
    /// Scripts of it that had been paid to.
    pub scripts: u32,
}

/// What the whole wallet had at a height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TotalsAt {
    /// What all unspent coins are worth; one that two accounts watch counts once.
    pub balance: Amount,
    /// Scripts that had been paid to.
    pub scripts: u32,
    /// What each account had, sorted by name.
    pub accounts: Vec<AccountAt>,
}

#[derive(Clone, Copy, Default)]
struct Sum {
    balance: Amount,
    scripts: u32,
}

impl Sum {
    fn add(&mut self, balance: Amount) {
        self.balance = sum([self.balance, balance].into_iter());
        self.scripts = self.scripts.saturating_add(1);
    }
}

impl Wallet {
    /// Adds up what the watched scripts had at a height, which `get` knows. Linear in scripts; where an account's
    /// birthday cuts coins off, in coins, too.
    ///
    /// # Errors
    /// As `get`.
    pub(in crate::wallet) fn totals_at<E>(
        &self,
        height: BlockHeight,
        mut get: impl FnMut(&[u8; 32]) -> Result<Option<WalletAccount>, E>,
    ) -> Result<TotalsAt, E> {
        let (mut all, mut unspent) = (Sum::default(), None);
        let mut accounts: BTreeMap<AccountName, Sum> =
            self.accounts().into_iter().map(|name| (name, Sum::default())).collect();
        for (script, owners) in self.watched.index().iter() {
            let Some(account) = get(&script_id(script))? else { continue };
            let balance = Amount::from_sat(account.balance);
            all.add(balance);
            for (name, from_start) in self.accounts_of(owners) {
                // A coin of before the birthday of one account's item is another account's alone.
                let own = match from_start {
                    None => balance,
                    Some(birthday) => {
                        let all = unspent.get_or_insert_with(|| self.unspent_at(height));
                        let coins = all.get(script).into_iter().flatten();
                        let own = coins.filter(|coin| coin.made.height >= birthday);
                        sum(own.map(|coin| coin.value))
                    }
                };
                accounts.entry(name).or_default().add(own);
            }
        }
        let of = |(account, of): (_, Sum)| {
            let Sum { balance, scripts } = of;
            AccountAt { account, balance, scripts }
        };
        let accounts = accounts.into_iter().map(of).collect();
        Ok(TotalsAt { balance: all.balance, scripts: all.scripts, accounts })
    }

    /// The accounts of a script's owners; with its birthday, where one begins later than the script's
    /// history.
    fn accounts_of(&self, owners: &[ScriptOwner]) -> Vec<(AccountName, Option<BlockHeight>)> {
        let items = owners.iter().filter_map(|owner| self.watched.get(owner.watch));
        let first = items.clone().map(|item| item.birthday).min();
        let names: BTreeSet<&AccountName> = items.clone().map(|item| &item.account).collect();
        let birthday = |name: &AccountName| {
            let own = items.clone().filter(|item| item.account == *name);
            own.map(|item| item.birthday).min().filter(|birthday| Some(*birthday) != first)
        };
        names.into_iter().map(|name| (name.clone(), birthday(name))).collect()
    }

    /// The coins of each script that were unspent at a height.
    fn unspent_at(&self, height: BlockHeight) -> BTreeMap<&bitcoin::Script, Vec<&Coin>> {
        let mut unspent: BTreeMap<&bitcoin::Script, Vec<&Coin>> = BTreeMap::new();
        let is_unspent = |coin: &&Coin| {
            coin.made.height <= height && coin.spent.is_none_or(|spend| spend.place.height > height)
        };
        for coin in self.ledger.coins().values().filter(is_unspent) {
            unspent.entry(coin.script.as_script()).or_default().push(coin);
        }
        unspent
    }
}

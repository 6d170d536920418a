//! What a wallet has, as its node tells it and as the devnet's blocks have it.

use std::collections::BTreeMap;

use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, TxOut, Txid};
use ironlight::Node;
use ironlight::devnet::ledger::Ledger;

use crate::report::Bound;

/// Coins and history of some scripts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Books {
    coins: BTreeMap<OutPoint, Amount>,
    /// By height and position in the block: the transaction, what it brought and what it took.
    history: BTreeMap<(u32, u32), (Txid, Amount, Amount)>,
}

impl Books {
    /// As the best chain has them, block by block.
    pub(super) fn of_ledger(ledger: &Ledger, scripts: &[ScriptBuf]) -> Self {
        let mut books = Self::default();
        for entry in ledger.tree().from(0) {
            for (position, transaction) in (0..).zip(&entry.block.txdata) {
                books.take((entry.height, position), transaction, scripts);
            }
        }
        books
    }

    fn take(&mut self, place: (u32, u32), transaction: &Transaction, scripts: &[ScriptBuf]) {
        let own = |output: &TxOut| scripts.contains(&output.script_pubkey);
        let inputs = transaction.input.iter();
        let spent: Vec<Amount> =
            inputs.filter_map(|input| self.coins.remove(&input.previous_output)).collect();
        if spent.is_empty() && !transaction.output.iter().any(own) {
            return;
        }
        let txid = transaction.compute_txid();
        let mut received = Amount::ZERO;
        for (vout, output) in (0..).zip(&transaction.output).filter(|(_, output)| own(output)) {
            self.coins.insert(OutPoint { txid, vout }, output.value);
            received += output.value;
        }
        self.history.insert(place, (txid, received, spent.into_iter().sum()));
    }

    /// As the node tells them.
    pub(super) fn of_node(node: &Node) -> Self {
        let coins = node.wallet().utxos(None).into_iter();
        let coins = coins.map(|coin| (coin.outpoint, coin.value)).collect();
        let history = node.wallet().history(None, None, usize::MAX).entries.into_iter();
        let history = history.map(|entry| {
            let place = (entry.place.height.0, entry.place.position);
            (place, (entry.txid, entry.received, entry.sent))
        });
        Self { coins, history: history.collect() }
    }

    fn balance(&self) -> Amount {
        self.coins.values().copied().sum()
    }

    /// What the node tells is what the blocks have.
    pub(super) fn bounds(&self, node: &Node) -> [Bound; 3] {
        let told = Self::of_node(node);
        let balance = node.wallet().balance(None);
        let coins = told.coins == self.coins;
        let history = told.history == self.history;
        [
            Bound::equal("balance", &self.balance(), &(balance.confirmed + balance.immature)),
            same("coins", self.coins.len(), told.coins.len(), coins),
            same("history", self.history.len(), told.history.len(), history),
        ]
    }
}

fn same(name: &str, wanted: usize, got: usize, met: bool) -> Bound {
    let others = if met { "" } else { ", not the same" };
    Bound::judged(name, &format_args!("{wanted}"), &format_args!("{got}{others}"), met)
}

//! Transactions that come from elsewhere, and payments that change their minds.
//!
//! What a full node's memory pool asks of a transaction is asked here as far as a wallet can tell the
//! difference: coins that exist, are mature and not spent by another that waits; amounts; lock times;
//! the least fee rate; replacement by more fee. Scripts are not run, relative lock times (BIP68) and
//! the rules of standard transactions not applied.

use std::collections::HashSet;

use bitcoin::absolute::{Height, LockTime, Time};
use bitcoin::{Amount, Transaction, Txid};

use super::error::LedgerError;
use super::pool::Accepted;
use super::{Branch, Ledger, median_time_past, payments};
use crate::devnet::wallet::{Input, MAX_FEE_RATE, Plan};

/// A replacement pays so many satoshi a virtual byte more.
const FEE_STEP: u64 = 2;

impl Ledger {
    /// Takes a transaction as a full node takes it from a peer: it waits for a block, in the place of
    /// those that it conflicts with where it pays more.
    ///
    /// # Errors
    /// [`LedgerError`] with the rule that it breaks; nothing has changed then.
    pub fn accept(&mut self, transaction: Transaction) -> Result<Accepted, LedgerError> {
        if self.waiting(&transaction.compute_txid()).is_some() {
            return Ok(Accepted::Known);
        }
        check_form(&transaction)?;
        if !self.is_final(&transaction) {
            return Err(LedgerError::NotFinal { lock_time: transaction.lock_time });
        }
        let height = self.next_height();
        self.pool.accept(transaction, &self.coins, height)
    }

    /// For the next block (Core, `CheckFinalTxAtTip`; BIP113).
    fn is_final(&self, transaction: &Transaction) -> bool {
        if !transaction.is_lock_time_enabled() {
            return true;
        }
        let median = median_time_past(&self.tree, self.tree.tip());
        match transaction.lock_time {
            LockTime::Blocks(least) => {
                Height::from_consensus(self.next_height()).is_ok_and(|next| least < next)
            }
            LockTime::Seconds(least) => {
                Time::from_consensus(median.0).is_ok_and(|median| least < median)
            }
        }
    }

    /// Replaces a waiting payment of the wallet's by one that pays the same with a higher fee.
    ///
    /// # Errors
    /// [`LedgerError::NotWaiting`], [`LedgerError::NotOurs`], [`LedgerError::NotEnough`]; those of
    /// [`accept`](Self::accept) where the fee is as high as it gets.
    pub fn replace(&mut self, txid: Txid) -> Result<Txid, LedgerError> {
        let old = self.waiting(&txid).cloned().ok_or(LedgerError::NotWaiting { txid })?;
        let inputs = old.input.iter().map(|input| {
            let outpoint = input.previous_output;
            let coin = self.coins.get(&outpoint).filter(|coin| coin.key.is_some())?;
            Some(Input { outpoint, output: coin.output.clone() })
        });
        let inputs = inputs.collect::<Option<Vec<_>>>().ok_or(LedgerError::NotOurs { txid })?;
        let others = |script| self.wallet.key_of(script).is_none();
        let outputs =
            old.output.iter().filter(|output| others(&output.script_pubkey)).cloned().collect();
        let before = self.pool.fee_rate(&txid).unwrap_or_default();
        let fee_rate = before.saturating_add(FEE_STEP).min(MAX_FEE_RATE);
        let mut plan = Plan { inputs, outputs, fee_rate };
        if plan.available() < plan.needed(&self.wallet) {
            self.fund(&mut plan)?;
        }
        let change = self.wallet.script(self.miner.random());
        let replacement = plan.sign(&self.wallet, change)?;
        let replaced_by = replacement.compute_txid();
        self.accept(replacement).map(|_| replaced_by)
    }

    /// Takes a mined transaction out of the best chain by a branch that does without it and has one
    /// block more. It waits again afterwards, with those that build on it, and the next block has it.
    ///
    /// # Errors
    /// [`LedgerError::NotMined`]; [`LedgerError::NotOurs`] for a coinbase.
    pub fn unmine(&mut self, txid: Txid) -> Result<Branch, LedgerError> {
        let entry = self.find(txid).ok_or(LedgerError::NotMined { txid })?;
        if entry.block.txdata.first().is_some_and(|coinbase| coinbase.compute_txid() == txid) {
            return Err(LedgerError::NotOurs { txid });
        }
        let depth = self.tree.tip().height.saturating_sub(entry.height).saturating_add(1);
        let old = self.rewind(depth)?;
        let taken_off = old.iter().rev().flat_map(|entry| payments(entry)).collect();
        self.pool.refit(taken_off, &self.coins, self.next_height());
        self.pool.hold_back(Some(txid));
        let branch = self.grow_branch(old, depth.saturating_add(1));
        self.pool.hold_back(None);
        branch
    }
}

/// What needs no coins to be seen (Core, `CheckTransaction`).
fn check_form(transaction: &Transaction) -> Result<(), LedgerError> {
    let broken = |rule| Err(LedgerError::Form { rule });
    if transaction.input.is_empty() || transaction.output.is_empty() {
        return broken("it has no inputs or no outputs");
    }
    if transaction.input.iter().any(|input| input.previous_output.is_null()) {
        return broken("it mines coins");
    }
    let spent: HashSet<_> = transaction.input.iter().map(|input| input.previous_output).collect();
    if spent.len() < transaction.input.len() {
        return broken("it spends a coin twice");
    }
    let values = transaction.output.iter().map(|output| output.value);
    let total = values.into_iter().try_fold(Amount::ZERO, |sum, value| {
        sum.checked_add(value).filter(|sum| *sum <= Amount::MAX_MONEY)
    });
    if total.is_none() {
        return broken("its outputs are worth more than all the money there is");
    }
    Ok(())
}

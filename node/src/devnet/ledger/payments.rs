//! What the wallet does: payments on command, some traffic of its own, and double spends.

use std::sync::Arc;

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, OutPoint, ScriptBuf, TxOut, Txid};

use super::coins::Coin;
use super::error::LedgerError;
use super::tree::Entry;
use super::{Branch, Ledger, payments};
use crate::devnet::wallet::{Input, Plan};

/// Satoshi that the wallet's transactions pay for a virtual byte.
pub const FEE_RATE: u64 = 2;
/// The conflicting one of a double spend pays more.
const HIGHER_FEE_RATE: u64 = 4;
/// Coins worth less stay where they are when the wallet makes traffic.
const LEAST_TRAFFIC: Amount = Amount::from_sat(20_000);
/// Traffic leaves mined coins alone for so many blocks more than it has to: no common reorg makes
/// what spends them impossible.
const MATURITY_MARGIN: u32 = 10;
/// Coins looked at for one that the wallet can spend.
const MAX_LOOKS: usize = 64;

/// A payment was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoubleSpend {
    /// The payment, now on a side branch.
    pub replaced: Txid,
    /// What spends its coins on the best chain now.
    pub replaced_by: Txid,
    /// The branch that did it.
    pub branch: Branch,
}

impl Ledger {
    /// Makes a payment to a script, signed; it waits for the next block.
    ///
    /// # Errors
    /// [`LedgerError`] where the wallet has too little, the amount is dust, or too many wait.
    pub fn pay(&mut self, script: ScriptBuf, amount: Amount) -> Result<Txid, LedgerError> {
        if script.is_empty() {
            return Err(LedgerError::EmptyScript);
        }
        let least = script.minimal_non_dust();
        if amount < least {
            return Err(LedgerError::Dust { amount, least });
        }
        if amount > Amount::MAX_MONEY {
            return Err(LedgerError::NotEnough { needed: amount, available: self.balance() });
        }
        let output = TxOut { value: amount, script_pubkey: script };
        let mut plan = Plan { inputs: Vec::new(), outputs: vec![output], fee_rate: FEE_RATE };
        self.fund(&mut plan)?;
        let transaction = plan.sign(&self.wallet, self.wallet.script(self.miner.random()))?;
        self.pool.admit(transaction, &self.coins, self.next_height())
    }

    /// Adds coins, the largest first: the fewest inputs. Among equals the oldest, since a reorg
    /// can make a mined coin immature again.
    pub(super) fn fund(&self, plan: &mut Plan) -> Result<(), LedgerError> {
        let mut own: Vec<(&OutPoint, &Coin)> =
            self.coins.iter().filter(|(outpoint, coin)| self.can_spend(outpoint, coin)).collect();
        own.sort_by_key(|(_, coin)| (std::cmp::Reverse(coin.output.value), coin.height));
        for (outpoint, coin) in own {
            plan.inputs.push(Input { outpoint: *outpoint, output: coin.output.clone() });
            if plan.available() >= plan.needed(&self.wallet) {
                return Ok(());
            }
        }
        let (needed, available) = (plan.needed(&self.wallet), plan.available());
        Err(LedgerError::NotEnough { needed, available })
    }

    fn can_spend(&self, outpoint: &OutPoint, coin: &Coin) -> bool {
        coin.key.is_some() && coin.mature_at(self.next_height()) && !self.pool.spends(outpoint)
    }

    /// Half of the blocks or so get a transaction or two, so that filters and Merkle trees have
    /// something in them.
    pub(super) fn make_traffic(&mut self) -> Result<(), LedgerError> {
        let count = match self.miner.random() % 8 {
            0..=4 => 0,
            5 | 6 => 1,
            7.. => 2,
        };
        for _ in 0..count {
            self.shuffle_coins()?;
        }
        Ok(())
    }

    /// Sends some coins of the wallet's to other scripts of the wallet's.
    fn shuffle_coins(&mut self) -> Result<(), LedgerError> {
        let mut plan = Plan { fee_rate: FEE_RATE, ..Plan::default() };
        for _ in 0..=self.miner.random() % 2 {
            let drawn = self.draw_coin(&plan);
            plan.inputs.extend(drawn);
        }
        let (Some(_), Some(share)) = (plan.inputs.first(), plan.available().checked_div(3)) else {
            return Ok(());
        };
        for _ in 0..self.miner.random() % 3 {
            let script_pubkey = self.wallet.script(self.miner.random());
            plan.outputs.push(TxOut { value: share, script_pubkey });
        }
        if self.miner.random().is_multiple_of(8) {
            let script_pubkey = ScriptBuf::new_op_return(self.miner.random().to_be_bytes());
            plan.outputs.push(TxOut { value: Amount::ZERO, script_pubkey });
        }
        let change = self.wallet.script(self.miner.random());
        let transaction = plan.sign(&self.wallet, change)?;
        match self.pool.admit(transaction, &self.coins, self.next_height()) {
            // What waits on command goes before what is only there to be there.
            Ok(_) | Err(LedgerError::PoolFull { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A coin of the wallet's that a plan does not have yet, if one is found soon.
    fn draw_coin(&mut self, plan: &Plan) -> Option<Input> {
        let mut txid = [0; 32];
        for part in txid.as_chunks_mut::<8>().0 {
            *part = self.miner.random().to_le_bytes();
        }
        let start = OutPoint { txid: Txid::from_byte_array(txid), vout: 0 };
        let height = self.next_height().saturating_sub(MATURITY_MARGIN);
        let around = self.coins.from(start).chain(self.coins.iter()).take(MAX_LOOKS);
        let mut fitting = around.filter(|(outpoint, coin)| {
            self.can_spend(outpoint, coin)
                && coin.mature_at(height)
                && coin.output.value >= LEAST_TRAFFIC
                && plan.inputs.iter().all(|input| input.outpoint != **outpoint)
        });
        let (outpoint, coin) = fitting.next()?;
        Some(Input { outpoint: *outpoint, output: coin.output.clone() })
    }

    /// Takes a mined payment back: a branch that leaves the best chain before its block has a
    /// transaction that spends the same coins otherwise, and one block more than the chain had.
    ///
    /// # Errors
    /// [`LedgerError::NotMined`]; [`LedgerError::NotOurs`] for a coinbase.
    pub fn double_spend(&mut self, txid: Txid) -> Result<DoubleSpend, LedgerError> {
        let entry = self.find(txid).ok_or(LedgerError::NotMined { txid })?;
        let mut plan = conflict(&entry, txid).ok_or(LedgerError::NotOurs { txid })?;
        // Without outputs of its own, the change is all.
        plan.fee_rate = HIGHER_FEE_RATE;
        let change = self.wallet.script(self.miner.random());
        let (needed, available) = (plan.needed(&self.wallet), plan.available());
        let conflicting = plan.sign(&self.wallet, change)?;
        if conflicting.output.is_empty() {
            return Err(LedgerError::NotEnough { needed, available });
        }
        let depth = self.tree.tip().height.saturating_sub(entry.height).saturating_add(1);
        let old = self.rewind(depth)?;
        let taken_off = old.iter().rev().flat_map(|entry| payments(entry)).collect();
        let height = self.next_height();
        self.pool.refit(taken_off, &self.coins, height);
        self.pool.remove(txid, &self.coins, height);
        let replaced_by = match self.pool.admit(conflicting, &self.coins, height) {
            Ok(replaced_by) => replaced_by,
            Err(error) => {
                self.go_back_to(old, 0)?;
                return Err(error);
            }
        };
        let branch = self.grow_branch(old, depth.saturating_add(1))?;
        Ok(DoubleSpend { replaced: txid, replaced_by, branch })
    }

    /// The block of the best chain that has a transaction: newest first, since it is likely new.
    pub(super) fn find(&self, txid: Txid) -> Option<Arc<Entry>> {
        let has = |entry: &&Arc<Entry>| {
            entry.block.txdata.iter().any(|transaction| transaction.compute_txid() == txid)
        };
        self.tree.from(1).rev().find(has).cloned()
    }
}

/// The coins of a block's transaction, to be spent again; none for a coinbase.
fn conflict(entry: &Entry, txid: Txid) -> Option<Plan> {
    let payment = entry.block.txdata.iter().skip(1).find(|tx| tx.compute_txid() == txid)?;
    let inputs = payment.input.iter().map(|input| {
        let spent =
            entry.undo.spent.iter().find(|spent| spent.outpoint == input.previous_output)?;
        Some(Input { outpoint: spent.outpoint, output: spent.coin.output.clone() })
    });
    Some(Plan { inputs: inputs.collect::<Option<_>>()?, ..Plan::default() })
}

//! Unspent outputs, and what a block does to them.
//!
//! Invariant: [`Coins::connect`] changes nothing when it refuses, and [`Coins::disconnect`] with
//! the undo of the last block restores exactly what was before it.

use std::collections::{BTreeMap, HashMap, HashSet};

use bitcoin::{Amount, Block, OutPoint, Script, Transaction, TxOut};

use super::error::LedgerError;
use super::subsidy;

/// Blocks on a mined coin before it can be spent, its own included (Core, `consensus.h`,
/// `COINBASE_MATURITY`).
pub const COINBASE_MATURITY: u32 = 100;

/// An output that can be spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coin {
    /// What it is worth and what spends it.
    pub output: TxOut,
    /// The height of its block.
    pub height: u32,
    /// Whether it was mined.
    pub coinbase: bool,
    /// The wallet's key for it, if the wallet has one.
    pub key: Option<usize>,
}

impl Coin {
    /// Whether a block at a height may spend it.
    #[must_use]
    pub const fn mature_at(&self, height: u32) -> bool {
        !self.coinbase || height.saturating_sub(self.height) >= COINBASE_MATURITY
    }
}

/// An input of a block, with what it spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    /// The output.
    pub outpoint: OutPoint,
    /// The coin.
    pub coin: Coin,
    /// Whether the same block made it, so that it never was among the unspent ones.
    pub same_block: bool,
}

/// What a block spent, in the order of its inputs: enough to take it off again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undo {
    /// Inputs but the coinbase's.
    pub spent: Vec<Spent>,
}

/// All unspent outputs but those that say themselves that nobody can spend them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coins {
    coins: BTreeMap<OutPoint, Coin>,
}

impl Coins {
    /// An unspent output.
    #[must_use]
    pub fn get(&self, outpoint: &OutPoint) -> Option<&Coin> {
        self.coins.get(outpoint)
    }

    /// All of them, ordered by outpoint.
    pub fn iter(&self) -> impl Iterator<Item = (&OutPoint, &Coin)> {
        self.coins.iter()
    }

    /// Those from an outpoint on: outpoints are hashes, so a drawn one gives drawn coins.
    pub fn from(&self, outpoint: OutPoint) -> impl Iterator<Item = (&OutPoint, &Coin)> {
        self.coins.range(outpoint..)
    }

    /// Applies a block: inputs go, outputs come. `key` names the wallet's key of a script.
    ///
    /// # Errors
    /// [`LedgerError`] where an input is missing, spent or immature, or more comes out than goes
    /// in (the rules of Core's `ConnectBlock` that depend on coins, scripts aside).
    pub fn connect(
        &mut self,
        block: &Block,
        height: u32,
        key: impl Fn(&Script) -> Option<usize>,
    ) -> Result<Undo, LedgerError> {
        let (coinbase, rest) = block.txdata.split_first().ok_or(LedgerError::Misplaced)?;
        let mut made = created(coinbase, height, true, &key);
        let mut gone = HashSet::new();
        let mut undo = Undo::default();
        let mut claimable = subsidy(height);
        for transaction in rest {
            let mut inputs = Amount::ZERO;
            for input in &transaction.input {
                let spent = self.spend(input.previous_output, height, &made, &mut gone)?;
                inputs += spent.coin.output.value;
                undo.spent.push(spent);
            }
            claimable += fee(transaction, inputs)?;
            made.extend(created(transaction, height, false, &key));
        }
        let outputs = total(coinbase);
        if outputs > claimable {
            return Err(LedgerError::Inflation { inputs: claimable, outputs });
        }
        for spent in &undo.spent {
            self.coins.remove(&spent.outpoint);
        }
        self.coins.extend(made.into_iter().filter(|(outpoint, _)| !gone.contains(outpoint)));
        Ok(undo)
    }

    fn spend(
        &self,
        outpoint: OutPoint,
        height: u32,
        made: &HashMap<OutPoint, Coin>,
        gone: &mut HashSet<OutPoint>,
    ) -> Result<Spent, LedgerError> {
        let own = made.get(&outpoint);
        let coin = own.or_else(|| self.coins.get(&outpoint));
        let Some(coin) = coin.filter(|_| gone.insert(outpoint)) else {
            return Err(LedgerError::MissingCoin { outpoint });
        };
        if !coin.mature_at(height) {
            return Err(LedgerError::Immature { outpoint, mined: coin.height, height });
        }
        Ok(Spent { outpoint, coin: coin.clone(), same_block: own.is_some() })
    }

    /// Takes the last block off.
    pub fn disconnect(&mut self, block: &Block, undo: &Undo) {
        for transaction in &block.txdata {
            let txid = transaction.compute_txid();
            for (vout, _) in (0u32..).zip(&transaction.output) {
                self.coins.remove(&OutPoint { txid, vout });
            }
        }
        let back = undo.spent.iter().filter(|spent| !spent.same_block);
        self.coins.extend(back.map(|spent| (spent.outpoint, spent.coin.clone())));
    }
}

/// The outputs of a transaction that can be spent.
pub(super) fn created(
    transaction: &Transaction,
    height: u32,
    coinbase: bool,
    key: impl Fn(&Script) -> Option<usize>,
) -> HashMap<OutPoint, Coin> {
    let txid = transaction.compute_txid();
    let outputs = (0u32..).zip(&transaction.output);
    let spendable = outputs.filter(|(_, output)| !output.script_pubkey.is_op_return());
    spendable
        .map(|(vout, output)| {
            let key = key(&output.script_pubkey);
            (OutPoint { txid, vout }, Coin { output: output.clone(), height, coinbase, key })
        })
        .collect()
}

/// What a transaction's outputs are worth.
pub(super) fn total(transaction: &Transaction) -> Amount {
    transaction.output.iter().map(|output| output.value).sum()
}

/// What a transaction leaves to the miner.
///
/// # Errors
/// [`LedgerError::Inflation`]
pub(super) fn fee(transaction: &Transaction, inputs: Amount) -> Result<Amount, LedgerError> {
    let outputs = total(transaction);
    inputs.checked_sub(outputs).ok_or(LedgerError::Inflation { inputs, outputs })
}

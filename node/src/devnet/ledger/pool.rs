//! Transactions that wait for a block.
//!
//! Invariant: each can be mined in the next block after those before it; no two spend the same
//! coin. What a user can grow: [`MAX_WAITING`] transactions.

use std::collections::{HashMap, HashSet};

use bitcoin::{Amount, OutPoint, Transaction, Txid};

use super::coins::{Coin, Coins, created, fee};
use super::error::LedgerError;

/// Satoshi a virtual byte that a transaction from elsewhere pays at least.
pub const MIN_FEE_RATE: u64 = 1;
/// Transactions that wait at most.
pub const MAX_WAITING: usize = 10_000;
/// No transaction is heavier (Core, `policy.h`, `MAX_STANDARD_TX_WEIGHT`).
const MAX_WEIGHT: u64 = 400_000;
/// No transaction has more signature operations (Core, `policy.h`, `MAX_STANDARD_TX_SIGOPS_COST`).
const MAX_SIGOPS: usize = 16_000;
/// Weight left to transactions: the limit less room for header and coinbase (BIP141).
const BLOCK_WEIGHT: u64 = 4_000_000 - 8_000;
/// Signature operations a block (Core, `consensus.h`, `MAX_BLOCK_SIGOPS_COST`), less the coinbase's.
const BLOCK_SIGOPS: usize = 80_000 - 400;

/// A transaction that waits.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The transaction.
    pub transaction: Transaction,
    /// Its id.
    pub txid: Txid,
    /// When it came, counted over the pool's life.
    pub number: u64,
    fee: Amount,
    weight: u64,
    sigops: usize,
}

/// What became of a transaction from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It waits, in the place of these.
    New {
        /// Those that it conflicts with, and those that build on them.
        replaced: Vec<Txid>,
    },
    /// It waits already.
    Known,
}

/// All that wait, parents before children.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    waiting: Vec<Waiting>,
    spent: HashSet<OutPoint>,
    made: HashMap<OutPoint, Coin>,
    came: u64,
    /// No block has it meanwhile.
    held_back: Option<Txid>,
}

impl Waiting {
    /// What it pays for so many virtual bytes of others, rounded up: the rate is the same.
    fn fee_for(&self, weight: u64) -> Amount {
        let fee = u128::from(self.fee.to_sat()) * u128::from(weight);
        Amount::from_sat(
            u64::try_from(fee.div_ceil(u128::from(self.weight.max(1)))).unwrap_or(u64::MAX),
        )
    }
}

impl Pool {
    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// All of them, in the order in which they may be mined.
    pub fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.iter()
    }

    /// Whether a waiting transaction spends a coin.
    #[must_use]
    pub fn spends(&self, outpoint: &OutPoint) -> bool {
        self.spent.contains(outpoint)
    }

    /// Adds a transaction that a block at `height` could have.
    ///
    /// # Errors
    /// [`LedgerError`] where it could not, or the pool is full.
    pub(super) fn admit(
        &mut self,
        transaction: Transaction,
        coins: &Coins,
        height: u32,
    ) -> Result<Txid, LedgerError> {
        if self.waiting.len() >= MAX_WAITING {
            return Err(LedgerError::PoolFull { waiting: self.waiting.len() });
        }
        let weight = transaction.weight().to_wu();
        if weight > MAX_WEIGHT {
            return Err(LedgerError::TooHeavy { weight });
        }
        let mut inputs = Amount::ZERO;
        for input in &transaction.input {
            inputs += self.spendable(input.previous_output, coins, height)?.output.value;
        }
        let fee = fee(&transaction, inputs)?;
        let sigops = transaction
            .total_sigop_cost(|outpoint| self.look_up(outpoint, coins).map(|c| c.output.clone()));
        if sigops > MAX_SIGOPS {
            return Err(LedgerError::TooManySigops { sigops });
        }
        let txid = transaction.compute_txid();
        self.spent.extend(transaction.input.iter().map(|input| input.previous_output));
        // Whose they are does not matter: the wallet spends coins that are in a block.
        self.made.extend(created(&transaction, height, false, |_| None));
        self.came += 1;
        let number = self.came;
        self.waiting.push(Waiting { transaction, txid, number, fee, weight, sigops });
        Ok(txid)
    }

    /// Adds a transaction from elsewhere. One that conflicts with others replaces them, and what
    /// builds on them, where it pays more than all of them together and more for its size than any of
    /// those that it conflicts with (after BIP125).
    ///
    /// # Errors
    /// [`LedgerError`]; nothing has changed then.
    pub(super) fn accept(
        &mut self,
        transaction: Transaction,
        coins: &Coins,
        height: u32,
    ) -> Result<Accepted, LedgerError> {
        let (direct, replaced) = self.conflicts(&transaction);
        if let Some(parent) =
            transaction.input.iter().find(|input| replaced.contains(&input.previous_output.txid))
        {
            return Err(LedgerError::ReplacesParent { txid: parent.previous_output.txid });
        }
        let weight = transaction.weight().to_wu();
        let of = |txids: &HashSet<Txid>| {
            let chosen = self.waiting.iter().filter(|waiting| txids.contains(&waiting.txid));
            chosen.cloned().collect::<Vec<_>>()
        };
        let step = Amount::from_sat(1);
        let total = of(&replaced).iter().map(|waiting| waiting.fee).sum::<Amount>();
        let rates = of(&direct).into_iter().map(|waiting| waiting.fee_for(weight) + step);
        let least = Amount::from_sat(MIN_FEE_RATE * weight.div_ceil(4));
        let replacing = if replaced.is_empty() { Amount::ZERO } else { total + step };
        let needed = rates.fold(least.max(replacing), Amount::max);

        let mut trial = self.clone();
        trial.waiting.retain(|waiting| !replaced.contains(&waiting.txid));
        if !replaced.is_empty() {
            trial.refit(Vec::new(), coins, height);
        }
        trial.admit(transaction, coins, height)?;
        let fee = trial.waiting.last().map(|waiting| waiting.fee).unwrap_or_default();
        if fee < needed {
            return Err(LedgerError::LowFee { fee, needed });
        }
        *self = trial;
        Ok(Accepted::New { replaced: replaced.into_iter().collect() })
    }

    /// Those that spend a coin that a transaction spends, and these with all that build on them.
    fn conflicts(&self, transaction: &Transaction) -> (HashSet<Txid>, HashSet<Txid>) {
        let spent: HashSet<OutPoint> =
            transaction.input.iter().map(|input| input.previous_output).collect();
        let (mut direct, mut all) = (HashSet::new(), HashSet::new());
        // Parents come before children.
        for waiting in &self.waiting {
            let mut inputs = waiting.transaction.input.iter().map(|input| input.previous_output);
            if inputs.clone().any(|outpoint| spent.contains(&outpoint)) {
                direct.insert(waiting.txid);
                all.insert(waiting.txid);
            } else if inputs.any(|outpoint| all.contains(&outpoint.txid)) {
                all.insert(waiting.txid);
            }
        }
        (direct, all)
    }

    /// Satoshi a virtual byte that a waiting transaction pays, rounded up.
    pub(super) fn fee_rate(&self, txid: &Txid) -> Option<u64> {
        let waiting = self.waiting.iter().find(|waiting| waiting.txid == *txid)?;
        Some(waiting.fee_for(4).to_sat())
    }

    /// From now on no block has this transaction, or any that builds on it.
    pub(super) const fn hold_back(&mut self, txid: Option<Txid>) {
        self.held_back = txid;
    }

    fn look_up<'a>(&'a self, outpoint: &OutPoint, coins: &'a Coins) -> Option<&'a Coin> {
        coins.get(outpoint).or_else(|| self.made.get(outpoint))
    }

    fn spendable<'a>(
        &'a self,
        outpoint: OutPoint,
        coins: &'a Coins,
        height: u32,
    ) -> Result<&'a Coin, LedgerError> {
        let coin = self.look_up(&outpoint, coins).filter(|_| !self.spends(&outpoint));
        let coin = coin.ok_or(LedgerError::MissingCoin { outpoint })?;
        if !coin.mature_at(height) {
            return Err(LedgerError::Immature { outpoint, mined: coin.height, height });
        }
        Ok(coin)
    }

    /// The transactions of the next block, and their fees: the first that fit.
    pub(super) fn for_block(&self) -> (Vec<Transaction>, Amount) {
        let (mut chosen, mut fees) = (Vec::new(), Amount::ZERO);
        let (mut weight, mut sigops) = (0, 0);
        let mut held_back: HashSet<Txid> = self.held_back.into_iter().collect();
        for waiting in &self.waiting {
            let mut inputs = waiting.transaction.input.iter();
            if held_back.contains(&waiting.txid)
                || inputs.any(|input| held_back.contains(&input.previous_output.txid))
            {
                held_back.insert(waiting.txid);
                continue;
            }
            weight += waiting.weight;
            sigops += waiting.sigops;
            if weight > BLOCK_WEIGHT || sigops > BLOCK_SIGOPS {
                break;
            }
            fees += waiting.fee;
            chosen.push(waiting.transaction.clone());
        }
        (chosen, fees)
    }

    /// Fits the pool to another chain: `first` are transactions that were taken off it, in its
    /// order. What can no longer be mined is dropped.
    pub(super) fn refit(&mut self, first: Vec<Transaction>, coins: &Coins, height: u32) {
        let old = std::mem::take(self);
        (self.came, self.held_back) = (old.came, old.held_back);
        let known: HashMap<Txid, u64> =
            old.waiting.iter().map(|waiting| (waiting.txid, waiting.number)).collect();
        let rest = old.waiting.into_iter().map(|waiting| waiting.transaction);
        for transaction in first.into_iter().chain(rest) {
            // One that does not fit any more is dropped, as full nodes do.
            let Ok(txid) = self.admit(transaction, coins, height) else { continue };
            // Those that waited before were announced already.
            if let (Some(number), Some(last)) = (known.get(&txid), self.waiting.last_mut()) {
                last.number = *number;
            }
        }
    }

    /// Removes a transaction and those that build on it.
    pub(super) fn remove(&mut self, txid: Txid, coins: &Coins, height: u32) {
        self.waiting.retain(|waiting| waiting.txid != txid);
        self.refit(Vec::new(), coins, height);
    }
}

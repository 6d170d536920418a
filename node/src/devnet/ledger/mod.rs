//! A regtest full node's state: blocks on all branches, coins, waiting transactions, a wallet.
//!
//! Pure: no I/O, no clock. Blocks are made here and nowhere else, and each passes the rules that
//! depend on coins on its way in. Scripts are not run: the wallet signs by the same library that
//! wallets use, and Bitcoin Core judges that in a test. Transactions of others are taken as well; one
//! with a wrong signature is mined here, and Bitcoin Core refuses its block.
//!
//! Invariant: the coins are those that the best chain leaves unspent; every block of the tree has
//! its parent there; the waiting transactions fit the best chain.

mod assemble;
mod coins;
mod error;
mod others;
mod payments;
mod pool;
mod tree;

use std::sync::Arc;

use bitcoin::{Amount, BlockHash, Transaction, Txid};
use ironlight_spv::UnixTime;
use ironlight_spv::generate::Miner;

pub use assemble::{HALVING_INTERVAL, median_time_past, subsidy};
pub use coins::{COINBASE_MATURITY, Coin, Coins, Spent, Undo};
pub use error::LedgerError;
pub use payments::{DoubleSpend, FEE_RATE};
pub use pool::{Accepted, MAX_WAITING, MIN_FEE_RATE, Pool, Waiting};
pub use tree::{Changes, Entry, Tree};

use self::assemble::Template;
use super::wallet::Wallet;

/// A branch was mined beside the best chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The last block that both have.
    pub fork_height: u32,
    /// Blocks that left the best chain, the lowest first; none if the branch has not more work.
    pub disconnected: Vec<BlockHash>,
    /// The branch's blocks, the lowest first.
    pub mined: Vec<BlockHash>,
}

/// The state.
#[derive(Debug)]
pub struct Ledger {
    wallet: Wallet,
    tree: Tree,
    coins: Coins,
    pool: Pool,
    /// Every choice and every extra nonce comes from it.
    miner: Miner,
    first_time: UnixTime,
    spacing: u32,
}

impl Ledger {
    /// Genesis and nothing else. `first_time` is the time that the first block claims, in seconds
    /// since 1970, `spacing` the seconds from each block to the next.
    ///
    /// # Errors
    /// [`LedgerError::Filter`]; never, since genesis spends nothing.
    pub fn new(seed: u64, first_time: UnixTime, spacing: u32) -> Result<Self, LedgerError> {
        Ok(Self {
            wallet: Wallet::new(seed),
            tree: Tree::new(Entry::genesis()?),
            coins: Coins::default(),
            pool: Pool::default(),
            miner: Miner::new(seed),
            first_time,
            spacing,
        })
    }

    /// The blocks.
    #[must_use]
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// What the best chain leaves unspent.
    #[must_use]
    pub const fn coins(&self) -> &Coins {
        &self.coins
    }

    /// The transactions that wait.
    #[must_use]
    pub const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The keys.
    #[must_use]
    pub const fn wallet(&self) -> &Wallet {
        &self.wallet
    }

    /// What the wallet has, coins that are not mature yet included.
    #[must_use]
    pub fn balance(&self) -> Amount {
        let own = self.coins.iter().filter(|(_, coin)| coin.key.is_some());
        own.map(|(_, coin)| coin.output.value).sum()
    }

    fn next_height(&self) -> u32 {
        self.tree.tip().height.saturating_add(1)
    }

    /// Mines a block on the tip, with what waits and now and then a few transactions of the
    /// wallet's own.
    ///
    /// # Errors
    /// [`LedgerError`] where the block does not fit: a bug.
    pub fn mine(&mut self) -> Result<Arc<Entry>, LedgerError> {
        self.make_traffic()?;
        let (transactions, fees) = self.pool.for_block();
        let parent = Arc::clone(self.tree.tip());
        let template = Template {
            height: self.next_height(),
            time: self.next_time(&parent),
            payout: self.wallet.script(self.miner.random()),
            fees,
            transactions,
            extra_nonce: self.miner.random(),
        };
        let height = template.height;
        let block = template.mine(&parent, &self.miner);
        let undo = self.coins.connect(&block, height, |script| self.wallet.key_of(script))?;
        let entry = Arc::new(Entry::on(&parent, block, undo)?);
        self.tree.push(Arc::clone(&entry));
        if !self.pool.is_empty() {
            self.pool.refit(Vec::new(), &self.coins, self.next_height());
        }
        Ok(entry)
    }

    fn next_time(&self, parent: &Entry) -> UnixTime {
        let due = match parent.height {
            0 => self.first_time,
            _ => UnixTime(parent.block.header.time).plus_seconds(self.spacing),
        };
        due.max(median_time_past(&self.tree, parent).plus_seconds(1))
    }

    /// Mines a branch of `length` blocks that leaves the best chain `depth` blocks below its tip.
    /// The branch with the most work is the best chain afterwards; among equals the one that was
    /// there first.
    ///
    /// # Errors
    /// [`LedgerError::Depth`], [`LedgerError::EmptyBranch`].
    pub fn branch(&mut self, depth: u32, length: u32) -> Result<Branch, LedgerError> {
        if length == 0 {
            return Err(LedgerError::EmptyBranch);
        }
        let old = self.rewind(depth)?;
        let taken_off = old.iter().rev().flat_map(|entry| payments(entry));
        self.pool.refit(taken_off.collect(), &self.coins, self.next_height());
        self.grow_branch(old, length)
    }

    /// Takes blocks off the best chain, and gives them, the tip first.
    fn rewind(&mut self, depth: u32) -> Result<Vec<Arc<Entry>>, LedgerError> {
        let height = self.tree.tip().height;
        if depth == 0 || depth > height {
            return Err(LedgerError::Depth { depth, height });
        }
        let mut old = Vec::new();
        for _ in 0..depth {
            let Some(entry) = self.tree.pop() else { break };
            self.coins.disconnect(&entry.block, &entry.undo);
            old.push(entry);
        }
        Ok(old)
    }

    /// Mines on the fork point, then lets the better of the two branches win.
    fn grow_branch(&mut self, old: Vec<Arc<Entry>>, length: u32) -> Result<Branch, LedgerError> {
        let fork_height = self.tree.tip().height;
        let mut mined = Vec::new();
        for _ in 0..length {
            mined.push(self.mine()?.hash);
        }
        let old_work = old.first().map(|entry| entry.work);
        let wins = old_work.is_none_or(|work| self.tree.tip().work > work);
        let mut disconnected: Vec<BlockHash> = old.iter().map(|entry| entry.hash).collect();
        disconnected.reverse();
        if !wins {
            self.go_back_to(old, length)?;
            disconnected.clear();
        }
        Ok(Branch { fork_height, disconnected, mined })
    }

    /// Puts blocks that were taken off (the tip first) back in the place of the last `length`.
    fn go_back_to(&mut self, old: Vec<Arc<Entry>>, length: u32) -> Result<(), LedgerError> {
        let left = if length > 0 { self.rewind(length)? } else { Vec::new() };
        for entry in old.into_iter().rev() {
            self.coins.connect(&entry.block, entry.height, |script| self.wallet.key_of(script))?;
            self.tree.push(entry);
        }
        let taken_off = left.iter().rev().flat_map(|entry| payments(entry));
        self.pool.refit(taken_off.collect(), &self.coins, self.next_height());
        Ok(())
    }

    /// A transaction that waits, by id.
    #[must_use]
    pub fn waiting(&self, txid: &Txid) -> Option<&Transaction> {
        let found = self.pool.iter().find(|waiting| waiting.txid == *txid);
        found.map(|waiting| &waiting.transaction)
    }
}

/// The transactions of a block but its coinbase.
fn payments(entry: &Entry) -> impl Iterator<Item = Transaction> {
    entry.block.txdata.iter().skip(1).cloned()
}

#[cfg(test)]
mod tests;

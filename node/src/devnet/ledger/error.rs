//! Why the ledger refused.

use bitcoin::{Amount, OutPoint, Txid};

use crate::devnet::wallet::SignError;

/// Why a command was refused, or a block or transaction does not fit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The wallet's coins do not reach.
    #[error(
        "the wallet has {available} to spend, {needed} needed with the fee: mine some blocks \
         (a mined coin can be spent after 100 more)"
    )]
    NotEnough {
        /// The payment and its fee.
        needed: Amount,
        /// What can be spent in the next block.
        available: Amount,
    },
    /// A payment that nodes would not relay.
    #[error("{amount} is dust: at least {least} for this script")]
    Dust {
        /// What was asked for.
        amount: Amount,
        /// The least that is relayed.
        least: Amount,
    },
    /// A script that nobody can be paid by.
    #[error("an empty script cannot be paid")]
    EmptyScript,
    /// The chain is not that long.
    #[error("a reorg of {depth} blocks: between 1 and the height of the tip, {height}")]
    Depth {
        /// What was asked for.
        depth: u32,
        /// The tip's height.
        height: u32,
    },
    /// A branch of no blocks.
    #[error("a branch needs a block at least")]
    EmptyBranch,
    /// No block of the best chain has it.
    #[error("no block of the best chain has transaction {txid}: mine one first if it waits")]
    NotMined {
        /// What was asked for.
        txid: Txid,
    },
    /// It does not wait for a block.
    #[error("transaction {txid} does not wait for a block")]
    NotWaiting {
        /// What was asked for.
        txid: Txid,
    },
    /// A transaction that can never be valid.
    #[error("not a transaction that can be mined: {rule}")]
    Form {
        /// What is wrong with it.
        rule: &'static str,
    },
    /// A transaction that cannot be mined yet.
    #[error("not before {lock_time}")]
    NotFinal {
        /// Its lock time.
        lock_time: bitcoin::absolute::LockTime,
    },
    /// A transaction that pays less than is relayed, or not more than what it would replace.
    #[error("a fee of {fee}, at least {needed} needed")]
    LowFee {
        /// What it pays.
        fee: Amount,
        /// What it would have to pay.
        needed: Amount,
    },
    /// It spends what it would replace.
    #[error("it builds on {txid}, which it conflicts with")]
    ReplacesParent {
        /// The parent.
        txid: Txid,
    },
    /// The wallet cannot sign for all of its inputs.
    #[error("transaction {txid} is not the wallet's to replace")]
    NotOurs {
        /// What was asked for.
        txid: Txid,
    },
    /// Too many transactions wait.
    #[error("{waiting} transactions wait already: mine a block first")]
    PoolFull {
        /// How many.
        waiting: usize,
    },
    /// A transaction heavier than nodes relay (Core, `policy.h`, `MAX_STANDARD_TX_WEIGHT`).
    #[error("the payment needs too many coins: {weight} weight units, at most 400000")]
    TooHeavy {
        /// Its weight.
        weight: u64,
    },
    /// A transaction that costs more to check than nodes relay (Core, `policy.h`,
    /// `MAX_STANDARD_TX_SIGOPS_COST`).
    #[error("the script costs too much to check: {sigops} signature operations, at most 16000")]
    TooManySigops {
        /// Its signature operations, weighted (BIP141).
        sigops: usize,
    },
    /// An input that does not exist or is spent.
    #[error("coin {outpoint} does not exist or is spent")]
    MissingCoin {
        /// The input.
        outpoint: OutPoint,
    },
    /// A mined coin that is not yet 100 blocks deep.
    #[error("coin {outpoint} was mined at {mined} and cannot be spent at {height}")]
    Immature {
        /// The input.
        outpoint: OutPoint,
        /// The height of its block.
        mined: u32,
        /// The height of the spending block.
        height: u32,
    },
    /// Outputs worth more than the inputs.
    #[error("outputs of {outputs} from inputs of {inputs}")]
    Inflation {
        /// What goes in, subsidy and fees for a coinbase.
        inputs: Amount,
        /// What comes out.
        outputs: Amount,
    },
    /// A block that is not on the tip, or of no transactions.
    #[error("the block does not belong there")]
    Misplaced,
    /// Signing.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The block's filter.
    #[error("the block's filter cannot be built ({0})")]
    Filter(#[from] ironlight_spv::filter::FilterError),
}

//! Coins and transactions of ours, and where they stand in the chain.

use bitcoin::{Amount, BlockHash, OutPoint, ScriptBuf, SignedAmount, Transaction, Txid};
use ironlight_spv::BlockHeight;

use super::watch::ScriptOwner;

/// Confirmations that a mined coin needs before the wallet counts it as spendable: 100 blocks on
/// top of its own (Core, `CWallet::GetTxBlocksToMaturity`: `COINBASE_MATURITY` and one more).
pub const COINBASE_MATURITY: u32 = 100;

/// A block of the best chain, by height and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockId {
    /// Its height.
    pub height: BlockHeight,
    /// Its hash.
    pub hash: BlockHash,
}

/// A transaction's place in the chain; ordered as the chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The height of its block.
    pub height: BlockHeight,
    /// Its position in it, from 0 for the coinbase.
    pub position: u32,
}

/// A transaction that spends a coin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spend {
    /// The transaction.
    pub txid: Txid,
    /// Where it stands.
    pub place: Place,
}

/// An output to a watched script, spent or not. It says itself which block made it and which one
/// spent it, so that blocks can be taken off to any depth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coin {
    /// What it is worth.
    pub value: Amount,
    /// What it pays to.
    pub script: ScriptBuf,
    /// The transaction that made it.
    pub made: Place,
    /// Whether it was mined.
    pub coinbase: bool,
    /// The transaction that spent it.
    pub spent: Option<Spend>,
}

impl Coin {
    /// Whether it counts as spendable with so many confirmations.
    #[must_use]
    pub const fn is_mature(&self, confirmations: u32) -> bool {
        !self.coinbase || confirmations > COINBASE_MATURITY
    }
}

/// What is kept in memory of a transaction that made or spent a coin of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The transaction.
    pub txid: Txid,
    /// The block that has it.
    pub block: BlockHash,
    /// How many inputs it has, ours and others'.
    pub inputs: u32,
    /// What all its outputs are worth, ours and others'.
    pub output_total: Amount,
}

/// A transaction of ours as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTransaction {
    /// Where it stands.
    pub place: Place,
    /// The block that has it.
    pub block: BlockHash,
    /// The transaction.
    pub transaction: Transaction,
    /// Its Merkle proof, as it was given with the block.
    pub proof: Vec<u8>,
}

/// What an account has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Unspent in the best chain, and mature. Includes what waiting transactions of ours spend.
    pub confirmed: Amount,
    /// Mined, and not spendable yet.
    pub immature: Amount,
    /// What waiting transactions would bring. Unverified: nothing proves that they are valid.
    pub pending_in: Amount,
    /// What waiting transactions would take from `confirmed`.
    pub pending_out: Amount,
}

/// A coin that can be spent, or will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Utxo {
    /// Which output.
    pub outpoint: OutPoint,
    /// What it is worth.
    pub value: Amount,
    /// What it pays to.
    pub script: ScriptBuf,
    /// Where it was made.
    pub place: Place,
    /// Blocks from its own to the tip, both counted.
    pub confirmations: u32,
    /// Whether it was mined.
    pub coinbase: bool,
    /// Whether it may be spent now.
    pub mature: bool,
    /// A waiting transaction that spends it.
    pub pending_spend: Option<Txid>,
    /// Where its script comes from.
    pub owners: Vec<ScriptOwner>,
}

/// A confirmed transaction, as an account sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The transaction.
    pub txid: Txid,
    /// Where it stands.
    pub place: Place,
    /// The block that has it.
    pub block: BlockHash,
    /// What it brought to the account.
    pub received: Amount,
    /// What it took from the account.
    pub sent: Amount,
    /// Its fee; known where all its inputs are watched.
    pub fee: Option<Amount>,
    /// Blocks from its own to the tip, both counted.
    pub confirmations: u32,
}

impl HistoryEntry {
    /// Received less sent.
    #[must_use]
    pub fn net(&self) -> SignedAmount {
        net(self.received, self.sent)
    }
}

/// Received less sent; what does not fit is cut to what does (no amount of bitcoin gets there).
pub(super) fn net(received: Amount, sent: Amount) -> SignedAmount {
    let signed = |amount: Amount| amount.to_signed().unwrap_or(SignedAmount::MAX);
    signed(received) - signed(sent)
}

/// A page of history, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryPage {
    /// The entries.
    pub entries: Vec<HistoryEntry>,
    /// Where the next page goes on; none at the end.
    pub next: Option<Place>,
}

/// A transaction that waits, as an account sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingEntry {
    /// The transaction.
    pub txid: Txid,
    /// Who told of it.
    pub origin: Origin,
    /// When it was seen first.
    pub since: ironlight_spv::UnixTime,
    /// What it would bring to the account.
    pub received: Amount,
    /// What it would take from the account.
    pub sent: Amount,
}

impl PendingEntry {
    /// Received less sent.
    #[must_use]
    pub fn net(&self) -> SignedAmount {
        net(self.received, self.sent)
    }
}

/// Who told of a transaction that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// We send it ourselves.
    Own,
    /// A peer. Nothing about it is verified: a light client cannot check its inputs.
    Peer,
}

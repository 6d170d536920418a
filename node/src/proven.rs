//! Proofs that transactions are in blocks of the best chain.

use std::time::Duration;

use bitcoin::{BlockHash, Txid};
use ironlight_spv::chain::Position;
use ironlight_spv::proof::{DecodeError, MerkleBlock, ProofError as MerkleError};
use ironlight_spv::{BlockHeight, ChainTip, HeaderChain};
use tokio::time::Instant;

use crate::blocks::{BlockError, Blocks, Cause, ProveError};
use crate::chain::{ChainHandle, Stopped};
#[cfg(feature = "wallet")]
use crate::wallet::service::WalletError;

/// How long a block is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no proof. None of these means that the transaction is not confirmed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// Nobody can find a block by a transaction's id alone.
    #[error("{txid} is no transaction of this wallet: say in which block it is, by hash or height")]
    BlockUnknown {
        /// The transaction.
        txid: Txid,
    },
    /// The best chain is not that long, or begins above.
    #[error("the best chain has no block at height {height}")]
    NoSuchHeight {
        /// The height.
        height: BlockHeight,
    },
    /// The best chain has no such block.
    #[error("block {hash} is not on the best chain")]
    NotOnBestChain {
        /// The block.
        hash: BlockHash,
    },
    /// The block does not have it.
    #[error("block {hash} has no transaction {txid}")]
    NotInBlock {
        /// The block.
        hash: BlockHash,
        /// The transaction.
        txid: Txid,
    },
    /// The block cannot be had.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The proof is wrong: a bug, since it was made here.
    #[error("the proof does not hold ({0}): this is a bug, report it")]
    Invalid(#[from] MerkleError),
    /// The proof that was kept is none: a bug.
    #[error("the proof cannot be read ({0}): this is a bug, report it")]
    Unreadable(#[from] DecodeError),
    /// The wallet.
    #[cfg(feature = "wallet")]
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A transaction, proven to be in a block of the best chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionProof {
    /// The transaction.
    pub txid: Txid,
    /// The block's height.
    pub height: BlockHeight,
    /// The block.
    pub block: BlockHash,
    /// Blocks of the best chain from that one on, itself included.
    pub confirmations: u32,
    /// A `merkleblock` (BIP37), as Bitcoin Core's `gettxoutproof` makes it and `verifytxoutproof`
    /// reads it.
    pub merkle_block: Vec<u8>,
}

/// Proves that a transaction is in a block, which is fetched where it is not there. Cancel safe.
///
/// # Errors
/// [`ProofError`]
pub(crate) async fn prove_in_block(
    chain: &ChainHandle,
    blocks: &Blocks,
    txid: Txid,
    hash: BlockHash,
) -> Result<TransactionProof, ProofError> {
    let on_best = |chain: &HeaderChain| {
        chain.find(&hash).is_some_and(|(_, position)| position == Position::Best)
    };
    if !chain.read(on_best) {
        return Err(ProofError::NotOnBestChain { hash });
    }
    match blocks.prove(hash, &[txid], Cause::Own, Instant::now() + PATIENCE).await {
        Ok(proof) => check(chain, txid, hash, proof),
        Err(ProveError::NotInBlock { txid, .. }) => Err(ProofError::NotInBlock { hash, txid }),
        Err(ProveError::Block(BlockError::Stopping)) => Err(Stopped.into()),
        Err(ProveError::Block(error)) => Err(error.into()),
        Err(ProveError::Unproven(error)) => Err(error.into()),
    }
}

/// Checks a proof against the best chain: nothing is believed because it was kept.
///
/// # Errors
/// [`ProofError`]
pub(crate) fn check(
    chain: &ChainHandle,
    txid: Txid,
    hash: BlockHash,
    merkle_block: Vec<u8>,
) -> Result<TransactionProof, ProofError> {
    let decoded = MerkleBlock::decode(&merkle_block)?;
    decoded.verify_one(txid)?;
    let (found, tip) = chain.read(|chain| (chain.find(&hash), chain.tip()));
    let Some((entry, Position::Best)) = found.filter(|_| decoded.header().hash() == hash) else {
        return Err(ProofError::NotOnBestChain { hash });
    };
    let height = entry.height;
    let confirmations = confirmations(height, tip);
    Ok(TransactionProof { txid, height, block: hash, confirmations, merkle_block })
}

/// Blocks of the best chain from a height on.
fn confirmations(height: BlockHeight, tip: ChainTip) -> u32 {
    (tip.height.0 + 1).saturating_sub(height.0)
}

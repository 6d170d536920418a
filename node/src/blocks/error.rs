//! Why there is no block, or no proof.

use std::time::Duration;

use bitcoin::{BlockHash, Txid};
use ironlight_spv::proof::ProofError;

/// Why there is no block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// The chain has no such header.
    #[error("no header is known with the hash {hash}")]
    Unknown {
        /// The hash.
        hash: BlockHash,
    },
    /// Strangers get blocks of the best chain.
    #[error("block {hash} is not on the best chain")]
    NotBest {
        /// The block.
        hash: BlockHash,
    },
    /// All who could be asked say that they do not have it, or were found to lie.
    #[error("none of {asked} peers has block {hash}")]
    NotFound {
        /// The block.
        hash: BlockHash,
        /// Those that were asked; for strangers, full nodes only.
        asked: usize,
    },
    /// It was asked for as often as it may be.
    #[error("block {hash} was asked for {attempts} times and did not come")]
    Unanswered {
        /// The block.
        hash: BlockHash,
        /// How often.
        attempts: u32,
    },
    /// It did not come in time.
    #[error(
        "block {hash} did not come in time; {offering} connected peers say that they have blocks"
    )]
    Late {
        /// The block.
        hash: BlockHash,
        /// Peers that offered blocks then.
        offering: usize,
    },
    /// Strangers have caused enough for now.
    #[error("too many blocks were fetched for others; {retry_after:?} until there is room")]
    Budget {
        /// When there is room for one.
        retry_after: Duration,
    },
    /// The runtime is being shut down.
    #[error("the node is stopping")]
    Stopping,
}

/// Why there is no proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ProveError {
    /// The block was not to be had.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The txids kept do not make the header's root: a bug.
    #[error("no proof could be made ({0}): this is a bug, report it")]
    Unproven(#[from] ProofError),
    /// It is not in the block.
    #[error("transaction {txid} is not in block {block}")]
    NotInBlock {
        /// The transaction.
        txid: Txid,
        /// The block.
        block: BlockHash,
    },
}

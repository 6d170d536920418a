//! What a proof has shown, and how far it can be told that the txid is a transaction's.

use bitcoin::{BlockHash, Transaction, Txid};

use super::error::ProofError;
use crate::header::Header;

/// What rules out that the txid is not a leaf of the tree (CVE-2017-12842).
///
/// Inner nodes are hashes of 64 bytes, and so are the txids of transactions of 64 bytes. The proof
/// alone excludes that the txid hangs below such a transaction, but not that it is an inner node:
/// whoever knows the transaction, or the coinbase, can exclude that too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeafEvidence {
    /// Only that no node on the way is a transaction.
    Path,
    /// The transaction itself, which has not the length of an inner node.
    Transaction,
    /// The coinbase, which lies as deep.
    Coinbase,
}

/// A txid that is in the tree of a header: the outcome of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inclusion {
    header: Header,
    txid: Txid,
    index: u32,
    depth: u32,
    evidence: LeafEvidence,
}

impl Inclusion {
    pub(super) const fn new(header: Header, txid: Txid, index: u32, depth: u32) -> Self {
        Self { header, txid, index, depth, evidence: LeafEvidence::Path }
    }

    /// The header that commits to the txid. Nothing was asked about its work or its chain.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The header's hash.
    #[must_use]
    pub fn block_hash(&self) -> BlockHash {
        self.header.hash()
    }

    /// The txid.
    #[must_use]
    pub const fn txid(&self) -> Txid {
        self.txid
    }

    /// Its position in the block, the coinbase's being 0.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// How sure it is that the txid is a transaction's.
    #[must_use]
    pub const fn evidence(&self) -> LeafEvidence {
        self.evidence
    }

    /// Adds the transaction itself as evidence.
    ///
    /// # Errors
    /// [`ProofError::WrongTransaction`], and [`ProofError::TransactionLikeNode`] where it has 64
    /// bytes: then only the coinbase can tell.
    pub fn with_transaction(self, transaction: &Transaction) -> Result<Self, ProofError> {
        let (expected, got) = (self.txid, transaction.compute_txid());
        if expected != got {
            return Err(ProofError::WrongTransaction { expected, got });
        }
        if transaction.base_size() == 64 {
            return Err(ProofError::TransactionLikeNode { txid: got });
        }
        Ok(Self { evidence: LeafEvidence::Transaction, ..self })
    }

    /// Adds the block's coinbase as evidence, with the proof that it is the first transaction. No
    /// inner node can pass for a coinbase, whose first 41 bytes are given, so its depth is that of
    /// all leaves.
    ///
    /// # Errors
    /// [`ProofError::OtherBlock`], [`ProofError::NotCoinbase`], [`ProofError::WrongTransaction`]
    /// and [`ProofError::OtherDepth`].
    pub fn with_coinbase(self, proven: &Self, coinbase: &Transaction) -> Result<Self, ProofError> {
        if self.header != proven.header {
            let (expected, got) = (self.block_hash(), proven.block_hash());
            return Err(ProofError::OtherBlock { expected, got });
        }
        let (expected, got) = (proven.txid, coinbase.compute_txid());
        if expected != got {
            return Err(ProofError::WrongTransaction { expected, got });
        }
        if proven.index != 0 || !coinbase.is_coinbase() {
            return Err(ProofError::NotCoinbase { txid: got });
        }
        if self.depth != proven.depth {
            return Err(ProofError::OtherDepth { expected: proven.depth, got: self.depth });
        }
        Ok(Self { evidence: LeafEvidence::Coinbase, ..self })
    }
}

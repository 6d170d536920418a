//! Whether a transaction is confirmed, with the proof.

use bitcoin::{BlockHash, Txid};

use super::{BlockRef, ConfirmError, NodeHandle};
use crate::chain::Stopped;
use crate::proven::{ProofError, TransactionProof};

/// Whether a transaction is confirmed. All but the last one are proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// It has at least as many confirmations as were asked for.
    Confirmed(TransactionProof),
    /// It is in a block of the best chain, with fewer blocks on top of it.
    TooFew {
        /// The proof, with the confirmations that there are.
        proof: TransactionProof,
        /// Those that were asked for.
        wanted: u32,
    },
    /// The block is whole, and does not have it.
    NotInBlock {
        /// The block.
        block: BlockHash,
    },
    /// The block is not on the best chain: it may have left it, or be unknown.
    NotOnBestChain {
        /// The block.
        block: BlockHash,
    },
}

impl NodeHandle {
    /// Whether a transaction has so many confirmations. One of the wallet's is proven from what the
    /// wallet has kept, any other one with the block that it is in: say which, since nobody can find a block by
    /// a transaction's id alone. With one confirmation it is in a block. Cancel safe.
    ///
    /// # Errors
    /// [`ConfirmError`]; none of them means that it is not confirmed.
    pub async fn confirm(
        &self,
        txid: Txid,
        block: Option<BlockRef>,
        confirmations: u32,
    ) -> Result<Confirmation, ConfirmError> {
        match self.prove(txid, block).await {
            Ok(proof) if proof.confirmations >= confirmations => Ok(Confirmation::Confirmed(proof)),
            Ok(proof) => Ok(Confirmation::TooFew { proof, wanted: confirmations }),
            Err(ProofError::NotInBlock { hash, .. }) => {
                Ok(Confirmation::NotInBlock { block: hash })
            }
            Err(ProofError::NotOnBestChain { hash }) => {
                Ok(Confirmation::NotOnBestChain { block: hash })
            }
            Err(ProofError::Stopped(stopped)) => Err(stopped.into()),
            Err(source) => Err(ConfirmError::NoProof { txid, source }),
        }
    }

    /// Proves that a transaction is in a block of the best chain; see [`confirm`](Self::confirm). Cancel
    /// safe.
    ///
    /// # Errors
    /// [`ProofError`]; none of them means that it is not confirmed.
    pub async fn prove(
        &self,
        txid: Txid,
        block: Option<BlockRef>,
    ) -> Result<TransactionProof, ProofError> {
        if self.parts().stop.is_cancelled() {
            return Err(Stopped.into());
        }
        let hash = block.map(|block| self.hash_of(block)).transpose()?;
        #[cfg(feature = "wallet")]
        {
            self.wallet().prove(txid, hash).await
        }
        #[cfg(not(feature = "wallet"))]
        {
            let hash = hash.ok_or(ProofError::BlockUnknown { txid })?;
            let (chain, blocks) = (self.chain(), &self.parts().services.blocks);
            crate::proven::prove_in_block(chain, blocks, txid, hash).await
        }
    }

    /// Waits until a transaction has so many confirmations, through reorgs, and gives the proof. One
    /// of the wallet's may be in no block yet; any other one has to be in the block that is named. Cancel
    /// safe.
    ///
    /// # Errors
    /// [`ConfirmError`]; of a transaction that the wallet does not know, as soon as the named block is
    /// not on the best chain or does not have it.
    pub async fn confirmed(
        &self,
        txid: Txid,
        block: Option<BlockRef>,
        confirmations: u32,
    ) -> Result<TransactionProof, ConfirmError> {
        let mut changes = self.changes();
        loop {
            let no_proof = |source| ConfirmError::NoProof { txid, source };
            match self.confirm(txid, block, confirmations).await {
                Ok(Confirmation::Confirmed(proof)) => return Ok(proof),
                Ok(Confirmation::TooFew { .. }) => {}
                // The wallet will see it, or see it in another block.
                Ok(Confirmation::NotOnBestChain { .. }) if block.is_none() => {}
                Ok(Confirmation::NotOnBestChain { block: hash }) => {
                    return Err(no_proof(ProofError::NotOnBestChain { hash }));
                }
                Ok(Confirmation::NotInBlock { block: hash }) => {
                    return Err(no_proof(ProofError::NotInBlock { hash, txid }));
                }
                Err(ConfirmError::NoProof { source: ProofError::BlockUnknown { .. }, .. })
                    if cfg!(feature = "wallet") => {}
                // It is asked for again when something has changed.
                Err(ConfirmError::NoProof { source: ProofError::Block(_), .. }) => {}
                Err(error) => return Err(error),
            }
            changes.next().await?;
        }
    }

    fn hash_of(&self, block: BlockRef) -> Result<BlockHash, ProofError> {
        match block {
            BlockRef::Hash(hash) => Ok(hash),
            BlockRef::Height(height) => {
                let hash = self.chain().read(|chain| chain.hash_at(height));
                hash.ok_or(ProofError::NoSuchHeight { height })
            }
        }
    }

    fn changes(&self) -> Changes {
        Changes {
            chain: self.chain().subscribe_status(),
            #[cfg(feature = "wallet")]
            wallet: self.wallet().subscribe_status(),
            #[cfg(feature = "wallet")]
            stop: self.parts().stop.clone(),
        }
    }
}

/// Hears when there may be something new about a transaction.
struct Changes {
    chain: tokio::sync::watch::Receiver<crate::chain::ChainStatus>,
    #[cfg(feature = "wallet")]
    wallet: tokio::sync::watch::Receiver<crate::wallet::service::ScanStatus>,
    /// The handle's own parts keep the wallet's status alive.
    #[cfg(feature = "wallet")]
    stop: tokio_util::sync::CancellationToken,
}

impl Changes {
    async fn next(&mut self) -> Result<(), Stopped> {
        #[cfg(feature = "wallet")]
        tokio::select! {
            changed = self.chain.changed() => changed.map_err(|_| Stopped),
            changed = self.wallet.changed() => changed.map_err(|_| Stopped),
            () = self.stop.cancelled() => Err(Stopped),
        }
        #[cfg(not(feature = "wallet"))]
        self.chain.changed().await.map_err(|_| Stopped)
    }
}

//! Whether bytes are the block of a header, and what follows from it.

use std::collections::HashSet;
use std::sync::Arc;

use bitcoin::consensus::encode;
use bitcoin::{Block, BlockHash, Transaction, TxIn, TxOut, Txid};
use ironlight_spv::BlockHeight;
use ironlight_spv::proof::{self, MerkleTree, Witness};
use ironlight_spv::{Header, IndexedHeader, Network};

use super::error::ProveError;

/// A block whose transactions and witnesses are those that its header commits to. Nothing else of
/// it is checked: what transactions do is for full nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VerifiedBlock {
    header: IndexedHeader,
    block: Block,
    bytes: Arc<[u8]>,
    txids: Arc<[Txid]>,
}

/// Why bytes are not the block of a header; whoever sent them knew better.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum NotTheBlock {
    #[error("it does not parse: {0}")]
    Malformed(#[from] encode::Error),
    #[error("it is block {got}")]
    Another { got: BlockHash },
    #[error(transparent)]
    Uncommitted(#[from] proof::BlockError),
    #[error("its witnesses were taken off (BIP141)")]
    Stripped,
}

impl VerifiedBlock {
    /// Checks the bytes of a block against a header; from the height `segwit` on its witnesses have to
    /// be there. It takes a few milliseconds.
    ///
    /// # Errors
    /// [`NotTheBlock`]
    pub(super) fn verify(
        header: IndexedHeader,
        segwit: BlockHeight,
        bytes: Vec<u8>,
    ) -> Result<Self, NotTheBlock> {
        let block: Block = encode::deserialize(&bytes)?;
        let got = block.block_hash();
        if got != header.hash {
            return Err(NotTheBlock::Another { got });
        }
        let verified = proof::verify_block(&header.header, &block.txdata)?;
        match verified.witness() {
            Witness::Committed | Witness::Absent => {}
            Witness::Stripped if header.height < segwit => {}
            Witness::Stripped => return Err(NotTheBlock::Stripped),
        }
        let txids = verified.into_txids().into();
        Ok(Self { header, block, bytes: bytes.into(), txids })
    }

    /// Its header.
    pub(crate) const fn header(&self) -> &Header {
        &self.header.header
    }

    /// Its hash.
    pub(crate) const fn hash(&self) -> BlockHash {
        self.header.hash
    }

    /// Its height.
    #[cfg(test)]
    pub(crate) const fn height(&self) -> BlockHeight {
        self.header.height
    }

    /// The block.
    pub(crate) const fn block(&self) -> &Block {
        &self.block
    }

    /// Its transactions, the coinbase first.
    pub(crate) fn transactions(&self) -> &[Transaction] {
        &self.block.txdata
    }

    /// Their txids.
    pub(crate) const fn txids(&self) -> &Arc<[Txid]> {
        &self.txids
    }

    /// The block as Bitcoin serialises it, with witnesses.
    pub(crate) const fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// The bytes that it takes in memory, about.
    pub(super) fn weight(&self) -> usize {
        let input = |input: &TxIn| {
            size_of::<TxIn>() + allocated(input.script_sig.len()) + allocated(input.witness.size())
        };
        let output = |output: &TxOut| size_of::<TxOut>() + allocated(output.script_pubkey.len());
        let transaction = |transaction: &Transaction| {
            let inputs: usize = transaction.input.iter().map(input).sum();
            let outputs: usize = transaction.output.iter().map(output).sum();
            size_of::<Transaction>() + inputs + outputs
        };
        let parsed: usize = self.block.txdata.iter().map(transaction).sum();
        size_of::<Self>() + self.bytes.len() + size_of_val(&*self.txids) + parsed
    }
}

/// What an allocation of so many bytes takes.
const fn allocated(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { bytes.next_multiple_of(16) + 16 }
}

/// From which height on blocks commit to their witnesses: those of Bitcoin Core's
/// `kernel/chainparams.cpp`, `SegwitHeight`.
pub(super) const fn segwit_height(network: Network) -> BlockHeight {
    BlockHeight(match network {
        Network::Mainnet => 481_824,
        Network::Testnet3 => 834_624,
        Network::Testnet4 | Network::Signet => 1,
        Network::Regtest => 0,
    })
}

/// The bytes of a `merkleblock` that proves the wanted ones of a block's transactions.
///
/// # Errors
/// [`ProveError`]
pub(super) fn prove(
    header: &Header,
    of_block: &[Txid],
    wanted: &[Txid],
) -> Result<Vec<u8>, ProveError> {
    let there: HashSet<&Txid> = of_block.iter().collect();
    if let Some(missing) = wanted.iter().find(|txid| !there.contains(txid)) {
        return Err(ProveError::NotInBlock { txid: *missing, block: header.hash() });
    }
    let wanted: HashSet<&Txid> = wanted.iter().collect();
    // Verified txids are those of their header.
    let proof = MerkleTree::new(of_block)
        .and_then(|tree| tree.merkle_block(header, |txid| wanted.contains(txid)))?;
    Ok(proof.encode())
}

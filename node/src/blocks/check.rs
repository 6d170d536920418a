//! Whether bytes are the block of a header, and what follows from it.

use std::collections::HashSet;
use std::sync::Arc;

use bitcoin::consensus::encode;
use bitcoin::{Block, BlockHash, MerkleBlock, Transaction, TxIn, TxOut, Txid};
use ironlight_spv::{BlockHeight, Header, IndexedHeader};

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
    #[error("its transactions do not make its Merkle root")]
    Transactions,
    #[error("some of its transactions are there twice (CVE-2012-2459)")]
    Repeated,
    #[error("its witnesses are not those that it commits to (BIP141)")]
    Witnesses,
}

impl VerifiedBlock {
    /// Checks the bytes of a block against a header. It takes a few milliseconds.
    ///
    /// # Errors
    /// [`NotTheBlock`]
    pub(super) fn verify(header: IndexedHeader, bytes: Vec<u8>) -> Result<Self, NotTheBlock> {
        let block: Block = encode::deserialize(&bytes)?;
        let got = block.block_hash();
        if got != header.hash {
            return Err(NotTheBlock::Another { got });
        }
        let txids = committed(&block)?.into();
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

/// The txids of a block, if they and the witnesses are those that the header commits to.
fn committed(block: &Block) -> Result<Vec<Txid>, NotTheBlock> {
    if !block.check_merkle_root() {
        return Err(NotTheBlock::Transactions);
    }
    let txids: Vec<Txid> = block.txdata.iter().map(Transaction::compute_txid).collect();
    // No two transactions of a block are the same, so that any that are were doubled.
    if txids.iter().collect::<HashSet<_>>().len() < txids.len() {
        return Err(NotTheBlock::Repeated);
    }
    if !block.check_witness_commitment() {
        return Err(NotTheBlock::Witnesses);
    }
    Ok(txids)
}

/// The bytes of a `merkleblock` that proves the wanted ones of a block's transactions.
///
/// # Errors
/// [`ProveError::NotInBlock`]
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
    let header = bitcoin::block::Header::from(*header);
    let proof = MerkleBlock::from_header_txids_with_predicate(&header, of_block, |txid| {
        wanted.contains(txid)
    });
    Ok(encode::serialize(&proof))
}

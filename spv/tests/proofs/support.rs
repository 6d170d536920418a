//! Made-up txids, headers over them, and transactions.

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash as _;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode, TxOut, Txid, Witness,
};
use ironlight_spv::Header;
use ironlight_spv::generate::Miner;
use ironlight_spv::proof::{MerkleBlock, MerkleTree};

/// Bytes that no two calls give alike.
pub(crate) fn random_hash(random: &mut Miner) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.as_chunks_mut::<8>().0.fill_with(|| random.random().to_le_bytes());
    hash
}

pub(crate) fn random_txids(count: usize, seed: u64) -> Vec<Txid> {
    let mut random = Miner::new(seed);
    (0..count).map(|_| Txid::from_byte_array(random_hash(&mut random))).collect()
}

/// A header with a root; the rest of it does not matter to proofs.
pub(crate) fn header_over(root: TxMerkleNode) -> Header {
    let mut bytes = [7; 80];
    bytes[36..68].copy_from_slice(root.as_byte_array());
    Header::from_bytes(bytes)
}

/// A tree over random txids, and its header.
pub(crate) fn tree_of(count: usize, seed: u64) -> (MerkleTree, Header) {
    let tree = MerkleTree::new(&random_txids(count, seed)).expect("a possible count");
    let header = header_over(tree.root());
    (tree, header)
}

/// The proof for some positions of a tree.
pub(crate) fn merkle_block(tree: &MerkleTree, header: &Header, at: &[usize]) -> MerkleBlock {
    let wanted: Vec<Txid> = at.iter().map(|index| tree.txids()[*index]).collect();
    tree.merkle_block(header, |txid| wanted.contains(txid)).expect("the header's tree")
}

/// A transaction with one input and one output.
pub(crate) fn transaction(input: TxIn, script: Vec<u8>) -> Transaction {
    let output =
        TxOut { value: Amount::from_sat(5_000), script_pubkey: ScriptBuf::from_bytes(script) };
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![input],
        output: vec![output],
    }
}

/// An input that spends some output.
pub(crate) fn spending(seed: u64) -> TxIn {
    let txid = random_txids(1, seed)[0];
    TxIn {
        previous_output: OutPoint { txid, vout: 1 },
        script_sig: ScriptBuf::new(),
        sequence: Sequence::MAX,
        witness: Witness::new(),
    }
}

/// The input that makes a coinbase, with a height of a block in it.
pub(crate) fn coinbase_input(height: u8) -> TxIn {
    TxIn {
        previous_output: OutPoint::null(),
        script_sig: ScriptBuf::from_bytes(vec![1, height]),
        ..spending(1)
    }
}

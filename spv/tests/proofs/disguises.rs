//! Transactions of 64 bytes and inner nodes, which can pass for each other (CVE-2017-12842).

use bitcoin::hashes::{Hash as _, sha256d};
use bitcoin::{ScriptBuf, Transaction, TxMerkleNode, Txid};
use ironlight_spv::proof::{LeafEvidence, MerkleBlock, MerkleProof, MerkleTree, ProofError};

use crate::support::{
    coinbase_input, header_over, merkle_block, random_txids, spending, transaction, tree_of,
};

/// A transaction of 64 bytes, with so many bytes of script in its input.
fn of_64_bytes(script: usize) -> Transaction {
    let mut input = spending(script as u64);
    input.script_sig = ScriptBuf::from_bytes(vec![0x51; script]);
    let made = transaction(input, vec![0x52; 4 - script]);
    assert_eq!(made.base_size(), 64);
    made
}

/// The two hashes that the transaction's bytes are if they are taken for an inner node's.
fn halves(transaction: &Transaction) -> [TxMerkleNode; 2] {
    let bytes = bitcoin::consensus::serialize(transaction);
    assert_eq!(bytes.len(), 64, "no witness");
    let hash = |half: &[u8]| TxMerkleNode::from_byte_array(half.try_into().unwrap());
    [hash(&bytes[..32]), hash(&bytes[32..])]
}

#[test]
fn what_hangs_below_a_transaction_is_refused() {
    for script in 0..=4 {
        let host = of_64_bytes(script);
        let mut txids = random_txids(8, 1);
        txids[5] = host.compute_txid();
        let tree = MerkleTree::new(&txids).unwrap();
        let header = header_over(tree.root());
        let [left, right] = halves(&host);
        let node = TxMerkleNode::from(host.compute_txid().to_raw_hash());
        assert_eq!(
            sha256d::Hash::hash(&[left.to_byte_array(), right.to_byte_array()].concat()),
            host.compute_txid().to_raw_hash()
        );

        // The made-up transaction's id is one half of the host's bytes; the other is beside it.
        let mut path = vec![left];
        path.extend_from_slice(tree.prove(&header, 5).unwrap().path());
        let made_up = Txid::from_byte_array(right.to_byte_array());
        let proof = MerkleProof::new(header, 16, 2 * 5 + 1, made_up, path).unwrap();
        assert_eq!(proof.verify(), Err(ProofError::NodeIsTransaction { node }));
        let verdicts = ironlight_spv::proof::verify_batch(&[proof]);
        assert_eq!(verdicts, [Err(ProofError::NodeIsTransaction { node })]);

        let all = merkle_block(&tree, &header, &[5]);
        let hash = |at: usize| all.hashes()[at];
        let hashes = vec![hash(0), hash(1), left, right, hash(3)];
        let block = MerkleBlock::from_parts(header, 16, hashes, vec![0b0101_1101, 0]);
        assert!(block.verify().is_err());
    }
}

#[test]
fn a_transaction_of_64_bytes_is_told_from_an_inner_node_by_the_coinbase_alone() {
    let coinbase = transaction(coinbase_input(1), vec![0x51]);
    let small = of_64_bytes(2);
    let mut txids = random_txids(6, 2);
    txids[0] = coinbase.compute_txid();
    txids[3] = small.compute_txid();
    let tree = MerkleTree::new(&txids).unwrap();
    let header = header_over(tree.root());
    let first = tree.prove(&header, 0).unwrap().verify().unwrap();
    let found = tree.prove(&header, 3).unwrap().verify().unwrap();
    assert_eq!(found.evidence(), LeafEvidence::Path);
    let txid = small.compute_txid();
    assert_eq!(found.with_transaction(&small), Err(ProofError::TransactionLikeNode { txid }));
    let sure = found.with_coinbase(&first, &coinbase).unwrap();
    assert_eq!(sure.evidence(), LeafEvidence::Coinbase);

    // An inner node in the place of a leaf, in a tree of half the height.
    let inner = tree.prove(&header, 2).unwrap();
    let node = {
        let pair = [txids[2].to_byte_array(), txids[3].to_byte_array()].concat();
        Txid::from_raw_hash(sha256d::Hash::hash(&pair))
    };
    let path = inner.path()[1..].to_vec();
    let found = MerkleProof::new(header, 3, 1, node, path).unwrap().verify().unwrap();
    assert_eq!(
        found.with_coinbase(&first, &coinbase),
        Err(ProofError::OtherDepth { expected: 3, got: 2 })
    );
}

#[test]
fn the_transaction_itself_is_evidence_unless_it_is_another() {
    let ordinary = transaction(spending(3), vec![0x51; 22]);
    let other = transaction(spending(4), vec![0x51; 22]);
    let mut txids = random_txids(4, 3);
    txids[2] = ordinary.compute_txid();
    let tree = MerkleTree::new(&txids).unwrap();
    let found = tree.prove(&header_over(tree.root()), 2).unwrap().verify().unwrap();
    let sure = found.with_transaction(&ordinary).unwrap();
    assert_eq!(sure.evidence(), LeafEvidence::Transaction);
    let (expected, got) = (ordinary.compute_txid(), other.compute_txid());
    let error = ProofError::WrongTransaction { expected, got };
    assert_eq!(found.with_transaction(&other), Err(error));
}

#[test]
fn what_is_no_proven_coinbase_is_no_evidence() {
    let coinbase = transaction(coinbase_input(1), vec![0x51]);
    let ordinary = transaction(spending(3), vec![0x51; 22]);
    let (expected, got) = (coinbase.compute_txid(), ordinary.compute_txid());
    let mut txids = random_txids(4, 4);
    (txids[0], txids[1], txids[2]) = (expected, got, expected);
    let tree = MerkleTree::new(&txids).unwrap();
    let header = header_over(tree.root());
    let at = |index: u32| tree.prove(&header, index).unwrap().verify().unwrap();
    let found = at(3);
    found.with_coinbase(&at(0), &coinbase).unwrap();
    let error = ProofError::WrongTransaction { expected, got };
    assert_eq!(found.with_coinbase(&at(0), &ordinary), Err(error));
    let not_first = ProofError::NotCoinbase { txid: expected };
    assert_eq!(found.with_coinbase(&at(2), &coinbase), Err(not_first));
    let swapped = MerkleTree::new(&[got, expected]).unwrap();
    let other = header_over(swapped.root());
    let first = swapped.prove(&other, 0).unwrap().verify().unwrap();
    let another_block = ProofError::OtherBlock { expected: header.hash(), got: other.hash() };
    assert_eq!(found.with_coinbase(&first, &ordinary), Err(another_block));
    let second = swapped.prove(&other, 1).unwrap().verify().unwrap();
    assert_eq!(second.with_coinbase(&first, &ordinary), Err(ProofError::NotCoinbase { txid: got }));
}

/// What is nearly a transaction is an inner node like any other.
#[test]
fn bytes_that_no_block_could_hold_as_a_transaction_are_no_transaction() {
    let bytes = bitcoin::consensus::serialize(&of_64_bytes(0));
    // Two inputs; a script of five bytes; two outputs; more than all money; a script too short.
    for (at, byte) in [(4, 2), (41, 5), (46, 2), (54, 0xff), (55, 3)] {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        let hash = |half: &[u8]| Txid::from_byte_array(half.try_into().unwrap());
        let tree = MerkleTree::new(&[hash(&bytes[..32]), hash(&bytes[32..])]).unwrap();
        tree.prove(&header_over(tree.root()), 0).unwrap().verify().unwrap();
    }
    let (tree, header) = tree_of(2, 1);
    tree.prove(&header, 1).unwrap().verify().unwrap();
}

//! Roots and proofs equal the `bitcoin` crate's.

use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash as _;
use bitcoin::merkle_tree::{MerkleBlock as PeerBlock, PartialMerkleTree, calculate_root};
use bitcoin::{TxMerkleNode, Txid};
use ironlight_spv::generate::Miner;
use ironlight_spv::proof::{
    MAX_TRANSACTIONS, MerkleBlock, MerkleTree, ProofError, merkle_root, verify_batch,
};

use crate::support::{header_over, merkle_block, random_txids, tree_of};

fn root_by_the_bitcoin_crate(txids: &[Txid]) -> Option<TxMerkleNode> {
    let raw = txids.iter().map(|txid| txid.to_raw_hash());
    calculate_root(raw).map(TxMerkleNode::from)
}

#[test]
fn roots_equal_the_bitcoin_crates_for_every_count() {
    let txids = random_txids(2_100, 1);
    for count in 0..=txids.len() {
        let txids = &txids[..count];
        let root = merkle_root(txids);
        assert_eq!(root, root_by_the_bitcoin_crate(txids), "{count} transactions");
        assert_eq!(MerkleTree::new(txids).ok().map(|tree| tree.root()), root);
    }
}

/// Our proof of some positions has the bytes of the `bitcoin` crate's, and both prove the same.
fn equals_the_bitcoin_crates(tree: &MerkleTree, at: &[usize]) {
    let header = header_over(tree.root());
    let ours = merkle_block(tree, &header, at);
    let matches: Vec<bool> = (0..tree.txids().len()).map(|index| at.contains(&index)).collect();
    let txn = PartialMerkleTree::from_txids(tree.txids(), &matches);
    let theirs = PeerBlock { header: header.into(), txn };
    assert_eq!(ours.encode(), serialize(&theirs), "{at:?} of {}", matches.len());

    let (mut txids, mut indexes) = (Vec::new(), Vec::new());
    theirs.extract_matches(&mut txids, &mut indexes).expect("their own proof");
    let found = ours.verify().expect("our own proof");
    assert!(found.iter().map(|found| found.txid()).eq(txids));
    assert!(found.iter().map(|found| found.index()).eq(indexes));
    assert_eq!(MerkleBlock::decode(&ours.encode()), Ok(ours));
}

#[test]
fn proofs_equal_the_bitcoin_crates_for_every_count() {
    let txids = random_txids(2_100, 2);
    let mut random = Miner::new(3);
    for count in 1..=txids.len() {
        let tree = MerkleTree::new(&txids[..count]).unwrap();
        let header = header_over(tree.root());
        let at = usize::try_from(random.random()).unwrap() % count;
        equals_the_bitcoin_crates(&tree, &[at]);
        for at in [0, at, count - 1] {
            let proof = tree.prove(&header, u32::try_from(at).unwrap()).unwrap();
            let found = proof.verify().unwrap();
            assert_eq!(merkle_block(&tree, &header, &[at]).verify(), Ok(vec![found]));
        }
    }
}

#[test]
fn proofs_of_every_position_and_of_any_set_equal_the_bitcoin_crates() {
    let mut random = Miner::new(4);
    for count in (1..=33).chain([64, 65, 100, 127, 128, 129]) {
        let (tree, header) = tree_of(count, 5);
        for at in 0..count {
            equals_the_bitcoin_crates(&tree, &[at]);
            let proof = tree.prove(&header, u32::try_from(at).unwrap()).unwrap();
            let found = proof.verify().unwrap();
            assert_eq!((found.txid(), found.header()), (tree.txids()[at], &header));
            assert_eq!(usize::try_from(found.index()), Ok(at));
        }
        for one_in in [1, 2, 8] {
            let set: Vec<usize> =
                (0..count).filter(|_| random.random().is_multiple_of(one_in)).collect();
            equals_the_bitcoin_crates(&tree, &set);
        }
        equals_the_bitcoin_crates(&tree, &[]);
    }
}

#[test]
fn a_proof_in_a_batch_has_the_verdict_that_it_has_alone() {
    let mut proofs = Vec::new();
    for count in [1, 2, 3, 7, 200, 2_048, 3_000] {
        let (tree, header) = tree_of(count, 6);
        for at in (0..count).step_by(count / 40 + 1) {
            let mut header = header;
            if at % 7 == 3 {
                let mut bytes = *header.as_bytes();
                bytes[40] ^= 1;
                header = ironlight_spv::Header::from_bytes(bytes);
            }
            let at = u32::try_from(at).unwrap();
            let right = tree.prove(&header_over(tree.root()), at).unwrap();
            let mut path = right.path().to_vec();
            if at % 11 == 5 {
                path[0] = TxMerkleNode::from(right.txid().to_raw_hash());
            }
            let count = right.count();
            let proof =
                ironlight_spv::proof::MerkleProof::new(header, count, at, right.txid(), path);
            proofs.push(proof.unwrap());
        }
    }
    for length in [0, 1, 2, 15, 16, 17, 63, 64, 65, proofs.len()] {
        let proofs = &proofs[..length];
        let alone: Vec<_> = proofs.iter().map(|proof| proof.verify()).collect();
        assert_eq!(verify_batch(proofs), alone);
    }
    let alone: Vec<_> = proofs.iter().map(|proof| proof.verify()).collect();
    assert!(alone.iter().any(Result::is_ok));
    assert!(alone.iter().any(|it| matches!(it, Err(ProofError::WrongRoot { .. }))));
    assert!(alone.iter().any(|it| matches!(it, Err(ProofError::IdenticalSiblings { .. }))));
}

#[test]
fn the_largest_block_has_proofs_and_one_transaction_more_has_none() {
    let most = usize::try_from(MAX_TRANSACTIONS).unwrap();
    assert_eq!(most, 16_666);
    let (tree, header) = tree_of(most, 8);
    let proof = tree.prove(&header, MAX_TRANSACTIONS - 1).unwrap();
    assert_eq!(proof.encode().len(), 604 - 32 * (15 - proof.path().len()));
    proof.verify().unwrap();
    let found = merkle_block(&tree, &header, &[0, most - 1]).verify().unwrap();
    assert_eq!(found.len(), 2);
    let error = ProofError::TooManyTransactions { count: 16_667 };
    assert_eq!(MerkleTree::new(&random_txids(most + 1, 8)), Err(error));
    assert_eq!(MerkleTree::new(&[]), Err(ProofError::NoTransactions));
}

#[test]
fn nothing_is_proven_against_another_header() {
    let (tree, _) = tree_of(5, 9);
    let other = header_over(TxMerkleNode::all_zeros());
    let error = ProofError::WrongRoot { expected: TxMerkleNode::all_zeros(), got: tree.root() };
    assert_eq!(tree.prove(&other, 0), Err(error));
    assert_eq!(tree.merkle_block(&other, |_| true), Err(error));
    let header = header_over(tree.root());
    let error = ProofError::IndexOutOfRange { index: 5, count: 5 };
    assert_eq!(tree.prove(&header, 5), Err(error));
    let hash = merkle_block(&tree, &header, &[]).hashes()[0];
    assert_eq!(hash.to_byte_array(), tree.root().to_byte_array());
}

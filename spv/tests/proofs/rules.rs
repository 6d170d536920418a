//! Each rule that refuses a proof, by its own name.

use bitcoin::TxMerkleNode;
use bitcoin::hashes::Hash as _;
use ironlight_spv::Header;
use ironlight_spv::proof::{MerkleBlock, MerkleProof, MerkleTree, ProofError};

use crate::support::{header_over, merkle_block, tree_of};

/// The parts of a proof of the transaction at 2 of 7, with one of them changed.
fn changed(change: impl FnOnce(&mut u32, &mut Vec<TxMerkleNode>, &mut Vec<u8>)) -> ProofError {
    let (tree, header) = tree_of(7, 1);
    let block = merkle_block(&tree, &header, &[2]);
    block.verify().expect("right before the change");
    let mut count = block.count();
    let (mut hashes, mut flags) = (block.hashes().to_vec(), block.flags().to_vec());
    change(&mut count, &mut hashes, &mut flags);
    let error = MerkleBlock::from_parts(header, count, hashes, flags).verify();
    let error = error.expect_err("something is wrong with it");
    assert!(!error.to_string().is_empty());
    error
}

#[test]
fn counts_that_no_block_has_are_refused() {
    assert_eq!(changed(|count, _, _| *count = 0), ProofError::NoTransactions);
    for wrong in [16_667, u32::MAX] {
        let error = ProofError::TooManyTransactions { count: wrong.into() };
        assert_eq!(changed(|count, _, _| *count = wrong), error);
        let (tree, header) = tree_of(1, 1);
        let proof = MerkleProof::new(header, wrong, 0, tree.txids()[0], Vec::new());
        assert_eq!(proof, Err(error));
    }
    // The largest count is no reason to refuse; that the tree is deeper then is one.
    let error = changed(|count, _, _| *count = 16_666);
    assert_eq!(error, ProofError::BitsOverrun { bits: 8 });
}

#[test]
fn more_hashes_than_transactions_are_refused() {
    let error = changed(|_, hashes, _| hashes.extend([TxMerkleNode::all_zeros(); 4]));
    assert_eq!(error, ProofError::TooManyHashes { hashes: 8, count: 7 });
}

#[test]
fn fewer_bits_than_hashes_are_refused() {
    assert_eq!(changed(|_, _, flags| flags.clear()), ProofError::TooFewBits { bits: 0, hashes: 4 });
    let (tree, header) = tree_of(40, 1);
    let all: Vec<usize> = (0..40).collect();
    let block = merkle_block(&tree, &header, &all);
    let flags = block.flags()[..4].to_vec();
    let short = MerkleBlock::from_parts(header, 40, block.hashes().to_vec(), flags);
    assert_eq!(short.verify(), Err(ProofError::TooFewBits { bits: 32, hashes: 40 }));
}

#[test]
fn a_walk_that_runs_out_of_bits_is_refused() {
    let error = changed(|count, _, flags| {
        *count = 32;
        *flags = vec![0xff];
    });
    assert_eq!(error, ProofError::BitsOverrun { bits: 8 });
}

#[test]
fn a_walk_that_runs_out_of_hashes_is_refused() {
    let error = changed(|_, hashes, _| hashes.truncate(3));
    assert_eq!(error, ProofError::HashesOverrun { hashes: 3 });
}

#[test]
fn whole_bytes_of_unused_bits_are_refused() {
    let error = changed(|_, _, flags| flags.push(0));
    assert_eq!(error, ProofError::UnusedFlagBytes { used: 1, got: 2 });
}

#[test]
fn unused_hashes_are_refused() {
    let error = changed(|_, hashes, _| hashes.push(TxMerkleNode::all_zeros()));
    assert_eq!(error, ProofError::UnusedHashes { used: 4, got: 5 });
}

#[test]
fn padding_that_is_not_zero_is_refused() {
    assert_eq!(changed(|_, _, flags| flags[0] |= 0x80), ProofError::PaddingNotZero);
}

#[test]
fn another_root_is_refused() {
    let error = changed(|_, hashes, _| hashes.swap(0, 1));
    assert!(matches!(error, ProofError::WrongRoot { .. }), "{error}");
}

#[test]
fn equal_siblings_are_refused_where_the_right_one_is_no_stand_in() {
    // Three transactions; the same with the third twice has the same root.
    let (three, header) = tree_of(3, 2);
    let txids = three.txids();
    let twice = MerkleTree::new(&[txids[0], txids[1], txids[2], txids[2]]).unwrap();
    assert_eq!(twice.root(), three.root());
    let hash = TxMerkleNode::from(txids[2].to_raw_hash());
    let error = ProofError::IdenticalSiblings { hash };
    for index in [2, 3] {
        assert_eq!(twice.prove(&header, index).unwrap().verify(), Err(error));
    }
    assert_eq!(merkle_block(&twice, &header, &[2]).verify(), Err(error));
    // With its true count it stands in for itself.
    three.prove(&header, 2).unwrap().verify().unwrap();
    assert_eq!(merkle_block(&three, &header, &[2]).verify().unwrap().len(), 1);
}

#[test]
fn a_path_of_another_length_is_refused() {
    let (tree, header) = tree_of(7, 1);
    let right = tree.prove(&header, 6).unwrap();
    // An odd last node is paired with itself on the lowest level: two hashes on three levels.
    assert_eq!(right.path().len(), 2);
    let path = right.path().to_vec();
    for got in [0, 1, 3] {
        let mut path = path.clone();
        path.resize(got, TxMerkleNode::all_zeros());
        let proof = MerkleProof::new(header, 7, 6, right.txid(), path);
        assert_eq!(proof, Err(ProofError::PathLength { expected: 2, got }));
    }
    let error = ProofError::IndexOutOfRange { index: 7, count: 7 };
    assert_eq!(MerkleProof::new(header, 7, 7, right.txid(), path), Err(error));
}

#[test]
fn a_transaction_that_is_not_matched_is_not_proven() {
    let (tree, header) = tree_of(9, 1);
    let block = merkle_block(&tree, &header, &[2]);
    assert_eq!(block.verify_one(tree.txids()[2]).unwrap().index(), 2);
    // Its hash is in the proof, as the sibling of the matched one.
    let txid = tree.txids()[3];
    assert_eq!(block.verify_one(txid), Err(ProofError::NotMatched { txid }));
}

#[test]
fn a_single_proof_of_another_root_is_refused() {
    let (tree, header) = tree_of(9, 1);
    let right = tree.prove(&header, 4).unwrap();
    let other: Header = header_over(TxMerkleNode::all_zeros());
    let proof = MerkleProof::new(other, 9, 4, right.txid(), right.path().to_vec()).unwrap();
    let error = ProofError::WrongRoot { expected: TxMerkleNode::all_zeros(), got: tree.root() };
    assert_eq!(proof.verify(), Err(error));
}

//! The bytes of proofs: one form each, and every other refused with its place.

use bitcoin::hashes::Hash as _;
use ironlight_spv::proof::{DecodeError, MerkleBlock, MerkleProof, ProofError};

use crate::support::{merkle_block, tree_of};

#[test]
fn a_single_proof_has_the_documented_bytes() {
    let (tree, header) = tree_of(6, 1);
    let proof = tree.prove(&header, 5).unwrap();
    let bytes = proof.encode();
    assert_eq!(bytes[..4], [b'I', b'L', b'P', 0x81]);
    assert_eq!(bytes[4..84], *header.as_bytes());
    assert_eq!(bytes[84..92], [6, 0, 0, 0, 5, 0, 0, 0]);
    assert_eq!(bytes[92..124], tree.txids()[5].to_byte_array());
    assert_eq!(bytes[124..156], tree.txids()[4].to_byte_array());
    // Then nothing for the odd node, and the left half of the tree.
    assert_eq!(bytes.len(), 124 + 2 * 32);
    assert_eq!(MerkleProof::decode(&bytes), Ok(proof));
    assert!(MerkleProof::is_begun_by(&bytes));
    assert!(!MerkleProof::is_begun_by(&merkle_block(&tree, &header, &[5]).encode()));
}

#[test]
fn every_cut_and_every_byte_more_is_refused() {
    let (tree, header) = tree_of(300, 1);
    let single = tree.prove(&header, 123).unwrap().encode();
    let block = merkle_block(&tree, &header, &[1, 123, 299]).encode();
    for length in 0..single.len() {
        let error = MerkleProof::decode(&single[..length]);
        assert!(matches!(error, Err(DecodeError::Truncated { at }) if at <= length), "{length}");
    }
    for length in 0..block.len() {
        let error = MerkleBlock::decode(&block[..length]);
        let (Err(DecodeError::Truncated { at }) | Err(DecodeError::TooLong { at, .. })) = error
        else {
            panic!("cut at {length}: {error:?}");
        };
        assert!(at <= length);
    }
    let more = |bytes: &[u8]| [bytes, &[0, 0]].concat();
    let error = DecodeError::TrailingBytes { count: 2 };
    assert_eq!(MerkleProof::decode(&more(&single)), Err(error));
    assert_eq!(MerkleBlock::decode(&more(&block)), Err(error));
}

#[test]
fn other_beginnings_are_refused() {
    let (tree, header) = tree_of(3, 1);
    let bytes = tree.prove(&header, 1).unwrap().encode();
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        MerkleProof::decode(&bytes)
    };
    assert_eq!(with(0, b'J'), Err(DecodeError::NotAProof));
    assert_eq!(with(3, 1), Err(DecodeError::NotAProof));
    assert_eq!(with(3, 0x82), Err(DecodeError::UnknownVersion { got: 2 }));
    let error = ProofError::IndexOutOfRange { index: 3, count: 3 };
    assert_eq!(with(88, 3), Err(DecodeError::Impossible(error)));
    assert_eq!(with(84, 0), Err(DecodeError::Impossible(ProofError::NoTransactions)));
    assert_eq!(
        std::error::Error::source(&DecodeError::Impossible(error)).map(ToString::to_string),
        Some(error.to_string())
    );
}

#[test]
fn lengths_have_one_form_and_promise_no_more_than_there_is() {
    let (tree, header) = tree_of(3, 1);
    let bytes = merkle_block(&tree, &header, &[1]).encode();
    let with_length = |length: &[u8]| {
        let rest = bytes[85..].to_vec();
        MerkleBlock::decode(&[&bytes[..84], length, &rest].concat())
    };
    assert!(with_length(&[3]).is_ok());
    let long = Err(DecodeError::LongLength { at: 84 });
    assert_eq!(with_length(&[0xfd, 3, 0]), long);
    assert_eq!(with_length(&[0xfe, 3, 0, 0, 0]), long);
    assert_eq!(with_length(&[0xff, 3, 0, 0, 0, 0, 0, 0, 0]), long);
    for (form, length) in
        [(&[4][..], 4), (&[0xfd, 0, 1], 256), (&[0xfe, 0, 0, 1, 0], 65_536), (&[0xff; 9], u64::MAX)]
    {
        assert_eq!(with_length(form), Err(DecodeError::TooLong { at: 84, length }));
    }
}

#[test]
fn long_proofs_make_the_round_trip() {
    let (tree, header) = tree_of(1_000, 1);
    for one_in in [1, 3, 4] {
        let set: Vec<usize> = (0..1_000).step_by(one_in).collect();
        let block = merkle_block(&tree, &header, &set);
        assert!(block.hashes().len() > 252, "the length takes three bytes");
        assert_eq!(MerkleBlock::decode(&block.encode()), Ok(block));
    }
}

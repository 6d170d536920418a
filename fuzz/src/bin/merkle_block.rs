//! Merkle proofs, BIP37's and our own: what decodes encodes to the same bytes, a partial tree proves
//! to us what it proves to the `bitcoin` crate and nothing more, and what is refused is refused there
//! too, but for the rules that are ours alone.

#![cfg_attr(all(feature = "libfuzzer", not(test)), no_main)]
#![allow(clippy::expect_used, reason = "a panic is how a fuzz target reports")]

use bitcoin::consensus::encode::deserialize;
use bitcoin::hashes::Hash as _;
use bitcoin::merkle_tree::{MerkleBlock as PeerBlock, MerkleBlockError};
use bitcoin::{TxMerkleNode, Txid};
use ironlight_spv::Header;
use ironlight_spv::proof::{
    DecodeError, Inclusion, MAX_TRANSACTIONS, MerkleBlock, MerkleProof, MerkleTree, ProofError,
    verify_batch,
};

ironlight_fuzz::target!(check, seeds);

fn check(data: &[u8]) {
    match MerkleProof::decode(data) {
        Ok(proof) => single(&proof, data),
        Err(error) => names_its_place(error, data.len()),
    }
    let decoded = MerkleBlock::decode(data);
    let theirs = deserialize::<PeerBlock>(data);
    assert!(decoded.is_ok() || theirs.is_err(), "we read what the crate reads: {decoded:?}");
    match decoded {
        Ok(block) => partial_tree(&block, data),
        Err(error) => names_its_place(error, data.len()),
    }
}

fn single(proof: &MerkleProof, data: &[u8]) {
    assert!(MerkleProof::is_begun_by(data));
    assert_eq!(proof.encode(), data, "two forms of the same proof");
    assert!(proof.index() < proof.count() && proof.count() <= MAX_TRANSACTIONS);
    assert!(proof.path().len() <= 15);
    // Where it leads to is where the batch leads to; with that root it holds.
    let alone = proof.verify();
    assert_eq!(verify_batch(std::slice::from_ref(proof)), [alone]);
    let Err(ProofError::WrongRoot { got, .. }) = alone else { return };
    let (count, index, path) = (proof.count(), proof.index(), proof.path().to_vec());
    let proof = MerkleProof::new(over(got), count, index, proof.txid(), path);
    let found = proof.expect("as it was").verify().expect("the root is its own");
    assert_eq!((found.index(), found.header()), (index, &over(got)));
}

fn over(root: TxMerkleNode) -> Header {
    let mut bytes = [1; 80];
    if let Some(place) = bytes.get_mut(36..68) {
        place.copy_from_slice(root.as_byte_array());
    }
    Header::from_bytes(bytes)
}

fn partial_tree(block: &MerkleBlock, data: &[u8]) {
    assert_eq!(block.encode(), data, "two forms of the same block");
    let verdict = proves_the_same(block, data);
    // Input does not hit upon its own root: put it in.
    let Err(ProofError::WrongRoot { got, .. }) = verdict else { return };
    let (hashes, flags) = (block.hashes().to_vec(), block.flags().to_vec());
    let block = MerkleBlock::from_parts(over(got), block.count(), hashes, flags);
    proves_the_same(&block, &block.encode()).expect("the root is its own");
}

fn proves_the_same(block: &MerkleBlock, data: &[u8]) -> Result<Vec<Inclusion>, ProofError> {
    let theirs: PeerBlock = deserialize(data).expect("what we read, the crate reads");
    let (mut txids, mut indexes) = (Vec::<Txid>::new(), Vec::new());
    let extracted = theirs.extract_matches(&mut txids, &mut indexes);
    let verdict = block.verify();
    match (&verdict, extracted) {
        (Ok(found), extracted) => {
            extracted.expect("what proves something to us, proves it to the crate");
            assert!(found.iter().map(Inclusion::txid).eq(txids));
            assert!(found.iter().map(Inclusion::index).eq(indexes));
        }
        (Err(ProofError::PaddingNotZero | ProofError::NodeIsTransaction { .. }), _) => {}
        (Err(ours), Ok(())) => assert!(ours.to_string().is_empty(), "only to us: {ours}"),
        (Err(ours), Err(theirs)) => assert!(is_the_same(*ours, &theirs), "{ours} / {theirs}"),
    }
    verdict
}

fn is_the_same(ours: ProofError, theirs: &MerkleBlockError) -> bool {
    matches!(
        (ours, theirs),
        (ProofError::NoTransactions, MerkleBlockError::NoTransactions)
            | (ProofError::TooManyTransactions { .. }, MerkleBlockError::TooManyTransactions)
            | (ProofError::TooManyHashes { .. }, MerkleBlockError::TooManyHashes)
            | (ProofError::TooFewBits { .. }, MerkleBlockError::NotEnoughBits)
            | (ProofError::BitsOverrun { .. }, MerkleBlockError::BitsArrayOverflow)
            | (ProofError::HashesOverrun { .. }, MerkleBlockError::HashesArrayOverflow)
            | (ProofError::UnusedFlagBytes { .. }, MerkleBlockError::NotAllBitsConsumed)
            | (ProofError::UnusedHashes { .. }, MerkleBlockError::NotAllHashesConsumed)
            | (ProofError::IdenticalSiblings { .. }, MerkleBlockError::IdenticalHashesFound)
            | (ProofError::WrongRoot { .. }, MerkleBlockError::MerkleRootMismatch)
    )
}

fn names_its_place(error: DecodeError, length: usize) {
    match error {
        DecodeError::Truncated { at } => assert!(at <= length && length - at < 80),
        DecodeError::LongLength { at } | DecodeError::TooLong { at, .. } => assert!(at < length),
        DecodeError::TrailingBytes { count } => assert!((1..length).contains(&count)),
        DecodeError::NotAProof
        | DecodeError::UnknownVersion { .. }
        | DecodeError::Impossible(_) => {}
        other => assert!(other.to_string().is_empty(), "an error that this target knows not"),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for count in [1_u8, 2, 3, 7, 12, 33] {
        let txids: Vec<_> = (0..count).map(|n| Txid::from_byte_array([n; 32])).collect();
        let Ok(tree) = MerkleTree::new(&txids) else { continue };
        let header = over(tree.root());
        let last = txids.last();
        let block = tree.merkle_block(&header, |txid| Some(txid) == last);
        let some = tree.merkle_block(&header, |txid| txid.to_byte_array() < [count / 2; 32]);
        seeds.extend(block.into_iter().chain(some).map(|block| block.encode()));
        let proof = tree.prove(&header, u32::from(count / 2));
        seeds.extend(proof.map(|proof| proof.encode()));
    }
    seeds
}

//! Every bit of a proof, changed: a hash or the header is refused, and whatever else changes, no
//! false pair of txid and header is ever proven.

use bitcoin::Txid;
use bitcoin::hashes::{Hash as _, sha256d};
use ironlight_spv::Header;
use ironlight_spv::proof::{Inclusion, MerkleBlock, MerkleProof, MerkleTree, ProofError};

use crate::support::{
    coinbase_input, header_over, merkle_block, random_txids, transaction, tree_of,
};

/// Counts with all kinds of odd nodes, and positions in them.
const SAMPLES: [(usize, &[usize]); 12] = [
    (1, &[0]),
    (2, &[1]),
    (3, &[2]),
    (3, &[0, 2]),
    (4, &[1]),
    (5, &[4]),
    (6, &[0, 5]),
    (7, &[2, 3, 6]),
    (8, &[]),
    (11, &[10]),
    (33, &[0, 31, 32]),
    (500, &[77, 499]),
];

fn flipped(bytes: &[u8], bits: &[usize]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for bit in bits {
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    bytes
}

fn proves_nothing_false(found: &[Inclusion], tree: &MerkleTree, header: &Header) {
    for found in found {
        assert!(tree.txids().contains(&found.txid()), "{} is not in the block", found.txid());
        assert_eq!(found.header(), header);
    }
}

/// Whether bits lie in the header's version, parent, time, target or nonce, to which the tree says
/// nothing: the proof is then one for another header.
fn beside_the_root(bit: usize) -> bool {
    bit < 80 * 8 && !(36 * 8..68 * 8).contains(&bit)
}

#[test]
fn no_flip_in_a_merkle_block_proves_a_false_pair() {
    for (count, at) in SAMPLES {
        let (tree, header) = tree_of(count, 1);
        let bytes = merkle_block(&tree, &header, at).encode();
        let hashes = 85..85 + 32 * usize::from(bytes[84]);
        let mut survived = 0;
        for bit in 0..bytes.len() * 8 {
            let changed = MerkleBlock::decode(&flipped(&bytes, &[bit]));
            let verdict = changed.map(|changed| changed.verify());
            let Ok(Ok(found)) = verdict else { continue };
            survived += 1;
            if beside_the_root(bit) {
                assert!(found.iter().all(|found| found.header() != &header));
                assert!(found.iter().all(|found| found.block_hash() != header.hash()));
                continue;
            }
            assert!(bit >= 80 * 8, "bit {bit} of the root");
            assert!(!hashes.contains(&(bit / 8)), "bit {bit} of a hash");
            proves_nothing_false(&found, &tree, &header);
        }
        println!(
            "{count} transactions, {at:?} proven: {survived} flips still prove something true"
        );
    }
}

#[test]
fn no_flip_in_a_single_proof_proves_a_false_pair() {
    for (count, at) in SAMPLES {
        let (tree, header) = tree_of(count, 1);
        for index in at {
            let bytes = tree.prove(&header, u32::try_from(*index).unwrap()).unwrap().encode();
            for bit in 0..bytes.len() * 8 {
                let changed = MerkleProof::decode(&flipped(&bytes, &[bit]));
                let Ok(Ok(found)) = changed.map(|changed| changed.verify()) else { continue };
                if (4 * 8..84 * 8).contains(&bit) {
                    assert!(beside_the_root(bit - 4 * 8), "bit {bit} of the root");
                    assert_ne!(found.block_hash(), header.hash());
                    continue;
                }
                // Beside the header only the count can be another: it is not committed to.
                assert!((84 * 8..88 * 8).contains(&bit), "bit {bit}");
                assert_eq!((found.txid(), found.header()), (tree.txids()[*index], &header));
            }
        }
    }
}

/// The level above the leaves, as if its nodes were txids.
fn disguised(txids: &[Txid]) -> Vec<Txid> {
    let node = |pair: &[Txid]| {
        let children = [pair[0].to_byte_array(), pair[pair.len() - 1].to_byte_array()].concat();
        Txid::from_raw_hash(sha256d::Hash::hash(&children))
    };
    txids.chunks(2).map(node).collect()
}

/// With a count and flags of his own, a liar can make inner nodes pass for transactions
/// (CVE-2017-12842). That is why there is more evidence to be had: with the coinbase beside it,
/// nothing false is left, whatever count and flags say.
#[test]
fn the_coinbases_depth_leaves_nothing_false_whatever_count_and_flags_say() {
    let coinbase = transaction(coinbase_input(1), vec![0x51]);
    let (mut true_ones, mut false_ones) = (0, 0);
    for count in 2..=8 {
        let mut txids = random_txids(count, 2);
        txids[0] = coinbase.compute_txid();
        let tree = MerkleTree::new(&txids).unwrap();
        let header = header_over(tree.root());
        let first = tree.prove(&header, 0).unwrap().verify().unwrap();
        let inner = MerkleTree::new(&disguised(&txids)).unwrap();
        for found in claims(&tree, &header).chain(claims(&inner, &header)) {
            let judged = found.with_coinbase(&first, &coinbase);
            if txids.contains(&found.txid()) {
                true_ones += 1;
            } else {
                false_ones += 1;
                assert!(matches!(judged, Err(ProofError::OtherDepth { .. })), "{judged:?}");
            }
        }
    }
    assert!(true_ones > 0);
    assert!(false_ones > 0, "the attack is real");
}

/// What the proofs of single transactions of a tree prove with every count and every byte of flags.
fn claims(tree: &MerkleTree, header: &Header) -> impl Iterator<Item = Inclusion> {
    (0..tree.txids().len()).flat_map(move |at| {
        let hashes = merkle_block(tree, header, &[at]).hashes().to_vec();
        let forms = (0..=16).flat_map(|count| (0..=u8::MAX).map(move |byte| (count, byte)));
        forms.flat_map(move |(count, byte)| {
            let claim = MerkleBlock::from_parts(*header, count, hashes.clone(), vec![byte]);
            claim.verify().into_iter().flatten()
        })
    })
}

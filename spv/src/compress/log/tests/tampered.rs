//! Proofs that are wrong in one place.

use alloc::vec::Vec;

use super::*;

const SIZES: u32 = 20;

fn wrong(head: &LogHead) -> LogHead {
    let mut head = *head;
    head.root.0[31] ^= 1;
    head
}

/// The same bytes with one bit flipped, for each bit.
fn flipped(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + use<'_> {
    (0..bytes.len() * 8).map(|bit| {
        let mut bytes = bytes.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    })
}

/// Whether there is no proof, or one that does not verify.
fn fails<P, E>(proof: Result<P, E>, verify: impl FnOnce(P) -> Result<(), LogProofError>) -> bool {
    proof.map_or(true, |proof| verify(proof).is_err())
}

#[test]
fn inclusion_fails_with_any_bit_flipped() {
    let blocks = blocks(SIZES);
    for head in &heads(&blocks)[1..] {
        for (index, block) in (0..head.size).zip(&blocks) {
            for bytes in flipped(&included(&blocks, index, head.size).encode()) {
                assert!(fails(InclusionProof::decode(&bytes), |proof| proof.verify(block, head)));
            }
        }
    }
}

#[test]
fn consistency_fails_with_any_bit_flipped() {
    let blocks = blocks(SIZES);
    let heads = heads(&blocks);
    for new in &heads[1..] {
        for old in &heads[1..=new.size as usize] {
            for bytes in flipped(&consistent(&blocks, old.size, new.size).encode()) {
                assert!(fails(ConsistencyProof::decode(&bytes), |proof| proof.verify(old, new)));
            }
        }
    }
}

#[test]
fn inclusion_holds_at_no_other_place_and_in_no_other_log() {
    let blocks = blocks(SIZES);
    let heads = heads(&blocks);
    for head in &heads[1..] {
        for index in 0..head.size {
            let proof = included(&blocks, index, head.size);
            for (other, block) in (0..).zip(&blocks) {
                assert_eq!(proof.verify(block, head).is_ok(), other == index);
            }
            for other in &heads {
                let verdict = proof.verify(&blocks[index as usize], other);
                assert_eq!(verdict.is_ok(), other == head);
            }
            for other in (0..SIZES).filter(|other| *other != index) {
                let moved = InclusionProof::new(other, head.size, proof.path().to_vec());
                assert!(fails(moved, |proof| proof.verify(&blocks[index as usize], head)));
            }
        }
    }
}

#[test]
fn consistency_holds_between_no_other_heads() {
    let blocks = blocks(SIZES);
    let heads = heads(&blocks);
    for (old, new) in (1..=SIZES).flat_map(|new| (1..=new).map(move |old| (old, new))) {
        let proof = consistent(&blocks, old, new);
        for first in &heads {
            for second in &heads {
                let right = (first.size, second.size) == (old, new);
                assert_eq!(proof.verify(first, second).is_ok(), right);
            }
        }
    }
}

#[test]
fn a_wrong_root_is_named() {
    let blocks = blocks(7);
    let heads = heads(&blocks);
    let (old, new) = (&heads[3], &heads[7]);
    assert_eq!(
        included(&blocks, 2, 7).verify(&blocks[2], &wrong(new)),
        Err(LogProofError::WrongRoot { expected: wrong(new).root, got: new.root })
    );
    let proof = consistent(&blocks, 3, 7);
    assert_eq!(
        proof.verify(old, &wrong(new)),
        Err(LogProofError::WrongRoot { expected: wrong(new).root, got: new.root })
    );
    assert_eq!(
        proof.verify(&wrong(old), new),
        Err(LogProofError::WrongOldRoot { expected: wrong(old).root, got: old.root })
    );
}

#[test]
fn a_wrong_root_fails_where_the_old_log_is_a_full_tree() {
    let blocks = blocks(SIZES);
    let heads = heads(&blocks);
    for old in [1, 2, 4, 8, 16] {
        for new in old..=SIZES {
            let (old, new) = (&heads[old as usize], &heads[new as usize]);
            let proof = consistent(&blocks, old.size, new.size);
            assert!(proof.verify(&wrong(old), new).is_err());
            assert!(proof.verify(old, &wrong(new)).is_err());
            // Of equal logs the same wrong root twice says nothing wrong; else it must not pass.
            assert_eq!(proof.verify(&wrong(old), &wrong(new)).is_ok(), old == new);
        }
    }
}

#[test]
fn a_rewritten_log_is_not_consistent() {
    let honest = blocks(SIZES);
    let old_heads = heads(&honest);
    for changed in 0..SIZES as usize {
        let mut forged = honest.clone();
        forged[changed] = BlockHash::all_zeros();
        let new = heads(&forged)[SIZES as usize];
        for old in &old_heads[1..] {
            let verdict = consistent(&forged, old.size, SIZES).verify(old, &new);
            assert_eq!(verdict.is_ok(), old.size as usize <= changed, "{old:?} {changed}");
        }
    }
}

#[test]
fn a_hash_more_or_less_is_no_proof() {
    let blocks = blocks(SIZES);
    for (a, b) in (1..=SIZES).flat_map(|b| (0..b).map(move |a| (a, b))) {
        let mut path = included(&blocks, a, b).path().to_vec();
        path.push([0; 32]);
        let (expected, got) = (path.len() - 1, path.len());
        let error = LogProofError::PathLength { expected, got };
        assert_eq!(InclusionProof::new(a, b, path.clone()), Err(error));
        path.truncate(expected.saturating_sub(1));
        assert_eq!(InclusionProof::new(a, b, path).is_ok(), expected == 0);

        let mut path = consistent(&blocks, a + 1, b).path().to_vec();
        path.push([0; 32]);
        let (expected, got) = (path.len() - 1, path.len());
        let error = LogProofError::PathLength { expected, got };
        assert_eq!(ConsistencyProof::new(a + 1, b, path.clone()), Err(error));
        path.truncate(expected.saturating_sub(1));
        assert_eq!(ConsistencyProof::new(a + 1, b, path).is_ok(), expected == 0);
    }
}

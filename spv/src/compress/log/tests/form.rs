//! Bytes, texts, limits, and what cannot be proven.

use alloc::string::ToString as _;
use alloc::vec;
use alloc::vec::Vec;

use super::super::{consistency, inclusion, prove};
use super::*;

#[test]
fn bytes_are_as_described() {
    let blocks = blocks(3);
    let mut frontier = Frontier::new();
    blocks.iter().for_each(|block| frontier.append(block).unwrap());
    let bytes = frontier.encode();
    assert_eq!((&bytes[..5], bytes.len()), (&[1, 3, 0, 0, 0][..], 5 + 64));
    let proof = included(&blocks, 2, 3);
    let bytes = proof.encode();
    assert_eq!(bytes[..9], [2, 2, 0, 0, 0, 3, 0, 0, 0]);
    assert_eq!(bytes[9..], proof.path()[0]);
    let proof = consistent(&blocks, 2, 3);
    let bytes = proof.encode();
    assert_eq!(bytes[..9], [3, 2, 0, 0, 0, 3, 0, 0, 0]);
    assert_eq!(bytes[9..], proof.path()[0]);
}

#[test]
fn a_frontier_goes_on_from_its_bytes() {
    let blocks = blocks(70);
    let heads = heads(&blocks);
    for size in 0..70 {
        let mut frontier = Frontier::new();
        blocks[..size].iter().for_each(|block| frontier.append(block).unwrap());
        let mut read = Frontier::decode(&frontier.encode()).unwrap();
        assert_eq!((&read, read.head()), (&frontier, heads[size]));
        read.append(&blocks[size]).unwrap();
        assert_eq!(read.head(), heads[size + 1]);
    }
}

#[test]
fn a_full_log_takes_no_more() {
    let mut bytes = vec![1, 0xff, 0xff, 0xff, 0xff];
    bytes.resize(Frontier::MAX_BYTES, 7);
    let mut frontier = Frontier::decode(&bytes).unwrap();
    assert_eq!(frontier.append(&BlockHash::all_zeros()), Err(LogFull));
    assert_eq!(frontier.encode(), bytes);
    bytes[1] = 0xfe;
    let mut frontier = Frontier::decode(&bytes[..Frontier::MAX_BYTES - 32]).unwrap();
    assert_eq!(frontier.append(&BlockHash::all_zeros()), Ok(()));
    assert_eq!(frontier.size(), u32::MAX);
}

/// Whether bytes are what they should be.
type Decode = fn(&[u8]) -> Result<(), LogDecodeError>;

#[test]
fn bytes_that_end_early_or_late_are_no_proof() {
    let blocks = blocks(5);
    let mut frontier = Frontier::new();
    blocks.iter().for_each(|block| frontier.append(block).unwrap());
    let cases: [(_, Decode); 3] = [
        (frontier.encode(), |bytes| Frontier::decode(bytes).map(drop)),
        (included(&blocks, 1, 5).encode(), |bytes| InclusionProof::decode(bytes).map(drop)),
        (consistent(&blocks, 3, 5).encode(), |bytes| ConsistencyProof::decode(bytes).map(drop)),
    ];
    for (mut bytes, decode) in cases {
        for length in 0..bytes.len() {
            let verdict = decode(&bytes[..length]);
            assert!(matches!(verdict, Err(LogDecodeError::Truncated { at }) if at <= length));
        }
        for count in 1..=70 {
            bytes.push(0);
            assert_eq!(decode(&bytes), Err(LogDecodeError::TrailingBytes { count }));
        }
        bytes[0] ^= 0x80;
        assert!(matches!(decode(&bytes), Err(LogDecodeError::OtherKind { .. })));
    }
}

#[test]
fn one_kind_of_bytes_is_not_read_as_another() {
    let bytes = consistent(&blocks(4), 2, 4).encode();
    let error = LogDecodeError::OtherKind { expected: 2, got: 3 };
    assert_eq!(InclusionProof::decode(&bytes), Err(error));
}

#[test]
fn the_longest_proofs_have_the_most_bytes() {
    let proof = InclusionProof::new(0, u32::MAX, vec![[0; 32]; 32]).unwrap();
    assert_eq!(proof.encode().len(), InclusionProof::MAX_BYTES);
    let (old, new) = (0x8000_0001, u32::MAX);
    let proof = ConsistencyProof::new(old, new, vec![[0; 32]; 33]).unwrap();
    assert_eq!(proof.encode().len(), ConsistencyProof::MAX_BYTES);
}

#[test]
fn paths_are_as_long_as_the_recursion_of_the_rfc_makes_them() {
    let edges = [1, 2, 3, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, u32::MAX - 1, u32::MAX];
    let random = (0..300u32).map(|seed| {
        let random = Sha256::digest(seed.to_le_bytes());
        // Of all magnitudes.
        let shift = u32::from(random[0] % 32);
        u32::from_le_bytes(random[1..5].try_into().unwrap()) >> shift | 1
    });
    let numbers: Vec<u32> = edges.into_iter().chain(random).collect();
    for (a, b) in numbers.iter().flat_map(|a| numbers.iter().map(|b| (*a.min(b), *a.max(b)))) {
        assert_eq!(inclusion::path_length(a - 1, b), Ok(prove::beside_leaf(a - 1, b).len()));
        assert_eq!(consistency::path_length(a, b), Ok(prove::beside_old_end(a, b).len()));
    }
}

#[test]
fn what_cannot_be_is_neither_read_nor_made() {
    let blocks = blocks(4);
    let outside = LogProofError::IndexOutOfRange { index: 4, size: 4 };
    assert_eq!(InclusionProof::new(4, 4, vec![]), Err(outside));
    assert_eq!(
        inclusion_proof(blocks.iter().copied(), 4, 4),
        Err(LogProveError::Impossible(outside))
    );
    let bytes = [2, 4, 0, 0, 0, 4, 0, 0, 0];
    assert_eq!(InclusionProof::decode(&bytes), Err(LogDecodeError::Impossible(outside)));
    for (old, new) in [(0, 0), (0, 4), (4, 3)] {
        let order = LogProofError::SizesOutOfOrder { old, new };
        assert_eq!(ConsistencyProof::new(old, new, vec![]), Err(order));
        assert_eq!(
            consistency_proof(blocks.iter().copied(), old, new),
            Err(LogProveError::Impossible(order))
        );
    }
}

#[test]
fn leaves_that_end_early_make_no_proof() {
    let blocks = blocks(9);
    for got in 0..9u32 {
        let few = || blocks[..got as usize].iter().copied();
        let error = LogProveError::TooFewLeaves { expected: 9, got };
        for n in 0..9 {
            assert_eq!(inclusion_proof(few(), n, 9), Err(error));
            assert_eq!(consistency_proof(few(), n + 1, 9), Err(error));
        }
    }
}

#[test]
fn leaves_beyond_the_log_are_not_looked_at() {
    let blocks = blocks(9);
    let mut leaves = blocks.iter().copied();
    assert_eq!(inclusion_proof(leaves.by_ref(), 2, 5), Ok(included(&blocks, 2, 5)));
    assert_eq!(leaves.next(), Some(blocks[5]));
}

#[test]
fn a_clone_goes_its_own_way() {
    let blocks = blocks(6);
    let mut frontier = Frontier::new();
    blocks[..5].iter().for_each(|block| frontier.append(block).unwrap());
    let before = frontier.clone();
    frontier.append(&blocks[5]).unwrap();
    assert_eq!([before.size(), frontier.size()], [5, 6]);
    assert_eq!([before.head(), frontier.head()], heads(&blocks)[5..]);
}

#[test]
fn a_million_appends_leave_few_bytes() {
    let block = BlockHash::all_zeros();
    let mut frontier = Frontier::new();
    (0..1_000_000).for_each(|_| frontier.append(&block).unwrap());
    assert_eq!(frontier.size(), 1_000_000);
    assert_eq!(frontier.encode().len(), 5 + 32 * 7);
}

#[test]
fn a_root_is_read_from_its_text() {
    let root = heads(&blocks(3))[3].root;
    assert_eq!(root.to_string().parse(), Ok(root));
    assert_eq!(LogRoot::empty(), Frontier::new().root());
    for text in ["", "00", &"g".repeat(64), &"0".repeat(66)] {
        let error = text.parse::<LogRoot>().unwrap_err();
        assert!(error.to_string().starts_with("a log's root is 64 hexadecimal digits: "));
    }
}

#[test]
fn errors_say_what_was_wrong() {
    let errors = [
        (
            LogProofError::OtherSize { expected: 3, got: 2 }.to_string(),
            "2 leaves, the head's has 3",
        ),
        (LogProofError::SizesOutOfOrder { old: 0, new: 3 }.to_string(), "the empty one"),
        (LogProofError::SizesOutOfOrder { old: 4, new: 3 }.to_string(), "from one of 4"),
        (LogProveError::TooFewLeaves { expected: 3, got: 2 }.to_string(), "2 leaves came"),
        (LogDecodeError::OtherKind { expected: 2, got: 3 }.to_string(), "kind 3, not 2"),
        (LogFull.to_string(), "4294967295 leaves"),
    ];
    for (text, part) in errors {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn blocks_added_together_are_those_added_one_by_one() {
    let blocks = blocks(300);
    let heads = heads(&blocks);
    for before in [0, 1, 2, 3, 5, 31, 32, 33, 127, 200] {
        for added in [0, 1, 2, 3, 7, 16, 17, 33, 64, 100] {
            let mut log = Frontier::new();
            for part in [&blocks[..before], &blocks[before..before + added]] {
                log.append_all(LeafHashes::of(part.iter().copied())).unwrap();
            }
            assert_eq!(log.head(), heads[before + added], "{added} behind {before}");
        }
    }
}

#[test]
fn a_log_with_too_little_room_takes_none_of_many_leaves() {
    let mut bytes = vec![1];
    bytes.extend((u32::MAX - 1).to_le_bytes());
    bytes.extend([7; 32 * 31]);
    let mut log = Frontier::decode(&bytes).unwrap();
    let before = log.clone();
    assert_eq!(log.append_all(LeafHashes::of(blocks(2).into_iter())), Err(LogFull));
    assert_eq!(log, before);
    log.append_all(LeafHashes::of(blocks(1).into_iter())).unwrap();
    assert_eq!(log.size(), u32::MAX);
}

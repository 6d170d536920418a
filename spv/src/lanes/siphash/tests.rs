//! Every way is compared with the SipHash of `bitcoin_hashes`, which shares no code with ours.

use super::report::self_test::judge;
use super::*;
use crate::lanes::Standing;
use crate::peers::SplitMix64;
use alloc::{format, vec, vec::Vec};
use bitcoin::hashes::siphash24;

const WAYS: [Way; 3] = [Way::Avx512x8, Way::Avx2x8, Way::Portable];

fn expected(key: Key, message: &[u8]) -> u64 {
    siphash24::Hash::hash_to_u64_with_keys(key.k0, key.k1, message)
}

fn random_key(random: &mut SplitMix64) -> Key {
    Key { k0: random.next_u64(), k1: random.next_u64() }
}

fn random_message(random: &mut SplitMix64, length: usize) -> Vec<u8> {
    (0..length).map(|_| random.next_u64().to_le_bytes()[0]).collect()
}

/// Groups of messages of one length, laid out for the lanes.
fn rows(messages: &[Vec<u8>]) -> Vec<Row> {
    let (groups, rest) = messages.as_chunks::<LANES>();
    assert!(rest.is_empty());
    let mut rows = Vec::new();
    for group in groups {
        let columns: Vec<Vec<u64>> =
            group.iter().map(|message| blocks(message).collect()).collect();
        let row = |block: usize| core::array::from_fn(|lane| columns[lane][block]);
        rows.extend((0..columns[0].len()).map(row));
    }
    rows
}

#[test]
fn the_published_example_holds() {
    // Aumasson and Bernstein, "SipHash", appendix A.
    let key = Key { k0: 0x0706_0504_0302_0100, k1: 0x0f0e_0d0c_0b0a_0908 };
    let message: Vec<u8> = (0..15).collect();
    assert_eq!(hash(key, &message), 0xa129_ca61_49be_45e5);
}

#[test]
fn every_way_agrees_with_another_implementation_at_every_length() {
    let mut random = SplitMix64::new(1);
    for length in 0..=100 {
        for groups in [0, 1, 2, 3, 7] {
            let key = random_key(&mut random);
            let messages: Vec<_> =
                (0..groups * LANES).map(|_| random_message(&mut random, length)).collect();
            let right: Vec<u64> = messages.iter().map(|message| expected(key, message)).collect();
            let (rows, each) = (rows(&messages), blocks_in(&vec![0; length]));

            let mut out = vec![[0xaa; LANES]; groups];
            hash_groups(key, &rows, each, &mut out);
            assert_eq!(out.as_flattened(), right, "{groups} groups of {length} bytes");
            assert!(messages.iter().map(|message| hash(key, message)).eq(right.iter().copied()));

            for way in WAYS {
                let mut out = vec![[0xaa; LANES]; groups];
                if hash_groups_with(way, key, &rows, each, &mut out) {
                    assert_eq!(out.as_flattened(), right, "{groups} of {length} bytes by {way}");
                }
            }
        }
    }
}

#[test]
fn messages_of_different_lengths_but_as_many_blocks_share_a_group() {
    let mut random = SplitMix64::new(2);
    let key = random_key(&mut random);
    let messages: Vec<_> = (24..32).map(|length| random_message(&mut random, length)).collect();
    let right: Vec<u64> = messages.iter().map(|message| expected(key, message)).collect();
    for way in WAYS {
        let mut out = [[0; LANES]];
        if hash_groups_with(way, key, &rows(&messages), NonZeroUsize::new(4).unwrap(), &mut out) {
            assert_eq!(out.as_flattened(), right, "by {way}");
        }
    }
}

#[test]
fn a_length_of_256_counts_as_none() {
    let mut random = SplitMix64::new(3);
    let key = random_key(&mut random);
    for length in [255, 256, 257, 10_000] {
        let message = random_message(&mut random, length);
        assert_eq!(hash(key, &message), expected(key, &message), "{length} bytes");
        assert_eq!(blocks(&message).count(), blocks_in(&message).get());
    }
}

#[test]
#[should_panic(expected = "one place for each group")]
fn rows_that_are_no_whole_groups_panic() {
    let key = Key { k0: 0, k1: 0 };
    hash_groups(key, &[[0; LANES]; 5], NonZeroUsize::new(2).unwrap(), &mut [[0; LANES]; 2]);
}

#[test]
fn forcing_a_way_tells_whether_it_is_used() {
    let key = Key { k0: 1, k1: 2 };
    for (way, standing) in report().ways() {
        let mut out = [[0; LANES]];
        let each = NonZeroUsize::MIN;
        let hashed = hash_groups_with(way, key, &[[3; LANES]], each, &mut out);
        assert_eq!(hashed, standing == Standing::Used, "{way}");
        assert_eq!(out != [[0; LANES]], hashed, "{way}");
    }
}

#[test]
fn nothing_is_switched_off_here_and_the_report_reads_well() {
    let report = report();
    assert!(report.ways().all(|(_, standing)| standing != Standing::Disagrees), "{report}");
    assert!(report.ways().any(|found| found == (report.fastest(), Standing::Used)));
    let line = format!("{report}");
    assert!(line.starts_with(&format!("filter hashing by {} (", report.fastest())), "{line}");
    assert!(line.ends_with(", portable: used)"), "{line}");
    assert_eq!(WAYS.map(|way| format!("{way}")), ["AVX-512 x8", "AVX2 x8", "portable"]);
}

fn honest((): (), key: Key, rows: &[Row], each: NonZeroUsize, out: &mut [Row]) {
    portable::hash_groups(key, rows, each, out);
}

#[test]
fn lanes_are_used_only_if_every_hash_of_the_self_test_is_right() {
    assert_eq!(judge(Some(()), honest), (Some(()), Standing::Used));
    assert_eq!(judge(None, honest), (None, Standing::Unavailable));
    // Wrong by one bit, in one lane of the last group of long messages only.
    let lying = |(): (), key, rows: &[Row], each: NonZeroUsize, out: &mut [Row]| {
        honest((), key, rows, each, out);
        if each.get() == 6 {
            out.last_mut().unwrap()[5] ^= 1;
        }
    };
    assert_eq!(judge(Some(()), lying), (None, Standing::Disagrees));
    assert_eq!(judge(Some(()), |(), _, _, _, _| {}), (None, Standing::Disagrees));
}

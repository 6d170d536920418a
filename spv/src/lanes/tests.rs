//! Every way is compared with `sha2`'s own hasher, which lays the padding by itself.

use super::report::Sample;
use super::*;
use alloc::{format, vec, vec::Vec};
use sha2::{Digest, Sha256};

const WAYS: [Way; 3] = [Way::Avx512x16, Way::ShaNiX2, Way::Portable];

fn expected(header: &Sample) -> [u8; 32] {
    Sha256::digest(Sha256::digest(header.0)).into()
}

fn expected_of_node(node: &[u8; 64]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(node)).into()
}

fn random_nodes(count: usize, seed: u64) -> Vec<[u8; 64]> {
    let headers = random_headers(count, seed).into_iter();
    headers.map(|header| core::array::from_fn(|at| header.0[at + 16])).collect()
}

fn random_headers(count: usize, seed: u64) -> Vec<Sample> {
    let mut state = seed;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut headers = vec![Sample([0; 80]); count];
    for header in &mut headers {
        header.0.as_chunks_mut::<8>().0.fill_with(&mut next);
    }
    headers
}

/// The first block's header, and its hash as the hasher gives it (reversed when displayed).
fn genesis() -> ([u8; 80], [u8; 32]) {
    let mut header = [0; 80];
    header[0] = 1;
    header[36..68].copy_from_slice(&[
        0x3b, 0xa3, 0xed, 0xfd, 0x7a, 0x7b, 0x12, 0xb2, 0x7a, 0xc7, 0x2c, 0x3e, 0x67, 0x76, 0x8f,
        0x61, 0x7f, 0xc8, 0x1b, 0xc3, 0x88, 0x8a, 0x51, 0x32, 0x3a, 0x9f, 0xb8, 0xaa, 0x4b, 0x1e,
        0x5e, 0x4a,
    ]);
    header[68..72].copy_from_slice(&1_231_006_505_u32.to_le_bytes());
    header[72..76].copy_from_slice(&0x1d00_ffff_u32.to_le_bytes());
    header[76..].copy_from_slice(&2_083_236_893_u32.to_le_bytes());
    let mut hash = [
        0x00, 0x00, 0x00, 0x00, 0x00, 0x19, 0xd6, 0x68, 0x9c, 0x08, 0x5a, 0xe1, 0x65, 0x83, 0x1e,
        0x93, 0x4f, 0xf7, 0x63, 0xae, 0x46, 0xa2, 0xa6, 0xc1, 0x72, 0xb3, 0xf1, 0xb6, 0x0a, 0x8c,
        0xe2, 0x6f,
    ];
    hash.reverse();
    (header, hash)
}

#[test]
fn every_way_agrees_with_sha2_at_every_length() {
    let near_groups = (5..=16).flat_map(|groups| [16 * groups - 1, 16 * groups, 16 * groups + 1]);
    for len in (0..=70).chain(near_groups) {
        let headers = random_headers(len, 0x1234_5678_9abc_def0 + len as u64);
        let right: Vec<_> = headers.iter().map(expected).collect();

        let mut out = vec![[0xaa; 32]; len];
        sha256d_80(&headers, &mut out);
        assert_eq!(out, right, "{len} headers by the chosen way");

        for way in WAYS {
            let mut out = vec![[0xaa; 32]; len];
            if sha256d_80_with(way, &headers, &mut out) {
                assert_eq!(out, right, "{len} headers by {way}");
            }
        }
    }
}

#[test]
fn padded_messages_are_hashed_as_sha2_does_at_every_length() {
    for count in 0..=9 {
        let headers = random_headers(count, 0x5a + count as u64);
        let long: Vec<_> = headers.iter().map(|header| padded::<80, 128>(&header.0)).collect();
        let short: Vec<[u8; 33]> =
            headers.iter().map(|header| header.0[..33].try_into().unwrap()).collect();
        let padded_short: Vec<_> = short.iter().map(padded::<33, 64>).collect();
        for plan in [report().plan(), Plan::PORTABLE] {
            let mut out = vec![[0xaa; 32]; count];
            plan.hash_padded(&long, &mut out);
            let right = headers.iter().map(|header| <[u8; 32]>::from(Sha256::digest(header.0)));
            assert!(right.eq(out.iter().copied()), "{count} by {plan:?}");
            plan.hash_padded(&padded_short, &mut out);
            let right = short.iter().map(|short| <[u8; 32]>::from(Sha256::digest(short)));
            assert!(right.eq(out.iter().copied()), "{count} short ones by {plan:?}");
        }
    }
}

#[test]
fn every_way_agrees_with_sha2_on_nodes_at_every_length() {
    let near_groups = (5..=16).flat_map(|groups| [16 * groups - 1, 16 * groups, 16 * groups + 1]);
    for len in (0..=70).chain(near_groups) {
        let nodes = random_nodes(len, 0x0fed_cba9_8765_4321 + len as u64);
        let right: Vec<_> = nodes.iter().map(expected_of_node).collect();

        let mut out = vec![[0xaa; 32]; len];
        sha256d_64(&nodes, &mut out);
        assert_eq!(out, right, "{len} nodes by the chosen way");

        for way in WAYS {
            let mut out = vec![[0xaa; 32]; len];
            if sha256d_64_with(way, &nodes, &mut out) {
                assert_eq!(out, right, "{len} nodes by {way}");
            }
        }
    }
}

#[test]
fn pairs_are_hashed_in_place_and_the_rest_stays() {
    for len in (0..=70).chain([127, 128, 129, 1_000]) {
        let nodes = random_nodes(len, 5);
        let before: Vec<[u8; 32]> = nodes.iter().map(|node| *node.first_chunk().unwrap()).collect();
        let mut hashes = before.clone();
        sha256d_pairs(&mut hashes);
        let (pairs, _) = before.as_flattened().as_chunks();
        let (above, below) = hashes.split_at(pairs.len());
        assert!(above.iter().copied().eq(pairs.iter().map(expected_of_node)), "{len} hashes");
        assert_eq!(below, &before[pairs.len()..], "{len} hashes");
    }
}

#[test]
fn every_plan_agrees_with_sha2() {
    let (wide, pair) = (report().plan().wide, report().plan().pair);
    for plan in
        [Plan::of(wide, pair), Plan::of(wide, None), Plan::of(None, pair), Plan::of(None, None)]
    {
        for len in 0..=40 {
            let headers = random_headers(len, 77);
            let mut out = vec![[0xaa; 32]; len];
            plan.hash(&headers, Sample::as_ref, &mut out);
            assert!(headers.iter().map(expected).eq(out), "{len} headers by {plan:?}");

            let nodes = random_nodes(len, 78);
            let mut out = vec![[0; 32]; len];
            plan.hash(&nodes, |node| node, &mut out);
            assert!(nodes.iter().map(expected_of_node).eq(out), "{len} nodes by {plan:?}");
        }
    }
}

#[test]
fn one_header_agrees_with_sha2() {
    for header in random_headers(50, 3) {
        assert_eq!(sha256d_80_single(&header.0), expected(&header));
        assert_eq!(portable::hash_header(&header.0), expected(&header));
    }
    for node in random_nodes(50, 4) {
        assert_eq!(sha256d_64_single(&node), expected_of_node(&node));
        assert_eq!(portable::hash_node(&node), expected_of_node(&node));
    }
}

#[test]
fn extreme_bytes_agree_with_sha2() {
    for byte in [0x00, 0x01, 0x7f, 0x80, 0xff] {
        for way in WAYS {
            let mut out = [[0; 32]; 33];
            if sha256d_80_with(way, &[Sample([byte; 80]); 33], &mut out) {
                assert_eq!(out, [expected(&Sample([byte; 80])); 33], "{byte:#x} by {way}");
            }
            if sha256d_64_with(way, &[[byte; 64]; 33], &mut out) {
                assert_eq!(out, [expected_of_node(&[byte; 64]); 33], "{byte:#x} by {way}");
            }
        }
    }
}

#[test]
fn inputs_need_not_be_aligned_or_contiguous() {
    #[repr(C)]
    struct Odd(u8, Sample, u16);
    impl AsRef<[u8; 80]> for Odd {
        fn as_ref(&self) -> &[u8; 80] {
            &self.1.0
        }
    }
    let headers: Vec<Odd> =
        random_headers(37, 99).into_iter().map(|header| Odd(1, header, 2)).collect();
    let mut out = vec![[0; 32]; headers.len()];
    sha256d_80(&headers, &mut out);
    assert!(headers.iter().map(|odd| expected(&odd.1)).eq(out));
}

#[test]
fn genesis_header_has_its_known_hash() {
    let (header, hash) = genesis();
    assert_eq!(sha256d_80_single(&header), hash);
    for way in WAYS {
        let mut out = [[0; 32]; 17];
        if sha256d_80_with(way, &[Sample(header); 17], &mut out) {
            assert_eq!(out, [hash; 17], "by {way}");
        }
    }
}

#[test]
#[should_panic(expected = "one place for each digest")]
fn lengths_that_differ_panic() {
    sha256d_80(&[Sample([0; 80]); 3], &mut [[0; 32]; 2]);
}

#[test]
fn nothing_is_switched_off_here_and_the_report_reads_well() {
    let report = report();
    assert!(report.ways().all(|(_, standing)| standing != Standing::Disagrees), "{report}");
    assert!(report.ways().any(|found| found == (report.fastest(), Standing::Used)));
    let line = format!("{report}");
    assert!(line.starts_with(&format!("header hashing by {}", report.fastest())), "{line}");
    assert!(line.ends_with(", sha2: used)"), "{line}");
    assert!(!line.contains('\n'));
}

#[test]
fn forcing_a_way_tells_whether_it_is_used() {
    let header = [Sample([7; 80])];
    for (way, standing) in report().ways() {
        let mut out = [[0; 32]];
        let hashed = sha256d_80_with(way, &header, &mut out);
        assert_eq!(hashed, standing == Standing::Used, "{way}");
        assert_eq!(out, [if hashed { expected(&header[0]) } else { [0; 32] }]);
        let mut out = [[0; 32]];
        assert_eq!(sha256d_64_with(way, &[[7; 64]], &mut out), hashed, "{way}");
        assert_eq!(out, [if hashed { expected_of_node(&[7; 64]) } else { [0; 32] }]);
    }
}

#[test]
fn ways_have_their_names() {
    assert_eq!(WAYS.map(|way| format!("{way}")), ["AVX-512 x16", "SHA-NI x2", "sha2"]);
}

#[cfg(not(feature = "std"))]
#[test]
fn only_the_portable_way_is_left_without_std() {
    assert_eq!(report().fastest(), Way::Portable);
    assert!(report().plan().wide.is_none() && report().plan().pair.is_none());
    assert!(Wide::detect().is_none() && Pair::detect().is_none());
}

#[cfg(feature = "std")]
mod self_test {
    use super::super::report::{Candidate, Hasher, judge};
    use super::*;
    use std::boxed::Box;

    fn right(headers: &[Sample], out: &mut [[u8; 32]]) {
        for (header, place) in headers.iter().zip(out) {
            *place = expected(header);
        }
    }

    fn right_of_nodes(nodes: &[[u8; 64]], out: &mut [[u8; 32]]) {
        for (node, place) in nodes.iter().zip(out) {
            *place = expected_of_node(node);
        }
    }

    /// Wrong by one bit, in the last message only.
    fn wrong<M: 'static>(hash: fn(&[M], &mut [[u8; 32]])) -> Hasher<M> {
        Box::new(move |messages, out| {
            hash(messages, out);
            if let Some(last) = out.last_mut() {
                last[31] ^= 1;
            }
        })
    }

    fn honest<L>(lanes: L) -> Candidate<L> {
        let (headers, nodes) = (Box::new(right), Box::new(right_of_nodes));
        Candidate { lanes, headers, nodes, padded: Box::new(right_of_padded) }
    }

    fn lying<L>(lanes: L) -> Candidate<L> {
        Candidate { headers: wrong(right), ..honest(lanes) }
    }

    fn right_of_padded(messages: &[[u8; 128]], out: &mut [[u8; 32]]) {
        for (message, place) in messages.iter().zip(out) {
            *place = Sha256::digest(&message[..80]).into();
        }
    }

    fn lying_of_padded<L>(lanes: L) -> Candidate<L> {
        Candidate { padded: wrong(right_of_padded), ..honest(lanes) }
    }

    fn lying_of_nodes<L>(lanes: L) -> Candidate<L> {
        Candidate { nodes: wrong(right_of_nodes), ..honest(lanes) }
    }

    #[test]
    fn honest_lanes_are_used() {
        assert_eq!(judge(Some(honest(()))), (Some(()), Standing::Used));
    }

    #[test]
    fn lying_lanes_are_switched_off() {
        assert_eq!(judge(Some(lying(()))), (None, Standing::Disagrees));
        assert_eq!(judge(Some(lying_of_nodes(()))), (None, Standing::Disagrees));
        assert_eq!(judge(Some(lying_of_padded(()))), (None, Standing::Disagrees));
    }

    #[test]
    fn lanes_that_write_nothing_are_switched_off() {
        let idle = Candidate { headers: Box::new(|_, _| {}), ..honest(()) };
        assert_eq!(judge(Some(idle)), (None, Standing::Disagrees));
        let idle = Candidate { nodes: Box::new(|_, _| {}), ..honest(()) };
        assert_eq!(judge(Some(idle)), (None, Standing::Disagrees));
    }

    #[test]
    fn missing_lanes_are_unavailable() {
        assert_eq!(judge(None::<Candidate<()>>), (None, Standing::Unavailable));
    }

    #[test]
    fn lying_wide_lanes_leave_hashing_to_the_others() {
        let Some(wide) = Wide::detect() else { return };
        let report =
            Report::after_self_test(Some(lying_of_nodes(wide)), Pair::detect().map(honest));
        assert_eq!(report.ways().next(), Some((Way::Avx512x16, Standing::Disagrees)));
        assert_ne!(report.fastest(), Way::Avx512x16);
        assert!(report.plan().wide.is_none());
        assert!(format!("{report}").contains("AVX-512 x16: disagrees with sha2, switched off"));
    }

    #[test]
    fn lying_pair_lanes_leave_hashing_to_the_others() {
        let Some(pair) = Pair::detect() else { return };
        let report = Report::after_self_test(None, Some(lying(pair)));
        let standings = [Standing::Unavailable, Standing::Disagrees, Standing::Used];
        assert!(report.ways().map(|(_, standing)| standing).eq(standings));
        assert_eq!(report.fastest(), Way::Portable);
        assert!(report.plan().pair.is_none());
    }
}

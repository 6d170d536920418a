//! The compact form: what goes in comes out, equal headers have equal bytes, and nothing that a
//! peer could send does more harm than an error.

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, CompactTarget, TxMerkleNode};
use ironlight_spv::compress::{CODEC_VERSION, CodecError, HeaderBody, decode, encode};
use ironlight_spv::generate::Miner;
use ironlight_spv::{Header, LinkedBatch, UnixTime};

use crate::support::{branch, regtest};

/// Version, count, first parent, first bits.
const HEAD: usize = 1 + 4 + 32 + 4;

fn compact(headers: &[Header]) -> Vec<u8> {
    encode(headers[0].prev_hash(), headers.iter().map(HeaderBody::from))
}

/// Headers that follow each other, with fields from the edges as often as not.
fn extreme(seed: u64, count: usize) -> Vec<Header> {
    let mut miner = Miner::new(seed);
    let mut parent = BlockHash::from_byte_array([7; 32]);
    let mut time = UnixTime(0);
    let mut headers = Vec::new();
    for _ in 0..count {
        let mut pick = |edges: &[u32]| {
            let place = usize::try_from(miner.random()).unwrap() % (edges.len() + 1);
            let [a, b, c, d, ..] = miner.random().to_le_bytes();
            edges.get(place).copied().unwrap_or(u32::from_le_bytes([a, b, c, d]))
        };
        let step = pick(&[
            0,
            1,
            600,
            32_767,
            32_768,
            65_535,
            0u32.wrapping_sub(32_768),
            0u32.wrapping_sub(32_769),
        ]);
        time = UnixTime(pick(&[0, u32::MAX, time.0, time.0.wrapping_add(step)]));
        let body = HeaderBody {
            version: pick(&[0, 1, 4, 0x2000_0000, 0x8000_0000, u32::MAX]).cast_signed(),
            merkle_root: TxMerkleNode::from_byte_array([pick(&[0, 1]).to_le_bytes()[0]; 32]),
            time,
            bits: CompactTarget::from_consensus(pick(&[0, 0x207f_ffff, 0x1d00_ffff, u32::MAX])),
            nonce: pick(&[0, u32::MAX]),
        };
        let header = body.with_parent(parent);
        parent = header.hash();
        headers.push(header);
    }
    headers
}

#[test]
fn what_is_encoded_decodes_to_itself_and_has_one_form() {
    for seed in 0..300 {
        let headers = extreme(seed, 1 + usize::try_from(seed % 40).unwrap());
        let bytes = compact(&headers);
        let decoded = decode(&bytes, headers.len()).expect("what we encoded");
        assert_eq!(decoded, headers);
        assert_eq!(compact(&decoded), bytes);
    }
}

#[test]
fn a_header_takes_39_bytes_where_nothing_but_time_root_and_nonce_changes() {
    let headers = branch(&regtest().start().header, 100, 1);
    let bytes = compact(&headers);
    // The first names its version and its whole time.
    assert_eq!(bytes.len(), HEAD + 100 * 39 + 4 + 2);
    assert_eq!(bytes[0], CODEC_VERSION);
    assert_eq!(bytes[1..5], 100u32.to_le_bytes());
    assert_eq!(bytes[5..37], *headers[0].prev_hash().as_byte_array());
    assert_eq!(decode(&bytes, 100).as_deref(), Ok(&headers[..]));
}

#[test]
fn any_byte_changed_to_anything_is_an_error_or_another_run_of_headers_in_its_one_form() {
    let headers = extreme(11, 12);
    let bytes = compact(&headers);
    let mut accepted = 0;
    for place in 0..bytes.len() {
        for change in 1..=u8::MAX {
            let mut changed = bytes.clone();
            changed[place] ^= change;
            if let Ok(other) = decode(&changed, 100) {
                accepted += 1;
                assert_ne!(other, headers, "byte {place} ^ {change:02x}");
                assert_eq!(compact(&other), changed, "byte {place} ^ {change:02x}: not canonical");
            }
        }
    }
    assert!(accepted > 0, "roots and nonces are free");
}

#[test]
fn a_segment_cut_anywhere_is_an_error() {
    let headers = extreme(12, 12);
    let bytes = compact(&headers);
    for length in 0..bytes.len() {
        let error = decode(&bytes[..length], 100).expect_err("cut short");
        let fits = matches!(error, CodecError::Truncated { .. } | CodecError::TooMany { .. });
        assert!(fits, "cut to {length}: {error}");
    }
}

#[test]
fn bytes_after_the_last_header_are_refused() {
    let mut bytes = compact(&extreme(1, 5));
    bytes.extend_from_slice(&[0; 3]);
    assert_eq!(decode(&bytes, 5), Err(CodecError::TrailingBytes { count: 3 }));
}

#[test]
fn a_count_above_the_limit_or_beyond_the_bytes_reserves_nothing() {
    let headers = branch(&regtest().start().header, 10, 1);
    let bytes = compact(&headers);
    assert_eq!(decode(&bytes, 9), Err(CodecError::TooMany { count: 10 }));
    assert!(decode(&bytes, 10).is_ok());
    let mut huge = bytes;
    huge[1..5].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(decode(&huge, usize::MAX), Err(CodecError::TooMany { count: u32::MAX }));
    huge[1..5].copy_from_slice(&0u32.to_le_bytes());
    assert_eq!(decode(&huge, usize::MAX), Err(CodecError::Empty));
}

#[test]
fn another_version_is_refused() {
    let mut bytes = compact(&extreme(1, 2));
    for version in [0, 2, u8::MAX] {
        bytes[0] = version;
        assert_eq!(decode(&bytes, 2), Err(CodecError::UnknownVersion { got: version }));
    }
}

/// A segment of one header, laid by hand.
fn by_hand(first_bits: u32, header: &[&[u8]]) -> Result<Vec<Header>, CodecError> {
    let mut bytes = vec![CODEC_VERSION, 1, 0, 0, 0];
    bytes.extend_from_slice(&[7; 32]);
    bytes.extend_from_slice(&first_bits.to_le_bytes());
    bytes.extend(header.iter().copied().flatten());
    bytes.extend_from_slice(&[0; 36]);
    decode(&bytes, 1)
}

#[test]
fn longer_forms_of_the_same_header_are_refused() {
    let not_canonical = Err(CodecError::NotCanonical { index: 0 });
    let plain = by_hand(5, &[&[0], &[10, 0]]).expect("the shortest form");
    assert_eq!(plain[0].compact_target().to_consensus(), 5);
    // The version repeated; bits repeated; bits at the first header; a small time in full.
    assert_eq!(by_hand(5, &[&[1], &[0; 4], &[10, 0]]), not_canonical);
    assert_eq!(by_hand(5, &[&[2], &[5, 0, 0, 0], &[10, 0]]), not_canonical);
    assert_eq!(by_hand(9, &[&[2], &[5, 0, 0, 0], &[10, 0]]), not_canonical);
    assert_eq!(by_hand(5, &[&[4], &[10, 0, 0, 0]]), not_canonical);
    // A time below zero, and flags that mean nothing.
    assert_eq!(by_hand(5, &[&[0], &[0xff, 0xff]]), not_canonical);
    for flags in 8..=u8::MAX {
        assert_eq!(by_hand(5, &[&[flags], &[0; 10]]), not_canonical);
    }
}

#[test]
fn random_bytes_never_panic() {
    let mut miner = Miner::new(6);
    for _ in 0..20_000 {
        let length = usize::try_from(miner.random() % 200).unwrap();
        let mut bytes: Vec<u8> = (0..length).map(|_| miner.random().to_le_bytes()[0]).collect();
        if let [version, _, second, third, fourth, ..] = &mut bytes[..] {
            (*version, *second, *third, *fourth) = (CODEC_VERSION, 0, 0, 0);
        }
        if let Ok(headers) = decode(&bytes, 5) {
            assert_eq!(compact(&headers), bytes);
        }
    }
}

#[test]
fn two_segments_decoded_side_by_side_are_what_each_is_alone() {
    let chain = regtest();
    let params = chain.params();
    let segments: Vec<Vec<u8>> = [1, 2, 3, 40, 17, 100]
        .into_iter()
        .zip(7..)
        .map(|(count, seed)| compact(&extreme(seed, count)))
        .chain([vec![CODEC_VERSION], compact(&extreme(3, 9))[..100].to_vec()])
        .collect();
    let alone = |segment: &[u8]| LinkedBatch::decode(params, segment, 50);
    for one in &segments {
        for other in &segments {
            let both = LinkedBatch::decode_two(params, [(one, 50), (other, 50)]);
            for (batch, segment) in both.into_iter().zip([one, other]) {
                match (batch, alone(segment)) {
                    (Ok(batch), Ok(expected)) => {
                        assert_eq!(batch.headers(), expected.headers());
                        assert!(batch.hashes().eq(expected.hashes()));
                        assert_eq!(batch.passed(), expected.passed());
                    }
                    (Err(error), Err(expected)) => assert_eq!(error, expected),
                    (batch, expected) => panic!("{batch:?} instead of {expected:?}"),
                }
            }
        }
    }
}

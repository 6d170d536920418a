//! The compact header codec: what decodes is in its one form and encodes to the same bytes; what
//! is encoded decodes to the same headers.

#![cfg_attr(all(feature = "libfuzzer", not(test)), no_main)]

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, CompactTarget, TxMerkleNode};
use ironlight_spv::compress::{CodecError, HeaderBody, decode, encode};
use ironlight_spv::generate::Miner;
use ironlight_spv::{Header, Network, Params, UnixTime};

ironlight_fuzz::target!(check, seeds);

/// Headers accepted of a segment.
const LIMIT: usize = 500;
/// Version, count, first parent, first bits.
const HEAD: usize = 1 + 4 + 32 + 4;
/// A header in its shortest and in its longest form.
const SHORTEST: usize = 1 + 2 + 32 + 4;
const LONGEST: usize = 1 + 4 + 4 + 4 + 32 + 4;
/// The fields of a body, one after the other.
const BODY: usize = 4 + 32 + 4 + 4 + 4;

fn check(data: &[u8]) {
    match decode(data, LIMIT) {
        Ok(headers) => is_the_one_form(&headers, data),
        Err(error) => names_its_place(error, data),
    }
    if let Some((parent, fields)) = data.split_first_chunk::<32>() {
        makes_the_round_trip(BlockHash::from_byte_array(*parent), fields);
    }
}

fn is_the_one_form(headers: &[Header], data: &[u8]) {
    let count = headers.len();
    assert!(count <= LIMIT);
    assert!((HEAD + count * SHORTEST..=HEAD + count * LONGEST).contains(&data.len()));
    for pair in headers.windows(2) {
        let [parent, child] = pair else { return };
        assert_eq!(child.prev_hash(), parent.hash());
    }
    let first_parent = headers.first().map(Header::prev_hash);
    let again = first_parent.map(|parent| encode(parent, headers.iter().map(HeaderBody::from)));
    assert_eq!(again.as_deref(), Some(data), "two forms of the same headers");

    assert_eq!(decode(data, count).as_deref(), Ok(headers));
    let claimed = u32::try_from(count).unwrap_or(u32::MAX);
    assert_eq!(decode(data, count - 1), Err(CodecError::TooMany { count: claimed }));
    assert_eq!(decode(&[data, &[0]].concat(), LIMIT), Err(CodecError::TrailingBytes { count: 1 }));
    let short = data.split_last().map(|(_, short)| decode(short, LIMIT));
    assert!(matches!(short, Some(Err(CodecError::Truncated { .. } | CodecError::TooMany { .. }))));
}

fn names_its_place(error: CodecError, data: &[u8]) {
    let claimed = data.get(1..5).and_then(|count| <[u8; 4]>::try_from(count).ok());
    let claimed = claimed.map_or(0, u32::from_le_bytes);
    let room = data.len().saturating_sub(HEAD) / SHORTEST;
    match error {
        CodecError::Truncated { at } => assert!(at <= data.len() && data.len() - at < 32),
        CodecError::UnknownVersion { got } => assert_eq!(data.first(), Some(&got)),
        CodecError::TooMany { count } => {
            assert_eq!(count, claimed);
            assert!(usize::try_from(count).is_ok_and(|count| count > LIMIT || count > room));
        }
        CodecError::Empty => assert_eq!(claimed, 0),
        CodecError::NotCanonical { index } => {
            assert!(index < LIMIT.min(room) && u32::try_from(index).is_ok_and(|i| i < claimed));
        }
        CodecError::TrailingBytes { count } => assert!((1..=data.len() - HEAD).contains(&count)),
        other => {
            assert!(other.to_string().is_empty(), "an error that this target knows not: {other}")
        }
    }
}

fn makes_the_round_trip(parent: BlockHash, fields: &[u8]) {
    let (fields, _) = fields.as_chunks::<BODY>();
    let bodies: Vec<_> = fields.iter().map(body).take(LIMIT).collect();
    let bytes = encode(parent, bodies.iter().copied());
    let decoded = decode(&bytes, LIMIT);
    if bodies.is_empty() {
        assert_eq!(decoded, Err(CodecError::Empty));
        return;
    }
    let mut expected = Vec::new();
    let mut parent = parent;
    for body in &bodies {
        let header = body.with_parent(parent);
        assert_eq!(HeaderBody::from(&header), *body);
        parent = header.hash();
        expected.push(header);
    }
    assert_eq!(decoded, Ok(expected));
}

fn body(fields: &[u8; BODY]) -> HeaderBody {
    let [v0, v1, v2, v3, root @ .., t0, t1, t2, t3, b0, b1, b2, b3, n0, n1, n2, n3] = *fields;
    HeaderBody {
        version: i32::from_le_bytes([v0, v1, v2, v3]),
        merkle_root: TxMerkleNode::from_byte_array(root),
        time: UnixTime(u32::from_le_bytes([t0, t1, t2, t3])),
        bits: CompactTarget::from_consensus(u32::from_le_bytes([b0, b1, b2, b3])),
        nonce: u32::from_le_bytes([n0, n1, n2, n3]),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let genesis = Params::new(Network::Regtest).genesis;
    let chain = Miner::new(1).run(&genesis, 24, 600);
    let plain = encode(genesis.hash(), chain.iter().map(HeaderBody::from));
    let changing = chain.iter().zip(0_u32..).map(|(header, place)| {
        let body = HeaderBody::from(header);
        let version = if place % 3 == 0 { 4 } else { 0x2000_0000 };
        let time = UnixTime(body.time.0 + place % 2 * 100_000);
        let bits = CompactTarget::from_consensus(0x1d00_ffff - place / 4);
        HeaderBody { version, time, bits, ..body }
    });
    let changing = encode(genesis.hash(), changing);
    let one = encode(genesis.hash(), chain.iter().take(1).map(HeaderBody::from));
    let fields = chain.iter().take(5).flat_map(|header| {
        let bytes = header.as_bytes();
        bytes.iter().take(4).chain(bytes.iter().skip(36)).copied().collect::<Vec<_>>()
    });
    // The second header's time, which needs no more than the difference, in full: refused.
    let long = one_more(&one, chain.get(1));
    let fields = [7; 32].into_iter().chain(fields).collect();
    vec![plain, changing, one, long, fields, encode(genesis.hash(), std::iter::empty())]
}

fn one_more(segment: &[u8], header: Option<&Header>) -> Vec<u8> {
    let mut segment = segment.to_vec();
    segment.splice(1..5, 2_u32.to_le_bytes());
    if let Some(header) = header {
        segment.push(4);
        segment.extend(header.time().0.to_le_bytes());
        segment.extend(header.merkle_root().to_byte_array());
        segment.extend(header.nonce().to_le_bytes());
    }
    segment
}

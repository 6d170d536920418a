//! The examples of `docs/PROTOCOL.md`, so that the document says what the code does: each is looked
//! for in the document, encoded and decoded.

use std::time::Duration;

use bitcoin::bip158::Error::UtxoMissing;
use bitcoin::bip158::{BlockFilter, FilterHash, FilterHeader};
use bitcoin::consensus::encode::serialize;
use bitcoin::hashes::Hash as _;
use bitcoin::hex::{DisplayHex as _, FromHex as _};
use bitcoin::{Block, MerkleBlock, OutPoint, ScriptBuf};
use ironlight_spv::compress::{self, Columns, HeaderBody};
use ironlight_spv::{BlockHeight, Header, Network, Params};

use super::*;
use crate::net::swarm::protocol::Names;
use crate::net::wire::{Cursor, Problem};

const DOCUMENT: &str = include_str!("../../../../../docs/PROTOCOL.md");

const HEADERS: [&str; 2] = [
    "01000000 6fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000
     982051fd1e4ba744bbbe680e1fee14677ba1a3c3540bf7b1cdb606e857233e0e 61bc6649 ffff001d 01e36299",
    "01000000 4860eb18bf1b1620e37e9490fc8a427514416fd75159ab86688e9a8300000000
     d5fdcc541e25de1c7a5addedf24858b8bb665c9f36ef744ee42c316022c90f9b b0bc6649 ffff001d 08d2bd61",
];
const AFTER_GENESIS: &str = "01 0800 0100 0400 204e0000 d0070000 00 01
    6fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000";
const FROM_2001: &str = "01 0800 0100 0400 204e0000 401f0000 01 d1070000";
const EXACTLY: &str = "01 0000 01000000 02
    4860eb18bf1b1620e37e9490fc8a427514416fd75159ab86688e9a8300000000";
const PAGE: &str = "01 00 0000 02000000 01000000
    01 02000000 6fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000 ffff001d
    05 01000000 61bc6649 982051fd1e4ba744bbbe680e1fee14677ba1a3c3540bf7b1cdb606e857233e0e 01e36299
    00 4f00 d5fdcc541e25de1c7a5addedf24858b8bb665c9f36ef744ee42c316022c90f9b 08d2bd61";
const AT_THE_TIP: &str = "01 00 0000 02000000 03000000";
const NOT_FOUND: &str = "01 01 0000";
const BUSY: &str = "01 02 0800 0500 0400 fa000000";
const INVALID: &str = "01 03 0000";
const EXTENDED: &str = "01 2c00 0100 0400 204e0000
    0300 1900 4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7 01 0900 0300 6f6464";
const EVEN: &str = "01 0400 0800 0000";

const CHECKPOINTS_UP_TO_2: &str =
    "01 0000 00 bddd99ccfda39da1b108ce1a5d70038d0a967bacb68b6b63065f626a00000000";
const HASHES_OF_1_AND_2: &str =
    "01 0000 01 01000000 0200 bddd99ccfda39da1b108ce1a5d70038d0a967bacb68b6b63065f626a00000000";
const FILTERS_OF_1_AND_2: &str =
    "01 0000 02 01000000 0200 bddd99ccfda39da1b108ce1a5d70038d0a967bacb68b6b63065f626a00000000";
const NO_CHECKPOINTS: &str = "01 00 0000";
const HASHES: &str = "01 00 0000 9f3c30f0c37fb977cf3e1a3173c631e8ff119ad3088b6f5b2bced0802139c202
    99f2a1cd17e443c393c9736edd7c7eb10b43fb2ad131e5b8369d63319f59cd9a
    ad33055270e8f75e7550a9d8cd89aa850657a9124d3c1a0fa25e86ef6ff6fd0b";
const FILTERS: &str = "01 00 0000 04000000 018c3b10 04000000 018c78d8";
const BLOCK_1: &str = "01 0000 4860eb18bf1b1620e37e9490fc8a427514416fd75159ab86688e9a8300000000";
const BLOCK: &str = "01 00 0000 d7000000
    01000000 6fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000
    982051fd1e4ba744bbbe680e1fee14677ba1a3c3540bf7b1cdb606e857233e0e 61bc6649 ffff001d 01e36299
    01 01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff07
    04ffff001d0104ffffffff0100f2052a0100000043410496b538e853519c726a2c91e61ec11600ae1390813a627c66
    fb8be7947be63c52da7589379515d4e0a604f8141781e62294721166bf621e73a82cbf2342c858eeac00000000";
const PROOF_IN_1: &str = "01 0000 4860eb18bf1b1620e37e9490fc8a427514416fd75159ab86688e9a8300000000
    01 982051fd1e4ba744bbbe680e1fee14677ba1a3c3540bf7b1cdb606e857233e0e";
const PROOF: &str = "01 00 0000
    01000000 6fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000
    982051fd1e4ba744bbbe680e1fee14677ba1a3c3540bf7b1cdb606e857233e0e 61bc6649 ffff001d 01e36299
    01000000 01 982051fd1e4ba744bbbe680e1fee14677ba1a3c3540bf7b1cdb606e857233e0e 01 01";
const FROM_PERIOD_0: &str = "01 0000 00 00000000";
const TWO_PERIODS: &str = "01 00 0000 00000000
    6397bb6abd4fc521c0d3f6071b5650389f0b4551bc40b4e6b067306900000000
    df3fcdd2c7c319f51b2b9d90afab3030a81d8c6be65eb0d009ad37f000000000";
const PERIOD_1: &str = "01 0000 01 01000000
    df3fcdd2c7c319f51b2b9d90afab3030a81d8c6be65eb0d009ad37f000000000";
/// The hashes of mainnet's blocks 2015 and 4031.
const LAST_OF_PERIODS: [&str; 2] = [
    "00000000693067b0e6b440bc51450b9f3850561b07f6d3c021c54fbd6abb9763",
    "00000000f037ad09d0b05ee66b8c1da83030abaf909d2b1bf519c3c7d2cd3fdf",
];
/// The transactions of blocks 1 and 2, which their headers' Merkle roots commit to.
const COINBASES: [&str; 2] = [
    "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff07
     04ffff001d0104ffffffff0100f2052a0100000043410496b538e853519c726a2c91e61ec11600ae1390813a627c66
     fb8be7947be63c52da7589379515d4e0a604f8141781e62294721166bf621e73a82cbf2342c858eeac00000000",
    "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff07
     04ffff001d010bffffffff0100f2052a010000004341047211a824f55b505228e4c3d5194c1fcfaa15a456abdf37f9
     b9d97a4040afc073dee6c89064984f03385237d92167c13e236446b417ab79a0fcae412ae3316b77ac00000000",
];
/// Blocks 1 and 2.
fn blocks() -> Vec<Block> {
    let blocks = HEADERS.iter().zip(COINBASES).map(|(header, coinbase)| {
        let bytes = [without_spaces(header), "01".to_owned(), without_spaces(coinbase)].concat();
        let bytes = Vec::from_hex(&bytes).unwrap();
        bitcoin::consensus::deserialize::<Block>(&bytes).unwrap()
    });
    let blocks: Vec<_> = blocks.collect();
    assert!(blocks.iter().all(Block::check_merkle_root));
    blocks
}

fn without_spaces(text: &str) -> String {
    text.split_whitespace().collect()
}

/// The bytes of an example that the document has, too.
fn documented(example: &str) -> Vec<u8> {
    let hex = without_spaces(example);
    assert!(without_spaces(DOCUMENT).contains(&hex), "not in the document: {example}");
    Vec::from_hex(&hex).unwrap()
}

fn headers() -> Vec<Header> {
    HEADERS.map(|hex| Header::from_bytes(documented(hex).try_into().unwrap())).to_vec()
}

fn deadline() -> Extensions {
    Extensions { deadline: Some(Duration::from_secs(20)), ..Extensions::default() }
}

#[test]
fn requests_are_as_documented() {
    let genesis = Params::new(Network::Mainnet).genesis.hash();
    let first = headers()[0].hash();
    for (extensions, wanted, most, example) in [
        (deadline(), Wanted::After(vec![genesis]), 2000, AFTER_GENESIS),
        (deadline(), Wanted::From(BlockHeight(2001)), MAX_PAGE, FROM_2001),
        (Extensions::default(), Wanted::Exactly(first), 1, EXACTLY),
    ] {
        let request = HeadersRequest { wanted, most };
        let bytes = documented(example);
        assert_eq!(encode_request(&extensions, &request.encode()), bytes);
        let (found, mut body) = decode_request(&bytes).unwrap();
        assert_eq!(found, extensions);
        assert_eq!(HeadersRequest::decode(&mut body), Ok(request));
    }
}

#[test]
fn a_page_is_as_documented() {
    let headers = headers();
    let segment = compress::encode(headers[0].prev_hash(), headers.iter().map(HeaderBody::from));
    let body = HeadersPage::encode(BlockHeight(2), BlockHeight(1), &segment);
    let bytes = documented(PAGE);
    assert_eq!(encode_response(Status::Ok, &Extensions::default(), &body), bytes);
    let (status, extensions, mut body) = decode_response(&bytes).unwrap();
    assert_eq!((status, extensions), (Status::Ok, Extensions::default()));
    let page = HeadersPage { tip: BlockHeight(2), first: BlockHeight(1), headers };
    assert_eq!(HeadersPage::decode(&mut body, 2), Ok(page));
}

/// The filter header of genesis, and the filters of blocks 1 and 2, whose transactions spend nothing.
fn filters() -> (FilterHeader, Vec<Vec<u8>>) {
    let filter = |block: &Block| {
        let spent = |_: &OutPoint| Err::<ScriptBuf, _>(UtxoMissing(OutPoint::null()));
        BlockFilter::new_script_filter(block, spent).unwrap()
    };
    let genesis = filter(&bitcoin::constants::genesis_block(bitcoin::Network::Bitcoin));
    let header = genesis.filter_header(&FilterHeader::all_zeros());
    (header, blocks().iter().map(|block| filter(block).content).collect())
}

/// A response that is Ok, and a place at the start of its body.
fn body_of(bytes: &[u8]) -> Cursor<'_> {
    let (status, extensions, body) = decode_response(bytes).unwrap();
    assert_eq!((status, extensions), (Status::Ok, Extensions::default()));
    body
}

#[test]
fn filters_are_as_documented() {
    let (previous, filters) = filters();
    let stop = headers()[1].hash();
    let range = FilterRange { start: BlockHeight(1), count: 2, stop };
    for (request, example) in [
        (FiltersRequest::Checkpoints { stop }, CHECKPOINTS_UP_TO_2),
        (FiltersRequest::Headers(range), HASHES_OF_1_AND_2),
        (FiltersRequest::Filters(range), FILTERS_OF_1_AND_2),
    ] {
        let bytes = documented(example);
        assert_eq!(encode_request(&Extensions::default(), &request.encode()), bytes);
        let (_, mut body) = decode_request(&bytes).unwrap();
        assert_eq!(FiltersRequest::decode(&mut body), Ok(request));
    }
    let ok = |body: &[u8]| encode_response(Status::Ok, &Extensions::default(), body);
    let none = documented(NO_CHECKPOINTS);
    assert_eq!(ok(&encode_checkpoints(&[])), none);
    assert_eq!(decode_checkpoints(&mut body_of(&none), 0), Ok(Vec::new()));
    let hashes: Vec<_> = filters.iter().map(|filter| FilterHash::hash(filter)).collect();
    let bytes = documented(HASHES);
    assert_eq!(ok(&encode_filter_hashes(&previous, &hashes)), bytes);
    assert_eq!(decode_filter_hashes(&mut body_of(&bytes), 2), Ok((previous, hashes)));
    let bytes = documented(FILTERS);
    assert_eq!(ok(&encode_filters(filters.iter().map(Vec::as_slice))), bytes);
    assert_eq!(decode_filters(&mut body_of(&bytes), 2), Ok(filters));
}

#[test]
fn a_block_and_a_proof_are_as_documented() {
    let block = &blocks()[0];
    let (hash, txid) = (block.block_hash(), block.txdata[0].compute_txid());
    let request = BlockRequest { hash };
    let bytes = documented(BLOCK_1);
    assert_eq!(encode_request(&Extensions::default(), &request.encode()), bytes);
    let serialised = serialize(block);
    let body = [&block_head(&serialised)[..], &serialised].concat();
    let bytes = documented(BLOCK);
    assert_eq!(encode_response(Status::Ok, &Extensions::default(), &body), bytes);
    assert_eq!(decode_block(&mut body_of(&bytes), &hash), Ok(serialised));

    let request = ProofRequest { block: hash, txids: vec![txid] };
    let bytes = documented(PROOF_IN_1);
    assert_eq!(encode_request(&Extensions::default(), &request.encode()), bytes);
    let proof = serialize(&MerkleBlock::from_block_with_predicate(block, |id| *id == txid));
    let bytes = documented(PROOF);
    assert_eq!(encode_response(Status::Ok, &Extensions::default(), &proof), bytes);
    assert_eq!(decode_proof(&mut body_of(&bytes), &hash), Ok(proof));
}

#[test]
fn snapshots_are_as_documented() {
    let addresses = LAST_OF_PERIODS.map(|hash| hash.parse().unwrap()).to_vec();
    for (request, example) in [
        (SnapshotsRequest::Offer { from: 0 }, FROM_PERIOD_0),
        (SnapshotsRequest::Chunk { period: 1, hash: addresses[1] }, PERIOD_1),
    ] {
        let bytes = documented(example);
        assert_eq!(encode_request(&Extensions::default(), &request.encode()), bytes);
        let (_, mut body) = decode_request(&bytes).unwrap();
        assert_eq!(SnapshotsRequest::decode(&mut body), Ok(request));
    }
    let offer = SnapshotOffer { first: 0, addresses };
    let bytes = documented(TWO_PERIODS);
    assert_eq!(encode_response(Status::Ok, &Extensions::default(), &offer.encode()), bytes);
    assert_eq!(SnapshotOffer::decode(&mut body_of(&bytes), 0), Ok(offer));
}

#[test]
fn responses_without_headers_are_as_documented() {
    let at_the_tip = HeadersPage::encode(BlockHeight(2), BlockHeight(3), &[]);
    let retry_after = Some(Duration::from_millis(250));
    let busy = Extensions { retry_after, ..Extensions::default() };
    for (status, extensions, body, example) in [
        (Status::Ok, Extensions::default(), &at_the_tip[..], AT_THE_TIP),
        (Status::NotFound, Extensions::default(), &[], NOT_FOUND),
        (Status::Busy, busy, &[], BUSY),
        (Status::Invalid, Extensions::default(), &[], INVALID),
    ] {
        let bytes = documented(example);
        assert_eq!(encode_response(status, &extensions, body), bytes);
        let (found, found_extensions, mut rest) = decode_response(&bytes).unwrap();
        assert_eq!((found, found_extensions), (status, extensions));
        assert_eq!(rest.take(rest.left()).unwrap(), body);
    }
}

#[test]
fn extensions_are_as_documented() {
    let bytes = documented(EXTENDED);
    let (found, body) = decode_request(&bytes).unwrap();
    let trace = TraceContext {
        trace_id: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes(),
        span_id: 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes(),
        flags: 1,
    };
    assert_eq!(found, Extensions { trace: Some(trace), ..deadline() });
    assert_eq!(body.left(), 0);
    let refused = decode_request(&documented(EVEN)).unwrap_err();
    assert_eq!(refused.problem, Problem::ExtensionRequired { kind: 8 });
}

#[test]
fn a_tip_and_its_id_are_as_documented() {
    let tip = headers()[1];
    assert_eq!(tip.as_bytes().len(), TIP_SIZE);
    let id = tip.hash().to_byte_array().to_lower_hex_string();
    assert!(DOCUMENT.contains(&id), "{id}");
}

#[test]
fn names_are_as_documented() {
    let mut networks = Network::ALL.map(Params::new).to_vec();
    networks.push(Params::custom_signet(&[0x51]));
    for params in networks {
        let name = Names::new(&params).headers;
        assert!(DOCUMENT.contains(&format!("`{name}`")), "{name}");
    }
    let mainnet = Names::new(&Params::new(Network::Mainnet));
    let tips = mainnet.tips.to_string();
    let Names { filters, blocks, proofs, snapshots, kademlia, .. } = &mainnet;
    let streams = [filters, blocks, proofs, snapshots, kademlia].map(AsRef::<str>::as_ref);
    for name in streams.into_iter().chain([mainnet.gossip.as_str(), &tips, &mainnet.family]) {
        assert!(DOCUMENT.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn bounds_are_as_documented() {
    let small = Columns::most_small(2016);
    for row in [
        format!("| request | {MAX_REQUEST} |"),
        format!("| response with headers | {MAX_RESPONSE} |"),
        format!("| response with filters | {MAX_FILTERS_RESPONSE} |"),
        format!("| response with a block | {MAX_BLOCK_RESPONSE} |"),
        format!("| response with a proof | {MAX_PROOF_RESPONSE} |"),
        format!("| response of the snapshots protocol | {MAX_RESPONSE} |"),
        format!("| hashes of a response | 32 each | 0 to {MAX_OFFERED} |"),
        format!("| from, period, first | 4 | 0 to {LAST_PERIOD}:"),
        format!("| packed length | 4 | 0 to {} |", small + 1024),
        format!("| small length | 4 | 0 to {small} |"),
        format!("| large | {} | |", Columns::large_size(2016)),
        format!("from 1 to {MAX_FILTER_HEADERS} (filter hashes) or {MAX_FILTERS} (filters) |"),
        format!("and their lengths, at most {MAX_FILTER_BYTES} bytes |"),
        format!("| length | 4 | of the block, 80 to {MAX_BLOCK} |"),
        format!("| count of txids | 1 | 1 to {MAX_PROOF_TXIDS} |"),
        format!("a merkleblock (BIP37), at most {MAX_PROOF} bytes;"),
        format!("| length of extensions | 2 | 0 to {MAX_EXTENSIONS};"),
        format!("| most | 4 | headers wanted, from 1. More than {MAX_PAGE} counts as {MAX_PAGE} |"),
        format!("| count | 1 | 0 to {MAX_LOCATOR} |"),
    ] {
        assert!(DOCUMENT.contains(&row), "{row}");
    }
    let request = HeadersRequest { wanted: Wanted::From(BlockHeight(0)), most: 1 };
    let longer = [&request.encode()[..], &[0]].concat();
    assert!(HeadersRequest::decode(&mut Cursor::new(&longer)).is_err(), "nothing may follow");
}

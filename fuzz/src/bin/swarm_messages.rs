//! What light nodes say to each other; the first byte chooses the kind of message. What decodes
//! encodes to the same bytes, wherever it has one form only.

#![cfg_attr(all(feature = "libfuzzer", not(test)), no_main)]
#![allow(clippy::expect_used, reason = "a panic is how a fuzz target reports")]

use std::time::Duration;

use bitcoin::bip158::{FilterHash, FilterHeader};
use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, Txid};
use ironlight::net::swarm::wire::{
    ENVELOPE_VERSION, Extensions, FilterRange, FiltersRequest, HeadersPage, HeadersRequest,
    LAST_PERIOD, MAX_BLOCK, MAX_EXTENSIONS, MAX_FILTER_BYTES, MAX_FILTER_HEADERS, MAX_FILTERS,
    MAX_LOCATOR, MAX_OFFERED, MAX_PAGE, MAX_PROOF, MAX_PROOF_TXIDS, MAX_REQUEST, MAX_RESPONSE,
    ProofRequest, SnapshotOffer, SnapshotsRequest, Status, TIP_SIZE, TraceContext, Wanted,
    block_head, decode_block, decode_checkpoints, decode_chunk, decode_filter_hashes,
    decode_filters, decode_proof, decode_request, decode_response, encode_checkpoints,
    encode_filter_hashes, encode_filters, encode_request, encode_response, filters_that_fit,
};
use ironlight::net::wire::{Cursor, DecodeError};
use ironlight::snapshot::{self, Chunk, ChunkError};
use ironlight_fuzz::names_its_place;
use ironlight_spv::compress::snapshot::{SnapshotHead, TRAILER_SIZE};
use ironlight_spv::compress::{self, HeaderBody};
use ironlight_spv::generate::Miner;
use ironlight_spv::{BlockHeight, Header, HeaderChain, Network, Params, UnixTime};

ironlight_fuzz::target!(check, seeds);

const KINDS: [fn(&[u8]); 16] = [
    request_envelope,
    response_envelope,
    headers_request,
    headers_page,
    tip,
    whole_request,
    whole_response,
    filters_request,
    filter_hashes,
    filters,
    block,
    proof_request,
    proof,
    snapshots_request,
    snapshot_offer,
    snapshot_chunk,
];

fn check(data: &[u8]) {
    let Some((kind, message)) = data.split_first() else { return };
    if let Some(kind) = KINDS.get(usize::from(*kind) % KINDS.len()) {
        kind(message);
    }
}

/// What was decoded, if it was; else the error must name its place.
fn decoded<T>(result: Result<T, DecodeError>, bytes: &[u8]) -> Option<T> {
    result.inspect_err(|error| names_its_place(error, bytes.len())).ok()
}

/// The bytes that are left, and how many were read before them.
fn body<'a>(mut cursor: Cursor<'a>, bytes: &[u8]) -> (&'a [u8], usize) {
    let read = bytes.len() - cursor.left();
    let rest = cursor.take(cursor.left());
    (rest.unwrap_or_default(), read)
}

fn request_envelope(bytes: &[u8]) {
    let Some((extensions, cursor)) = decoded(decode_request(bytes), bytes) else { return };
    let (body_found, head) = body(cursor, bytes);
    assert!((3..=3 + usize::from(MAX_EXTENSIONS)).contains(&head));
    is_whole_milliseconds(&extensions);
    let again = encode_request(&extensions, body_found);
    assert_eq!(again, without_unknown(bytes, 1, body_found), "two forms of the same envelope");
    let (found, cursor) = decode_request(&again).expect("what we encode");
    assert_eq!((found, body(cursor, &again).0), (extensions, body_found));
}

fn response_envelope(bytes: &[u8]) {
    let Some((status, extensions, cursor)) = decoded(decode_response(bytes), bytes) else { return };
    let (body_found, head) = body(cursor, bytes);
    assert!((4..=4 + usize::from(MAX_EXTENSIONS)).contains(&head));
    assert_eq!(bytes.get(1), Some(&status.code()));
    is_whole_milliseconds(&extensions);
    // The status does not change what is read of the rest.
    for other in [Status::Ok, Status::NotFound, Status::Busy, Status::Invalid] {
        let again = encode_response(other, &extensions, body_found);
        if other == status {
            assert_eq!(again, without_unknown(bytes, 2, body_found), "two forms of an envelope");
        }
        let (got, found, cursor) = decode_response(&again).expect("what we encode");
        assert_eq!((got, &found), (other, &extensions));
        assert_eq!(body(cursor, &again).0, body_found);
    }
}

/// The message without the extensions that are skipped, which are lost: those of odd types that are
/// not known. The first `start` bytes stand before the extensions, the last `body` after them.
fn without_unknown(bytes: &[u8], start: usize, body: &[u8]) -> Vec<u8> {
    let mut cursor = Cursor::new(bytes);
    let head = cursor.take(start).expect("what was decoded has a head");
    let length = cursor.u16().expect("and extensions");
    let mut records = Cursor::new(cursor.take(usize::from(length)).expect("in full"));
    let (mut kept, mut last) = (Vec::new(), 0);
    while records.left() > 0 {
        let (kind, length) = (records.u16().expect("a type"), records.u16().expect("a length"));
        let value = records.take(usize::from(length)).expect("a value");
        assert!(kind > last && kind % 2 == 1, "extension {kind} after {last}");
        last = kind;
        if kind <= 7 {
            kept.extend([kind.to_le_bytes(), length.to_le_bytes()].concat());
            kept.extend(value);
        }
    }
    let length = u16::try_from(kept.len()).unwrap_or(u16::MAX).to_le_bytes();
    [head, &length, &kept, body].concat()
}

fn is_whole_milliseconds(extensions: &Extensions) {
    for time in [extensions.deadline, extensions.retry_after].into_iter().flatten() {
        assert_eq!(time.subsec_nanos() % 1_000_000, 0);
        assert!(time <= Duration::from_millis(u64::from(u32::MAX)));
    }
}

fn headers_request(bytes: &[u8]) {
    let result = HeadersRequest::decode(&mut Cursor::new(bytes));
    if let Some(request) = decoded(result, bytes) {
        is_the_request(&request, bytes);
    }
}

fn is_the_request(request: &HeadersRequest, bytes: &[u8]) {
    assert!(request.most > 0);
    if let Wanted::After(locator) = &request.wanted {
        assert!(locator.len() <= MAX_LOCATOR);
    }
    assert!(bytes.len() + 3 + usize::from(MAX_EXTENSIONS) <= MAX_REQUEST);
    assert_eq!(request.encode(), bytes, "two forms of the same request");
}

/// The first two bytes say how many headers were asked for.
fn headers_page(bytes: &[u8]) {
    let Some((most, bytes)) = bytes.split_first_chunk() else { return };
    let most = u32::from(u16::from_le_bytes(*most));
    let result = HeadersPage::decode(&mut Cursor::new(bytes), most);
    if let Some(page) = decoded(result, bytes) {
        is_the_page(&page, most, bytes);
    }
}

fn is_the_page(page: &HeadersPage, most: u32, bytes: &[u8]) {
    let count = u32::try_from(page.headers.len()).unwrap_or(u32::MAX);
    assert!(count <= most && count <= MAX_PAGE);
    let segment = page.headers.first().map(|first| {
        compress::encode(first.prev_hash(), page.headers.iter().map(HeaderBody::from))
    });
    let again = HeadersPage::encode(page.tip, page.first, &segment.unwrap_or_default());
    assert_eq!(again, bytes, "two forms of the same page");
    assert_eq!(page.next().0, page.first.0.saturating_add(count));
    assert_eq!(page.is_last(), count == 0 || page.next() > page.tip);
}

/// A gossiped tip, which is taken if it has the length of one.
fn tip(bytes: &[u8]) {
    let Ok(bytes) = <[u8; TIP_SIZE]>::try_from(bytes) else { return };
    let header = Header::from_bytes(bytes);
    assert_eq!(header.as_bytes(), &bytes);
    assert_eq!(HeaderBody::from(&header).with_parent(header.prev_hash()), header);
    let theirs: bitcoin::block::Header = deserialize(&bytes).expect("any 80 bytes are a header");
    assert_eq!(theirs.block_hash(), header.hash());
    assert_eq!(serialize(&theirs), bytes);
}

fn filters_request(bytes: &[u8]) {
    let result = FiltersRequest::decode(&mut Cursor::new(bytes));
    let Some(request) = decoded(result, bytes) else { return };
    let most = match &request {
        FiltersRequest::Checkpoints { .. } => None,
        FiltersRequest::Headers(range) => Some((range.count, MAX_FILTER_HEADERS)),
        FiltersRequest::Filters(range) => Some((range.count, MAX_FILTERS)),
    };
    assert!(most.is_none_or(|(count, most)| (1..=most).contains(&count)));
    assert_eq!(request.encode(), bytes, "two forms of the same request");
}

/// The first byte says how many were asked for; checkpoints have the same form without the one before.
fn filter_hashes(bytes: &[u8]) {
    let Some((count, bytes)) = bytes.split_first() else { return };
    let count = u32::from(*count);
    if let Some(headers) = decoded(decode_checkpoints(&mut Cursor::new(bytes), count), bytes) {
        assert_eq!(u32::try_from(headers.len()), Ok(count));
        assert_eq!(encode_checkpoints(&headers), bytes);
    }
    let result = decode_filter_hashes(&mut Cursor::new(bytes), count);
    if let Some((previous, hashes)) = decoded(result, bytes) {
        assert_eq!(u32::try_from(hashes.len()), Ok(count));
        assert_eq!(encode_filter_hashes(&previous, &hashes), bytes);
    }
}

/// The first byte says how many were asked for, from one on.
fn filters(bytes: &[u8]) {
    let Some((most, bytes)) = bytes.split_first() else { return };
    let most = u32::from(*most).max(1);
    let result = decode_filters(&mut Cursor::new(bytes), most);
    let Some(filters) = decoded(result, bytes) else { return };
    assert!((1..=most).contains(&u32::try_from(filters.len()).unwrap_or(u32::MAX)));
    let slices = || filters.iter().map(Vec::as_slice);
    assert_eq!(encode_filters(slices()), bytes, "two forms of the same filters");
    if bytes.len() <= MAX_FILTER_BYTES {
        assert_eq!(filters_that_fit(slices()), filters.len());
    }
}

/// The hash that bytes at this place have as a header, so that some messages get through.
fn hash_at(bytes: &[u8], start: usize) -> BlockHash {
    let header = bytes.get(start..).and_then(<[u8]>::first_chunk);
    header.map_or_else(BlockHash::all_zeros, |header| Header::from_bytes(*header).hash())
}

fn block(bytes: &[u8]) {
    let hash = hash_at(bytes, 4);
    let result = decode_block(&mut Cursor::new(bytes), &hash);
    let Some(block) = decoded(result, bytes) else { return };
    assert!((Header::SIZE..=MAX_BLOCK).contains(&block.len()));
    assert_eq!([&block_head(&block)[..], &block].concat(), bytes);
    let other = decode_block(&mut Cursor::new(bytes), &BlockHash::all_zeros());
    assert!(decoded(other, bytes).is_none(), "nobody has seen a hash of zeros");
}

fn proof_request(bytes: &[u8]) {
    let result = ProofRequest::decode(&mut Cursor::new(bytes));
    let Some(request) = decoded(result, bytes) else { return };
    assert!((1..=MAX_PROOF_TXIDS).contains(&request.txids.len()));
    assert!(request.txids.is_sorted());
    assert!(bytes.len() + 3 + usize::from(MAX_EXTENSIONS) <= MAX_REQUEST);
    assert_eq!(request.encode(), bytes, "two forms of the same request");
}

fn proof(bytes: &[u8]) {
    let hash = hash_at(bytes, 0);
    let result = decode_proof(&mut Cursor::new(bytes), &hash);
    let Some(proof) = decoded(result, bytes) else { return };
    assert!(proof.len() <= MAX_PROOF);
    assert_eq!(proof, bytes);
    let theirs: bitcoin::MerkleBlock = deserialize(&proof).expect("a merkleblock has this form");
    assert_eq!(serialize(&theirs), proof);
}

fn snapshots_request(bytes: &[u8]) {
    let result = SnapshotsRequest::decode(&mut Cursor::new(bytes));
    let Some(request) = decoded(result, bytes) else { return };
    let (SnapshotsRequest::Offer { from: period } | SnapshotsRequest::Chunk { period, .. }) =
        request;
    assert!(period <= LAST_PERIOD);
    assert_eq!(request.encode(), bytes, "two forms of the same request");
}

/// The first byte says from which period on it was asked for.
fn snapshot_offer(bytes: &[u8]) {
    let Some((from, bytes)) = bytes.split_first() else { return };
    let from = u32::from(*from);
    let result = SnapshotOffer::decode(&mut Cursor::new(bytes), from);
    let Some(offer) = decoded(result, bytes) else { return };
    assert!((from..=LAST_PERIOD).contains(&offer.first) && offer.addresses.len() <= MAX_OFFERED);
    assert_eq!(offer.encode(), bytes, "two forms of the same offer");
}

/// The first byte is the period. Whatever has the form of a chunk opens only at its own address, and few
/// do.
fn snapshot_chunk(bytes: &[u8]) {
    let Some((period, bytes)) = bytes.split_first() else { return };
    let period = u32::from(*period);
    let Some(chunk) = decoded(decode_chunk(&mut Cursor::new(bytes), period), bytes) else { return };
    assert_eq!(chunk, bytes);
    assert!(chunk.len() <= 100_000);
    let params = Params::new(Network::Regtest);
    let refused = Chunk::open(&params, period, BlockHash::all_zeros(), &chunk);
    assert!(refused.is_err(), "nobody has seen a hash of zeros");
    if let Err(ChunkError::OtherAddress { got, .. }) = refused {
        let opened = Chunk::open(&params, period, got, &chunk).expect("that is its address");
        assert_eq!(opened.into_batch().len(), 2016);
    }
}

/// As a node reads a request that came: places are those of the whole message.
fn whole_request(bytes: &[u8]) {
    let Some((_, mut cursor)) = decoded(decode_request(bytes), bytes) else { return };
    let (body, _) = body(cursor.clone(), bytes);
    if let Some(request) = decoded(HeadersRequest::decode(&mut cursor), bytes) {
        assert_eq!(cursor.left(), 0);
        is_the_request(&request, body);
    }
}

/// As a node reads a response, having asked for as many headers as may be.
fn whole_response(bytes: &[u8]) {
    let Some((status, _, mut cursor)) = decoded(decode_response(bytes), bytes) else { return };
    let (body, _) = body(cursor.clone(), bytes);
    if status != Status::Ok {
        return;
    }
    if let Some(page) = decoded(HeadersPage::decode(&mut cursor, MAX_PAGE), bytes) {
        assert_eq!(cursor.left(), 0);
        assert!(bytes.len() <= MAX_RESPONSE);
        is_the_page(&page, MAX_PAGE, body);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let chain = Miner::new(1).run(&Params::new(Network::Regtest).genesis, 8, 600);
    let parent = chain.first().map_or_else(BlockHash::all_zeros, Header::prev_hash);
    let full = Extensions {
        deadline: Some(Duration::from_secs(20)),
        trace: Some(TraceContext { trace_id: [7; 16], span_id: [8; 8], flags: 1 }),
        retry_after: Some(Duration::from_millis(250)),
        held: Some(vec![BlockHeight(0)..BlockHeight(5), BlockHeight(7)..BlockHeight(9)]),
    };
    let locator = chain.iter().map(Header::hash).collect();
    let wanted = [Wanted::After(locator), Wanted::From(BlockHeight(7)), Wanted::Exactly(parent)];
    let segment = compress::encode(parent, chain.iter().map(HeaderBody::from));
    let page = HeadersPage::encode(BlockHeight(8), BlockHeight(1), &segment);
    let last = HeadersPage::encode(BlockHeight(8), BlockHeight(9), &[]);
    // An extension of a type that is not known, and odd.
    let skipped = [&[ENVELOPE_VERSION, 7, 0, 9, 0, 3, 0][..], b"new", b"body"].concat();
    // The same one twice: refused.
    let twice = [&[ENVELOPE_VERSION, 16, 0][..], &[1, 0, 4, 0, 9, 0, 0, 0].repeat(2)].concat();

    let mut seeds = vec![seed(0, &encode_request(&full, b"body"))];
    seeds.extend([skipped, twice].map(|message| seed(0, &message)));
    for status in [Status::Ok, Status::NotFound, Status::Busy, Status::Invalid] {
        seeds.push(seed(1, &encode_response(status, &full, b"body")));
    }
    for wanted in wanted {
        let request = HeadersRequest { wanted, most: 2000 }.encode();
        seeds.push(seed(2, &request));
        seeds.push(seed(5, &encode_request(&Extensions::default(), &request)));
    }
    for page in [page, last] {
        seeds.push(seed(3, &[&[0x40, 0x1f][..], &page].concat()));
        seeds.push(seed(6, &encode_response(Status::Ok, &Extensions::default(), &page)));
    }
    seeds.extend(chain.first().map(|header| seed(4, header.as_bytes())));
    seeds.extend(data_seeds());
    seeds
}

/// Of the protocols for filters, blocks and proofs.
fn data_seeds() -> Vec<Vec<u8>> {
    let genesis = bitcoin::constants::genesis_block(bitcoin::Network::Regtest);
    let stop = genesis.block_hash();
    let range = FilterRange { start: BlockHeight(7), count: 3, stop };
    let hashes = [[1; 32], [2; 32], [3; 32]].map(FilterHash::from_byte_array);
    let headers = hashes.map(|hash| hash.filter_header(&FilterHeader::all_zeros()));
    let contents: [&[u8]; 3] = [&[1, 2, 3], &[], &[9; 40]];
    let bytes = serialize(&genesis);
    let txids = [[1; 32], [2; 32]].map(Txid::from_byte_array).to_vec();
    let merkle_block = bitcoin::MerkleBlock::from_block_with_predicate(&genesis, |_| true);
    let previous = FilterHeader::from_byte_array([8; 32]);
    let mut seeds: Vec<_> = [
        FiltersRequest::Checkpoints { stop },
        FiltersRequest::Headers(range),
        FiltersRequest::Filters(range),
    ]
    .map(|request| seed(7, &request.encode()))
    .into();
    seeds.push(seed(8, &[&[3][..], &encode_checkpoints(&headers)].concat()));
    seeds.push(seed(8, &[&[3][..], &encode_filter_hashes(&previous, &hashes)].concat()));
    seeds.push(seed(9, &[&[4][..], &encode_filters(contents)].concat()));
    seeds.push(seed(10, &[&block_head(&bytes)[..], &bytes].concat()));
    seeds.push(seed(11, &ProofRequest { block: stop, txids }.encode()));
    seeds.push(seed(12, &serialize(&merkle_block)));
    seeds.push(seed(13, &SnapshotsRequest::Offer { from: 7 }.encode()));
    seeds.push(seed(13, &SnapshotsRequest::Chunk { period: 7, hash: stop }.encode()));
    let offer = SnapshotOffer { first: 7, addresses: vec![stop, BlockHash::all_zeros()] };
    seeds.push(seed(14, &[&[7][..], &offer.encode()].concat()));
    seeds.extend(chunk_seed());
    seeds
}

/// A whole period, as a snapshot of nothing else has it: larger than what libFuzzer makes, so that only
/// its mutations reach so far.
fn chunk_seed() -> Option<Vec<u8>> {
    let mut chain = HeaderChain::new(Params::new(Network::Regtest));
    let headers = Miner::new(1).run(&chain.params().genesis, 2015, 600);
    let verified = chain.verify(&headers, UnixTime::MAX).ok()?;
    chain.apply(verified).ok()?;
    let mut file = Vec::new();
    snapshot::write(&chain, &mut file, |_| {}).ok()?;
    let frame = file.get(SnapshotHead::SIZE..file.len().checked_sub(TRAILER_SIZE)?)?;
    Some(seed(15, &[&[0][..], frame].concat()))
}

fn seed(kind: u8, message: &[u8]) -> Vec<u8> {
    [&[kind], message].concat()
}

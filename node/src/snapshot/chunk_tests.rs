use ironlight_spv::compress::snapshot::{CHECKSUM_SIZE, frame_checksum};
use ironlight_spv::compress::{HeaderBody, encode};
use ironlight_spv::generate::Miner;
use ironlight_spv::{BlockHeight, Header, Network, Target};

use super::*;

fn params() -> Params {
    Params::new(Network::Regtest)
}

/// The headers of the first period.
fn period() -> Vec<Header> {
    let genesis = params().genesis;
    let rest = Miner::new(5).run(&genesis, 2015, 600);
    [vec![genesis], rest].concat()
}

fn framed(headers: &[Header]) -> Vec<u8> {
    let bodies = headers.iter().map(HeaderBody::from);
    frame(0, &encode(headers[0].prev_hash(), bodies)).unwrap()
}

/// The frame with a byte of its large part changed, and the checksum made to fit.
fn spoilt(frame: &[u8], from_the_end: usize) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    let at = bytes.len() - CHECKSUM_SIZE - from_the_end;
    bytes[at] ^= 1;
    let body = bytes.len() - CHECKSUM_SIZE;
    let sum = frame_checksum(BlockHeight(0), [&bytes[..8], &bytes[8..body], &[]]);
    bytes[body..].copy_from_slice(&sum);
    bytes
}

#[test]
fn a_period_makes_the_round_trip_and_its_work_is_that_of_its_targets() {
    let headers = period();
    let bytes = framed(&headers);
    let chunk = Chunk::open(&params(), 0, headers[2015].hash(), &bytes).unwrap();
    assert_eq!(chunk.parent(), headers[0].prev_hash());
    assert_eq!((chunk.bytes(), chunk.failure()), (bytes.len(), None));
    let one = Target::from_compact(headers[0].compact_target()).to_work();
    let all = (0..2016).fold(Work::from_be_bytes([0; 32]), |sum, _| sum + one);
    assert_eq!(chunk.work(), Some(all));
    assert_eq!(chunk.into_batch().headers(), headers);
}

#[test]
fn the_address_settles_every_header() {
    let headers = period();
    let (bytes, address) = (framed(&headers), headers[2015].hash());
    // A nonce of the last header, a Merkle root in the middle, the first byte of all.
    for place in [1, 36 * 1000 + 20, 36 * 2016] {
        let refused = Chunk::open(&params(), 0, address, &spoilt(&bytes, place)).unwrap_err();
        assert!(matches!(refused, ChunkError::OtherAddress { .. }), "{place}: {refused}");
    }
    let other = Chunk::open(&params(), 0, headers[2014].hash(), &bytes).unwrap_err();
    assert!(matches!(other, ChunkError::OtherAddress { .. }));
}

#[test]
fn a_frame_that_is_cut_or_longer_or_of_another_period_is_refused() {
    let headers = period();
    let (bytes, address) = (framed(&headers), headers[2015].hash());
    let open = |period, bytes: &[u8]| Chunk::open(&params(), period, address, bytes).unwrap_err();
    for length in [0, 7, 8, 100, bytes.len() - 1] {
        assert!(matches!(open(0, &bytes[..length]), ChunkError::Length { .. }), "{length}");
    }
    assert!(matches!(open(0, &[&bytes[..], &[0]].concat()), ChunkError::Length { .. }));
    let checksum = open(1, &bytes);
    assert!(matches!(checksum, ChunkError::Form(SnapshotError::Checksum { .. })));
}

#[test]
fn a_period_has_all_its_headers() {
    let mut headers = period();
    headers.pop();
    let bodies = headers.iter().map(HeaderBody::from);
    let bytes = frame(0, &encode(headers[0].prev_hash(), bodies)).unwrap();
    let refused = Chunk::open(&params(), 0, headers[2014].hash(), &bytes).unwrap_err();
    assert!(matches!(refused, ChunkError::Length { .. }), "{refused}");
}

#[test]
fn headers_without_work_are_the_fault_of_the_address() {
    let mut headers = period();
    let last = headers[2014];
    let mut bytes = *headers[2015].as_bytes();
    loop {
        bytes[76] = bytes[76].wrapping_add(1);
        headers[2015] = Header::from_bytes(bytes);
        assert_eq!(headers[2015].prev_hash(), last.hash());
        if LinkedBatch::new(&params(), vec![headers[2015]]).failure().is_some() {
            break;
        }
    }
    let chunk = Chunk::open(&params(), 0, headers[2015].hash(), &framed(&headers)).unwrap();
    assert!(matches!(chunk.failure(), Some(Violation::HashAboveTarget { .. })));
}

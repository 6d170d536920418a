use std::io::Cursor;

use ironlight_spv::compress::log::Frontier;
use ironlight_spv::compress::snapshot::{
    SnapshotError, SnapshotHead, SnapshotPart, TRAILER_SIZE, frame_checksum,
};
use ironlight_spv::compress::{Columns, HeaderBody, decode, encode};
use ironlight_spv::generate::Miner;
use ironlight_spv::{
    BlockHash, BlockHeight, Header, HeaderChain, Network, Params, TrustedStart, UnixTime,
};

use super::write::pack;
use super::*;

const NOW: UnixTime = UnixTime::MAX;
const PERIOD: u32 = 2016;

fn params() -> Params {
    Params::new(Network::Regtest)
}

/// So many headers on genesis.
fn chain(count: usize) -> HeaderChain {
    let mut chain = HeaderChain::new(params());
    let headers = Miner::new(5).run(&chain.params().genesis, count, 600);
    let verified = chain.verify(&headers, NOW).unwrap();
    chain.apply(verified).unwrap();
    chain
}

fn snapshot_of(chain: &HeaderChain) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(chain, &mut bytes, |_| {}).unwrap();
    bytes
}

fn take(bytes: &[u8], chain: &mut HeaderChain) -> Result<TakenIn, SnapshotFileError> {
    let reader = SnapshotReader::open(Cursor::new(bytes), chain.params())?;
    let commit = |_: &HeaderChain, _: &_| Ok::<_, std::io::Error>(());
    take_in(reader, chain, NOW, commit, |_| {})
}

fn taken(bytes: &[u8]) -> (HeaderChain, Result<TakenIn, SnapshotFileError>) {
    let mut chain = HeaderChain::new(params());
    let taken = take(bytes, &mut chain);
    (chain, taken)
}

/// All headers of a snapshot, without its frames.
fn headers_of(bytes: &[u8]) -> Vec<Header> {
    let mut reader = SnapshotReader::open(Cursor::new(bytes), &params()).unwrap();
    let mut headers = Vec::new();
    while let Some(frame) = reader.frame().unwrap() {
        headers.extend(decode(&frame.segment, 2016).unwrap());
    }
    headers
}

/// A snapshot of any headers, whatever is wrong with them, with all checksums as they should be.
fn forged(chain: &HeaderChain, headers: &[Header]) -> Vec<u8> {
    let head = SnapshotHead::of(chain);
    let mut bytes = head.encode().to_vec();
    let mut log = Frontier::new();
    let mut first = head.start.height;
    for period in headers.chunks(2016) {
        let parent = period[0].prev_hash();
        let segment = encode(parent, period.iter().map(HeaderBody::from));
        for header in decode(&segment, 2016).unwrap() {
            log.append(&header.hash()).unwrap();
        }
        bytes.extend(pack(first, &segment).unwrap());
        first = first.plus(PERIOD);
    }
    bytes.extend(head.trailer(log.root().0));
    bytes
}

#[test]
fn a_chain_makes_the_round_trip_bit_for_bit() {
    for count in [0, 1, 2014, 2015, 2016, 5000] {
        let chain = chain(count);
        let mut bytes = Vec::new();
        let mut told = 0;
        let written = write(&chain, &mut bytes, |more| told += more).unwrap();
        assert_eq!((written.bytes, told), (bytes.len() as u64, chain.tip().height.0 + 1));
        let (copy, taken) = taken(&bytes);
        let taken = taken.unwrap();
        assert_eq!((taken.head, taken.root), (written.head, written.root));
        assert_eq!((taken.new, taken.plain), (count as u64, written.plain));
        assert_eq!(copy.tip(), chain.tip());
        let heights = BlockHeight(0)..chain.tip().height.next();
        assert!(copy.bodies(heights.clone()).eq(chain.bodies(heights.clone())));
        let mut log = Frontier::new();
        for height in heights.start.0..heights.end.0 {
            log.append(&chain.hash_at(BlockHeight(height)).unwrap()).unwrap();
        }
        assert_eq!(taken.root, log.head());
        assert_eq!(snapshot_of(&copy), bytes, "one form only");
    }
}

#[test]
fn a_chain_that_starts_later_goes_into_one_that_has_its_first_header_or_trusts_it() {
    let whole = chain(5000);
    let at = BlockHeight(3000);
    let entry = whole.get(at).unwrap();
    let start = TrustedStart::bare(at, entry.header, entry.work);
    let mut later = HeaderChain::from_start(params(), start.clone()).unwrap();
    let mut parent = entry.hash;
    let headers: Vec<Header> = whole
        .bodies(at.next()..BlockHeight(5001))
        .map(|body| {
            let header = body.with_parent(parent);
            parent = header.hash();
            header
        })
        .collect();
    let verified = later.verify(&headers, NOW).unwrap();
    later.apply(verified).unwrap();
    let bytes = snapshot_of(&later);

    let (empty, refused) = taken(&bytes);
    assert!(matches!(refused, Err(SnapshotFileError::NotOnChain { start }) if start.height == at));
    assert_eq!(empty.tip().height, BlockHeight::GENESIS);
    let mut trusting = HeaderChain::from_start(params(), start).unwrap();
    assert_eq!(take(&bytes, &mut trusting).unwrap().new, 2000);
    assert_eq!(trusting.tip(), later.tip());
    let mut lower = chain(4000);
    assert_eq!(take(&bytes, &mut lower).unwrap().new, 1000);
    assert_eq!(lower.tip(), whole.tip());
}

#[test]
fn every_byte_that_is_flipped_is_found_and_its_place_named() {
    let whole = chain(2115);
    let bytes = snapshot_of(&whole);
    // The last frame has a hundred headers. Of the one before it, a part stands for the rest.
    let last_frame = bytes.len() - TRAILER_SIZE - 110 * 43;
    let places = (0..bytes.len()).filter(|at| *at < 400 || *at > last_frame || at % 61 == 0);
    for at in places {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        let (chain, outcome) = taken(&flipped);
        let error = outcome.unwrap_err().to_string();
        let kept = chain.tip().height.0;
        let places = ["snapshot", "head", "2016 to", "height 2016", "trailer"];
        if at < SnapshotHead::SIZE {
            assert!(error.contains("head") || error.contains("snapshot"), "{at}: {error}");
            assert_eq!(kept, 0);
        } else if kept == 0 {
            assert!(error.contains("height 0") || error.contains("heights 0 to"), "{at}: {error}");
        } else if at < bytes.len() - TRAILER_SIZE {
            assert_eq!(kept, 2015, "nothing of the period is kept");
            assert!(places.iter().any(|place| error.contains(place)), "{at}: {error}");
        } else {
            assert!(error.contains("trailer"), "{at}: {error}");
        }
    }
}

#[test]
fn a_header_that_breaks_a_rule_is_found_at_its_height_and_costs_its_period() {
    let whole = chain(5000);
    let mut headers = headers_of(&snapshot_of(&whole));
    let mut bytes = *headers[2500].as_bytes();
    // Before the median of the times before it.
    bytes[68..72].copy_from_slice(&1_300_000_000_u32.to_le_bytes());
    headers[2500] = Header::from_bytes(bytes);
    let (chain, outcome) = taken(&forged(&whole, &headers));
    let Err(SnapshotFileError::Header { height, first, error }) = outcome else {
        panic!("{outcome:?}")
    };
    // Its hash is another one, which may have too little work already; either is a rule broken there.
    assert!(height.0 == 2500, "{height}: {error}");
    assert_eq!((first, chain.tip().height), (BlockHeight(2016), BlockHeight(2015)));
    assert!(error.prefix.is_none());
}

#[test]
fn what_a_snapshot_says_of_its_headers_is_compared_with_them() {
    let (short, long) = (chain(3000), chain(3001));
    let headers = headers_of(&snapshot_of(&short));
    let mut bytes = forged(&short, &headers);
    let end = bytes.len() - TRAILER_SIZE;
    let head = SnapshotHead::of(&short);
    bytes[end..].copy_from_slice(&head.trailer([7; 32]));
    let (chain, outcome) = taken(&bytes);
    let form = |outcome| match outcome {
        Err(SnapshotFileError::Form(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(
        matches!(form(outcome), SnapshotError::OtherRoot { claimed, .. } if claimed == [7; 32])
    );
    assert_eq!(chain.tip(), short.tip(), "the headers stand by themselves");

    let claimed =
        SnapshotHead { tip: ironlight_spv::ChainTip { work: long.tip().work, ..head.tip }, ..head };
    let mut bytes = forged(&short, &headers);
    bytes[..SnapshotHead::SIZE].copy_from_slice(&claimed.encode());
    let root = head.root(&bytes[end..].try_into().unwrap()).unwrap();
    bytes[end..].copy_from_slice(&claimed.trailer(root));
    let (_, outcome) = taken(&bytes);
    assert!(matches!(form(outcome), SnapshotError::OtherTip { got, .. } if got == short.tip()));
}

#[test]
fn headers_twice_or_left_out_are_no_chain_whatever_the_root_says_of_them() {
    let whole = chain(5000);
    let headers = headers_of(&snapshot_of(&whole));
    // As many as there are, all of them on the chain, and the last one is the tip.
    let twice = [&headers[1..=2016], &headers[2016..]].concat();
    let (kept, outcome) = taken(&forged(&whole, &twice));
    assert!(
        matches!(outcome, Err(SnapshotFileError::NotConsecutive { first }) if first.0 == 0),
        "{outcome:?}"
    );
    assert_eq!(kept.tip().height.0, 0);
    let twice = [&headers[..2016], &headers[2015..4031], &headers[4032..]].concat();
    let mut has_all = chain(5000);
    let outcome = take(&forged(&whole, &twice), &mut has_all);
    assert!(
        matches!(outcome, Err(SnapshotFileError::NotConsecutive { first }) if first.0 == 2016),
        "{outcome:?}"
    );
}

#[test]
fn cut_anywhere_it_is_not_whole_and_nothing_may_follow_it() {
    let bytes = snapshot_of(&chain(2030));
    for cut in (0..bytes.len()).step_by(501).chain(bytes.len() - 60..bytes.len()) {
        let (_, outcome) = taken(&bytes[..cut]);
        assert!(matches!(outcome, Err(SnapshotFileError::Truncated { .. })), "{cut}: {outcome:?}");
    }
    let (_, outcome) = taken(&[&bytes[..], &[0]].concat());
    assert!(matches!(outcome, Err(SnapshotFileError::TrailingBytes)));
}

#[test]
fn what_was_interrupted_goes_on() {
    let whole = chain(5000);
    let bytes = snapshot_of(&whole);
    let mut chain = HeaderChain::new(params());
    let reader = SnapshotReader::open(Cursor::new(&bytes[..]), &params()).unwrap();
    let full_disk = |chain: &HeaderChain, _: &_| {
        if chain.tip().height.0 > 2016 { Err("no room") } else { Ok(()) }
    };
    let outcome = take_in(reader, &mut chain, NOW, full_disk, |_| {});
    assert!(matches!(outcome, Err(SnapshotFileError::Commit(_))));
    assert_eq!(chain.tip().height.0, 4031);
    assert_eq!(take(&bytes, &mut chain).unwrap().new, 969);
    assert_eq!(chain.tip(), whole.tip());
    assert_eq!(take(&bytes, &mut chain).unwrap().new, 0);
}

#[test]
fn an_early_error_ends_it_however_much_would_follow() {
    let whole = chain(40 * 2016);
    let mut bytes = snapshot_of(&whole);
    bytes[SnapshotHead::SIZE + 50_000] ^= 1;
    let (_, outcome) = taken(&bytes);
    assert!(matches!(outcome, Err(SnapshotFileError::Form(SnapshotError::Checksum { .. }))));

    let bytes = snapshot_of(&whole);
    let mut chain = HeaderChain::new(params());
    let reader = SnapshotReader::open(Cursor::new(&bytes[..]), &params()).unwrap();
    let outcome = take_in(reader, &mut chain, NOW, |_: &_, _: &_| Err("no room"), |_| {});
    assert!(matches!(outcome, Err(SnapshotFileError::Commit(_))), "the reader is ahead, and stops");
    assert_eq!(chain.tip().height, BlockHeight::GENESIS);
}

#[test]
fn another_networks_snapshot_and_other_files_are_refused() {
    let bytes = snapshot_of(&chain(10));
    let signet = Params::new(Network::Signet);
    let outcome = SnapshotReader::open(Cursor::new(&bytes), &signet).map(|_| ());
    let form = |outcome: Result<(), _>| match outcome {
        Err(SnapshotFileError::Form(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(form(outcome), SnapshotError::OtherNetwork { .. }));
    let outcome = SnapshotReader::open(Cursor::new(vec![1; 400]), &signet).map(|_| ());
    assert_eq!(form(outcome), SnapshotError::NotASnapshot);
}

#[test]
fn a_frame_is_bounded_before_it_is_read_and_unpacked() {
    let whole = chain(20);
    let bytes = snapshot_of(&whole);
    let frame = SnapshotHead::SIZE;
    for at in [frame, frame + 4] {
        let mut large = bytes.clone();
        large[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        let (_, outcome) = taken(&large[..frame + 8]);
        assert!(
            matches!(
                outcome,
                Err(SnapshotFileError::Form(SnapshotError::TooLarge { bytes: u32::MAX, .. }))
            ),
            "before its bytes are asked for: {outcome:?}"
        );
    }
    // A small part that unpacks to more than it says.
    let segment = encode(
        BlockHash::from_raw_hash(bitcoin_zero()),
        whole.bodies(BlockHeight(0)..BlockHeight(21)),
    );
    let columns = Columns::split(&segment).unwrap();
    let packed = zstd::bulk::compress(&vec![0; 1 << 20], 3).unwrap();
    let sizes = [packed.len(), columns.small.len()]
        .map(|size| u32::try_from(size).unwrap().to_le_bytes())
        .concat();
    let sum = frame_checksum(BlockHeight(0), [&sizes, &packed, &columns.large]);
    let bomb = [&bytes[..frame], &sizes, &packed, &columns.large, &sum].concat();
    let (_, outcome) = taken(&bomb);
    assert!(matches!(outcome, Err(SnapshotFileError::Unpacking { .. })), "{outcome:?}");
    let part = SnapshotPart::Frame(BlockHeight(0));
    assert_eq!(part.to_string(), "the frame of heights 0 to 2015");
}

fn bitcoin_zero() -> bitcoin::hashes::sha256d::Hash {
    use bitcoin::hashes::Hash as _;
    bitcoin::hashes::sha256d::Hash::all_zeros()
}

//! Header snapshots: whatever the bytes are, a reader stays within its bounds and a chain takes only what the
//! rules allow; and the parts of the form that decode encode to the same bytes.

#![cfg_attr(all(feature = "libfuzzer", not(test)), no_main)]

use ironlight::snapshot::{self, SnapshotReader};
use ironlight_spv::compress::log::{ConsistencyProof, Frontier, InclusionProof};
use ironlight_spv::compress::snapshot::SnapshotHead;
use ironlight_spv::compress::{Columns, decode, encode};
use ironlight_spv::generate::Miner;
use ironlight_spv::{BlockHeight, HeaderChain, Network, Params, UnixTime};

ironlight_fuzz::target!(check, seeds);

fn check(data: &[u8]) {
    let mut chain = HeaderChain::new(Params::new(Network::Regtest));
    if let Ok(reader) = SnapshotReader::open(data, chain.params()) {
        let head = *reader.head();
        let before = chain.tip();
        let keep = |_: &HeaderChain, _: &_| Ok::<_, std::io::Error>(());
        match snapshot::take_in(reader, &mut chain, UnixTime::MAX, keep, |_| {}) {
            Ok(taken) => {
                assert_eq!(taken.head, head);
                assert_eq!(taken.root.size, head.count());
                assert!(chain.tip().work >= before.work);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    if let Some(bytes) = data.first_chunk::<{ SnapshotHead::SIZE }>()
        && let Ok(head) = SnapshotHead::decode(bytes, chain.params())
    {
        assert_eq!(head.encode(), *bytes);
    }
    columns(data);
    proofs(data);
}

/// Two parts that make a segment are those that it is split into.
fn columns(data: &[u8]) {
    let Some((cut, data)) = data.split_first_chunk::<2>() else { return };
    let cut = usize::from(u16::from_le_bytes(*cut)).min(data.len());
    let (small, large) = data.split_at(cut);
    if let Ok(segment) = Columns::join(small, large) {
        assert_eq!(segment.len(), data.len());
        let again = Columns::split(&segment);
        assert!(again.is_some_and(|again| again.small == small && again.large == large));
    }
    if let Some(columns) = Columns::split(data) {
        let joined = Columns::join(&columns.small, &columns.large);
        assert_eq!(joined.as_deref(), Ok(data));
    }
    if let Ok(headers) = decode(data, 500) {
        assert!(Columns::split(data).is_some(), "{} headers that cannot be sorted", headers.len());
    }
}

/// What decodes is in its one form.
fn proofs(data: &[u8]) {
    if let Ok(frontier) = Frontier::decode(data) {
        assert_eq!(frontier.encode(), data);
        let _ = frontier.head();
    }
    if let Ok(proof) = InclusionProof::decode(data) {
        assert_eq!(proof.encode(), data);
    }
    if let Ok(proof) = ConsistencyProof::decode(data) {
        assert_eq!(proof.encode(), data);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut chain = HeaderChain::new(Params::new(Network::Regtest));
    let headers = Miner::new(1).run(&chain.params().genesis, 40, 600);
    if let Ok(batch) = chain.verify(&headers, UnixTime::MAX) {
        let _ = chain.apply(batch);
    }
    let mut whole = Vec::new();
    let _ = snapshot::write(&chain, &mut whole, |_| {});
    let end = chain.tip().height.next();
    let parent = chain.start().header.prev_hash();
    let segment = encode(parent, chain.bodies(BlockHeight::GENESIS..end));
    let mut seeds = vec![whole, segment.clone()];
    if let Some(columns) = Columns::split(&segment) {
        let cut = u16::try_from(columns.small.len()).unwrap_or(0).to_le_bytes();
        seeds.push([&cut[..], &columns.small, &columns.large].concat());
    }
    let hashes = || (0..end.0).filter_map(|height| chain.hash_at(BlockHeight(height)));
    let mut frontier = Frontier::new();
    for hash in hashes() {
        let _ = frontier.append(&hash);
    }
    seeds.push(frontier.encode());
    let inclusion = ironlight_spv::compress::log::inclusion_proof(hashes(), 7, end.0);
    seeds.extend(inclusion.map(|proof| proof.encode()));
    let consistency = ironlight_spv::compress::log::consistency_proof(hashes(), 13, end.0);
    seeds.extend(consistency.map(|proof| proof.encode()));
    seeds
}

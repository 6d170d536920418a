//! Headers: rules, codec, snapshot, log, sync.

use std::hint::black_box;
use std::time::Duration;

use ironlight_spv::compress::log::{Frontier, LeafHashes};
use ironlight_spv::compress::{self, Columns, HeaderBody};
use ironlight_spv::generate::Miner;
use ironlight_spv::sync::{HeaderSync, MAX_HEADERS, PeerId, SyncAction, SyncConfig};
use ironlight_spv::{
    BlockHash, Header, HeaderChain, LinkedBatch, Network, Now, Params, UnixTime, Work as ChainWork,
};

use super::Work;
use crate::easy_mainnet::generated;

const PERIOD: usize = 2_016;

pub(super) fn verify() -> Option<Work> {
    // The last one is the first of a period, whose target has to be computed.
    let (chain, headers) = generated(PERIOD);
    Some(Box::new(move || {
        let verified = chain.verify(black_box(&headers), UnixTime::MAX);
        assert!(verified.is_ok(), "they follow the rules");
        drop(black_box(verified));
    }))
}

fn segment(chain: &HeaderChain, headers: &[Header]) -> Vec<u8> {
    compress::encode(chain.tip().hash, headers.iter().map(HeaderBody::from))
}

pub(super) fn encode() -> Option<Work> {
    let (chain, headers) = generated(PERIOD);
    Some(Box::new(move || assert!(black_box(segment(&chain, black_box(&headers))).len() > PERIOD)))
}

pub(super) fn decode() -> Option<Work> {
    let (chain, headers) = generated(PERIOD);
    let bytes = segment(&chain, &headers);
    Some(Box::new(move || {
        let decoded = compress::decode(black_box(&bytes), PERIOD);
        assert_eq!(decoded.as_deref(), Ok(headers.as_slice()));
    }))
}

/// What an import does on its two threads, but for zstd and the file.
pub(super) fn import() -> Option<Work> {
    let (mut chain, headers) = generated(2 * PERIOD);
    let mut parent = chain.tip().hash;
    let columns: Vec<Columns> = headers
        .chunks(PERIOD)
        .filter_map(|period| {
            let segment = compress::encode(parent, period.iter().map(HeaderBody::from));
            parent = period.last()?.hash();
            Columns::split(&segment)
        })
        .collect();
    let mut log = Frontier::new();
    let mut import = move || {
        let [one, other] = columns.as_slice() else { return None };
        let one = Columns::join(black_box(&one.small), &one.large).ok()?;
        let other = Columns::join(black_box(&other.small), &other.large).ok()?;
        for batch in LinkedBatch::decode_two(chain.params(), [(&one, PERIOD), (&other, PERIOD)]) {
            let batch = batch.ok()?;
            log.append_all(LeafHashes::of(batch.hashes())).ok()?;
            let verified = chain.verify_linked(batch, UnixTime::MAX).ok()?;
            chain.apply(verified).ok()?;
        }
        Some(chain.tip().hash)
    };
    let wanted = headers.last().map(Header::hash);
    Some(Box::new(move || assert_eq!(import(), wanted)))
}

pub(super) fn append() -> Option<Work> {
    let blocks: Vec<BlockHash> = generated(PERIOD).1.iter().map(Header::hash).collect();
    Some(Box::new(move || {
        let mut log = Frontier::new();
        for block in black_box(&blocks) {
            assert!(log.append(block).is_ok(), "there is room");
        }
        black_box(log.root());
    }))
}

/// Pages that one peer sends, twice over, and are long enough to be asked for all three.
const PAGES: usize = 3;
const PEER: PeerId = PeerId(1);

/// Two of work a header: the last page is needed to have enough.
fn asks_for_work() -> Params {
    let mut params = Params::new(Network::Regtest);
    let mut work = [0; 32];
    let [.., high, low] = &mut work;
    [*high, *low] = 11_000_u16.to_be_bytes();
    params.minimum_chain_work = ChainWork::from_be_bytes(work);
    params.presync.commitment_period = 100;
    params.presync.redownload_buffer = 2_500;
    params
}

/// Hashed before: what is counted is the machine, the rules' checks of what it hands on, and applying.
pub(super) fn sync() -> Option<Work> {
    let mut chain = HeaderChain::new(asks_for_work());
    let headers = Miner::new(3).run(&chain.params().genesis, PAGES * MAX_HEADERS, 600);
    let last = headers.last()?;
    let now = Now { unix: last.time(), elapsed: Duration::ZERO };
    let wanted = last.hash();
    let page = |headers: &[Header]| LinkedBatch::new(chain.params(), headers.to_vec());
    let pass = || headers.chunks(MAX_HEADERS).map(page);
    let mut pages = pass().chain(pass()).collect::<Vec<_>>().into_iter();
    Some(Box::new(move || {
        let mut machine = HeaderSync::new(SyncConfig::default(), 5);
        machine.handle_connected(&chain, PEER, now);
        while let Some(action) = machine.poll() {
            match action {
                SyncAction::GetHeaders { peer, .. } => {
                    let Some(page) = pages.next() else { continue };
                    machine.handle_linked(&chain, peer, page, now);
                }
                SyncAction::Apply { peer, batch } => {
                    let applied = chain.verify_linked(batch, now.unix);
                    let applied = applied.map(|verified| chain.apply(verified));
                    let Ok(Ok(change)) = applied else { continue };
                    machine.handle_applied(&chain, peer, Ok(&change), now);
                }
                SyncAction::Pin(hash) => chain.pin(hash),
                SyncAction::Unpin(hash) => chain.unpin(&hash),
                SyncAction::Event(_) => {}
                SyncAction::Misbehaved { offence, .. } => panic!("nobody misbehaves: {offence}"),
                other => panic!("an action that this driver does not know: {other:?}"),
            }
        }
        assert_eq!((chain.tip().hash, pages.len()), (wanted, 0), "presync, then redownload");
    }))
}

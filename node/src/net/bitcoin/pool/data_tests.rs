//! Filters and blocks, asked of full nodes that behave or not.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::BlockHash;
use bitcoin::bip158::{FilterHash, FilterHeader};
use bitcoin::hashes::Hash as _;
use bitcoin::p2p::ServiceFlags;
use bitcoin::p2p::message::NetworkMessage;
use bitcoin::p2p::message_blockdata::Inventory;
use bitcoin::p2p::message_filter::{CFCheckpt, CFHeaders, CFilter};
use ironlight_spv::BlockHeight;
use ironlight_spv::peers::{Offence, PeerPolicy, PolicyConfig};
use ironlight_spv::sync::Unanswered;
use tokio::net::TcpStream;

use super::PoolConfig;
use crate::audit::NodeAudit;
use crate::net::bitcoin::PeerEventKind;
use crate::net::bitcoin::testing::{
    FakePeer, FakeSeeds, PEER, Running, config, frame, headers, listen, soon, version,
};
use crate::net::data::{DataPeer, Offers, Query, Reply};
use crate::net::requests::Requests;
use crate::net::{Purpose, RequestConfig};

const ALL: ServiceFlags = ServiceFlags::NETWORK;

/// A pool with one peer that offers so much, and its entry in the list.
async fn with_peer(
    config: PoolConfig,
    services: ServiceFlags,
) -> (Running, FakePeer<TcpStream>, DataPeer) {
    let peers = config.data.clone();
    let (listener, addr) = listen().await;
    let mut policy = PeerPolicy::new(PolicyConfig::default(), 1);
    assert!(policy.add_manual(addr));
    let mut running = Running::start(config, policy, FakeSeeds::default());
    let mut peer = FakePeer::accept(&listener).await;
    let version = bitcoin::p2p::message_network::VersionMessage { services, ..version() };
    peer.greet(version).await;
    assert!(matches!(running.next().await, PeerEventKind::Connected { .. }));
    let listed = peers.list().get(&PEER).cloned().expect("it is listed before others hear of it");
    (running, peer, listed)
}

fn everything() -> ServiceFlags {
    ALL | ServiceFlags::WITNESS | ServiceFlags::COMPACT_FILTERS
}

fn block(number: u8) -> BlockHash {
    BlockHash::from_byte_array([number; 32])
}

fn range(count: u8) -> Query {
    Query::Filters { start: BlockHeight(5), blocks: (0..count).map(block).collect() }
}

fn filter(number: u8, length: usize) -> NetworkMessage {
    let filter = vec![number; length];
    NetworkMessage::CFilter(CFilter { filter_type: 0, block_hash: block(number), filter })
}

/// Requests that are given up soon.
fn impatient(attempt_timeout: Duration) -> PoolConfig {
    let limits = RequestConfig { attempt_timeout, ..RequestConfig::default() };
    let requests = Requests::new(limits, None, NodeAudit::default(), 1).network("bitcoin");
    PoolConfig { requests, ..config() }
}

#[tokio::test]
async fn a_peer_is_listed_with_what_it_offers_until_it_is_gone() {
    let config = config();
    let peers = config.data.clone();
    let (mut running, peer, listed) = with_peer(config, everything()).await;
    assert_eq!(listed.offers, Offers { filters: true, blocks: true, ..Offers::default() });
    let proof = Query::Proof { block: block(1), txids: Arc::new([]) };
    assert_eq!(listed.line.ask(proof, false).await, Ok(Reply::NotFound), "full nodes have none");
    let mut list = peers.subscribe();
    drop(peer);
    running.disconnected().await;
    soon("its end", list.wait_for(|list| list.is_empty())).await.unwrap();
    let late = listed.line.ask(Query::Block { hash: block(1) }, false).await;
    assert_eq!(late, Err(Unanswered::NoAnswer));
}

#[tokio::test]
async fn each_question_is_the_message_of_its_bip() {
    let (_running, mut peer, listed) = with_peer(config(), everything()).await;
    let stop = block(9);
    let ask = |query| tokio::spawn(listed.line.ask(query, false));
    let _asking = ask(Query::FilterCheckpoints { stop, height: BlockHeight(1000) });
    let NetworkMessage::GetCFCheckpt(asked) = peer.recv().await else { panic!("getcfcheckpt") };
    assert_eq!((asked.filter_type, asked.stop_hash), (0, stop));
    let _asking = ask(Query::FilterHeaders { start: BlockHeight(7), stop, count: 2 });
    let NetworkMessage::GetCFHeaders(asked) = peer.recv().await else { panic!("getcfheaders") };
    assert_eq!((asked.filter_type, asked.start_height, asked.stop_hash), (0, 7, stop));
    let blocks = Arc::new([block(1), block(2)]);
    let _asking = ask(Query::Filters { start: BlockHeight(5), blocks });
    let NetworkMessage::GetCFilters(asked) = peer.recv().await else { panic!("getcfilters") };
    assert_eq!((asked.filter_type, asked.start_height, asked.stop_hash), (0, 5, block(2)));
    let _asking = ask(Query::Block { hash: block(1) });
    let asked = peer.recv().await;
    assert_eq!(asked, NetworkMessage::GetData(vec![Inventory::WitnessBlock(block(1))]));
}

#[tokio::test]
async fn answers_find_their_questions_among_headers_and_each_other() {
    let (mut running, mut peer, listed) = with_peer(config(), everything()).await;
    let stop = block(9);
    let (filters, hashes, checkpoints) = (
        listed.line.ask(range(3), false),
        listed.line.ask(Query::FilterHeaders { start: BlockHeight(1), stop, count: 1 }, false),
        listed.line.ask(Query::FilterCheckpoints { stop, height: BlockHeight(1999) }, false),
    );
    let answers = tokio::spawn(async { tokio::join!(filters, hashes, checkpoints) });
    for _ in 0..3 {
        peer.recv().await;
    }
    let (previous, hash) = (FilterHeader::from_byte_array([1; 32]), FilterHash::all_zeros());
    peer.send(filter(0, 10)).await;
    peer.send(NetworkMessage::CFCheckpt(CFCheckpt {
        filter_type: 0,
        stop_hash: stop,
        filter_headers: vec![previous],
    }))
    .await;
    peer.send(filter(1, 10)).await;
    peer.send(NetworkMessage::Headers(headers(2))).await;
    peer.send(NetworkMessage::CFHeaders(CFHeaders {
        filter_type: 0,
        stop_hash: stop,
        previous_filter_header: previous,
        filter_hashes: vec![hash],
    }))
    .await;
    // Another type of filter is none that was asked for.
    peer.send(NetworkMessage::CFilter(CFilter {
        filter_type: 1,
        block_hash: block(2),
        filter: vec![9],
    }))
    .await;
    peer.send(filter(2, 10)).await;
    let (filters, hashes, checkpoints) = soon("all answers", answers).await.unwrap();
    assert_eq!(filters, Ok(Reply::Filters((0..3).map(|number| vec![number; 10]).collect())));
    assert_eq!(hashes, Ok(Reply::FilterHeaders { previous, hashes: vec![hash] }));
    assert_eq!(checkpoints, Ok(Reply::FilterCheckpoints(vec![previous])));
    assert!(matches!(running.next().await, PeerEventKind::Headers(headers) if headers.len() == 2));
    let carried = running.handle.info().await.unwrap().by_purpose;
    assert_eq!(carried.of(Purpose::FilterHeaders).received, 2 * 24 + 33 + 1 + 32 + 65 + 1 + 32);
    assert_eq!(carried.of(Purpose::Filters).received, 4 * (24 + 33 + 1) + 3 * 10 + 1);
    assert_eq!(carried.of(Purpose::Filters).sent, 24 + 1 + 4 + 32);
}

#[tokio::test]
async fn a_block_is_the_one_that_was_asked_for_or_it_is_not_there() {
    let (_running, mut peer, listed) = with_peer(config(), everything()).await;
    let genesis = bitcoin::constants::genesis_block(bitcoin::Network::Regtest);
    let hash = genesis.block_hash();
    let asked = tokio::spawn(listed.line.ask(Query::Block { hash }, false));
    peer.recv().await;
    let other = bitcoin::constants::genesis_block(bitcoin::Network::Bitcoin);
    peer.send(NetworkMessage::Block(other)).await;
    peer.send(NetworkMessage::Block(genesis.clone())).await;
    let bytes = bitcoin::consensus::serialize(&genesis);
    assert_eq!(soon("the block", asked).await.unwrap(), Ok(Reply::Block(bytes)));
    let asked = tokio::spawn(listed.line.ask(Query::Block { hash }, false));
    peer.recv().await;
    peer.send(NetworkMessage::NotFound(vec![Inventory::WitnessBlock(hash)])).await;
    assert_eq!(soon("the answer", asked).await.unwrap(), Ok(Reply::NotFound));
}

#[tokio::test]
async fn a_range_that_goes_on_is_waited_for_and_silence_is_not() {
    let (_running, mut peer, listed) =
        with_peer(impatient(Duration::from_millis(400)), everything()).await;
    let start = tokio::time::Instant::now();
    let asked = tokio::spawn(listed.line.ask(range(8), false));
    peer.recv().await;
    for number in 0..8 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        peer.send(filter(number, 1)).await;
    }
    let answer = soon("the range", asked).await.unwrap();
    assert!(matches!(&answer, Ok(Reply::Filters(filters)) if filters.len() == 8), "{answer:?}");
    assert!(start.elapsed() >= Duration::from_millis(800));
    let asked = tokio::spawn(listed.line.ask(range(8), false));
    peer.recv().await;
    peer.send(filter(0, 1)).await;
    assert_eq!(soon("the end", asked).await.unwrap(), Err(Unanswered::NoAnswer));
    let pong = NetworkMessage::Ping(1);
    peer.send(pong).await;
    assert_eq!(peer.recv().await, NetworkMessage::Pong(1), "the connection goes on");
}

/// A block that comes slowly is in time while its bytes come.
#[tokio::test]
async fn pieces_of_a_block_are_progress() {
    let (_running, mut peer, listed) =
        with_peer(impatient(Duration::from_millis(400)), everything()).await;
    let genesis = bitcoin::constants::genesis_block(bitcoin::Network::Regtest);
    let query = Query::Block { hash: genesis.block_hash() };
    let asked = tokio::spawn(listed.line.ask(query, false));
    peer.recv().await;
    let bytes = crate::net::bitcoin::testing::framed(NetworkMessage::Block(genesis));
    for piece in bytes.chunks(bytes.len() / 7) {
        peer.send_raw(piece).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(matches!(soon("the block", asked).await.unwrap(), Ok(Reply::Block(_))));
}

#[tokio::test]
async fn an_answer_of_another_form_is_none() {
    let (_running, mut peer, listed) = with_peer(config(), everything()).await;
    let stop = block(9);
    let query = Query::FilterHeaders { start: BlockHeight(1), stop, count: 2 };
    let asked = tokio::spawn(listed.line.ask(query, false));
    peer.recv().await;
    peer.send(NetworkMessage::CFHeaders(CFHeaders {
        filter_type: 0,
        stop_hash: stop,
        previous_filter_header: FilterHeader::all_zeros(),
        filter_hashes: vec![FilterHash::all_zeros(); 3],
    }))
    .await;
    assert_eq!(soon("the end", asked).await.unwrap(), Err(Unanswered::NoAnswer));
    let asked = tokio::spawn(listed.line.ask(range(3), false));
    peer.recv().await;
    peer.send(filter(2, 1)).await;
    assert_eq!(soon("the end", asked).await.unwrap(), Err(Unanswered::NoAnswer));
}

#[tokio::test]
async fn oversized_and_malformed_answers_end_the_connection() {
    let frames = [
        (frame("cfilter", 300_100), Offence::Oversized),
        (frame("cfheaders", 70_000), Offence::Oversized),
        (frame("block", 4_000_001), Offence::Oversized),
    ];
    for (bytes, offence) in frames {
        let (mut running, mut peer, listed) = with_peer(config(), everything()).await;
        let asked = tokio::spawn(listed.line.ask(range(3), false));
        peer.recv().await;
        peer.send_raw(&bytes).await;
        assert_eq!(running.disconnected().await.offence(), Some(offence));
        assert_eq!(soon("the end", asked).await.unwrap(), Err(Unanswered::NoAnswer));
    }
}

#[tokio::test]
async fn reports_of_askers_reach_the_policy() {
    let (mut running, _peer, listed) = with_peer(config(), everything()).await;
    listed.line.misbehaved(Offence::InvalidHeader);
    let reason = running.disconnected().await;
    let expected = crate::net::bitcoin::CloseReason::Misbehaved(Offence::InvalidHeader);
    assert_eq!(reason.to_string(), expected.to_string());
}

#[tokio::test]
async fn too_many_questions_at_once_wait_and_close_nothing() {
    let (_running, mut peer, listed) = with_peer(config(), everything()).await;
    let asking: Vec<_> = (0..12)
        .map(|number| tokio::spawn(listed.line.ask(Query::Block { hash: block(number) }, false)))
        .collect();
    let answers = async {
        let mut answers = Vec::new();
        for asking in asking {
            answers.push(soon("the answer", asking).await.unwrap());
        }
        answers
    };
    let mut answers = std::pin::pin!(answers);
    let answers = loop {
        tokio::select! {
            biased;
            answers = &mut answers => break answers,
            message = peer.recv() => {
                let NetworkMessage::GetData(entries) = message else { panic!("{message:?}") };
                peer.send(NetworkMessage::NotFound(entries)).await;
            }
        }
    };
    let found = answers.iter().filter(|answer| **answer == Ok(Reply::NotFound)).count();
    assert!(found >= 8, "{answers:?}");
    assert!(!answers.contains(&Err(Unanswered::NoAnswer)), "nobody is to blame");
    peer.send(NetworkMessage::Ping(1)).await;
    assert_eq!(peer.recv().await, NetworkMessage::Pong(1), "the connection goes on");
}

//! Filters, blocks and proofs between swarms on loopback.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::bip158::{BlockFilter, FilterHash, FilterHeader};
use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, OutPoint, ScriptBuf, Txid};
use ironlight_spv::peers::PeerId;
use ironlight_spv::proof::MerkleBlock;
use ironlight_spv::sync::Unanswered;
use ironlight_spv::{BlockHeight, Network, Params};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::DropGuard;

use super::task::{Swarm, SwarmStart};
use super::wire::{FilterRange, MAX_FILTER_BYTES};
use super::{
    DataSource, FilterSource, LightEvent, LightNetConfig, NotServed, Serving, SwarmHandle,
};
use crate::audit::NodeAudit;
use crate::blocks::testing::{Does, FakeLine, TestChain};
use crate::blocks::{Blocks, BlocksConfig};
use crate::bridge::ServedData;
use crate::clock::Clock;
use crate::flags::NodeFlags;
use crate::net::data::{DataPeer, DataPeers, Offers, Query, Reply};
use crate::net::requests::Requests;
use crate::net::suspend::Suspension;
use crate::net::{Direction, PeerNetwork, PeerNumbers, Purpose, RequestConfig};
use crate::store::{MemoryStore, Store};

const LIMIT: Duration = Duration::from_secs(20);
const ALL: Offers = Offers { filters: true, blocks: true, proofs: true, snapshots: true };

/// A swarm that runs until it is dropped.
struct Running {
    handle: SwarmHandle,
    data: DataPeers,
    _events: mpsc::Receiver<LightEvent>,
    _stop: DropGuard,
}

/// A swarm that does not run yet.
struct Built {
    swarm: Swarm,
    handle: SwarmHandle,
    data: DataPeers,
    events: mpsc::Receiver<LightEvent>,
    clock: Clock,
}

impl Built {
    fn new(config: LightNetConfig, offers: Offers) -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let (flags, _) = NodeFlags::open(&store).unwrap();
        // Busy peers are not asked again.
        let limits = RequestConfig { attempts: 1, ..RequestConfig::default() };
        let (data, clock) = (DataPeers::default(), Clock::start());
        let start = SwarmStart {
            params: &Params::new(Network::Regtest),
            config,
            bans: Vec::new(),
            numbers: PeerNumbers::default(),
            clock,
            seed: 1,
            switches: flags.switches().unwrap(),
            requests: Requests::new(limits, None, NodeAudit::default(), 1).network("libp2p"),
            audit: NodeAudit::default(),
            data: data.clone(),
            offers,
            suspension: Suspension::default(),
        };
        let (swarm, handle, events) = Swarm::new(start).unwrap();
        Self { swarm, handle, data, events, clock }
    }
}

impl Running {
    fn start(config: LightNetConfig, offers: Offers) -> Self {
        let Built { swarm, handle, data, events, .. } = Built::new(config, offers);
        let stop = tokio_util::sync::CancellationToken::new();
        tokio::spawn(swarm.run(stop.clone()));
        Self { handle, data, _events: events, _stop: stop.drop_guard() }
    }

    /// One that serves.
    fn server(offers: Offers) -> Self {
        let listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
        Self::start(LightNetConfig { listen, serve: true, ..LightNetConfig::default() }, offers)
    }

    /// One that only asks.
    async fn client_of(server: &Self) -> Self {
        let peers = vec![server.address().await.parse().unwrap()];
        Self::start(LightNetConfig { peers, ..LightNetConfig::default() }, ALL)
    }

    async fn address(&self) -> String {
        let listening = async {
            loop {
                let report = self.handle.report().await.unwrap();
                if let Some(address) = report.listening.first() {
                    return address.clone();
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, listening).await.expect("it listens")
    }

    /// The first peer that is listed.
    async fn peer(&self) -> DataPeer {
        let mut list = self.data.subscribe();
        let listed = timeout(LIMIT, list.wait_for(|list| !list.is_empty())).await;
        let listed = listed.expect("it is listed").unwrap();
        listed.values().next().unwrap().clone()
    }

    async fn is_alone(&self) {
        let mut list = self.data.subscribe();
        let gone = timeout(LIMIT, list.wait_for(|list| list.is_empty())).await;
        drop(gone.expect("the peer is let go").unwrap());
    }
}

/// Filters of a test's chain, with one too large for a page beside another.
struct Filters {
    chain: Vec<BlockHash>,
    filters: Vec<Vec<u8>>,
    headers: Vec<FilterHeader>,
    /// The lowest that it says it has.
    held_from: u32,
}

impl Filters {
    fn of(chain: &TestChain) -> Self {
        let spent = |_: &OutPoint| Ok(ScriptBuf::from_bytes(vec![0x51]));
        let filter = |block| BlockFilter::new_script_filter(block, spent).unwrap().content;
        let mut filters: Vec<_> = chain.blocks.iter().map(filter).collect();
        filters[4] = vec![4; MAX_FILTER_BYTES - 500];
        let mut headers = vec![FilterHeader::all_zeros()];
        for filter in &filters {
            let before = headers.last().unwrap();
            headers.push(FilterHash::hash(filter).filter_header(before));
        }
        let chain = chain.blocks.iter().map(bitcoin::Block::block_hash).collect();
        Self { chain, filters, headers, held_from: 8 }
    }

    fn part(&self, range: &FilterRange) -> Option<Range<usize>> {
        let start = usize::try_from(range.start.0).unwrap();
        let end = start + usize::try_from(range.count).unwrap();
        (self.chain.get(end - 1) == Some(&range.stop)).then_some(start..end)
    }
}

impl FilterSource for Filters {
    fn held(&self) -> Vec<Range<BlockHeight>> {
        vec![BlockHeight(self.held_from)..BlockHeight(u32::try_from(self.filters.len()).unwrap())]
    }

    fn filter_checkpoints(&self, stop: &BlockHash) -> Option<Vec<FilterHeader>> {
        let height = self.chain.iter().position(|hash| hash == stop)?;
        Some((1..=height / 1000).map(|at| self.headers[at * 1000 + 1]).collect())
    }

    fn filter_hashes(&self, range: &FilterRange) -> Option<(FilterHeader, Vec<FilterHash>)> {
        let part = self.part(range)?;
        let hashes = self.filters[part.clone()].iter().map(|filter| FilterHash::hash(filter));
        Some((self.headers[part.start], hashes.collect()))
    }

    fn filters(&self, range: &FilterRange) -> Option<Vec<Vec<u8>>> {
        Some(self.filters[self.part(range)?].to_vec())
    }
}

/// A node with a full node behind it.
async fn serve(server: &Running, chain: &TestChain, filters: Option<Filters>) -> Arc<FakeLine> {
    let full_node = FakeLine::new(chain, [Does::GiveAfter(Duration::from_millis(50))]);
    let peers = DataPeers::default();
    full_node.join(&peers, 1, PeerNetwork::Bitcoin);
    let blocks = Blocks::new(chain.handle(), peers, BlocksConfig::default());
    let filters = filters.map(|filters| Arc::new(filters) as Arc<dyn FilterSource>);
    server.handle.serve_data(Arc::new(ServedData::new(blocks, filters))).await.unwrap();
    full_node
}

async fn ask(peer: &DataPeer, query: Query) -> Result<Reply, Unanswered> {
    timeout(LIMIT, peer.line.ask(query, false)).await.expect("an answer, or none")
}

#[tokio::test]
async fn a_node_that_knows_nobody_sleeps_until_something_happens() {
    let Built { mut swarm, clock, .. } = Built::new(LightNetConfig::default(), ALL);
    let (silent, wake) = swarm.do_what_is_due();
    assert!(!silent);
    assert!(wake > clock.now().elapsed, "{wake:?}");
}

#[tokio::test]
async fn what_a_node_has_another_one_gets_as_it_is() {
    let chain = TestChain::new(1007);
    let filters = Filters::of(&chain);
    let (contents, headers) = (filters.filters.clone(), filters.headers.clone());
    let server = Running::server(ALL);
    serve(&server, &chain, Some(filters)).await;
    let client = Running::client_of(&server).await;
    let peer = client.peer().await;
    assert_eq!((peer.network, peer.direction), (PeerNetwork::LibP2p, Direction::Outbound));
    assert_eq!(peer.offers, ALL);

    let stop = chain.hash(1007);
    let checkpoints = Query::FilterCheckpoints { stop, height: BlockHeight(1007) };
    assert!(peer.line.may_have_filter(BlockHeight(7)), "it has said nothing yet");
    assert_eq!(ask(&peer, checkpoints).await, Ok(Reply::FilterCheckpoints(vec![headers[1001]])));
    let hashes = Query::FilterHeaders { start: BlockHeight(8), stop, count: 1000 };
    let expected = contents[8..].iter().map(|filter| FilterHash::hash(filter)).collect();
    let expected = Reply::FilterHeaders { previous: headers[8], hashes: expected };
    assert_eq!(ask(&peer, hashes).await, Ok(expected));
    // The answer says what there is; what is above may have come since.
    let may_have = [7, 8, 1007, 1008].map(|at| peer.line.may_have_filter(BlockHeight(at)));
    assert_eq!(may_have, [false, true, true, true]);
    let range = |from: usize, to: usize| Query::Filters {
        start: BlockHeight(u32::try_from(from).unwrap()),
        blocks: (from..to).map(|height| chain.hash(height)).collect(),
    };
    let got = ask(&peer, range(8, 1008)).await;
    assert_eq!(got, Ok(Reply::Filters(contents[8..].to_vec())));
    let Ok(Reply::Filters(page)) = ask(&peer, range(0, 100)).await else { panic!("filters") };
    assert!((5..100).contains(&page.len()), "as many as there is room for: {}", page.len());
    assert_eq!(page, contents[..page.len()]);

    let block = ask(&peer, Query::Block { hash: chain.hash(6) }).await;
    assert_eq!(block, Ok(Reply::Block(serialize(&chain.blocks[6]))));
    let txids: Arc<[Txid]> = chain.txids(6)[1..3].into();
    let proof = Query::Proof { block: chain.hash(6), txids: Arc::clone(&txids) };
    let Ok(Reply::Proof(proof)) = ask(&peer, proof).await else { panic!("a proof") };
    let proven = MerkleBlock::decode(&proof).unwrap().verify().unwrap();
    assert_eq!(proven.iter().map(|found| found.txid()).collect::<Vec<_>>(), *txids);

    for missing in [
        Query::FilterHeaders { start: BlockHeight(9), stop, count: 1000 },
        Query::FilterCheckpoints { stop: BlockHash::all_zeros(), height: BlockHeight(5) },
        Query::Block { hash: BlockHash::all_zeros() },
        Query::Proof { block: chain.hash(5), txids },
    ] {
        assert_eq!(ask(&peer, missing).await, Ok(Reply::NotFound));
    }
    let carried = client.handle.report().await.unwrap().by_purpose;
    assert!(carried.of(Purpose::Filters).received > 1_000_000);
    for purpose in [Purpose::FilterHeaders, Purpose::Blocks, Purpose::Proofs, Purpose::Other] {
        assert!(carried.of(purpose).received > 0 && carried.of(purpose).sent > 0, "{purpose}");
    }
}

#[tokio::test]
async fn a_node_without_a_block_fetches_it_once_for_all_who_ask() {
    let chain = TestChain::new(14);
    let server = Running::server(Offers { blocks: true, ..Offers::default() });
    let full_node = serve(&server, &chain, None).await;
    let clients = [Running::client_of(&server).await, Running::client_of(&server).await];
    let mut asking = JoinSet::new();
    for client in &clients {
        let peer = client.peer().await;
        assert_eq!(peer.offers, Offers { blocks: true, ..Offers::default() });
        for _ in 0..10 {
            let (peer, hash) = (peer.clone(), chain.hash(6));
            asking.spawn(async move { ask(&peer, Query::Block { hash }).await });
        }
    }
    let block = Reply::Block(serialize(&chain.blocks[6]));
    let answers = asking.join_all().await;
    assert_eq!(answers, vec![Ok(block); 20]);
    assert_eq!(full_node.asked(), 1);
    assert!(server.data.list().is_empty(), "who only asks is not asked");
}

#[tokio::test]
async fn a_node_without_filters_says_so_and_one_without_a_source_asks_for_patience() {
    let chain = TestChain::new(14);
    let server = Running::server(ALL);
    let client = Running::client_of(&server).await;
    let peer = client.peer().await;
    let checkpoints = Query::FilterCheckpoints { stop: chain.hash(14), height: BlockHeight(14) };
    let early = ask(&peer, checkpoints.clone()).await;
    assert_eq!(early, Err(Unanswered::Refused { retry_after: Duration::from_secs(5) }));
    serve(&server, &chain, None).await;
    assert_eq!(ask(&peer, checkpoints).await, Ok(Reply::NotFound));
    assert!(!client.data.list().is_empty(), "nobody is to blame");
}

/// Serves what it was given, whatever is asked for.
struct Liar {
    block: Vec<u8>,
    proof: Vec<u8>,
}

impl DataSource for Liar {
    fn filters(&self) -> Option<&dyn FilterSource> {
        None
    }

    fn block(&self, _: BlockHash) -> Serving<Arc<[u8]>> {
        let block = self.block.clone().into();
        Box::pin(async { Ok(block) })
    }

    fn proof(&self, _: BlockHash, _: Vec<Txid>) -> Serving<Vec<u8>> {
        let proof = self.proof.clone();
        Box::pin(async { if proof.is_empty() { Err(NotServed::NotFound) } else { Ok(proof) } })
    }
}

#[tokio::test]
async fn who_answers_with_another_block_a_wrong_length_or_garbage_is_let_go() {
    let chain = TestChain::new(3);
    let hash = chain.hash(2);
    let another = serialize(&chain.blocks[3]);
    let txids: Arc<[Txid]> = chain.txids(2).into();
    let proof = Query::Proof { block: hash, txids };
    for (block, proof_said, query) in [
        (another.clone(), Vec::new(), Query::Block { hash }),
        (vec![1; 79], Vec::new(), Query::Block { hash }),
        (vec![1; 4_000_001], Vec::new(), Query::Block { hash }),
        (Vec::new(), vec![1; 200], proof.clone()),
        (Vec::new(), vec![0; 64_001], proof),
    ] {
        let server = Running::server(ALL);
        let liar = Liar { block, proof: proof_said };
        server.handle.serve_data(Arc::new(liar)).await.unwrap();
        let client = Running::client_of(&server).await;
        let peer = client.peer().await;
        assert_eq!(ask(&peer, query).await, Err(Unanswered::NoAnswer));
        client.is_alone().await;
    }
}

#[tokio::test]
async fn who_is_blamed_for_what_it_sent_is_let_go_and_is_listed_no_more() {
    let server = Running::server(ALL);
    let client = Running::client_of(&server).await;
    let peer = client.peer().await;
    peer.line.misbehaved(ironlight_spv::peers::Offence::ProtocolViolation);
    client.is_alone().await;
    let late = ask(&peer, Query::Block { hash: BlockHash::all_zeros() }).await;
    assert_eq!(late, Err(Unanswered::NoAnswer));
}

#[tokio::test]
async fn nobody_is_listed_once_the_swarm_has_ended() {
    let server = Running::server(ALL);
    let client = Running::client_of(&server).await;
    client.peer().await;
    let data = client.data.clone();
    drop(client);
    let mut list = data.subscribe();
    timeout(LIMIT, list.wait_for(|list| list.is_empty())).await.expect("it is empty").unwrap();
    assert!(!data.list().contains_key(&PeerId(0)));
}

use std::sync::Mutex;

use ironlight_spv::compress::{HeaderBody, encode};
use ironlight_spv::generate::Miner;
use ironlight_spv::peers::NetworkGroup;
use ironlight_spv::sync::{HeaderSync, SyncConfig};
use ironlight_spv::{BlockHeight, Header, HeaderChain, Network};
use tokio::sync::mpsc;

use super::super::tests::Scripted;
use super::*;
use crate::audit::NodeAudit;
use crate::chain::{ChainHandle, Joined};
use crate::clock::Clock;
use crate::net::data::{Answering, DataPeer, Offers};
use crate::snapshot::frame;
use crate::store::{MemoryStore, Store, headers};

/// A light node with a chain, which may spoil the chunks that it gives.
struct Light {
    headers: Vec<Header>,
    spoil: bool,
    blamed: Mutex<Vec<Offence>>,
}

impl Light {
    fn period(&self, period: u32) -> Option<&[Header]> {
        let first = usize::try_from(period * FRAME_HEADERS).unwrap();
        self.headers.get(first..first + 2016)
    }

    fn answer(&self, query: &Query) -> Reply {
        match query {
            Query::SnapshotOffer { from } => {
                let periods = (*from..).map_while(|period| self.period(period));
                let addresses = periods.map(|headers| headers[2015].hash()).collect();
                Reply::SnapshotOffer(SnapshotOffer { first: *from, addresses })
            }
            Query::SnapshotChunk { period, address } => match self.period(*period) {
                Some(headers) if headers[2015].hash() == *address => {
                    let bodies = headers.iter().map(HeaderBody::from);
                    let mut bytes =
                        frame(*period, &encode(headers[0].prev_hash(), bodies)).unwrap();
                    let at = bytes.len() / 2;
                    bytes[at] ^= u8::from(self.spoil);
                    Reply::SnapshotChunk(bytes)
                }
                Some(_) | None => Reply::NotFound,
            },
            Query::FilterCheckpoints { .. }
            | Query::FilterHeaders { .. }
            | Query::Filters { .. }
            | Query::Block { .. }
            | Query::Proof { .. } => panic!("{query:?}"),
        }
    }
}

struct Line(Arc<Light>);

impl DataLine for Line {
    fn ask(&self, query: Query, _retry: bool) -> Answering {
        let answer = self.0.answer(&query);
        Box::pin(async { Ok(answer) })
    }

    fn misbehaved(&self, offence: Offence) {
        self.0.blamed.lock().unwrap().push(offence);
    }
}

/// A writer with an empty chain, and light nodes that have joined.
struct Bench {
    handle: ChainHandle,
    store: Arc<dyn Store>,
    lights: Vec<Arc<Light>>,
    peers: DataPeers,
    inputs: mpsc::Sender<NetworkInput>,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<Result<(), super::super::WriterError>>,
}

fn joined(peer: u64) -> NetworkInput {
    NetworkInput::Joined {
        peer: PeerId(peer),
        network: PeerNetwork::LibP2p,
        direction: Direction::Outbound,
        address: format!("light node {peer}"),
        user_agent: String::new(),
    }
}

fn list(peers: &DataPeers, number: u8, light: &Arc<Light>) {
    let entry = DataPeer {
        network: PeerNetwork::LibP2p,
        direction: Direction::Outbound,
        owner: NetworkGroup::V4([60, number]),
        named: true,
        address: format!("light node {number}"),
        offers: Offers { snapshots: true, ..Offers::default() },
        latest: None,
        line: Arc::new(Line(Arc::clone(light))),
    };
    peers.joined(PeerId(number.into()), entry);
}

fn bench(headers: &[Header], spoils: &[bool], minimum: Work) -> Bench {
    bench_on(1, headers, spoils, minimum, spoils.len())
}

/// The same with so many of the headers known, and so many peers expected.
fn bench_on(
    known: usize,
    headers: &[Header],
    spoils: &[bool],
    minimum: Work,
    expected: usize,
) -> Bench {
    let mut params = Params::new(Network::Regtest);
    params.minimum_chain_work = minimum;
    let mut chain = HeaderChain::new(params);
    for header in &headers[1..known] {
        let batch = chain.verify(&[*header], Clock::start().now().unix).unwrap();
        chain.apply(batch).unwrap();
    }
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    store.commit(headers::begin(&chain)).unwrap();
    let (inputs, script) = mpsc::channel(8);
    let peers = DataPeers::default();
    let (mut lights, mut waiting) = (Vec::new(), Joined::new());
    for (number, spoil) in (1..).zip(spoils) {
        let light = Light { headers: headers.to_vec(), spoil: *spoil, blamed: Mutex::default() };
        let light = Arc::new(light);
        list(&peers, number, &light);
        waiting.push(joined(number.into()));
        lights.push(light);
    }
    let sync = HeaderSync::new(SyncConfig::default(), 1);
    let (clock, audit) = (Clock::start(), NodeAudit::default());
    let network = Scripted(script);
    let (writer, handle) =
        Writer::new(chain, Arc::clone(&store), sync, network, clock, audit, waiting);
    let writer = writer.with_snapshots(Some(SnapshotPeers { peers: peers.clone(), expected }));
    let stop = CancellationToken::new();
    let running = tokio::spawn(writer.run(stop.clone()));
    Bench { handle, store, lights, peers, inputs, stop, running }
}

impl Bench {
    async fn reaches(&self, height: u32) {
        let height = BlockHeight(height);
        self.handle.when(|status| status.tip.height == height).await.unwrap();
    }

    /// Waits until header sync knows of the peers: then the phase is over.
    async fn follows(&self) {
        let followed = |status: &crate::chain::ChainStatus| {
            !status.peers.is_empty() && status.peers.iter().all(|peer| !peer.phase.is_empty())
        };
        self.handle.when(followed).await.unwrap();
    }

    fn blamed(&self) -> Vec<Vec<Offence>> {
        self.lights.iter().map(|light| light.blamed.lock().unwrap().clone()).collect()
    }

    async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
        drop(self.inputs);
    }
}

/// Genesis and so many headers on it.
fn chain(count: usize) -> Vec<Header> {
    let genesis = Params::new(Network::Regtest).genesis;
    [vec![genesis], Miner::new(3).run(&genesis, count, 600)].concat()
}

fn no_work() -> Work {
    Work::from_be_bytes([0; 32])
}

#[tokio::test]
async fn whole_periods_are_fetched_stored_and_told_of() {
    let headers = chain(4 * 2016 + 50);
    let bench = bench(&headers, &[false, false], no_work());
    bench.reaches(4 * 2016 - 1).await;
    bench.follows().await;
    assert_eq!(bench.handle.tip().hash, headers[4 * 2016 - 1].hash());
    let stored = headers::read(&*bench.store, &Params::new(Network::Regtest)).unwrap().unwrap();
    assert_eq!(stored.chain.tip().height, BlockHeight(4 * 2016 - 1));
    assert_eq!(bench.blamed(), [vec![], vec![]]);
    bench.stop().await;
}

#[tokio::test]
async fn who_sends_a_false_chunk_is_blamed_and_the_others_go_on() {
    let headers = chain(5 * 2016);
    let bench = bench(&headers, &[false, true, false], no_work());
    bench.reaches(5 * 2016 - 1).await;
    bench.follows().await;
    assert_eq!(bench.blamed(), [vec![], vec![Offence::FalseChunk], vec![]]);
    bench.stop().await;
}

/// Two periods, a third with a header that is not later than the median of the eleven before it, and
/// two more.
fn chain_with_a_false_third() -> Vec<Header> {
    let mut headers = chain(2 * 2016 + 1000);
    let (parent, old) = (headers[headers.len() - 1], headers[3000].time());
    headers.push(Miner::new(4).mine(parent.hash(), old, parent.compact_target()));
    let rest = Miner::new(5).run(headers.last().unwrap(), 2 * 2016, 2_000_000);
    [headers, rest].concat()
}

fn work_of(headers: &[Header]) -> Work {
    headers.iter().fold(no_work(), |sum, header| {
        sum + Target::from_compact(header.compact_target()).to_work()
    })
}

#[tokio::test]
async fn of_a_period_that_breaks_a_rule_nothing_is_kept_and_all_who_offered_it_are_blamed() {
    let headers = chain_with_a_false_third();
    // One by one as they come, and all together once they have shown their work.
    for minimum in [no_work(), work_of(&headers[..4 * 2016])] {
        let bench = bench(&headers, &[false, false], minimum);
        bench.follows().await;
        assert_eq!(bench.handle.tip().height, BlockHeight(2 * 2016 - 1));
        assert_eq!(bench.blamed(), [vec![Offence::InvalidHeader], vec![Offence::InvalidHeader]]);
        bench.stop().await;
    }
}

#[tokio::test]
async fn a_chain_that_does_not_show_the_minimum_of_work_is_left_to_presync() {
    let headers = chain(4 * 2016);
    let mut much = [0; 32];
    much[20] = 1;
    let bench = bench(&headers, &[false, false], Work::from_be_bytes(much));
    bench.follows().await;
    assert_eq!(bench.handle.tip().height, BlockHeight(0));
    assert_eq!(bench.blamed(), [vec![], vec![]]);
    bench.stop().await;
}

#[tokio::test]
async fn a_chain_that_shows_the_minimum_of_work_is_taken_in_from_within_a_period_on() {
    let headers = chain(5 * 2016);
    let all = work_of(&headers[..5 * 2016]);
    let bench = bench_on(3000, &headers, &[false, false], all, 2);
    bench.reaches(5 * 2016 - 1).await;
    bench.follows().await;
    assert_eq!(bench.blamed(), [vec![], vec![]]);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn with_one_such_peer_header_sync_begins_at_once() {
    let clock = tokio::time::Instant::now();
    let bench = bench(&chain(4 * 2016), &[false], no_work());
    bench.follows().await;
    assert_eq!(clock.elapsed(), Duration::ZERO, "nobody was waited for");
    assert_eq!(bench.handle.tip().height, BlockHeight(0));
    bench.stop().await;
}

#[tokio::test]
async fn what_was_interrupted_goes_on_from_within_a_period() {
    let headers = chain(5 * 2016);
    let bench = bench_on(3000, &headers, &[false, false], no_work(), 2);
    bench.reaches(5 * 2016 - 1).await;
    bench.follows().await;
    assert_eq!(bench.handle.tip().hash, headers[5 * 2016 - 1].hash());
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn while_peers_are_waited_for_it_ends_when_it_is_told_to() {
    let bench = bench_on(1, &chain(4 * 2016), &[false], no_work(), 2);
    let clock = tokio::time::Instant::now();
    bench.handle.when(|status| !status.peers.is_empty()).await.unwrap();
    bench.stop().await;
    assert_eq!(clock.elapsed(), Duration::ZERO, "before the wait was over");
}

#[tokio::test]
async fn a_peer_that_joins_meanwhile_takes_part() {
    let headers = chain(4 * 2016);
    let bench = bench_on(1, &headers, &[false], no_work(), 2);
    let light = Light { headers: headers.clone(), spoil: false, blamed: Mutex::default() };
    list(&bench.peers, 2, &Arc::new(light));
    bench.inputs.send(joined(2)).await.unwrap();
    bench.reaches(4 * 2016 - 1).await;
    bench.follows().await;
    assert_eq!(bench.handle.status().peers.len(), 2, "header sync knows of it, too");
    bench.stop().await;
}

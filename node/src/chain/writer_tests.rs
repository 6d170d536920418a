//! The order of things: verify, commit, apply, publish; and nothing where the commit fails.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use ironlight_spv::generate::Miner;
use ironlight_spv::sync::SyncConfig;
use ironlight_spv::{BlockHeight, Network, Params};
use tokio::sync::mpsc;

use super::*;
use crate::store::{Backend, MemoryStore, Table, Visitor};

/// A network whose inputs the test writes.
pub(super) struct Scripted(pub(super) mpsc::Receiver<NetworkInput>);

impl HeaderNetwork for Scripted {
    async fn next(&mut self) -> Option<NetworkInput> {
        self.0.recv().await
    }
    async fn get_headers(&self, _: PeerId, _: Question) {}
    async fn announce(&self, _: Header) {}
    async fn misbehaved(&self, _: PeerId, _: SyncOffence) {}
    async fn stalled(&self, _: PeerId) {}
    async fn close(&mut self) -> Result<Vec<BanEntry>, String> {
        Ok(Vec::new())
    }
}

/// A store that notes which tip readers saw at each commit, and fails when told to.
#[derive(Default)]
struct Watched {
    rows: MemoryStore,
    readers: Mutex<Option<ChainHandle>>,
    seen: Mutex<Vec<BlockHeight>>,
    failing: AtomicBool,
}

impl Store for Watched {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.rows.get(table, key)
    }
    fn scan(&self, table: Table, from: &[u8], visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        self.rows.scan(table, from, visit)
    }
    fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        if self.failing.load(Ordering::Relaxed) {
            return Err(StoreError::Stopped { path: "test".into() });
        }
        if let Some(readers) = &*self.readers.lock().unwrap() {
            self.seen.lock().unwrap().push(readers.tip().height);
        }
        self.rows.commit(batch)
    }
    fn backend(&self) -> Backend {
        Backend::Memory
    }
    fn bytes_on_disk(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}

struct Bench {
    store: Arc<Watched>,
    handle: ChainHandle,
    inputs: mpsc::Sender<NetworkInput>,
    running: tokio::task::JoinHandle<Result<(), WriterError>>,
    stop: CancellationToken,
    headers: Vec<Header>,
}

fn bench() -> Bench {
    let params = Params::new(Network::Regtest);
    let headers = Miner::new(1).run(&params.genesis, 200, 60);
    let store = Arc::new(Watched::default());
    let chain = HeaderChain::new(params);
    store.rows.commit(headers::begin(&chain)).unwrap();
    let (inputs, script) = mpsc::channel(8);
    let (writer, handle) = Writer::new(
        chain,
        Arc::clone(&store) as Arc<dyn Store>,
        HeaderSync::new(SyncConfig::default(), 1),
        Scripted(script),
        Clock::start(),
        NodeAudit::default(),
        Joined::new(),
    );
    *store.readers.lock().unwrap() = Some(handle.clone());
    let stop = CancellationToken::new();
    let running = tokio::spawn(writer.run(stop.clone()));
    Bench { store, handle, inputs, running, stop, headers }
}

impl Bench {
    async fn joined_peer_sends(&self, headers: &[Header]) {
        let peer = PeerId(1);
        let joined = NetworkInput::Joined {
            peer,
            network: PeerNetwork::Bitcoin,
            direction: Direction::Outbound,
            address: "192.0.2.1:1".to_owned(),
            user_agent: "/test/".to_owned(),
        };
        self.inputs.send(joined).await.unwrap();
        let headers = headers.to_vec();
        self.inputs.send(NetworkInput::Headers { peer, headers }).await.unwrap();
    }
}

#[tokio::test]
async fn a_tip_is_committed_before_anybody_hears_of_it() {
    let bench = bench();
    let mut events = bench.handle.subscribe();
    bench.joined_peer_sends(&bench.headers).await;
    loop {
        let event = events.next().await.unwrap().unwrap().event;
        if let NodeEvent::TipExtended { tip, .. } = event {
            assert_eq!(tip.height, BlockHeight(200));
            break;
        }
    }
    assert_eq!(*bench.store.seen.lock().unwrap(), [BlockHeight(0)]);
    let loaded = headers::read(&bench.store.rows, &Params::new(Network::Regtest)).unwrap();
    assert_eq!(loaded.unwrap().chain.tip().height, BlockHeight(200));
    bench.stop.cancel();
    bench.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_cannot_be_committed_is_neither_applied_nor_published() {
    let bench = bench();
    bench.store.failing.store(true, Ordering::Relaxed);
    bench.joined_peer_sends(&bench.headers).await;
    let failure = bench.running.await.unwrap().unwrap_err();
    assert!(matches!(failure, WriterError::Store(StoreError::Stopped { .. })));
    assert_eq!(bench.handle.tip().height, BlockHeight(0));
    bench.handle.read(|chain| assert_eq!(chain.tip().height, BlockHeight(0)));
}

#[tokio::test]
async fn the_valid_headers_before_a_bad_one_are_kept() {
    let bench = bench();
    let mut headers = bench.headers.clone();
    // A header with more than the required work, in an otherwise good batch.
    let stranger = Miner::new(2).run(&headers[149], 1, u32::MAX / 2);
    headers.truncate(150);
    headers.extend(stranger);
    bench.joined_peer_sends(&headers).await;
    let mut status = bench.handle.status.clone();
    status.wait_for(|status| status.tip.height == BlockHeight(150)).await.unwrap();
    bench.stop.cancel();
    bench.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_network_that_ends_by_itself_is_a_failure_and_subscribers_hear_of_the_end() {
    let bench = bench();
    let mut events = bench.handle.subscribe();
    drop(bench.inputs);
    assert!(matches!(bench.running.await.unwrap(), Err(WriterError::Network(_))));
    assert_eq!(events.next().await.unwrap(), None);
    assert!(bench.handle.synced().await.is_err());
}

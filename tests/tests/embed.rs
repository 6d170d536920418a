//! The node embedded as a library: its handle, its limits, and what is left of it when it is gone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is the test's failure"
)]

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bitcoin::{Address, Amount, Network as BitcoinNetwork, ScriptBuf};
use ironlight::devnet::{Devnet, DevnetConfig};
use ironlight::events::NodeEvent;
use ironlight::handle::{Confirmation, NodeHandle, SyncOutcome};
use ironlight::net::swarm::{LightNetConfig, Multiaddr};
use ironlight::net::{PeerNetwork, Purpose};
use ironlight::store::{Backend, MemoryStore, Store, StoreError, Table, Visitor, WriteBatch};
use ironlight::wallet::watch::{WatchChange, WatchRequest, WatchTarget};
use ironlight::{BlockHeight, Network, Node, NodeBuilder, NodeError};
use tokio::time::{Instant, timeout};

const LIMIT: Duration = Duration::from_secs(30);

async fn devnet(blocks: u32) -> Devnet {
    Devnet::start(DevnetConfig { blocks, ..DevnetConfig::default() }).await.unwrap()
}

fn on(devnet: &Devnet) -> NodeBuilder {
    Node::builder(Network::Regtest).connect(devnet.address())
}

/// An address that nobody has keys for.
fn address(byte: u8) -> Address {
    let script = ScriptBuf::new_p2wsh(&bitcoin::WScriptHash::from_raw_hash(
        bitcoin::hashes::Hash::from_byte_array([byte; 32]),
    ));
    Address::from_script(&script, BitcoinNetwork::Regtest).unwrap()
}

fn watching(byte: u8) -> WatchRequest {
    let target = WatchTarget::script(address(byte).script_pubkey()).unwrap();
    WatchRequest::new(target, BlockHeight(0))
}

async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    timeout(LIMIT, wait).await.unwrap_or_else(|_late| panic!("not in time: {what}"))
}

/// Waits until the wallet has looked at the devnet's tip.
async fn scanned(handle: &NodeHandle, devnet: &Devnet) {
    let tip = devnet.tip().hash;
    let there =
        handle.wallet().when(|status| status.synced && status.tip.is_some_and(|at| at.hash == tip));
    within("the wallet is synced", there).await.unwrap();
}

async fn eventually(what: &str, mut fits: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !fits().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(what, asking).await;
}

/// Polls a future so often, then drops it. Whether it was done by then.
async fn given_up_after(polls: usize, work: impl Future) -> bool {
    let mut work = pin!(work);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        work.as_mut().poll(context).map(|_done| true)
    })
    .await
}

async fn opened_in(directory: &Path) -> Node {
    let mut node = None;
    eventually("the directory is free", async || {
        // Nobody answers there: what matters is the directory.
        let peer = "127.0.0.1:1".parse().unwrap();
        let builder = Node::builder(Network::Regtest).connect(peer);
        match builder.data_dir(directory).backend(Backend::Redb).build().await {
            Ok(opened) => node = Some(opened),
            Err(NodeError::Store(StoreError::Locked { .. })) => {}
            Err(error) => panic!("{error}"),
        }
        node.is_some()
    })
    .await;
    node.unwrap()
}

#[tokio::test]
async fn a_current_thread_runtime_is_enough() {
    let devnet = devnet(110).await;
    let node = on(&devnet).build().await.unwrap();
    let handle = node.handle();
    let watched = handle.watch(watching(1)).await.unwrap();
    assert_eq!(watched.change, WatchChange::Added);
    scanned(&handle, &devnet).await;
    let txid = devnet.pay(address(1).script_pubkey(), Amount::from_sat(5_000)).await.unwrap();
    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.confirmed(txid, None, 2).await }
    });
    devnet.mine(1).await.unwrap();
    scanned(&handle, &devnet).await;
    let found = handle.confirm(txid, None, 2).await.unwrap();
    assert!(matches!(found, Confirmation::TooFew { wanted: 2, .. }), "{found:?}");
    assert_eq!(handle.balance(None).confirmed, Amount::from_sat(5_000));
    devnet.mine(1).await.unwrap();
    let proof = within("two confirmations", waiting).await.unwrap().unwrap();
    assert_eq!((proof.height, proof.confirmations), (BlockHeight(111), 2));
    // Anybody's transaction, with the block that it is in.
    let block = Some(proof.height.into());
    let coinbase = devnet.read(|ledger| ledger.tree().tip().block.txdata[0].compute_txid());
    let other = handle.confirm(coinbase, block, 1).await.unwrap();
    assert_eq!(other, Confirmation::NotInBlock { block: proof.block });
    let tip = devnet.tip();
    let mined = handle.prove(coinbase, Some(tip.hash.into())).await.unwrap();
    assert_eq!((mined.height, mined.confirmations), (tip.height, 1));
    assert_eq!(handle.header(tip.hash).unwrap().0.height, tip.height);
    assert!(handle.bytes().await.of(Purpose::Headers).received > 0);
    node.stop().await.unwrap();
    assert!(handle.watch(watching(2)).await.is_err());
}

#[tokio::test]
async fn several_nodes_live_in_one_process() {
    let (one, other) = (devnet(20).await, devnet(30).await);
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    let first = on(&one).data_dir(place("one")).build().await.unwrap();
    let second = on(&other).data_dir(place("other")).build().await.unwrap();
    for (node, height) in [(&first, 20), (&second, 30)] {
        let tip = within("synced", node.chain().synced()).await.unwrap();
        assert_eq!(tip.height, BlockHeight(height));
    }
    let third = on(&one).data_dir(place("other")).build().await;
    assert!(matches!(third, Err(NodeError::Store(StoreError::Locked { .. }))), "{third:?}");
    first.stop().await.unwrap();
    second.stop().await.unwrap();
}

#[tokio::test]
async fn dropping_the_node_ends_every_task_and_frees_its_directory() {
    let devnet = devnet(110).await;
    let directory = tempfile::tempdir().unwrap();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let node = on(&devnet).data_dir(directory.path()).backend(Backend::Redb).build().await.unwrap();
    let handle = node.handle();
    handle.watch(watching(1)).await.unwrap();
    scanned(&handle, &devnet).await;
    assert!(tasks() > before);
    drop(node);
    // Whoever has a handle keeps neither.
    eventually("all tasks have ended", async || tasks() == before).await;
    assert!(handle.watch(watching(2)).await.is_err());
    assert!(handle.suspend().await.is_err());
    let again = opened_in(directory.path()).await;
    assert_eq!(again.wallet().watches().len(), 1);
    assert_eq!(again.chain().tip().height, BlockHeight(110));
    again.stop().await.unwrap();
}

#[tokio::test]
async fn a_node_is_shut_down_by_its_handle() {
    let devnet = devnet(20).await;
    let directory = tempfile::tempdir().unwrap();
    let builder = on(&devnet).data_dir(directory.path()).backend(Backend::Redb);
    let mut node = builder.build().await.unwrap();
    let handle = node.handle();
    within("it is shut down", handle.shutdown()).await;
    within("its owner sees it", node.failed()).await.unwrap();
    within("again", handle.shutdown()).await;
    assert!(handle.headers_synced().await.is_err());
    assert_eq!(devnet.peers(), 0);
    drop(node);
    opened_in(directory.path()).await;
}

#[tokio::test]
async fn futures_may_be_dropped_at_any_point() {
    let devnet = devnet(110).await;
    let node = on(&devnet).build().await.unwrap();
    let handle = node.handle();
    within("synced", handle.headers_synced()).await.unwrap();
    let coinbase = devnet.read(|ledger| ledger.tree().tip().block.txdata[0].clone());
    let block = Some(devnet.tip().hash.into());
    for polls in 0..12 {
        given_up_after(polls, handle.watch(watching(1))).await;
        given_up_after(polls, handle.prove(coinbase.compute_txid(), block)).await;
        let soon = Instant::now() + LIMIT;
        given_up_after(polls, handle.sync_until(soon, Some(1_000_000))).await;
        given_up_after(polls, handle.broadcast(&coinbase)).await;
        assert!(!handle.is_suspended(), "after {polls} polls");
    }
    // Each can be done still, and once.
    handle.watch(watching(1)).await.unwrap();
    assert_eq!(handle.wallet().watches().len(), 1);
    let soon = Instant::now() + LIMIT;
    let outcome = handle.sync_until(soon, None).await.unwrap();
    assert!(matches!(outcome, SyncOutcome::Synced(_)), "{outcome:?}");
    let proof = handle.prove(coinbase.compute_txid(), block).await.unwrap();
    assert_eq!(proof.height, BlockHeight(110));
    // No full node takes a coinbase.
    assert!(handle.broadcast(&coinbase).await.is_err());
    for polls in 0..6 {
        given_up_after(polls, handle.suspend()).await;
        handle.resume();
    }
    within("synced", handle.headers_synced()).await.unwrap();
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_slow_subscriber_is_told_from_where_to_look_again() {
    let devnet = devnet(10).await;
    let mut config = on(&devnet).into_config();
    config.events_kept = 3;
    let node = Node::start(config).await.unwrap();
    let handle = node.handle();
    within("synced", handle.headers_synced()).await.unwrap();
    let mut slow = handle.subscribe();
    for height in 11..20 {
        devnet.mine(1).await.unwrap();
        let there = handle.chain().when(|status| status.tip.height == BlockHeight(height));
        within("the next block", there).await.unwrap();
    }
    let lagged = slow.next().await.unwrap_err();
    assert!(lagged.missed >= 6, "{lagged:?}");
    assert!(lagged.resync_from <= BlockHeight(11), "{lagged:?}");
    // It goes on with the oldest that is kept, and to the end.
    let next = slow.next().await.unwrap().unwrap();
    let resumed = handle.subscribe_after(next.sequence).next().await.unwrap().unwrap();
    assert_eq!(resumed.sequence, next.sequence + 1);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_suspended_node_has_no_connection_and_finds_later_what_it_slept_through() {
    let devnet = devnet(110).await;
    let node = on(&devnet).build().await.unwrap();
    let handle = node.handle();
    handle.watch(watching(1)).await.unwrap();
    scanned(&handle, &devnet).await;
    within("suspended", handle.suspend()).await.unwrap();
    within("suspended again", handle.suspend()).await.unwrap();
    assert!(handle.is_suspended());
    eventually("the full node sees nobody", async || devnet.peers() == 0).await;
    let bytes = handle.bytes().await;
    devnet.pay(address(1).script_pubkey(), Amount::from_sat(7_000)).await.unwrap();
    devnet.mine(3).await.unwrap();
    assert_eq!(devnet.peers(), 0);
    assert_eq!((handle.bytes().await, handle.tip().height), (bytes, BlockHeight(110)));
    handle.resume();
    handle.resume();
    within("it is not taken for synced before", handle.headers_synced()).await.unwrap();
    assert_eq!(handle.tip().height, BlockHeight(113));
    scanned(&handle, &devnet).await;
    assert_eq!(handle.balance(None).confirmed, Amount::from_sat(7_000));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn light_nodes_are_let_go_and_found_again() {
    let devnet = devnet(30).await;
    let light = |peers: Vec<Multiaddr>| LightNetConfig {
        peers,
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        serve: true,
        allow_private: true,
        ..LightNetConfig::default()
    };
    let serving = on(&devnet).libp2p(light(Vec::new())).build().await.unwrap();
    let peers = async |node: &Node| {
        let reports = node.networks().await;
        let light = reports.into_iter().find(|report| report.network == PeerNetwork::LibP2p);
        light.unwrap()
    };
    eventually("it listens", async || !peers(&serving).await.listening.is_empty()).await;
    let address = peers(&serving).await.listening[0].parse().unwrap();
    let builder = Node::builder(Network::Regtest).no_dns_seeds();
    let node = builder.libp2p(light(vec![address])).build().await.unwrap();
    let handle = node.handle();
    within("synced", handle.headers_synced()).await.unwrap();
    within("suspended", handle.suspend()).await.unwrap();
    let alone = async || peers(&serving).await.peers.is_empty();
    eventually("the other one sees nobody", alone).await;
    let bytes = handle.bytes().await;
    devnet.mine(2).await.unwrap();
    let tip = devnet.tip().hash;
    within("the other one", serving.chain().when(|status| status.tip.hash == tip)).await.unwrap();
    assert!(alone().await && handle.bytes().await == bytes);
    handle.resume();
    within("it follows", handle.chain().when(|status| status.tip.hash == tip)).await.unwrap();
    // Again, within bytes: its pages are read as they come.
    within("suspended", handle.suspend()).await.unwrap();
    devnet.mine(300).await.unwrap();
    let soon = Instant::now() + LIMIT;
    let spent = within("spent", handle.sync_until(soon, Some(2_000))).await.unwrap();
    assert!(matches!(spent, SyncOutcome::BudgetSpent(_)), "{spent:?}");
    let total = spent.progress().bytes.total();
    assert!(total.received + total.sent < 2_000 + 8_192, "{total:?}");
    let soon = Instant::now() + LIMIT;
    let synced = within("synced", handle.sync_until(soon, None)).await.unwrap();
    assert!(matches!(synced, SyncOutcome::Synced(_)), "{synced:?}");
    node.stop().await.unwrap();
    serving.stop().await.unwrap();
}

#[tokio::test]
async fn a_sync_stops_within_its_bytes_and_goes_on_later() {
    const BUDGET: u64 = 15_000;
    let devnet = devnet(400).await;
    devnet.pay(address(1).script_pubkey(), Amount::from_sat(9_000)).await.unwrap();
    devnet.mine(1).await.unwrap();
    let node = on(&devnet).build().await.unwrap();
    let handle = node.handle();
    within("suspended", handle.suspend()).await.unwrap();
    handle.watch(watching(1)).await.unwrap();
    let (mut spent, mut seen) = (0, Vec::new());
    loop {
        let carried = handle.bytes().await.total();
        let soon = Instant::now() + LIMIT;
        let outcome = handle.sync_until(soon, Some(BUDGET)).await.unwrap();
        let after = handle.bytes().await.total();
        let used = after.received + after.sent - carried.received - carried.sent;
        let total = outcome.progress().bytes.total();
        assert_eq!(total.received + total.sent, used);
        // The longest message has all the headers.
        assert!(used < BUDGET + 24 + 3 + 81 * 401, "{used}");
        assert!(handle.is_suspended(), "as it was before");
        eventually("the full node sees nobody", async || devnet.peers() == 0).await;
        match outcome {
            SyncOutcome::BudgetSpent(progress) => {
                spent += 1;
                assert!(spent < 20, "{progress:?}");
                seen.push((progress.tip.height, progress.scanned));
            }
            SyncOutcome::Synced(progress) => {
                assert_eq!(progress.scanned, Some(BlockHeight(401)));
                break;
            }
            SyncOutcome::DeadlinePassed(_) | SyncOutcome::Suspended(_) => panic!("{outcome:?}"),
        }
    }
    assert!(spent >= 3, "{seen:?}");
    assert_eq!(handle.balance(None).confirmed, Amount::from_sat(9_000));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_sync_that_cannot_end_stops_at_its_deadline() {
    let nobody = "127.0.0.1:1".parse().unwrap();
    let node = Node::builder(Network::Regtest).connect(nobody).build().await.unwrap();
    let soon = Instant::now() + Duration::from_millis(50);
    let outcome = within("the deadline", node.handle().sync_until(soon, None)).await.unwrap();
    assert!(matches!(outcome, SyncOutcome::DeadlinePassed(_)), "{outcome:?}");
    assert!(!node.handle().is_suspended());
}

#[tokio::test]
async fn nobody_who_serves_filters_is_told_and_dialling_goes_on() {
    let nobody = "127.0.0.1:1".parse().unwrap();
    let mut config = Node::builder(Network::Regtest).connect(nobody).into_config();
    config.filters.alone_after = Duration::from_millis(30);
    let node = Node::start(config).await.unwrap();
    let handle = node.handle();
    let mut events = handle.subscribe_after(0);
    handle.watch(watching(1)).await.unwrap();
    let told = async {
        loop {
            let event = events.next().await.unwrap().unwrap().event;
            if let NodeEvent::NoFilterPeers { since } = event {
                return since;
            }
        }
    };
    assert_eq!(within("it is told", told).await, Duration::from_millis(30));
    node.stop().await.unwrap();
}

/// What somebody else might keep rows in.
#[derive(Default)]
struct Theirs(MemoryStore);

impl Store for Theirs {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        self.0.scan(table, from, visit)
    }

    fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.0.commit(batch)
    }

    fn backend(&self) -> Backend {
        Backend::Custom
    }

    fn bytes_on_disk(&self) -> Result<u64, StoreError> {
        self.0.bytes_on_disk()
    }
}

#[tokio::test]
async fn a_store_of_ones_own_keeps_everything() {
    let devnet = devnet(110).await;
    devnet.pay(address(1).script_pubkey(), Amount::from_sat(3_000)).await.unwrap();
    devnet.mine(1).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(Theirs::default());
    let node = on(&devnet).store(Arc::clone(&store)).build().await.unwrap();
    node.handle().watch(watching(1)).await.unwrap();
    scanned(&node.handle(), &devnet).await;
    node.stop().await.unwrap();
    assert_eq!(Arc::strong_count(&store), 1, "nobody holds it any more");
    let again = on(&devnet).store(store).build().await.unwrap();
    assert_eq!(again.chain().tip().height, BlockHeight(111));
    assert_eq!(again.handle().balance(None).confirmed, Amount::from_sat(3_000));
    again.stop().await.unwrap();
}

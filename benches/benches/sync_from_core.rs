//! Headers, or headers and all compact filters, from a real Bitcoin Core over loopback: ours, verified
//! by all rules and stored on disk, beside the `bip157` crate, which stores nothing.
//!
//! Peak memory is measured in a process of its own for each: what the allocator has handed out,
//! and what was resident. (sled is handed 22 MB of zeros for statistics that it never touches.)

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a bench")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use criterion::Throughput;
use ironlight::filters::FilterConfig;
use ironlight::store::Backend;
use ironlight::{BlockHeight, Network, Node, NodeConfig, Storage};
use ironlight_benches::recorded::{Unit, peak_resident, record};
use ironlight_benches::settings::{JOURNEYS, asked_for};
use ironlight_tests::BitcoinCore;
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, usize::MAX);

const NAME: &str = "sync_from_core";
const BLOCKS: u32 = 46_000;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// What is fetched.
#[derive(Clone, Copy, PartialEq)]
enum What {
    Headers,
    Filters,
}

impl What {
    const ALL: [Self; 2] = [Self::Headers, Self::Filters];

    fn name(self) -> &'static str {
        match self {
            Self::Headers => "headers",
            Self::Filters => "filters",
        }
    }

    fn group(self) -> String {
        format!("{}_from_core", self.name())
    }
}

/// From nothing on disk to all headers verified, stored and published, and all filters.
async fn ours(peer: SocketAddr, storage: Storage, tip: &str, what: What) -> Duration {
    let started = Instant::now();
    let config = NodeConfig {
        storage,
        connect: vec![peer],
        dns_seeds: false,
        filters: FilterConfig {
            from: (what == What::Filters).then_some(BlockHeight(0)),
            ..FilterConfig::default()
        },
        ..NodeConfig::new(Network::Regtest)
    };
    let node = Node::start(config).await.unwrap();
    let synced = node.chain().synced().await.unwrap();
    if what == What::Filters {
        let filters = node.filters().synced().await.unwrap();
        assert_eq!(filters.headers, Some(BlockHeight(BLOCKS)));
    }
    let spent = started.elapsed();
    assert_eq!(synced.hash.to_string(), tip);
    node.stop().await.unwrap();
    spent
}

async fn theirs(peer: SocketAddr, tip: &str, what: What) -> Duration {
    use bip157::chain::BlockHeaderChanges;
    let started = Instant::now();
    let builder = bip157::Builder::new(bip157::Network::Regtest)
        .add_peer(bip157::TrustedPeer::from_socket_addr(peer))
        .whitelist_only()
        .required_peers(1);
    let builder = if what == What::Headers { builder.headers_only_sync() } else { builder };
    let (node, client) = builder.build();
    let running = tokio::spawn(async move { node.run().await });
    let bip157::Client { requester, mut info_rx, mut warn_rx, mut event_rx } = client;
    let drain = tokio::spawn(async move {
        loop {
            tokio::select! {
                info = info_rx.recv() => if info.is_none() { break },
                warning = warn_rx.recv() => if warning.is_none() { break },
            }
        }
    });
    loop {
        let found = match event_rx.recv().await.unwrap() {
            bip157::Event::ChainUpdate(BlockHeaderChanges::Connected(header))
                if what == What::Headers =>
            {
                header.block_hash().to_string()
            }
            bip157::Event::FiltersSynced(update) => update.tip().hash.to_string(),
            bip157::Event::ChainUpdate(_) | bip157::Event::IndexedFilter(_) => continue,
        };
        if found == tip {
            break;
        }
    }
    let spent = started.elapsed();
    requester.shutdown().unwrap();
    let _ = running.await;
    drain.abort();
    spent
}

fn stored(backend: Backend) -> (tempfile::TempDir, Storage) {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().to_owned();
    (directory, Storage::Disk { data_dir, backend: Some(backend) })
}

/// Names the way to sync in a process that only measures memory.
const MEASURE: &str = "IRONLIGHT_BENCH_MEASURE";

/// Who syncs.
#[derive(Clone, Copy)]
enum Way {
    Ours(Backend),
    Theirs,
}

impl Way {
    const ALL: [Self; 3] = [Self::Ours(Backend::Sled), Self::Ours(Backend::Redb), Self::Theirs];

    fn name(self) -> &'static str {
        match self {
            Self::Ours(Backend::Redb) => "ironlight-redb",
            Self::Ours(_) => "ironlight-sled",
            Self::Theirs => "bip157",
        }
    }

    fn sync(self, runtime: &Runtime, peer: SocketAddr, tip: &str, what: What) -> Duration {
        match self {
            Self::Ours(backend) => {
                let (_directory, storage) = stored(backend);
                runtime.block_on(ours(peer, storage, tip, what))
            }
            Self::Theirs => runtime.block_on(theirs(peer, tip, what)),
        }
    }

    /// Prints the peaks of one sync in a process of its own.
    fn measure_memory(self, peer: SocketAddr, tip: &str, what: What) {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .env(MEASURE, format!("{} {peer} {tip} {}", self.name(), what.name()))
            .status()
            .unwrap();
        assert!(status.success());
    }
}

/// The measuring process: one sync, then its peaks.
fn measured(task: &str) {
    let [name, peer, tip, what] = task.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let way = Way::ALL.into_iter().find(|way| way.name() == name).unwrap();
    let what = What::ALL.into_iter().find(|known| known.name() == what).unwrap();
    way.sync(&runtime(), peer.parse().unwrap(), tip, what);
    let told = |kind| format!("{name}, {}, {kind}", what.name());
    record(NAME, &told("handed out"), bytes(ALLOCATOR.max_allocated()), Unit::Bytes);
    if let Some(peak) = peak_resident("self") {
        record(NAME, &told("resident"), peak, Unit::Bytes);
    }
}

fn main() {
    if let Ok(task) = std::env::var(MEASURE) {
        return measured(&task);
    }
    if !What::ALL.iter().any(|what| asked_for(&what.group())) {
        return;
    }
    if std::env::var_os("BITCOIND_EXE").is_none() {
        println!("not run: needs Bitcoin Core (BITCOIND_EXE)");
        return;
    }
    let mut core = BitcoinCore::start(&["-blockfilterindex=1", "-peerblockfilters=1"]);
    let tip = core.mine(BLOCKS);
    let peer = core.address();
    let runtime = runtime();
    let mut criterion = JOURNEYS.criterion().configure_from_args();
    for what in What::ALL {
        for way in Way::ALL {
            way.measure_memory(peer, &tip, what);
        }
        let mut group = criterion.benchmark_group(what.group());
        group.throughput(Throughput::Elements(u64::from(BLOCKS)));
        for way in Way::ALL {
            group.bench_function(way.name(), |bencher| {
                bencher.iter_custom(|rounds| {
                    (0..rounds).map(|_| way.sync(&runtime, peer, &tip, what)).sum()
                });
            });
        }
        group.finish();
    }
    criterion.final_summary();
}

#[allow(clippy::cast_precision_loss, reason = "a figure for people to read")]
fn bytes(count: usize) -> f64 {
    count as f64
}

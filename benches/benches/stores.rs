//! What keeping the chain costs, in the way in which a node keeps it: 100,000 headers in the batches that peers send, each
//! on the disk before the next; a restart, which verifies every header again; a reorg of 6. In memory, sled and redb,
//! beside a flat file of 80-byte headers that is appended to and synced. The file knows neither checksums nor tables nor
//! atomic batches: it is what nothing can be faster than.
//!
//! Verifying is timed in no sync and no reorg, since it is the same for all. In all restarts it is.

#![allow(clippy::panic, clippy::print_stdout, reason = "a bench prints, and ends where it fails")]

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ironlight::store::{self, Backend, MemoryStore, Options, Store, headers};
use ironlight_benches::recorded::{Unit, record};
use ironlight_benches::settings::{JOURNEYS, asked_for};
use ironlight_spv::generate::Miner;
use ironlight_spv::{
    Header, HeaderChain, HeaderRun, Network, Params, TipChange, UnixTime, VerifiedBatch,
};
use tempfile::TempDir;

const HEADERS: usize = 100_000;
/// The headers of a full message.
const BATCH: usize = 2_000;
/// Headers that the reorg takes off.
const DEPTH: usize = 6;

fn must<T, E: core::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

/// The chain up to the fork, the headers on top of it, and those that take over.
struct Input {
    headers: Vec<Header>,
    at_fork: HeaderChain,
    top: Vec<Header>,
    branch: Vec<Header>,
}

fn input() -> Input {
    let mut miner = Miner::new(1);
    let headers = miner.run(&regtest().params().genesis, HEADERS, 600);
    let mut at_fork = regtest();
    let (below, top) = headers.split_at(HEADERS - DEPTH);
    for batch in below.chunks(BATCH) {
        let verified = verified(&at_fork, batch);
        must(at_fork.apply(verified));
    }
    let Some(fork) = below.last() else { panic!("there are as many") };
    let branch = miner.run(fork, DEPTH + 1, 601);
    Input { at_fork, top: top.to_vec(), branch, headers }
}

fn regtest() -> HeaderChain {
    HeaderChain::new(Params::new(Network::Regtest))
}

fn verified(chain: &HeaderChain, headers: &[Header]) -> VerifiedBatch {
    must(chain.verify(headers, UnixTime::MAX))
}

/// Where a chain is kept.
#[derive(Clone, Copy)]
enum Kind {
    Memory,
    Disk(Backend),
    Flat,
}

const KINDS: [(&str, Kind); 4] = [
    ("sled", Kind::Disk(Backend::Sled)),
    ("redb", Kind::Disk(Backend::Redb)),
    ("memory", Kind::Memory),
    ("flat file", Kind::Flat),
];

enum Kept {
    Rows(Arc<dyn Store>),
    Flat(File),
}

impl Kind {
    /// Opens it, or makes it.
    fn open(self, directory: &Path) -> Kept {
        match self {
            Self::Memory => Kept::Rows(Arc::new(MemoryStore::new())),
            Self::Disk(backend) => {
                let options = Options { dir: directory.to_owned(), backend: Some(backend), now: 0 };
                Kept::Rows(must(store::open(options)).store)
            }
            Self::Flat => {
                let mut options = OpenOptions::new();
                let options = options.read(true).write(true).create(true).truncate(false);
                Kept::Flat(must(options.open(directory.join("headers"))))
            }
        }
    }
}

impl Kept {
    fn begin(&mut self, chain: &HeaderChain) {
        match self {
            Self::Rows(store) => must(store.commit(headers::begin(chain))),
            Self::Flat(file) => must(file.set_len(0)),
        }
    }

    /// Takes what is kept to where the change takes the chain, on the disk when it returns.
    fn commit(&mut self, chain: &HeaderChain, change: &TipChange) {
        match self {
            Self::Rows(store) => must(store.commit(headers::batch_for(chain, change))),
            Self::Flat(file) => must(append(file, connected(change))),
        }
    }

    /// The chain, every header verified again.
    fn load(&mut self) -> HeaderChain {
        match self {
            Self::Rows(store) => {
                let loaded = must(headers::load(store.as_ref(), &Params::new(Network::Regtest)));
                let Some(loaded) = loaded else { panic!("a chain is stored") };
                assert_eq!(loaded.cut, None);
                loaded.chain
            }
            Self::Flat(file) => must(read(file)),
        }
    }

    fn bytes(&self, directory: &Path) -> u64 {
        match self {
            Self::Rows(store) => must(store.bytes_on_disk()),
            Self::Flat(_) => must(directory.join("headers").metadata()).len(),
        }
    }
}

fn connected(change: &TipChange) -> &HeaderRun {
    match change {
        TipChange::Extended { connected } | TipChange::Reorg { connected, .. } => connected,
        TipChange::Unchanged => panic!("each batch changes the tip"),
    }
}

/// The place of a height in the file, which begins with height 1.
fn append(file: &mut File, connected: &HeaderRun) -> std::io::Result<()> {
    let place = u64::from(connected.first_height().0 - 1) * Header::SIZE as u64;
    file.set_len(place)?;
    file.seek(SeekFrom::Start(place))?;
    let bytes: Vec<u8> = connected.headers().iter().flat_map(|header| *header.as_bytes()).collect();
    file.write_all(&bytes)?;
    file.sync_data()
}

fn read(file: &mut File) -> std::io::Result<HeaderChain> {
    let (mut chain, mut bytes) = (regtest(), Vec::new());
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    let (headers, _) = bytes.as_chunks::<{ Header::SIZE }>();
    for chunk in headers.chunks(2_016) {
        let chunk: Vec<_> = chunk.iter().copied().map(Header::from_bytes).collect();
        let verified = verified(&chain, &chunk);
        must(chain.apply(verified));
    }
    Ok(chain)
}

/// A new place with the whole chain, and how long its commits took.
fn synced(kind: Kind, input: &Input) -> (TempDir, Kept, Duration) {
    let directory = must(tempfile::tempdir());
    let (mut kept, mut chain) = (kind.open(directory.path()), regtest());
    kept.begin(&chain);
    let mut took = Duration::ZERO;
    for batch in input.headers.chunks(BATCH) {
        let verified = verified(&chain, batch);
        let start = Instant::now();
        kept.commit(&chain, black_box(verified.change()));
        took += start.elapsed();
        must(chain.apply(verified));
    }
    (directory, kept, took)
}

/// The reorg so many times, and how long its commits took. In between the old headers come back, which does not count.
fn reorganised(kept: &mut Kept, input: &Input, times: u64) -> Duration {
    let back = verified(&input.at_fork, &input.top);
    let mut chain = input.at_fork.clone();
    must(chain.apply(back.clone()));
    let over = verified(&chain, &input.branch);
    let mut took = Duration::ZERO;
    for _ in 0..times {
        kept.commit(&input.at_fork, back.change());
        let start = Instant::now();
        kept.commit(&chain, black_box(over.change()));
        took += start.elapsed();
    }
    took
}

/// All hold the same chain after the sync and after the reorg, and where they are on disk after a restart, too.
fn assert_equal_chains(name: &str, kind: Kind, input: &Input) {
    let (directory, mut kept, _) = synced(kind, input);
    assert_eq!(
        kept.load().tip().hash,
        input.headers.last().map(Header::hash).unwrap_or_else(|| panic!("a tip"))
    );
    record(
        "stores",
        &format!("{name}: bytes of 100,000 headers"),
        bytes(kept.bytes(directory.path())),
        Unit::Bytes,
    );
    reorganised(&mut kept, input, 2);
    let tip = input.branch.last().map(Header::hash);
    assert_eq!(Some(kept.load().tip().hash), tip);
    if !matches!(kind, Kind::Memory) {
        drop(kept);
        assert_eq!(Some(kind.open(directory.path()).load().tip().hash), tip);
    }
}

#[allow(clippy::cast_precision_loss, reason = "far below 53 bits")]
fn bytes(count: u64) -> f64 {
    count as f64
}

fn stores(criterion: &mut Criterion) {
    if !asked_for("stores") {
        return;
    }
    let input = input();
    let mut group = criterion.benchmark_group("stores");
    for (name, kind) in KINDS {
        assert_equal_chains(name, kind, &input);
        group.throughput(Throughput::Elements(HEADERS as u64));
        group.bench_function(format!("sync: {name}"), |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| synced(kind, &input).2).sum());
        });
        let (directory, mut kept, _) = synced(kind, &input);
        group.throughput(Throughput::Elements(DEPTH as u64));
        group.bench_function(format!("reorg: {name}"), |bencher| {
            bencher.iter_custom(|times| reorganised(&mut kept, &input, times));
        });
        drop(kept);
        if matches!(kind, Kind::Memory) {
            println!("stores/restart: memory: nothing is left of it");
            continue;
        }
        group.throughput(Throughput::Elements(HEADERS as u64));
        group.bench_function(format!("restart: {name}"), |bencher| {
            let open = |()| {
                let mut kept = kind.open(directory.path());
                (kept.load(), kept)
            };
            // One after the other: a directory is open once at a time.
            bencher.iter_batched(|| (), open, BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = JOURNEYS.criterion(); targets = stores }
criterion_main!(benches);

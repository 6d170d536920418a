//! A million headers from one light node to another over loopback: two processes of the program
//! `ironlight`, all rules checked, stored on disk, minimum chain work 0.
//!
//! Page by page from one or from two such nodes, and as chunks of a snapshot from two; over loopback, and
//! over lines of 50 ms there and back and 4 MB a second each, once. `IRONLIGHT_BENCH_HEADERS` makes it another
//! number of headers.
//!
//! The time is that from the start of the receiving process to its tip being stored and announced.
//! This bench is that program where the environment says so, so both are built alike. Peak memory
//! is the receiver's: what its allocator has handed out, and what was resident.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    reason = "a bench"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use criterion::Throughput;
use ironlight::spv::generate::Miner;
use ironlight::{Network, Params};
use ironlight_benches::recorded::{Unit, peak_resident, record};
use ironlight_benches::settings::{JOURNEYS, asked_for};
use ironlight_tests::Wire;

#[global_allocator]
static ALLOCATOR: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, usize::MAX);

const NAME: &str = "sync_over_libp2p";

/// So many headers, unless the environment says otherwise.
fn headers() -> usize {
    let told = std::env::var("IRONLIGHT_BENCH_HEADERS");
    told.map_or(1_000_000, |told| told.parse().unwrap())
}

/// Set where this process is to be the program.
const AS_PROGRAM: &str = "IRONLIGHT_BENCH_AS_PROGRAM";
const PEAK: &str = "peak of the allocator: ";

/// The program, to be given arguments.
fn program() -> Command {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.env(AS_PROGRAM, "1").stdin(Stdio::null()).stdout(Stdio::null());
    program
}

/// A light node as a process, with its log.
struct Node {
    process: Child,
    log: BufReader<std::process::ChildStderr>,
}

impl Node {
    fn start(data_dir: &Path, options: &[&str]) -> Self {
        let mut process = program()
            .args(["--log-format", "json", "run", "--network", "regtest", "--min-chain-work", "0"])
            .args(["--networks", "libp2p", "--no-seeds", "--data-dir"])
            .arg(data_dir)
            .args(options)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        Self { process, log }
    }

    /// Reads its log up to a message and gives its fields.
    fn wait_for(&mut self, message: &str) -> serde_json::Value {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            assert!(self.log.read_line(&mut line).unwrap() > 0, "no {message:?} in\n{seen}");
            let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            let fields = event.get("fields").cloned().unwrap_or_default();
            if fields.get("message").is_some_and(|found| found == message) {
                return fields;
            }
            seen.push_str(&line);
        }
    }

    /// Ends it in order and gives the bytes that its allocator has handed out at most.
    fn stop(mut self) -> f64 {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let peak = (&mut self.log)
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix(PEAK).and_then(|bytes| bytes.parse::<f64>().ok()));
        assert!(self.process.wait().unwrap().success());
        peak.unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The chain as a file, and its tip.
fn chain(directory: &Path) -> (PathBuf, String) {
    let genesis = Params::new(Network::Regtest).genesis;
    let chain = Miner::new(1).run(&genesis, headers(), 60);
    let file = directory.join("headers.bin");
    let mut out = std::io::BufWriter::new(std::fs::File::create(&file).unwrap());
    std::iter::once(&genesis).chain(&chain).for_each(|h| out.write_all(h.as_bytes()).unwrap());
    out.into_inner().unwrap();
    (file, chain.last().unwrap().hash().to_string())
}

/// A node that has the chain and serves it; and where, by TCP and by QUIC.
fn server(data_dir: &Path, file: &Path, ip: &str) -> (Node, [String; 2]) {
    let imported = program()
        .args(["headers", "import", "--network", "regtest", "--data-dir"])
        .args([data_dir, file])
        .stderr(Stdio::null())
        .status();
    assert!(imported.unwrap().success());
    let mut node = Node::start(
        data_dir,
        &["--listen", &format!("/ip4/{ip}/tcp/0"), "--listen", &format!("/ip4/{ip}/udp/0/quic-v1")],
    );
    let mut addresses = [(); 2].map(|()| {
        let told = node.wait_for("listening for light nodes");
        told["address"].as_str().unwrap().to_owned()
    });
    addresses.sort_by_key(|address| address.contains("quic"));
    (node, addresses)
}

/// The same address at the end of a slow line: 50 ms there and back, 4 MB a second.
fn slowed(address: &str) -> (Wire, String) {
    let mut parts = address.split('/').skip(2).step_by(2);
    let (ip, port) = (parts.next().unwrap(), parts.next().unwrap());
    let far = format!("{ip}:{port}").parse().unwrap();
    let wire = Wire::slow(far, 4_000_000, Duration::from_millis(25));
    let near = address.replacen(port, &wire.address().port().to_string(), 1);
    (wire, near)
}

/// A way to sync: the backend, and what the receiver is told beside.
struct Way {
    name: &'static str,
    backend: &'static str,
    options: Vec<String>,
}

impl Way {
    fn new(name: &'static str, backend: &'static str, from: &[&String], pages: bool) -> Self {
        let peers = from.iter().flat_map(|peer| ["--peer".to_owned(), (*peer).clone()]);
        let pages = pages.then(|| "--no-snapshots".to_owned());
        Self { name, backend, options: peers.chain(pages).collect() }
    }
}

/// One sync: the time it took, and the receiver.
fn receive(directory: &Path, way: &Way, tip: &str) -> (Duration, Node) {
    let data_dir = directory.join("receiver");
    let _ = std::fs::remove_dir_all(&data_dir);
    let options =
        ["--store", way.backend].into_iter().chain(way.options.iter().map(String::as_str));
    let options: Vec<&str> = options.collect();
    let started = Instant::now();
    let mut node = Node::start(&data_dir, &options);
    let synced = node.wait_for("synced");
    let spent = started.elapsed();
    assert_eq!(synced["height"].as_u64(), u64::try_from(headers()).ok());
    assert_eq!(synced["hash"].as_str(), Some(tip));
    (spent, node)
}

fn bench() {
    if !asked_for(NAME) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let (file, tip) = chain(directory);
    let (_one, [tcp, quic]) = server(&directory.join("one"), &file, "127.0.0.1");
    let (_two, [second, _]) = server(&directory.join("two"), &file, "127.0.0.2");
    let (_near, slow) = slowed(&tcp);
    let (_far, slow_second) = slowed(&second);
    let ways = [
        Way::new("sled-tcp", "sled", &[&tcp], true),
        Way::new("redb-tcp", "redb", &[&tcp], true),
        Way::new("sled-quic", "sled", &[&quic], true),
        Way::new("pages-from-two", "sled", &[&tcp, &second], true),
        Way::new("chunks-from-two", "sled", &[&tcp, &second], false),
        Way::new("slow-pages-from-two", "sled", &[&slow, &slow_second], true),
        Way::new("slow-chunks-from-two", "sled", &[&slow, &slow_second], false),
    ];
    for way in &ways {
        let (spent, node) = receive(directory, way, &tip);
        let told = |kind| format!("{}, {kind}", way.name);
        record(NAME, &told("once"), spent.as_secs_f64() * 1e9, Unit::Nanoseconds);
        if let Some(bytes) = peak_resident(&node.process.id().to_string()) {
            record(NAME, &told("resident"), bytes, Unit::Bytes);
        }
        record(NAME, &told("handed out"), node.stop(), Unit::Bytes);
    }

    let mut criterion = JOURNEYS.criterion().configure_from_args();
    let mut group = criterion.benchmark_group(NAME);
    group.throughput(Throughput::Elements(u64::try_from(headers()).unwrap()));
    // What takes as long as its line does is done once: ten times would take minutes and say the same.
    for way in ways.iter().filter(|way| !way.name.starts_with("slow")) {
        group.bench_function(way.name, |bencher| {
            bencher
                .iter_custom(|rounds| (0..rounds).map(|_| receive(directory, way, &tip).0).sum());
        });
    }
    group.finish();
    criterion.final_summary();
}

fn main() -> ExitCode {
    if std::env::var_os(AS_PROGRAM).is_none() {
        bench();
        return ExitCode::SUCCESS;
    }
    let done = ironlight::cli::main();
    eprintln!("{PEAK}{}", ALLOCATOR.max_allocated());
    done
}

//! A fresh light node fetches the chain by chunks of a snapshot from three light nodes at once, each a
//! process of its own. One of them, which shares no code with ours, sends chunks that are not what their
//! addresses say.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a panic is the test's failure"
)]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bitcoin::hashes::Hash as _;
use bitcoin::hex::DisplayHex as _;
use ironlight_spv::generate::Miner;
use ironlight_spv::{Header, Network, Params};
use ironlight_tests::{Daemon, eventually};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(120);
const PERIODS: usize = 5;
/// Five whole periods, and some more, which come page by page.
const HEADERS: usize = PERIODS * 2016 + 100;

/// The chain, its snapshot, and its periods' addresses, as files.
struct Chain {
    directory: tempfile::TempDir,
    tip: String,
}

impl Chain {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let genesis = Params::new(Network::Regtest).genesis;
        let headers = [vec![genesis], Miner::new(1).run(&genesis, HEADERS, 600)].concat();
        let bytes: Vec<u8> = headers.iter().flat_map(|header| *header.as_bytes()).collect();
        std::fs::write(directory.path().join("headers"), bytes).unwrap();
        let mut addresses = String::new();
        for last in headers.iter().skip(2015).step_by(2016) {
            let hash = last.hash().to_byte_array();
            writeln!(addresses, "{}", hash.as_hex()).unwrap();
        }
        assert_eq!(addresses.lines().count(), PERIODS);
        std::fs::write(directory.path().join("addresses"), addresses).unwrap();
        let tip = headers.last().map(Header::hash).unwrap().to_string();
        Self { directory, tip }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A node of ours that has it, at an address of loopback; and where it listens.
    fn server(&self, name: &str, ip: &str) -> (Daemon, String) {
        let data_dir = self.path(name);
        run(&["headers", "import", self.path("headers").to_str().unwrap()], &data_dir);
        let listen = format!("/ip4/{ip}/tcp/0");
        let mut node = Daemon::start(&data_dir, &["--networks", "libp2p", "--listen", &listen]);
        let address = node.line("listening for light nodes", LIMIT)["address"].clone();
        (node, address.as_str().unwrap().to_owned())
    }

    /// A node of ours that has nothing, once it has all of it; its log line with a message, too.
    fn receive(&self, name: &str, peers: &[&str], options: &[&str]) -> Daemon {
        let peers = peers.iter().flat_map(|peer| ["--peer", peer]);
        let options: Vec<&str> =
            ["--networks", "libp2p"].into_iter().chain(peers).chain(options.to_vec()).collect();
        let mut node = Daemon::start(&self.path(name), &options);
        node.reaches(&self.tip, LIMIT);
        node
    }
}

impl Chain {
    /// A node of ours that has nothing, once it has all of it by snapshot as it is wanted, and what it says of
    /// that. On a busy machine a peer may join or answer too late to take part: then another one tries.
    fn catch_up(&self, name: &str, peers: &[&str], as_wanted: fn(&Value) -> bool) -> CaughtUp {
        for attempt in 1..=5 {
            let name = format!("{name}-{attempt}");
            let mut node = self.receive(&name, peers, &[]);
            match logged(&mut node, "caught up by snapshot") {
                Some(said) if as_wanted(&said) => return CaughtUp { node, name, said },
                other => println!("attempt {attempt}: {other:?}"),
            }
            assert!(node.stop().success());
        }
        panic!("no fresh node of five caught up as wanted");
    }
}

/// A node that has caught up by snapshot.
struct CaughtUp {
    node: Daemon,
    /// Its directory's name.
    name: String,
    said: Value,
}

/// A light node that is not ours.
struct Liar {
    process: Child,
    address: String,
}

impl Liar {
    fn start(chain: &Chain, from: &Path, ip: &str) -> Self {
        let snapshot = chain.path("chain.snapshot");
        run(&["snapshot", "create", snapshot.to_str().unwrap()], from);
        let mut process = Command::new(env!("CARGO_BIN_EXE_chunk_liar"))
            .args([&snapshot, &chain.path("addresses")])
            .arg(format!("/ip4/{ip}/tcp/0"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { process, address: address.trim().to_owned() }
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(arguments: &[&str], data_dir: &Path) -> String {
    let place = ["--network", "regtest", "--data-dir", data_dir.to_str().unwrap()];
    let output = Daemon::command(&[arguments, &place].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", text(output.stderr));
    text(output.stdout)
}

fn logged(node: &mut Daemon, message: &str) -> Option<Value> {
    let fields = node.lines().iter().map(|line| &line["fields"]);
    fields.into_iter().find(|fields| fields["message"] == message).cloned()
}

/// Bytes that a running node has received for some purposes.
fn received(data_dir: &Path, purposes: &[&str]) -> u64 {
    let peers: Value = serde_json::from_str(&run(&["peers", "--json"], data_dir)).unwrap();
    let bytes = peers["networks"][0]["bytes"].as_array().unwrap().clone();
    let of = |bytes: &Value| purposes.iter().any(|purpose| bytes["purpose"] == *purpose);
    bytes.iter().filter(|bytes| of(bytes)).map(|bytes| bytes["bytes_in"].as_u64().unwrap()).sum()
}

#[test]
fn a_fresh_node_fetches_chunks_from_several_and_finds_out_who_lies() {
    let chain = Chain::new();
    // Stored and closed, so that the snapshot can be made of it.
    let store = chain.path("store");
    run(&["headers", "import", chain.path("headers").to_str().unwrap()], &store);
    let liar = Liar::start(&chain, &store, "127.0.0.3");
    let (one, first) = chain.server("one", "127.0.0.1");
    let (two, second) = chain.server("two", "127.0.0.2");

    // Chunks come from both honest ones and nobody else.
    let as_wanted = |said: &Value| said["peers"] == 2 && said["false_chunks"] == 1;
    let CaughtUp { node: mut fresh, name, said } =
        chain.catch_up("fresh", &[&first, &second, &liar.address], as_wanted);
    println!("with a liar: {said}");
    assert_eq!(said["headers"], 2016 * PERIODS);
    let accused = "a light node misbehaved";
    eventually("the liar is found out", LIMIT, || logged(&mut fresh, accused).is_some());
    let accused = logged(&mut fresh, accused).unwrap();
    assert_eq!(accused["offence"], "FalseChunk");
    assert!(liar.address.ends_with(accused["id"].as_str().unwrap()), "{accused}");
    assert!(fresh.stop().success());
    let log = run(&["audit", "show", "--json"], &chain.path(&name));
    let record = log.lines().find(|line| line.contains("FalseChunk")).unwrap();
    assert!(record.contains(&liar.address), "{record}");

    let by_snapshot = chain.catch_up("chunks", &[&first, &second], |_| true);
    let chunks = received(&chain.path(&by_snapshot.name), &["snapshots", "headers"]);
    let by_pages = chain.receive("pages", &[&first, &second], &["--no-snapshots"]);
    let pages = received(&chain.path("pages"), &["snapshots", "headers"]);
    println!("{HEADERS} headers: {chunks} bytes by snapshot, {pages} bytes by pages");
    assert!(chunks < pages, "{chunks} {pages}");
    assert_eq!(received(&chain.path("pages"), &["snapshots"]), 0);
    for node in [by_snapshot.node, by_pages, one, two] {
        assert!(node.stop().success());
    }
}

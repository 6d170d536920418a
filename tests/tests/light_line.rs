//! Five light nodes in a line, each a process that knows one neighbour: a tip goes from the full
//! node at one end to the light node at the other, also after the middle one was killed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a panic is the test's failure"
)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ironlight::devnet::{Devnet, DevnetConfig};
use ironlight_tests::{Daemon, free_port};
use tokio::runtime::Runtime;

/// What is promised from a block being mined to all five having it.
const PROMISED: Duration = Duration::from_secs(2);
/// For all that is not promised.
const LIMIT: Duration = Duration::from_secs(30);
const NODES: usize = 5;
const MIDDLE: usize = 2;

struct Line {
    directory: tempfile::TempDir,
    full_node: SocketAddr,
    ports: [u16; NODES],
    nodes: Vec<Option<Daemon>>,
}

impl Line {
    fn start(full_node: SocketAddr) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ports = [(); NODES].map(|()| free_port());
        let mut line = Self { directory, full_node, ports, nodes: Vec::new() };
        for at in 0..NODES {
            let node = line.run(at);
            line.nodes.push(Some(node));
        }
        line
    }

    /// The first one has the full node, each other one the node before it.
    fn run(&self, at: usize) -> Daemon {
        let listen = format!("/ip4/127.0.0.1/tcp/{}", self.ports[at]);
        let full_node = self.full_node.to_string();
        let neighbour =
            at.checked_sub(1).map(|before| format!("/ip4/127.0.0.1/tcp/{}", self.ports[before]));
        let options = match &neighbour {
            None => ["--networks", "bitcoin,libp2p", "--listen", &listen, "--connect", &full_node],
            Some(peer) => ["--networks", "libp2p", "--listen", &listen, "--peer", peer],
        };
        let mut node = Daemon::start(&self.data_dir(at), &options);
        node.line("listening for light nodes", LIMIT);
        node
    }

    fn data_dir(&self, at: usize) -> PathBuf {
        self.directory.path().join(at.to_string())
    }

    fn reach(&mut self, nodes: std::ops::Range<usize>, tip: &str, within: Duration) {
        let started = Instant::now();
        for at in nodes {
            let left = within.saturating_sub(started.elapsed());
            self.nodes[at].as_mut().unwrap().reaches(tip, left);
        }
        println!("after {:?}", started.elapsed());
    }
}

fn stored_height(data_dir: &Path) -> u64 {
    let told = Daemon::command(&[
        "status",
        "--json",
        "--network",
        "regtest",
        "--data-dir",
        data_dir.to_str().unwrap(),
    ]);
    let status: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    status["tip"]["height"].as_u64().unwrap()
}

#[test]
fn five_nodes_in_a_line_follow_a_tip_and_heal_when_the_middle_one_was_killed() {
    let runtime = Runtime::new().unwrap();
    let config = DevnetConfig { blocks: 500, ..DevnetConfig::default() };
    let devnet = runtime.block_on(Devnet::start(config)).unwrap();
    let mine = |count| {
        runtime.block_on(devnet.mine(count)).unwrap();
        devnet.tip().hash.to_string()
    };
    let mut line = Line::start(devnet.address());
    line.reach(0..NODES, &devnet.tip().hash.to_string(), LIMIT);
    for _ in 0..3 {
        let tip = mine(1);
        line.reach(0..NODES, &tip, PROMISED);
    }
    let branch = runtime.block_on(devnet.reorg(3)).unwrap();
    assert_eq!(branch.disconnected.len(), 3);
    line.reach(0..NODES, &devnet.tip().hash.to_string(), PROMISED);

    line.nodes[MIDDLE].take().unwrap().kill();
    let tip = mine(2);
    line.reach(0..MIDDLE, &tip, PROMISED);
    let behind = stored_height(&line.data_dir(NODES - 1));
    assert_eq!(behind, u64::from(devnet.tip().height.0) - 2, "nothing goes around the middle one");
    line.nodes[MIDDLE] = Some(line.run(MIDDLE));
    line.reach(MIDDLE..NODES, &tip, LIMIT);
    let tip = mine(1);
    line.reach(0..NODES, &tip, PROMISED);
    runtime.block_on(devnet.stop());
}

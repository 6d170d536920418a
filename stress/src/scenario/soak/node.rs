//! The node as a process: what it is, and what it says of itself.
//!
//! A process of its own, so that its memory, tasks and files are its own and not those of the
//! devnet, which keeps every block, nor of the clients.

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ironlight::net::swarm::LightNetConfig;
use ironlight::{Network, Node, NodeConfig, NodeError, Storage};
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};

use super::super::rig::Rig;
use crate::measure::MemoryProbe;

/// The argument that makes the program such a node.
pub(crate) const NODE: &str = "soak-node";
/// Events that it keeps for subscribers: so few that the ring is full within minutes, and not an hour
/// later, when it would look like a leak.
const EVENTS: usize = 256;
/// Bytes of blocks that it keeps, for the same reason: some forty of the devnet's.
const BLOCKS_KEPT: usize = 100_000;
/// Threads of its runtime.
const WORKERS: usize = 2;

/// What it says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standing {
    /// Bytes that it has asked its allocator for and not given back.
    pub(super) allocated: u64,
    /// Tasks that are not done.
    pub(super) tasks: u64,
    /// Where light nodes reach it.
    pub(super) listening: Vec<String>,
}

/// Why it did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SoakNodeError {
    /// Its pipes, or its runtime.
    #[error(transparent)]
    System(#[from] io::Error),
    /// It.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The address to listen on: a bug.
    #[error("no address of a light node: {0}")]
    Address(String),
    /// What it was to say: a bug.
    #[error(transparent)]
    Saying(#[from] serde_json::Error),
}

/// Runs a node on regtest that connects to these full nodes, keeps all in a directory with its
/// control socket, and serves light nodes on loopback. Each line of the input is answered by a line
/// of how it stands; at the end of the input it stops in order.
///
/// # Errors
/// [`SoakNodeError`].
pub fn run_soak_node(
    directory: PathBuf,
    connect: Vec<SocketAddr>,
    memory: &dyn MemoryProbe,
    input: impl BufRead,
    mut output: impl Write,
) -> Result<(), SoakNodeError> {
    let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    let socket = directory.join(Network::Regtest.name());
    let node = runtime.block_on(start(directory, connect, &socket))?;
    for line in input.lines() {
        line?;
        let standing = standing(&runtime, &node, memory);
        writeln!(output, "{}", serde_json::to_string(&standing)?)?;
        output.flush()?;
    }
    Ok(runtime.block_on(node.stop())?)
}

async fn start(
    directory: PathBuf,
    connect: Vec<SocketAddr>,
    socket: &Path,
) -> Result<Node, SoakNodeError> {
    let listen = "/ip4/127.0.0.1/tcp/0".parse();
    let listen = listen.map_err(|error| SoakNodeError::Address(format!("{error}")))?;
    let libp2p = LightNetConfig {
        listen: vec![listen],
        serve: true,
        allow_private: true,
        ..LightNetConfig::default()
    };
    let config = NodeConfig {
        storage: Storage::Disk { data_dir: directory, backend: None },
        libp2p: Some(libp2p),
        events_kept: EVENTS,
        block_cache: BLOCKS_KEPT,
        ..Rig::config(connect)
    };
    let mut node = Box::pin(Node::start(config)).await?;
    node.open_control_socket(socket)?;
    Ok(node)
}

fn standing(runtime: &Runtime, node: &Node, memory: &dyn MemoryProbe) -> Standing {
    let networks = runtime.block_on(node.networks());
    Standing {
        allocated: memory.current(),
        tasks: runtime.metrics().num_alive_tasks() as u64,
        listening: networks.into_iter().flat_map(|network| network.listening).collect(),
    }
}

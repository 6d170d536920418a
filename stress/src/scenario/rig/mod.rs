//! What scenarios with a real node stand on: a runtime, a devnet, and nodes that know nobody else.
//!
//! Every socket is on loopback. Nothing here sleeps to wait: nodes tell when they are where they
//! should be, and whatever is waited for ends with the round.
//!
//! The load is driven by the thread that calls [`Rig::within`], nodes and devnet by the runtime's
//! own, so that a [`Crowd`](crate::measure::Crowd) measures what its clients see.

use core::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;

use ironlight::api::client::ClientError;
use ironlight::chain::{ChainHandle, Phase, Stopped};
use ironlight::devnet::{Devnet, DevnetConfig};
use ironlight::hardening::health::HealthReport;
use ironlight::{ChainTip, Network, Node, NodeConfig, NodeError, Storage};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::ScenarioError;
use crate::measure::{Class, MemoryProbe, Meter, Remaining};
use crate::report::Bound;

/// Threads of the runtime: as many as the smallest machine has that nodes are run on.
const WORKERS: usize = 2;

/// A runtime, a devnet on it, and a directory for what a node keeps, given up in this order.
#[derive(Debug)]
pub struct Rig {
    devnet: Devnet,
    /// Whatever still runs ends with it, and before the directory is removed.
    runtime: Runtime,
    directory: TempDir,
}

impl Rig {
    /// A devnet with so many blocks, whose keys and choices follow from the seed.
    ///
    /// # Errors
    /// [`ScenarioError::Preparing`].
    pub fn start(seed: u64, blocks: u32) -> Result<Self, ScenarioError> {
        let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
        let runtime = runtime.map_err(ScenarioError::preparing("a runtime"))?;
        let directory = tempfile::tempdir().map_err(ScenarioError::preparing("a directory"))?;
        let config = DevnetConfig { seed, blocks, ..DevnetConfig::default() };
        let devnet = runtime.block_on(Devnet::start(config));
        let devnet = devnet.map_err(ScenarioError::preparing("a devnet"))?;
        Ok(Self { devnet, runtime, directory })
    }

    /// The full node.
    #[must_use]
    pub const fn devnet(&self) -> &Devnet {
        &self.devnet
    }

    /// A node on regtest that connects to these full nodes and nobody else, all in memory.
    pub fn config(connect: impl IntoIterator<Item = SocketAddr>) -> NodeConfig {
        NodeConfig {
            connect: connect.into_iter().collect(),
            dns_seeds: false,
            ..NodeConfig::new(Network::Regtest)
        }
    }

    /// The rig's directory as the place of one node's store.
    #[must_use]
    pub fn storage(&self) -> Storage {
        Storage::Disk { data_dir: self.directory.path().to_owned(), backend: None }
    }

    /// Where that store and its node's control socket are.
    #[must_use]
    pub fn network_dir(&self) -> PathBuf {
        self.directory.path().join(Network::Regtest.name())
    }

    /// Starts a node.
    ///
    /// # Errors
    /// [`ScenarioError::Preparing`].
    pub fn node(&self, config: NodeConfig) -> Result<Node, ScenarioError> {
        self.runtime.block_on(Node::start(config)).map_err(ScenarioError::preparing("a node"))
    }

    /// Has a node answer on the control socket in its directory.
    ///
    /// # Errors
    /// [`ScenarioError::Preparing`].
    pub fn open_control_socket(&self, node: &mut Node) -> Result<(), ScenarioError> {
        let _entered = self.runtime.enter();
        let opened = node.open_control_socket(&self.network_dir());
        opened.map_err(ScenarioError::preparing("a control socket"))
    }

    /// Mines blocks on the devnet and gives the new tip. Given up, some may be mined.
    ///
    /// # Errors
    /// [`ScenarioError::Preparing`].
    pub async fn mine(&self, blocks: u32) -> Result<ChainTip, ScenarioError> {
        self.devnet.mine(blocks).await.map_err(ScenarioError::preparing("blocks"))
    }

    /// Does something on this thread, the runtime's threads helping, until it is done or the round
    /// is over.
    ///
    /// # Errors
    /// Those of the work; [`ScenarioError::OutOfTime`] where it is given up.
    pub fn within<T>(
        &self,
        remaining: Remaining,
        work: impl Future<Output = Result<T, ScenarioError>>,
    ) -> Result<T, ScenarioError> {
        self.runtime.block_on(async {
            let done = tokio::time::timeout(remaining.left, work).await;
            done.unwrap_or_else(|_elapsed| Err(remaining.into()))
        })
    }

    /// Whether a node is ready, by its own checks.
    #[must_use]
    pub fn health(&self, node: &Node) -> Bound {
        let report: HealthReport = self.runtime.block_on(node.health());
        let status = report.status.name();
        Bound::judged("health at the end", &"ready", &status, report.passes())
    }

    /// Stops a node in order.
    #[must_use]
    pub fn stop(&self, node: Node) -> Bound {
        match self.runtime.block_on(node.stop()) {
            Ok(()) => stopped(&"in order", true),
            Err(error) => stopped(&error, false),
        }
    }
}

/// What memory was like before the load.
#[derive(Clone, Copy)]
pub struct Quiet<'a> {
    memory: &'a dyn MemoryProbe,
    before: u64,
}

impl core::fmt::Debug for Quiet<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Quiet").field("before", &self.before).finish_non_exhaustive()
    }
}

impl<'a> Quiet<'a> {
    /// The level now; none where nobody counts. The peak begins anew, and with it the round's: what
    /// was prepared before is left out of that too.
    #[must_use]
    pub fn now(meter: &Meter<'a>) -> Option<Self> {
        let memory = meter.memory().ok()?;
        memory.reset_peak();
        Some(Self { memory, before: memory.current() })
    }

    /// At the peak since then there were at most so many bytes more.
    #[must_use]
    pub fn at_most(&self, bytes: u64) -> Bound {
        let above = self.memory.peak().saturating_sub(self.before);
        Bound::at_most("memory above the quiet level", &bytes, &above, " bytes")
    }
}

fn stopped(how: &dyn core::fmt::Display, met: bool) -> Bound {
    Bound::judged("the node stops", &"in order", how, met)
}

/// Waits until a node's best chain ends in a block. Cancel safe.
///
/// # Errors
/// [`ScenarioError::Preparing`] where it stops before.
pub async fn reaches(chain: &ChainHandle, tip: ChainTip) -> Result<(), ScenarioError> {
    chain.when(|status| status.tip == tip).await.map(drop).map_err(stopped_early)
}

/// Waits until a node is synced to a block: no peer of it knows more. Cancel safe.
///
/// # Errors
/// [`ScenarioError::Preparing`] where it stops before.
pub async fn syncs(chain: &ChainHandle, tip: ChainTip) -> Result<(), ScenarioError> {
    let synced = chain.when(|status| status.tip == tip && status.phase == Phase::Synced).await;
    synced.map(drop).map_err(stopped_early)
}

/// A node stopped that was waited for.
#[must_use]
pub fn stopped_early(stopped: Stopped) -> ScenarioError {
    ScenarioError::preparing("a node")(NodeError::from(stopped))
}

/// The node answered that it cannot.
pub(crate) const REFUSED: Class = "refused";

/// What became of a request at the control socket that was not answered.
pub(crate) fn class_of(error: &ClientError) -> Class {
    match error {
        ClientError::NotRunning { .. } | ClientError::NotAllowed { .. } => "not_let_in",
        ClientError::Deadline { .. } => "deadline",
        ClientError::Refused(_) => REFUSED,
        ClientError::Unreadable(_) => "unreadable",
        _ => "another_error",
    }
}

//! A running node: what its owner holds, and its end.

mod config;
mod error;
mod start;

use ironlight_hardening::TokioTimer;
use ironlight_hardening::health::{HealthRegistry, HealthReport};
use ironlight_spv::Network;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::info;
#[cfg(feature = "daemon")]
use tracing::warn;

pub use self::config::{NodeConfig, StartPoint, Storage};
pub use self::error::NodeError;
use crate::audit::NodeAudit;
use crate::blocks::BlocksReport;
use crate::bridge::NetworksHandle;
use crate::builder::NodeBuilder;
use crate::chain::{ChainHandle, WriterError};
use crate::clock::Clock;
use crate::filters::Filters;
use crate::flags::NodeFlags;
use crate::handle::NodeHandle;
use crate::net::NetworkReport;
use crate::opened;
use crate::services::{Kept, Services, Tasks};
use crate::store::StoreError;

/// A running node. Dropping it without [`stop`](Self::stop) stops it as well, at once and still
/// safely: what was published is committed. Its tasks end, and its directory is free, as soon as the
/// runtime has seen to it; handles that are left keep neither.
#[derive(Debug)]
pub struct Node {
    /// The first to be given up: see its module.
    audit: NodeAudit,
    chain: ChainHandle,
    networks: NetworksHandle,
    health: HealthRegistry<TokioTimer>,
    notes: Vec<String>,
    flags: NodeFlags,
    services: Services,
    handle: NodeHandle,
    stop: CancellationToken,
    /// None once it has ended and its outcome was told.
    writer: Option<JoinHandle<Result<(), WriterError>>>,
    /// Those beside it. None of them ends by itself but for a store that fails.
    tasks: Tasks,
    #[cfg(feature = "daemon")]
    control: Option<JoinHandle<()>>,
    /// Open for as long as the audit log beside it: the last to be given up.
    _kept: Kept,
}

impl Node {
    /// Says step by step what a node is to be.
    pub fn builder(network: Network) -> NodeBuilder {
        NodeBuilder::new(network)
    }

    /// Opens the store, verifies the stored chain again, and starts to sync.
    ///
    /// With a start point and an empty store it waits for a peer that gives the start point's
    /// header. When the future is dropped, nothing goes on but a store that is just being opened;
    /// the directory is free again once it is.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn start(config: NodeConfig) -> Result<Self, NodeError> {
        config.check()?;
        let clock = Clock::start();
        let opened = opened::open(config.storage.clone(), &config.params, clock).await?;
        let audit = opened.audit.clone();
        // Large enough to be no part of the futures of whoever starts a node.
        let started = Box::pin(Self::start_on(config, opened, clock)).await;
        if let Err(error) = &started {
            audit.failed(error);
            audit.stop().await;
        }
        started
    }

    /// Reads the chain, and hears of its changes.
    #[must_use]
    pub const fn chain(&self) -> &ChainHandle {
        &self.chain
    }

    /// Which compact filters are there.
    #[must_use]
    pub const fn filters(&self) -> &Filters {
        &self.services.filters
    }

    /// What is watched, what the chain has for it, and what is brought to the network.
    #[cfg(feature = "wallet")]
    #[must_use]
    pub const fn wallet(&self) -> &crate::wallet::service::WalletHandle {
        &self.services.wallet
    }

    /// Reads the node and tells it what to do, from anywhere. Cheap to clone.
    #[must_use]
    pub fn handle(&self) -> NodeHandle {
        self.handle.clone()
    }

    /// Every network that the node is in, with its peers. Cancel safe.
    pub async fn networks(&self) -> Vec<NetworkReport> {
        self.networks.reports().await
    }

    /// Runs the checks of store, networks, sync and tip, and says how each is. Cancel safe.
    pub async fn health(&self) -> HealthReport {
        self.health.run_all().await;
        self.health.readiness()
    }

    /// What store, flags and audit log had to say when they were opened: damage found and mended,
    /// and what is done without.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What can be turned off while the node runs: `serving`, `gossip`, `discovery` and
    /// `hardening`. The first three are about light nodes.
    #[must_use]
    pub const fn flags(&self) -> &NodeFlags {
        &self.flags
    }

    /// Answers on the control socket in a directory, until the node stops.
    ///
    /// # Errors
    /// [`NodeError::Socket`].
    #[cfg(feature = "daemon")]
    pub fn open_control_socket(&mut self, directory: &std::path::Path) -> Result<(), NodeError> {
        let socket = crate::api::socket::ControlSocket::open(directory)?;
        let router = self.control_router();
        self.control = Some(tokio::spawn(socket.serve(router, self.stop.child_token())));
        Ok(())
    }

    /// What answers on the control socket, for those who serve it elsewhere. It asks nobody who they are: whoever
    /// reaches it can do all that the node's owner can.
    #[cfg(feature = "daemon")]
    pub fn control_router(&self) -> axum::Router {
        crate::api::router(
            self.chain.clone(),
            self.networks.clone(),
            self.health.clone(),
            self.flags.clone(),
            self.services.clone(),
        )
    }

    /// Waits until the node stops by itself, which it does only where something is wrong. Cancel
    /// safe.
    ///
    /// # Errors
    /// What is wrong; told once.
    pub async fn failed(&mut self) -> Result<(), NodeError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let ended = tokio::select! {
            outcome = writer => {
                self.writer = None;
                writer_ended(outcome)
            }
            Some(outcome) = self.tasks.join_next() => task_ended(outcome),
        };
        if let Err(error) = &ended {
            self.audit.failed(error);
        }
        ended
    }

    /// Waits for every task to end, and says what went wrong first.
    async fn ended(&mut self) -> Result<(), NodeError> {
        let mut first = Ok(());
        while let Some(outcome) = self.tasks.join_next().await {
            first = first.and(task_ended(outcome));
        }
        if let Some(writer) = self.writer.take() {
            first = first.and(writer_ended(writer.await));
        }
        if let Err(error) = &first {
            self.audit.failed(error);
        }
        first
    }

    /// Stops the node in order: control socket, peers, the writer once its last batch is
    /// committed, and the audit log once all is on the disk.
    ///
    /// # Errors
    /// What went wrong on the way out.
    pub async fn stop(mut self) -> Result<(), NodeError> {
        self.stop.cancel();
        #[cfg(feature = "daemon")]
        if let Some(control) = self.control.take()
            && let Err(error) = control.await
        {
            warn!(%error, "control socket");
        }
        let ended = self.ended().await;
        let BlocksReport { own, strangers, kept: (_, bytes) } = self.services.blocks.report();
        info!(
            own = own.blocks,
            own_bytes = own.bytes,
            strangers = strangers.blocks,
            strangers_bytes = strangers.bytes,
            kept_bytes = bytes,
            "blocks fetched since the start"
        );
        self.audit.stop().await;
        ended
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn writer_ended(outcome: Result<Result<(), WriterError>, JoinError>) -> Result<(), NodeError> {
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(WriterError::Store(error))) => Err(error.into()),
        Ok(Err(WriterError::Network(reason))) => Err(NodeError::Task { reason }),
        Err(error) => Err(NodeError::Task { reason: error.to_string() }),
    }
}

fn task_ended(outcome: Result<Result<(), StoreError>, JoinError>) -> Result<(), NodeError> {
    match outcome {
        Ok(ended) => Ok(ended?),
        Err(error) => Err(NodeError::Task { reason: error.to_string() }),
    }
}

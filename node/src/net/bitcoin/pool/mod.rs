//! All peers of the Bitcoin network.
//!
//! Purpose: to do what [`PeerPolicy`] decides: dial, drop, and ask seeds; to carry requests to
//! peers, and to tell the policy what became of it all. One task owns the policy; every peer has
//! a task of its own.
//!
//! Invariant: the pool's task waits for nobody. Events go from the peers' tasks straight to the
//! node, and a request to a peer whose queue is full closes that peer, so the node may wait for
//! the pool at any time, and neither can hold up the other. When peers run out it goes on trying
//! until it is told to stop.
//!
//! What an attacker can grow: nothing beyond the bounds of the policy and of [`PoolConfig`].
//! Addresses that a peer tells are taken in at 0.1 a second, 1000 at once (Bitcoin Core,
//! `MAX_ADDR_RATE_PER_SECOND`, `MAX_ADDR_PROCESSING_TOKEN_BUCKET`); the rest is dropped.

mod apart;
mod broadcast;
mod figures;
mod peer_task;
mod reports;
mod task;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::p2p::ServiceFlags;
use bitcoin::{BlockHash, Transaction, Txid};
use ironlight_spv::BlockHeight;
use ironlight_spv::peers::{Offence, PeerId, PeerPolicy};
use tokio::sync::{mpsc, oneshot};

use super::connection::ConnectionConfig;
use super::events::PeerEvent;
use super::handshake::HandshakeConfig;
use super::seeds::Resolve;
use super::transport::Connect;
use crate::audit::NodeAudit;
use crate::clock::Clock;
use crate::net::data::DataPeers;
use crate::net::relay::Relay;
use crate::net::requests::{Asked, NetworkRequests, Requests};
use crate::net::suspend::Suspension;
use crate::net::{BytesByPurpose, PeerNumbers, PeerRequestReport, RequestConfig, RequestReport};
pub use apart::Apart;
pub use task::Pool;

/// Commands that may wait for the pool.
const COMMANDS: usize = 64;

/// What a pool works with.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Names to ask for addresses when none are left; empty for never.
    pub dns_seeds: Vec<String>,
    /// The port of addresses that come from seeds.
    pub default_port: u16,
    /// How connections are kept.
    pub connection: ConnectionConfig,
    /// What a handshake asks for.
    pub handshake: HandshakeConfig,
    /// Events that may wait for the node, of all peers together. One holds at most 160 KB.
    pub events: usize,
    /// The height of the own tip, told in handshakes.
    pub start_height: BlockHeight,
    /// Where peers' numbers come from.
    pub numbers: PeerNumbers,
    /// What requests go through.
    pub(crate) requests: NetworkRequests,
    /// Hears of peers that are shut out.
    pub(crate) audit: NodeAudit,
    /// Where peers are listed that can be asked for filters and blocks.
    pub(crate) data: DataPeers,
    /// The transactions that peers may have, and who hears what they say of transactions.
    pub(crate) relay: Relay,
    /// When to be silent.
    pub(crate) suspension: Suspension,
    /// For what is drawn here: the numbers in handshakes and pings, and pauses between questions
    /// to seeds. Not the policy's seed.
    pub seed: u64,
}

impl PoolConfig {
    /// The usual: no seeds, 32 events.
    #[must_use]
    pub fn new(default_port: u16, seed: u64) -> Self {
        Self {
            dns_seeds: Vec::new(),
            default_port,
            connection: ConnectionConfig::default(),
            handshake: HandshakeConfig::default(),
            events: 32,
            start_height: BlockHeight::GENESIS,
            numbers: PeerNumbers::default(),
            requests: Requests::new(RequestConfig::default(), None, NodeAudit::default(), seed)
                .network("bitcoin"),
            audit: NodeAudit::default(),
            data: DataPeers::default(),
            relay: Relay::new(false).0,
            suspension: Suspension::default(),
            seed,
        }
    }
}

/// A pool that does not run yet, what talks to it, and what comes out of it. The events end when
/// the pool has stopped.
#[must_use]
pub fn pool<C: Connect, R: Resolve>(
    config: PoolConfig,
    policy: PeerPolicy,
    connector: C,
    resolver: R,
    clock: Clock,
) -> (Pool<C, R>, PoolHandle, mpsc::Receiver<PeerEvent>) {
    let (events, events_out) = mpsc::channel(config.events.max(1));
    let (commands, commands_in) = mpsc::channel(COMMANDS);
    let weak = commands.downgrade();
    let pool = Pool::new(config, policy, connector, resolver, clock, events, (weak, commands_in));
    (pool, PoolHandle { commands }, events_out)
}

/// A peer, or an address that is being dialled, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its number.
    pub peer: PeerId,
    /// Where it is.
    pub addr: SocketAddr,
    /// Whether the user named it.
    pub manual: bool,
    /// What it says of itself; none while it is being dialled.
    pub session: Option<SessionInfo>,
    /// Bytes, by what they were for.
    pub by_purpose: BytesByPurpose,
    /// Headers received, before they are judged.
    pub headers: u64,
}

/// The pool as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolInfo {
    /// All peers and dialled addresses, the oldest first.
    pub peers: Vec<PeerInfo>,
    /// Bytes since the start, of peers that are gone, too.
    pub by_purpose: BytesByPurpose,
    /// How requests went since the start.
    pub requests: RequestReport,
}

/// What is known of a connected peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// What it offers.
    pub services: ServiceFlags,
    /// The newest protocol that it speaks.
    pub protocol_version: u32,
    /// Its software, safe to be shown.
    pub user_agent: String,
    /// The height of its tip when it connected, as it says.
    pub start_height: BlockHeight,
    /// How long it has been connected.
    pub connected_for: Duration,
    /// How long its last ping took; none before the first.
    pub ping: Option<Duration>,
    /// How requests to it go.
    pub requests: PeerRequestReport,
}

#[derive(Debug)]
pub(super) enum PoolCommand {
    GetHeaders { peer: PeerId, locator: Vec<BlockHash>, stop: BlockHash, asked: Asked },
    Announce { peer: PeerId, txid: Txid, answer: oneshot::Sender<Announcement> },
    AnnounceApart { transaction: Arc<Transaction>, answer: oneshot::Sender<Apart> },
    Disconnect { peer: PeerId },
    Misbehaved { peer: PeerId, offence: Offence },
    Info { answer: oneshot::Sender<PoolInfo> },
}

/// What became of an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// It goes out.
    Sent,
    /// The peer has too much to read already.
    Busy,
    /// The peer wants no transactions announced, and hangs up on whoever does (BIP37; Core's
    /// `-blocksonly`).
    NotWanted,
    /// The transaction is not offered.
    NotOffered,
    /// It is no peer.
    NotConnected,
}

/// The pool has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStopped;

impl fmt::Display for PoolStopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the pool of Bitcoin peers has stopped")
    }
}

impl std::error::Error for PoolStopped {}

/// Talks to a pool. Requests for a peer that is gone are passed over: its `Disconnected` event
/// is on the way. When the last handle is dropped, the pool stops.
///
/// All methods are cancel safe: a command is handed over whole or not at all.
#[derive(Clone, Debug)]
pub struct PoolHandle {
    commands: mpsc::Sender<PoolCommand>,
}

impl PoolHandle {
    /// Asks a peer for the headers after the first hash of the locator that it knows: at most
    /// 2000, up to `stop` (all zeros: no end). Where it is a `retry`, the retry budget pays for it.
    ///
    /// # Errors
    /// [`PoolStopped`]
    pub async fn get_headers(
        &self,
        peer: PeerId,
        locator: Vec<BlockHash>,
        stop: BlockHash,
        retry: bool,
    ) -> Result<(), PoolStopped> {
        let asked = Asked::retry(retry);
        self.send(PoolCommand::GetHeaders { peer, locator, stop, asked }).await
    }

    /// Announces a transaction that is offered to a peer, which may then have it.
    ///
    /// # Errors
    /// [`PoolStopped`]
    pub async fn announce(&self, peer: PeerId, txid: Txid) -> Result<Announcement, PoolStopped> {
        let (answer, answered) = oneshot::channel();
        self.send(PoolCommand::Announce { peer, txid, answer }).await?;
        answered.await.map_err(|_| PoolStopped)
    }

    /// Hands a transaction to one full node on a connection made for it alone, which takes up to a
    /// minute. The transaction need not be offered. When the future is dropped the broadcast goes on.
    ///
    /// # Errors
    /// [`PoolStopped`]
    pub async fn announce_apart(
        &self,
        transaction: Arc<Transaction>,
    ) -> Result<Apart, PoolStopped> {
        let (answer, answered) = oneshot::channel();
        self.send(PoolCommand::AnnounceApart { transaction, answer }).await?;
        answered.await.map_err(|_| PoolStopped)
    }

    /// Lets a peer go. Nothing is held against it.
    ///
    /// # Errors
    /// [`PoolStopped`]
    pub async fn disconnect(&self, peer: PeerId) -> Result<(), PoolStopped> {
        self.send(PoolCommand::Disconnect { peer }).await
    }

    /// Reports what a peer did wrong; the policy decides what follows.
    ///
    /// # Errors
    /// [`PoolStopped`]
    pub async fn misbehaved(&self, peer: PeerId, offence: Offence) -> Result<(), PoolStopped> {
        self.send(PoolCommand::Misbehaved { peer, offence }).await
    }

    /// How the pool stands.
    ///
    /// # Errors
    /// [`PoolStopped`]
    pub async fn info(&self) -> Result<PoolInfo, PoolStopped> {
        let (answer, answered) = oneshot::channel();
        self.send(PoolCommand::Info { answer }).await?;
        answered.await.map_err(|_| PoolStopped)
    }

    async fn send(&self, command: PoolCommand) -> Result<(), PoolStopped> {
        self.commands.send(command).await.map_err(|_| PoolStopped)
    }
}

#[cfg(test)]
mod abuse_tests;
#[cfg(test)]
#[cfg(feature = "audit")]
mod audit_tests;
#[cfg(test)]
mod data_tests;
#[cfg(test)]
#[cfg(feature = "daemon")]
mod devnet_tests;
#[cfg(test)]
mod relay_tests;
#[cfg(test)]
mod tests;

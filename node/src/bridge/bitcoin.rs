//! Joins the pool of Bitcoin peers to the chain's writer: the two know nothing of each other.

use std::net::SocketAddr;

use ironlight_spv::peers::{BanEntry, Offence, PeerPolicy, PolicyConfig};
use ironlight_spv::sync::{PeerId, SyncOffence};
use ironlight_spv::{BlockHash, Header, Params};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::bans_at_the_end;
use crate::audit::NodeAudit;
use crate::chain::{HeaderNetwork, NetworkInput};
use crate::clock::Clock;
use crate::net::bitcoin::pool::SessionInfo;
use crate::net::bitcoin::seeds::SystemResolver;
use crate::net::bitcoin::{
    PeerEvent, PeerEventKind, PeerInfo, PoolConfig, PoolHandle, PoolInfo, TcpConnector, pool,
};
use crate::net::data::DataPeers;
use crate::net::relay::Relay;
use crate::net::suspend::Suspension;
use crate::net::{
    Carried, Direction, NetworkReport, PeerNetwork, PeerNumbers, PeerReport, Question, Requests,
    ServeReport,
};

/// The Bitcoin network as the chain sees it.
#[derive(Debug)]
pub(crate) struct BitcoinPeers {
    pool: PoolHandle,
    events: mpsc::Receiver<PeerEvent>,
    stop: CancellationToken,
    running: JoinHandle<PeerPolicy>,
    clock: Clock,
}

/// What a pool starts with.
#[derive(Debug)]
pub(crate) struct BitcoinPeersConfig<'a> {
    pub(crate) params: &'a Params,
    /// Only these are dialled, where there are any.
    pub(crate) connect: Vec<SocketAddr>,
    pub(crate) seeds: &'a [&'a str],
    pub(crate) bans: Vec<BanEntry>,
    pub(crate) numbers: PeerNumbers,
    pub(crate) requests: &'a Requests,
    pub(crate) audit: NodeAudit,
    /// Where peers are listed that have filters or blocks.
    pub(crate) data: DataPeers,
    /// The transactions that peers may have.
    pub(crate) relay: Relay,
    /// When to be silent.
    pub(crate) suspension: Suspension,
    pub(crate) seed: u64,
}

impl BitcoinPeers {
    /// Starts the pool; it ends when `stop` says so, or with [`HeaderNetwork::close`].
    pub(crate) fn start(
        config: BitcoinPeersConfig<'_>,
        clock: Clock,
        stop: CancellationToken,
    ) -> Self {
        let BitcoinPeersConfig { params, connect, seeds, bans, .. } = config;
        let BitcoinPeersConfig { numbers, requests, audit, data, relay, suspension, seed, .. } =
            config;
        // Two that can be compared; which of them lies is for evidence to say.
        let policy = PolicyConfig { filter_peers: 2, ..PolicyConfig::default() };
        let mut policy = PeerPolicy::new(policy, seed);
        policy.import_bans(bans, clock.now());
        for address in connect {
            if !policy.add_manual(address) {
                info!(%address, "too many addresses to connect to: left out");
            }
        }
        let mut config = PoolConfig::new(params.default_port, seed.rotate_left(32));
        config.numbers = numbers;
        config.requests = requests.network(PeerNetwork::Bitcoin.name());
        config.audit = audit;
        config.data = data;
        config.relay = relay;
        config.suspension = suspension;
        config.dns_seeds = seeds.iter().map(|&name| name.to_owned()).collect();
        let connector = TcpConnector::new(params.magic);
        let (task, pool, events) = pool::pool(config, policy, connector, SystemResolver, clock);
        let running = tokio::spawn(task.run(stop.clone()));
        Self { pool, events, stop, running, clock }
    }
}

impl BitcoinPeers {
    pub(super) fn handle(&self) -> PoolHandle {
        self.pool.clone()
    }

    async fn report(&self, peer: PeerId, offence: Offence) {
        if let Err(stopped) = self.pool.misbehaved(peer, offence).await {
            debug!(%stopped, "report dropped");
        }
    }
}

impl HeaderNetwork for BitcoinPeers {
    async fn next(&mut self) -> Option<NetworkInput> {
        let PeerEvent { peer, kind } = self.events.recv().await?;
        Some(match kind {
            PeerEventKind::Connected { addr, user_agent, start_height, .. } => {
                info!(peer = peer.0, %addr, user_agent, start_height = start_height.0, "peer joined");
                let (network, direction) = (PeerNetwork::Bitcoin, Direction::Outbound);
                let address = addr.to_string();
                NetworkInput::Joined { peer, network, direction, address, user_agent }
            }
            PeerEventKind::Headers(headers) => NetworkInput::Headers { peer, headers },
            PeerEventKind::Unanswered(why) => NetworkInput::Unanswered { peer, why },
            PeerEventKind::BlockInv(hashes) => NetworkInput::BlockInv { peer, hashes },
            PeerEventKind::Disconnected { reason } => {
                info!(peer = peer.0, %reason, "peer left");
                NetworkInput::Left { peer, reason: reason.to_string() }
            }
        })
    }

    /// Bitcoin's protocol has no way to ask for a part of an answer.
    async fn get_headers(&self, peer: PeerId, question: Question) {
        let Question { locator, stop, retry, .. } = question;
        let stop = stop.unwrap_or_else(no_stop);
        if let Err(stopped) = self.pool.get_headers(peer, locator, stop, retry).await {
            debug!(%stopped, "request dropped");
        }
    }

    /// Full nodes hear of blocks from each other.
    async fn announce(&self, _tip: Header) {}

    async fn misbehaved(&self, peer: PeerId, offence: SyncOffence) {
        self.report(peer, offence.offence()).await;
    }

    async fn stalled(&self, peer: PeerId) {
        self.report(peer, Offence::Stalled).await;
    }

    async fn close(&mut self) -> Result<Vec<BanEntry>, String> {
        self.stop.cancel();
        // What the peers still had to say is not waited for.
        self.events.close();
        bans_at_the_end(&mut self.running, self.clock).await
    }
}

/// All zeros: as many as a message holds.
fn no_stop() -> BlockHash {
    bitcoin::hashes::Hash::all_zeros()
}

/// How the pool stands, in the words that all networks share.
pub(super) fn report(info: &PoolInfo) -> NetworkReport {
    let PoolInfo { peers, by_purpose, requests } = info;
    let Carried { received, sent } = by_purpose.total();
    NetworkReport {
        network: PeerNetwork::Bitcoin,
        bytes_in: received,
        bytes_out: sent,
        by_purpose: *by_purpose,
        listening: Vec::new(),
        requests: *requests,
        served: ServeReport::default(),
        peers: peers.iter().filter_map(peer_report).collect(),
    }
}

/// None while it is being dialled.
fn peer_report(info: &PeerInfo) -> Option<PeerReport> {
    let SessionInfo { user_agent, connected_for, ping, requests, .. } = info.session.clone()?;
    let Carried { received, sent } = info.by_purpose.total();
    Some(PeerReport {
        peer: info.peer,
        network: PeerNetwork::Bitcoin,
        address: info.addr.to_string(),
        direction: Direction::Outbound,
        named: info.manual,
        agent: user_agent,
        connected_for,
        ping,
        bytes_in: received,
        bytes_out: sent,
        headers: info.headers,
        requests: Some(requests),
    })
}

//! The swarm of light nodes as the chain sees it.

use std::collections::BTreeSet;

use ironlight_spv::peers::{BanEntry, Offence, PeerPolicy};
use ironlight_spv::sync::{PeerId, SyncOffence};
use ironlight_spv::{BlockHash, Header};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::bans_at_the_end;
use crate::chain::{HeaderNetwork, NetworkInput};
use crate::clock::Clock;
use crate::net::swarm::{LightEvent, Swarm, SwarmError, SwarmHandle, SwarmStart};
use crate::net::{PeerNetwork, Question};

/// A running swarm.
#[derive(Debug)]
pub(crate) struct LightPeers {
    swarm: SwarmHandle,
    events: mpsc::Receiver<LightEvent>,
    /// Those that have joined and not left.
    joined: BTreeSet<PeerId>,
    stop: CancellationToken,
    running: JoinHandle<PeerPolicy>,
    clock: Clock,
}

impl LightPeers {
    /// Starts the swarm; it ends when `stop` says so, or with [`HeaderNetwork::close`].
    ///
    /// # Errors
    /// [`SwarmError`]
    pub(crate) fn start(
        start: SwarmStart<'_>,
        stop: CancellationToken,
    ) -> Result<Self, SwarmError> {
        let clock = start.clock;
        let (swarm, handle, events) = Swarm::new(start)?;
        let running = tokio::spawn(swarm.run(stop.clone()));
        Ok(Self { swarm: handle, events, joined: BTreeSet::new(), stop, running, clock })
    }

    pub(super) fn handle(&self) -> SwarmHandle {
        self.swarm.clone()
    }

    pub(super) fn knows(&self, peer: PeerId) -> bool {
        self.joined.contains(&peer)
    }

    async fn report(&self, peer: PeerId, offence: Offence, header: Option<BlockHash>) {
        if let Err(stopped) = self.swarm.misbehaved(peer, offence, header).await {
            debug!(%stopped, "report dropped");
        }
    }
}

impl HeaderNetwork for LightPeers {
    async fn next(&mut self) -> Option<NetworkInput> {
        Some(match self.events.recv().await? {
            LightEvent::Joined { peer, direction, address, agent } => {
                self.joined.insert(peer);
                let network = PeerNetwork::LibP2p;
                NetworkInput::Joined { peer, network, direction, address, user_agent: agent }
            }
            LightEvent::Headers { peer, headers } => NetworkInput::Headers { peer, headers },
            LightEvent::Unanswered { peer, why } => NetworkInput::Unanswered { peer, why },
            LightEvent::Left { peer, reason } => {
                self.joined.remove(&peer);
                NetworkInput::Left { peer, reason }
            }
        })
    }

    async fn get_headers(&self, peer: PeerId, question: Question) {
        if let Err(stopped) = self.swarm.get_headers(peer, question).await {
            debug!(%stopped, "request dropped");
        }
    }

    async fn announce(&self, tip: Header) {
        if let Err(stopped) = self.swarm.announce(tip).await {
            debug!(%stopped, "announcement dropped");
        }
    }

    async fn misbehaved(&self, peer: PeerId, offence: SyncOffence) {
        self.report(peer, offence.offence(), offence.hash()).await;
    }

    async fn stalled(&self, peer: PeerId) {
        self.report(peer, Offence::Stalled, None).await;
    }

    async fn close(&mut self) -> Result<Vec<BanEntry>, String> {
        self.stop.cancel();
        // What the peers still had to say is not waited for.
        self.events.close();
        bans_at_the_end(&mut self.running, self.clock).await
    }
}

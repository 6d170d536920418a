//! What the writer tells of the chain: the log, subscribers, whoever asks how it stands, and peers.

use ironlight_spv::sync::{PeerStatus, SyncEvent, SyncState};
use ironlight_spv::{HeaderRun, TipChange};
use tracing::{debug, info, warn};

use super::super::handle::{ChainStatus, PeerView, Phase};
use super::{HeaderNetwork, Writer};
use crate::events::NodeEvent;

impl<N: HeaderNetwork> Writer<N> {
    pub(super) fn publish(&self, change: &TipChange) {
        let tip = self.chain().tip();
        let count = |run: &HeaderRun| u32::try_from(run.len()).unwrap_or(u32::MAX);
        match change {
            TipChange::Unchanged => {}
            TipChange::Extended { connected } => {
                let connected = count(connected);
                info!(height = tip.height.0, hash = %tip.hash, connected, "new tip");
                self.publish_status();
                self.events.publish(NodeEvent::TipExtended { tip, connected });
            }
            TipChange::Reorg { fork_point, disconnected, connected } => {
                self.audit.reorg(fork_point, disconnected, &tip);
                let (disconnected, connected) = (count(disconnected), count(connected));
                info!(
                    height = tip.height.0, hash = %tip.hash, connected, disconnected,
                    fork_height = fork_point.height.0, "new tip after a reorg"
                );
                self.publish_status();
                self.events.publish(NodeEvent::Reorg {
                    tip,
                    fork_point: *fork_point,
                    disconnected,
                    connected,
                });
            }
        }
    }

    pub(super) fn report(&self, event: &SyncEvent) {
        match event {
            SyncEvent::Synced { tip } => {
                info!(height = tip.height.0, hash = %tip.hash, "synced");
                self.events.publish(NodeEvent::Synced { tip: *tip });
            }
            SyncEvent::BelowMinimumWork { tip } => {
                warn!(
                    height = tip.height.0, hash = %tip.hash,
                    "the peers' chain is below the minimum chain work"
                );
            }
            SyncEvent::Stalled { peer } => {
                warn!(peer = peer.0, "peer stalls; asking another");
                self.events.publish(NodeEvent::Stalled { peer: peer.0 });
            }
            SyncEvent::PresyncStarted { peer, height } => {
                info!(peer = peer.0, from = height.0, "a long chain of little work: presync");
            }
            SyncEvent::PresyncGaveUp { peer, height, reason, .. } => {
                info!(peer = peer.0, height = height.0, %reason, "presync came to nothing");
            }
            SyncEvent::RedownloadStarted { peer, height, .. } => {
                info!(peer = peer.0, height = height.0, "the chain has enough work: downloading");
            }
            SyncEvent::PresyncFinished { peer, height } => {
                info!(peer = peer.0, height = height.0, "the chain was downloaded as it was shown");
            }
            _ => debug!(?event, "an event that this node does not know"),
        }
    }

    /// Tells the network of a new tip, once the chain is synced: before that it is no news.
    pub(super) async fn announce(&mut self) {
        let tip = self.chain().tip();
        // The status was published just now.
        if self.announced == tip.hash || self.status.borrow().phase != Phase::Synced {
            return;
        }
        self.announced = tip.hash;
        let entry = self.chain().get(tip.height);
        if let Some(entry) = entry {
            self.network.announce(entry.header).await;
        }
    }

    /// Writes down how the chain stands, for whoever asks.
    pub(super) fn publish_status(&self) {
        let sync = self.sync.status();
        let phase = match sync.state {
            SyncState::NoPeers | SyncState::Syncing => Phase::Syncing,
            SyncState::BelowMinimumWork => Phase::BelowMinimumWork,
            SyncState::Synced => Phase::Synced,
        };
        let phase = if self.catching_up { Phase::CatchingUp } else { phase };
        let chain = self.chain();
        self.status.send_replace(ChainStatus {
            tip: chain.tip(),
            tip_time: chain.tip_time(),
            phase,
            side_headers: chain.side_headers(),
            peers: self.peers.iter().map(|peer| described(peer, &sync.peers)).collect(),
        });
    }
}

/// A peer with what the sync does with it.
fn described(view: &PeerView, sync: &[PeerStatus]) -> PeerView {
    let mut view = view.clone();
    if let Some(status) = sync.iter().find(|status| status.peer.0 == view.peer) {
        status.phase.name().clone_into(&mut view.phase);
        if let Some(presync) = status.presync {
            let pass = if presync.redownload { "redownload" } else { "presync" };
            view.phase = format!("{pass} at {}", presync.height);
        }
    }
    view
}

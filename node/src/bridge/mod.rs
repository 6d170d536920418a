//! Joins the networks to the chain's writer: neither knows of the other, nor one network of the
//! other one. For the chain they are one network; a peer's number says which one it is in.

mod bitcoin;
#[cfg(feature = "libp2p")]
mod data;
#[cfg(feature = "libp2p")]
mod filters;
#[cfg(feature = "libp2p")]
mod light;
#[cfg(feature = "libp2p")]
mod source;

use std::future::pending;

use ironlight_spv::peers::{BanEntry, PeerPolicy};
use ironlight_spv::sync::{PeerId, SyncOffence};
use ironlight_spv::{BlockHash, Header};

pub(crate) use bitcoin::{BitcoinPeers, BitcoinPeersConfig};
#[cfg(feature = "libp2p")]
pub(crate) use data::ServedData;
#[cfg(feature = "libp2p")]
pub(crate) use filters::ServedFilters;
#[cfg(feature = "libp2p")]
pub(crate) use light::LightPeers;

use tokio::task::JoinHandle;
#[cfg(feature = "wallet")]
use tracing::{debug, info};

use crate::chain::{HeaderNetwork, NetworkInput};
use crate::clock::Clock;
#[cfg(feature = "wallet")]
use crate::net::bitcoin::Announcement;
use crate::net::bitcoin::PoolHandle;
use crate::net::data::DataPeers;
#[cfg(feature = "libp2p")]
use crate::net::swarm::SwarmHandle;
use crate::net::{NetworkReport, Question};

/// All networks that a node is in.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    pub(crate) bitcoin: Option<BitcoinPeers>,
    #[cfg(feature = "libp2p")]
    pub(crate) light: Option<LightPeers>,
    /// Hears which blocks peers show.
    pub(crate) data: DataPeers,
}

/// Asks the networks how they stand; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct NetworksHandle {
    bitcoin: Option<PoolHandle>,
    #[cfg(feature = "libp2p")]
    pub(crate) light: Option<SwarmHandle>,
}

impl NetworksHandle {
    /// Every network as it stands; what has stopped is left out.
    pub(crate) async fn reports(&self) -> Vec<NetworkReport> {
        let mut reports = Vec::new();
        if let Some(pool) = &self.bitcoin
            && let Ok(info) = pool.info().await
        {
            reports.push(bitcoin::report(&info));
        }
        #[cfg(feature = "libp2p")]
        if let Some(swarm) = &self.light
            && let Ok(report) = swarm.report().await
        {
            reports.push(report);
        }
        reports
    }

    /// Tells a full node of a transaction that is offered.
    #[cfg(feature = "wallet")]
    pub(crate) async fn announce_transaction(&self, peer: PeerId, txid: ::bitcoin::Txid) {
        let Some(pool) = &self.bitcoin else { return };
        match pool.announce(peer, txid).await {
            Ok(Announcement::Sent) => {}
            Ok(not_sent) => debug!(%peer, %txid, ?not_sent, "a transaction is not announced"),
            Err(stopped) => debug!(%stopped, "announcement dropped"),
        }
    }

    /// Hands a transaction to one full node over a connection that is for it alone. It goes on in the
    /// background, for at most a minute.
    #[cfg(feature = "wallet")]
    pub(crate) fn announce_apart(&self, transaction: std::sync::Arc<::bitcoin::Transaction>) {
        let Some(pool) = self.bitcoin.clone() else { return };
        tokio::spawn(async move {
            let txid = transaction.compute_txid();
            match pool.announce_apart(transaction).await {
                Ok(outcome) => info!(%txid, ?outcome, "announced on a connection of its own"),
                Err(stopped) => debug!(%stopped, "announcement dropped"),
            }
        });
    }

    /// From now on light nodes are served from this chain, and their tips are judged by it.
    #[cfg(feature = "libp2p")]
    pub(crate) async fn serve(&self, chain: crate::chain::ChainHandle) {
        if let Some(swarm) = &self.light {
            // It fails when the swarm has stopped, and then the writer says so.
            let _ = swarm.serve(std::sync::Arc::new(source::ServedChain::new(chain))).await;
        }
    }

    /// From now on light nodes are served filters, blocks and proofs, as far as they were offered.
    #[cfg(feature = "libp2p")]
    pub(crate) async fn serve_data(&self, data: ServedData) {
        if let Some(swarm) = &self.light {
            let _ = swarm.serve_data(std::sync::Arc::new(data)).await;
        }
    }
}

impl Networks {
    pub(crate) fn handle(&self) -> NetworksHandle {
        NetworksHandle {
            bitcoin: self.bitcoin.as_ref().map(BitcoinPeers::handle),
            #[cfg(feature = "libp2p")]
            light: self.light.as_ref().map(LightPeers::handle),
        }
    }

    /// Whether a peer is a light node.
    #[cfg(feature = "libp2p")]
    fn light_of(&self, peer: PeerId) -> Option<&LightPeers> {
        self.light.as_ref().filter(|light| light.knows(peer))
    }

    #[cfg(feature = "libp2p")]
    async fn next_light(light: &mut Option<LightPeers>) -> Option<NetworkInput> {
        match light {
            Some(light) => light.next().await,
            None => pending().await,
        }
    }
}

/// Waits for a network's task to end and asks its policy who is banned.
async fn bans_at_the_end(
    running: &mut JoinHandle<PeerPolicy>,
    clock: Clock,
) -> Result<Vec<BanEntry>, String> {
    let policy = running.await.map_err(|error| error.to_string())?;
    Ok(policy.export_bans(clock.now()))
}

/// The newest block that a peer shows to have.
fn shown(input: &NetworkInput) -> Option<(PeerId, BlockHash)> {
    match input {
        NetworkInput::Headers { peer, headers } => {
            headers.last().map(|header| (*peer, header.hash()))
        }
        NetworkInput::BlockInv { peer, hashes } => hashes.last().map(|hash| (*peer, *hash)),
        NetworkInput::Joined { .. }
        | NetworkInput::Left { .. }
        | NetworkInput::Unanswered { .. } => None,
    }
}

async fn next_bitcoin(bitcoin: &mut Option<BitcoinPeers>) -> Option<NetworkInput> {
    match bitcoin {
        Some(bitcoin) => bitcoin.next().await,
        None => pending().await,
    }
}

impl HeaderNetwork for Networks {
    /// None as soon as one of them has ended: a node that goes on with half of its peers would not
    /// be the one that was asked for.
    async fn next(&mut self) -> Option<NetworkInput> {
        #[cfg(feature = "libp2p")]
        let input = tokio::select! {
            input = next_bitcoin(&mut self.bitcoin) => input,
            input = Self::next_light(&mut self.light) => input,
        };
        #[cfg(not(feature = "libp2p"))]
        let input = next_bitcoin(&mut self.bitcoin).await;
        if let Some((peer, block)) = input.as_ref().and_then(shown) {
            self.data.shows(peer, block);
        }
        input
    }

    async fn get_headers(&self, peer: PeerId, question: Question) {
        #[cfg(feature = "libp2p")]
        if let Some(light) = self.light_of(peer) {
            return light.get_headers(peer, question).await;
        }
        if let Some(bitcoin) = &self.bitcoin {
            bitcoin.get_headers(peer, question).await;
        }
    }

    async fn announce(&self, tip: Header) {
        #[cfg(feature = "libp2p")]
        if let Some(light) = &self.light {
            light.announce(tip).await;
        }
        if let Some(bitcoin) = &self.bitcoin {
            bitcoin.announce(tip).await;
        }
    }

    async fn misbehaved(&self, peer: PeerId, offence: SyncOffence) {
        #[cfg(feature = "libp2p")]
        if let Some(light) = self.light_of(peer) {
            return light.misbehaved(peer, offence).await;
        }
        if let Some(bitcoin) = &self.bitcoin {
            bitcoin.misbehaved(peer, offence).await;
        }
    }

    async fn stalled(&self, peer: PeerId) {
        #[cfg(feature = "libp2p")]
        if let Some(light) = self.light_of(peer) {
            return light.stalled(peer).await;
        }
        if let Some(bitcoin) = &self.bitcoin {
            bitcoin.stalled(peer).await;
        }
    }

    async fn close(&mut self) -> Result<Vec<BanEntry>, String> {
        let mut bans = Vec::new();
        let mut failed = None;
        if let Some(bitcoin) = &mut self.bitcoin {
            bitcoin.close().await.map_or_else(|error| failed = Some(error), |own| bans.extend(own));
        }
        #[cfg(feature = "libp2p")]
        if let Some(light) = &mut self.light {
            light.close().await.map_or_else(|error| failed = Some(error), |own| bans.extend(own));
        }
        // Both began with the same bans: of two for an address the longer one counts.
        bans.sort_by_key(|ban| (ban.ip, std::cmp::Reverse(ban.until)));
        bans.dedup_by_key(|ban| ban.ip);
        failed.map_or(Ok(bans), Err)
    }
}

//! What readers of the chain hold.

use std::sync::{Arc, PoisonError, RwLock};

use ironlight_spv::chain::Position;
use ironlight_spv::{BlockHash, BlockHeight, ChainTip, HeaderChain, IndexedHeader, UnixTime};
use tokio::sync::watch;

use crate::net::PeerNetwork;

use crate::events::{EventBus, NodeEvent, Subscription};

/// How far the chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Peers know of more, or none was asked yet.
    Syncing,
    /// Chunks of a snapshot are fetched from light nodes; the rest comes after that.
    CatchingUp,
    /// All peers asked know of no better chain, but it has less than the minimum chain work.
    BelowMinimumWork,
    /// As far as the peers know.
    Synced,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Syncing => "syncing",
            Self::CatchingUp => "catching up by snapshot",
            Self::BelowMinimumWork => "below the minimum chain work",
            Self::Synced => "synced",
        })
    }
}

/// A peer as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerView {
    /// Its number, never used twice.
    pub peer: u64,
    /// Its network.
    pub network: PeerNetwork,
    /// Where it is.
    pub address: String,
    /// What it says it runs.
    pub user_agent: String,
    /// What the sync does with it.
    pub phase: String,
}

/// The chain at one moment.
#[derive(Clone, Debug)]
pub struct ChainStatus {
    /// The tip.
    pub tip: ChainTip,
    /// The time that the tip's header claims.
    pub tip_time: UnixTime,
    /// How far it is.
    pub phase: Phase,
    /// Headers held on side branches.
    pub side_headers: usize,
    /// The peers.
    pub peers: Vec<PeerView>,
}

/// Reads the chain, and hears of its changes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ChainHandle {
    pub(super) chain: Arc<RwLock<HeaderChain>>,
    pub(super) status: watch::Receiver<ChainStatus>,
    pub(super) events: Arc<EventBus>,
}

impl ChainHandle {
    /// The chain at this moment.
    #[must_use]
    pub fn status(&self) -> ChainStatus {
        self.status.borrow().clone()
    }

    /// The chain as it changes.
    pub(crate) fn subscribe_status(&self) -> watch::Receiver<ChainStatus> {
        self.status.clone()
    }

    /// The tip of the best chain.
    #[must_use]
    pub fn tip(&self) -> ChainTip {
        self.status.borrow().tip
    }

    /// Reads the chain itself. The writer waits for the closure, so keep it short.
    pub fn read<T>(&self, read: impl FnOnce(&HeaderChain) -> T) -> T {
        read(&self.chain.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The header at a height of the best chain.
    #[must_use]
    pub fn header_at(&self, height: BlockHeight) -> Option<IndexedHeader> {
        self.read(|chain| chain.get(height))
    }

    /// The header with a hash, and whether it lies on the best chain.
    #[must_use]
    pub fn header(&self, hash: &BlockHash) -> Option<(IndexedHeader, Position)> {
        self.read(|chain| chain.find(hash))
    }

    /// From now on so many events are kept for those who fall behind.
    pub(crate) fn keep_events(&self, events: usize) {
        self.events.keep(events);
    }

    /// Tells subscribers something that happened to the node.
    pub(crate) fn publish(&self, event: NodeEvent) {
        self.events.publish(event);
    }

    /// Waits until the node has stopped. Cancel safe.
    pub(crate) async fn ended(&self) {
        self.events.closed().await;
    }

    /// One that stands still.
    #[cfg(test)]
    pub(crate) fn standing(chain: HeaderChain) -> Self {
        let (tip, tip_time) = (chain.tip(), chain.tip_time());
        let (phase, side_headers, peers) = (Phase::Synced, 0, Vec::new());
        let status = ChainStatus { tip, tip_time, phase, side_headers, peers };
        let (_, status) = watch::channel(status);
        Self { chain: Arc::new(RwLock::new(chain)), status, events: Arc::default() }
    }

    /// New events from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.events.subscribe(self.events.latest())
    }

    /// The events after a number that was seen before.
    #[must_use]
    pub fn subscribe_after(&self, sequence: u64) -> Subscription {
        self.events.subscribe(sequence)
    }

    /// Waits until the chain is synced: as far as the peers know, with the minimum chain work.
    /// It waits on where the peers have no such chain; [`when`](Self::when) can tell. Cancel safe.
    ///
    /// # Errors
    /// [`Stopped`] where the node stops before.
    pub async fn synced(&self) -> Result<ChainTip, Stopped> {
        Ok(self.when(|status| status.phase == Phase::Synced).await?.tip)
    }

    /// Waits until the chain stands as the caller wants it, and says how it stands. Cancel safe.
    ///
    /// # Errors
    /// [`Stopped`] where the node stops before.
    pub async fn when(
        &self,
        fits: impl FnMut(&ChainStatus) -> bool,
    ) -> Result<ChainStatus, Stopped> {
        let mut status = self.status.clone();
        let found = status.wait_for(fits).await.map_err(|_closed| Stopped)?;
        Ok(found.clone())
    }
}

/// The node has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node has stopped")]
pub struct Stopped;

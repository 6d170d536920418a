//! The single writer: the one task that changes the chain.
//!
//! It stamps each input with the time, lets the sync machine decide, verifies, commits to the
//! store off the async threads, applies, and publishes, in that order. Before all that it catches up by
//! snapshot, where light nodes have one. What an attacker can grow
//! is bounded by the sync machine and by the channel that peers share; here nothing is kept.

#[cfg(feature = "snapshot")]
mod catch_up;
mod told;

use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use ironlight_spv::chain::{Blame, HeaderError, Violation};
use ironlight_spv::peers::BanEntry;
use ironlight_spv::sync::{
    HeaderSync, MAX_HEADERS, MAX_PAGE, PeerId, PeerTraits, SyncAction, SyncEvent, SyncOffence,
    Unanswered,
};
use ironlight_spv::{BlockHash, Header, HeaderChain, LinkedBatch, TipChange, VerifiedBatch};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::handle::{ChainHandle, ChainStatus, PeerView, Phase};
use super::start::{Joined, keep};
use crate::audit::NodeAudit;
use crate::clock::Clock;
use crate::events::{EventBus, NodeEvent};
use crate::net::data::DataPeers;
use crate::net::{Direction, PeerNetwork, Question};
use crate::store::{Store, StoreError, WriteBatch, bans, headers};
use crate::tasks::{blocking, sleep_until};

/// What the network tells the chain.
#[derive(Debug)]
pub(crate) enum NetworkInput {
    Joined {
        peer: PeerId,
        network: PeerNetwork,
        direction: Direction,
        address: String,
        user_agent: String,
    },
    Left {
        peer: PeerId,
        reason: String,
    },
    Headers {
        peer: PeerId,
        headers: Vec<Header>,
    },
    /// What it was asked last comes to nothing.
    Unanswered {
        peer: PeerId,
        why: Unanswered,
    },
    BlockInv {
        peer: PeerId,
        hashes: Vec<BlockHash>,
    },
}

/// The network as the chain sees it; the Bitcoin pool is one, a simulated one may be another.
pub(crate) trait HeaderNetwork: Send {
    /// The next input; none once the network is closed. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Option<NetworkInput>> + Send;
    /// Asks a peer for headers.
    fn get_headers(&self, peer: PeerId, question: Question) -> impl Future<Output = ()> + Send;
    /// There is a new tip, and it is worth telling: the chain is synced.
    fn announce(&self, tip: Header) -> impl Future<Output = ()> + Send;
    fn misbehaved(&self, peer: PeerId, offence: SyncOffence) -> impl Future<Output = ()> + Send;
    /// A peer is slow; whether that means anything is for the peer policy to say.
    fn stalled(&self, peer: PeerId) -> impl Future<Output = ()> + Send;
    /// Ends all connections, waits until they are, and gives back who is banned.
    ///
    /// # Errors
    /// What went wrong, where the network did not end in order.
    fn close(&mut self) -> impl Future<Output = Result<Vec<BanEntry>, String>> + Send;
}

/// Why the writer ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriterError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The network ended by itself.
    #[error("the network of peers ended: {0}")]
    Network(String),
}

/// Where chunks of snapshots come from.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotPeers {
    /// Who is connected, and can be asked.
    pub(crate) peers: DataPeers,
    /// How many of our choice may be expected.
    pub(crate) expected: usize,
}

/// The writer and all that it owns.
pub(crate) struct Writer<N> {
    chain: Arc<RwLock<HeaderChain>>,
    /// Before the store, so that it is given up first.
    audit: NodeAudit,
    store: Arc<dyn Store>,
    sync: HeaderSync,
    network: N,
    clock: Clock,
    peers: Vec<PeerView>,
    /// Those that the sync machine has not heard of yet.
    joined: Joined,
    /// Where chunks of snapshots come from, until that is over.
    snapshots: Option<SnapshotPeers>,
    /// Whether chunks are fetched just now.
    catching_up: bool,
    /// The tip that the network was told of last.
    announced: BlockHash,
    events: Arc<EventBus>,
    status: watch::Sender<ChainStatus>,
}

impl<N: HeaderNetwork> Writer<N> {
    /// A writer, and the handle to read by. `joined` are the peers that are connected already.
    pub(crate) fn new(
        chain: HeaderChain,
        store: Arc<dyn Store>,
        sync: HeaderSync,
        network: N,
        clock: Clock,
        audit: NodeAudit,
        joined: Joined,
    ) -> (Self, ChainHandle) {
        let status = watch::Sender::new(ChainStatus {
            tip: chain.tip(),
            tip_time: chain.tip_time(),
            phase: Phase::Syncing,
            side_headers: 0,
            peers: Vec::new(),
        });
        let events = Arc::new(EventBus::default());
        let chain = Arc::new(RwLock::new(chain));
        let handle = ChainHandle {
            chain: Arc::clone(&chain),
            status: status.subscribe(),
            events: Arc::clone(&events),
        };
        let peers = Vec::new();
        let announced = handle.tip().hash;
        let mut writer = Self {
            chain,
            audit,
            store,
            sync,
            network,
            clock,
            peers,
            joined: Joined::new(),
            snapshots: None,
            catching_up: false,
            announced,
            events,
            status,
        };
        joined.into_iter().for_each(|input| writer.keep(input));
        (writer, handle)
    }

    /// The same writer, which catches up by snapshot before it follows.
    pub(crate) fn with_snapshots(mut self, snapshots: Option<SnapshotPeers>) -> Self {
        self.snapshots = snapshots;
        self
    }

    fn chain(&self) -> RwLockReadGuard<'_, HeaderChain> {
        self.chain.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs until told to stop. A batch that is being committed is finished first.
    ///
    /// # Errors
    /// [`WriterError`] where the store fails or the network ends by itself. What cannot be
    /// committed was not applied, so nothing that was published is lost.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), WriterError> {
        let done = self.catch_up_and_follow(&stop).await;
        let unasked = !stop.is_cancelled();
        let bans = self.network.close().await;
        done?;
        // Where the network failed there is no list of bans, and the stored one stays.
        let bans = bans.map_err(WriterError::Network)?;
        commit_blocking(&self.store, bans::batch(&bans)?).await?;
        if unasked {
            return Err(WriterError::Network("nobody asked it to".to_owned()));
        }
        Ok(())
    }

    async fn catch_up_and_follow(&mut self, stop: &CancellationToken) -> Result<(), StoreError> {
        #[cfg(feature = "snapshot")]
        self.catch_up(stop).await?;
        for input in std::mem::take(&mut self.joined) {
            self.tell_sync(input);
        }
        self.follow(stop).await
    }

    async fn follow(&mut self, stop: &CancellationToken) -> Result<(), StoreError> {
        loop {
            self.act().await?;
            self.publish_status();
            self.announce().await;
            let deadline = self.sync.poll_timeout().map(|elapsed| self.clock.instant(elapsed));
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                input = self.network.next() => match input {
                    Some(input) => self.handle(input),
                    None => return Ok(()),
                },
                () = sleep_until(deadline) => {
                    let now = self.clock.now();
                    let chain = self.chain.read().unwrap_or_else(PoisonError::into_inner);
                    self.sync.handle_timeout(&chain, now);
                }
            }
        }
    }

    fn handle(&mut self, input: NetworkInput) {
        self.view(&input);
        self.tell_sync(input);
    }

    /// Keeps who joins and has not left for the sync machine, which hears of them later, and asks
    /// everybody for what is new.
    fn keep(&mut self, input: NetworkInput) {
        self.view(&input);
        keep(&mut self.joined, input);
    }

    /// What others see of who is there.
    fn view(&mut self, input: &NetworkInput) {
        match input {
            NetworkInput::Joined { peer, network, address, user_agent, .. } => {
                self.events
                    .publish(NodeEvent::PeerJoined { peer: peer.0, address: address.clone() });
                let (address, user_agent) = (address.clone(), user_agent.clone());
                let (peer, network, phase) = (peer.0, *network, String::new());
                self.peers.push(PeerView { peer, network, address, user_agent, phase });
            }
            NetworkInput::Left { peer, reason } => {
                self.peers.retain(|view| view.peer != peer.0);
                self.events.publish(NodeEvent::PeerLeft { peer: peer.0, reason: reason.clone() });
            }
            NetworkInput::Headers { .. }
            | NetworkInput::Unanswered { .. }
            | NetworkInput::BlockInv { .. } => {}
        }
    }

    fn tell_sync(&mut self, input: NetworkInput) {
        let now = self.clock.now();
        let chain = self.chain.read().unwrap_or_else(PoisonError::into_inner);
        match input {
            NetworkInput::Joined { peer, network, direction, .. } => {
                let page = match network {
                    PeerNetwork::Bitcoin => MAX_HEADERS,
                    PeerNetwork::LibP2p => MAX_PAGE,
                };
                let traits = PeerTraits { page, called: direction == Direction::Inbound };
                self.sync.handle_connected_with(&chain, peer, traits, now);
            }
            NetworkInput::Left { peer, .. } => self.sync.handle_disconnected(&chain, peer, now),
            NetworkInput::Headers { peer, headers } => {
                self.sync.handle_headers(&chain, peer, headers, now);
            }
            NetworkInput::Unanswered { peer, why } => {
                self.sync.handle_unanswered(&chain, peer, why, now);
            }
            NetworkInput::BlockInv { peer, hashes } => {
                self.sync.handle_block_inv(&chain, peer, &hashes, now);
            }
        }
    }

    /// Does all that the sync machine wants done.
    async fn act(&mut self) -> Result<(), StoreError> {
        while let Some(action) = self.sync.poll() {
            match action {
                SyncAction::GetHeaders { peer, locator, stop, shared, retry } => {
                    let question = Question { locator, stop, shared, retry };
                    self.network.get_headers(peer, question).await;
                }
                SyncAction::Apply { peer, batch } => self.take_in(peer, batch).await?,
                SyncAction::Pin(hash) => self.write().pin(hash),
                SyncAction::Unpin(hash) => self.write().unpin(&hash),
                SyncAction::Misbehaved { peer, offence } => {
                    warn!(peer = peer.0, %offence, "peer misbehaved");
                    self.network.misbehaved(peer, offence).await;
                }
                SyncAction::Event(event) => {
                    if let SyncEvent::Stalled { peer } = event {
                        self.network.stalled(peer).await;
                    }
                    self.report(&event);
                }
                // The enum grows; a new action must not pass unseen.
                other => debug!(?other, "an action that this node does not know"),
            }
        }
        Ok(())
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, HeaderChain> {
        self.chain.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Verifies headers, takes in what is valid, and tells the sync machine the verdict.
    async fn take_in(&mut self, peer: PeerId, batch: LinkedBatch) -> Result<(), StoreError> {
        let verdict = self.chain().verify_linked(batch, self.clock.now().unix);
        let outcome = match verdict {
            Ok(batch) => Ok(self.commit(batch).await?),
            Err(mut error) => {
                if let Some(prefix) = error.prefix.take() {
                    self.commit(*prefix).await?;
                }
                self.refuse(peer, &error);
                Err(error)
            }
        };
        let now = self.clock.now();
        let chain = self.chain.read().unwrap_or_else(PoisonError::into_inner);
        self.sync.handle_applied(&chain, peer, outcome.as_ref(), now);
        Ok(())
    }

    fn refuse(&self, peer: PeerId, error: &HeaderError) {
        let about_target = matches!(
            error.violation,
            Violation::WrongTarget { .. } | Violation::ForbiddenTransition { .. }
        );
        if about_target && error.blame() == Blame::Local {
            warn!(peer = peer.0, %error, "refused a header; is the start point's height right?");
        } else {
            warn!(peer = peer.0, %error, "refused a header");
        }
        self.write().remember_invalid(error);
    }

    /// Commits a batch, then applies and publishes it.
    async fn commit(&self, batch: VerifiedBatch) -> Result<TipChange, StoreError> {
        let writes = headers::batch_for(&self.chain(), batch.change());
        if !writes.is_empty() {
            commit_blocking(&self.store, writes).await?;
        }
        let applied = self.write().apply(batch);
        let change = applied.unwrap_or_else(|stale| {
            // Only this task changes the chain, so a batch cannot go stale in between.
            error!(%stale, "a batch was lost");
            TipChange::Unchanged
        });
        self.publish(&change);
        Ok(change)
    }
}

impl<N> Drop for Writer<N> {
    fn drop(&mut self) {
        self.events.close();
    }
}

/// Commits off the async threads.
pub(crate) async fn commit_blocking(
    store: &Arc<dyn Store>,
    writes: WriteBatch,
) -> Result<(), StoreError> {
    let store = Arc::clone(store);
    blocking(move || store.commit(writes)).await
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;

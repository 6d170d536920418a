//! What a program that embeds the node holds of it.
//!
//! A [`NodeHandle`] is cheap to clone, may go to any thread, and keeps neither tasks nor the data
//! directory: once its [`Node`](crate::Node) is stopped or dropped, what it is asked ends with
//! [`Stopped`]. Every future here may be dropped at any point (each says what is done then), and all of
//! it works on a current-thread runtime.

mod confirm;
mod error;
mod limits;
mod states;
#[cfg(feature = "wallet")]
mod wallet;

use std::sync::Arc;

use ironlight_spv::chain::Position;
use ironlight_spv::{BlockHash, BlockHeight, ChainTip, IndexedHeader};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bridge::NetworksHandle;
pub use crate::chain::Stopped;
use crate::chain::{ChainHandle, Phase};
use crate::events::Subscription;
use crate::net::suspend::{Silence, Suspension};
use crate::net::{BytesByPurpose, NetworkReport};
pub use crate::proven::{ProofError, TransactionProof};
use crate::services::Services;
use crate::store::Store;
pub use confirm::Confirmation;
pub use error::ConfirmError;
#[cfg(feature = "wallet")]
pub use error::{
    BroadcastFailed, CallFailed, FeeRateFailed, RescanFailed, UnwatchFailed, WatchFailed,
};
pub use limits::{SyncOutcome, SyncProgress};

/// A block, by its hash or its height on the best chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockRef {
    /// By its hash.
    Hash(BlockHash),
    /// By its height.
    Height(BlockHeight),
}

impl From<BlockHash> for BlockRef {
    fn from(hash: BlockHash) -> Self {
        Self::Hash(hash)
    }
}

impl From<BlockHeight> for BlockRef {
    fn from(height: BlockHeight) -> Self {
        Self::Height(height)
    }
}

/// What a handle is made of.
pub(crate) struct Parts {
    pub(crate) chain: ChainHandle,
    pub(crate) networks: NetworksHandle,
    pub(crate) services: Services,
    /// Lent: it ends with the node.
    pub(crate) store: Arc<dyn Store>,
    pub(crate) suspension: Suspension,
    pub(crate) stop: CancellationToken,
    /// The tasks that are not gone.
    pub(crate) tracker: TaskTracker,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("chain", &self.chain).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Shared {
    parts: Parts,
    /// Only one can have an allowance at a time.
    turn: Mutex<()>,
}

/// Reads the node and tells it what to do. See the [module](self).
#[derive(Clone, Debug)]
pub struct NodeHandle(Arc<Shared>);

impl NodeHandle {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(Shared { parts, turn: Mutex::new(()) }))
    }

    fn parts(&self) -> &Parts {
        &self.0.parts
    }

    fn suspension(&self) -> &Suspension {
        &self.parts().suspension
    }

    /// The chain itself, for what has no method here.
    #[must_use]
    pub fn chain(&self) -> &ChainHandle {
        &self.parts().chain
    }

    /// The tip of the best chain.
    #[must_use]
    pub fn tip(&self) -> ChainTip {
        self.chain().tip()
    }

    /// A header, and whether it is on the best chain; none where it is not known.
    #[must_use]
    pub fn header(&self, block: impl Into<BlockRef>) -> Option<(IndexedHeader, Position)> {
        match block.into() {
            BlockRef::Hash(hash) => self.chain().header(&hash),
            BlockRef::Height(height) => {
                self.chain().header_at(height).map(|header| (header, Position::Best))
            }
        }
    }

    /// Waits until the headers are synced: as far as the peers know, with the minimum chain work.
    /// Cancel safe.
    ///
    /// # Errors
    /// [`Stopped`]
    pub async fn headers_synced(&self) -> Result<ChainTip, Stopped> {
        self.chain().synced().await
    }

    /// Every network that the node is in, with its peers and its bytes by purpose. Cancel safe.
    pub async fn networks(&self) -> Vec<NetworkReport> {
        self.parts().networks.reports().await
    }

    /// Bytes of all networks since the start, by what they were for. Cancel safe.
    pub async fn bytes(&self) -> BytesByPurpose {
        let reports = self.networks().await;
        reports.iter().fold(BytesByPurpose::default(), |sum, report| sum + report.by_purpose)
    }

    /// New events from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.chain().subscribe()
    }

    /// The events after a number that was seen before in this run of the node; after 0, all that are
    /// kept.
    #[must_use]
    pub fn subscribe_after(&self, sequence: u64) -> Subscription {
        self.chain().subscribe_after(sequence)
    }

    /// Whether the node is suspended.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.suspension().silence().is_some()
    }

    /// Closes all connections and dials nobody until [`resume`](Self::resume), and waits until all of
    /// that is so. Nothing is lost: what is known stays, and so does what is brought to the network.
    /// Suspending it again changes nothing.
    ///
    /// Cancel safe: given up, the node is suspended, and perhaps not silent yet.
    ///
    /// # Errors
    /// [`Stopped`]
    pub async fn suspend(&self) -> Result<(), Stopped> {
        self.suspension().suspend(Silence::Asked);
        self.silent().await
    }

    /// Goes on after [`suspend`](Self::suspend), or after a budget was spent: peers are dialled at once.
    /// It does not matter for how long the node was suspended, or that clocks have jumped. Where it is not
    /// suspended this changes nothing.
    pub fn resume(&self) {
        self.suspension().resume();
    }

    /// Waits until a suspended node has no connection and knows that it is not synced any more.
    async fn silent(&self) -> Result<(), Stopped> {
        let silent = async {
            self.suspension().settled().await;
            let alone = self
                .chain()
                .when(|status| status.peers.is_empty() && status.phase != Phase::Synced);
            alone.await?;
            #[cfg(feature = "wallet")]
            self.wallet().when(|status| !status.synced).await?;
            Ok(())
        };
        tokio::select! {
            done = silent => done,
            // Somebody let it go on.
            () = self.suspension().resumed() => Ok(()),
        }
    }

    /// Stops the node from anywhere, and waits until its tasks are gone; its
    /// [`Node`](crate::Node), which may be dropped then, keeps the data directory. Cancel safe: given
    /// up, the node stops all the same.
    pub async fn shutdown(&self) {
        let Parts { stop, tracker, .. } = self.parts();
        stop.cancel();
        tracker.close();
        tracker.wait().await;
    }
}

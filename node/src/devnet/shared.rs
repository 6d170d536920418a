//! The ledger as tasks share it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ironlight_spv::ChainTip;
use tokio::sync::watch;

use super::DevnetError;
use super::ledger::{Ledger, LedgerError};

/// Held for a few milliseconds at most: long commands are cut in pieces.
#[derive(Clone, Debug)]
pub(super) struct SharedLedger {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    ledger: Mutex<Ledger>,
    /// Sent after each change, also of the waiting transactions.
    changed: watch::Sender<ChainTip>,
    peers: AtomicUsize,
}

impl SharedLedger {
    pub(super) fn new(ledger: Ledger) -> Self {
        let changed = watch::Sender::new(ledger.tree().tip().as_tip());
        let inner = Inner { ledger: Mutex::new(ledger), changed, peers: AtomicUsize::new(0) };
        Self { inner: Arc::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.inner.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at it.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Ledger) -> T) -> T {
        look(&self.lock())
    }

    /// Changes it, off the async threads, and tells everybody. A change that was begun is done,
    /// whether it is waited for or not.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Ledger) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, DevnetError> {
        let shared = self.clone();
        let task = tokio::task::spawn_blocking(move || {
            let mut ledger = shared.lock();
            let done = act(&mut ledger);
            shared.inner.changed.send_replace(ledger.tree().tip().as_tip());
            done
        });
        let done = task.await.map_err(|error| DevnetError::Task { reason: error.to_string() })?;
        Ok(done?)
    }

    /// The tip, and a notice at each change; what happens in between is seen as one.
    pub(super) fn watch(&self) -> watch::Receiver<ChainTip> {
        self.inner.changed.subscribe()
    }

    /// Peers that are connected.
    pub(super) fn peers(&self) -> usize {
        self.inner.peers.load(Ordering::Relaxed)
    }

    /// Counts a peer for as long as the value lives.
    pub(super) fn count_peer(&self) -> CountedPeer {
        self.inner.peers.fetch_add(1, Ordering::Relaxed);
        CountedPeer { shared: self.clone() }
    }
}

/// A peer that is connected.
#[derive(Debug)]
pub(super) struct CountedPeer {
    shared: SharedLedger,
}

impl Drop for CountedPeer {
    fn drop(&mut self) {
        self.shared.inner.peers.fetch_sub(1, Ordering::Relaxed);
    }
}

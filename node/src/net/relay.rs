//! Transactions that this node offers to full nodes, and what they say of transactions.
//!
//! Purpose: a transaction is announced (`inv`), asked for (`getdata`) and sent (`tx`) on a connection,
//! while whether and when to announce is decided by the wallet's broadcast machine. [`Relay`] joins
//! the two: connections read from it what they may send, and tell through it what happened.
//!
//! What an attacker can grow: offered transactions are the user's own, at most [`MAX_OFFERED`]; events
//! that find no room are dropped, since each says what will be said again. With a watched memory pool:
//! twice [`MAX_SEEN`] ids of 33 bytes, and [`MAX_WAITING_BYTES`] of transactions that the wallet has not
//! taken yet.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bitcoin::{FeeRate, Transaction, Txid, Wtxid};
use ironlight_spv::peers::PeerId;
use tokio::sync::mpsc;

use super::bitcoin::message::TransactionId;

/// Transactions offered at once.
pub(crate) const MAX_OFFERED: usize = 1000;
/// Events that wait for the wallet.
const EVENTS: usize = 1024;
/// Ids of others' transactions after which the older half is forgotten: a few hours of mainnet's.
const MAX_SEEN: usize = 50_000;
/// Bytes of others' transactions that wait for the wallet. They are counted until it has taken all
/// events, so it is never more.
const MAX_WAITING_BYTES: usize = 4 << 20;

/// What a full node said of transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RelayEvent {
    /// It asked for one that is offered, and it is being sent.
    Requested {
        /// Who.
        peer: PeerId,
        /// Which.
        txid: Txid,
    },
    /// It announced one that is offered, so others have sent it on.
    Announced {
        /// Who.
        peer: PeerId,
        /// Which.
        txid: Txid,
    },
    /// It sent one that was asked for because the memory pool is watched. Nothing of it is verified.
    Received {
        /// Who.
        peer: PeerId,
        /// The transaction.
        transaction: Arc<Transaction>,
    },
    /// It relays nothing below this rate (BIP133).
    FeeFilter {
        /// Who.
        peer: PeerId,
        /// The rate.
        least: FeeRate,
    },
}

/// Shared by all connections; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Relay(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    offered: Mutex<Offered>,
    events: mpsc::Sender<RelayEvent>,
    watch_mempool: bool,
    seen: Mutex<Seen>,
    waiting_bytes: Mutex<usize>,
}

/// Others' transactions that were asked for lately, so that each is fetched once.
#[derive(Debug, Default)]
struct Seen {
    new: HashSet<TransactionId>,
    old: HashSet<TransactionId>,
}

impl Seen {
    fn insert(&mut self, id: TransactionId) -> bool {
        if self.old.contains(&id) || !self.new.insert(id) {
            return false;
        }
        if self.new.len() >= MAX_SEEN {
            self.old = std::mem::take(&mut self.new);
        }
        true
    }

    fn remove(&mut self, id: &TransactionId) {
        self.new.remove(id);
        self.old.remove(id);
    }
}

#[derive(Debug, Default)]
struct Offered {
    by_txid: HashMap<Txid, Arc<Transaction>>,
    by_wtxid: HashMap<Wtxid, Txid>,
}

impl Relay {
    /// Nothing offered yet. With `watch_mempool` peers are asked to announce every transaction.
    pub(crate) fn new(watch_mempool: bool) -> (Self, mpsc::Receiver<RelayEvent>) {
        let (events, events_out) = mpsc::channel(EVENTS);
        let (offered, seen, waiting_bytes) = Default::default();
        let shared = Shared { offered, events, watch_mempool, seen, waiting_bytes };
        (Self(Arc::new(shared)), events_out)
    }

    fn offered(&self) -> MutexGuard<'_, Offered> {
        locked(&self.0.offered)
    }

    /// Whether all transactions that peers announce are asked for.
    pub(crate) fn watches_mempool(&self) -> bool {
        self.0.watch_mempool
    }

    /// From now on peers get it when they ask. False where too many are offered.
    pub(crate) fn offer(&self, transaction: Arc<Transaction>) -> bool {
        let (txid, wtxid) = (transaction.compute_txid(), transaction.compute_wtxid());
        let mut offered = self.offered();
        if offered.by_txid.len() >= MAX_OFFERED && !offered.by_txid.contains_key(&txid) {
            return false;
        }
        offered.by_wtxid.insert(wtxid, txid);
        offered.by_txid.insert(txid, transaction);
        true
    }

    /// It is offered no more.
    pub(crate) fn withdraw(&self, txid: &Txid) {
        let mut offered = self.offered();
        if let Some(transaction) = offered.by_txid.remove(txid) {
            offered.by_wtxid.remove(&transaction.compute_wtxid());
        }
    }

    /// An offered transaction by its txid.
    pub(crate) fn by_txid(&self, txid: &Txid) -> Option<Arc<Transaction>> {
        self.offered().by_txid.get(txid).cloned()
    }

    /// An offered transaction by its wtxid (BIP339).
    pub(crate) fn by_wtxid(&self, wtxid: &Wtxid) -> Option<Arc<Transaction>> {
        let offered = self.offered();
        offered.by_wtxid.get(wtxid).and_then(|txid| offered.by_txid.get(txid)).cloned()
    }

    /// Whether another's transaction is to be asked for: it was not lately. From now on it was.
    pub(crate) fn claim(&self, id: TransactionId) -> bool {
        locked(&self.0.seen).insert(id)
    }

    /// It did not come: another peer may be asked.
    pub(crate) fn release(&self, id: &TransactionId) {
        locked(&self.0.seen).remove(id);
    }

    /// Hands the wallet another's transaction of so many bytes, where it has room for that.
    pub(crate) fn received(&self, peer: PeerId, transaction: Arc<Transaction>, bytes: usize) {
        let events = &self.0.events;
        let mut waiting = locked(&self.0.waiting_bytes);
        if events.capacity() == events.max_capacity() {
            *waiting = 0;
        }
        if *waiting + bytes <= MAX_WAITING_BYTES {
            *waiting += bytes;
            self.tell(RelayEvent::Received { peer, transaction });
        }
    }

    /// Tells the wallet; where it has no room, it is not told.
    pub(crate) fn tell(&self, event: RelayEvent) {
        let _ = self.0.events.try_send(event);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Bytes at the sockets, by connection and in all.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::net::suspend::Suspension;

/// Bytes of one connection, or of all.
#[derive(Debug, Default)]
pub(super) struct Bytes {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Bytes {
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

/// Counts for one connection and for all of them.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    own: Arc<Bytes>,
    all: Arc<Bytes>,
    suspension: Suspension,
}

impl Meter {
    pub(super) fn received(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.own.received.fetch_add(bytes, Ordering::Relaxed);
        self.all.received.fetch_add(bytes, Ordering::Relaxed);
        self.suspension.spend(bytes);
    }

    /// Whether more may be read. Where it may not, the connection is about to be closed.
    pub(super) fn may_receive(&self) -> bool {
        self.suspension.may_receive()
    }

    pub(super) fn sent(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.own.sent.fetch_add(bytes, Ordering::Relaxed);
        self.all.sent.fetch_add(bytes, Ordering::Relaxed);
        self.suspension.spend(bytes);
    }
}

/// All counters. A connection's own one is found by the address of its far end, until the last
/// part of the connection is gone.
#[derive(Clone, Debug, Default)]
pub(super) struct Traffic {
    all: Arc<Bytes>,
    connections: Arc<Mutex<HashMap<SocketAddr, Weak<Bytes>>>>,
    suspension: Suspension,
}

/// From so many entries on, those of connections that are gone are cleared away.
const SWEEP_AT: usize = 256;

impl Traffic {
    /// Counters whose bytes are spent there, too.
    pub(super) fn new(suspension: Suspension) -> Self {
        Self { suspension, ..Self::default() }
    }

    /// Begins to count for a connection.
    pub(super) fn meter(&self, far_end: SocketAddr) -> Meter {
        let own = Arc::<Bytes>::default();
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if connections.len() >= SWEEP_AT {
            connections.retain(|_, bytes| bytes.strong_count() > 0);
        }
        connections.insert(far_end, Arc::downgrade(&own));
        Meter { own, all: Arc::clone(&self.all), suspension: self.suspension.clone() }
    }

    /// The counter of a connection; none where there is no such connection.
    pub(super) fn of(&self, far_end: SocketAddr) -> Option<Arc<Bytes>> {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.get(&far_end)?.upgrade()
    }

    pub(super) fn all(&self) -> &Bytes {
        &self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_counted_by_itself_and_in_the_sum() {
        let traffic = Traffic::default();
        let (a, b) = (SocketAddr::from(([127, 0, 0, 1], 1)), SocketAddr::from(([127, 0, 0, 1], 2)));
        let (one, two) = (traffic.meter(a), traffic.meter(b));
        one.received(5);
        two.received(7);
        two.sent(11);
        let bytes = traffic.of(b).unwrap();
        assert_eq!((bytes.received(), bytes.sent()), (7, 11));
        drop((one, two, bytes));
        assert!(traffic.of(b).is_none());
        assert_eq!((traffic.all().received(), traffic.all().sent()), (12, 11));
    }

    #[test]
    fn connections_that_are_gone_do_not_pile_up() {
        let traffic = Traffic::default();
        for port in 0..60_000 {
            drop(traffic.meter(SocketAddr::from(([127, 0, 0, 1], port))));
        }
        assert!(traffic.connections.lock().unwrap().len() <= SWEEP_AT);
    }
}

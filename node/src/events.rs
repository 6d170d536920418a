//! Numbered events, the last few thousand of them kept.
//!
//! A subscriber that falls behind by more than the ring holds is told so, and from which height
//! on to look again; it never silently misses one. Bound: [`EVENTS_KEPT`] events of a few dozen bytes, or as many as the
//! user asked for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

#[cfg(feature = "wallet")]
use bitcoin::Txid;
use ironlight_spv::{BlockHeight, ChainTip};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[cfg(feature = "wallet")]
use crate::wallet::{WalletEvent, broadcast::BroadcastEvent};

/// Events kept for subscribers that fell behind, where nothing else is asked for.
pub const EVENTS_KEPT: usize = 4096;

/// Something that happened to the node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// The best chain grew.
    TipExtended {
        /// The new tip.
        tip: ChainTip,
        /// By so many headers.
        connected: u32,
    },
    /// A branch with more work took over.
    Reorg {
        /// The new tip.
        tip: ChainTip,
        /// The last header that both branches share.
        fork_point: ChainTip,
        /// So many headers left the best chain.
        disconnected: u32,
        /// So many joined it.
        connected: u32,
    },
    /// The chain is as far as its peers know.
    Synced {
        /// The tip.
        tip: ChainTip,
    },
    /// A peer finished its handshake.
    PeerJoined {
        /// Its number, never used twice.
        peer: u64,
        /// Where it is.
        address: String,
    },
    /// A peer is gone.
    PeerLeft {
        /// Its number.
        peer: u64,
        /// Why.
        reason: String,
    },
    /// A peer did not answer in time; others are asked, and it is kept.
    Stalled {
        /// Its number.
        peer: u64,
    },
    /// Filters are wanted, and for so long there has been no peer that serves any. The node goes on
    /// dialling; what is watched is not looked for meanwhile.
    NoFilterPeers {
        /// How long.
        since: Duration,
    },
    /// Something happened to what is watched.
    #[cfg(feature = "wallet")]
    Wallet(WalletEvent),
    /// A transaction of the wallet's waits to be in a block.
    #[cfg(feature = "wallet")]
    Pending {
        /// Which.
        txid: Txid,
        /// Whether this node brings it to the network. Of any other nothing is verified.
        own: bool,
    },
    /// A transaction that this node brings to the network has got on, or not.
    #[cfg(feature = "wallet")]
    Broadcast(BroadcastEvent),
    /// All that is watched has been looked for up to the tip.
    #[cfg(feature = "wallet")]
    Scanned {
        /// The tip.
        tip: ChainTip,
    },
}

/// An event with its place in the sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Counts from 1 since the node started, without gaps.
    pub sequence: u64,
    /// The event.
    pub event: NodeEvent,
}

/// The subscriber fell further behind than events are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{missed} events were missed: look again from height {resync_from} on")]
pub struct Lagged {
    /// How many events are gone.
    pub missed: u64,
    /// No event that is gone changed anything below this height.
    pub resync_from: BlockHeight,
}

#[derive(Debug)]
struct Ring {
    events: VecDeque<Numbered>,
    /// Events kept.
    limit: usize,
    /// Of each event that fell out of the ring, the lowest height that it may have changed.
    lowest_dropped: Option<BlockHeight>,
}

impl Ring {
    fn cut(&mut self) {
        while self.events.len() > self.limit
            && let Some(dropped) = self.events.pop_front()
        {
            let height = lowest_change(&dropped.event);
            self.lowest_dropped = self.lowest_dropped.into_iter().chain(height).min();
        }
    }
}

/// Where events are published and subscribed to.
#[derive(Debug)]
pub struct EventBus {
    ring: Mutex<Ring>,
    latest: watch::Sender<u64>,
    closed: CancellationToken,
}

impl Default for EventBus {
    fn default() -> Self {
        let ring = Ring { events: VecDeque::new(), limit: EVENTS_KEPT, lowest_dropped: None };
        let (ring, closed) = (Mutex::new(ring), CancellationToken::new());
        Self { ring, latest: watch::Sender::new(0), closed }
    }
}

impl EventBus {
    pub(crate) fn publish(&self, event: NodeEvent) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let sequence = *self.latest.borrow() + 1;
        ring.events.push_back(Numbered { sequence, event });
        ring.cut();
        drop(ring);
        self.latest.send_replace(sequence);
    }

    /// From now on so many events are kept, and at least one.
    pub(crate) fn keep(&self, events: usize) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.limit = events.max(1);
        ring.cut();
    }

    /// No more events will come: subscribers read what there is, then hear of the end.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// Waits until no more events come. Cancel safe.
    pub(crate) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// The number of the latest event; 0 before the first.
    #[must_use]
    pub fn latest(&self) -> u64 {
        *self.latest.borrow()
    }

    /// Subscribes to the events after a number: after [`latest`](Self::latest) for new ones only,
    /// after the last one seen to resume.
    #[must_use]
    pub fn subscribe(self: &Arc<Self>, after: u64) -> Subscription {
        let next = after.saturating_add(1);
        Subscription { bus: Arc::clone(self), next, latest: self.latest.subscribe() }
    }

    fn get(&self, sequence: u64) -> Result<Option<Numbered>, Lagged> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if sequence > self.latest() + 1 {
            // A number of a node that ran before: what happened in between is anybody's guess.
            return Err(Lagged { missed: 0, resync_from: BlockHeight::GENESIS });
        }
        let Some(oldest) = ring.events.front() else { return Ok(None) };
        let Some(offset) = sequence.checked_sub(oldest.sequence) else {
            let missed = oldest.sequence - sequence;
            let resync_from = ring.lowest_dropped.unwrap_or_default();
            return Err(Lagged { missed, resync_from });
        };
        Ok(usize::try_from(offset).ok().and_then(|offset| ring.events.get(offset)).cloned())
    }
}

/// The lowest height that an event changed; none where it changed no header.
fn lowest_change(event: &NodeEvent) -> Option<BlockHeight> {
    match event {
        NodeEvent::TipExtended { tip, connected } => {
            Some(BlockHeight(tip.height.0.saturating_sub(connected.saturating_sub(1))))
        }
        NodeEvent::Reorg { fork_point, .. } => Some(fork_point.height.next()),
        NodeEvent::Synced { .. }
        | NodeEvent::PeerJoined { .. }
        | NodeEvent::PeerLeft { .. }
        | NodeEvent::NoFilterPeers { .. }
        | NodeEvent::Stalled { .. } => None,
        #[cfg(feature = "wallet")]
        NodeEvent::Wallet(event) => lowest_of_wallet(event),
        #[cfg(feature = "wallet")]
        NodeEvent::Pending { .. } | NodeEvent::Broadcast(_) | NodeEvent::Scanned { .. } => None,
    }
}

#[cfg(feature = "wallet")]
const fn lowest_of_wallet(event: &WalletEvent) -> Option<BlockHeight> {
    match event {
        WalletEvent::Confirmed { place, .. } | WalletEvent::Unconfirmed { place, .. } => {
            Some(place.height)
        }
        WalletEvent::Conflicted { height, .. } => Some(*height),
        WalletEvent::Extended { .. }
        | WalletEvent::Exhausted { .. }
        | WalletEvent::ClaimDecided { .. } => None,
    }
}

/// A place in the sequence of events.
#[derive(Debug)]
pub struct Subscription {
    bus: Arc<EventBus>,
    next: u64,
    latest: watch::Receiver<u64>,
}

impl Subscription {
    /// The next event, waiting for it where needed. None once the node has stopped and all were
    /// read. Cancel safe: an event is only passed over once it was returned.
    ///
    /// # Errors
    /// [`Lagged`] where events were dropped before they were read, or where the number to go on
    /// from is none of this run of the node; the next call goes on with the oldest one kept.
    pub async fn next(&mut self) -> Result<Option<Numbered>, Lagged> {
        loop {
            match self.bus.get(self.next) {
                Ok(Some(event)) => {
                    self.next += 1;
                    return Ok(Some(event));
                }
                Ok(None) => {}
                Err(lagged) => {
                    self.next = (self.next + lagged.missed).min(self.bus.latest() + 1);
                    return Err(lagged);
                }
            }
            let next = self.next;
            tokio::select! {
                biased;
                _ = self.latest.wait_for(|latest| *latest >= next) => {}
                () = self.bus.closed.cancelled() => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stalled(peer: u64) -> NodeEvent {
        NodeEvent::Stalled { peer }
    }

    fn extended(height: u32) -> NodeEvent {
        let genesis = ironlight_spv::HeaderChain::new(ironlight_spv::Params::new(
            ironlight_spv::Network::Regtest,
        ));
        let tip = ChainTip { height: BlockHeight(height), ..genesis.tip() };
        NodeEvent::TipExtended { tip, connected: 1 }
    }

    #[tokio::test]
    async fn a_subscriber_sees_each_event_once_and_in_order() {
        let bus = Arc::new(EventBus::default());
        let mut subscription = bus.subscribe(0);
        bus.publish(stalled(1));
        bus.publish(stalled(2));
        for expected in 1..=2 {
            let Numbered { sequence, event } = subscription.next().await.unwrap().unwrap();
            assert_eq!((sequence, event), (expected, stalled(expected)));
        }
    }

    #[tokio::test]
    async fn a_subscriber_resumes_after_the_last_number_it_saw() {
        let bus = Arc::new(EventBus::default());
        (1..=5).for_each(|peer| bus.publish(stalled(peer)));
        let mut subscription = bus.subscribe(3);
        assert_eq!(subscription.next().await.unwrap().unwrap().sequence, 4);
    }

    #[tokio::test]
    async fn what_there_is_is_read_to_the_end_and_then_the_end_is_told() {
        let bus = Arc::new(EventBus::default());
        let mut subscription = bus.subscribe(0);
        bus.publish(stalled(1));
        bus.close();
        assert_eq!(subscription.next().await.unwrap().unwrap().sequence, 1);
        assert_eq!(subscription.next().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_number_of_an_earlier_run_is_told_to_look_again() {
        let bus = Arc::new(EventBus::default());
        bus.publish(stalled(1));
        for after in [7, u64::MAX] {
            let mut subscription = bus.subscribe(after);
            let lagged = subscription.next().await.unwrap_err();
            assert_eq!(lagged.resync_from, BlockHeight::GENESIS);
            bus.publish(stalled(2));
            assert_eq!(subscription.next().await.unwrap().unwrap().event, stalled(2));
        }
    }

    #[tokio::test]
    async fn one_that_fell_behind_is_told_where_to_look_again() {
        let bus = Arc::new(EventBus::default());
        let mut subscription = bus.subscribe(0);
        for height in 100..100 + u32::try_from(EVENTS_KEPT).unwrap() + 10 {
            bus.publish(extended(height));
        }
        let lagged = subscription.next().await.unwrap_err();
        assert_eq!(lagged, Lagged { missed: 10, resync_from: BlockHeight(100) });
        assert_eq!(subscription.next().await.unwrap().unwrap().sequence, 11);
    }
}

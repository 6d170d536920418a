//! Whether the sync is done.

use core::time::Duration;

use super::action::{SyncEvent, SyncState};
use super::machine::HeaderSync;
use super::peer::{Peer, Turn};
use crate::chain::HeaderChain;
use crate::time::Now;

impl HeaderSync {
    /// Peers that were asked and not heard in this round hold up the verdict for so long: enough for
    /// one answer and a stall, too short for a liar to hold it up for ever.
    fn grace(&self) -> Duration {
        self.config.request_timeout.saturating_mul(2)
    }

    /// When a turn stops holding up the verdict.
    fn grace_end(&self, peer: &Peer) -> Option<Duration> {
        match peer.turn {
            Turn::Working { since } if peer.presync.is_none() && !peer.heard => {
                Some(since.saturating_add(self.grace()))
            }
            Turn::Working { .. }
            | Turn::Waiting
            | Turn::Standby { .. }
            | Turn::Done
            | Turn::Backoff { .. }
            | Turn::Refused => None,
        }
    }

    pub(super) fn grace_ends(&self) -> Option<Duration> {
        if matches!(self.state, SyncState::Synced | SyncState::BelowMinimumWork) {
            return None;
        }
        let ends = self.peers.values().filter_map(|peer| self.grace_end(peer));
        ends.filter(|end| *end > self.last_checked).min()
    }

    /// Decides what to say of the sync as a whole; see [`SyncEvent::Synced`].
    pub(super) fn update_state(&mut self, chain: &HeaderChain, now: Now) {
        self.last_checked = now.elapsed;
        let tip = chain.tip();
        let settled = self.is_settled(now);
        let below = tip.work < chain.params().minimum_chain_work;
        let state = match self.state {
            _ if self.peers.is_empty() => SyncState::NoPeers,
            SyncState::Synced => SyncState::Synced,
            SyncState::NoPeers | SyncState::Syncing | SyncState::BelowMinimumWork => {
                match (settled, below) {
                    (true, false) => SyncState::Synced,
                    (true, true) => SyncState::BelowMinimumWork,
                    (false, _) if self.state == SyncState::BelowMinimumWork && below => self.state,
                    (false, _) => SyncState::Syncing,
                }
            }
        };
        if state != self.state && state == SyncState::Synced {
            self.tell(SyncEvent::Synced { tip });
        }
        if state != self.state && state == SyncState::BelowMinimumWork {
            self.tell(SyncEvent::BelowMinimumWork { tip });
        }
        self.state = state;
    }

    /// Whether two peers have no more headers, or one where all others were heard (they are in a
    /// presync, or agree with one that is) or are of no use now; and none holds up the verdict.
    fn is_settled(&self, now: Now) -> bool {
        let done = self.peers.values().filter(|peer| peer.turn == Turn::Done).count();
        let unheard = self.peers.values().any(|peer| match peer.turn {
            Turn::Waiting | Turn::Working { .. } | Turn::Standby { .. } => {
                !peer.heard && !peer.slow
            }
            Turn::Done | Turn::Backoff { .. } | Turn::Refused => false,
        });
        let held_up = self.peers.values().any(|peer| match self.grace_end(peer) {
            Some(end) => end > now.elapsed,
            None => self.is_primary_direct(peer),
        });
        (done >= 2 || (done == 1 && !unheard)) && !held_up
    }

    /// Whether a peer is the one that downloads a chain which is kept at once.
    fn is_primary_direct(&self, peer: &Peer) -> bool {
        let primary = self.primary.and_then(|id| self.peers.get(&id));
        primary.is_some_and(|primary| core::ptr::eq(primary, peer))
            && peer.is_direct()
            && peer.reached.is_some()
    }

    /// The chain has grown by a full message: we were behind.
    pub(super) fn fell_behind(&mut self) {
        if self.state == SyncState::Synced {
            self.state = SyncState::Syncing;
        }
    }
}

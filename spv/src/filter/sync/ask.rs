//! Requests in flight: who is asked what, and what becomes of what is overdue.

use alloc::vec::Vec;
use core::time::Duration;

use bitcoin::BlockHash;

use super::action::{FilterAction, FilterEvent, FilterRequest, FilterRequestId};
use super::machine::FilterSync;
use crate::chain::HeaderChain;
use crate::filter::FilterHash;
use crate::header::BlockHeight;
use crate::peers::PeerId;
use crate::time::Now;

/// A backoff is doubled at most so often.
const MAX_DOUBLINGS: u32 = 4;
/// A peer that the driver will not ask is put off for so long at least, and at most.
const SHORTEST_PUT_OFF: Duration = Duration::from_millis(100);
const LONGEST_PUT_OFF: Duration = Duration::from_secs(10 * 60);

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A peer's checkpoints.
    List,
    /// A peer's headers, to compare them with ours.
    Claim { start: u32 },
    /// Headers between checkpoints that are known.
    Range { start: u32 },
    /// Filters, to be delivered.
    Filters { start: u32 },
    /// A filter in dispute: with this hash, or ours.
    Evidence { hash: Option<FilterHash> },
    /// A block in dispute.
    Block,
}

/// A request that was not answered yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub(super) id: FilterRequestId,
    pub(super) peer: PeerId,
    pub(super) purpose: Purpose,
    /// The last block that it is about.
    pub(super) stop: (u32, BlockHash),
    pub(super) sent: Duration,
    /// Its deadline has passed, and others may be asked the same.
    pub(super) overdue: bool,
}

impl FilterSync {
    /// Asks a peer something about the heights up to, and with, `stop`.
    pub(super) fn ask(
        &mut self,
        chain: &HeaderChain,
        id: PeerId,
        purpose: Purpose,
        stop: u32,
        now: Now,
    ) -> Option<FilterRequestId> {
        let hash = chain.hash_at(BlockHeight(stop))?;
        self.questions = self.questions.saturating_add(1);
        let request_id = FilterRequestId(self.questions);
        let peer = self.peers.get_mut(&id)?;
        peer.in_flight += 1;
        peer.asked = self.questions;
        let count = |start: u32| stop.saturating_add(1).saturating_sub(start);
        let request = match purpose {
            Purpose::List => FilterRequest::Checkpoints { stop: hash, height: BlockHeight(stop) },
            Purpose::Claim { start } | Purpose::Range { start } => FilterRequest::Headers {
                start: BlockHeight(start),
                stop: hash,
                count: count(start),
            },
            Purpose::Filters { start } => FilterRequest::Filters {
                start: BlockHeight(start),
                stop: hash,
                count: count(start),
            },
            Purpose::Evidence { .. } => {
                FilterRequest::Filters { start: BlockHeight(stop), stop: hash, count: 1 }
            }
            Purpose::Block => FilterRequest::Block { height: BlockHeight(stop), hash },
        };
        if matches!(purpose, Purpose::List | Purpose::Claim { .. }) {
            peer.query = Some(request_id);
        }
        let retry = self.unanswered > 0;
        self.unanswered = self.unanswered.saturating_sub(1);
        let asked = InFlight {
            id: request_id,
            peer: id,
            purpose,
            stop: (stop, hash),
            sent: now.elapsed,
            overdue: false,
        };
        self.requests.insert(request_id, asked);
        self.act(FilterAction::Ask { peer: id, id: request_id, request, retry });
        Some(request_id)
    }

    /// An answer came, or none will: the request is over.
    pub(super) fn take_request(&mut self, peer: PeerId, id: FilterRequestId) -> Option<InFlight> {
        let asked = *self.requests.get(&id).filter(|asked| asked.peer == peer)?;
        self.requests.remove(&id);
        if let Some(known) = self.peers.get_mut(&peer) {
            known.in_flight = known.in_flight.saturating_sub(1);
            known.overdue = known.overdue.saturating_sub(usize::from(asked.overdue));
            if known.query == Some(id) {
                known.query = None;
            }
        }
        Some(asked)
    }

    /// What was asked for may be asked of others.
    pub(super) fn give_back(&mut self, asked: &InFlight) {
        match asked.purpose {
            Purpose::List | Purpose::Claim { .. } => {}
            Purpose::Range { start } => {
                if let Some(plan) = &mut self.plan {
                    plan.give_back(start, asked.id);
                }
            }
            Purpose::Filters { start } if !asked.overdue => {
                self.delivery.give_back(start..asked.stop.0 + 1);
            }
            // It was given back when it became overdue.
            Purpose::Filters { .. } => {}
            Purpose::Evidence { .. } | Purpose::Block => {
                if let Some(case) = self.cases.get_mut(&asked.stop.0) {
                    case.give_back(asked.id);
                }
            }
        }
    }

    /// Gives back what is overdue. Its answer is still taken.
    pub(super) fn expire_requests(&mut self, now: Now) {
        if !self.config.defences.stall_timeout {
            return;
        }
        let timeout = self.config.request_timeout;
        let due = |asked: &&mut InFlight| {
            !asked.overdue && asked.sent.saturating_add(timeout) <= now.elapsed
        };
        let mut late = Vec::new();
        for asked in self.requests.values_mut().filter(due) {
            late.push(*asked);
            asked.overdue = true;
        }
        for asked in late {
            self.give_back(&asked);
            if let Some(peer) = self.peers.get_mut(&asked.peer) {
                peer.overdue += 1;
                peer.span = (peer.span / 4).max(1);
            }
            self.strike(asked.peer, false, now);
            self.tell(FilterEvent::Stalled { peer: asked.peer });
        }
    }

    /// A question came to nothing. Where it was overdue, that was counted already.
    pub(super) fn strike(&mut self, id: PeerId, counted: bool, now: Now) {
        if counted {
            return;
        }
        self.unanswered = self.unanswered.saturating_add(1);
        self.back_off(id, now);
    }

    /// The peer is not asked for a while.
    pub(super) fn back_off(&mut self, id: PeerId, now: Now) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let doublings = peer.strikes.max(peer.lapses).min(MAX_DOUBLINGS);
        peer.strikes = peer.strikes.saturating_add(1);
        let wait = self.config.retry_after.saturating_mul(1 << doublings);
        let until = now.elapsed.saturating_add(wait);
        peer.backoff = Some(peer.backoff.map_or(until, |earlier| earlier.max(until)));
    }

    /// The driver will not ask the peer for so long.
    pub(super) fn put_off(&mut self, id: PeerId, retry_after: Duration, now: Now) {
        self.unanswered = self.unanswered.saturating_add(1);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let wait = retry_after.clamp(SHORTEST_PUT_OFF, LONGEST_PUT_OFF);
        peer.backoff = Some(now.elapsed.saturating_add(wait));
    }

    pub(super) fn end_backoffs(&mut self, now: Now) {
        for peer in self.peers.values_mut() {
            if peer.backoff.is_some_and(|until| until <= now.elapsed) {
                peer.backoff = None;
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, in time since the node started.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let timeout = self.config.request_timeout;
        let stalls = self.config.defences.stall_timeout;
        let waiting = self.requests.values().filter(|asked| stalls && !asked.overdue);
        let deadlines = waiting.map(|asked| asked.sent.saturating_add(timeout));
        let backoffs = self.peers.values().filter_map(|peer| peer.backoff);
        let settles = self.tip.into_iter().flat_map(|tip| {
            let behind = self.peers.values().filter(move |peer| {
                !peer.is_refused() && !peer.is_settled && peer.has < tip.height
            });
            behind.map(move |peer| peer.settles(tip.since, self.config.settle_after))
        });
        deadlines.chain(backoffs).chain(settles).chain(self.hold.ends()).min()
    }
}

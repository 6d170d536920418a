//! What the machine remembers of a peer.

use core::time::Duration;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;

use super::MAX_FILTER_HEADERS;
use super::action::{FilterPeerStatus, FilterRequestId, FilterStanding};
use crate::filter::{FilterHash, FilterHeader};
use crate::header::BlockHeight;
use crate::peers::PeerId;

/// What is known of a peer before it has said anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilterPeerTraits {
    /// The height up to which it is known to have the best chain's blocks: zero for one that only says how
    /// high its own chain is. It is not asked for blocks above that until it has told of one, or until a
    /// new block has had time to reach it. Of [`u32::MAX`] it may be asked about any block, whatever
    /// branch wins: it does not hang up on who asks for what it does not have.
    pub height: BlockHeight,
    /// It called us: such peers are asked for filters last, since anybody can call.
    pub called: bool,
    /// It passes on what others told it, as light nodes do, instead of making filters from blocks. A
    /// header of its that turns out false is then no lie of its: it is taken back without blame.
    pub relays: bool,
}

/// How far along its chain a peer's filter header is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The height that comes next.
    pub(super) next: u32,
    /// The peer's header before it.
    pub(super) header: FilterHeader,
}

impl Place {
    /// Before genesis all agree.
    pub(super) fn start() -> Self {
        Self { next: 0, header: FilterHeader::all_zeros() }
    }
}

/// Where a peer stands towards our filter headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// Not compared yet.
    Unheard,
    /// Below this place its filters are ours, blocks apart that are undecided. Its header is ours,
    /// too, unless it took another side in one of those.
    Holds(Place),
    /// It has ours below `low`; before `high` its header is another one.
    Differs { low: Place, high: Place },
    /// The first filter that it claims to be another one than ours.
    Disputes { height: u32, before: FilterHeader, hash: FilterHash },
    /// It proved itself a liar.
    Refused,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) called: bool,
    pub(super) relays: bool,
    /// The height up to which it has the best chain's blocks.
    pub(super) has: u32,
    /// When it connected.
    pub(super) since: Duration,
    /// Whether it is here, and the tip known, for so long that it is taken to have the tip.
    pub(super) is_settled: bool,
    /// The last block that it told of.
    pub(super) told: Option<BlockHash>,
    pub(super) stand: Stand,
    /// The question about its filter headers that is in flight.
    pub(super) query: Option<FilterRequestId>,
    pub(super) in_flight: usize,
    /// Requests of those that are overdue.
    pub(super) overdue: usize,
    /// It is not asked before.
    pub(super) backoff: Option<Duration>,
    /// Questions that came to nothing, in a row.
    pub(super) strikes: u32,
    /// How often it did not stand by what it claimed: from then on nothing waits for it.
    pub(super) lapses: u32,
    /// Filters that it is asked for at once.
    pub(super) span: u32,
    /// Headers that it is asked for at once where it is on another side: few while each leads to the next
    /// dispute, or all would be sent again for each.
    pub(super) stride: u32,
    /// When it was last asked, counted in questions.
    pub(super) asked: u64,
    /// Decides between it and others that are as good.
    pub(super) lot: u64,
}

impl Peer {
    pub(super) const fn new(
        traits: FilterPeerTraits,
        stand: Stand,
        span: u32,
        lot: u64,
        since: Duration,
    ) -> Self {
        Self {
            called: traits.called,
            relays: traits.relays,
            has: traits.height.0,
            since,
            is_settled: false,
            told: None,
            stand,
            query: None,
            in_flight: 0,
            overdue: 0,
            backoff: None,
            strikes: 0,
            lapses: 0,
            span,
            stride: MAX_FILTER_HEADERS,
            asked: 0,
            lot,
        }
    }

    /// When it is taken to have a tip that is known since then.
    pub(super) fn settles(&self, tip_since: Duration, after: Duration) -> Duration {
        tip_since.max(self.since).saturating_add(after)
    }

    /// Blocks above a fork that it had may be those of the branch that was left; one that may be asked
    /// about any is.
    pub(super) fn leave_branch(&mut self, fork: u32) {
        if self.has != u32::MAX {
            self.has = self.has.min(fork);
        }
    }

    pub(super) fn is_refused(&self) -> bool {
        self.stand == Stand::Refused
    }

    /// Whether it may be asked something.
    pub(super) fn is_available(&self, pipelined: usize) -> bool {
        !self.is_refused() && self.backoff.is_none() && self.in_flight < pipelined
    }

    /// Whether all that may be in flight is, and some of it is overdue: it may never be free again.
    pub(super) fn is_stuck(&self, pipelined: usize) -> bool {
        self.overdue > 0 && self.in_flight >= pipelined
    }

    /// Whether it can be expected to answer before long.
    pub(super) fn answers(&self) -> bool {
        !self.is_refused() && self.backoff.is_none() && self.overdue == 0
    }

    /// Whether it has our filters below a height, blocks apart that are undecided.
    pub(super) fn holds(&self, end: u32) -> bool {
        matches!(self.stand, Stand::Holds(place) if place.next >= end)
    }

    /// Where something is in doubt because of it, from this height on.
    pub(super) fn doubts_from(&self) -> Option<u32> {
        match self.stand {
            Stand::Differs { low, .. } => Some(low.next),
            Stand::Disputes { height, .. } => Some(height),
            Stand::Unheard | Stand::Holds(_) | Stand::Refused => None,
        }
    }

    pub(super) fn status(&self, peer: PeerId) -> FilterPeerStatus {
        let standing = match self.stand {
            Stand::Unheard => FilterStanding::Unheard,
            Stand::Holds(place) => {
                place.next.checked_sub(1).map_or(FilterStanding::Unheard, |to| {
                    FilterStanding::Agrees { to: BlockHeight(to) }
                })
            }
            Stand::Differs { .. } | Stand::Disputes { .. } => FilterStanding::Differs,
            Stand::Refused => FilterStanding::Refused,
        };
        FilterPeerStatus { peer, standing, in_flight: self.in_flight }
    }
}

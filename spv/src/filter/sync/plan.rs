//! Many headers at once: the checkpoints of a peer name where ranges have to begin and end, and
//! those who agree on them fetch the ranges side by side.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bitcoin::BlockHash;

use super::action::{FilterOffence, FilterRequestId};
use super::answer::Useful;
use super::ask::{InFlight, Purpose};
use super::machine::FilterSync;
use super::peer::{Peer, Place, Stand};
use super::{CHECKPOINT_INTERVAL, MAX_FILTER_HEADERS};
use crate::chain::HeaderChain;
use crate::filter::header_chain::link;
use crate::filter::{FilterHash, FilterHeader};
use crate::header::BlockHeight;
use crate::peers::PeerId;
use crate::time::Now;

/// Ranges that are asked for or wait for those before them at most: 64 KB each.
const MAX_RANGES: usize = 16;

/// What is known of the headers above our chain, and what of them is here already.
#[derive(Debug)]
pub(super) struct Plan {
    /// Where it ends.
    top: Place,
    /// The block up to which its checkpoints were asked for.
    stop: (u32, BlockHash),
    /// Checkpoints that it has, lowest first.
    checkpoints: VecDeque<Place>,
    ranges: VecDeque<PlannedRange>,
}

#[derive(Debug)]
struct PlannedRange {
    start: u32,
    /// The header before it, where that is a checkpoint; else ours has to be.
    before: Option<FilterHeader>,
    /// A checkpoint in the middle.
    middle: Option<Place>,
    end: Place,
    state: RangeState,
}

#[derive(Debug)]
enum RangeState {
    Idle,
    Asked(FilterRequestId),
    Ready(FilterHeader, Vec<FilterHash>),
}

impl Plan {
    /// From our chain's end to the last of these checkpoints, which are above it.
    pub(super) fn new(from: u32, stop: (u32, BlockHash), checkpoints: &[Place]) -> Option<Self> {
        let top = *checkpoints.last()?;
        let mut ranges = VecDeque::new();
        let (mut start, mut before) = (from, None);
        let mut rest = checkpoints;
        while let [first, after @ ..] = rest {
            // Two checkpoints in one message, where so many fit: from genesis it is one too many.
            let (end, middle, more) = match after {
                [second, more @ ..] if second.next - start <= MAX_FILTER_HEADERS => {
                    (*second, Some(*first), more)
                }
                _ => (*first, None, after),
            };
            let state = RangeState::Idle;
            ranges.push_back(PlannedRange { start, before, middle, end, state });
            (start, before, rest) = (end.next, Some(end.header), more);
        }
        Some(Self { top, stop, checkpoints: checkpoints.iter().copied().collect(), ranges })
    }

    /// Whether the best header chain is still the one that it is about.
    pub(super) fn is_current(&self, chain: &HeaderChain) -> bool {
        chain.hash_at(BlockHeight(self.stop.0)) == Some(self.stop.1)
    }

    /// The header before a height, where that is a checkpoint of it.
    pub(super) fn before(&self, height: u32) -> Option<FilterHeader> {
        let at = self.checkpoints.binary_search_by_key(&height, |place| place.next).ok()?;
        self.checkpoints.get(at).map(|place| place.header)
    }

    pub(super) fn give_back(&mut self, start: u32, id: FilterRequestId) {
        if let Some(range) = self.find(start)
            && matches!(range.state, RangeState::Asked(asked) if asked == id)
        {
            range.state = RangeState::Idle;
        }
    }

    fn find(&mut self, start: u32) -> Option<&mut PlannedRange> {
        let at = self.ranges.binary_search_by_key(&start, |range| range.start).ok()?;
        self.ranges.get_mut(at)
    }
}

/// Whether hashes lead from one header through checkpoints to another.
fn leads(range: &PlannedRange, previous: FilterHeader, hashes: &[FilterHash]) -> bool {
    let (mut header, mut next) = (previous, range.start);
    for hash in hashes {
        header = link(hash, &header);
        next += 1;
        let middle = range.middle.filter(|middle| middle.next == next);
        if middle.is_some_and(|middle| middle.header != header) {
            return false;
        }
    }
    Place { next, header } == range.end
}

impl FilterSync {
    /// Whether a peer's tip is too far away for one message.
    pub(super) fn is_far(&self, reach: u32) -> bool {
        let last = reach / CHECKPOINT_INTERVAL * CHECKPOINT_INTERVAL;
        let far = reach.saturating_sub(self.filters.end()) >= MAX_FILTER_HEADERS;
        far && last >= self.filters.end()
    }

    /// Makes checkpoints the plan, where there is none.
    pub(super) fn begin_plan(&mut self, stop: (u32, BlockHash), checkpoints: &[Place]) -> bool {
        if self.plan.is_none() {
            self.plan = Plan::new(self.filters.end(), stop, checkpoints);
        }
        self.plan.as_ref().is_some_and(|plan| Some(&plan.top) == checkpoints.last())
    }

    /// Asks for ranges, or drops the plan where nobody stands by it any more.
    pub(super) fn drive_plan(&mut self, chain: &HeaderChain, now: Now) {
        let idle = |plan: &Plan| {
            let ranges = plan.ranges.iter().take(MAX_RANGES);
            ranges
                .filter(|range| matches!(range.state, RangeState::Idle))
                .map(|range| (range.start, range.end.next))
                .collect::<Vec<_>>()
        };
        let Some(idle) = self.plan.as_ref().map(idle) else { return };
        for (start, end) in idle {
            let Some(id) = self.least_busy(|peer| peer.holds(end)) else {
                break;
            };
            let asked = self.ask(chain, id, Purpose::Range { start }, end.saturating_sub(1), now);
            let range = self.plan.as_mut().and_then(|plan| plan.find(start));
            if let (Some(range), Some(asked)) = (range, asked) {
                range.state = RangeState::Asked(asked);
            }
        }
        if self.is_plan_abandoned() {
            self.drop_plan();
        }
    }

    /// Nobody who stands by the plan can be asked, but somebody else can.
    fn is_plan_abandoned(&self) -> bool {
        let Some(plan) = &self.plan else { return false };
        let Some(first) = plan.ranges.front() else { return true };
        let end = first.end.next;
        let asked = matches!(first.state, RangeState::Asked(_) | RangeState::Ready(..));
        let stands = |peer: &Peer| peer.holds(end) && !peer.is_refused();
        let backed = self.peers.values().any(|peer| stands(peer) && peer.answers());
        let others = self.peers.values().any(|peer| !stands(peer) && peer.answers());
        let anybody = self.peers.values().any(stands);
        !asked && !backed && (others || !anybody)
    }

    /// Forgets what was claimed of the headers above our chain.
    pub(super) fn drop_plan(&mut self) {
        self.plan = None;
        let (first, end) = (self.first_stand(), self.filters.end());
        for peer in self.peers.values_mut() {
            match peer.stand {
                Stand::Holds(place) if place.next > end => peer.stand = first,
                Stand::Differs { low, high } if high.next > end => {
                    peer.stand = if low.next <= end { Stand::Holds(low) } else { first };
                }
                Stand::Unheard
                | Stand::Holds(_)
                | Stand::Differs { .. }
                | Stand::Disputes { .. }
                | Stand::Refused => {}
            }
        }
    }

    /// Headers of a range arrived.
    pub(super) fn take_range(
        &mut self,
        chain: &HeaderChain,
        asked: &InFlight,
        start: u32,
        previous: FilterHeader,
        hashes: Vec<FilterHash>,
        now: Now,
    ) -> Useful {
        let id = asked.peer;
        let Some(range) = self.plan.as_mut().and_then(|plan| plan.find(start)) else {
            return Useful::Yes;
        };
        if range.end.next != asked.stop.0 + 1 || matches!(range.state, RangeState::Ready(..)) {
            return Useful::Yes;
        }
        let count = range.end.next.saturating_sub(start);
        if u32::try_from(hashes.len()) != Ok(count) {
            return Useful::No;
        }
        if range.before.is_none_or(|before| before == previous) && leads(range, previous, &hashes) {
            range.state = RangeState::Ready(previous, hashes);
            self.apply_ranges(chain, id, now);
            return Useful::Yes;
        }
        if self.peers.get(&id).is_some_and(|peer| peer.holds(asked.stop.0 + 1)) {
            // It named the checkpoints itself.
            self.blame(id, FilterOffence::Contradiction { height: BlockHeight(asked.stop.0) }, now);
        }
        Useful::Yes
    }

    /// Takes in the ranges that are next.
    fn apply_ranges(&mut self, chain: &HeaderChain, by: PeerId, now: Now) {
        loop {
            let end = self.filters.end();
            let Some(ours) = self.before(end) else { return };
            let Some(plan) = &mut self.plan else { return };
            let Some(first) = plan.ranges.front_mut() else {
                self.plan = None;
                return;
            };
            let RangeState::Ready(previous, hashes) = &mut first.state else { return };
            let (previous, hashes) = (*previous, core::mem::take(hashes));
            if first.start != end || previous != ours {
                // Between the last checkpoint and our chain's end the peer is not of our opinion.
                first.state = RangeState::Idle;
                self.differs_at_end(by, Place { next: end, header: previous });
                return;
            }
            plan.ranges.pop_front();
            if let Some(offence) = self.known_lie(chain, end, &hashes) {
                self.blame(by, offence, now);
                return self.drop_plan();
            }
            self.append(chain, previous, &hashes);
        }
    }

    /// A peer that agrees at the checkpoints around our chain's end has another header there.
    fn differs_at_end(&mut self, id: PeerId, high: Place) {
        let low = self.checkpoint_below(high.next);
        let first = self.first_stand();
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.stand = low.map_or(first, |low| Stand::Differs { low, high });
        }
    }

    /// Our last checkpoint below a height.
    fn checkpoint_below(&self, height: u32) -> Option<Place> {
        let below = height.saturating_sub(1) / CHECKPOINT_INTERVAL * CHECKPOINT_INTERVAL;
        let checkpoint = (below > 0).then(|| {
            let next = below + 1;
            self.before(next).map(|header| Place { next, header })
        });
        match checkpoint.flatten() {
            Some(place) => Some(place),
            None if self.filters.first_height() == BlockHeight::GENESIS => Some(Place::start()),
            None => None,
        }
    }
}

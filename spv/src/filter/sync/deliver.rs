//! Filters: which are asked of whom, and which are handed out when.

use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

use bitcoin::BlockHash;

use super::action::{FilterAction, FilterEvent, FilterOffence, Revision, ServedFilter};
use super::answer::Useful;
use super::ask::{InFlight, Purpose};
use super::delivery::{count, size_of};
use super::machine::FilterSync;
use super::peer::{Peer, Stand};
use crate::chain::HeaderChain;
use crate::filter::kept_hashes::block_hashes;
use crate::filter::{Filter, FilterError, FilterKey, hash_of};
use crate::header::BlockHeight;
use crate::peers::PeerId;
use crate::time::Now;

/// What is wrong with the filter after those that are right.
enum Wrong {
    Nothing,
    /// It is another one than the headers commit to.
    Hash(BlockHash),
    /// The headers commit to what is none.
    Filter(FilterError),
}

/// Whether what is in doubt holds up the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// Nothing is in doubt.
    None,
    /// It does, up to then.
    Until(Duration),
    /// It took too long: what turns out wrong is delivered again.
    Over,
}

impl Hold {
    pub(super) const fn ends(self) -> Option<Duration> {
        match self {
            Self::Until(end) => Some(end),
            Self::None | Self::Over => None,
        }
    }
}

impl FilterSync {
    /// The first height that is in doubt, if that matters.
    fn doubted(&self) -> Option<u32> {
        let sound = |peer: &&Peer| peer.lapses == 0 && peer.answers();
        let peers = self.peers.values().filter(sound);
        peers.filter_map(Peer::doubts_from).min().filter(|from| *from < self.filters.end())
    }

    pub(super) fn drive_hold(&mut self, now: Now) {
        self.hold = match (self.doubted(), self.hold) {
            (None, _) => Hold::None,
            (Some(_), Hold::None) => {
                let patience = self.config.request_timeout.saturating_mul(2);
                Hold::Until(now.elapsed.saturating_add(patience))
            }
            (Some(_), Hold::Until(end)) if end <= now.elapsed => Hold::Over,
            (Some(_), hold @ (Hold::Until(_) | Hold::Over)) => hold,
        };
    }

    /// Below it the filters are known as far as anybody says.
    fn undoubted(&self) -> u32 {
        let end = if self.former.is_some() { 0 } else { self.filters.end() };
        match self.hold {
            Hold::None | Hold::Over => end,
            Hold::Until(_) => self.doubted().map_or(end, |from| from.min(end)),
        }
    }

    /// Asks for filters.
    pub(super) fn drive_filters(&mut self, chain: &HeaderChain, now: Now) {
        let Some(mut next) = self.delivery.cursor else { return };
        let end = self.undoubted();
        let mut first = true;
        while let Some(gap) = self.delivery.gap(next..end, &self.undecided) {
            let Some(id) = self.least_busy(|peer| peer.holds(gap.start + 1)) else { return };
            let chunk = self.chunk(id, &gap);
            let in_flight = self.delivery.flying.saturating_add(count(&chunk));
            let bytes = in_flight.saturating_mul(self.delivery.mean);
            let bytes = bytes.saturating_add(self.delivery.waiting_bytes);
            if bytes > self.config.buffer_bytes && !(first && gap.start == next) {
                return;
            }
            let purpose = Purpose::Filters { start: chunk.start };
            if self.ask(chain, id, purpose, chunk.end - 1, now).is_none() {
                return;
            }
            next = chunk.end;
            first = false;
            self.delivery.send_out(chunk);
        }
    }

    /// So many of the filters in a gap are asked of a peer at once.
    fn chunk(&self, id: PeerId, gap: &Range<u32>) -> Range<u32> {
        let fitting = (self.config.answer_bytes / self.delivery.mean.max(1)).max(1);
        let fitting = u32::try_from(fitting).unwrap_or(u32::MAX).min(self.filters_at_most());
        let Some(peer) = self.peers.get(&id) else { return gap.start..gap.start + 1 };
        let place = match peer.stand {
            Stand::Holds(place) => place.next,
            // None of these is asked for filters.
            Stand::Unheard | Stand::Differs { .. } | Stand::Disputes { .. } | Stand::Refused => {
                gap.start + 1
            }
        };
        let end = gap.start.saturating_add(fitting.min(peer.span).max(1));
        gap.start..end.min(gap.end).min(place)
    }

    /// Filters arrived.
    pub(super) fn take_filters(
        &mut self,
        chain: &HeaderChain,
        asked: &InFlight,
        start: u32,
        served: Vec<ServedFilter>,
        now: Now,
    ) -> Useful {
        let heights = start..asked.stop.0 + 1;
        if served.len() > count(&heights) {
            return Useful::No;
        }
        let (mut height, mut bytes) = (start, 0);
        let all = served.len() == count(&heights);
        let mut wrong = Wrong::Nothing;
        if self.filters.get(BlockHeight(start)).is_none() {
            // Taken back since it was asked for: no fault of who answers.
            return Useful::Yes;
        }
        let blocks = block_hashes(chain, heights);
        for (served, block_hash) in served.into_iter().zip(blocks) {
            let at = BlockHeight(height);
            if self.filters.get(at).is_none() || served.block_hash != block_hash {
                break;
            }
            let is_ours = self.filters.commits_to(at, &hash_of(&served.filter));
            if !is_ours && self.config.defences.check_filters {
                wrong = Wrong::Hash(block_hash);
                break;
            }
            bytes += served.filter.len();
            match Filter::decode(FilterKey::new(block_hash), served.filter) {
                Ok(filter) => self.keep(height, block_hash, filter),
                Err(error) => {
                    wrong = Wrong::Filter(error);
                    break;
                }
            }
            height += 1;
        }
        let kept = start.max(self.delivery.cursor.unwrap_or(0))..height;
        self.delivery.covered.insert(kept);
        let filters = count(&(start..height));
        self.delivery.note_sizes(filters, bytes);
        if !asked.overdue {
            self.note_pace(asked, bytes, all, now);
        }
        match wrong {
            Wrong::Nothing => {}
            Wrong::Hash(block_hash) => self.take_wrong(chain, asked.peer, height, block_hash, now),
            Wrong::Filter(error) => self.refute(chain, height, error, now),
        }
        if filters == 0 { Useful::No } else { Useful::Yes }
    }

    fn keep(&mut self, height: u32, block_hash: BlockHash, filter: Filter) {
        if self.delivery.cursor.is_none_or(|cursor| height < cursor) {
            return;
        }
        self.delivery.waiting_bytes += size_of(&filter);
        if let Some((_, old)) = self.delivery.waiting.insert(height, (block_hash, filter)) {
            self.delivery.waiting_bytes -= size_of(&old);
        }
    }

    /// Asks for more at once while answers are small and quick, for less where they are not.
    fn note_pace(&mut self, asked: &InFlight, bytes: usize, all: bool, now: Now) {
        let took = now.elapsed.saturating_sub(asked.sent);
        let most = self.filters_at_most();
        let slow = took.saturating_mul(4) > self.config.request_timeout || !all;
        let quick = took.saturating_mul(16) <= self.config.request_timeout;
        let Some(peer) = self.peers.get_mut(&asked.peer) else { return };
        if slow {
            peer.span = (peer.span / 2).max(1);
        } else if quick && bytes < self.config.answer_bytes {
            peer.span = peer.span.saturating_mul(2).min(most);
        }
    }

    /// A filter that is not the one of our header.
    fn take_wrong(
        &mut self,
        chain: &HeaderChain,
        id: PeerId,
        height: u32,
        block_hash: BlockHash,
        now: Now,
    ) {
        if self.undecided.contains(&height) {
            return;
        }
        if !self.filters.is_linked(height) {
            // A header that was stored: it may be the one that is wrong.
            self.roll_back(chain, height, Revision::Damage);
        } else if self.peers.get(&id).is_some_and(|peer| peer.holds(height + 1)) {
            let height = BlockHeight(height);
            self.blame(id, FilterOffence::WrongFilter { height, block_hash }, now);
        }
    }

    /// Hands out what is next; says whether anything was.
    pub(super) fn deliver(&mut self, chain: &HeaderChain) -> bool {
        let Some(start) = self.delivery.cursor else { return false };
        let unconsumed = u32::try_from(self.config.max_unconsumed).unwrap_or(u32::MAX);
        let end = self.undoubted().min(self.committed);
        let end = end.min(self.delivery.consumed.saturating_add(unconsumed));
        let mut next = start;
        while next < end {
            let height = BlockHeight(next);
            if self.undecided.contains(&next) {
                let Some(block_hash) = chain.hash_at(height) else { break };
                self.act(FilterAction::Undecided { height, block_hash, late: false });
                next += 1;
            } else if let Some(cached) = self.delivery.cached.end_of(next) {
                let undecided = self.undecided.range(next..).next().copied();
                next = undecided.into_iter().fold(cached.min(end), u32::min);
                self.act(FilterAction::Cached { heights: height..BlockHeight(next) });
            } else if let Some((block_hash, filter)) = self.delivery.waiting.remove(&next) {
                self.delivery.waiting_bytes -= size_of(&filter);
                self.act(FilterAction::Filter { height, block_hash, filter });
                next += 1;
            } else {
                break;
            }
        }
        if next > start {
            self.delivery.cursor = Some(next);
            self.delivery.handed_out = self.delivery.handed_out.max(next);
            self.delivery.covered.remove(start..next);
            if self.delivery.waiting.range(..next).next().is_some() {
                // Filters of blocks that became undecided meanwhile.
                let later = self.delivery.waiting.split_off(&next);
                self.delivery.drop_waiting(later);
            }
        }
        next > start
    }

    /// Nobody can say which filter is right: the block is looked through instead.
    pub(super) fn mark_undecided(&mut self, height: u32, block_hash: BlockHash) {
        let passed = height < self.delivery.handed_out && height >= self.delivery.floor;
        if self.undecided.insert(height) && passed {
            let height = BlockHeight(height);
            self.act(FilterAction::Undecided { height, block_hash, late: true });
        }
    }

    /// What was delivered from a height on is void, even where a rescan is below it now.
    pub(super) fn rewind(&mut self, next: u32, why: Revision) {
        self.delivery.forget_from(next);
        if !self.config.defences.revise && why == Revision::Evidence {
            return;
        }
        let from = next.max(self.delivery.floor);
        if from >= self.delivery.handed_out {
            return;
        }
        self.delivery.handed_out = from;
        self.delivery.cursor = self.delivery.cursor.map(|cursor| cursor.min(from));
        self.delivery.consumed = self.delivery.consumed.min(from);
        // However many events wait: without this one a payment may be lost.
        self.act(FilterAction::Event(FilterEvent::Revised { from: BlockHeight(from), why }));
    }
}

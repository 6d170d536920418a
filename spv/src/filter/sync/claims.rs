//! What a peer claims, compared with what we have.

use alloc::vec::Vec;

use super::action::{FilterAction, FilterHeaderChange, FilterOffence};
use super::answer::Useful;
use super::ask::{InFlight, Purpose};
use super::dispute::Known;
use super::machine::FilterSync;
use super::peer::{Peer, Place, Stand};
use super::{CHECKPOINT_INTERVAL, MAX_FILTER_HEADERS};
use crate::chain::HeaderChain;
use crate::filter::header_chain::link;
use crate::filter::{FilterHash, FilterHeader};
use crate::header::BlockHeight;
use crate::peers::PeerId;
use crate::time::Now;

/// So near to the tip, a peer is asked for all headers since it was asked last, not for the last alone.
const NEAR: u32 = 144;
/// Peers that are asked for the same new headers at once, where they are many.
const MAX_EXTENDING: usize = 2;

/// The next question about a peer's claims.
enum Query {
    List { stop: u32 },
    Claim { start: u32, stop: u32 },
}

impl FilterSync {
    /// Asks every peer that is not compared up to its tip.
    pub(super) fn drive_queries(&mut self, chain: &HeaderChain, now: Now) {
        let mut order: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.query.is_none())
            .filter(|(_, peer)| peer.is_available(self.config.max_pipelined))
            .map(|(id, peer)| (peer.called, peer.lapses, peer.asked, peer.lot, *id))
            .collect();
        order.sort_unstable();
        for (.., id) in order {
            let Some(query) = self.peers.get(&id).and_then(|peer| self.query(peer)) else {
                continue;
            };
            match query {
                Query::List { stop } => self.ask(chain, id, Purpose::List, stop, now),
                Query::Claim { start, stop } => {
                    self.ask(chain, id, Purpose::Claim { start }, stop, now)
                }
            };
        }
    }

    fn query(&self, peer: &Peer) -> Option<Query> {
        let (reach, end) = (self.reach(peer)?, self.filters.end());
        let at_most = |start: u32, stop: u32| {
            let aside = match peer.stand {
                Stand::Holds(place) | Stand::Differs { low: place, .. } => !self.is_ours(&place),
                Stand::Unheard | Stand::Disputes { .. } | Stand::Refused => false,
            };
            let most = if aside { peer.stride } else { MAX_FILTER_HEADERS };
            Query::Claim { start, stop: stop.min(start.saturating_add(most.saturating_sub(1))) }
        };
        match peer.stand {
            Stand::Disputes { .. } | Stand::Refused => None,
            Stand::Unheard => (reach >= self.filters.first_height().0 && self.may_list())
                .then_some(Query::List { stop: reach }),
            Stand::Differs { low, high } => {
                let last = high.next.checked_sub(1).filter(|_| high.next <= end)?;
                if !self.is_ours(&low) || high.next - low.next <= MAX_FILTER_HEADERS {
                    Some(at_most(low.next, last))
                } else {
                    Some(Query::List { stop: last })
                }
            }
            Stand::Holds(place) if place.next > reach || place.next > end => None,
            Stand::Holds(place) if reach < end => {
                let near = reach - place.next < NEAR || !self.is_ours(&place);
                let compare = self.config.defences.compare_peers;
                compare.then(|| at_most(if near { place.next } else { reach }, reach))
            }
            Stand::Holds(place) if self.is_ours(&place) && self.wants_list(&place, reach) => {
                self.may_list().then_some(Query::List { stop: reach })
            }
            Stand::Holds(place) if place.next < end => {
                // Up to our end first, if that is all that can be compared.
                let start = if self.is_ours(&place) { end - 1 } else { place.next };
                Some(at_most(start, end - 1))
            }
            Stand::Holds(place) => self.wants_extension(&place, reach).then(|| at_most(end, reach)),
        }
    }

    /// Whether a peer's checkpoints tell more than its headers would.
    fn wants_list(&self, place: &Place, reach: u32) -> bool {
        let news = reach / CHECKPOINT_INTERVAL * CHECKPOINT_INTERVAL >= place.next;
        news && (self.plan.is_some() || self.is_far(reach))
    }

    /// Without other opinions one list is enough.
    fn may_list(&self) -> bool {
        let listed = self.requests.values().any(|asked| asked.purpose == Purpose::List);
        self.config.defences.compare_peers || (!listed && self.plan.is_none())
    }

    /// Whether a peer whose place is our end is to be asked for what comes next.
    fn wants_extension(&self, place: &Place, reach: u32) -> bool {
        if self.plan.is_some() {
            return false;
        }
        let end = self.filters.end();
        let extends =
            |purpose: &Purpose| matches!(purpose, Purpose::Claim { start } if *start >= end);
        let asked =
            self.requests.values().filter(|asked| !asked.overdue && extends(&asked.purpose));
        let few = reach - place.next < NEAR && self.config.defences.compare_peers;
        let most = if self.config.defences.compare_peers { MAX_EXTENDING } else { 1 };
        few || asked.count() < most
    }

    /// Headers of a peer: compares them with ours, and goes on with those that are above.
    pub(super) fn take_claim(
        &mut self,
        chain: &HeaderChain,
        asked: &InFlight,
        start: u32,
        previous: FilterHeader,
        hashes: &[FilterHash],
        now: Now,
    ) -> Useful {
        let (id, count) = (asked.peer, asked.stop.0.saturating_add(1).saturating_sub(start));
        if u32::try_from(hashes.len()) != Ok(count) {
            return Useful::No;
        }
        let Some(stand) = self.peers.get(&id).map(|peer| peer.stand) else { return Useful::Yes };
        let (known, high) = match stand {
            Stand::Holds(known) => (known, None),
            Stand::Differs { low, high } => (low, Some(high)),
            Stand::Unheard | Stand::Disputes { .. } | Stand::Refused => return Useful::Yes,
        };
        let place = Place { next: start, header: previous };
        let Some(ours) = self.before(start) else { return Useful::Yes };
        if known.next == start && known.header != previous {
            self.contradicts(id, start, now);
        } else if known.next != start && ours != previous {
            // Somewhere below. What it claimed below that may have been taken back meanwhile.
            if known.next < start {
                self.set_stand(id, Stand::Differs { low: known, high: place });
            }
        } else if let Some(place) = self.walk(chain, id, place, hashes, now) {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.stride = peer.stride.saturating_mul(2).min(MAX_FILTER_HEADERS);
            }
            match high {
                Some(high) if high.next > place.next => {
                    self.set_stand(id, Stand::Differs { low: place, high });
                }
                Some(high) if high.next == place.next && high.header != place.header => {
                    self.contradicts(id, place.next, now);
                }
                Some(_) | None => self.set_stand(id, Stand::Holds(place)),
            }
        }
        Useful::Yes
    }

    fn set_stand(&mut self, id: PeerId, stand: Stand) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.stand = stand;
        }
    }

    fn contradicts(&mut self, id: PeerId, next: u32, now: Now) {
        let height = BlockHeight(next.saturating_sub(1));
        self.blame(id, FilterOffence::Contradiction { height }, now);
    }

    /// Compares filter by filter from a place on; none where the peer disputes one of ours.
    fn walk(
        &mut self,
        chain: &HeaderChain,
        id: PeerId,
        mut place: Place,
        hashes: &[FilterHash],
        now: Now,
    ) -> Option<Place> {
        let mut ours = self.before(place.next)?;
        for (offset, hash) in hashes.iter().enumerate() {
            let theirs = link(hash, &place.header);
            let Some(next) = self.filters.get(BlockHeight(place.next)) else {
                return self.extend(chain, id, place, hashes.get(offset..)?, now);
            };
            // Who took another side in an undecided block below has another header here whatever its
            // filter is, so the filter is compared. Else its header, which is made anyway, says the same.
            let same = if ours == place.header {
                theirs == next
            } else {
                self.filters.commits_to(BlockHeight(place.next), hash)
            };
            if !same && !self.is_other_side(chain, place.next, hash) {
                self.dispute(chain, id, place, *hash, now);
                return None;
            }
            (place, ours) = (Place { next: place.next + 1, header: theirs }, next);
        }
        Some(place)
    }

    /// Whether a filter is one of those between which nothing decides.
    fn is_other_side(&self, chain: &HeaderChain, height: u32, hash: &FilterHash) -> bool {
        self.undecided.contains(&height)
            && matches!(self.known(chain, height, hash), Some(Known::Undecided))
    }

    /// Takes in what a peer has above our end, where it is not to come from elsewhere.
    fn extend(
        &mut self,
        chain: &HeaderChain,
        id: PeerId,
        mut place: Place,
        hashes: &[FilterHash],
        now: Now,
    ) -> Option<Place> {
        if self.plan.is_some() {
            return Some(place);
        }
        if let Some(offence) = self.known_lie(chain, place.next, hashes) {
            self.blame(id, offence, now);
            return None;
        }
        let end = self.filters.end();
        let previous = self.before(end)?;
        self.append(chain, previous, hashes);
        for hash in hashes {
            place = Place { next: place.next + 1, header: link(hash, &place.header) };
        }
        Some(place)
    }

    /// Adds headers to our chain.
    pub(super) fn append(
        &mut self,
        chain: &HeaderChain,
        previous: FilterHeader,
        hashes: &[FilterHash],
    ) {
        let first = self.filters.next_height();
        let Ok(verified) = self.filters.verify(first, &previous, hashes, chain) else { return };
        if self.filters.apply(verified.clone()).is_ok() {
            self.commit(FilterHeaderChange::Append(verified));
        }
    }

    pub(super) fn commit(&mut self, change: FilterHeaderChange) {
        let end = self.filters.end();
        self.committed = self.committed.min(end);
        self.commits.push_back(end);
        self.act(FilterAction::Commit(change));
    }

    /// A peer's checkpoints: where it agrees, where it first differs, and what is above our chain.
    pub(super) fn take_list(
        &mut self,
        chain: &HeaderChain,
        asked: &InFlight,
        headers: &[FilterHeader],
    ) -> Useful {
        let (id, stop) = (asked.peer, asked.stop);
        if u32::try_from(headers.len()) != Ok(stop.0 / CHECKPOINT_INTERVAL) {
            return Useful::No;
        }
        if !self.compare_anchor(chain, id, headers) {
            return Useful::Yes;
        }
        let Some(stand) = self.peers.get(&id).map(|peer| peer.stand) else { return Useful::Yes };
        let (mut low, high) = match stand {
            Stand::Unheard => (Place::start(), None),
            Stand::Holds(place) if self.is_ours(&place) => (place, None),
            Stand::Differs { low, high } => (low, Some(high)),
            Stand::Holds(_) | Stand::Disputes { .. } | Stand::Refused => return Useful::Yes,
        };
        let anchor = self.filters.first_height().0;
        let mut above = Vec::new();
        for (header, number) in headers.iter().zip(1_u32..) {
            // The first is that of block 1000, which is the one before 1001.
            let next = number * CHECKPOINT_INTERVAL + 1;
            let place = Place { next, header: *header };
            if next <= low.next.max(anchor) {
                continue;
            }
            if high.is_some_and(|high| next >= high.next) {
                break;
            }
            let planned = || self.plan.as_ref().and_then(|plan| plan.before(next));
            match self.before(next).or_else(planned) {
                Some(ours) if ours == *header => low = place,
                Some(_) => {
                    self.set_stand(id, Stand::Differs { low, high: place });
                    return Useful::Yes;
                }
                None => above.push(place),
            }
        }
        if high.is_none() && self.is_far(stop.0) && self.begin_plan(stop, &above) {
            low = above.last().copied().unwrap_or(low);
        }
        self.set_stand(id, high.map_or(Stand::Holds(low), |high| Stand::Differs { low, high }));
        Useful::Yes
    }
}

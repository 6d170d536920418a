//! What one peer is asked, and what was fetched for it.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bitcoin::BlockHash;
use ironlight_spv::sync::PeerId;
use ironlight_spv::{BlockHeight, Header};

use super::{HANDED, MESSAGE, PATIENCE, Ticket};
use crate::net::swarm::wire::{HeadersPage, MAX_PAGE};

#[derive(Debug)]
pub(super) enum RangeState {
    Asked { ticket: Ticket, from: PeerId, since: Duration },
    Here { from: PeerId, page: HeadersPage },
}

/// A page that was asked for by height.
#[derive(Debug)]
pub(super) struct Range {
    pub(super) first: BlockHeight,
    pub(super) state: RangeState,
}

impl Range {
    pub(super) const fn is_asked_by(&self, wanted: Ticket) -> bool {
        matches!(self.state, RangeState::Asked { ticket, .. } if ticket.0 == wanted.0)
    }
}

/// What one peer is asked, and what was fetched for it.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The question that the machine waits for an answer to.
    pub(super) waiting: Option<Vec<BlockHash>>,
    /// The question by locator or hash that is in flight.
    pub(super) opening: Option<Ticket>,
    /// The same question was asked anew once, since what was fetched for it did not fit.
    pub(super) reopened: bool,
    pub(super) shared: bool,
    /// The machine has gone on: it is worth fetching more than it asks for.
    pub(super) continued: bool,
    /// The peer's tip, as it claims.
    pub(super) tip: BlockHeight,
    /// Headers to be handed on.
    pub(super) ready: VecDeque<Header>,
    /// Whose those are, in order, and how many of each.
    pub(super) owners: VecDeque<(PeerId, usize)>,
    /// The hash that the next header to be handed on follows.
    pub(super) after: Option<BlockHash>,
    /// The hash of the last header that is ready, or was handed on.
    pub(super) end: Option<BlockHash>,
    /// Pages after those, in order.
    pub(super) ranges: VecDeque<Range>,
    /// Where the next range begins; none where the peer has nothing after this.
    pub(super) next: Option<BlockHeight>,
    /// The last headers of others that were handed on, and whose.
    pub(super) handed: VecDeque<(PeerId, Vec<BlockHash>)>,
    /// Peers whose pages did not fit here.
    pub(super) unhelpful: BTreeSet<PeerId>,
}

/// What became of the pages that are here.
pub(super) enum Absorbed {
    /// All that follow are ready.
    All,
    /// The next one does not follow, and is another peer's.
    Misfit { from: PeerId },
    /// The next one does not follow, and is the peer's own: it has moved to another chain.
    Moved,
}

impl Stream {
    /// Nothing is ready and nothing will come.
    pub(super) fn is_spent(&self) -> bool {
        self.ready.is_empty() && self.ranges.is_empty() && self.next.is_none()
    }

    /// Pages in flight or waiting.
    pub(super) fn pages(&self) -> usize {
        let page = usize::try_from(MAX_PAGE).unwrap_or(usize::MAX);
        self.ranges.len() + self.ready.len().div_ceil(page)
    }

    /// What is left when a question is given up: who is to be blamed for what was handed on.
    pub(super) fn forgotten(&mut self) -> Self {
        let Self { handed, unhelpful, .. } = std::mem::take(self);
        Self { handed, unhelpful, ..Self::default() }
    }

    pub(super) fn take_in(&mut self, from: PeerId, page: HeadersPage) {
        let Some((first, last)) = page.headers.first().zip(page.headers.last()) else { return };
        if self.ready.is_empty() {
            self.after = Some(first.prev_hash());
        }
        self.end = Some(last.hash());
        self.owners.push_back((from, page.headers.len()));
        self.ready.extend(page.headers);
    }

    /// Moves pages that follow to what is ready.
    pub(super) fn absorb(&mut self, name: PeerId) -> Absorbed {
        while let Some(Range { first, state }) = self.ranges.pop_front() {
            let (from, page) = match state {
                RangeState::Here { from, page } => (from, page),
                RangeState::Asked { .. } => {
                    self.ranges.push_front(Range { first, state });
                    return Absorbed::All;
                }
            };
            let parent = page.headers.first().map(Header::prev_hash);
            if page.first != first || parent.is_none() || parent != self.end {
                if from == name {
                    return Absorbed::Moved;
                }
                let page = HeadersPage { tip: page.tip, first, headers: Vec::new() };
                self.ranges.push_front(Range { first, state: RangeState::Here { from, page } });
                return Absorbed::Misfit { from };
            }
            if page.next() != first.plus(MAX_PAGE) {
                // Fewer than asked for: what was planned after it leaves a gap.
                self.ranges.clear();
                self.next = (page.next() <= self.tip).then_some(page.next());
            }
            self.take_in(from, page);
        }
        Absorbed::All
    }

    /// The next message, if the machine waits for one and it is whole, or the last.
    pub(super) fn message(&mut self, name: PeerId) -> Option<Vec<Header>> {
        let more = self.opening.is_some() || !self.ranges.is_empty() || self.next.is_some();
        if self.ready.len() < MESSAGE && more {
            return None;
        }
        self.waiting.take()?;
        let count = self.ready.len().min(MESSAGE);
        let headers: Vec<Header> = self.ready.drain(..count).collect();
        self.after = self.ready.front().map_or(self.end, |next| Some(next.prev_hash()));
        self.note_owners(name, &headers);
        Some(headers)
    }

    /// Remembers which of the headers that are handed on are not the peer's own.
    fn note_owners(&mut self, name: PeerId, headers: &[Header]) {
        let mut rest = headers;
        while let Some((from, count)) = self.owners.pop_front() {
            let Some((theirs, others)) = rest.split_at_checked(count) else {
                self.owners.push_front((from, count - rest.len()));
                self.hand_on(name, from, rest);
                return;
            };
            self.hand_on(name, from, theirs);
            rest = others;
        }
    }

    fn hand_on(&mut self, name: PeerId, from: PeerId, headers: &[Header]) {
        let Some(last) = headers.last().filter(|_| from != name) else { return };
        // A header names its parent: only the last one has to be hashed.
        let hashes = headers.iter().skip(1).map(Header::prev_hash).chain([last.hash()]);
        self.handed.push_back((from, hashes.collect()));
        if self.handed.len() > HANDED {
            self.handed.pop_front();
        }
    }

    /// When the peer itself is to be asked for what another one owes, and who that is.
    pub(super) fn overdue(&self, name: PeerId) -> Option<(Duration, PeerId)> {
        match self.ranges.front()?.state {
            RangeState::Asked { from, since, .. } if from != name => Some((since + PATIENCE, from)),
            RangeState::Asked { .. } | RangeState::Here { .. } => None,
        }
    }
}

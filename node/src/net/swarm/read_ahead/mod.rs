//! Several ranges of headers in flight, from several peers, for a sync that asks one peer for one
//! message at a time.
//!
//! Over libp2p a peer can be asked by height: so what it will be asked next is fetched before it is
//! asked for. [`ReadAhead`] does no I/O: questions, pages and failures go in,
//! requests and messages come out.
//!
//! Invariants:
//! - What is handed on in a peer's name follows what it was asked for, header by header.
//! - Pages of other peers are used only where the machine says that they may be ("shared"), only if
//!   they follow the page before, and their origin is remembered: a fault in them is theirs.
//! - A question that does not go on where the last one ended forgets what was fetched for it.
//! - Nothing is fetched for a question that was asked once only: a second opinion costs one message.
//!
//! What an attacker can grow: for a peer that is asked, [`WINDOW`] pages of 640 KB, and the hashes of
//! [`HANDED`] of others' pages, 256 KB each.

mod stream;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bitcoin::BlockHash;
use ironlight_spv::sync::{MAX_PAGE as MESSAGE, PeerId, Unanswered};
use ironlight_spv::{BlockHeight, Header};
use stream::{Absorbed, Range, RangeState, Stream};

use super::wire::{HeadersPage, HeadersRequest, MAX_PAGE, Wanted};
use crate::net::Question;
use crate::net::requests::Asked;

/// Pages in flight or waiting, for a peer that is asked, its own and others'.
pub(super) const WINDOW: usize = 4;
/// The same where only it may be asked.
const WINDOW_ALONE: usize = 2;
/// Pages in flight that one peer is asked for.
const IN_FLIGHT: usize = 2;
/// Another peer's page that everything waits for is asked of the peer itself after so long.
const PATIENCE: Duration = Duration::from_secs(3);
/// Whose headers were handed on is remembered for so many pages: those that the sync machine has
/// not judged yet are two at most.
const HANDED: usize = 4;
// A page that was asked for by height is one message, if nothing is missing.
const _: () = assert!(MAX_PAGE as usize == MESSAGE);

/// Names a request until it is answered or has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// What the caller is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send a request.
    Request { ticket: Ticket, to: PeerId, request: HeadersRequest, asked: Asked },
    /// Hand a message to the sync machine, in this peer's name.
    Deliver { peer: PeerId, headers: Vec<Header> },
    /// Tell the sync machine that what it asked this peer comes to nothing.
    Unanswered { peer: PeerId, why: Unanswered },
}

/// Why a request came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The peer says that it does not have it.
    NotFound,
    /// It was not asked, or gave no answer of use.
    Unanswered(Unanswered),
}

impl Failure {
    /// It is not there any more.
    pub(super) const GONE: Self = Self::Unanswered(Unanswered::NoAnswer);
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct ReadAhead {
    streams: BTreeMap<PeerId, Stream>,
    /// All peers that can be asked, and how many requests they have in flight.
    peers: BTreeMap<PeerId, usize>,
    /// The tips that peers have claimed.
    tips: BTreeMap<PeerId, BlockHeight>,
    /// Who was asked, and in whose name.
    tickets: BTreeMap<Ticket, (PeerId, PeerId)>,
    drawn: u64,
    steps: VecDeque<Step>,
}

impl ReadAhead {
    /// A peer can be asked.
    pub(super) fn joined(&mut self, peer: PeerId) {
        self.peers.entry(peer).or_default();
    }

    /// A peer is gone; others' ranges that it was asked for are asked of somebody else.
    pub(super) fn left(&mut self, peer: PeerId, now: Duration) {
        self.peers.remove(&peer);
        self.tips.remove(&peer);
        self.streams.remove(&peer);
        for stream in self.streams.values_mut() {
            stream.unhelpful.remove(&peer);
        }
        let concerned =
            |(_, (from, name)): &(&Ticket, &(PeerId, PeerId))| *from == peer || *name == peer;
        let lost: Vec<Ticket> =
            self.tickets.iter().filter(concerned).map(|(ticket, _)| *ticket).collect();
        for ticket in lost {
            self.failed(ticket, Failure::GONE, now);
        }
    }

    /// The machine asks a peer for what follows a locator, or for one header.
    pub(super) fn ask(&mut self, peer: PeerId, question: Question, now: Duration) {
        let Question { locator, stop, shared, retry } = question;
        if !self.peers.contains_key(&peer) {
            return;
        }
        let stream = self.streams.entry(peer).or_default();
        let goes_on = stream.after.is_some() && stream.after.as_ref() == locator.first();
        if goes_on && stream.opening.is_none() && !stream.is_spent() {
            (stream.shared, stream.continued) = (shared, true);
            stream.waiting = Some(locator);
            return self.proceed(peer, now);
        }
        if let (true, Some(hash)) = (locator.is_empty(), stop) {
            return self.open(peer, Wanted::Exactly(hash), Vec::new(), Asked::First);
        }
        self.open(peer, Wanted::After(locator.clone()), locator, Asked::retry(retry));
    }

    /// Forgets what was fetched for a peer, and asks it a question of the machine's.
    fn open(&mut self, peer: PeerId, wanted: Wanted, waiting: Vec<BlockHash>, asked: Asked) {
        let request = HeadersRequest { wanted, most: MAX_PAGE };
        let opening = Some(self.request(peer, peer, request, asked));
        let stream = self.streams.entry(peer).or_default();
        *stream = Stream { waiting: Some(waiting), opening, ..stream.forgotten() };
    }

    /// A page came.
    pub(super) fn answered(&mut self, ticket: Ticket, page: HeadersPage, now: Duration) {
        let Some((from, name)) = self.take_ticket(ticket) else { return };
        self.tips.insert(from, page.tip);
        let Some(stream) = self.streams.get_mut(&name) else { return };
        if from == name {
            stream.tip = page.tip;
        }
        if stream.opening == Some(ticket) {
            stream.opening = None;
            stream.next = (!page.is_last()).then_some(page.next());
            stream.take_in(name, page);
        } else if let Some(range) = stream.ranges.iter_mut().find(|r| r.is_asked_by(ticket)) {
            range.state = RangeState::Here { from, page };
        }
        self.proceed(name, now);
        self.fetch_for_all(now);
    }

    /// A request came to nothing.
    pub(super) fn failed(&mut self, ticket: Ticket, why: Failure, now: Duration) {
        let Some((from, name)) = self.take_ticket(ticket) else { return };
        let Some(stream) = self.streams.get_mut(&name) else { return };
        if stream.opening == Some(ticket) {
            stream.opening = None;
            if stream.waiting.take().is_some() {
                self.steps.push_back(match why {
                    // A peer that knows nothing of ours has nothing for us.
                    Failure::NotFound => Step::Deliver { peer: name, headers: Vec::new() },
                    Failure::Unanswered(why) => Step::Unanswered { peer: name, why },
                });
            }
        } else if let Some(at) = stream.ranges.iter().position(|r| r.is_asked_by(ticket)) {
            self.ask_itself(name, at, from, why, now);
        }
        self.fetch_for_all(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        let overdue = self.streams.iter().filter_map(|(name, stream)| stream.overdue(*name));
        overdue.map(|(at, _)| at).min()
    }

    /// Asks a peer itself for what others owe for too long.
    pub(super) fn handle_timeout(&mut self, now: Duration) {
        let late = |(name, stream): (&PeerId, &Stream)| {
            stream.overdue(*name).filter(|(at, _)| *at <= now).map(|(_, from)| (*name, from))
        };
        let late: Vec<(PeerId, PeerId)> = self.streams.iter().filter_map(late).collect();
        for (name, from) in late {
            self.ask_itself(name, 0, from, Failure::GONE, now);
        }
    }

    /// What to do next.
    pub(super) fn poll(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// Whether the answer to a request will be handed on in another peer's name.
    pub(super) fn is_for_another(&self, ticket: Ticket) -> bool {
        self.tickets.get(&ticket).is_some_and(|(from, name)| from != name)
    }

    /// Who sent a header that was handed on in a peer's name.
    pub(super) fn origin(&self, peer: PeerId, hash: &BlockHash) -> PeerId {
        let handed = self.streams.get(&peer).map(|stream| &stream.handed);
        let found = handed.and_then(|them| them.iter().find(|(_, theirs)| theirs.contains(hash)));
        found.map_or(peer, |(from, _)| *from)
    }

    fn take_ticket(&mut self, ticket: Ticket) -> Option<(PeerId, PeerId)> {
        let (from, name) = self.tickets.remove(&ticket)?;
        if let Some(in_flight) = self.peers.get_mut(&from) {
            *in_flight = in_flight.saturating_sub(1);
        }
        Some((from, name))
    }

    fn request(
        &mut self,
        to: PeerId,
        name: PeerId,
        request: HeadersRequest,
        asked: Asked,
    ) -> Ticket {
        self.drawn += 1;
        let ticket = Ticket(self.drawn);
        self.tickets.insert(ticket, (to, name));
        if let Some(in_flight) = self.peers.get_mut(&to) {
            *in_flight += 1;
        }
        self.steps.push_back(Step::Request { ticket, to, request, asked });
        ticket
    }

    /// A range did not come from whom it was asked of: the peer in whose name it is, is asked. If
    /// it was that one, nothing more is handed on, and the machine is told if it waits.
    fn ask_itself(&mut self, name: PeerId, at: usize, from: PeerId, why: Failure, now: Duration) {
        let Some(stream) = self.streams.get_mut(&name) else { return };
        if from == name {
            let Failure::Unanswered(why) = why else {
                // It has moved to another chain.
                return self.reopen(name);
            };
            let waits = stream.waiting.is_some();
            *stream = stream.forgotten();
            if waits {
                self.steps.push_back(Step::Unanswered { peer: name, why });
            }
            return;
        }
        stream.unhelpful.insert(from);
        let Some(first) = stream.ranges.get(at).map(|range| range.first) else { return };
        let request = HeadersRequest { wanted: Wanted::From(first), most: MAX_PAGE };
        // It was going to be asked for all of it.
        let ticket = self.request(name, name, request, Asked::First);
        let state = RangeState::Asked { ticket, from: name, since: now };
        if let Some(range) = self.streams.get_mut(&name).and_then(|s| s.ranges.get_mut(at)) {
            range.state = state;
        }
    }

    /// Takes in what has come, hands on what is due, and asks for more.
    fn proceed(&mut self, name: PeerId, now: Duration) {
        let Some(stream) = self.streams.get_mut(&name) else { return };
        match stream.absorb(name) {
            Absorbed::All => {}
            Absorbed::Misfit { from } => self.ask_itself(name, 0, from, Failure::GONE, now),
            Absorbed::Moved => return self.reopen(name),
        }
        let Some(stream) = self.streams.get_mut(&name) else { return };
        if let Some(headers) = stream.message(name) {
            self.steps.push_back(Step::Deliver { peer: name, headers });
        }
        self.fetch_more(name, now);
    }

    /// Asks the machine's question once more, from the beginning; a second time it comes to nothing.
    fn reopen(&mut self, name: PeerId) {
        let Some(stream) = self.streams.get_mut(&name) else { return };
        let (waiting, reopened) = (stream.waiting.take(), stream.reopened);
        *stream = stream.forgotten();
        let Some(locator) = waiting else { return };
        if reopened {
            return self
                .steps
                .push_back(Step::Unanswered { peer: name, why: Unanswered::NoAnswer });
        }
        self.open(name, Wanted::After(locator.clone()), locator, Asked::First);
        if let Some(stream) = self.streams.get_mut(&name) {
            stream.reopened = true;
        }
    }

    /// A peer that has answered can be asked again, perhaps in another one's name.
    fn fetch_for_all(&mut self, now: Duration) {
        let names: Vec<PeerId> = self.streams.keys().copied().collect();
        names.into_iter().for_each(|name| self.fetch_more(name, now));
    }

    fn fetch_more(&mut self, name: PeerId, now: Duration) {
        while let Some((first, to)) = self.next_range(name) {
            let request = HeadersRequest { wanted: Wanted::From(first), most: MAX_PAGE };
            let ticket = self.request(to, name, request, Asked::First);
            let state = RangeState::Asked { ticket, from: to, since: now };
            let Some(stream) = self.streams.get_mut(&name) else { return };
            stream.ranges.push_back(Range { first, state });
            let next = first.plus(MAX_PAGE);
            stream.next = (next <= stream.tip).then_some(next);
        }
    }

    /// Where the next range begins, if there is room for one, and who is to be asked for it: the
    /// peer itself, or one that has less to do.
    fn next_range(&self, name: PeerId) -> Option<(BlockHeight, PeerId)> {
        let stream = self.streams.get(&name)?;
        let window = if stream.shared { WINDOW } else { WINDOW_ALONE };
        // Where the machine still waits, its message is not whole: a server may send fewer headers
        // than it was asked for.
        let wanted = stream.continued || stream.waiting.is_some();
        let room = wanted && stream.opening.is_none() && stream.pages() < window;
        let first = stream.next.filter(|_| room)?;
        let fits = |peer: &PeerId| {
            let far_enough = self.tips.get(peer).is_none_or(|tip| *tip >= first);
            *peer == name || (stream.shared && far_enough && !stream.unhelpful.contains(peer))
        };
        let free = self.peers.iter().filter(|(peer, busy)| **busy < IN_FLIGHT && fits(peer));
        let to = free.min_by_key(|(peer, busy)| (**busy, **peer != name))?;
        Some((first, *to.0))
    }
}

#[cfg(test)]
mod tests;

//! What is asked for: requests of all protocols on their way, and headers.

use ironlight_spv::peers::PeerId;
use libp2p::PeerId as LightPeerId;
use libp2p::request_response::{OutboundFailure, OutboundRequestId};
use tokio::task::JoinError;
use tracing::{debug, error};

use super::Swarm;
use crate::net::requests::{Asked, NoAnswer, PeerRequests};
use crate::net::swarm::handle::LightEvent;
use crate::net::swarm::line::{Answer, HeadersLine, Line, LineError, Outgoing};
use crate::net::swarm::protocol::Protocol;
use crate::net::swarm::read_ahead::{Failure, Step, Ticket};
use crate::net::swarm::wire::HeadersRequest;

/// What became of a request.
#[derive(Debug)]
pub(super) struct Reply {
    ticket: Ticket,
    from: PeerId,
    answer: Result<Answer, NoAnswer<LineError>>,
}

impl Swarm {
    /// Does what reading ahead wants done.
    pub(super) fn take_steps(&mut self) {
        while let Some(step) = self.read_ahead.poll() {
            match step {
                Step::Request { ticket, to, request, asked } => {
                    self.ask(ticket, to, request, asked);
                }
                Step::Deliver { peer, headers } => {
                    self.tell(LightEvent::Headers { peer, headers });
                }
                Step::Unanswered { peer, why } => self.tell(LightEvent::Unanswered { peer, why }),
            }
        }
    }

    fn ask(&mut self, ticket: Ticket, to: PeerId, request: HeadersRequest, asked: Asked) {
        let id = self.by_number.get(&to).copied();
        let requests = id.and_then(|id| self.neighbours.get(&id)?.requests.clone());
        let Some((id, requests)) = id.zip(requests) else {
            return self.read_ahead.failed(ticket, Failure::GONE, self.clock.now().elapsed);
        };
        let line = HeadersLine {
            line: self.line(id, &requests),
            params: self.params.clone(),
            check: self.read_ahead.is_for_another(ticket),
        };
        self.asking.spawn(async move {
            Reply { ticket, from: to, answer: requests.ask(asked, request, line).await }
        });
    }

    /// Where a peer's requests go out.
    pub(super) fn line(&self, to: LightPeerId, requests: &PeerRequests) -> Line {
        Line { out: self.outgoing.clone(), to, patience: requests.attempt_timeout() }
    }

    /// A request has passed all that limits it.
    pub(super) fn put_out(&mut self, outgoing: Outgoing) {
        let Outgoing { to, protocol, bytes, answered } = outgoing;
        // To a peer that is gone libp2p would make a connection of its own.
        if answered.is_closed() || !self.neighbours.contains_key(&to) {
            return;
        }
        let id = self.inner.behaviour_mut().exchange(protocol).send_request(&to, bytes);
        self.sent.insert((protocol, id), answered);
    }

    pub(super) fn on_response(
        &mut self,
        protocol: Protocol,
        id: OutboundRequestId,
        bytes: Vec<u8>,
    ) {
        if let Some(answered) = self.sent.remove(&(protocol, id)) {
            // It fails where nobody waits any more.
            let _ = answered.send(Ok(bytes));
        }
    }

    pub(super) fn on_request_failed(
        &mut self,
        peer: LightPeerId,
        protocol: Protocol,
        id: OutboundRequestId,
        why: OutboundFailure,
    ) {
        debug!(%peer, ?protocol, %why, "a request failed");
        if let Some(answered) = self.sent.remove(&(protocol, id)) {
            let _ = answered.send(Err(why));
        }
    }

    pub(super) fn on_reply(&mut self, reply: Result<Reply, JoinError>) {
        let Reply { ticket, from, answer } = match reply {
            Ok(reply) => reply,
            Err(error) => return error!(%error, "a request was not made: a defect"),
        };
        let now = self.clock.now().elapsed;
        match answer {
            Ok(Answer::Page(page)) => {
                self.count(from, page.headers.len());
                self.read_ahead.answered(ticket, page, now);
            }
            Ok(Answer::NotFound) => self.read_ahead.failed(ticket, Failure::NotFound, now),
            Err(error) => {
                debug!(peer = from.0, %error, "no answer of use");
                if let NoAnswer::Failed(fault) = &error
                    && let Some(offence) = fault.offence()
                    && let Some(id) = self.by_number.get(&from).copied()
                {
                    self.judge(id, offence);
                }
                self.read_ahead.failed(ticket, Failure::Unanswered(error.unanswered()), now);
            }
        }
    }

    fn count(&mut self, peer: PeerId, headers: usize) {
        let neighbour = self.by_number.get(&peer).and_then(|id| self.neighbours.get_mut(id));
        if let Some(neighbour) = neighbour {
            neighbour.headers += u64::try_from(headers).unwrap_or(u64::MAX);
        }
    }
}

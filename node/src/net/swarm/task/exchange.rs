//! Headers asked for and served.

use std::time::Duration;

use ironlight_spv::compress::CodecError;
use ironlight_spv::peers::{Offence, PeerId};
use ironlight_spv::{LinkedBatch, Params};
use libp2p::PeerId as LightPeerId;
use libp2p::request_response::{
    Event, Message, OutboundFailure, OutboundRequestId, ResponseChannel,
};
use tokio::task::JoinError;
use tracing::{debug, error};

use super::Swarm;
use crate::net::swarm::behaviour::REQUEST_TIMEOUT;
use crate::net::swarm::handle::LightEvent;
use crate::net::swarm::read_ahead::{Failure, Step, Ticket};
use crate::net::swarm::serve::{self, Client};
use crate::net::swarm::wire::{
    Extensions, HeadersPage, HeadersRequest, MAX_PAGE, MAX_REQUEST, MAX_RESPONSE, Status,
    decode_response, encode_request,
};
use crate::net::wire::{DecodeError, Problem};

/// A peer that says it is busy is asked again so often.
const MAX_RESENDS: u32 = 5;
/// The pause before that, where it names none, and the longest that it may name.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Answers being made at the same time, for all peers together.
const MAX_SERVING: usize = 32;

/// A request in flight.
#[derive(Debug)]
pub(super) struct Sent {
    ticket: Ticket,
    to: PeerId,
    request: HeadersRequest,
    resends: u32,
}

/// A request that a busy peer is asked once more.
#[derive(Debug)]
pub(super) struct Resend {
    pub(super) due: Duration,
    sent: Sent,
}

/// What a response turned out to be.
#[derive(Debug)]
pub(super) enum Answer {
    Page(HeadersPage),
    NotFound,
    Busy(Option<Duration>),
    /// It did not understand the request.
    Refused,
    /// It ends too early: a line that broke looks the same as an end.
    Cut(DecodeError),
    /// It is no response to the request.
    Broken(DecodeError),
    /// It has a header without proof of work.
    Invalid,
}

pub(super) struct Decoded {
    sent: Sent,
    answer: Answer,
}

pub(super) struct Served {
    channel: ResponseChannel<Vec<u8>>,
    response: Vec<u8>,
}

/// Decodes a response, off the async threads. `check` hashes its headers once more, for proof of
/// work: what a peer sends for another one's name has to have that.
fn decode(params: &Params, request: &HeadersRequest, bytes: &[u8], check: bool) -> Answer {
    let decoded = decode_response(bytes).and_then(|(status, extensions, mut body)| {
        Ok(match status {
            Status::Ok => Answer::Page(HeadersPage::decode(&mut body, request.most)?),
            Status::NotFound => Answer::NotFound,
            Status::Busy => Answer::Busy(extensions.retry_after),
            Status::Invalid => Answer::Refused,
        })
    });
    match decoded {
        Ok(Answer::Page(page)) if check && !has_work(params, &page) => Answer::Invalid,
        Ok(answer) => answer,
        Err(error) if is_cut(&error) => Answer::Cut(error),
        Err(error) => Answer::Broken(error),
    }
}

/// Whether the rest of a message is missing. A count that the bytes cannot hold says so, too.
fn is_cut(error: &DecodeError) -> bool {
    use CodecError::{TooMany, Truncated};
    matches!(
        error.problem,
        Problem::Short { .. } | Problem::Segment(Truncated { .. } | TooMany { count: ..=MAX_PAGE })
    )
}

fn has_work(params: &Params, page: &HeadersPage) -> bool {
    LinkedBatch::new(params, page.headers.clone()).failure().is_none()
}

impl Swarm {
    /// Does what reading ahead wants done.
    pub(super) fn take_steps(&mut self) {
        while let Some(step) = self.read_ahead.poll() {
            match step {
                Step::Request { ticket, to, request } => {
                    self.send(Sent { ticket, to, request, resends: 0 });
                }
                Step::Deliver { peer, headers } => {
                    self.tell(LightEvent::Headers { peer, headers });
                }
            }
        }
    }

    fn send(&mut self, sent: Sent) {
        let Some(id) = self.by_number.get(&sent.to).copied() else {
            return self.fail(sent.ticket, Failure::Failed);
        };
        let extensions = Extensions { deadline: Some(REQUEST_TIMEOUT), ..Extensions::default() };
        let bytes = encode_request(&extensions, &sent.request.encode());
        let request = self.inner.behaviour_mut().headers.send_request(&id, bytes);
        self.sent.insert(request, sent);
    }

    pub(super) fn resend(&mut self, now: Duration) {
        let (due, later) = std::mem::take(&mut self.resends)
            .into_iter()
            .partition(|resend: &Resend| resend.due <= now);
        self.resends = later;
        for Resend { sent, .. } in due {
            self.send(sent);
        }
    }

    fn fail(&mut self, ticket: Ticket, why: Failure) {
        self.read_ahead.failed(ticket, why, self.clock.now().elapsed);
    }

    pub(super) fn on_exchange(&mut self, event: Event<Vec<u8>, Vec<u8>>) {
        match event {
            Event::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                self.on_request(peer, request, channel);
            }
            Event::Message { message: Message::Response { request_id, response }, .. } => {
                self.on_response(request_id, response);
            }
            Event::OutboundFailure { peer, request_id, error, .. } => {
                self.on_request_failed(peer, request_id, &error);
            }
            Event::InboundFailure { peer, error, .. } => {
                debug!(%peer, %error, "an answer was not delivered");
            }
            Event::ResponseSent { .. } => {}
        }
    }

    fn on_request(&mut self, id: LightPeerId, bytes: Vec<u8>, channel: ResponseChannel<Vec<u8>>) {
        let now = self.clock.now().elapsed;
        let Some(neighbour) = self.neighbours.get(&id) else { return };
        let client = Client::new(neighbour.socket.ip(), id);
        if bytes.len() > MAX_REQUEST {
            self.respond(channel, serve::invalid());
            return self.judge(id, Offence::Oversized);
        }
        let request = match serve::headers_request(&bytes) {
            Ok(request) => request,
            Err(error) => {
                debug!(peer = %id, %error, "not a request");
                return self.respond(channel, serve::invalid());
            }
        };
        if !self.switches.serving.is_on() {
            return self.respond(channel, serve::busy(LONGEST_PAUSE));
        }
        if let Err(busy) = self.allowances.grant(client, &request, now) {
            return self.respond(channel, busy);
        }
        let source = self.source.clone().filter(|_| self.serving.len() < MAX_SERVING);
        let Some(source) = source else {
            return self.respond(channel, serve::busy(PAUSE));
        };
        self.serving.spawn(async move {
            Served { channel, response: serve::headers_response(&*source, &request) }
        });
    }

    fn respond(&mut self, channel: ResponseChannel<Vec<u8>>, response: Vec<u8>) {
        // It fails when the peer has not waited.
        let _ = self.inner.behaviour_mut().headers.send_response(channel, response);
    }

    pub(super) fn on_served(&mut self, served: Result<Served, JoinError>) {
        match served {
            Ok(Served { channel, response }) => self.respond(channel, response),
            Err(error) => error!(%error, "an answer was not made: a defect"),
        }
    }

    fn on_response(&mut self, id: OutboundRequestId, bytes: Vec<u8>) {
        let Some(sent) = self.sent.remove(&id) else { return };
        if bytes.len() > MAX_RESPONSE {
            self.blame(sent.to, Offence::Oversized);
            return self.fail(sent.ticket, Failure::Failed);
        }
        let params = self.params.clone();
        let check = self.read_ahead.is_for_another(sent.ticket);
        self.decoding.spawn_blocking(move || {
            let answer = decode(&params, &sent.request, &bytes, check);
            Decoded { sent, answer }
        });
    }

    pub(super) fn on_decoded(&mut self, decoded: Result<Decoded, JoinError>) {
        let Decoded { sent, answer } = match decoded {
            Ok(decoded) => decoded,
            Err(error) => return error!(%error, "a response was not decoded: a defect"),
        };
        let now = self.clock.now().elapsed;
        match answer {
            Answer::Page(page) => {
                self.count(sent.to, page.headers.len());
                self.read_ahead.answered(sent.ticket, page, now);
            }
            Answer::NotFound => self.fail(sent.ticket, Failure::NotFound),
            Answer::Busy(pause) if sent.resends < MAX_RESENDS => {
                let pause = pause.unwrap_or(PAUSE).min(LONGEST_PAUSE);
                let sent = Sent { resends: sent.resends + 1, ..sent };
                self.resends.push(Resend { due: now + pause, sent });
            }
            Answer::Busy(_) | Answer::Refused => self.fail(sent.ticket, Failure::Failed),
            Answer::Cut(error) => {
                debug!(peer = sent.to.0, %error, "half a response");
                self.fail(sent.ticket, Failure::Failed);
            }
            Answer::Broken(error) => {
                debug!(peer = sent.to.0, %error, "a response that is none");
                self.blame(sent.to, Offence::ProtocolViolation);
                self.fail(sent.ticket, Failure::Failed);
            }
            Answer::Invalid => {
                self.blame(sent.to, Offence::InvalidHeader);
                self.fail(sent.ticket, Failure::Failed);
            }
        }
    }

    fn blame(&mut self, peer: PeerId, offence: Offence) {
        if let Some(id) = self.by_number.get(&peer).copied() {
            self.judge(id, offence);
        }
    }

    fn count(&mut self, peer: PeerId, headers: usize) {
        let neighbour = self.by_number.get(&peer).and_then(|id| self.neighbours.get_mut(id));
        if let Some(neighbour) = neighbour {
            neighbour.headers += u64::try_from(headers).unwrap_or(u64::MAX);
        }
    }

    fn on_request_failed(
        &mut self,
        peer: LightPeerId,
        id: OutboundRequestId,
        why: &OutboundFailure,
    ) {
        let Some(sent) = self.sent.remove(&id) else { return };
        debug!(%peer, %why, "a request failed");
        self.fail(sent.ticket, Failure::Failed);
    }
}

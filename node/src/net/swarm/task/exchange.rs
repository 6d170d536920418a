//! The exchange of headers: events of libp2p's request-response, and what is served.

use ironlight_spv::peers::Offence;
use libp2p::PeerId as LightPeerId;
use libp2p::request_response::{Event, Message, ResponseChannel};
use tokio::task::JoinError;
use tracing::{debug, error};

use super::Swarm;
use crate::net::swarm::serve::{self, Client};
use crate::net::swarm::wire::MAX_REQUEST;

pub(super) struct Served {
    channel: ResponseChannel<Vec<u8>>,
    response: Vec<u8>,
}

impl Swarm {
    pub(super) fn on_exchange(&mut self, event: Event<Vec<u8>, Vec<u8>>) {
        match event {
            Event::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                self.on_request(peer, &request, channel);
            }
            Event::Message { message: Message::Response { request_id, response }, .. } => {
                self.on_response(request_id, response);
            }
            Event::OutboundFailure { peer, request_id, error, .. } => {
                self.on_request_failed(peer, request_id, error);
            }
            Event::InboundFailure { peer, error, .. } => {
                debug!(%peer, %error, "an answer was not delivered");
            }
            Event::ResponseSent { .. } => {}
        }
    }

    fn on_request(&mut self, id: LightPeerId, bytes: &[u8], channel: ResponseChannel<Vec<u8>>) {
        let Some(neighbour) = self.neighbours.get(&id) else { return };
        let client = Client::new(neighbour.socket.ip(), id);
        if bytes.len() > MAX_REQUEST {
            self.respond(channel, serve::invalid());
            return self.judge(id, Offence::Oversized);
        }
        let asked = match serve::headers_request(client, bytes) {
            Ok(asked) => asked,
            Err(error) => {
                debug!(peer = %id, %error, "not a request");
                return self.respond(channel, serve::invalid());
            }
        };
        let source = self.source.clone().filter(|_| self.switches.serving.is_on());
        let Some(source) = source else {
            return self.respond(channel, serve::busy(serve::LONGEST_PAUSE));
        };
        let (server, guarded) = (self.server.clone(), self.switches.hardening.is_on());
        self.serving.spawn(async move {
            Served { channel, response: server.answer(source, asked, guarded).await }
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
}

//! Requests and responses: events of libp2p's request-response, and what is served.

use ironlight_spv::peers::Offence;
use libp2p::PeerId as LightPeerId;
use libp2p::request_response::{Event, Message, ResponseChannel};
use tokio::task::JoinError;
use tracing::{debug, error};

use super::Swarm;
use crate::net::swarm::bytes_codec::Response;
use crate::net::swarm::protocol::Protocol;
use crate::net::swarm::serve::{self, Client};
use crate::net::swarm::wire::MAX_REQUEST;

pub(super) struct Served {
    protocol: Protocol,
    channel: ResponseChannel<Response>,
    response: Response,
}

impl Swarm {
    pub(super) fn on_exchange(&mut self, protocol: Protocol, event: Event<Vec<u8>, Response>) {
        match event {
            Event::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                self.on_request(protocol, peer, &request, channel);
            }
            Event::Message { message: Message::Response { request_id, response }, .. } => {
                self.on_response(protocol, request_id, response.bytes);
            }
            Event::OutboundFailure { peer, request_id, error, .. } => {
                self.on_request_failed(peer, protocol, request_id, error);
            }
            Event::InboundFailure { peer, error, .. } => {
                debug!(%peer, ?protocol, %error, "an answer was not delivered");
            }
            Event::ResponseSent { .. } => {}
        }
    }

    fn on_request(
        &mut self,
        protocol: Protocol,
        id: LightPeerId,
        bytes: &[u8],
        channel: ResponseChannel<Response>,
    ) {
        let Some(neighbour) = self.neighbours.get(&id) else { return };
        let client = Client::new(neighbour.socket.ip(), id);
        if bytes.len() > MAX_REQUEST {
            self.respond(protocol, channel, serve::invalid());
            return self.judge(id, Offence::Oversized);
        }
        let asked = match serve::asked(protocol, client, bytes) {
            Ok(asked) => asked,
            Err(error) => {
                debug!(peer = %id, ?protocol, %error, "not a request");
                return self.respond(protocol, channel, serve::invalid());
            }
        };
        if !self.switches.serving.is_on() || !self.sources.have(protocol) {
            return self.respond(protocol, channel, serve::busy(serve::LONGEST_PAUSE));
        }
        let (server, guarded) = (self.server.clone(), self.switches.hardening.is_on());
        let sources = self.sources.clone();
        self.serving.spawn(async move {
            let response = server.answer(sources, asked, guarded).await;
            Served { protocol, channel, response }
        });
    }

    fn respond(
        &mut self,
        protocol: Protocol,
        channel: ResponseChannel<Response>,
        response: Response,
    ) {
        // It fails when the peer has not waited.
        let _ = self.inner.behaviour_mut().exchange(protocol).send_response(channel, response);
    }

    pub(super) fn on_served(&mut self, served: Result<Served, JoinError>) {
        match served {
            Ok(Served { protocol, channel, response }) => self.respond(protocol, channel, response),
            Err(error) => error!(%error, "an answer was not made: a defect"),
        }
    }
}

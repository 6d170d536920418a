//! What became of peers, told to the policy.

use std::net::SocketAddr;
use std::sync::Arc;

use bitcoin::p2p::ServiceFlags;
use ironlight_spv::peers::{
    AddressRecord, AddressSource, DialFailure, DisconnectCause, NetworkGroup, Offence, PeerId,
    Verdict,
};
use tokio::task::{Id, JoinError};
use tracing::{debug, error, info, warn};

use super::peer_task::{End, crash_goodbye};
use super::task::{Peer, Pool, Session};
use crate::net::bitcoin::data_line::{self, FullNodeLine};
use crate::net::bitcoin::events::Notice;
use crate::net::bitcoin::handshake::Greeting;
use crate::net::bitcoin::seeds::Resolve;
use crate::net::bitcoin::transport::Connect;
use crate::net::data::{DataPeer, Offers};
use crate::net::{Direction, PeerNetwork};

impl<C: Connect, R: Resolve> Pool<C, R> {
    pub(super) fn on_notice(&mut self, notice: Notice) {
        match notice {
            Notice::Connected { peer, greeting } => self.on_connected(peer, greeting),
            Notice::Told { peer, addresses } => self.on_told(peer, &addresses),
            Notice::Seeded { seed, addrs, services } => self.on_seeded(seed, &addrs, services),
        }
    }

    fn on_connected(&mut self, peer: PeerId, greeting: Greeting) {
        let Greeting { version, wtxid_relay } = greeting;
        let now = self.clock.now();
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        debug!(%peer, addr = %entry.addr, agent = %version.user_agent, "connected");
        let addr = entry.addr;
        let requests = self.config.requests.peer(addr, peer.0);
        let offers = data_line::offers(version.services);
        if offers != Offers::default() {
            let (outbox, awaited) = (entry.line.outbox.clone(), Arc::clone(&entry.awaited));
            let pool = self.own_commands.clone();
            let line = FullNodeLine::new(peer, outbox, awaited, requests.clone(), pool);
            let listed = DataPeer {
                network: PeerNetwork::Bitcoin,
                direction: Direction::Outbound,
                owner: NetworkGroup::of(addr),
                named: self.policy.is_manual(addr),
                address: addr.to_string(),
                offers,
                latest: None,
                line: Arc::new(line),
            };
            self.config.data.joined(peer, listed);
        }
        entry.session = Some(Session { version, wtxid_relay, since: now.elapsed, requests });
        self.policy.handle_connected(addr, peer, now);
        self.policy.handle_offers_filters(peer, offers.filters);
        self.seed_backoff.reset();
        if !self.policy.is_manual(addr) {
            self.get_addresses(peer);
        }
    }

    fn on_told(&mut self, peer: PeerId, addresses: &[AddressRecord]) {
        let now = self.clock.now();
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let told = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        let granted = entry.addresses.take_up_to(told, now.elapsed);
        let taken = usize::try_from(granted).unwrap_or(usize::MAX);
        debug!(%peer, told, granted, "addresses");
        let source = AddressSource::Peer(entry.addr.ip());
        let taken = addresses.get(..taken).unwrap_or(addresses);
        self.policy.add_addresses(source, taken, now);
    }

    fn on_seeded(&mut self, seed: u16, addrs: &[SocketAddr], services: ServiceFlags) {
        let now = self.clock.now();
        debug!(seed, addresses = addrs.len(), "a DNS seed answered");
        // Seeds list full nodes that were reached lately.
        let record =
            |addr: &SocketAddr| AddressRecord { addr: *addr, services, last_seen: now.unix };
        let told: Vec<_> = addrs.iter().map(record).collect();
        self.policy.add_addresses(AddressSource::DnsSeed(seed), &told, now);
    }

    pub(super) fn on_end(&mut self, ended: Result<(Id, (PeerId, End)), JoinError>) {
        match ended {
            Ok((id, (peer, end))) => {
                self.task_ids.remove(&id);
                self.on_peer_end(peer, &end);
            }
            Err(error) => self.on_crash(&error),
        }
    }

    fn on_peer_end(&mut self, peer: PeerId, end: &End) {
        let now = self.clock.now();
        let Some(Peer { addr, .. }) = self.forget(peer) else {
            return;
        };
        match end {
            End::Served { cause, offence } => {
                if let Some(offence) = *offence {
                    let verdict = self.policy.handle_misbehaviour(peer, offence, now);
                    warn!(%peer, %addr, ?offence, ?verdict, "a peer misbehaved");
                    let audit = &self.config.audit;
                    audit.misbehaved(PeerNetwork::Bitcoin, &addr, offence, verdict.into());
                }
                self.policy.handle_disconnected(peer, *cause, now);
            }
            End::NoConnection(error) if self.policy.is_manual(addr) => {
                warn!(%addr, %error, "cannot connect to this peer; trying again");
            }
            End::NoConnection(error) => debug!(%peer, %addr, %error, "no connection"),
            End::NoHandshake(error) => info!(%peer, %addr, %error, "no handshake"),
            End::GivenUp => debug!(%peer, %addr, "given up"),
        }
        if let Some(failure) = end.failure() {
            self.policy.handle_failed(addr, failure, now);
        }
    }

    /// A peer is let go for what it did.
    pub(super) fn write_down(&self, peer: PeerId, offence: Offence, verdict: Verdict) {
        if let Some(Peer { addr, .. }) = self.peers.get(&peer) {
            let audit = &self.config.audit;
            audit.misbehaved(PeerNetwork::Bitcoin, addr, offence, verdict.into());
        }
    }

    /// A defect of ours must not leave a peer that nobody serves.
    fn on_crash(&mut self, error: &JoinError) {
        let now = self.clock.now();
        let Some(peer) = self.task_ids.remove(&error.id()) else {
            return;
        };
        let Some(entry) = self.forget(peer) else {
            return;
        };
        error!(%peer, addr = %entry.addr, %error, "a connection's task failed: a defect");
        if entry.session.is_none() {
            return self.policy.handle_failed(entry.addr, DialFailure::Unreachable, now);
        }
        self.policy.handle_disconnected(peer, DisconnectCause::Local, now);
        let events = self.events.clone();
        self.errands.spawn(async move { drop(events.send(crash_goodbye(peer)).await) });
    }
}

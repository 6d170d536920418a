//! Connections come and go, and the policy hears of it.

use std::net::IpAddr;
use std::time::Duration;

use ironlight_spv::BlockHash;
use ironlight_spv::peers::{DialFailure, DisconnectCause, Offence, PeerId, Verdict};
use libp2p::core::ConnectedPoint;
use libp2p::swarm::{ConnectionError, ConnectionId, DialError};
use libp2p::{PeerId as LightPeerId, ping};
use tracing::{debug, info, warn};

use super::neighbour::{Neighbour, Role, Standing};
use super::{MAX_BLOCKED, Swarm};
use crate::audit::Penalty;
use crate::net::PeerNetwork;
use crate::net::suspend::Mode;
use crate::net::swarm::address::{socket_address, with_identity};
use crate::net::swarm::handle::LightEvent;
use crate::net::swarm::transport::far_end;

/// A connection that only Kademlia wanted is closed after so long.
const ERRAND: Duration = Duration::from_secs(60);
/// So long a peer may take to say what it is.
const INTRODUCTION: Duration = Duration::from_secs(30);
/// Pings in a row that may go unanswered.
const MISSED_PINGS: u32 = 2;

impl Swarm {
    /// Dials and lets go of peers as the policy says, or of all where the node is suspended. Whether
    /// there is no connection any more.
    pub(super) fn connect(&mut self) -> bool {
        let counters = self.inner.network_info();
        let open = counters.connection_counters().num_connections();
        match self.member.mode(usize::try_from(open).unwrap_or(usize::MAX)) {
            Mode::Silent => {
                self.rules.close(true);
                for id in self.neighbours.keys().copied().collect::<Vec<_>>() {
                    self.hang_up(id, DisconnectCause::Suspended, "the node is suspended");
                }
                return open == 0 && self.neighbours.is_empty();
            }
            Mode::Reopened => {
                self.rules.close(false);
                self.policy.handle_resumed(self.clock.now());
                self.next_discovery = Duration::ZERO;
            }
            Mode::Open => {}
        }
        self.dial();
        self.drop_slow();
        self.discover();
        self.take_steps();
        false
    }

    fn dial(&mut self) {
        while let Some(socket) = self.policy.poll_dial(self.clock.now()) {
            let Some(options) = self.directory.dial_opts(socket) else {
                self.fail_dial(socket, DialFailure::Unsuitable);
                continue;
            };
            let connection = options.connection_id();
            debug!(%socket, "dialling a light node");
            match self.inner.dial(options) {
                Ok(()) => drop(self.dials.insert(connection, socket)),
                // It is connected already, the other way round.
                Err(DialError::DialPeerConditionFalse(_)) => {
                    self.fail_dial(socket, DialFailure::Unsuitable);
                }
                Err(error) => {
                    debug!(%socket, %error, "not dialled");
                    self.fail_dial(socket, DialFailure::Unreachable);
                }
            }
        }
    }

    fn fail_dial(&mut self, socket: std::net::SocketAddr, why: DialFailure) {
        self.policy.handle_failed(socket, why, self.clock.now());
    }

    fn drop_slow(&mut self) {
        let Some(slow) = self.policy.poll_drop(self.clock.now()) else { return };
        let found = self.neighbours.iter().find(|(_, neighbour)| neighbour.link == slow);
        if let Some(id) = found.map(|(id, _)| *id) {
            info!(peer = %id, "letting a slow light node go for a better one");
            self.hang_up(id, DisconnectCause::Evicted, "slow");
        }
    }

    pub(super) fn on_established(
        &mut self,
        id: LightPeerId,
        connection: ConnectionId,
        endpoint: &ConnectedPoint,
    ) {
        let now = self.clock.now();
        let dialled = self.dials.remove(&connection);
        let address = far_end(endpoint).clone();
        let socket = dialled.or_else(|| socket_address(&address));
        let Some(socket) = socket else {
            self.inner.close_connection(connection);
            return;
        };
        if let Some(neighbour) = self.neighbours.get_mut(&id) {
            // A second connection, or one that is wanted now: whose choice it was stays.
            if dialled.is_none() && neighbour.role == Role::Caller && endpoint.is_listener() {
                // It would not call twice: the older connection is dead, whatever it looks like
                // from here, and gossip would go into it.
                let older = std::mem::replace(&mut neighbour.connection, connection);
                (neighbour.socket, neighbour.address) = (socket, address);
                neighbour.bytes = self.traffic.of(socket);
                self.inner.close_connection(older);
            } else if dialled.is_some() && neighbour.role == Role::Errand {
                (neighbour.role, neighbour.socket) = (Role::Chosen, socket);
                self.policy.handle_connected(socket, neighbour.link, now);
            } else if dialled.is_some() {
                // Where it called us, it might close the other one at the same time.
                if neighbour.role == Role::Chosen {
                    self.inner.close_connection(connection);
                }
                self.fail_dial(socket, DialFailure::Unsuitable);
            }
            return;
        }
        let link = self.numbers.draw();
        let role = match (dialled, endpoint) {
            (Some(_), _) => {
                self.directory.seen(socket, id);
                self.policy.handle_connected(socket, link, now);
                Role::Chosen
            }
            (None, ConnectedPoint::Listener { .. }) => {
                if !self.policy.handle_inbound(socket, link, now) {
                    debug!(%socket, "a caller is not let in");
                    self.inner.close_connection(connection);
                    return;
                }
                Role::Caller
            }
            (None, ConnectedPoint::Dialer { .. }) => Role::Errand,
        };
        let mut neighbour = Neighbour::new(link, socket, address, connection, role, now.elapsed);
        neighbour.bytes = self.traffic.of(socket);
        self.neighbours.insert(id, neighbour);
    }

    pub(super) fn on_closed(&mut self, id: LightPeerId, why: Option<&ConnectionError>) {
        let now = self.clock.now();
        let Some(neighbour) = self.neighbours.remove(&id) else { return };
        let said = why.map_or_else(|| "closed by the peer".to_owned(), ToString::to_string);
        let (cause, reason) = neighbour.goodbye.unwrap_or((DisconnectCause::Closed, said));
        if neighbour.role != Role::Errand {
            self.policy.handle_disconnected(neighbour.link, cause, now);
        }
        self.forget_tips_of(id);
        if let Standing::Serves(number) = neighbour.standing {
            info!(peer = number.0, %reason, "light node left");
            self.by_number.remove(&number);
            self.listed.remove(number);
            self.read_ahead.left(number, now.elapsed);
            self.tell(LightEvent::Left { peer: number, reason });
        }
    }

    pub(super) fn on_dial_failed(&mut self, connection: ConnectionId, error: &DialError) {
        let Some(socket) = self.dials.remove(&connection) else { return };
        let why = match error {
            DialError::LocalPeerId { .. } => DialFailure::Unsuitable,
            DialError::WrongPeerId { obtained, .. } => {
                warn!(%socket, %obtained, "another light node is at this address");
                self.directory.forget_who(socket);
                DialFailure::Unreachable
            }
            DialError::NoAddresses
            | DialError::DialPeerConditionFalse(_)
            | DialError::Aborted
            | DialError::Denied { .. }
            | DialError::Transport(_) => DialFailure::Unreachable,
        };
        if self.policy.is_manual(socket) {
            warn!(%socket, %error, "cannot connect to this light node; trying again");
        } else {
            debug!(%socket, %error, "no connection");
        }
        self.fail_dial(socket, why);
    }

    /// It can be asked for headers from now on.
    pub(super) fn admit(&mut self, id: LightPeerId) {
        let number = self.numbers.draw();
        let Some(neighbour) = self.neighbours.get_mut(&id) else { return };
        neighbour.standing = Standing::Serves(number);
        let owner = neighbour.owner();
        neighbour.requests = Some(match neighbour.role {
            Role::Chosen => self.requests.peer(owner, number.0),
            Role::Caller | Role::Errand => self.requests.caller(owner, number.0),
        });
        let address = with_identity(&neighbour.address, id);
        let (agent, direction) = (neighbour.agent.clone(), neighbour.direction());
        info!(peer = number.0, %address, agent, direction = direction.name(), "light node joined");
        self.by_number.insert(number, id);
        self.list(id, number);
        self.read_ahead.joined(number);
        self.tell(LightEvent::Joined { peer: number, direction, address, agent });
    }

    /// A fault of somebody else's was found in what it sent: for the sync machine it starts anew,
    /// without blame.
    fn readmit(&mut self, id: LightPeerId, number: PeerId) {
        let now = self.clock.now();
        self.by_number.remove(&number);
        self.listed.remove(number);
        self.read_ahead.left(number, now.elapsed);
        let reason = "another light node's fault; starting anew".to_owned();
        self.tell(LightEvent::Left { peer: number, reason });
        self.admit(id);
    }

    /// The sync machine blames a peer. What it handed on for another one is that one's fault.
    pub(super) fn on_misbehaved(
        &mut self,
        peer: PeerId,
        offence: Offence,
        header: Option<&BlockHash>,
    ) {
        let Some(id) = self.by_number.get(&peer).copied() else { return };
        let origin = header.map_or(peer, |header| self.read_ahead.origin(peer, header));
        if origin != peer {
            self.readmit(id, peer);
        }
        if let Some(guilty) = self.by_number.get(&origin).copied() {
            self.judge(guilty, offence);
        }
    }

    /// A peer did something wrong; the policy decides what follows.
    pub(super) fn judge(&mut self, id: LightPeerId, offence: Offence) {
        let Some(neighbour) = self.neighbours.get(&id) else { return };
        let (link, socket) = (neighbour.link, neighbour.socket);
        let provable = matches!(
            offence,
            Offence::InvalidHeader
                | Offence::TooManyHeaders
                | Offence::ProtocolViolation
                | Offence::FalseFilter
                | Offence::FalseChunk
        );
        match self.policy.handle_misbehaviour(link, offence, self.clock.now()) {
            // An errand is none of the policy's peers, but no better for it.
            Verdict::Keep if neighbour.role != Role::Errand => debug!(%id, ?offence, "noted"),
            verdict @ (Verdict::Keep | Verdict::Drop | Verdict::Ban { .. }) => {
                warn!(%id, %socket, ?offence, ?verdict, "a light node misbehaved");
                let blocked = provable && !self.policy.is_manual(socket);
                let address = with_identity(&neighbour.address, id);
                if blocked {
                    self.block(id);
                }
                let penalty = match Penalty::from(verdict) {
                    Penalty::Dropped if blocked => Penalty::Blocked,
                    penalty @ (Penalty::Dropped | Penalty::Blocked | Penalty::Banned { .. }) => {
                        penalty
                    }
                };
                self.audit.misbehaved(PeerNetwork::LibP2p, &address, offence, penalty);
                self.enforce_bans();
                self.hang_up(id, DisconnectCause::Misbehaved, &format!("misbehaved: {offence:?}"));
            }
        }
    }

    /// An identity costs nothing, but whoever comes back at once under the same one is refused.
    fn block(&mut self, id: LightPeerId) {
        self.inner.behaviour_mut().blocked.block_peer(id);
        self.blocked.push_back(id);
        if self.blocked.len() > MAX_BLOCKED
            && let Some(oldest) = self.blocked.pop_front()
        {
            self.inner.behaviour_mut().blocked.unblock_peer(oldest);
        }
    }

    pub(super) fn enforce_bans(&self) {
        let bans = self.policy.export_bans(self.clock.now());
        self.rules.ban_only(bans.into_iter().map(|ban| -> IpAddr { ban.ip }));
    }

    pub(super) fn hang_up(&mut self, id: LightPeerId, cause: DisconnectCause, reason: &str) {
        if let Some(neighbour) = self.neighbours.get_mut(&id) {
            neighbour.goodbye.get_or_insert_with(|| (cause, reason.to_owned()));
            // It fails where it is closing already.
            let _ = self.inner.disconnect_peer_id(id);
        }
    }

    /// Ends errands, and lets those go that do not say what they are.
    pub(super) fn end_overdue(&mut self, now: Duration) {
        let over = self.neighbours.iter().filter_map(|(id, neighbour)| {
            let (end, errand) = end(neighbour)?;
            (end <= now && neighbour.goodbye.is_none()).then_some((*id, errand))
        });
        for (id, errand) in over.collect::<Vec<_>>() {
            if errand {
                self.hang_up(id, DisconnectCause::Local, "not needed any more");
            } else {
                self.hang_up(id, DisconnectCause::Unresponsive, "it does not say what it is");
            }
        }
    }

    /// When the next of those is due.
    pub(super) fn next_end(&self) -> Option<Duration> {
        let lasting = self.neighbours.values().filter(|neighbour| neighbour.goodbye.is_none());
        lasting.filter_map(end).map(|(end, _)| end).min()
    }

    pub(super) fn on_ping(&mut self, event: &ping::Event) {
        let Some(neighbour) = self.neighbours.get_mut(&event.peer) else { return };
        match &event.result {
            Ok(took) => (neighbour.ping, neighbour.missed_pings) = (Some(*took), 0),
            Err(error) => {
                neighbour.missed_pings += 1;
                debug!(peer = %event.peer, %error, "no pong");
                if neighbour.missed_pings >= MISSED_PINGS {
                    self.hang_up(
                        event.peer,
                        DisconnectCause::Unresponsive,
                        "it does not answer pings",
                    );
                }
            }
        }
    }
}

/// When a connection that may not last ends, and whether it is an errand.
fn end(neighbour: &Neighbour) -> Option<(Duration, bool)> {
    match (neighbour.role, &neighbour.standing) {
        (Role::Errand, _) => Some((neighbour.since + ERRAND, true)),
        (Role::Chosen | Role::Caller, Standing::Unknown) => {
            Some((neighbour.since + INTRODUCTION, false))
        }
        (Role::Chosen | Role::Caller, Standing::Client | Standing::Serves(_)) => None,
    }
}

//! A light node that we are connected to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ironlight_hardening::rate_limit::{Gcra, Quota};
use ironlight_spv::peers::{DisconnectCause, PeerId, is_routable};
use libp2p::Multiaddr;
use libp2p::swarm::ConnectionId;

use crate::net::Direction;
use crate::net::data::Offers;
use crate::net::requests::PeerRequests;
use crate::net::swarm::traffic::Bytes;

/// How fast one peer's addresses are taken in (Bitcoin Core, `MAX_ADDR_RATE_PER_SECOND`).
const ADDRESS_QUOTA: Quota = Quota { burst: 32, per: Duration::from_secs(10) };
/// Tips that one peer may gossip: a node that mines or catches up on a test network has many at
/// once. gossipsub remembers each for two minutes.
const GOSSIP_QUOTA: Quota = Quota { burst: 2000, per: Duration::from_millis(100) };

/// Why we are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The policy chose it.
    Chosen,
    /// It called.
    Caller,
    /// Kademlia asks it on its way to somebody else.
    Errand,
}

/// How far it has come as a peer of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has not said yet what it is.
    Unknown,
    /// It serves headers, and the sync machine knows it by this number.
    Serves(PeerId),
    /// It serves nothing.
    Client,
}

/// One of them; all connections to it together.
#[derive(Debug)]
pub(super) struct Neighbour {
    /// The number that the policy knows it by.
    pub(super) link: PeerId,
    pub(super) socket: SocketAddr,
    pub(super) address: Multiaddr,
    /// The connection that was there first, or that replaced it.
    pub(super) connection: ConnectionId,
    pub(super) role: Role,
    pub(super) standing: Standing,
    pub(super) since: Duration,
    pub(super) agent: String,
    pub(super) ping: Option<Duration>,
    pub(super) missed_pings: u32,
    pub(super) bytes: Option<Arc<Bytes>>,
    pub(super) headers: u64,
    pub(super) addresses: Gcra,
    pub(super) gossip: Gcra,
    /// What it says that it has besides headers.
    pub(super) offers: Offers,
    /// Where it serves: what requests to it go through.
    pub(super) requests: Option<PeerRequests>,
    /// Why we hang up, where we do.
    pub(super) goodbye: Option<(DisconnectCause, String)>,
}

impl Neighbour {
    pub(super) fn new(
        link: PeerId,
        socket: SocketAddr,
        address: Multiaddr,
        connection: ConnectionId,
        role: Role,
        since: Duration,
    ) -> Self {
        Self {
            link,
            socket,
            address,
            connection,
            role,
            standing: Standing::Unknown,
            since,
            agent: String::new(),
            ping: None,
            missed_pings: 0,
            bytes: None,
            headers: 0,
            addresses: Gcra::new(ADDRESS_QUOTA),
            gossip: Gcra::new(GOSSIP_QUOTA),
            offers: Offers::default(),
            requests: None,
            goodbye: None,
        }
    }

    pub(super) const fn direction(&self) -> Direction {
        match self.role {
            Role::Chosen | Role::Errand => Direction::Outbound,
            Role::Caller => Direction::Inbound,
        }
    }

    /// Whose allowance and breaker it has. A caller's port says nothing; where many share an
    /// address that is not routed, it is all there is.
    pub(super) fn owner(&self) -> SocketAddr {
        let ip = self.socket.ip();
        let called = self.role == Role::Caller && is_routable(ip);
        if called { SocketAddr::new(ip, 0) } else { self.socket }
    }

    /// The number that the sync machine knows it by.
    pub(super) const fn number(&self) -> Option<PeerId> {
        match self.standing {
            Standing::Serves(number) => Some(number),
            Standing::Unknown | Standing::Client => None,
        }
    }
}

/// A peer's words, safe to be shown and not too long.
pub(super) fn plain_text(text: &str) -> String {
    let plain = |letter: char| {
        let safe = letter.is_ascii_alphanumeric() || " .,;-_/:?@()".contains(letter);
        if safe { letter } else { '?' }
    };
    text.chars().take(128).map(plain).collect()
}

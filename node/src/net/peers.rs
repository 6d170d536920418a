//! What the networks have in common: numbers for peers, and how a peer is shown.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ironlight_spv::peers::PeerId;

/// Numbers for the peers of all networks together, none used twice.
#[derive(Clone, Debug, Default)]
pub struct PeerNumbers(Arc<AtomicU64>);

impl PeerNumbers {
    /// A number that nobody has had.
    #[must_use]
    pub fn draw(&self) -> PeerId {
        PeerId(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Which network a peer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerNetwork {
    /// Bitcoin's own: full nodes.
    Bitcoin,
    /// The libp2p network of light nodes.
    LibP2p,
}

impl PeerNetwork {
    /// A short fixed name, as settings have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bitcoin => "bitcoin",
            Self::LibP2p => "libp2p",
        }
    }
}

impl fmt::Display for PeerNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// This node.
    Outbound,
    /// The peer.
    Inbound,
}

impl Direction {
    /// A short fixed name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
        }
    }
}

/// A connected peer as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerReport {
    /// Its number.
    pub peer: PeerId,
    /// Its network.
    pub network: PeerNetwork,
    /// Where it is: a socket address, or a multiaddress with its identity.
    pub address: String,
    /// Who opened the connection.
    pub direction: Direction,
    /// Whether the user named it.
    pub named: bool,
    /// What it says it runs, safe to be shown.
    pub agent: String,
    /// How long it has been connected.
    pub connected_for: Duration,
    /// How long its last ping took; none before the first.
    pub ping: Option<Duration>,
    /// Bytes received from it.
    pub bytes_in: u64,
    /// Bytes sent to it.
    pub bytes_out: u64,
    /// Headers that it sent, before they are judged.
    pub headers: u64,
}

/// A network as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkReport {
    /// Which.
    pub network: PeerNetwork,
    /// Bytes received at its sockets since the start, of peers that are gone, too.
    pub bytes_in: u64,
    /// Bytes sent at its sockets since the start.
    pub bytes_out: u64,
    /// Where this node can be reached, with its identity; empty where it does not listen.
    pub listening: Vec<String>,
    /// The connected peers, the oldest first.
    pub peers: Vec<PeerReport>,
}

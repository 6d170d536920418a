//! What the networks have in common: numbers for peers, and how a peer is shown.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ironlight_hardening::cache::CacheStats;
use ironlight_spv::BlockHash;
use ironlight_spv::peers::PeerId;

use super::requests::{PeerRequestReport, RequestReport};

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
    /// How requests to it go; none where it is not asked.
    pub requests: Option<PeerRequestReport>,
}

/// What was served to others since the start; nothing where nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServeReport {
    /// Requests that were answered.
    pub answered: u64,
    /// Requests over a limit, which were told when to come back.
    pub busy: u64,
    /// What the pages that many ask for are kept in.
    pub pages: CacheStats,
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
    /// How requests to its peers went since the start.
    pub requests: RequestReport,
    /// What was served since the start.
    pub served: ServeReport,
    /// The connected peers, the oldest first.
    pub peers: Vec<PeerReport>,
}

/// What the sync machine asks a peer.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Newest first; empty where one header is asked for.
    pub(crate) locator: Vec<BlockHash>,
    /// The last header that is wanted, or the one that is asked for; none for as many as there are.
    pub(crate) stop: Option<BlockHash>,
    /// Whether other peers may be asked for parts of the answer. Bitcoin's protocol has no way to.
    #[cfg_attr(not(feature = "libp2p"), allow(dead_code, reason = "only light nodes can"))]
    pub(crate) shared: bool,
    /// Whether it is asked because another peer gave no answer.
    pub(crate) retry: bool,
}

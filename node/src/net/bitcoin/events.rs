//! What the rest of the node hears of peers.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bitcoin::BlockHash;
use bitcoin::p2p::ServiceFlags;
use ironlight_spv::peers::{AddressRecord, DisconnectCause, Offence, PeerId};
use ironlight_spv::sync::Unanswered;
use ironlight_spv::{BlockHeight, Header};

use super::command::Command;
use super::handshake::Greeting;
use super::transport::TransportError;

/// Something that a peer did. Of one peer, `Connected` comes first and, but for
/// [`Unanswered`](PeerEventKind::Unanswered), `Disconnected` last.
#[derive(Debug)]
pub struct PeerEvent {
    /// Who.
    pub peer: PeerId,
    /// What.
    pub kind: PeerEventKind,
}

/// What a peer did.
#[derive(Debug)]
pub enum PeerEventKind {
    /// It shook hands.
    Connected {
        /// Where it is.
        addr: SocketAddr,
        /// What it offers.
        services: ServiceFlags,
        /// The height of its tip, as it says.
        start_height: BlockHeight,
        /// The newest protocol that it speaks.
        protocol_version: u32,
        /// Its software, as it says: at most 256 letters, safe to be shown.
        user_agent: String,
    },
    /// It sent headers, at most 2000; none at all is an answer, too.
    Headers(Vec<Header>),
    /// A request for headers comes to nothing. It may be told after `Disconnected`, and then says
    /// nothing.
    Unanswered(Unanswered),
    /// It announced blocks, at most 16, the newest last.
    BlockInv(Vec<BlockHash>),
    /// It is gone.
    Disconnected {
        /// Why.
        reason: CloseReason,
    },
}

/// What the pool hears from its tasks.
#[derive(Debug)]
pub(super) enum Notice {
    /// A peer shook hands.
    Connected {
        /// Who.
        peer: PeerId,
        /// What it says of itself.
        greeting: Greeting,
    },
    /// A peer told addresses, at most 1000.
    Told {
        /// Who.
        peer: PeerId,
        /// What it told.
        addresses: Vec<AddressRecord>,
    },
    /// A seed answered.
    Seeded {
        /// Its place in the list.
        seed: u16,
        /// Its addresses, at most 256.
        addrs: Vec<SocketAddr>,
        /// What they offer, as it says.
        services: ServiceFlags,
    },
}

/// Why a connection ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// The connection failed, the peer hung up, or it sent something that is no message.
    Transport(TransportError),
    /// A message that has its place in a handshake only.
    OutOfOrder {
        /// Its kind.
        command: Command,
    },
    /// A ping was not answered.
    PingTimeout {
        /// The time allowed.
        within: Duration,
    },
    /// No whole message came.
    Idle {
        /// The time allowed.
        within: Duration,
    },
    /// The peer does not read what we send.
    NotReading,
    /// The node found it misbehaving.
    Misbehaved(Offence),
    /// It was slow, and a better one waits.
    Evicted,
    /// The node asked for it.
    Asked,
    /// The node is suspended, and closes all connections.
    Suspended,
    /// The node stops.
    Shutdown,
    /// A defect in this node: the connection's task failed.
    Crashed,
}

impl CloseReason {
    /// What the peer did wrong, where the connection noticed it itself.
    #[must_use]
    pub const fn offence(&self) -> Option<Offence> {
        match self {
            Self::Transport(error) => error.offence(),
            Self::OutOfOrder { .. } => Some(Offence::ProtocolViolation),
            Self::PingTimeout { .. }
            | Self::Idle { .. }
            | Self::NotReading
            | Self::Misbehaved(_)
            | Self::Evicted
            | Self::Asked
            | Self::Suspended
            | Self::Shutdown
            | Self::Crashed => None,
        }
    }

    /// What the policy is to make of it.
    #[must_use]
    pub const fn cause(&self) -> DisconnectCause {
        match self {
            Self::Transport(error) if error.offence().is_some() => DisconnectCause::Misbehaved,
            Self::Transport(_) => DisconnectCause::Closed,
            Self::OutOfOrder { .. } | Self::Misbehaved(_) => DisconnectCause::Misbehaved,
            Self::PingTimeout { .. } | Self::Idle { .. } | Self::NotReading => {
                DisconnectCause::Unresponsive
            }
            Self::Evicted => DisconnectCause::Evicted,
            Self::Suspended => DisconnectCause::Suspended,
            Self::Asked | Self::Shutdown | Self::Crashed => DisconnectCause::Local,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(f),
            Self::OutOfOrder { command } => write!(f, "a {command} message after the handshake"),
            Self::PingTimeout { within } => write!(f, "no pong within {within:?}"),
            Self::Idle { within } => write!(f, "no message within {within:?}"),
            Self::NotReading => f.write_str("it does not read what we send"),
            Self::Misbehaved(offence) => write!(f, "misbehaved: {offence:?}"),
            Self::Evicted => f.write_str("slow, and a better peer waits"),
            Self::Asked => f.write_str("as asked"),
            Self::Suspended => f.write_str("the node is suspended"),
            Self::Shutdown => f.write_str("the node stops"),
            Self::Crashed => f.write_str("its task failed"),
        }
    }
}

//! Bitcoin's own peer network: full nodes.
//!
//! Purpose: to carry headers, filters, blocks, transactions and addresses between full nodes and the
//! rest of the node, and to know nothing else: whether they are valid is decided elsewhere, whom to
//! dial and to ban by [`ironlight_spv::peers::PeerPolicy`].
//!
//! The way of a message: [`v1`] reads its 24-byte frame, refuses what is too long before a byte
//! of it is stored, and decodes the payload; the connection limits how fast a peer
//! may talk, answers pings, and sends the rest on as a [`PeerEvent`]; [`pool`] dials, keeps the
//! policy informed, and carries requests the other way.
//!
//! Headers go on as events. Filters and blocks go to whoever asked: connected full nodes are in the
//! list [`PoolConfig`] names, and each can be asked there.
//!
//! What an attacker can grow, for each connected peer: one message being received, at most
//! 4 MB (a block; what cannot be of use is read and thrown away), and the message made of it; 32 MB
//! of filters that wait for the rest of a range that was asked for; one event that waits for
//! room; [`ConnectionConfig::outbox`] messages that wait to be sent, at most 3.3 KB each. For all
//! peers together: [`PoolConfig::events`] events, at most 160 KB each. When these are full, peers
//! are read from no faster than the node keeps up.

mod awaited;
pub mod command;
mod connection;
mod counted;
mod data_line;
mod decode;
pub mod events;
mod gathered;
pub mod handshake;
mod line;
pub mod message;
pub mod pool;
mod relaying;
pub mod seeds;
pub mod transport;
pub mod v1;
mod writing;

pub use awaited::Progress;
pub use connection::ConnectionConfig;
pub use events::{CloseReason, PeerEvent, PeerEventKind};
pub use pool::{Announcement, Apart, PeerInfo, Pool, PoolConfig, PoolHandle, PoolInfo};
pub use transport::{Connect, TcpConnector, Transport};

#[cfg(test)]
mod testing;

//! Peer policy: whom to dial, whom to drop, whom to ban.
//!
//! Purpose: a light client is as safe as the most honest of its peers, so what matters is that
//! its peers are different ones, that lies have a price, and that no defence can be turned
//! around and used to cut it off. [`PeerPolicy`] decides this and does nothing else: addresses
//! and what happens to connections go in through `handle_*`, decisions come out of `poll_*`.
//! Time and a seed are arguments, so that in the simulated network the same policy dials, keeps,
//! drops and bans as in a node.
//!
//! Invariants:
//! - learnt peers (dialled or connected) never exceed the target, and no two share a network
//!   group; peers that connected to us take none of their places;
//! - a banned address is never dialled, a manual peer (one that the user named) never banned;
//! - a stall alone never ejects anyone: a slow peer goes only when a better one waits, and only
//!   while a floor of other peers remains; the same holds for one without filters where more peers
//!   with them are wanted.
//!
//! What an attacker can grow: the address book, up to [`ADDRESS_BOOK_SIZE`] entries, of which one
//! source's network group reaches at most an eighth; the ban list, up to [`MAX_BANS`]. Both are
//! then replaced in, not added to.

mod address_book;
mod ban;
mod group;
mod link;
mod policy;
mod random;

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

pub use bitcoin::p2p::ServiceFlags;

use crate::time::UnixTime;
pub use address_book::ADDRESS_BOOK_SIZE;
pub use ban::{BanEntry, MAX_BANS, owner};
pub use group::{NetworkGroup, is_routable};
pub use policy::{MAX_MANUAL_PEERS, PeerPolicy};
pub use random::SplitMix64;
pub(crate) use random::derive;

/// What the policy aims at.
#[derive(Clone, Debug)]
pub struct PolicyConfig {
    /// Learnt peers to be connected to.
    pub outbound_target: usize,
    /// A slow peer is ejected only while so many others remain.
    pub diversity_floor: usize,
    /// Dial learnt addresses that the internet does not route, for networks of one's own.
    pub allow_unroutable: bool,
    /// Dial nobody else where the user named peers (Bitcoin Core's `-connect`).
    pub manual_only: bool,
    /// Peers of one network group that may connect to us.
    pub inbound_per_group: usize,
    /// Chosen peers that are to offer compact filters (BIP157): addresses that are said to do so are
    /// dialled first, and with too few such peers another one is let go for one. 0 where filters are
    /// not needed.
    pub filter_peers: usize,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            outbound_target: 8,
            diversity_floor: 4,
            allow_unroutable: false,
            manual_only: true,
            inbound_per_group: 16,
            filter_peers: 0,
        }
    }
}

/// A connection, for as long as the node runs: a number is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

impl core::fmt::Display for PeerId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// An address as somebody told it. None of it is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRecord {
    /// Where the node listens.
    pub addr: SocketAddr,
    /// What it is said to offer.
    pub services: ServiceFlags,
    /// When it was last seen, as the teller says.
    pub last_seen: UnixTime,
}

/// Who told an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AddressSource {
    /// A peer, by its own address.
    Peer(IpAddr),
    /// A DNS seed, by its place in the list of seeds: each counts as a network group of its own.
    DnsSeed(u16),
}

/// What a peer did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Offence {
    /// A header that breaks a rule which does not depend on the time or on what else we know.
    InvalidHeader,
    /// More headers in one message than the protocol allows.
    TooManyHeaders,
    /// A message above the size allowed for its kind.
    Oversized,
    /// A message that does not parse, or one that has no place where it came.
    ProtocolViolation,
    /// A checksum that does not fit: a broken line does this, too.
    BadChecksum,
    /// The messages of another network.
    WrongNetwork,
    /// An answer that is overdue.
    Stalled,
    /// A compact filter, or its header, that is provably not the one of its block.
    FalseFilter,
    /// A chunk of a snapshot that is provably not what its address says.
    FalseChunk,
}

impl Offence {
    /// What follows from it, for a learnt peer.
    ///
    /// Only what no honest node does is a reason to ban. What a broken line, a full disk or
    /// another network's node would do as well is at most a reason to hang up.
    const fn weight(self) -> Weight {
        match self {
            Self::InvalidHeader
            | Self::TooManyHeaders
            | Self::Oversized
            | Self::ProtocolViolation
            | Self::FalseFilter
            | Self::FalseChunk => Weight::Ban,
            Self::BadChecksum | Self::WrongNetwork => Weight::Drop,
            Self::Stalled => Weight::Slow,
        }
    }
}

#[derive(Clone, Copy)]
enum Weight {
    Ban,
    Drop,
    Slow,
}

/// What to do with a peer that did something wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Nothing: stay connected.
    Keep,
    /// Disconnect. It may be dialled again later.
    Drop,
    /// Disconnect; until then its address is not dialled.
    Ban {
        /// The end of the ban.
        until: UnixTime,
    },
}

/// Why a dialled address did not become a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialFailure {
    /// No connection, or the handshake was cut off or took too long.
    Unreachable,
    /// It answered, but is of no use: the services or the protocol version are not enough, or it
    /// is ourselves.
    Unsuitable,
    /// It broke the protocol before it was a peer.
    Offended(Offence),
}

/// Why a peer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectCause {
    /// The peer hung up, or the line broke.
    Closed,
    /// It stopped answering.
    Unresponsive,
    /// It was dropped for an offence that [`PeerPolicy::handle_misbehaviour`] has heard of.
    Misbehaved,
    /// [`PeerPolicy::poll_drop`] chose it: slow, or without the filters that are wanted.
    Evicted,
    /// The node's own reasons: nothing is held against the peer.
    Local,
    /// The node closes all connections for a while: nothing is held against the peer, and it may be
    /// dialled again after [`PeerPolicy::handle_resumed`].
    Suspended,
}

/// The pause after so many failures in a row: doubling from `base` up to `cap`, of which the
/// second half is drawn, so that addresses that failed together are not tried together.
fn backoff(base: Duration, cap: Duration, failures: u32, random: &mut SplitMix64) -> Duration {
    let doublings = failures.saturating_sub(1);
    let ceiling = base.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(cap);
    let half = ceiling / 2;
    half + random.share_of(ceiling - half)
}

//! What the networks have in common: numbers for peers, how a peer is shown, and what bytes are for.

use std::fmt;
use std::ops::{Add, AddAssign};
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

/// What bytes are carried for. A message counts as what it asks for or carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Block headers, and news of blocks.
    Headers,
    /// Filter headers and checkpoints.
    FilterHeaders,
    /// Compact filters.
    Filters,
    /// Whole blocks.
    Blocks,
    /// Proofs that a block has a transaction.
    Proofs,
    /// Headers as chunks of snapshots, and where those are.
    Snapshots,
    /// Transactions outside of blocks, and news of them.
    Transactions,
    /// What keeps a connection up, addresses, and what is read past.
    Other,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Headers,
        Self::FilterHeaders,
        Self::Filters,
        Self::Blocks,
        Self::Proofs,
        Self::Snapshots,
        Self::Transactions,
        Self::Other,
    ];

    /// A short fixed name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Headers => "headers",
            Self::FilterHeaders => "filter_headers",
            Self::Filters => "filters",
            Self::Blocks => "blocks",
            Self::Proofs => "proofs",
            Self::Snapshots => "snapshots",
            Self::Transactions => "transactions",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Bytes both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Received.
    pub received: u64,
    /// Sent.
    pub sent: u64,
}

impl AddAssign for Carried {
    fn add_assign(&mut self, more: Self) {
        self.received += more.received;
        self.sent += more.sent;
    }
}

/// Bytes, each counted for one [`Purpose`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BytesByPurpose([Carried; Purpose::ALL.len()]);

impl BytesByPurpose {
    /// Those for one purpose.
    #[must_use]
    pub fn of(&self, purpose: Purpose) -> Carried {
        self.iter().find(|(of, _)| *of == purpose).map(|(_, carried)| carried).unwrap_or_default()
    }

    /// Each purpose with its bytes.
    pub fn iter(&self) -> impl Iterator<Item = (Purpose, Carried)> {
        Purpose::ALL.into_iter().zip(self.0)
    }

    /// With all that is missing in the total as [`Purpose::Other`]: what encryption, multiplexing and
    /// other protocols carry.
    #[cfg(feature = "libp2p")]
    pub(crate) fn up_to(self, total: Carried) -> Self {
        let known = self.total();
        let counter = PurposeCounter::default();
        counter.received(Purpose::Other, total.received.saturating_sub(known.received));
        counter.sent(Purpose::Other, total.sent.saturating_sub(known.sent));
        self + counter.report()
    }

    /// What was carried since an earlier count.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = *self;
        for (of, before) in since.0.iter_mut().zip(earlier.0) {
            of.received = of.received.saturating_sub(before.received);
            of.sent = of.sent.saturating_sub(before.sent);
        }
        since
    }

    /// All together.
    #[must_use]
    pub fn total(&self) -> Carried {
        let mut total = Carried::default();
        self.0.iter().for_each(|carried| total += *carried);
        total
    }
}

impl Add for BytesByPurpose {
    type Output = Self;

    fn add(mut self, more: Self) -> Self {
        self.0.iter_mut().zip(more.0).for_each(|(of, more)| *of += more);
        self
    }
}

/// Counts bytes by purpose; shared by whoever carries them and whoever shows them.
#[derive(Debug, Default)]
pub(crate) struct PurposeCounter([(AtomicU64, AtomicU64); Purpose::ALL.len()]);

impl PurposeCounter {
    fn add(&self, purpose: Purpose, bytes: Carried) {
        let mut counts = Purpose::ALL.into_iter().zip(&self.0);
        if let Some((_, (received, sent))) = counts.find(|(of, _)| *of == purpose) {
            received.fetch_add(bytes.received, Ordering::Relaxed);
            sent.fetch_add(bytes.sent, Ordering::Relaxed);
        }
    }

    /// So many were received.
    pub(crate) fn received(&self, purpose: Purpose, bytes: u64) {
        self.add(purpose, Carried { received: bytes, sent: 0 });
    }

    /// So many were sent.
    pub(crate) fn sent(&self, purpose: Purpose, bytes: u64) {
        self.add(purpose, Carried { received: 0, sent: bytes });
    }

    /// As it stands.
    pub(crate) fn report(&self) -> BytesByPurpose {
        let mut report = BytesByPurpose::default();
        for (carried, (received, sent)) in report.0.iter_mut().zip(&self.0) {
            carried.received = received.load(Ordering::Relaxed);
            carried.sent = sent.load(Ordering::Relaxed);
        }
        report
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
    /// The same bytes by what they were for, as far as that is known.
    pub by_purpose: BytesByPurpose,
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
    pub(crate) shared: bool,
    /// Whether it is asked because another peer gave no answer.
    pub(crate) retry: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_for_their_purpose_and_add_up() {
        let counter = PurposeCounter::default();
        for (purpose, bytes) in Purpose::ALL.into_iter().zip(1..) {
            counter.received(purpose, bytes);
            counter.sent(purpose, 10 * bytes);
        }
        let report = counter.report();
        assert_eq!(report.of(Purpose::Headers), Carried { received: 1, sent: 10 });
        assert_eq!(report.of(Purpose::Other), Carried { received: 8, sent: 80 });
        assert_eq!((report + report).since(&report), report);
        assert_eq!((report + report).total(), Carried { received: 72, sent: 720 });
    }
}

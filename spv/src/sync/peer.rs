//! What the machine remembers of a peer.

use alloc::boxed::Box;
use core::time::Duration;

use bitcoin::BlockHash;

pub use crate::peers::PeerId;

use super::action::{PeerPhase, PeerStatus};
use super::presync::Presync;
use crate::header::BlockHeight;

/// A peer's place in the current round of questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Waiting,
    Working { since: Duration },
    Standby,
    Done,
    Backoff { until: Duration },
    Refused,
}

impl Turn {
    pub(super) const fn is_working(self) -> bool {
        matches!(self, Self::Working { .. })
    }

    /// Whether the peer can be asked when its turn comes.
    pub(super) const fn is_candidate(self) -> bool {
        matches!(self, Self::Waiting | Self::Standby)
    }

    const fn phase(self) -> PeerPhase {
        match self {
            Self::Waiting => PeerPhase::Waiting,
            Self::Working { .. } => PeerPhase::Working,
            Self::Standby => PeerPhase::Standby,
            Self::Done => PeerPhase::Done,
            Self::Backoff { .. } => PeerPhase::Backoff,
            Self::Refused => PeerPhase::Refused,
        }
    }
}

/// A getheaders in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    /// None where stalls are not minded.
    pub(super) deadline: Option<Duration>,
    /// A second opinion: an answer that continues from here agrees with the peer that downloads.
    pub(super) probe: Option<BlockHash>,
}

/// A batch that the driver is applying.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    /// Its last header.
    pub(super) end: BlockHash,
    /// Whether the message that it came in was full.
    pub(super) full: bool,
    /// Whether its end was pinned before.
    pub(super) pinned: bool,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) turn: Turn,
    pub(super) request: Option<Request>,
    pub(super) pending: Option<Pending>,
    pub(super) presync: Option<Box<Presync>>,
    /// The end of the branch that is kept from eviction for this peer.
    pub(super) pin: Option<BlockHash>,
    pub(super) slow: bool,
    /// Attempts that came to nothing, in a row.
    pub(super) strikes: u32,
    pub(super) unconnecting: u32,
    /// It announced something unknown: ask when it is free, unless it is known by then.
    pub(super) announced: Option<BlockHash>,
    /// The highest known header that it sent in this turn; without progress the turn ends.
    pub(super) reached: Option<BlockHeight>,
    /// When it was last asked, counted in questions.
    pub(super) asked: u64,
}

impl Peer {
    pub(super) const fn new() -> Self {
        Self {
            turn: Turn::Waiting,
            request: None,
            pending: None,
            presync: None,
            pin: None,
            slow: false,
            strikes: 0,
            unconnecting: 0,
            announced: None,
            reached: None,
            asked: 0,
        }
    }

    /// Whether it can be asked something.
    pub(super) const fn is_free(&self) -> bool {
        self.request.is_none() && self.pending.is_none()
    }

    /// Whether it brings headers that are kept at once.
    pub(super) const fn is_direct(&self) -> bool {
        self.turn.is_working() && self.presync.is_none()
    }

    pub(super) fn status(&self, peer: PeerId) -> PeerStatus {
        PeerStatus {
            peer,
            phase: self.turn.phase(),
            slow: self.slow,
            presync: self.presync.as_ref().map(|presync| presync.status()),
        }
    }
}

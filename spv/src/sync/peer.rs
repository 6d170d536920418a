//! What the machine remembers of a peer.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use bitcoin::{BlockHash, Work};

pub use crate::peers::PeerId;

use super::action::{PeerPhase, PeerStatus};
use super::presync::Presync;
use super::{MAX_HEADERS, MAX_PAGE};
use crate::header::BlockHeight;

/// A peer's place in the current round of questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Waiting,
    Working {
        since: Duration,
    },
    /// It agreed with another peer, and waits for as long as that one is at work.
    Standby {
        with: PeerId,
    },
    Done,
    Backoff {
        until: Duration,
    },
    Refused,
}

impl Turn {
    pub(super) const fn is_working(self) -> bool {
        matches!(self, Self::Working { .. })
    }

    /// Whether the peer can give a second opinion.
    pub(super) const fn is_candidate(self) -> bool {
        matches!(self, Self::Waiting | Self::Standby { .. })
    }

    const fn phase(self) -> PeerPhase {
        match self {
            Self::Waiting => PeerPhase::Waiting,
            Self::Working { .. } => PeerPhase::Working,
            Self::Standby { .. } => PeerPhase::Standby,
            Self::Done => PeerPhase::Done,
            Self::Backoff { .. } => PeerPhase::Backoff,
            Self::Refused => PeerPhase::Refused,
        }
    }
}

/// A getheaders in flight.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) sent: Duration,
    /// None where stalls are not minded.
    pub(super) deadline: Option<Duration>,
    pub(super) probe: Option<Probe>,
    /// It is asked instead of another one that came to nothing.
    pub(super) retry: bool,
    /// A few headers came that connect but do not continue the presync which was asked for.
    pub(super) beside: bool,
}

/// A question whose answer tells whether the peer agrees with others.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    /// Where others' presyncs are: an answer that continues from there agrees with that one.
    pub(super) places: Vec<(PeerId, BlockHash)>,
    /// What the quickest peer at work takes for a message, where that is long.
    pub(super) pace: Option<Duration>,
}

impl Probe {
    /// With whom headers that follow `parent` agree.
    pub(super) fn agreement(&self, parent: &BlockHash) -> Option<PeerId> {
        self.places.iter().find(|(_, at)| at == parent).map(|(with, _)| *with)
    }
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

/// What is known of a peer before it has said anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerTraits {
    /// Headers in a message of its at most, up to [`MAX_PAGE`]; as many mean that there may be more.
    pub page: usize,
    /// It called us. Whoever wants to delay us can call as often as there is room, but does not
    /// choose whom we call: so those are asked first (Bitcoin Core, `fPreferredDownload`).
    pub called: bool,
}

impl Default for PeerTraits {
    /// A full node that we called.
    fn default() -> Self {
        Self { page: MAX_HEADERS, called: false }
    }
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) page: usize,
    pub(super) called: bool,
    pub(super) turn: Turn,
    pub(super) request: Option<Request>,
    pub(super) pending: Option<Pending>,
    pub(super) presync: Option<Box<Presync>>,
    /// The end of the branch that is kept from eviction for this peer.
    pub(super) pin: Option<BlockHash>,
    pub(super) slow: bool,
    /// It has answered in this round, or let a deadline pass.
    pub(super) heard: bool,
    /// An answer to a question that was given up may still come.
    pub(super) owes: bool,
    /// What its answers take, the last ones counting most.
    pub(super) pace: Option<Duration>,
    /// Its last answer took less than half of what the others at work take, and theirs is long.
    pub(super) faster: bool,
    /// Presyncs of its that came to nothing, since one led to headers that are kept.
    pub(super) failed: u32,
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
    pub(super) fn new(traits: PeerTraits) -> Self {
        Self {
            page: traits.page.clamp(1, MAX_PAGE),
            called: traits.called,
            turn: Turn::Waiting,
            request: None,
            pending: None,
            presync: None,
            pin: None,
            slow: false,
            heard: false,
            owes: false,
            pace: None,
            faster: false,
            failed: 0,
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

    /// An answer, or an announcement, has come. Says whether it was asked for, be it long ago.
    pub(super) fn note_answer(&mut self, now: Duration) -> bool {
        let Some(request) = self.request.take() else {
            self.owes = false;
            return matches!(self.turn, Turn::Backoff { .. });
        };
        self.slow = false;
        self.heard = true;
        let took = now.saturating_sub(request.sent);
        self.pace = Some(self.pace.map_or(took, |pace| (pace * 3 + took) / 4));
        let others = request.probe.and_then(|probe| probe.pace);
        self.faster = others.is_some_and(|pace| took.saturating_mul(2) < pace);
        true
    }

    /// The question in flight is given up; its answer may come all the same.
    pub(super) fn drop_request(&mut self) -> Option<Request> {
        let request = self.request.take();
        self.owes |= request.is_some();
        request
    }

    /// How far its presync has come: the second download counts for more than the first.
    pub(super) fn shown(&self) -> Option<(bool, Work)> {
        let status = self.presync.as_ref()?.status();
        Some((status.redownload, status.work))
    }

    /// What it takes for a message by now, where it is one that downloads.
    pub(super) fn pace_at(&self, now: Duration) -> Option<Duration> {
        let downloads = self.presync.is_some() || self.reached.is_some();
        let pace = self.pace.filter(|_| downloads && self.turn.is_working())?;
        let waited = self.request.as_ref().map(|request| now.saturating_sub(request.sent));
        Some(pace.max(waited.unwrap_or_default()))
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

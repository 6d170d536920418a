//! What comes out of the machine: actions for the driver, events for people, and its status.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use bitcoin::{BlockHash, Work};

use super::peer::PeerId;
use crate::chain::{BlockLocator, ChainTip, LinkedBatch, Violation};
use crate::header::BlockHeight;
use crate::peers::Offence;

/// What the driver is to do, in this order.
#[derive(Debug)]
#[non_exhaustive]
pub enum SyncAction {
    /// Send a getheaders. An answer goes to `handle_headers`, even a late one.
    GetHeaders {
        /// To whom.
        peer: PeerId,
        /// Newest first.
        locator: BlockLocator,
        /// The last header wanted; none for as many as a message holds.
        stop: Option<BlockHash>,
        /// What comes is kept at once and is compared with nothing, and more will be asked for: a
        /// driver that reads ahead may fetch parts of it from other peers, as long as a fault in
        /// them is not laid at this one's door.
        shared: bool,
        /// It is asked instead of a peer whose question came to nothing just now: what a driver
        /// that bounds retries counts as one.
        retry: bool,
    },
    /// Verify the batch, commit, apply it, and report to `handle_applied` before passing on that
    /// peer's next headers. Where a header in it is bad: apply the valid prefix first, then report
    /// the error. The proof of work of all its headers was checked; those that failed are told by
    /// the batch itself.
    Apply {
        /// Who sent it.
        peer: PeerId,
        /// Hashed and linked already.
        batch: LinkedBatch,
    },
    /// Keep the branch that ends in this header from being evicted, also if the header only comes
    /// with the next batch.
    Pin(BlockHash),
    /// Take a pin back.
    Unpin(BlockHash),
    /// A provable fault. The machine does not ask this peer any more.
    Misbehaved {
        /// Who.
        peer: PeerId,
        /// What.
        offence: SyncOffence,
    },
    /// For logs, metrics and subscribers.
    Event(SyncEvent),
}

/// Why a question comes to nothing before its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// The driver did not send it, and will not before so long. Nobody is to blame.
    Refused {
        /// When the peer can be asked.
        retry_after: Duration,
    },
    /// No answer came in the driver's own time, or none that is of use.
    NoAnswer,
}

/// A provable fault of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyncOffence {
    /// A header breaks a rule that no honest node would let pass.
    InvalidHeader {
        /// Its hash.
        hash: BlockHash,
        /// Its height, where its parent is known.
        height: Option<BlockHeight>,
        /// The rule, with the evidence.
        violation: Violation,
    },
    /// More headers in a message than the protocol allows.
    TooManyHeaders {
        /// How many.
        count: usize,
    },
}

impl SyncOffence {
    /// What the peer policy is told of it.
    #[must_use]
    pub const fn offence(&self) -> Offence {
        match self {
            Self::TooManyHeaders { .. } => Offence::TooManyHeaders,
            // The user's checkpoint is no rule of the network: the peer follows another chain
            // than we do, but it is no liar.
            Self::InvalidHeader {
                violation:
                    Violation::CheckpointMismatch { .. } | Violation::ForkBelowCheckpoint { .. },
                ..
            } => Offence::WrongNetwork,
            Self::InvalidHeader { .. } => Offence::InvalidHeader,
        }
    }

    /// The hash of the header that is invalid.
    #[must_use]
    pub const fn hash(&self) -> Option<BlockHash> {
        match self {
            Self::InvalidHeader { hash, .. } => Some(*hash),
            Self::TooManyHeaders { .. } => None,
        }
    }
}

impl fmt::Display for SyncOffence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidHeader { hash, height: Some(height), violation } => {
                write!(f, "invalid header {hash} at height {height}: {violation}")
            }
            Self::InvalidHeader { hash, height: None, violation } => {
                write!(f, "invalid header {hash}: {violation}")
            }
            Self::TooManyHeaders { count } => write!(f, "{count} headers in a message"),
        }
    }
}

/// Something worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyncEvent {
    /// The tip has the minimum chain work, two peers have no more headers for us, and nobody
    /// that was asked still owes a first answer. One peer is enough where it is the only one, or
    /// where all others were heard and have shown nothing but chains of too little work so far.
    Synced {
        /// The tip.
        tip: ChainTip,
    },
    /// Peers have no more headers, but the tip is below the minimum chain work.
    BelowMinimumWork {
        /// The tip.
        tip: ChainTip,
    },
    /// A request was not answered in time; another peer is asked, this one stays.
    Stalled {
        /// Who.
        peer: PeerId,
    },
    /// A long chain of little work: the peer has to show first where it ends.
    PresyncStarted {
        /// Whose chain.
        peer: PeerId,
        /// Height of the known header that it starts from.
        height: BlockHeight,
    },
    /// The chain was shown to have enough work and is downloaded again, now to be kept.
    RedownloadStarted {
        /// Whose chain.
        peer: PeerId,
        /// How far it was shown.
        height: BlockHeight,
        /// The work up to there.
        work: Work,
    },
    /// The whole chain that was shown has been checked and handed on.
    PresyncFinished {
        /// Whose chain.
        peer: PeerId,
        /// Its height.
        height: BlockHeight,
    },
    /// The presync came to nothing; nobody is blamed.
    PresyncGaveUp {
        /// Whose chain.
        peer: PeerId,
        /// How far it came.
        height: BlockHeight,
        /// The work up to there.
        work: Work,
        /// Why.
        reason: GaveUp,
    },
}

/// Why a presync came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GaveUp {
    /// The peer's chain ends with too little work.
    LowWork,
    /// No valid chain can be that long by now.
    TooLong,
    /// The second download is not the chain that was shown.
    CommitmentMismatch,
    /// The second download has less work a header: the commitments ran out.
    CommitmentOverrun,
    /// The peer no longer serves the chain that it has shown.
    Declined,
    /// The peer has moved to another chain.
    LeftChain,
    /// Others waited too long for the place.
    Preempted,
    /// Its difficulty cannot follow from the trusted start: one of the two is wrong, perhaps the
    /// start's height.
    StartInDoubt,
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LowWork => "its chain ends with too little work",
            Self::TooLong => "no valid chain can be that long",
            Self::CommitmentMismatch => "the second download is another chain",
            Self::CommitmentOverrun => "the second download is longer than what was shown",
            Self::Declined => "it no longer serves the chain that it has shown",
            Self::LeftChain => "it moved to another chain",
            Self::Preempted => "others waited too long",
            Self::StartInDoubt => "its difficulty does not fit the trusted start",
        })
    }
}

/// How far the sync is as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncState {
    /// Nobody to ask.
    #[default]
    NoPeers,
    /// Asking or downloading.
    Syncing,
    /// Peers have no more headers, but the tip is below the minimum chain work.
    BelowMinimumWork,
    /// See [`SyncEvent::Synced`].
    Synced,
}

impl SyncState {
    /// A short fixed name, for logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoPeers => "no-peers",
            Self::Syncing => "syncing",
            Self::BelowMinimumWork => "below-minimum-work",
            Self::Synced => "synced",
        }
    }
}

/// What the machine is doing, for a status page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncStatus {
    /// As a whole.
    pub state: SyncState,
    /// The peer whose chain is being downloaded.
    pub primary: Option<PeerId>,
    /// Peer by peer.
    pub peers: Vec<PeerStatus>,
}

impl SyncStatus {
    /// Whether the chain is as long as that of the peers, and has the minimum work.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.state == SyncState::Synced
    }

    /// The presync that has come furthest.
    #[must_use]
    pub fn best_presync(&self) -> Option<PresyncStatus> {
        self.peers.iter().filter_map(|peer| peer.presync).max_by_key(|presync| presync.height)
    }
}

/// One peer's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Who.
    pub peer: PeerId,
    /// Where it is in this round of questions.
    pub phase: PeerPhase,
    /// Whether its last answer was overdue.
    pub slow: bool,
    /// Its presync, if it is in one.
    pub presync: Option<PresyncStatus>,
}

/// Where a peer is in the current round of questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerPhase {
    /// Not asked yet.
    Waiting,
    /// Asked, or its headers are being applied.
    Working,
    /// It agreed with the peer that downloads and waits for it.
    Standby,
    /// It has no more headers for us.
    Done,
    /// It is asked again later.
    Backoff,
    /// It sent something provably wrong.
    Refused,
}

impl PeerPhase {
    /// A short fixed name, for logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Working => "working",
            Self::Standby => "standby",
            Self::Done => "done",
            Self::Backoff => "backoff",
            Self::Refused => "refused",
        }
    }
}

/// How far a presync is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresyncStatus {
    /// Whether the chain was shown and is now downloaded again.
    pub redownload: bool,
    /// How far this pass has come.
    pub height: BlockHeight,
    /// The work up to there.
    pub work: Work,
    /// The work that the chain has to show.
    pub threshold: Work,
}

//! What is wrong with a header, with the evidence and whose fault it is.

use alloc::boxed::Box;
use core::fmt;

use bitcoin::{BlockHash, CompactTarget, Work};

use super::batch::VerifiedBatch;
use crate::header::BlockHeight;
use crate::target::BitsError;
use crate::time::UnixTime;

/// The rule that a header breaks, with the evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// The bits stand for no target.
    InvalidBits {
        /// What the header names.
        bits: CompactTarget,
        /// What is wrong with it.
        reason: BitsError,
    },
    /// The target is easier than the network allows.
    AboveLimit {
        /// What the header names.
        bits: CompactTarget,
        /// The network's limit.
        limit: CompactTarget,
    },
    /// The hash does not meet the header's own target.
    HashAboveTarget {
        /// What the header names.
        bits: CompactTarget,
    },
    /// Inside the batch a header does not follow the one before it.
    NotConsecutive {
        /// The hash of the header before it.
        expected: BlockHash,
        /// The parent that it names.
        got: BlockHash,
    },
    /// The parent of the batch is not known.
    UnknownParent {
        /// The parent that it names.
        parent: BlockHash,
    },
    /// The header, or an ancestor of it, was found invalid before.
    KnownInvalid {
        /// The header that was found invalid.
        invalid: BlockHash,
    },
    /// The first header is not the one that the chain starts from.
    WrongStart {
        /// The hash that the start must have.
        expected: BlockHash,
    },
    /// The total work that a trusted start claims is less than its own, or could overflow.
    ImpossibleWork {
        /// The work of the start's header alone.
        own: Work,
        /// The total that it claims.
        got: Work,
    },
    /// The bits are not the required ones; harder than required is wrong too.
    WrongTarget {
        /// Required by the header's ancestors.
        expected: CompactTarget,
        /// What the header names.
        got: CompactTarget,
    },
    /// The bits can follow the parent's on no chain at all.
    ForbiddenTransition {
        /// The parent's.
        from: CompactTarget,
        /// What the header names.
        got: CompactTarget,
    },
    /// The time is not greater than the median of the eleven headers before it.
    TimeTooOld {
        /// The median.
        median: UnixTime,
        /// The header's.
        got: UnixTime,
    },
    /// BIP94: a period starts more than ten minutes before its parent.
    Timewarp {
        /// The parent's time.
        parent: UnixTime,
        /// The header's.
        got: UnixTime,
    },
    /// The time is more than two hours ahead of the clock.
    TimeTooNew {
        /// The latest time acceptable now.
        latest: UnixTime,
        /// The header's.
        got: UnixTime,
    },
    /// A soft fork has retired the version.
    OutdatedVersion {
        /// The lowest that the height allows.
        minimum: i32,
        /// The header's.
        got: i32,
    },
    /// The user demands another hash at this height.
    CheckpointMismatch {
        /// The user's.
        expected: BlockHash,
    },
    /// The fork starts below a checkpoint that the best chain has passed.
    ForkBelowCheckpoint {
        /// The checkpoint's height.
        checkpoint: BlockHeight,
        /// The last height that the branches share.
        fork: BlockHeight,
    },
}

/// Whose fault a violation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Whoever sent the header.
    Peer,
    /// Our clock or our ignorance; the sender may be honest and nothing is marked invalid.
    Local,
}

impl Violation {
    /// A short fixed name of the rule, for logs and metrics.
    #[must_use]
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::InvalidBits { .. } => "invalid-bits",
            Self::AboveLimit { .. } => "target-above-limit",
            Self::HashAboveTarget { .. } => "proof-of-work",
            Self::NotConsecutive { .. } => "not-consecutive",
            Self::UnknownParent { .. } => "unknown-parent",
            Self::KnownInvalid { .. } => "known-invalid",
            Self::WrongStart { .. } => "wrong-start",
            Self::ImpossibleWork { .. } => "impossible-work",
            Self::WrongTarget { .. } => "difficulty",
            Self::ForbiddenTransition { .. } => "difficulty-transition",
            Self::TimeTooOld { .. } => "median-time-past",
            Self::Timewarp { .. } => "timewarp",
            Self::TimeTooNew { .. } => "time-too-new",
            Self::OutdatedVersion { .. } => "version",
            Self::CheckpointMismatch { .. } => "checkpoint",
            Self::ForkBelowCheckpoint { .. } => "fork-below-checkpoint",
        }
    }

    /// Whose fault it is. Local: a header ahead of our clock cures itself, and a header whose
    /// parent we lack may well be right.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::TimeTooNew { .. } | Self::UnknownParent { .. } => Blame::Local,
            Self::InvalidBits { .. }
            | Self::AboveLimit { .. }
            | Self::HashAboveTarget { .. }
            | Self::NotConsecutive { .. }
            | Self::KnownInvalid { .. }
            | Self::WrongStart { .. }
            | Self::ImpossibleWork { .. }
            | Self::WrongTarget { .. }
            | Self::ForbiddenTransition { .. }
            | Self::TimeTooOld { .. }
            | Self::Timewarp { .. }
            | Self::OutdatedVersion { .. }
            | Self::CheckpointMismatch { .. }
            | Self::ForkBelowCheckpoint { .. } => Blame::Peer,
        }
    }

    /// Whether the header is known to have met its own target all the same.
    pub(super) const fn has_work(&self) -> bool {
        !matches!(
            self,
            Self::InvalidBits { .. }
                | Self::AboveLimit { .. }
                | Self::HashAboveTarget { .. }
                | Self::NotConsecutive { .. }
        )
    }
}

/// Compact targets read best as eight hexadecimal digits.
struct Bits(CompactTarget);

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0.to_consensus())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::InvalidBits { bits, reason } => {
                write!(f, "bits {} stand for no target: {reason}", Bits(bits))
            }
            Self::AboveLimit { bits, limit } => {
                write!(f, "target {} is above the network's limit {}", Bits(bits), Bits(limit))
            }
            Self::HashAboveTarget { bits } => {
                write!(f, "the hash does not meet the header's own target {}", Bits(bits))
            }
            Self::NotConsecutive { expected, got } => {
                write!(f, "it names the parent {got}, but the header before it is {expected}")
            }
            Self::UnknownParent { parent } => write!(f, "its parent {parent} is not known"),
            Self::KnownInvalid { invalid } => {
                write!(f, "it is, or descends from, the invalid header {invalid}")
            }
            Self::WrongStart { expected } => write!(f, "the chain starts with {expected}"),
            Self::ImpossibleWork { own, got } => {
                write!(f, "a total work of {got:#x} cannot be: its own is {own:#x}")
            }
            Self::WrongTarget { expected, got } => {
                write!(f, "bits are {} where {} are required", Bits(got), Bits(expected))
            }
            Self::ForbiddenTransition { from, got } => {
                write!(f, "bits {} cannot follow {} on any chain", Bits(got), Bits(from))
            }
            Self::TimeTooOld { median, got } => {
                write!(f, "time {got} is not after the median time past {median}")
            }
            Self::Timewarp { parent, got } => {
                write!(f, "time {got} is over 600 s before its parent's {parent} (BIP94)")
            }
            Self::TimeTooNew { latest, got } => {
                write!(f, "time {got} is later than two hours from now ({latest}); check the clock")
            }
            Self::OutdatedVersion { minimum, got } => {
                write!(f, "version {got} is below {minimum}, the lowest at this height")
            }
            Self::CheckpointMismatch { expected } => {
                write!(f, "the checkpoint at this height is {expected}")
            }
            Self::ForkBelowCheckpoint { checkpoint, fork } => {
                write!(f, "it forks off at height {fork}, below the checkpoint at {checkpoint}")
            }
        }
    }
}

/// A batch has a bad header. The valid ones before it stand: see [`prefix`](Self::prefix).
#[derive(Clone, Debug)]
pub struct HeaderError {
    /// The bad header's place in the batch, from 0.
    pub index: usize,
    /// Its height, where its parent is known.
    pub height: Option<BlockHeight>,
    /// Its hash.
    pub hash: BlockHash,
    /// What is wrong with it.
    pub violation: Violation,
    /// Whose fault it is: the violation's, but for the first retargets after a trusted start, where
    /// a wrong target may as well mean that the user gave the start a wrong height.
    pub blame: Blame,
    /// The headers before it that may be applied; none where they bring nothing new.
    pub prefix: Option<Box<VerifiedBatch>>,
}

impl HeaderError {
    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        self.blame
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("header ")?;
        if let Some(height) = self.height {
            write!(f, "at height {height} ")?;
        }
        let rule = self.violation.rule();
        write!(f, "({}) breaks rule {rule}: ", self.hash)?;
        self.violation.fmt(f)
    }
}

impl core::error::Error for HeaderError {}

//! What to make of a header that somebody announces, before anything is done about it.

use alloc::vec;

use super::action::SyncOffence;
use crate::chain::{Blame, HeaderChain, HeaderError, LinkedBatch, TipChange, Violation};
use crate::header::Header;
use crate::peers::Offence;
use crate::time::UnixTime;

/// What our own verification says of a header that was gossiped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TipVerdict {
    /// It is valid, and would be our new tip.
    New,
    /// It is our tip already.
    Current,
    /// It is valid but no news: a header below our tip, or on a branch with less work.
    Old,
    /// Its parent is not known, or this node does not know enough yet to tell.
    Unconnected,
    /// It cannot be judged now, and nobody is to blame: its time is ahead of our clock, for one.
    Undecided,
    /// It breaks a rule that no honest node would let pass.
    Invalid(SyncOffence),
}

/// Judges a header that somebody announces as a tip, by all rules, and changes nothing. `synced` says
/// whether what the chain calls its tip is the network's, as far as we know.
#[must_use]
pub fn judge_tip(chain: &HeaderChain, header: &Header, synced: bool, now: UnixTime) -> TipVerdict {
    let batch = LinkedBatch::new(chain.params(), vec![*header]);
    let hash = header.hash();
    if let Some(violation) = batch.failure() {
        return invalid(SyncOffence::InvalidHeader { hash, height: None, violation: *violation });
    }
    if hash == chain.tip().hash {
        return TipVerdict::Current;
    }
    if chain.contains(&hash) {
        return TipVerdict::Old;
    }
    // While we catch up, what we would call our tip is not the network's.
    if !synced {
        return TipVerdict::Unconnected;
    }
    match chain.verify_linked(batch, now) {
        Ok(verified) => match verified.change() {
            TipChange::Unchanged => TipVerdict::Old,
            TipChange::Extended { .. } | TipChange::Reorg { .. } => TipVerdict::New,
        },
        Err(error) => refused(&error),
    }
}

fn refused(error: &HeaderError) -> TipVerdict {
    match (error.violation, error.blame()) {
        (Violation::UnknownParent { .. }, _) => TipVerdict::Unconnected,
        (violation, Blame::Peer) => {
            let (hash, height) = (error.hash, error.height);
            invalid(SyncOffence::InvalidHeader { hash, height, violation })
        }
        (_, Blame::Local) => TipVerdict::Undecided,
    }
}

/// A header that only the user's checkpoint contradicts is nobody's lie.
fn invalid(offence: SyncOffence) -> TipVerdict {
    match offence.offence() {
        Offence::InvalidHeader => TipVerdict::Invalid(offence),
        Offence::TooManyHeaders
        | Offence::Oversized
        | Offence::ProtocolViolation
        | Offence::BadChecksum
        | Offence::WrongNetwork
        | Offence::Stalled
        | Offence::FalseFilter
        | Offence::FalseChunk => TipVerdict::Undecided,
    }
}

#[cfg(test)]
#[path = "tip_tests.rs"]
mod tests;

//! What an operator may have to prove later, written down so that a change to it shows: start and
//! stop, peers that were shut out, breakers that tripped, deep reorgs, repairs of the store, flips of
//! flags.
//!
//! Purpose: one handle, [`NodeAudit`], that each place tells what happened there. The log is that of
//! [`ironlight_hardening::audit`], in the folder `audit` of a network's directory; without the
//! feature `audit`, and without a directory, the handle does nothing.
//!
//! Invariants:
//! - Telling never waits, and never fails for the one who tells.
//! - A log that cannot be opened does not stop the node: another one goes on beside it
//!   (`audit.fallback`), or none, and the node's notes say so.
//! - The log ends before the store is given up, so that the next node in the directory finds both free.
//!
//! What an attacker can grow: records of peers, 1,000 at once and then one in 15 seconds, of each of
//! the three kinds; what is left out is counted in the next record of that kind. With all of them
//! kept busy that is about 17,000 records, 8 MB, a day, and a third of it once the file is compressed,
//! which it is after 8 MB. The other records follow what an operator does, or cost work. Nothing is
//! deleted here: old compressed files are the operator's to take away.

#[cfg(feature = "audit")]
mod kept;
#[cfg(feature = "audit")]
pub(crate) mod key;
#[cfg(not(feature = "audit"))]
mod none;

use std::fmt;

use ironlight_spv::UnixTime;
use ironlight_spv::peers::Verdict;

#[cfg(feature = "audit")]
pub(crate) use kept::{FALLBACK, FOLDER, NodeAudit, log_name};
#[cfg(not(feature = "audit"))]
pub(crate) use none::NodeAudit;

/// What became of a peer that did something wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Penalty {
    /// Its connection was closed.
    Dropped,
    /// Its identity is refused from now on.
    Blocked,
    /// Its address is refused until then.
    Banned {
        /// The end of it.
        until: UnixTime,
    },
}

impl From<Verdict> for Penalty {
    /// For a peer whose connection is being closed.
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Keep | Verdict::Drop => Self::Dropped,
            Verdict::Ban { until } => Self::Banned { until },
        }
    }
}

impl fmt::Display for Penalty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dropped => "dropped",
            Self::Blocked => "blocked",
            Self::Banned { .. } => "banned",
        })
    }
}

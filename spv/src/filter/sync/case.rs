//! A case: a height at which peers claim different filters, and what is known of it so far.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use bitcoin::BlockHash;

use super::action::{FilterOffence, FilterRequestId};
use crate::filter::evidence::{BlockEvidence, FilterVerdict};
use crate::filter::{FilterHash, FilterHeaderChain};
use crate::header::BlockHeight;
use crate::peers::PeerId;

/// A question that is asked of one peer after the other.
#[derive(Debug, Default)]
pub(super) struct Fetch {
    pub(super) asked: Option<FilterRequestId>,
    pub(super) tried: BTreeSet<PeerId>,
}

#[derive(Debug)]
pub(super) enum SideState {
    /// Its filter is not here yet.
    Open(Fetch),
    /// Its filter waits for the block.
    Held(Vec<u8>),
    /// Its filter was not proved false.
    Stands,
    False(FilterOffence),
    /// Nobody serves its filter.
    Unserved,
}

#[derive(Debug)]
pub(super) struct Side {
    /// Ours is only known once it is here.
    pub(super) hash: Option<FilterHash>,
    pub(super) state: SideState,
}

impl Side {
    pub(super) fn new(hash: Option<FilterHash>) -> Self {
        Self { hash, state: SideState::Open(Fetch::default()) }
    }

    pub(super) const fn is_settled(&self, blockless: bool) -> bool {
        match self.state {
            SideState::Open(_) => false,
            SideState::Held(_) => blockless,
            SideState::Stands | SideState::False(_) | SideState::Unserved => true,
        }
    }

    pub(super) const fn stands(&self) -> bool {
        matches!(self.state, SideState::Stands | SideState::Held(_))
    }
}

#[derive(Debug)]
pub(super) enum Evidence {
    Open(Fetch),
    Block(Box<BlockEvidence>),
    /// Nobody has the block.
    Unserved,
}

/// A height at which peers differ.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) block_hash: BlockHash,
    pub(super) evidence: Evidence,
    pub(super) ours: Side,
    pub(super) theirs: Vec<Side>,
}

impl Case {
    pub(super) fn new(block_hash: BlockHash) -> Self {
        let evidence = Evidence::Open(Fetch::default());
        Self { block_hash, evidence, ours: Side::new(None), theirs: Vec::new() }
    }

    pub(super) fn sides(&mut self) -> impl Iterator<Item = &mut Side> {
        core::iter::once(&mut self.ours).chain(&mut self.theirs)
    }

    pub(super) fn side(&mut self, hash: Option<FilterHash>) -> Option<&mut Side> {
        match hash {
            None => Some(&mut self.ours),
            Some(hash) => self.theirs.iter_mut().find(|side| side.hash == Some(hash)),
        }
    }

    pub(super) fn give_back(&mut self, id: FilterRequestId) {
        if let Evidence::Open(fetch) = &mut self.evidence
            && fetch.asked == Some(id)
        {
            fetch.asked = None;
        }
        for side in self.sides() {
            if let SideState::Open(fetch) = &mut side.state
                && fetch.asked == Some(id)
            {
                fetch.asked = None;
            }
        }
    }

    /// Judges what is here; `filters` are our filter headers.
    pub(super) fn judge(&mut self, height: u32, filters: &FilterHeaderChain) {
        let Evidence::Block(evidence) = &self.evidence else { return };
        let block_hash = self.block_hash;
        let at = BlockHeight(height);
        for side in core::iter::once(&mut self.ours).chain(&mut self.theirs) {
            let exact = evidence.exact();
            if let Some(expected) = exact {
                // Where the filter is known, a claim needs no filter to be judged.
                let right = match side.hash {
                    Some(hash) => hash == expected,
                    None => filters.commits_to(at, &expected),
                };
                if right {
                    side.state = SideState::Stands;
                    continue;
                }
            }
            let verdict = match (&side.state, exact) {
                (SideState::Held(filter), _) => evidence.judge(filter),
                (SideState::Open(_), Some(expected)) => FilterVerdict::NotTheFilter { expected },
                (
                    SideState::Open(_)
                    | SideState::Stands
                    | SideState::False(_)
                    | SideState::Unserved,
                    _,
                ) => continue,
            };
            side.state = match verdict {
                FilterVerdict::Proved | FilterVerdict::Unrefuted { .. } => SideState::Stands,
                FilterVerdict::Omits { script } => {
                    SideState::False(FilterOffence::Omission { height: at, block_hash, script })
                }
                FilterVerdict::Malformed(error) => {
                    SideState::False(FilterOffence::Malformed { height: at, block_hash, error })
                }
                FilterVerdict::NotTheFilter { expected } => {
                    let got = side.hash;
                    SideState::False(FilterOffence::NotTheFilter {
                        height: at,
                        block_hash,
                        expected,
                        got,
                    })
                }
            };
        }
    }
}

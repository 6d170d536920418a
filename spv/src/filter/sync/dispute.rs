//! Peers that differ: both filters and the block are fetched, and what the block proves decides.
//!
//! A case is a height at which peers claim other filters than ours. Each filter in it is a side: ours,
//! for which those speak that agree with us, and theirs. A side falls when its filter is proved false,
//! and with it all that claimed it; or when nobody serves it, which proves nothing, so that its
//! claimants are only asked again later. Where two sides stand, the block is undecided.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use bitcoin::BlockHash;

use super::action::{FilterEvent, FilterOffence, Revision, Settlement};
use super::case::{Case, Evidence, Side, SideState};
use super::machine::FilterSync;
use super::peer::{Peer, Place, Stand};
use crate::chain::HeaderChain;
use crate::filter::FilterError;
use crate::filter::FilterHash;
use crate::filter::header_chain::link;
use crate::header::BlockHeight;
use crate::peers::PeerId;
use crate::time::Now;

/// Headers that a peer is asked for after a dispute, doubled with each answer that leads to none.
const SHORT_STRIDE: u32 = 8;
/// Verdicts that are remembered; the oldest is forgotten first.
const MAX_KNOWN: usize = 256;

/// What was found out about a claim.
#[derive(Clone, Debug)]
pub(super) enum Known {
    False(FilterOffence),
    Undecided,
}

impl FilterSync {
    /// What is known of a claim.
    pub(super) fn known(
        &self,
        chain: &HeaderChain,
        height: u32,
        hash: &FilterHash,
    ) -> Option<&Known> {
        let mut of_hash = self.known.iter().filter(|(_, known, _)| known == hash).peekable();
        of_hash.peek()?;
        let block_hash = chain.hash_at(BlockHeight(height))?;
        of_hash.find(|(block, ..)| *block == block_hash).map(|(.., known)| known)
    }

    /// The first of these hashes that is known to be a lie.
    pub(super) fn known_lie(
        &self,
        chain: &HeaderChain,
        start: u32,
        hashes: &[FilterHash],
    ) -> Option<FilterOffence> {
        if self.known.is_empty() {
            return None;
        }
        (start..).zip(hashes).find_map(|(height, hash)| match self.known(chain, height, hash) {
            Some(Known::False(offence)) => Some(offence.clone()),
            Some(Known::Undecided) | None => None,
        })
    }

    fn remember(&mut self, block_hash: BlockHash, hash: FilterHash, known: Known) {
        if self.known.len() >= MAX_KNOWN {
            self.known.pop_front();
        }
        self.known.push_back((block_hash, hash, known));
    }

    /// A peer claims another filter than ours.
    pub(super) fn dispute(
        &mut self,
        chain: &HeaderChain,
        id: PeerId,
        place: Place,
        hash: FilterHash,
        now: Now,
    ) {
        if !self.config.defences.evidence {
            return self.lapse(id, now);
        }
        let height = place.next;
        if let Some(Known::False(offence)) = self.known(chain, height, &hash) {
            let offence = offence.clone();
            return self.blame(id, offence, now);
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.stand = Stand::Disputes { height, before: place.header, hash };
            peer.stride = SHORT_STRIDE;
            self.tell(FilterEvent::Disputed { peer: id, height: BlockHeight(height) });
        }
    }

    pub(super) fn claimants(&self, height: u32, hash: FilterHash) -> Vec<PeerId> {
        let claims = |peer: &Peer| match peer.stand {
            Stand::Disputes { height: at, hash: theirs, .. } => at == height && theirs == hash,
            Stand::Unheard | Stand::Holds(_) | Stand::Differs { .. } | Stand::Refused => false,
        };
        self.peers.iter().filter(|(_, peer)| claims(peer)).map(|(id, _)| *id).collect()
    }

    /// Those that stand by our filter at a height.
    pub(super) fn holders(&self, height: u32) -> Vec<PeerId> {
        let holds = |peer: &Peer| match peer.stand {
            // Who is on another side somewhere may be so here.
            Stand::Holds(place) if self.undecided.contains(&height) => {
                place.next > height && self.is_ours(&place)
            }
            Stand::Holds(place) => place.next > height,
            Stand::Unheard | Stand::Differs { .. } | Stand::Disputes { .. } | Stand::Refused => {
                false
            }
        };
        self.peers.iter().filter(|(_, peer)| holds(peer)).map(|(id, _)| *id).collect()
    }

    /// Whether somebody may turn out to stand by our filter at a height, and is being asked.
    pub(super) fn may_be_held(&self, height: u32) -> bool {
        self.peers.values().any(|peer| {
            let reaches = self.reach(peer).is_some_and(|reach| reach >= height);
            let open = match peer.stand {
                Stand::Unheard => true,
                Stand::Holds(place) => place.next <= height,
                Stand::Differs { .. } | Stand::Disputes { .. } | Stand::Refused => false,
            };
            open && reaches && peer.answers()
        })
    }

    /// Opens cases for what peers dispute, and goes on with all.
    pub(super) fn drive_cases(&mut self, chain: &HeaderChain, now: Now) {
        let disputes = self.peers.values().filter_map(|peer| match peer.stand {
            Stand::Disputes { height, hash, .. } => Some((height, hash)),
            Stand::Unheard | Stand::Holds(_) | Stand::Differs { .. } | Stand::Refused => None,
        });
        let disputes: BTreeSet<_> = disputes.collect();
        self.cases.retain(|height, case| {
            case.theirs
                .retain(|side| side.hash.is_some_and(|hash| disputes.contains(&(*height, hash))));
            !case.theirs.is_empty()
        });
        for (height, hash) in disputes {
            let Some(block_hash) = chain.hash_at(BlockHeight(height)) else { continue };
            if !self.cases.contains_key(&height) && self.cases.len() >= self.config.max_cases {
                continue;
            }
            let case = self.cases.entry(height).or_insert_with(|| Case::new(block_hash));
            if case.side(Some(hash)).is_none() {
                case.theirs.push(Side::new(Some(hash)));
            }
        }
        let heights: Vec<_> = self.cases.keys().copied().collect();
        for height in heights {
            // A case that is settled may have ended others above it.
            if let Some(case) = self.cases.remove(&height) {
                self.step(chain, height, case, now);
            }
        }
    }

    /// Goes on with a case, and keeps it where it is not settled.
    fn step(&mut self, chain: &HeaderChain, height: u32, mut case: Case, now: Now) {
        case.judge(height, &self.filters);
        self.drop_lies(height, &mut case, now);
        if case.theirs.is_empty() {
            return self.settle(height, Settlement::Ours);
        }
        if let SideState::False(offence) = &case.ours.state {
            let offence = offence.clone();
            return self.take_theirs(chain, height, Some(offence), now);
        }
        self.fetch_block(chain, height, &mut case, now);
        self.fetch_filters(chain, height, &mut case, now);
        let blockless = matches!(case.evidence, Evidence::Unserved);
        if case.sides().any(|side| !side.is_settled(blockless)) {
            self.cases.insert(height, case);
        } else {
            self.conclude(chain, height, case, now);
        }
    }

    /// Those who claim what is proved false are liars.
    fn drop_lies(&mut self, height: u32, case: &mut Case, now: Now) {
        let block_hash = case.block_hash;
        let mut lies = Vec::new();
        case.theirs.retain(|side| match (&side.state, side.hash) {
            (SideState::False(offence), Some(hash)) => {
                lies.push((hash, offence.clone()));
                false
            }
            (
                SideState::Open(_)
                | SideState::Held(_)
                | SideState::Stands
                | SideState::False(_)
                | SideState::Unserved,
                _,
            ) => true,
        });
        for (hash, offence) in lies {
            for id in self.claimants(height, hash) {
                self.blame(id, offence.clone(), now);
            }
            self.remember(block_hash, hash, Known::False(offence));
        }
        if let (SideState::False(offence), Some(hash)) = (&case.ours.state, case.ours.hash) {
            self.remember(block_hash, hash, Known::False(offence.clone()));
        }
    }

    /// All sides are settled, and none was proved false.
    fn conclude(&mut self, chain: &HeaderChain, height: u32, case: Case, now: Now) {
        let drops = self.config.defences.drop_unserved;
        for side in &case.theirs {
            if let (SideState::Unserved, Some(hash)) = (&side.state, side.hash) {
                for id in self.claimants(height, hash) {
                    self.lapse(id, now);
                }
            }
        }
        if !case.theirs.iter().any(Side::stands) {
            return self.settle(height, Settlement::Ours);
        }
        match (case.ours.stands(), drops) {
            (true, _) => self.leave_undecided(height, &case, now),
            (false, true) => self.take_theirs(chain, height, None, now),
            (false, false) => self.keep_ours(height, &case, now),
        }
    }

    /// Both chains stay, and the block is looked through instead of its filter.
    fn leave_undecided(&mut self, height: u32, case: &Case, now: Now) {
        if !self.config.defences.undecided_blocks {
            return self.keep_ours(height, case, now);
        }
        for side in case.theirs.iter().filter(|side| side.stands()) {
            let Some(hash) = side.hash else { continue };
            for id in self.claimants(height, hash) {
                let Some(peer) = self.peers.get_mut(&id) else { continue };
                if let Stand::Disputes { before, .. } = peer.stand {
                    let place = Place { next: height + 1, header: link(&hash, &before) };
                    peer.stand = Stand::Holds(place);
                }
            }
            self.remember(case.block_hash, hash, Known::Undecided);
        }
        self.mark_undecided(height, case.block_hash);
        self.settle(height, Settlement::Undecided);
    }

    /// What a switched-off defence leaves: who came first is right.
    fn keep_ours(&mut self, height: u32, case: &Case, now: Now) {
        for hash in case.theirs.iter().filter_map(|side| side.hash) {
            for id in self.claimants(height, hash) {
                self.lapse(id, now);
            }
        }
        self.settle(height, Settlement::Ours);
    }

    /// Our chain ends below the case: its filter was proved false, or nobody serves it.
    fn take_theirs(
        &mut self,
        chain: &HeaderChain,
        height: u32,
        offence: Option<FilterOffence>,
        now: Now,
    ) {
        // A header that was only stored may itself be what is wrong, and at an undecided block those who
        // hold our chain may have the other filter: neither proves that they claim the false one.
        let claimed = self.filters.is_linked(height) && !self.undecided.contains(&height);
        let holders = self.holders(height);
        self.roll_back(chain, height, Revision::Evidence);
        for id in holders {
            match &offence {
                Some(offence) if claimed => self.blame(id, offence.clone(), now),
                Some(_) => {}
                None => self.lapse(id, now),
            }
        }
        self.settle(height, Settlement::Theirs);
    }

    /// A filter that was handed out makes no sense. All whose headers commit to it lied.
    pub(super) fn refute(
        &mut self,
        chain: &HeaderChain,
        height: u32,
        error: FilterError,
        now: Now,
    ) {
        let Some(block_hash) = chain.hash_at(BlockHeight(height)) else { return };
        let offence = FilterOffence::Malformed { height: BlockHeight(height), block_hash, error };
        self.take_theirs(chain, height, Some(offence), now);
    }

    fn settle(&mut self, height: u32, settlement: Settlement) {
        self.tell(FilterEvent::Settled { height: BlockHeight(height), settlement });
    }
}

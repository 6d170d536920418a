//! What a case needs is asked of one peer after the other: the filters of those who claim them, the
//! block of anybody.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bitcoin::Block;

use super::action::{FilterOffence, ServedFilter};
use super::answer::Useful;
use super::ask::{InFlight, Purpose};
use super::case::{Case, Evidence, Fetch, SideState};
use super::machine::FilterSync;
use crate::chain::HeaderChain;
use crate::filter::evidence::BlockEvidence;
use crate::filter::{FilterHash, hash_of};
use crate::header::BlockHeight;
use crate::peers::PeerId;
use crate::time::Now;

/// What becomes of a fetch.
enum Next {
    Ask(PeerId),
    Wait,
    NobodyLeft,
}

impl FilterSync {
    pub(super) fn fetch_block(
        &mut self,
        chain: &HeaderChain,
        height: u32,
        case: &mut Case,
        now: Now,
    ) {
        let Evidence::Open(fetch) = &mut case.evidence else { return };
        let everybody: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| !peer.is_refused())
            .filter(|(_, peer)| self.reach(peer).is_some_and(|reach| reach >= height))
            .map(|(id, _)| *id)
            .collect();
        match self.next_of(fetch, &everybody, false) {
            Next::Ask(id) => {
                fetch.tried.insert(id);
                fetch.asked = self.ask(chain, id, Purpose::Block, height, now);
            }
            Next::Wait => {}
            Next::NobodyLeft => case.evidence = Evidence::Unserved,
        }
    }

    pub(super) fn fetch_filters(
        &mut self,
        chain: &HeaderChain,
        height: u32,
        case: &mut Case,
        now: Now,
    ) {
        let holders = self.holders(height);
        let open = self.may_be_held(height);
        for side in case.sides() {
            let SideState::Open(fetch) = &mut side.state else { continue };
            let next = match side.hash {
                Some(hash) => self.next_of(fetch, &self.claimants(height, hash), false),
                None => self.next_of(fetch, &holders, open),
            };
            match next {
                Next::Ask(id) => {
                    fetch.tried.insert(id);
                    let purpose = Purpose::Evidence { hash: side.hash };
                    fetch.asked = self.ask(chain, id, purpose, height, now);
                }
                Next::Wait => {}
                Next::NobodyLeft => side.state = SideState::Unserved,
            }
        }
    }

    fn next_of(&self, fetch: &Fetch, peers: &[PeerId], others: bool) -> Next {
        if fetch.asked.is_some() {
            return Next::Wait;
        }
        let pipelined = self.config.max_pipelined;
        let stuck = |id| self.peers.get(id).is_none_or(|peer| peer.is_stuck(pipelined));
        let untried = || peers.iter().filter(|id| !fetch.tried.contains(id) && !stuck(id));
        let available = |id: &&PeerId| {
            let peer = self.peers.get(id);
            peer.is_some_and(|peer| peer.is_available(pipelined))
        };
        let key = |id: &&PeerId| self.peers.get(id).map(|peer| (peer.lapses, peer.asked, peer.lot));
        match untried().filter(available).min_by_key(key) {
            Some(id) => Next::Ask(*id),
            None if others || untried().next().is_some() => Next::Wait,
            None => Next::NobodyLeft,
        }
    }

    /// A filter in dispute arrived.
    pub(super) fn take_evidence(
        &mut self,
        asked: &InFlight,
        hash: Option<FilterHash>,
        served: Vec<ServedFilter>,
        now: Now,
    ) -> Useful {
        let (height, block_hash) = asked.stop;
        let Some(served) = served.into_iter().next() else { return Useful::No };
        if served.block_hash != block_hash {
            return Useful::No;
        }
        let got = hash_of(&served.filter);
        let claims = match hash {
            Some(hash) => self.claimants(height, hash).contains(&asked.peer),
            None => self.holders(height).contains(&asked.peer),
        };
        let right = match hash {
            Some(hash) => got == hash,
            None => self.filters.commits_to(BlockHeight(height), &got),
        };
        if !right {
            if !claims {
                // Its claim has gone since, with the case that it was of: no fault of who answers.
                return Useful::Yes;
            }
            // What is only stored may be what is wrong.
            if hash.is_some() || self.filters.is_linked(height) {
                let height = BlockHeight(height);
                self.blame(asked.peer, FilterOffence::WrongFilter { height, block_hash }, now);
            }
            return Useful::No;
        }
        if let Some(side) = self.cases.get_mut(&height).and_then(|case| case.side(hash))
            && matches!(side.state, SideState::Open(_) | SideState::Unserved)
        {
            side.hash = Some(got);
            side.state = SideState::Held(served.filter);
        }
        Useful::Yes
    }

    /// A block in dispute arrived.
    pub(super) fn take_block(
        &mut self,
        chain: &HeaderChain,
        asked: &InFlight,
        block: &Block,
    ) -> Useful {
        let (height, block_hash) = asked.stop;
        let Some(header) = chain.get(BlockHeight(height)) else { return Useful::Yes };
        let evidence = if self.config.defences.check_block {
            BlockEvidence::new(&header.header, block, &[])
        } else {
            Ok(BlockEvidence::unchecked(block_hash, block, &[]))
        };
        let Ok(evidence) = evidence else { return Useful::No };
        if let Some(case) = self.cases.get_mut(&height) {
            case.evidence = Evidence::Block(Box::new(evidence));
        }
        Useful::Yes
    }
}

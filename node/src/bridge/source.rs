//! The chain as light nodes are served from it, and as their tips are judged by it.

use ironlight_spv::chain::{Blame, Position, Violation};
use ironlight_spv::compress;
use ironlight_spv::peers::Offence;
use ironlight_spv::sync::SyncOffence;
use ironlight_spv::{
    BlockHash, BlockHeight, Header, HeaderChain, HeaderError, LinkedBatch, TipChange, UnixTime,
};

use crate::chain::{ChainHandle, Phase};
use crate::clock::unix_now;
use crate::net::swarm::wire::{HeadersPage, HeadersRequest, MAX_PAGE, Wanted};
use crate::net::swarm::{ChainSource, ServedPage, TipVerdict};

/// See [`ChainSource`].
#[derive(Debug)]
pub(super) struct ServedChain(pub(super) ChainHandle);

impl ChainSource for ServedChain {
    fn page(&self, request: &HeadersRequest) -> Option<ServedPage> {
        self.0.read(|chain| page(chain, request))
    }

    fn judge(&self, header: &Header) -> TipVerdict {
        let synced = self.0.status().phase == Phase::Synced;
        self.0.read(|chain| judge(chain, header, synced, unix_now()))
    }
}

fn page(chain: &HeaderChain, request: &HeadersRequest) -> Option<ServedPage> {
    let most = request.most.min(MAX_PAGE);
    match &request.wanted {
        Wanted::After(locator) => {
            let best = |hash| chain.find(hash).filter(|(_, at)| *at == Position::Best);
            let (last_common, _) = locator.iter().find_map(best)?;
            Some(run(chain, last_common.height.next(), most))
        }
        Wanted::From(height) => {
            let held = chain.start_height()..=chain.tip().height;
            held.contains(height).then(|| run(chain, *height, most))
        }
        Wanted::Exactly(hash) => {
            let (entry, _) = chain.find(hash)?;
            Some(one(chain, entry.height, &entry.header))
        }
    }
}

/// Headers of the best chain from a height on; none at the tip.
fn run(chain: &HeaderChain, first: BlockHeight, most: u32) -> ServedPage {
    let tip = chain.tip().height;
    let end = first.plus(most).min(tip.next());
    let count = end.0.saturating_sub(first.0);
    let before = first.minus(1).and_then(|before| chain.hash_at(before));
    let segment = match count {
        0 => Vec::new(),
        _ => compress::encode(before.unwrap_or_else(no_parent), chain.bodies(first..end)),
    };
    ServedPage { body: HeadersPage::encode(tip, first, &segment), count }
}

fn one(chain: &HeaderChain, height: BlockHeight, header: &Header) -> ServedPage {
    let segment = compress::encode(header.prev_hash(), std::iter::once(header.into()));
    ServedPage { body: HeadersPage::encode(chain.tip().height, height, &segment), count: 1 }
}

/// Genesis has no parent.
fn no_parent() -> BlockHash {
    bitcoin::hashes::Hash::all_zeros()
}

fn judge(chain: &HeaderChain, header: &Header, synced: bool, now: UnixTime) -> TipVerdict {
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
        | Offence::Stalled => TipVerdict::Undecided,
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;

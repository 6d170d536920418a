//! The chain as light nodes are served from it, and as their tips are judged by it.

use ironlight_spv::chain::Position;
use ironlight_spv::compress;
use ironlight_spv::sync::{TipVerdict, judge_tip};
use ironlight_spv::{BlockHash, BlockHeight, Header, HeaderChain};

use crate::chain::{ChainHandle, Phase};
use crate::clock::unix_now;
use crate::net::swarm::wire::{HeadersPage, HeadersRequest, MAX_PAGE, Wanted};
use crate::net::swarm::{ChainSource, ServedPage};

/// See [`ChainSource`].
#[derive(Debug)]
pub(super) struct ServedChain(pub(super) ChainHandle);

impl ChainSource for ServedChain {
    fn page(&self, request: &HeadersRequest) -> Option<ServedPage> {
        self.0.read(|chain| page(chain, request))
    }

    fn judge(&self, header: &Header) -> TipVerdict {
        let synced = self.0.status().phase == Phase::Synced;
        self.0.read(|chain| judge_tip(chain, header, synced, unix_now()))
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

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;

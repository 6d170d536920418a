//! Which of the filters that are there match.

use std::ops::Range;

use bitcoin::{BlockHash, ScriptBuf};
use ironlight_spv::BlockHeight;
use ironlight_spv::filter::{Filter, FilterKey, MatchScratch, ScriptSet};

use crate::chain::ChainHandle;
use crate::filters::Filters;
use crate::store::StoreError;
use crate::store::filters::StoredFilter;
use crate::wallet::BlockId;

/// What was found in a run of filters.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Matches {
    /// The first of them is not there yet, or its branch is just being left.
    NotYet,
    /// What is stored of the first cannot be read.
    Lost,
    /// They were looked at up to this block.
    UpTo {
        /// The last that was looked at.
        last: BlockId,
        /// Blocks to be looked into, ascending.
        blocks: Vec<BlockId>,
    },
}

/// Matches the filters of heights that follow each other with scripts, as far as they are there. It
/// blocks.
///
/// # Errors
/// [`StoreError`]
pub(super) fn find(
    filters: &Filters,
    chain: &ChainHandle,
    heights: Range<BlockHeight>,
    scripts: &[ScriptBuf],
) -> Result<Matches, StoreError> {
    let branch = filters.tip();
    let hashes = chain.read(|chain| {
        let at = |height| chain.hash_at(BlockHeight(height));
        let same = Some(chain.tip().hash) == branch;
        same.then(|| (heights.start.0..heights.end.0).map_while(at).collect::<Vec<_>>())
    });
    let Some(hashes) = hashes else { return Ok(Matches::NotYet) };
    let found = filters.read(heights.clone())?;
    let is_lost = found.is_empty() && filters.readable_to(heights.start) > heights.start;
    // Filters that were read while the chain changed may be those of another branch.
    if filters.tip() != branch {
        return Ok(Matches::NotYet);
    }
    if is_lost {
        return Ok(Matches::Lost);
    }
    let mut set = ScriptSet::new();
    for script in scripts {
        set.push(script);
    }
    let mut scratch = MatchScratch::new();
    let looked_at = (heights.start.0..).map(BlockHeight).zip(hashes).zip(found);
    let (mut last, mut blocks) = (None, Vec::new());
    for ((height, hash), filter) in looked_at {
        let block = BlockId { height, hash };
        if is_match(filter, hash, &set, &mut scratch) {
            blocks.push(block);
        }
        last = Some(block);
    }
    Ok(last.map_or(Matches::NotYet, |last| Matches::UpTo { last, blocks }))
}

/// Whether a block has to be looked into. One whose filter makes no sense has to: its header commits
/// to it, so nobody has a better one.
fn is_match(
    filter: StoredFilter,
    block: BlockHash,
    scripts: &ScriptSet,
    scratch: &mut MatchScratch,
) -> bool {
    match filter {
        StoredFilter::Undecided => true,
        StoredFilter::Filter(bytes) => {
            let filter = Filter::decode(FilterKey::new(block), bytes);
            filter.and_then(|filter| filter.match_any(scripts, scratch)).unwrap_or(true)
        }
    }
}

//! The next step of following the chain: filters to match, or a block to look into.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::{BlockHash, ScriptBuf};
use ironlight_spv::BlockHeight;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::matching::{self, Matches};
use crate::blocks::{BlockError, Blocks, Cause, VerifiedBlock};
use crate::chain::ChainHandle;
use crate::filters::Filters;
use crate::store::StoreError;
use crate::tasks::joined;
use crate::wallet::{BlockId, ScanRange};

/// Filters that are matched in one step at first, and at most.
const STEP: Range<u32> = 50..2000;
/// Blocks that are fetched ahead of the one that is looked into.
const AHEAD: usize = 8;
/// How long a block is waited for before the chain is looked at again.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a step came to.
#[derive(Debug)]
pub(super) enum Found {
    /// The filters are not there yet.
    NotYet,
    /// What is stored of this height cannot be read.
    Lost { height: BlockHeight },
    /// Filters were matched.
    Matched { range: ScanRange, last: BlockId, blocks: Vec<BlockId> },
    /// A block that matched.
    Block { range: ScanRange, at: BlockId, block: Arc<VerifiedBlock> },
    /// It cannot be had at the moment.
    NoBlock { at: BlockId, error: BlockError },
}

/// A step under way. Dropping it loses nothing.
pub(super) type Step = AbortOnDropHandle<Result<Found, StoreError>>;

/// Where the wallet is within a range.
#[derive(Debug)]
pub(super) struct Scan {
    range: ScanRange,
    /// Blocks that matched and were not looked into, ascending.
    blocks: VecDeque<BlockId>,
    /// The last block whose filter was matched.
    matched_to: BlockId,
    /// Those of the next blocks that are being fetched, or were; given up with the scan.
    ahead: BTreeMap<BlockHash, AbortOnDropHandle<()>>,
}

impl Scan {
    pub(super) fn new(range: ScanRange, matched_to: BlockId, blocks: Vec<BlockId>) -> Self {
        Self { range, blocks: blocks.into(), matched_to, ahead: BTreeMap::new() }
    }

    /// The block that was looked into is done.
    pub(super) fn done(&mut self, at: BlockId) {
        self.blocks.retain(|block| *block != at);
    }

    /// Where all blocks are done, up to where.
    pub(super) fn finished(&self) -> Option<(&ScanRange, BlockId)> {
        self.blocks.is_empty().then_some((&self.range, self.matched_to))
    }
}

/// What steps are made with.
#[derive(Clone, Debug)]
pub(super) struct Scanner {
    pub(super) filters: Filters,
    pub(super) blocks: Blocks,
    pub(super) chain: ChainHandle,
    /// Filters in the next step: more where few match.
    width: u32,
}

impl Scanner {
    pub(super) const fn new(filters: Filters, blocks: Blocks, chain: ChainHandle) -> Self {
        Self { filters, blocks, chain, width: STEP.start }
    }

    /// Matches the next filters of a range; with its scripts, those of transactions that wait.
    pub(super) fn find(&self, range: ScanRange, more: &[ScriptBuf]) -> Step {
        let Self { filters, chain, .. } = self.clone();
        let heights = range.from..range.to.next().min(range.from.plus(self.width));
        let scripts = [&range.scripts[..], more].concat();
        let height = heights.start;
        begun(async move {
            let found = tokio::task::spawn_blocking(move || {
                matching::find(&filters, &chain, heights, &scripts)
            });
            match joined(found).await? {
                Matches::NotYet => Ok(Found::NotYet),
                Matches::Lost => Ok(Found::Lost { height }),
                Matches::UpTo { last, blocks } => Ok(Found::Matched { range, last, blocks }),
            }
        })
    }

    /// Adapts the width of steps to how many filters match.
    pub(super) fn adapt(&mut self, matches: usize) {
        let width = if matches > AHEAD { self.width / 2 } else { self.width.saturating_mul(2) };
        self.width = width.clamp(STEP.start, STEP.end);
    }

    /// Fetches the next block of a scan, and a few ahead of it.
    pub(super) fn fetch(&self, scan: &mut Scan) -> Option<Step> {
        let at = *scan.blocks.front()?;
        let next: Vec<BlockHash> = scan.blocks.iter().take(1 + AHEAD).map(|it| it.hash).collect();
        scan.ahead.retain(|hash, _| next.contains(hash));
        for hash in next.into_iter().skip(1) {
            let blocks = self.blocks.clone();
            // For the cache; whether it came is seen when its turn comes.
            let fetch = async move { drop(blocks.get(hash, Cause::Own, soon()).await) };
            let begin = || AbortOnDropHandle::new(tokio::spawn(fetch));
            scan.ahead.entry(hash).or_insert_with(begin);
        }
        let (blocks, range) = (self.blocks.clone(), scan.range.clone());
        Some(begun(async move {
            Ok(match blocks.get(at.hash, Cause::Own, soon()).await {
                Ok(block) => Found::Block { range, at, block },
                Err(error) => Found::NoBlock { at, error },
            })
        }))
    }

    /// The block at a height of the best chain.
    pub(super) fn block_at(&self, height: BlockHeight) -> Option<BlockId> {
        let hash = self.chain.read(|chain| chain.hash_at(height))?;
        Some(BlockId { height, hash })
    }
}

fn begun(step: impl Future<Output = Result<Found, StoreError>> + Send + 'static) -> Step {
    AbortOnDropHandle::new(tokio::spawn(step))
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

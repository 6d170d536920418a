//! `GET /v1/filters/check?from=HEIGHT&to=HEIGHT&blocks=true`: reads stored filters again and checks them
//! against their headers, and against their blocks: those that are at hand, or with `blocks` all.
//!
//! One answer is about [`MAX_HEIGHTS`], or as many as were done in [`MAX_TIME`]; it says where to go on.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use bitcoin::BlockHash;
use ironlight_spv::BlockHeight;
use serde::Deserialize;
use tokio::time::Instant;

use super::network;
use crate::api::dto::FiltersCheckDto;
use crate::api::error::ApiError;
use crate::blocks::{Blocks, Cause, VerifiedBlock};
use crate::chain::{ChainHandle, Stopped};
use crate::filters::{CheckedFilters, Filters};

/// Heights of one answer.
const MAX_HEIGHTS: u32 = 1_000;
/// Time for one answer; a block that is waited for may take as long again.
const MAX_TIME: Duration = Duration::from_secs(4);
/// How long a block is waited for.
const PATIENCE: Duration = Duration::from_secs(4);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Asked {
    from: Option<u32>,
    to: Option<u32>,
    #[serde(default)]
    blocks: bool,
}

pub(in crate::api) async fn get(
    State(filters): State<Filters>,
    State(chain): State<ChainHandle>,
    State(blocks): State<Blocks>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<FiltersCheckDto>, ApiError> {
    let Query(asked) = query?;
    let heights = heights(&asked, &filters, &chain)?;
    let end = heights.end.min(heights.start.plus(MAX_HEIGHTS));
    let check = Check { filters, chain, blocks, branch: None };
    let check = Check { branch: check.filters.tip(), ..check };
    let checked = if asked.blocks {
        check.with_blocks(heights.start..end).await?
    } else {
        let block = {
            let check = check.clone();
            move |height| check.blocks.at_hand(&check.hash_at(height)?)
        };
        check.add(CheckedFilters::from(heights.start), end, block).await?
    };
    let next = Some(checked.heights.end).filter(|next| *next < heights.end);
    Ok(Json(FiltersCheckDto::of(&checked, next)))
}

/// The heights that are asked for; all that are held where nothing is said.
fn heights(
    asked: &Asked,
    filters: &Filters,
    chain: &ChainHandle,
) -> Result<Range<BlockHeight>, ApiError> {
    let held = filters.held();
    let (Some(first), Some(last)) = (held.first(), held.last()) else {
        return Err(ApiError::NoFilters { network: network(chain) });
    };
    let from = asked.from.map_or(first.start, BlockHeight);
    let end = asked.to.map_or(last.end, |to| BlockHeight(to).next());
    let tip = chain.tip().height;
    if let Some(height) = asked.to.filter(|to| *to > tip.0) {
        return Err(ApiError::UnknownHeight { height, tip: tip.0 });
    }
    if from >= end {
        let expected = "a height that is not above that of `to`";
        return Err(ApiError::Parameter { name: "from", value: from.to_string(), expected });
    }
    Ok(from..end)
}

#[derive(Clone)]
struct Check {
    filters: Filters,
    chain: ChainHandle,
    blocks: Blocks,
    /// The tip of the filters' branch when it began.
    branch: Option<BlockHash>,
}

impl Check {
    fn hash_at(&self, height: BlockHeight) -> Option<BlockHash> {
        self.chain.read(|chain| chain.hash_at(height))
    }

    /// Whether filters and chain are those that they were when it began, on the same branch.
    fn stands(&self) -> bool {
        self.branch == Some(self.chain.tip().hash) && self.filters.tip() == self.branch
    }

    /// Checks further heights off the async threads.
    async fn add(
        &self,
        mut checked: CheckedFilters,
        end: BlockHeight,
        block: impl Fn(BlockHeight) -> Option<Arc<VerifiedBlock>> + Send + 'static,
    ) -> Result<CheckedFilters, ApiError> {
        let check = self.clone();
        let checking = tokio::task::spawn_blocking(move || {
            let hash_at = |height| check.hash_at(height);
            let done = check.filters.check(&mut checked, end, block, hash_at);
            done.map(|()| checked)
        });
        let checked = checking.await.map_err(|_stopping| Stopped)??;
        // Filters that were read while the chain changed may be those of another branch.
        if self.stands() { Ok(checked) } else { Err(ApiError::FiltersMoving) }
    }

    /// Fetches block after block, so that one is in memory at a time.
    async fn with_blocks(&self, heights: Range<BlockHeight>) -> Result<CheckedFilters, ApiError> {
        let began = Instant::now();
        let mut checked = CheckedFilters::from(heights.start);
        while checked.heights.end < heights.end && began.elapsed() < MAX_TIME {
            let height = checked.heights.end;
            let hash = self.hash_at(height).ok_or(ApiError::FiltersMoving)?;
            let fetched = self.blocks.get(hash, Cause::Own, Instant::now() + PATIENCE).await;
            let block = fetched.ok();
            checked.without_block += u32::from(block.is_none());
            checked = self.add(checked, height.next(), move |_| block.clone()).await?;
        }
        Ok(checked)
    }
}

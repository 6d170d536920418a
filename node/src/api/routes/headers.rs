//! `GET /v1/headers/{id}`: a header by height on the best chain, or by hash on any branch.

use axum::Json;
use axum::extract::{Path, State};
use ironlight_spv::chain::Position;
use ironlight_spv::{BlockHash, BlockHeight, HeaderChain, IndexedHeader};

use crate::api::dto::HeaderDto;
use crate::api::error::ApiError;
use crate::chain::ChainHandle;

pub(in crate::api) async fn get(
    State(chain): State<ChainHandle>,
    Path(id): Path<String>,
) -> Result<Json<HeaderDto>, ApiError> {
    // Header and tip of the same moment, or the confirmations would be wrong during a reorg.
    let (found, tip) = chain.read(|chain| (find(chain, id), chain.tip()));
    let (entry, position) = found?;
    Ok(Json(HeaderDto::of(&entry, position, tip)))
}

fn find(chain: &HeaderChain, id: String) -> Result<(IndexedHeader, Position), ApiError> {
    // A hash first: one of digits only would read as a height, too.
    if let Ok(hash) = id.parse::<BlockHash>() {
        return chain.find(&hash).ok_or(ApiError::UnknownHash { hash });
    }
    let Ok(height) = id.parse() else { return Err(ApiError::NotAHeader { id }) };
    let tip = chain.tip().height;
    let entry = chain.get(BlockHeight(height));
    entry.map(|entry| (entry, Position::Best)).ok_or(ApiError::UnknownHeight { height, tip: tip.0 })
}

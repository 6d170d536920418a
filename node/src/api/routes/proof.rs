//! `GET /v1/tx/{txid}/proof?block=HASH` or `?height=N`: proves that a transaction is in a block of the best
//! chain. Of a transaction of what is watched the block is known.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use ironlight_spv::{BlockHash, BlockHeight};
use serde::Deserialize;

use super::txid;
use crate::api::dto::ProofDto;
use crate::api::error::ApiError;
use crate::chain::ChainHandle;
use crate::wallet::service::WalletHandle;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct InBlock {
    block: Option<String>,
    height: Option<u32>,
}

pub(in crate::api) async fn get(
    State(wallet): State<WalletHandle>,
    State(chain): State<ChainHandle>,
    Path(id): Path<String>,
    query: Result<Query<InBlock>, QueryRejection>,
) -> Result<Json<ProofDto>, ApiError> {
    let Query(place) = query?;
    let (txid, block) = (txid(&id)?, block(&chain, place)?);
    Ok(Json(ProofDto::of(&wallet.prove(txid, block).await?)))
}

fn block(chain: &ChainHandle, place: InBlock) -> Result<Option<BlockHash>, ApiError> {
    match place {
        InBlock { block: None, height: None } => Ok(None),
        InBlock { block: Some(id), height: None } => match id.parse() {
            Ok(hash) => Ok(Some(hash)),
            Err(_) => Err(ApiError::NotAHeader { id }),
        },
        InBlock { block: None, height: Some(height) } => {
            let hash = chain.read(|chain| chain.hash_at(BlockHeight(height)));
            let tip = chain.tip().height.0;
            hash.map(Some).ok_or(ApiError::UnknownHeight { height, tip })
        }
        InBlock { block: Some(value), height: Some(_) } => {
            let expected = "a block or a height, not both";
            Err(ApiError::Parameter { name: "block", value, expected })
        }
    }
}

//! `POST /v1/rescan`: looks at blocks again, in the background.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use ironlight_spv::BlockHeight;

use crate::api::dto::{RescanDto, ScanDto};
use crate::api::error::ApiError;
use crate::chain::ChainHandle;
use crate::wallet::service::WalletHandle;
use crate::wallet::watch::WatchId;

pub(in crate::api) async fn post(
    State(wallet): State<WalletHandle>,
    State(chain): State<ChainHandle>,
    body: Result<Json<RescanDto>, JsonRejection>,
) -> Result<Json<ScanDto>, ApiError> {
    let Json(RescanDto { from, watch }) = body?;
    let tip = chain.tip().height.0;
    if from > tip {
        return Err(ApiError::UnknownHeight { height: from, tip });
    }
    wallet.rescan(watch.map(WatchId), BlockHeight(from)).await?;
    Ok(Json(super::scan(&wallet, &chain)))
}

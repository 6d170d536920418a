//! `GET /v1/scan`: how far blocks were looked at.

use axum::Json;
use axum::extract::State;

use crate::api::dto::ScanDto;
use crate::chain::ChainHandle;
use crate::wallet::service::WalletHandle;

pub(in crate::api) async fn get(
    State(wallet): State<WalletHandle>,
    State(chain): State<ChainHandle>,
) -> Json<ScanDto> {
    Json(super::scan(&wallet, &chain))
}

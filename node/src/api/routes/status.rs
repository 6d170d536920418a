//! `GET /v1/status`: how the node stands.

use axum::Json;
use axum::extract::State;

use crate::api::dto::{FiltersDto, StatusDto, WalletStatusDto};
use crate::chain::ChainHandle;
use crate::filters::Filters;
use crate::wallet::service::WalletHandle;

pub(in crate::api) async fn get(
    State(chain): State<ChainHandle>,
    State(wallet): State<WalletHandle>,
    State(filters): State<Filters>,
) -> Json<StatusDto> {
    let scan = super::scan(&wallet, &chain);
    let wallet = WalletStatusDto::of(&wallet.watches(), &wallet.broadcasts(), scan);
    Json(StatusDto::of(&chain, wallet, FiltersDto::of(&filters)))
}

//! `GET /v1/status`: how the node stands.

use axum::Json;
use axum::extract::State;

use crate::api::dto::{BlocksDto, FiltersDto, StatusDto, WalletStatusDto};
use crate::blocks::Blocks;
use crate::chain::ChainHandle;
use crate::filters::Filters;
use crate::wallet::service::WalletHandle;

pub(in crate::api) async fn get(
    State(chain): State<ChainHandle>,
    State(wallet): State<WalletHandle>,
    State(filters): State<Filters>,
    State(blocks): State<Blocks>,
) -> Json<StatusDto> {
    let scan = super::scan(&wallet, &chain);
    let wallet = WalletStatusDto::of(&wallet.watches(), &wallet.broadcasts(), scan);
    let (filters, blocks) = (FiltersDto::of(&filters), BlocksDto::of(&blocks.report()));
    Json(StatusDto::of(&chain, wallet, filters, blocks))
}

//! `GET /v1/tip`: the last header of the best chain.

use axum::Json;
use axum::extract::State;

use crate::api::dto::TipDto;
use crate::chain::ChainHandle;

pub(in crate::api) async fn get(State(chain): State<ChainHandle>) -> Json<TipDto> {
    Json(TipDto::of(&chain.status()))
}

//! `GET /v1/status`: how the node stands.

use axum::Json;
use axum::extract::State;

use crate::api::dto::StatusDto;
use crate::chain::ChainHandle;

pub(in crate::api) async fn get(State(chain): State<ChainHandle>) -> Json<StatusDto> {
    Json(StatusDto::of(&chain))
}

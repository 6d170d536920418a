//! `GET /v1/flags`: what can be turned off; `PUT /v1/flags/{name}`: turns it off or on.

use axum::Json;
use axum::extract::{Path, State};

use crate::api::dto::{FlagDto, FlagsDto, TurnDto};
use crate::api::error::ApiError;
use crate::flags::NodeFlags;

pub(in crate::api) async fn get(State(flags): State<NodeFlags>) -> Json<FlagsDto> {
    Json(FlagsDto { flags: flags.list().iter().map(FlagDto::of).collect() })
}

pub(in crate::api) async fn put(
    State(flags): State<NodeFlags>,
    Path(name): Path<String>,
    Json(turn): Json<TurnDto>,
) -> Result<Json<FlagDto>, ApiError> {
    let status = flags.turn(&name, turn.on, "control socket").await?;
    Ok(Json(FlagDto::of(&status)))
}

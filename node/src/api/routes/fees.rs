//! `GET /v1/fees?target=BLOCKS`: what a transaction should pay, and what that rests on.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;

use crate::api::dto::FeesDto;
use crate::api::error::ApiError;
use crate::wallet::service::WalletHandle;

/// Blocks within which it is to confirm, where nothing is said: an hour.
const DEFAULT_TARGET: u16 = 6;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Within {
    target: Option<u16>,
}

pub(in crate::api) async fn get(
    State(wallet): State<WalletHandle>,
    query: Result<Query<Within>, QueryRejection>,
) -> Result<Json<FeesDto>, ApiError> {
    let estimate = wallet.fee_rate(query?.target.unwrap_or(DEFAULT_TARGET)).await?;
    Ok(Json(FeesDto::of(&estimate)))
}

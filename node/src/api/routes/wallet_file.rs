//! `GET /v1/wallet/export?height=HEIGHT` and `POST /v1/wallet/import`: the wallet as one file, whose
//! bytes are the body. `DELETE /v1/wallet/claim` drops what the last file claims.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use ironlight_spv::BlockHeight;
use serde::Deserialize;

use crate::api::Importing;
use crate::api::dto::{ForgottenClaimDto, ImportedDto};
use crate::api::error::ApiError;
use crate::wallet::file::{FileError, MAX_FILE_BYTES};
use crate::wallet::service::{WalletError, WalletHandle};

/// How long a file may take to come, of a client on this machine.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Asked {
    height: Option<u32>,
}

pub(in crate::api) async fn export(
    State(wallet): State<WalletHandle>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(Asked { height }) = query?;
    let exported = wallet.export(height.map(BlockHeight)).await?;
    Ok(([(CONTENT_TYPE, "application/octet-stream")], exported.bytes).into_response())
}

pub(in crate::api) async fn import(
    State(wallet): State<WalletHandle>,
    State(importing): State<Importing>,
    body: Body,
) -> Result<Json<ImportedDto>, ApiError> {
    // One at a time: a file is larger than any other body.
    let importing = importing.try_acquire_owned().map_err(|_held| ApiError::Importing)?;
    let reading = axum::body::to_bytes(body, MAX_FILE_BYTES);
    let bytes = match tokio::time::timeout(PATIENCE, reading).await {
        Ok(Ok(bytes)) => bytes.to_vec(),
        Ok(Err(_)) => {
            let (bytes, limit) = (MAX_FILE_BYTES.saturating_add(1), MAX_FILE_BYTES);
            return Err(WalletError::from(FileError::TooLarge { bytes, limit }).into());
        }
        Err(_elapsed) => return Err(ApiError::BodyLate),
    };
    let imported = wallet.import(bytes).await?;
    drop(importing);
    Ok(Json(ImportedDto::of(&imported)))
}

pub(in crate::api) async fn forget_claim(
    State(wallet): State<WalletHandle>,
) -> Result<Json<ForgottenClaimDto>, ApiError> {
    Ok(Json(ForgottenClaimDto { block: wallet.forget_claim().await?.into() }))
}

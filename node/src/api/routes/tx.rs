//! `/v1/tx`: transactions that are brought to the network. `POST` sends one, `GET` lists them all, `GET
//! /v1/tx/{txid}` says what is known of one, `DELETE` follows it no more.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use bitcoin::consensus::serialize;
use bitcoin::hex::{DisplayHex as _, FromHex as _};

use super::txid;
use crate::api::dto::{
    BroadcastDto, BroadcastsDto, ConfirmedDto, ForgottenDto, PendingDto, SendDto, SubmittedDto,
    WalletTransactionDto,
};
use crate::api::error::ApiError;
use crate::chain::ChainHandle;
use crate::wallet::StoredTransaction;
use crate::wallet::service::WalletHandle;

pub(in crate::api) async fn post(
    State(wallet): State<WalletHandle>,
    body: Result<Json<SendDto>, JsonRejection>,
) -> Result<Json<SubmittedDto>, ApiError> {
    let Json(SendDto { hex, apart }) = body?;
    let bytes = Vec::<u8>::from_hex(hex.trim()).map_err(|error| ApiError::Parameter {
        name: "hex",
        value: error.to_string(),
        expected: "a transaction in hexadecimal",
    })?;
    let submitted = wallet.broadcast_bytes(bytes, apart).await?;
    let status = wallet.broadcast_status(&submitted.txid());
    Ok(Json(SubmittedDto::of(&submitted, status.as_ref())))
}

pub(in crate::api) async fn list(State(wallet): State<WalletHandle>) -> Json<BroadcastsDto> {
    let transactions = wallet.broadcasts().iter().map(BroadcastDto::of).collect();
    Json(BroadcastsDto { transactions })
}

pub(in crate::api) async fn get(
    State(wallet): State<WalletHandle>,
    State(chain): State<ChainHandle>,
    Path(id): Path<String>,
) -> Result<Json<WalletTransactionDto>, ApiError> {
    let txid = txid(&id)?;
    let confirmed = wallet.transaction(txid).await?.map(|stored| confirmed(&stored, &chain));
    let pending = wallet.pending(None).into_iter().find(|entry| entry.txid == txid);
    let pending = pending.as_ref().map(PendingDto::of);
    let broadcast = wallet.broadcast_status(&txid).as_ref().map(BroadcastDto::of);
    if confirmed.is_none() && pending.is_none() && broadcast.is_none() {
        return Err(ApiError::UnknownTransaction { txid });
    }
    Ok(Json(WalletTransactionDto { txid: txid.to_string(), confirmed, pending, broadcast }))
}

fn confirmed(stored: &StoredTransaction, chain: &ChainHandle) -> ConfirmedDto {
    let StoredTransaction { place, block, transaction, .. } = stored;
    ConfirmedDto {
        height: place.height.0,
        position: place.position,
        block: block.to_string(),
        confirmations: chain.tip().height.next().0.saturating_sub(place.height.0),
        hex: serialize(transaction).to_lower_hex_string(),
    }
}

pub(in crate::api) async fn forget(
    State(wallet): State<WalletHandle>,
    Path(id): Path<String>,
) -> Result<Json<ForgottenDto>, ApiError> {
    let txid = txid(&id)?;
    if wallet.forget(txid).await? {
        Ok(Json(ForgottenDto { txid: txid.to_string() }))
    } else {
        Err(ApiError::NotSent { txid })
    }
}

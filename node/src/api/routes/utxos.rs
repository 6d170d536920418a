//! `GET /v1/utxos?account=NAME`: coins that are not spent, in the order of the chain.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};

use super::{OfAccount, account, network, scan};
use crate::api::dto::{UtxoDto, UtxosDto};
use crate::api::error::ApiError;
use crate::chain::ChainHandle;
use crate::wallet::service::WalletHandle;

pub(in crate::api) async fn get(
    State(wallet): State<WalletHandle>,
    State(chain): State<ChainHandle>,
    query: Result<Query<OfAccount>, QueryRejection>,
) -> Result<Json<UtxosDto>, ApiError> {
    let account = account(&wallet, query?.account.as_deref())?;
    let network = network(&chain);
    let utxos = wallet.utxos(account.as_ref());
    let utxos = utxos.iter().map(|utxo| UtxoDto::of(utxo, network)).collect();
    Ok(Json(UtxosDto { utxos, scan: scan(&wallet, &chain) }))
}

//! `GET /v1/balance?account=NAME`: what an account has, or all of them together.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};

use super::{OfAccount, account, scan};
use crate::api::dto::{AccountBalanceDto, BalanceDto};
use crate::api::error::ApiError;
use crate::chain::ChainHandle;
use crate::wallet::service::WalletHandle;

pub(in crate::api) async fn get(
    State(wallet): State<WalletHandle>,
    State(chain): State<ChainHandle>,
    query: Result<Query<OfAccount>, QueryRejection>,
) -> Result<Json<BalanceDto>, ApiError> {
    let account = account(&wallet, query?.account.as_deref())?;
    let account = account.as_ref();
    let each = |name| AccountBalanceDto::of(name, &wallet.balance(Some(name)));
    let accounts = match account {
        Some(_) => Vec::new(),
        None => wallet.accounts().iter().map(each).collect(),
    };
    let (balance, pending) = (wallet.balance(account), wallet.pending(account));
    Ok(Json(BalanceDto::of(account, &balance, accounts, &pending, scan(&wallet, &chain))))
}

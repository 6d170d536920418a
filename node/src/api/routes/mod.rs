//! One file a route.

pub(super) mod balance;
pub(super) mod fees;
pub(super) mod filters;
pub(super) mod filters_check;
pub(super) mod flags;
pub(super) mod headers;
pub(super) mod health;
pub(super) mod history;
pub(super) mod peers;
pub(super) mod proof;
pub(super) mod rescan;
pub(super) mod scan;
pub(super) mod status;
pub(super) mod tip;
pub(super) mod tx;
pub(super) mod utxos;
pub(super) mod wallet_file;
pub(super) mod wallet_state;
pub(super) mod watch;

use axum::http::Uri;
use bitcoin::Txid;
use ironlight_spv::Network;
use serde::Deserialize;

use super::dto::ScanDto;
use super::error::ApiError;
use crate::chain::ChainHandle;
use crate::wallet::AccountName;
use crate::wallet::service::WalletHandle;

/// Any path that is no route.
pub(super) async fn unknown(uri: Uri) -> ApiError {
    ApiError::UnknownRoute { path: uri.path().to_owned() }
}

/// `?account=NAME`; none for all of them together.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfAccount {
    account: Option<String>,
}

/// An account that something is watched for: a name that was mistyped must not look like no money.
fn account(wallet: &WalletHandle, name: Option<&str>) -> Result<Option<AccountName>, ApiError> {
    let Some(name) = name else { return Ok(None) };
    let account: AccountName = name.parse()?;
    let known = wallet.accounts();
    if known.contains(&account) {
        return Ok(Some(account));
    }
    let known = known.iter().map(ToString::to_string).collect();
    Err(ApiError::UnknownAccount { account: name.to_owned(), known })
}

fn scan(wallet: &WalletHandle, chain: &ChainHandle) -> ScanDto {
    ScanDto::of(&wallet.status(), chain.tip().height)
}

fn network(chain: &ChainHandle) -> Network {
    chain.read(|chain| chain.params().network)
}

fn txid(text: &str) -> Result<Txid, ApiError> {
    text.parse().map_err(|_error| ApiError::Parameter {
        name: "txid",
        value: text.to_owned(),
        expected: "64 hexadecimal digits",
    })
}

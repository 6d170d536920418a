//! `GET /v1/wallet/state?height=HEIGHT&address=ADDRESS` or `&script=HEX`: what the wallet had at a
//! height, and what the last file claims.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use bitcoin::{Script, ScriptBuf};
use ironlight_spv::{BlockHeight, Network};
use serde::Deserialize;

use super::network;
use crate::api::dto::{ClaimDto, ScriptAtDto, StateDto, WalletStateDto};
use crate::api::error::ApiError;
use crate::chain::ChainHandle;
use crate::wallet::claim::ClaimVerdict;
use crate::wallet::service::{WalletError, WalletHandle, off_async};
use crate::wallet::watch::{TargetView, WatchTarget};

/// Differences that are listed.
const LISTED: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Asked {
    height: Option<u32>,
    address: Option<String>,
    script: Option<String>,
}

pub(in crate::api) async fn get(
    State(wallet): State<WalletHandle>,
    State(chain): State<ChainHandle>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<WalletStateDto>, ApiError> {
    let Query(asked) = query?;
    let network = network(&chain);
    let script = script(&wallet, &asked, network)?;
    let complete_to = wallet.complete_to();
    let claim = claim(&wallet, script.as_deref(), network).await?;
    let state = match asked.height.map(BlockHeight).or(complete_to) {
        Some(height) => {
            let found = state(&wallet, height, script, network).await;
            unless_claimed(found, height, claim.as_ref())?
        }
        None => None,
    };
    let complete_to = complete_to.map(|height| height.0);
    Ok(Json(WalletStateDto { complete_to, state, claim }))
}

/// A height that is not complete is answered by a claim for it, if there is one that is open.
fn unless_claimed(
    found: Result<StateDto, WalletError>,
    height: BlockHeight,
    claim: Option<&ClaimDto>,
) -> Result<Option<StateDto>, WalletError> {
    match found {
        Err(WalletError::NotComplete(_))
            if claim
                .is_some_and(|claim| claim.block.height == height.0 && claim.verdict == "open") =>
        {
            Ok(None)
        }
        found => found.map(Some),
    }
}

/// A script that is watched: one that is not must not look like no money.
fn script(
    wallet: &WalletHandle,
    asked: &Asked,
    network: Network,
) -> Result<Option<ScriptBuf>, ApiError> {
    let target = match (&asked.address, &asked.script) {
        (None, None) => return Ok(None),
        (Some(address), None) => WatchTarget::address(address, network)?,
        (None, Some(script)) => WatchTarget::script_hex(script)?,
        (Some(_), Some(_)) => return Err(ApiError::StateOfWhat),
    };
    match target.view() {
        TargetView::Script(script) if wallet.is_watched(script) => Ok(Some(script.to_owned())),
        TargetView::Script(_) | TargetView::Descriptor { .. } => {
            Err(ApiError::NotWatched { target: target.to_string() })
        }
    }
}

async fn state(
    wallet: &WalletHandle,
    height: BlockHeight,
    script: Option<ScriptBuf>,
    network: Network,
) -> Result<StateDto, WalletError> {
    let wallet = wallet.clone();
    off_async(move || {
        let Some(script) = script else {
            return Ok(StateDto::of(&wallet.state_at(height)?, None));
        };
        // In one call: two could be of two branches.
        let (state, account) = wallet.state_and_account_at(&script, height)?;
        let script = ScriptAtDto::of(&script, account.as_ref(), network);
        Ok(StateDto::of(&state, Some(script)))
    })
    .await
}

async fn claim(
    wallet: &WalletHandle,
    script: Option<&Script>,
    network: Network,
) -> Result<Option<ClaimDto>, ApiError> {
    let Some(status) = wallet.claim() else { return Ok(None) };
    let of = |script: &Script| ScriptAtDto::of(script, wallet.claimed(script).as_ref(), network);
    let script = script.map(of);
    let mut differences = match status.claim.verdict {
        ClaimVerdict::Open | ClaimVerdict::Proven => Vec::new(),
        // They are worked out anew: where a reorg is followed just now, the number has to do.
        ClaimVerdict::Refuted { .. } => wallet.claim_differences().await.unwrap_or_default(),
    };
    differences.truncate(LISTED);
    Ok(Some(ClaimDto::of(&status, script, &differences, network)))
}

//! `/v1/watch`: what is watched. `GET` lists it, `POST` adds to it, `DELETE /v1/watch/{id}` removes an item.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use ironlight_spv::{BlockHeight, Network};

use super::network;
use crate::api::dto::{UnwatchedDto, WatchDto, WatchRequestDto, WatchedDto, WatchesDto};
use crate::api::error::ApiError;
use crate::chain::ChainHandle;
use crate::wallet::service::{Birthday, WalletHandle};
use crate::wallet::watch::{GapLimit, WatchId, WatchRequest, WatchTarget};

/// How long a chain that is not synced is waited for, to know which block a time is: less than clients
/// wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(in crate::api) async fn list(
    State(wallet): State<WalletHandle>,
    State(chain): State<ChainHandle>,
) -> Json<WatchesDto> {
    let network = network(&chain);
    let watches = wallet.watches();
    Json(WatchesDto { watches: watches.iter().map(|item| WatchDto::of(item, network)).collect() })
}

pub(in crate::api) async fn add(
    State(wallet): State<WalletHandle>,
    State(chain): State<ChainHandle>,
    body: Result<Json<WatchRequestDto>, JsonRejection>,
) -> Result<Json<WatchedDto>, ApiError> {
    let Json(asked) = body?;
    let mut request = WatchRequest::new(target(&asked, network(&chain))?, BlockHeight::GENESIS);
    if let Some(account) = &asked.account {
        request.account = account.parse()?;
    }
    if let Some(label) = &asked.label {
        request.label = label.parse()?;
    }
    if let Some(scripts) = asked.gap_limit {
        request.gap_limit = GapLimit::new(scripts)?;
    }
    request.birthday = birthday(&wallet, &chain, asked.birthday.map(Birthday::from)).await?;
    let watched = wallet.watch(request).await?;
    let items = wallet.watches();
    let birthday = items.iter().find(|item| item.id == watched.id).map(|item| item.birthday);
    Ok(Json(WatchedDto::of(&watched, birthday.unwrap_or_default())))
}

fn target(asked: &WatchRequestDto, network: Network) -> Result<WatchTarget, ApiError> {
    let WatchRequestDto { address, script, descriptor, .. } = asked;
    Ok(match (address, script, descriptor) {
        (Some(address), None, None) => WatchTarget::address(address, network)?,
        (None, Some(script), None) => WatchTarget::script_hex(script)?,
        (None, None, Some(descriptor)) => WatchTarget::descriptor(descriptor, network)?,
        _ => {
            let named = [address, script, descriptor].into_iter().flatten().count();
            return Err(ApiError::WatchWhat { named });
        }
    })
}

/// The first block that is looked at: that of the birthday, or the tip of the synced chain.
async fn birthday(
    wallet: &WalletHandle,
    chain: &ChainHandle,
    birthday: Option<Birthday>,
) -> Result<BlockHeight, ApiError> {
    let found = async {
        match birthday {
            Some(birthday) => wallet.height_of(birthday).await,
            None => chain.synced().await.map(|tip| tip.height),
        }
    };
    match tokio::time::timeout(PATIENCE, found).await {
        Ok(height) => Ok(height?),
        Err(_elapsed) => Err(ApiError::BirthdayAhead { tip: chain.tip().height }),
    }
}

pub(in crate::api) async fn remove(
    State(wallet): State<WalletHandle>,
    Path(id): Path<String>,
) -> Result<Json<UnwatchedDto>, ApiError> {
    let Ok(number) = id.parse() else {
        let expected = "the number of an item, as `watch list` has it";
        return Err(ApiError::Parameter { name: "id", value: id, expected });
    };
    let unwatched = wallet.unwatch(WatchId(number)).await?;
    Ok(Json(UnwatchedDto::of(number, &unwatched)))
}

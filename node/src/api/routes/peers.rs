//! `GET /v1/peers`: every network with its peers.

use axum::Json;
use axum::extract::State;

use crate::api::dto::PeersDto;
use crate::bridge::NetworksHandle;
use crate::chain::ChainHandle;

pub(in crate::api) async fn get(
    State(chain): State<ChainHandle>,
    State(networks): State<NetworksHandle>,
) -> Json<PeersDto> {
    let reports = networks.reports().await;
    Json(PeersDto::of(&chain.status(), &reports))
}

//! The control interface: one router, answered on a Unix socket in the data directory.
//!
//! The socket has mode 0600, so whoever can talk to it could also read the data directory; there
//! is no other authentication. What a client can grow: [`socket::MAX_CLIENTS`] connections.

pub mod client;
mod dto;
mod error;
mod routes;
pub mod socket;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::{get, put};

use ironlight_hardening::TokioTimer;
use ironlight_hardening::health::HealthRegistry;

use crate::bridge::NetworksHandle;
use crate::chain::ChainHandle;
use crate::flags::NodeFlags;

pub use dto::{
    CheckDto, FlagDto, FlagsDto, HeaderDto, HealthDto, NetworkDto, PeerDto, PeerRequestsDto,
    PeersDto, RequestsDto, ServedDto, StatusDto, TipDto, TurnDto,
};
pub use error::{ApiError, ErrorDto};

/// What routes answer from.
#[derive(Clone, Debug)]
struct Sources {
    chain: ChainHandle,
    networks: NetworksHandle,
    health: Health,
    flags: NodeFlags,
}

/// What answers whether the node works.
type Health = HealthRegistry<TokioTimer>;

impl FromRef<Sources> for Health {
    fn from_ref(sources: &Sources) -> Self {
        sources.health.clone()
    }
}

impl FromRef<Sources> for ChainHandle {
    fn from_ref(sources: &Sources) -> Self {
        sources.chain.clone()
    }
}

impl FromRef<Sources> for NetworksHandle {
    fn from_ref(sources: &Sources) -> Self {
        sources.networks.clone()
    }
}

impl FromRef<Sources> for NodeFlags {
    fn from_ref(sources: &Sources) -> Self {
        sources.flags.clone()
    }
}

/// The routes, over all that they answer from.
pub(crate) fn router(
    chain: ChainHandle,
    networks: NetworksHandle,
    health: Health,
    flags: NodeFlags,
) -> Router {
    Router::new()
        .route("/v1/status", get(routes::status::get))
        .route("/v1/health", get(routes::health::get))
        .route("/v1/peers", get(routes::peers::get))
        .route("/v1/tip", get(routes::tip::get))
        .route("/v1/headers/{id}", get(routes::headers::get))
        .route("/v1/flags", get(routes::flags::get))
        .route("/v1/flags/{name}", put(routes::flags::put))
        .fallback(routes::unknown)
        .with_state(Sources { chain, networks, health, flags })
}

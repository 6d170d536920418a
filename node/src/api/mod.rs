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
use axum::routing::get;

use crate::chain::ChainHandle;

pub use dto::{HeaderDto, PeerDto, StatusDto, TipDto};
pub use error::{ApiError, ErrorDto};

/// The routes, over a chain.
pub fn router(chain: ChainHandle) -> Router {
    Router::new()
        .route("/v1/status", get(routes::status::get))
        .route("/v1/tip", get(routes::tip::get))
        .route("/v1/headers/{id}", get(routes::headers::get))
        .fallback(routes::unknown)
        .with_state(chain)
}

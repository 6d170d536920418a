//! The control interface: one router, answered on a Unix socket in the data directory.
//!
//! The socket has mode 0600, so whoever can talk to it could also read the data directory; there
//! is no other authentication. What a client can grow: [`socket::MAX_CLIENTS`] connections, and of
//! each a body of [`MAX_BODY`] bytes, a transaction of [`MAX_TRANSACTION_BODY`]; of one at a time a
//! wallet's file of [`MAX_FILE_BYTES`](crate::wallet::file::MAX_FILE_BYTES).

pub mod client;
mod dto;
mod error;
mod routes;
pub mod socket;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::routing::{delete, get, post, put};

use ironlight_hardening::TokioTimer;
use ironlight_hardening::health::HealthRegistry;
use tokio::sync::Semaphore;

use crate::blocks::Blocks;
use crate::bridge::NetworksHandle;
use crate::chain::ChainHandle;
use crate::filters::Filters;
use crate::flags::NodeFlags;
use crate::services::Services;
use crate::wallet::service::WalletHandle;

pub use dto::{
    AccountAtDto, AccountBalanceDto, BalanceDto, BirthdayDto, BlockIdDto, BlocksDto, BroadcastDto,
    BroadcastsDto, CheckDto, ClaimDto, ConfirmedDto, DifferenceDto, FeeBasisDto, FeesDto,
    FilterFaultDto, FiltersCheckDto, FiltersDto, FlagDto, FlagsDto, ForgottenClaimDto,
    ForgottenDto, HeaderDto, HealthDto, HeightsDto, HistoryDto, HistoryEntryDto, ImportedDto,
    NetworkDto, OwnerDto, PeerDto, PeerRequestsDto, PeersDto, PendingDto, ProofDto, PurposeDto,
    RequestsDto, RescanDto, ScanDto, ScriptAtDto, SendDto, ServedDto, StateDto, StatusDto,
    SubmittedDto, TipDto, TurnDto, UnwatchedDto, UtxoDto, UtxosDto, WalletStateDto,
    WalletStatusDto, WalletTransactionDto, WatchDto, WatchRequestDto, WatchedDto, WatchesDto,
};
pub use error::{ApiError, ErrorDto};

/// A body has at most so many bytes: a descriptor of 16 KB, escaped, fits.
pub const MAX_BODY: usize = 64 * 1024;
/// Of a transaction: one of 400,000 weight units has at most so many bytes, and twice as many
/// hexadecimal digits.
pub const MAX_TRANSACTION_BODY: usize = 1024 * 1024;

/// What routes answer from.
#[derive(Clone, Debug)]
struct Sources {
    chain: ChainHandle,
    networks: NetworksHandle,
    health: Health,
    flags: NodeFlags,
    services: Services,
    importing: Importing,
}

/// Held by whoever brings a wallet's file.
type Importing = Arc<Semaphore>;

/// What answers whether the node works.
type Health = HealthRegistry<TokioTimer>;

impl FromRef<Sources> for Health {
    fn from_ref(sources: &Sources) -> Self {
        sources.health.clone()
    }
}

impl FromRef<Sources> for Importing {
    fn from_ref(sources: &Sources) -> Self {
        Self::clone(&sources.importing)
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

impl FromRef<Sources> for WalletHandle {
    fn from_ref(sources: &Sources) -> Self {
        sources.services.wallet.clone()
    }
}

impl FromRef<Sources> for Filters {
    fn from_ref(sources: &Sources) -> Self {
        sources.services.filters.clone()
    }
}

impl FromRef<Sources> for Blocks {
    fn from_ref(sources: &Sources) -> Self {
        sources.services.blocks.clone()
    }
}

/// The routes, over all that they answer from.
pub(crate) fn router(
    chain: ChainHandle,
    networks: NetworksHandle,
    health: Health,
    flags: NodeFlags,
    services: Services,
) -> Router {
    let importing = Arc::new(Semaphore::new(1));
    Router::new()
        .route("/v1/status", get(routes::status::get))
        .route("/v1/health", get(routes::health::get))
        .route("/v1/peers", get(routes::peers::get))
        .route("/v1/tip", get(routes::tip::get))
        .route("/v1/headers/{id}", get(routes::headers::get))
        .route("/v1/flags", get(routes::flags::get))
        .route("/v1/flags/{name}", put(routes::flags::put))
        .merge(wallet_routes())
        .fallback(routes::unknown)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Sources { chain, networks, health, flags, services, importing })
}

fn wallet_routes() -> Router<Sources> {
    let send = post(routes::tx::post).layer(DefaultBodyLimit::max(MAX_TRANSACTION_BODY));
    Router::new()
        .route("/v1/watch", get(routes::watch::list).post(routes::watch::add))
        .route("/v1/watch/{id}", delete(routes::watch::remove))
        .route("/v1/balance", get(routes::balance::get))
        .route("/v1/utxos", get(routes::utxos::get))
        .route("/v1/history", get(routes::history::get))
        .route("/v1/scan", get(routes::scan::get))
        .route("/v1/rescan", post(routes::rescan::post))
        .route("/v1/tx", send.get(routes::tx::list))
        .route("/v1/tx/{txid}", get(routes::tx::get).delete(routes::tx::forget))
        .route("/v1/tx/{txid}/proof", get(routes::proof::get))
        .route("/v1/fees", get(routes::fees::get))
        .route("/v1/wallet/state", get(routes::wallet_state::get))
        .route("/v1/wallet/export", get(routes::wallet_file::export))
        .route("/v1/wallet/import", post(routes::wallet_file::import))
        .route("/v1/wallet/claim", delete(routes::wallet_file::forget_claim))
        .route("/v1/filters", get(routes::filters::get))
        .route("/v1/filters/check", get(routes::filters_check::get))
}

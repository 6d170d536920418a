//! Drives a running devnet over its control socket: the routes, and what they take and give.
//!
//! Amounts are in satoshi, hashes in display order.

use std::net::SocketAddr;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, Amount, Network, Txid};
use serde::{Deserialize, Serialize};

use super::ledger::{Branch, LedgerError};
use super::shared::SharedLedger;
use super::{DevnetError, node};
use crate::api::ErrorDto;

/// Body of `POST /v1/devnet/mine`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MineDto {
    /// How many.
    pub blocks: u32,
}

/// Body of `POST /v1/devnet/pay`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayDto {
    /// A regtest address.
    pub address: String,
    /// Satoshi.
    pub amount: u64,
}

/// Body of `POST /v1/devnet/reorg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReorgDto {
    /// Blocks taken off.
    pub depth: u32,
}

/// A transaction: body of `POST /v1/devnet/double-spend`, and the answer to a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionDto {
    /// Its id.
    pub txid: String,
}

/// A block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDto {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: String,
}

/// A branch that was mined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchDto {
    /// The last block that both have.
    pub fork_height: u32,
    /// Blocks that left the best chain, the lowest first.
    pub disconnected: Vec<String>,
    /// Blocks that came, the lowest first.
    pub connected: Vec<String>,
    /// A payment that was taken back, where one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced: Option<String>,
    /// What spends its coins now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
}

/// How the devnet stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevnetStatusDto {
    /// Its version.
    pub version: String,
    /// Where it listens for peers.
    pub address: String,
    /// The tip of the best chain.
    pub tip: BlockDto,
    /// The time that the tip claims, in seconds since 1970.
    pub time: u32,
    /// Blocks on side branches.
    pub side_blocks: usize,
    /// Transactions that wait for a block.
    pub waiting: usize,
    /// What its wallet has, in satoshi, coins that are not mature yet included.
    pub balance: u64,
    /// Peers that are connected.
    pub peers: usize,
}

impl BranchDto {
    fn of(branch: Branch) -> Self {
        let text = |hashes: Vec<bitcoin::BlockHash>| {
            hashes.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        Self {
            fork_height: branch.fork_height,
            disconnected: text(branch.disconnected),
            connected: text(branch.mined),
            replaced: None,
            replaced_by: None,
        }
    }
}

/// Why a command was refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Devnet(#[from] DevnetError),
    #[error("{0:?} is no regtest address")]
    Address(String),
    #[error("{0:?} is no transaction id of 64 hexadecimal digits")]
    Txid(String),
    #[error("no route {0}")]
    Route(String),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Devnet(DevnetError::Ledger(LedgerError::NotMined { .. })) | Self::Route(_) => {
                StatusCode::NOT_FOUND
            }
            Self::Devnet(DevnetError::Task { .. } | DevnetError::Listen { .. }) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::Devnet(DevnetError::Ledger(_) | DevnetError::TooManyBlocks { .. })
            | Self::Address(_)
            | Self::Txid(_) => StatusCode::BAD_REQUEST,
        };
        (status, Json(ErrorDto { error: self.to_string() })).into_response()
    }
}

#[derive(Clone)]
struct Control {
    shared: SharedLedger,
    address: SocketAddr,
}

type Answer<T> = Result<Json<T>, Refusal>;

/// The routes.
pub(super) fn router(shared: SharedLedger, address: SocketAddr) -> Router {
    Router::new()
        .route("/v1/devnet/status", get(status))
        .route("/v1/devnet/mine", post(mine))
        .route("/v1/devnet/pay", post(pay))
        .route("/v1/devnet/reorg", post(reorg))
        .route("/v1/devnet/double-spend", post(double_spend))
        .fallback(|uri: Uri| async move { Refusal::Route(uri.path().to_owned()) })
        .with_state(Control { shared, address })
}

async fn status(State(control): State<Control>) -> Json<DevnetStatusDto> {
    let peers = control.shared.peers();
    Json(control.shared.read(|ledger| {
        let tip = ledger.tree().tip();
        DevnetStatusDto {
            version: crate::VERSION.to_owned(),
            address: control.address.to_string(),
            tip: BlockDto { height: tip.height, hash: tip.hash.to_string() },
            time: tip.block.header.time,
            side_blocks: ledger.tree().side_blocks(),
            waiting: ledger.pool().len(),
            balance: ledger.balance().to_sat(),
            peers,
        }
    }))
}

async fn mine(State(control): State<Control>, Json(body): Json<MineDto>) -> Answer<BlockDto> {
    node::mine(&control.shared, body.blocks).await?;
    let tip = control.shared.read(|ledger| ledger.tree().tip().as_tip());
    Ok(Json(BlockDto { height: tip.height.0, hash: tip.hash.to_string() }))
}

async fn pay(State(control): State<Control>, Json(body): Json<PayDto>) -> Answer<TransactionDto> {
    let address = body.address.parse::<Address<NetworkUnchecked>>().ok();
    let address = address.and_then(|address| address.require_network(Network::Regtest).ok());
    let Some(address) = address else { return Err(Refusal::Address(body.address)) };
    let (script, amount) = (address.script_pubkey(), Amount::from_sat(body.amount));
    let txid = control.shared.change(move |ledger| ledger.pay(script, amount)).await?;
    Ok(Json(TransactionDto { txid: txid.to_string() }))
}

async fn reorg(State(control): State<Control>, Json(body): Json<ReorgDto>) -> Answer<BranchDto> {
    let length = body.depth.saturating_add(1);
    let branch = node::branch(&control.shared, body.depth, length).await?;
    Ok(Json(BranchDto::of(branch)))
}

async fn double_spend(
    State(control): State<Control>,
    Json(body): Json<TransactionDto>,
) -> Answer<BranchDto> {
    let Ok(txid) = body.txid.parse::<Txid>() else { return Err(Refusal::Txid(body.txid)) };
    let done = control.shared.change(move |ledger| ledger.double_spend(txid)).await?;
    let replaced = Some(done.replaced.to_string());
    let replaced_by = Some(done.replaced_by.to_string());
    Ok(Json(BranchDto { replaced, replaced_by, ..BranchDto::of(done.branch) }))
}

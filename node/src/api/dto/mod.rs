//! What the control interface answers with: hashes in display order, work in hexadecimal, amounts in
//! satoshi, times in seconds since 1970.

mod broadcast;
mod filters;
mod wallet;
mod wallet_state;

use ironlight_hardening::TokioTimer;
use ironlight_hardening::health::{CheckReport, HealthRegistry};
use ironlight_spv::chain::Position;
use ironlight_spv::{ChainTip, IndexedHeader, lanes};
use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::chain::{ChainHandle, ChainStatus, PeerView};
use crate::flags::{FlagStatus, is_on};
use crate::net::{
    Carried, NetworkReport, PeerReport, PeerRequestReport, Purpose, RequestReport, ServeReport,
};

pub use broadcast::{
    BroadcastDto, BroadcastsDto, ConfirmedDto, FeeBasisDto, FeesDto, ForgottenDto, ProofDto,
    SendDto, SubmittedDto, WalletTransactionDto,
};
pub use filters::{BlocksDto, FilterFaultDto, FiltersCheckDto, FiltersDto, HeightsDto};
pub use wallet::{
    AccountBalanceDto, BalanceDto, BirthdayDto, BlockIdDto, HistoryDto, HistoryEntryDto, OwnerDto,
    PendingDto, RescanDto, ScanDto, UnwatchedDto, UtxoDto, UtxosDto, WalletStatusDto, WatchDto,
    WatchRequestDto, WatchedDto, WatchesDto,
};
pub(super) use wallet::{parse_place, place_text};
pub use wallet_state::{
    AccountAtDto, ClaimDto, DifferenceDto, ForgottenClaimDto, ImportedDto, ScriptAtDto, StateDto,
    WalletStateDto,
};

/// How the node stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusDto {
    /// The node's version.
    pub version: String,
    /// The network's name.
    pub network: String,
    /// `syncing`, `below the minimum chain work` or `synced`.
    pub phase: String,
    /// The tip.
    pub tip: TipDto,
    /// What the chain's verdicts rest on.
    pub basis: String,
    /// What headers cannot prove on this network, where there is something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caveat: Option<String>,
    /// Headers held on side branches.
    pub side_headers: usize,
    /// Peers that can be asked for headers.
    pub peers: usize,
    /// How this processor hashes headers.
    pub hashing: String,
    /// What is watched, and how far the chain was looked at for it.
    pub wallet: WalletStatusDto,
    /// How compact filters stand.
    pub filters: FiltersDto,
    /// Blocks that were fetched.
    pub blocks: BlocksDto,
}

/// Every network that the node is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeersDto {
    /// They.
    pub networks: Vec<NetworkDto>,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkDto {
    /// `bitcoin` or `libp2p`.
    pub name: String,
    /// Where this node can be reached, with its identity.
    pub listening: Vec<String>,
    /// Bytes received at the node's sockets since it started.
    pub bytes_in: u64,
    /// Bytes sent at the node's sockets since it started.
    pub bytes_out: u64,
    /// The same bytes by what they were for, as far as that is known; purposes without any are left
    /// out.
    pub bytes: Vec<PurposeDto>,
    /// Requests to its peers.
    pub requests: RequestsDto,
    /// Answers to its peers.
    pub served: ServedDto,
    /// The connected peers.
    pub peers: Vec<PeerDto>,
}

/// Bytes that were carried for one purpose since the node started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurposeDto {
    /// `headers`, `filter_headers`, `filters`, `blocks`, `proofs`, `snapshots`, `transactions` or `other`.
    pub purpose: String,
    /// Received.
    pub bytes_in: u64,
    /// Sent.
    pub bytes_out: u64,
}

impl PurposeDto {
    fn of((purpose, carried): (Purpose, Carried)) -> Option<Self> {
        let Carried { received: bytes_in, sent: bytes_out } = carried;
        let any = carried != Carried::default();
        any.then(|| Self { purpose: purpose.name().to_owned(), bytes_in, bytes_out })
    }
}

/// How requests to peers went since the node started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestsDto {
    /// Put on a line; a repeated one counts each time.
    pub sent: u64,
    /// Answered.
    pub answered: u64,
    /// Not answered, or not with anything of use.
    pub failed: u64,
    /// Not put on a line: a breaker, a limit, the retry budget, or no room.
    pub refused: u64,
    /// Asked of another peer, because the one before had failed.
    pub retried: u64,
    /// Under way.
    pub under_way: u32,
    /// Retries that are left to all networks together.
    pub retries_left: u64,
    /// Half of those in the last minute took no longer, in microseconds.
    pub p50_micros: u64,
    /// 99 of 100 took no longer, in microseconds.
    pub p99_micros: u64,
}

/// How requests of peers were answered since the node started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedDto {
    /// Answered.
    pub answered: u64,
    /// Told to come back later.
    pub busy: u64,
    /// Pages that were there already.
    pub cache_hits: u64,
    /// Pages that had to be made.
    pub cache_misses: u64,
}

/// How requests to a peer go, since it connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRequestsDto {
    /// Put on the line.
    pub sent: u64,
    /// Not answered, or not with anything of use.
    pub failed: u64,
    /// Not put on the line.
    pub refused: u64,
    /// Its circuit breaker: `closed`, `open` or `half_open`.
    pub breaker: String,
}

/// A connected peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerDto {
    /// Its number, never used twice.
    pub id: u64,
    /// Where it is.
    pub address: String,
    /// `outbound` where this node connected, `inbound` where the peer did.
    pub direction: String,
    /// Whether the user named it.
    pub named: bool,
    /// What it says it runs.
    pub agent: String,
    /// What the sync does with it; `client` where it serves nothing.
    pub phase: String,
    /// Seconds since it connected.
    pub connected_seconds: u64,
    /// What its last ping took, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping_micros: Option<u64>,
    /// Bytes received from it.
    pub bytes_in: u64,
    /// Bytes sent to it.
    pub bytes_out: u64,
    /// Headers that it sent.
    pub headers: u64,
    /// Requests to it; none where it is not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<PeerRequestsDto>,
}

/// The last header of the best chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TipDto {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: String,
    /// The time that it claims, in seconds since 1970.
    pub time: u32,
    /// Total work of the chain.
    pub work: String,
}

/// A header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderDto {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: String,
    /// Whether it lies on the best chain.
    pub best_chain: bool,
    /// Headers on it, itself included; 0 off the best chain.
    pub confirmations: u32,
    /// Its version.
    pub version: i32,
    /// Its parent.
    pub previous_hash: String,
    /// The root of its transactions.
    pub merkle_root: String,
    /// The time that it claims, in seconds since 1970.
    pub time: u32,
    /// Its compact target.
    pub bits: String,
    /// Its nonce.
    pub nonce: u32,
    /// Total work up to and including it.
    pub work: String,
}

/// What can be turned off while the node runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlagsDto {
    /// They.
    pub flags: Vec<FlagDto>,
}

/// A flag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlagDto {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Whether it is on.
    pub on: bool,
}

/// Body of `PUT /v1/flags/{name}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnDto {
    /// Whether it is to be on.
    pub on: bool,
}

impl FlagDto {
    pub(super) fn of(status: &FlagStatus) -> Self {
        Self {
            name: status.flag.name().to_owned(),
            description: status.flag.description().to_owned(),
            on: is_on(status),
        }
    }
}

impl StatusDto {
    pub(super) fn of(
        chain: &ChainHandle,
        wallet: WalletStatusDto,
        filters: FiltersDto,
        blocks: BlocksDto,
    ) -> Self {
        let status = chain.status();
        let (network, basis, unsigned) = chain.read(|chain| {
            let params = chain.params();
            (params.network, chain.basis(), params.signatures_outside_headers())
        });
        Self {
            version: crate::VERSION.to_owned(),
            network: network.to_string(),
            phase: status.phase.to_string(),
            tip: TipDto::of(&status),
            basis: basis.to_string(),
            caveat: unsigned.then(|| crate::SIGNET_CAVEAT.to_owned()),
            side_headers: status.side_headers,
            peers: status.peers.len(),
            hashing: lanes::report().to_string(),
            wallet,
            filters,
            blocks,
        }
    }
}

impl PeersDto {
    pub(super) fn of(status: &ChainStatus, reports: &[NetworkReport]) -> Self {
        let network = |report: &NetworkReport| NetworkDto {
            name: report.network.name().to_owned(),
            listening: report.listening.clone(),
            bytes_in: report.bytes_in,
            bytes_out: report.bytes_out,
            bytes: report.by_purpose.iter().filter_map(PurposeDto::of).collect(),
            requests: RequestsDto::of(&report.requests),
            served: ServedDto::of(&report.served),
            peers: report.peers.iter().map(|peer| PeerDto::of(peer, &status.peers)).collect(),
        };
        Self { networks: reports.iter().map(network).collect() }
    }
}

impl PeerDto {
    fn of(report: &PeerReport, views: &[PeerView]) -> Self {
        let view = views.iter().find(|view| view.peer == report.peer.0);
        Self {
            id: report.peer.0,
            address: report.address.clone(),
            direction: report.direction.name().to_owned(),
            named: report.named,
            agent: report.agent.clone(),
            phase: view.map_or_else(|| "client".to_owned(), |view| view.phase.clone()),
            connected_seconds: report.connected_for.as_secs(),
            ping_micros: report.ping.map(micros),
            bytes_in: report.bytes_in,
            bytes_out: report.bytes_out,
            headers: report.headers,
            requests: report.requests.as_ref().map(PeerRequestsDto::of),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl RequestsDto {
    fn of(report: &RequestReport) -> Self {
        let RequestReport { sent, answered, failed, refused, retried, under_way, budget, p50, p99 } =
            *report;
        let (p50_micros, p99_micros) = (micros(p50), micros(p99));
        let retries_left = budget;
        Self {
            sent,
            answered,
            failed,
            refused,
            retried,
            under_way,
            retries_left,
            p50_micros,
            p99_micros,
        }
    }
}

impl ServedDto {
    fn of(report: &ServeReport) -> Self {
        let ServeReport { answered, busy, pages } = *report;
        Self { answered, busy, cache_hits: pages.hits, cache_misses: pages.misses }
    }
}

impl PeerRequestsDto {
    fn of(report: &PeerRequestReport) -> Self {
        let PeerRequestReport { sent, failed, refused, breaker } = *report;
        Self { sent, failed, refused, breaker: breaker.name().to_owned() }
    }
}

impl TipDto {
    pub(super) fn of(status: &ChainStatus) -> Self {
        let ChainTip { height, hash, work } = status.tip;
        Self {
            height: height.0,
            hash: hash.to_string(),
            time: status.tip_time.0,
            work: format!("{work:064x}"),
        }
    }
}

impl HeaderDto {
    pub(super) fn of(entry: &IndexedHeader, position: Position, tip: ChainTip) -> Self {
        let header = &entry.header;
        let best_chain = position == Position::Best;
        let depth = tip.height.0.saturating_sub(entry.height.0).saturating_add(1);
        Self {
            height: entry.height.0,
            hash: entry.hash.to_string(),
            best_chain,
            confirmations: if best_chain { depth } else { 0 },
            version: header.version(),
            previous_hash: header.prev_hash().to_string(),
            merkle_root: header.merkle_root().to_string(),
            time: header.time().0,
            bits: format!("{:08x}", header.compact_target().to_consensus()),
            nonce: header.nonce(),
            work: format!("{:064x}", entry.work),
        }
    }
}

/// Whether the node works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthDto {
    /// It works as far as it alone can see to it; where it does not, a restart may help.
    pub live: bool,
    /// What it says of the chain can be relied on.
    pub ready: bool,
    /// Each check.
    pub checks: Vec<CheckDto>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckDto {
    /// What is checked.
    pub name: String,
    /// pass, warn or fail.
    pub status: String,
    /// What there is to say; empty where all is well.
    pub output: String,
    /// What was measured.
    pub value: Option<i64>,
    /// In which unit.
    pub unit: Option<String>,
    /// How long it took, in microseconds.
    pub took_us: u64,
}

impl HealthDto {
    pub(super) fn of(health: &HealthRegistry<TokioTimer>) -> Self {
        let checks = health.get_all().into_iter().map(CheckDto::from).collect();
        Self { live: health.liveness().passes(), ready: health.readiness().passes(), checks }
    }
}

impl From<CheckReport> for CheckDto {
    fn from(check: CheckReport) -> Self {
        let (value, unit) = check.value.unzip();
        let took = check.took.unwrap_or_default().as_micros();
        Self {
            name: check.name,
            status: check.status.name().to_owned(),
            output: check.output,
            value,
            unit: unit.map(str::to_owned),
            took_us: u64::try_from(took).unwrap_or(u64::MAX),
        }
    }
}

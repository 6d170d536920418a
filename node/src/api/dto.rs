//! What the control interface answers with: hashes in display order, work in hexadecimal.

use ironlight_spv::chain::Position;
use ironlight_spv::{ChainTip, IndexedHeader, lanes};
use serde::{Deserialize, Serialize};

use crate::chain::{ChainHandle, ChainStatus, PeerView};

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
    /// The peers.
    pub peers: Vec<PeerDto>,
    /// How this processor hashes headers.
    pub hashing: String,
}

/// A peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerDto {
    /// Its number, never used twice.
    pub id: u64,
    /// Where it is.
    pub address: String,
    /// What it says it runs.
    pub user_agent: String,
    /// What the sync does with it.
    pub phase: String,
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

impl StatusDto {
    pub(super) fn of(chain: &ChainHandle) -> Self {
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
            peers: status.peers.iter().map(PeerDto::from).collect(),
            hashing: lanes::report().to_string(),
        }
    }
}

impl From<&PeerView> for PeerDto {
    fn from(view: &PeerView) -> Self {
        let PeerView { peer, address, user_agent, phase } = view.clone();
        Self { id: peer, address, user_agent, phase }
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

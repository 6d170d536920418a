//! Transactions on their way, proofs and fees.

use ironlight_spv::BlockHeight;
use serde::{Deserialize, Serialize};

use super::PendingDto;
use crate::wallet::broadcast::{BroadcastState, BroadcastStatus, Submitted};
use crate::wallet::fees::{FeeBasis, FeeEstimate};
use crate::wallet::service::TransactionProof;

/// Body of `POST /v1/tx`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendDto {
    /// The transaction with its witnesses, in hexadecimal.
    pub hex: String,
    /// Whether to bring it over connections that are used for nothing else.
    #[serde(default)]
    pub apart: bool,
}

/// What a submission did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmittedDto {
    /// The transaction.
    pub txid: String,
    /// `new`; `known` where it was submitted before and is still followed; `again` where it had been
    /// given up.
    pub outcome: String,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broadcast: Option<BroadcastDto>,
}

impl SubmittedDto {
    pub(in crate::api) fn of(submitted: &Submitted, status: Option<&BroadcastStatus>) -> Self {
        let outcome = match submitted {
            Submitted::New { .. } => "new",
            Submitted::Known { .. } => "known",
            Submitted::Again { .. } => "again",
        };
        Self {
            txid: submitted.txid().to_string(),
            outcome: outcome.to_owned(),
            broadcast: status.map(BroadcastDto::of),
        }
    }
}

/// All transactions that are brought to the network, or were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BroadcastsDto {
    /// They, the oldest first.
    pub transactions: Vec<BroadcastDto>,
}

/// A transaction that is brought to the network, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BroadcastDto {
    /// Its id.
    pub txid: String,
    /// Its id with witnesses.
    pub wtxid: String,
    /// `waiting`, `announced`, `requested`, `relayed_back`, `inferred_rejected`, `confirmed`,
    /// `conflicted` or `given_up`.
    pub state: String,
    /// Of a confirmed or conflicted one: the block's height.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Of a conflicted one: the transaction in the block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflicts_with: Option<String>,
    /// When it was submitted first, in seconds since 1970.
    pub since: u32,
    /// How often a peer was told of it.
    pub announced: u32,
    /// How often a peer asked for it.
    pub requested: u32,
    /// How many peers announced it back.
    pub relayed_back: u32,
}

impl BroadcastDto {
    pub(in crate::api) fn of(status: &BroadcastStatus) -> Self {
        let (state, height, conflicts_with) = match status.state {
            BroadcastState::Waiting => ("waiting", None, None),
            BroadcastState::Announced => ("announced", None, None),
            BroadcastState::Requested => ("requested", None, None),
            BroadcastState::RelayedBack => ("relayed_back", None, None),
            BroadcastState::InferredRejected => ("inferred_rejected", None, None),
            BroadcastState::Confirmed { height } => ("confirmed", Some(height), None),
            BroadcastState::Conflicted { by, height } => ("conflicted", Some(height), Some(by)),
            BroadcastState::GivenUp => ("given_up", None, None),
        };
        Self {
            txid: status.txid.to_string(),
            wtxid: status.wtxid.to_string(),
            state: state.to_owned(),
            height: height.map(|BlockHeight(height)| height),
            conflicts_with: conflicts_with.map(|txid| txid.to_string()),
            since: status.since.0,
            announced: status.announced,
            requested: status.requested,
            relayed_back: status.relayed_back,
        }
    }
}

/// All that is known of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalletTransactionDto {
    /// Its id.
    pub txid: String,
    /// Where it is in the best chain; of what is watched only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<ConfirmedDto>,
    /// As one that waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingDto>,
    /// As one that this node brings to the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broadcast: Option<BroadcastDto>,
}

/// Where a transaction is in the best chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmedDto {
    /// The height of its block.
    pub height: u32,
    /// Its position in the block.
    pub position: u32,
    /// The block.
    pub block: String,
    /// Blocks from its own to the tip, both counted.
    pub confirmations: u32,
    /// The transaction with its witnesses, in hexadecimal.
    pub hex: String,
}

/// A broadcast is followed no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgottenDto {
    /// Its id.
    pub txid: String,
}

/// A proof that a transaction is in a block of the best chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofDto {
    /// The transaction.
    pub txid: String,
    /// The block's height.
    pub height: u32,
    /// The block.
    pub block: String,
    /// Blocks from its own to the tip, both counted.
    pub confirmations: u32,
    /// A `merkleblock` (BIP37) in hexadecimal, as Bitcoin Core's `gettxoutproof` prints it.
    pub proof: String,
}

impl ProofDto {
    pub(in crate::api) fn of(proof: &TransactionProof) -> Self {
        use bitcoin::hex::DisplayHex as _;
        let TransactionProof { txid, height, block, confirmations, merkle_block } = proof;
        Self {
            txid: txid.to_string(),
            height: height.0,
            block: block.to_string(),
            confirmations: *confirmations,
            proof: merkle_block.to_lower_hex_string(),
        }
    }
}

/// What a transaction should pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeesDto {
    /// Blocks within which it may confirm then. No promise.
    pub target: u16,
    /// Satoshi for 1,000 virtual bytes.
    pub sat_per_kvb: u64,
    /// What that rests on.
    pub basis: FeeBasisDto,
}

/// What an estimate rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeeBasisDto {
    /// Blocks whose averages were used.
    pub blocks: usize,
    /// The highest of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_block: Option<u32>,
    /// Stretches of as many blocks as the target, or of all of them, that were looked at.
    pub stretches: usize,
    /// In how many of a hundred of them the rate would have been enough.
    pub enough_in_percent: u8,
    /// Peers whose filters gave the floor.
    pub peers: usize,
    /// The median of what peers relay at least, in satoshi for 1,000 virtual bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor_sat_per_kvb: Option<u64>,
    /// Whether the floor, not the blocks, decided.
    pub at_floor: bool,
}

impl FeesDto {
    pub(in crate::api) fn of(estimate: &FeeEstimate) -> Self {
        let per_kvb = |rate: bitcoin::FeeRate| rate.to_sat_per_kwu().saturating_mul(4);
        let FeeEstimate { rate, target, basis } = *estimate;
        let FeeBasis { blocks, newest_block, stretches, enough_in_percent, .. } = basis;
        let FeeBasis { peers, floor, at_floor, .. } = basis;
        let basis = FeeBasisDto {
            blocks,
            newest_block: newest_block.map(|height| height.0),
            stretches,
            enough_in_percent,
            peers,
            floor_sat_per_kvb: floor.map(per_kvb),
            at_floor,
        };
        Self { target, sat_per_kvb: per_kvb(rate), basis }
    }
}

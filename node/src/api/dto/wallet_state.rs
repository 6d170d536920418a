//! What the wallet had at a height, and what a file claims.

use bitcoin::Script;
use ironlight_spv::compress::state::WalletAccount;
use ironlight_spv::{BlockHeight, Network};
use serde::{Deserialize, Serialize};

use super::wallet::{BlockIdDto, address_of};
use crate::store::hex;
use crate::wallet::claim::{ClaimVerdict, Difference};
use crate::wallet::service::{ClaimStatus, Imported, StateAt};
use crate::wallet::states::AccountAt;

/// What the wallet had at a height, in satoshi.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalletStateDto {
    /// Up to which height the history is complete; none where it is nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete_to: Option<u32>,
    /// What it had; none where the history is not complete at the height, and only a file claims
    /// something for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<StateDto>,
    /// What the last file that was imported claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimDto>,
}

/// What the blocks gave up to a height.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateDto {
    /// The block after which it is so.
    pub block: BlockIdDto,
    /// The state's root, in hexadecimal.
    pub root: String,
    /// What all unspent coins are worth.
    pub balance: u64,
    /// Scripts that had been paid to.
    pub scripts: u32,
    /// What each account has. A coin that two of them watch counts once above.
    pub accounts: Vec<AccountAtDto>,
    /// What the script has that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<ScriptAtDto>,
}

/// What one account had at a height.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountAtDto {
    /// The account.
    pub account: String,
    /// What its unspent coins are worth, in satoshi.
    pub balance: u64,
    /// Scripts of it that had been paid to.
    pub scripts: u32,
}

/// What one script had at a height.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptAtDto {
    /// The script, in hexadecimal.
    pub script: String,
    /// Its address, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What its unspent coins are worth, in satoshi.
    pub balance: u64,
    /// Transactions that touched it.
    pub transactions: u32,
    /// The hash that commits to its coins, in hexadecimal.
    pub coins_hash: String,
}

/// What a file claims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimDto {
    /// `open`, `proven` or `refuted`. Nothing of an open claim is verified.
    pub verdict: String,
    /// The block after which it says that it is so.
    pub block: BlockIdDto,
    /// The root of its state, in hexadecimal.
    pub root: String,
    /// What its scripts have together, in satoshi; none where its state is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<u64>,
    /// Scripts that it has something of.
    pub scripts: u32,
    /// What it claims of the script that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<ScriptAtDto>,
    /// Of one that is refuted: scripts that differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differing: Option<u32>,
    /// The first of these, a hundred at most, by the hashes of their scripts.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub differences: Vec<DifferenceDto>,
}

/// A script that a file has otherwise than the blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferenceDto {
    /// SHA-256 of the script, in hexadecimal.
    pub script_id: String,
    /// The script, in hexadecimal, where it is watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// Its address, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The balance that is claimed, in satoshi; none where the file does not have the script.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed: Option<u64>,
    /// The balance that the blocks gave; none where they never paid to the script.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<u64>,
}

/// What an import did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedDto {
    /// The block whose state the file claims.
    pub block: BlockIdDto,
    /// The root of that state, in hexadecimal.
    pub root: String,
    /// Items of the file.
    pub items: usize,
    /// Scripts that were added for them.
    pub added_scripts: usize,
    /// Where blocks have to be looked at for them, from which height on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scan_from: Option<u32>,
    /// `open`, `proven` or `refuted`.
    pub verdict: String,
}

/// A claim was dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgottenClaimDto {
    /// The block whose state it claimed.
    pub block: BlockIdDto,
}

impl StateDto {
    pub(in crate::api) fn of(state: &StateAt, script: Option<ScriptAtDto>) -> Self {
        let account = |of: &AccountAt| AccountAtDto {
            account: of.account.to_string(),
            balance: of.balance.to_sat(),
            scripts: of.scripts,
        };
        Self {
            block: state.block.into(),
            root: hex(&state.root),
            balance: state.totals.balance.to_sat(),
            scripts: state.totals.scripts,
            accounts: state.totals.accounts.iter().map(account).collect(),
            script,
        }
    }
}

impl ScriptAtDto {
    /// A script without an account was never paid to.
    pub(in crate::api) fn of(
        script: &Script,
        account: Option<&WalletAccount>,
        network: Network,
    ) -> Self {
        let hash = account.map_or([0; 32], |account| account.coins_hash);
        Self {
            script: format!("{script:x}"),
            address: address_of(script, network),
            balance: account.map_or(0, |account| account.balance),
            transactions: account.map_or(0, |account| account.transactions),
            coins_hash: hex(&hash),
        }
    }
}

impl ClaimDto {
    pub(in crate::api) fn of(
        status: &ClaimStatus,
        script: Option<ScriptAtDto>,
        differences: &[Difference],
        network: Network,
    ) -> Self {
        let ClaimStatus { claim, balance, scripts } = status;
        let differing = match claim.verdict {
            ClaimVerdict::Open | ClaimVerdict::Proven => None,
            ClaimVerdict::Refuted { scripts } => Some(scripts),
        };
        Self {
            verdict: verdict(claim.verdict),
            block: claim.block.into(),
            root: hex(&claim.root),
            balance: balance.map(bitcoin::Amount::to_sat),
            scripts: *scripts,
            script,
            differing,
            differences: differences.iter().map(|it| DifferenceDto::of(it, network)).collect(),
        }
    }
}

fn verdict(verdict: ClaimVerdict) -> String {
    let text = match verdict {
        ClaimVerdict::Open => "open",
        ClaimVerdict::Proven => "proven",
        ClaimVerdict::Refuted { .. } => "refuted",
    };
    text.to_owned()
}

impl DifferenceDto {
    fn of(difference: &Difference, network: Network) -> Self {
        let Difference { script_id, script, claimed, found } = difference;
        Self {
            script_id: hex(script_id),
            script: script.as_ref().map(|script| format!("{script:x}")),
            address: script.as_ref().and_then(|script| address_of(script, network)),
            claimed: claimed.as_ref().map(|account| account.balance),
            found: found.as_ref().map(|account| account.balance),
        }
    }
}

impl ImportedDto {
    pub(in crate::api) fn of(imported: &Imported) -> Self {
        let scan_from = imported.watched.iter().filter_map(|watched| watched.scan_from).min();
        Self {
            block: imported.block.into(),
            root: hex(&imported.root),
            items: imported.watched.len(),
            added_scripts: imported.watched.iter().map(|watched| watched.added_scripts).sum(),
            scan_from: scan_from.map(|BlockHeight(height)| height),
            verdict: verdict(imported.verdict),
        }
    }
}

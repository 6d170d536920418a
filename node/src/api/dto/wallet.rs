//! What is watched, and what the chain has for it.

use std::fmt;

use bitcoin::{Address, Script};
use ironlight_spv::{BlockHeight, HeaderChain, Network, UnixTime};
use serde::{Deserialize, Serialize};

use crate::wallet::broadcast::{BroadcastState, BroadcastStatus};
use crate::wallet::service::{Birthday, ScanStatus};
use crate::wallet::watch::{
    Keychain, ScriptOwner, TargetView, WatchChange, WatchItem, Watched, in_bitcoin_crate,
};
use crate::wallet::{
    AccountName, Balance, BlockId, HistoryEntry, Origin, PendingEntry, Place, Unwatched, Utxo,
};

/// Body of `POST /v1/watch`: one of address, script and descriptor, and how it is watched.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchRequestDto {
    /// An address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// A script, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// An output descriptor without private keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<String>,
    /// Counted under which name; `default` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What it is to its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// When it can have been paid first; none for no earlier than the present tip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birthday: Option<BirthdayDto>,
    /// Unused scripts that are watched behind the last used one; 20 where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap_limit: Option<u32>,
}

impl fmt::Debug for WatchRequestDto {
    /// Without what is watched: a descriptor tells everything that its owner has, and will have.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { account, birthday, .. } = self;
        f.debug_struct("WatchRequestDto")
            .field("account", account)
            .field("birthday", birthday)
            .finish_non_exhaustive()
    }
}

/// When something can have been paid first: `{"height": 840000}` or `{"time": 1713571767}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BirthdayDto {
    /// In this block or later.
    Height(u32),
    /// At this time or later, in seconds since 1970.
    Time(u32),
}

impl From<BirthdayDto> for Birthday {
    fn from(birthday: BirthdayDto) -> Self {
        match birthday {
            BirthdayDto::Height(height) => Self::Height(BlockHeight(height)),
            BirthdayDto::Time(time) => Self::Time(UnixTime(time)),
        }
    }
}

/// What a request to watch did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedDto {
    /// The item's number.
    pub id: u32,
    /// `added`, `unchanged` or `updated`.
    pub change: String,
    /// The first block in which it is looked for.
    pub birthday: u32,
    /// Scripts that were added.
    pub added_scripts: usize,
    /// Where blocks have to be looked at for it, from which height on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scan_from: Option<u32>,
}

impl WatchedDto {
    pub(in crate::api) fn of(watched: &Watched, birthday: BlockHeight) -> Self {
        let Watched { id, change, added_scripts, scan_from } = *watched;
        let change = match change {
            WatchChange::Added => "added",
            WatchChange::Unchanged => "unchanged",
            WatchChange::Updated => "updated",
        };
        Self {
            id: id.0,
            change: change.to_owned(),
            birthday: birthday.0,
            added_scripts,
            scan_from: scan_from.map(|height| height.0),
        }
    }
}

/// What a removal took with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnwatchedDto {
    /// The item's number.
    pub id: u32,
    /// Scripts that nobody watches any more.
    pub scripts: usize,
    /// Coins that are forgotten, spent ones included.
    pub coins: usize,
    /// Transactions that are forgotten.
    pub transactions: usize,
}

impl UnwatchedDto {
    pub(in crate::api) const fn of(id: u32, unwatched: &Unwatched) -> Self {
        let Unwatched { scripts, coins, transactions } = *unwatched;
        Self { id, scripts, coins, transactions }
    }
}

/// All that is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchesDto {
    /// The items, in the order in which they were added.
    pub watches: Vec<WatchDto>,
}

/// Something that is watched.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchDto {
    /// Its number.
    pub id: u32,
    /// Its script's address, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its script, in hexadecimal; none for a descriptor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// The descriptor, with its checksum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<String>,
    /// Counted under which name.
    pub account: String,
    /// What it is to its owner; may be empty.
    pub label: String,
    /// The first block in which it is looked for.
    pub birthday: u32,
    /// Of a descriptor with many scripts: how many unused ones are watched behind the last used one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap_limit: Option<u32>,
    /// Scripts that it has.
    pub scripts: usize,
}

impl fmt::Debug for WatchDto {
    /// Without what is watched, as that of [`WatchRequestDto`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, account, .. } = self;
        let mut shown = f.debug_struct("WatchDto");
        shown.field("id", id).field("account", account).finish_non_exhaustive()
    }
}

impl WatchDto {
    pub(in crate::api) fn of(item: &WatchItem, network: Network) -> Self {
        let (script, descriptor) = match item.target.view() {
            TargetView::Script(script) => (Some(format!("{script:x}")), None),
            TargetView::Descriptor { text, .. } => (None, Some(text.to_owned())),
        };
        let gap_limit = item.target.is_ranged().then(|| item.gap_limit.get());
        Self {
            id: item.id.0,
            address: item.target.as_address(network).map(|address| address.to_string()),
            script,
            descriptor,
            account: item.account.to_string(),
            label: item.label.to_string(),
            birthday: item.birthday.0,
            gap_limit,
            scripts: item.scripts(),
        }
    }
}

/// Body of `POST /v1/rescan`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RescanDto {
    /// The first block to look at again.
    pub from: u32,
    /// For which item only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<u32>,
}

/// How far blocks were looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanDto {
    /// The last block that was looked at for everything; none before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tip: Option<BlockIdDto>,
    /// Blocks that are to be looked at still.
    pub blocks_left: u32,
    /// Whether all is done up to the tip of the synced best chain.
    pub synced: bool,
}

/// A block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockIdDto {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: String,
}

impl From<BlockId> for BlockIdDto {
    fn from(block: BlockId) -> Self {
        Self { height: block.height.0, hash: block.hash.to_string() }
    }
}

impl ScanDto {
    /// `best`: the best chain's tip, since blocks above the wallet's are to be looked at, too.
    pub(in crate::api) fn of(status: &ScanStatus, best: BlockHeight) -> Self {
        let above = status.tip.map_or(0, |tip| best.0.saturating_sub(tip.height.0));
        Self {
            tip: status.tip.map(BlockIdDto::from),
            blocks_left: status.blocks_left.saturating_add(above),
            synced: status.synced,
        }
    }
}

/// What an account has, in satoshi.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceDto {
    /// The account; none for all together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Unspent in the best chain, and mature. Includes what waiting transactions spend.
    pub confirmed: u64,
    /// Mined, and not spendable yet.
    pub immature: u64,
    /// What waiting transactions would bring. Unverified.
    pub pending_in: u64,
    /// What waiting transactions would take from `confirmed`.
    pub pending_out: u64,
    /// Of all together: what each has. A coin that two of them watch counts once above.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub accounts: Vec<AccountBalanceDto>,
    /// The transactions that wait.
    pub pending: Vec<PendingDto>,
    /// How far that is true.
    pub scan: ScanDto,
}

/// What one of the accounts has, in satoshi; as in [`BalanceDto`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountBalanceDto {
    /// The account.
    pub account: String,
    /// Unspent and mature.
    pub confirmed: u64,
    /// Mined, and not spendable yet.
    pub immature: u64,
    /// What waiting transactions would bring.
    pub pending_in: u64,
    /// What they would take.
    pub pending_out: u64,
}

impl AccountBalanceDto {
    pub(in crate::api) fn of(account: &AccountName, balance: &Balance) -> Self {
        let Balance { confirmed, immature, pending_in, pending_out } = *balance;
        Self {
            account: account.to_string(),
            confirmed: confirmed.to_sat(),
            immature: immature.to_sat(),
            pending_in: pending_in.to_sat(),
            pending_out: pending_out.to_sat(),
        }
    }
}

impl BalanceDto {
    pub(in crate::api) fn of(
        account: Option<&AccountName>,
        balance: &Balance,
        accounts: Vec<AccountBalanceDto>,
        pending: &[PendingEntry],
        scan: ScanDto,
    ) -> Self {
        let Balance { confirmed, immature, pending_in, pending_out } = *balance;
        Self {
            account: account.map(ToString::to_string),
            confirmed: confirmed.to_sat(),
            immature: immature.to_sat(),
            pending_in: pending_in.to_sat(),
            pending_out: pending_out.to_sat(),
            accounts,
            pending: pending.iter().map(PendingDto::of).collect(),
            scan,
        }
    }
}

/// A transaction that is in no block, as an account sees it; amounts in satoshi.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingDto {
    /// The transaction.
    pub txid: String,
    /// `own` where this node brings it to the network, `peer` where a peer told of it.
    pub origin: String,
    /// When it was seen first, in seconds since 1970.
    pub since: u32,
    /// What it would bring.
    pub received: u64,
    /// What it would take.
    pub sent: u64,
    /// Received less sent.
    pub net: i64,
    /// Always true: nothing but a block proves that a transaction is valid.
    pub unverified: bool,
}

impl PendingDto {
    pub(in crate::api) fn of(entry: &PendingEntry) -> Self {
        let origin = match entry.origin {
            Origin::Own => "own",
            Origin::Peer => "peer",
        };
        Self {
            txid: entry.txid.to_string(),
            origin: origin.to_owned(),
            since: entry.since.0,
            received: entry.received.to_sat(),
            sent: entry.sent.to_sat(),
            net: entry.net().to_sat(),
            unverified: true,
        }
    }
}

/// Coins that are not spent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UtxosDto {
    /// They, in the order of the chain.
    pub utxos: Vec<UtxoDto>,
    /// How far that is true.
    pub scan: ScanDto,
}

/// A coin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UtxoDto {
    /// The transaction that made it.
    pub txid: String,
    /// Which of its outputs.
    pub vout: u32,
    /// What it is worth, in satoshi.
    pub value: u64,
    /// The address that it pays to, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The script that it pays to, in hexadecimal.
    pub script: String,
    /// The height of its block.
    pub height: u32,
    /// The position of its transaction in the block.
    pub position: u32,
    /// Blocks from its own to the tip, both counted.
    pub confirmations: u32,
    /// Whether it was mined.
    pub coinbase: bool,
    /// Whether it may be spent now.
    pub mature: bool,
    /// A waiting transaction that spends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_spend: Option<String>,
    /// Whose script it is.
    pub owners: Vec<OwnerDto>,
}

/// Where a script comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerDto {
    /// The item.
    pub watch: u32,
    /// Which of its descriptor's paths.
    pub keychain: u8,
    /// The derivation index.
    pub index: u32,
}

impl UtxoDto {
    pub(in crate::api) fn of(utxo: &Utxo, network: Network) -> Self {
        let owner = |owner: &ScriptOwner| {
            let ScriptOwner { watch, keychain: Keychain(keychain), index } = *owner;
            OwnerDto { watch: watch.0, keychain, index }
        };
        Self {
            txid: utxo.outpoint.txid.to_string(),
            vout: utxo.outpoint.vout,
            value: utxo.value.to_sat(),
            address: address_of(&utxo.script, network),
            script: format!("{:x}", utxo.script),
            height: utxo.place.height.0,
            position: utxo.place.position,
            confirmations: utxo.confirmations,
            coinbase: utxo.coinbase,
            mature: utxo.mature,
            pending_spend: utxo.pending_spend.map(|txid| txid.to_string()),
            owners: utxo.owners.iter().map(owner).collect(),
        }
    }
}

pub(super) fn address_of(script: &Script, network: Network) -> Option<String> {
    let address = Address::from_script(script, in_bitcoin_crate(network)).ok()?;
    Some(address.to_string())
}

/// A page of history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryDto {
    /// Transactions in no block; on the first page only.
    pub pending: Vec<PendingDto>,
    /// Confirmed transactions, the newest first.
    pub entries: Vec<HistoryEntryDto>,
    /// What the next page has to be asked for with: `before=HEIGHT:POSITION`; none at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// How far that is true.
    pub scan: ScanDto,
}

/// A confirmed transaction, as an account sees it; amounts in satoshi.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntryDto {
    /// The transaction.
    pub txid: String,
    /// The height of its block.
    pub height: u32,
    /// Its position in the block, from 0 for the coinbase.
    pub position: u32,
    /// The block.
    pub block: String,
    /// The time that the block claims, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<u32>,
    /// What it brought.
    pub received: u64,
    /// What it took.
    pub sent: u64,
    /// Received less sent.
    pub net: i64,
    /// Its fee; known where all its inputs are watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fee: Option<u64>,
    /// Blocks from its own to the tip, both counted.
    pub confirmations: u32,
}

impl HistoryEntryDto {
    pub(in crate::api) fn of(entry: &HistoryEntry, chain: &HeaderChain) -> Self {
        Self {
            txid: entry.txid.to_string(),
            height: entry.place.height.0,
            position: entry.place.position,
            block: entry.block.to_string(),
            time: chain.find(&entry.block).map(|(found, _)| found.header.time().0),
            received: entry.received.to_sat(),
            sent: entry.sent.to_sat(),
            net: entry.net().to_sat(),
            fee: entry.fee.map(bitcoin::Amount::to_sat),
            confirmations: entry.confirmations,
        }
    }
}

/// A place as paths have it.
pub(in crate::api) fn place_text(place: Place) -> String {
    format!("{}:{}", place.height, place.position)
}

/// Reads [`place_text`]; none where it is not one.
pub(in crate::api) fn parse_place(text: &str) -> Option<Place> {
    let (height, position) = text.split_once(':')?;
    let height = BlockHeight(height.parse().ok()?);
    Some(Place { height, position: position.parse().ok()? })
}

/// What is watched, in figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalletStatusDto {
    /// Items that are watched.
    pub watches: usize,
    /// Scripts that these have.
    pub scripts: usize,
    /// Transactions that are brought to the network and in no block yet.
    pub sending: usize,
    /// How far blocks were looked at.
    pub scan: ScanDto,
}

impl WalletStatusDto {
    pub(in crate::api) fn of(
        watches: &[WatchItem],
        broadcasts: &[BroadcastStatus],
        scan: ScanDto,
    ) -> Self {
        let is_sending = |status: &&BroadcastStatus| match status.state {
            BroadcastState::Waiting
            | BroadcastState::Announced
            | BroadcastState::Requested
            | BroadcastState::RelayedBack
            | BroadcastState::InferredRejected => true,
            BroadcastState::Confirmed { .. }
            | BroadcastState::Conflicted { .. }
            | BroadcastState::GivenUp => false,
        };
        Self {
            watches: watches.len(),
            scripts: watches.iter().map(WatchItem::scripts).fold(0, usize::saturating_add),
            sending: broadcasts.iter().filter(is_sending).count(),
            scan,
        }
    }
}

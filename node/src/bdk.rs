//! A [`bdk_wallet`] wallet on this node: it keeps keys, addresses and coins, the node finds and proves
//! its transactions and brings new ones to the network.
//!
//! [`sync`] gives it what the node's own wallet has found for its descriptors: the transactions in the
//! chain's order, each proven to be in its block, and the blocks by which it sees what a reorg has taken.
//! No block is fetched twice, and none that does not match. What is in no block is unverified and left
//! out, but for the wallet's own ([`broadcast`]).
//!
//! ```no_run
//! # async fn example(node: ironlight::Node, mut wallet: bdk_wallet::Wallet) -> Result<(), Box<dyn std::error::Error>> {
//! use ironlight::{BlockHeight, bdk};
//!
//! let handle = node.handle();
//! bdk::sync(&handle, &mut wallet, BlockHeight(850_000)).await?;
//! println!("{}", wallet.balance().total());
//! # Ok(())
//! # }
//! ```
//!
//! The bounds are those of the node's wallet. As many scripts are watched as `bdk_wallet` looks for
//! itself: those that were revealed, and its look-ahead.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bdk_wallet::chain::{BlockId, CheckPoint, ConfirmationBlockTime, TxUpdate};
use bdk_wallet::{KeychainKind, Update, Wallet};
use bitcoin::{Transaction, Txid};
use ironlight_spv::{BlockHeight, HeaderChain, Network};

use crate::clock::unix_now;
use crate::handle::{BroadcastFailed, NodeHandle, Stopped, WatchFailed};
use crate::store::StoreError;
use crate::wallet::broadcast::{BroadcastState, Submitted};
use crate::wallet::service::WalletError;
use crate::wallet::watch::{
    GapLimit, Keychain, MAX_GAP_LIMIT, WatchError, WatchItem, WatchRequest, WatchTarget,
    in_bitcoin_crate,
};
use crate::wallet::{AccountName, HistoryEntry, NameError, Place};

/// Entries of history that are read at once.
const PAGE: usize = 1_000;
/// The wait for the node's wallet to follow the chain, before it is looked at again.
const SOON: Duration = Duration::from_millis(10);

/// Why a `bdk_wallet` wallet was not synced. What it was given before stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The wallet is for another network.
    #[error("the wallet is for {wallet}, the node is on {node}")]
    OtherNetwork {
        /// The wallet's.
        wallet: bitcoin::Network,
        /// The node's.
        node: Network,
    },
    /// Its descriptor cannot be watched.
    #[error("a descriptor of the wallet cannot be watched")]
    Descriptor(#[source] WatchError),
    /// It is not watched.
    #[error(transparent)]
    Watch(#[from] WatchFailed),
    /// The node's wallet.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// The wallet has seen blocks above the tip of the best chain, and none of those that left it.
    #[error(
        "the wallet's blocks do not connect to the best chain: begin a new one of the same descriptors"
    )]
    Disjoint(#[from] bdk_wallet::chain::local_chain::CannotConnectError),
    /// The name of its account: a bug.
    #[error("{0}: this is a bug, report it")]
    Account(#[from] NameError),
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// What a sync brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// The block that the wallet is synced to.
    pub tip: BlockId,
    /// Transactions that are confirmed in blocks that the wallet did not know them from, in the chain's order.
    pub confirmed: Vec<Txid>,
}

/// Waits until the node has looked for all scripts of a wallet up to the tip, from a birthday on, and
/// gives it what was found. Persist what the wallet has staged afterwards.
///
/// Cancel safe: given up, the wallet has been given nothing, or a part, which the next call completes.
///
/// # Errors
/// [`SyncError`]
pub async fn sync(
    handle: &NodeHandle,
    wallet: &mut Wallet,
    birthday: BlockHeight,
) -> Result<Synced, SyncError> {
    check_network(handle, wallet)?;
    let account = account(wallet)?;
    loop {
        watch(handle, wallet, &account, birthday).await?;
        let found = find(handle, wallet, &account).await?;
        let confirmed: Vec<Txid> = found.new.iter().map(|(_, tx)| tx.compute_txid()).collect();
        let before = revealed(wallet);
        let tip = found.chain.block_id();
        apply(handle, wallet, found)?;
        // A payment to a late address makes the wallet look for later ones.
        if revealed(wallet) == before {
            return Ok(Synced { tip, confirmed });
        }
    }
}

/// Brings a signed transaction to the network, and has the wallet count it as waiting. Given up, it may
/// be on its way without the wallet knowing; doing it again changes nothing.
///
/// # Errors
/// [`BroadcastFailed`]
pub async fn broadcast(
    handle: &NodeHandle,
    wallet: &mut Wallet,
    transaction: &Transaction,
) -> Result<Submitted, BroadcastFailed> {
    let submitted = handle.broadcast(transaction).await?;
    wallet.apply_unconfirmed_txs([(transaction.clone(), u64::from(unix_now().0))]);
    Ok(submitted)
}

/// The account that a wallet's descriptors are watched for.
///
/// # Errors
/// [`NameError`]: a bug.
pub fn account(wallet: &Wallet) -> Result<AccountName, NameError> {
    format!("bdk-{}", wallet.descriptor_checksum(KeychainKind::External)).parse()
}

fn check_network(handle: &NodeHandle, wallet: &Wallet) -> Result<(), SyncError> {
    let node = handle.chain().read(|chain| chain.params().network);
    if wallet.network() == in_bitcoin_crate(node) {
        Ok(())
    } else {
        Err(SyncError::OtherNetwork { wallet: wallet.network(), node })
    }
}

/// The scripts that a wallet looks for on each of its keychains.
fn revealed(wallet: &Wallet) -> Vec<(KeychainKind, u32)> {
    let lookahead = wallet.spk_index().lookahead();
    let last = |keychain| wallet.next_derivation_index(keychain).saturating_add(lookahead);
    wallet.keychains().map(|(keychain, _)| (keychain, last(keychain))).collect()
}

/// Watches all scripts that the wallet looks for.
async fn watch(
    handle: &NodeHandle,
    wallet: &Wallet,
    account: &AccountName,
    birthday: BlockHeight,
) -> Result<(), SyncError> {
    let network = handle.chain().read(|chain| chain.params().network);
    for (keychain, wanted) in revealed(wallet) {
        let text = wallet.public_descriptor(keychain).to_string();
        let target = WatchTarget::descriptor(&text, network).map_err(SyncError::Descriptor)?;
        let items = handle.wallet().watches();
        let same = |item: &&WatchItem| item.target == target && item.account == *account;
        let (gap, there) = items
            .iter()
            .find(same)
            .map_or((0, 0), |item| (item.gap_limit.get(), item.count(Keychain::default())));
        let gap = gap.saturating_add(wanted.saturating_sub(there)).clamp(1, MAX_GAP_LIMIT);
        let gap_limit = GapLimit::new(gap).map_err(SyncError::Descriptor)?;
        let request = WatchRequest::new(target, birthday);
        let account = account.clone();
        handle.watch(WatchRequest { account, gap_limit, ..request }).await?;
    }
    Ok(())
}

/// What the wallet does not know yet.
struct Found {
    /// The tip, and all blocks by which the wallet sees what has changed.
    chain: CheckPoint,
    /// Transactions with their blocks, in the chain's order.
    new: Vec<(ConfirmationBlockTime, Transaction)>,
}

/// Reads what the node's wallet has, all of it on one branch.
async fn find(
    handle: &NodeHandle,
    wallet: &Wallet,
    account: &AccountName,
) -> Result<Found, SyncError> {
    loop {
        let Some(tip) = handle.wallet().synced().await?.tip else { continue };
        let history = history(handle, account);
        let mut new = Vec::new();
        for entry in history.iter().filter(|entry| !knows(wallet, entry)) {
            let Some(stored) = handle.wallet().transaction(entry.txid).await.map_err(closed)?
            else {
                continue;
            };
            new.push((entry.place.height, entry.block, stored.transaction));
        }
        let found = handle.chain().read(|chain| {
            let on_best = |height, hash| chain.hash_at(height) == Some(hash);
            let whole = new.len() == history.iter().filter(|entry| !knows(wallet, entry)).count();
            let sound = history.iter().all(|entry| on_best(entry.place.height, entry.block));
            if !(whole && sound && on_best(tip.height, tip.hash)) {
                return None;
            }
            let heights = history.iter().map(|entry| entry.place.height.0);
            let chain_update = checkpoints(chain, wallet, heights.chain([tip.height.0]).collect())?;
            let new = new.drain(..).map(|(height, hash, transaction)| {
                let block_id = BlockId { height: height.0, hash };
                let time = chain.get(height).map_or(0, |entry| entry.header.time().0);
                let confirmation_time = u64::from(time);
                (ConfirmationBlockTime { block_id, confirmation_time }, transaction)
            });
            Some(Found { chain: chain_update, new: new.collect() })
        });
        if let Some(found) = found {
            return Ok(found);
        }
        // The chain has moved on, and the node's wallet is about to follow.
        tokio::time::sleep(SOON).await;
    }
}

fn closed(error: WalletError) -> SyncError {
    if matches!(error, WalletError::Store(StoreError::Closed) | WalletError::Stopped(_)) {
        Stopped.into()
    } else {
        error.into()
    }
}

/// All of it, the oldest first.
fn history(handle: &NodeHandle, account: &AccountName) -> Vec<HistoryEntry> {
    let (mut entries, mut before): (Vec<HistoryEntry>, Option<Place>) = (Vec::new(), None);
    loop {
        let page = handle.history(Some(account), before, PAGE);
        entries.extend(page.entries);
        before = page.next;
        if before.is_none() {
            entries.reverse();
            return entries;
        }
    }
}

/// Whether a wallet has a transaction from this block.
fn knows(wallet: &Wallet, entry: &HistoryEntry) -> bool {
    let node = wallet.tx_graph().get_tx_node(entry.txid);
    node.is_some_and(|node| node.anchors.iter().any(|anchor| anchor.block_id.hash == entry.block))
}

/// The best chain at these heights, and at all where the wallet has a block up to the highest: so it sees
/// which of its own are gone. None where the chain has not all of them.
fn checkpoints(
    chain: &HeaderChain,
    wallet: &Wallet,
    mut heights: BTreeSet<u32>,
) -> Option<CheckPoint> {
    let highest = heights.last().copied()?;
    let own: Vec<BlockId> =
        wallet.local_chain().iter_checkpoints().map(|it| it.block_id()).collect();
    heights.extend(own.iter().map(|block| block.height).filter(|height| *height <= highest));
    let start = chain.start_height().0;
    let blocks = heights.into_iter().map(|height| {
        if height < start {
            // Below a trusted start nothing is known, and nothing changes.
            return own.iter().find(|block| block.height == height).copied();
        }
        let hash = chain.hash_at(BlockHeight(height))?;
        Some(BlockId { height, hash })
    });
    CheckPoint::from_block_ids(blocks.collect::<Option<Vec<_>>>()?).ok()
}

fn apply(handle: &NodeHandle, wallet: &mut Wallet, found: Found) -> Result<(), SyncError> {
    wallet.apply_update(Update { chain: Some(found.chain), ..Update::default() })?;
    // One after the other: each may reveal addresses that the next one pays to.
    for (anchor, transaction) in found.new {
        let mut tx_update = TxUpdate::default();
        tx_update.anchors.insert((anchor, transaction.compute_txid()));
        tx_update.txs.push(Arc::new(transaction));
        wallet.apply_update(Update { tx_update, ..Update::default() })?;
    }
    let now = u64::from(unix_now().0);
    let waiting = wallet.transactions().filter(|tx| tx.chain_position.is_unconfirmed());
    let waiting: Vec<Txid> = waiting.map(|tx| tx.tx_node.txid).collect();
    let hopeless = |txid: &Txid| {
        let status = handle.wallet().broadcast_status(txid);
        status.is_some_and(|status| {
            matches!(status.state, BroadcastState::Conflicted { .. } | BroadcastState::GivenUp)
        })
    };
    wallet.apply_evicted_txs(waiting.into_iter().filter(hopeless).map(|txid| (txid, now)));
    Ok(())
}

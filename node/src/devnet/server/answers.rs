//! What a full node answers, from the ledger alone.

use std::sync::Arc;

use bitcoin::bip158::{FilterHash, FilterHeader};
use bitcoin::block::Header;
use bitcoin::hashes::Hash as _;
use bitcoin::p2p::message::NetworkMessage;
use bitcoin::p2p::message_blockdata::{GetHeadersMessage, Inventory};
use bitcoin::p2p::message_filter::{
    CFCheckpt, CFHeaders, CFilter, GetCFCheckpt, GetCFHeaders, GetCFilters,
};
use bitcoin::{Block, BlockHash, Txid, Witness};

use super::frames::PeerError;
use crate::devnet::ledger::{Entry, Ledger, Tree};

/// Headers in a message at most (Core, `MAX_HEADERS_RESULTS`).
const MAX_HEADERS: usize = 2000;
/// New blocks announced by their headers at most (Core, `MAX_BLOCKS_TO_ANNOUNCE`).
const MAX_ANNOUNCED: usize = 8;
/// The basic filter (BIP158), the only one there is.
const BASIC: u8 = 0;
/// Filters in an answer at most (BIP157).
const MAX_FILTERS: u32 = 1000;
/// Filter hashes in an answer at most (BIP157).
const MAX_FILTER_HEADERS: u32 = 2000;
/// Blocks from one checkpoint to the next (BIP157).
const CHECKPOINT_INTERVAL: u32 = 1000;

/// What follows the first hash of the locator that is on the best chain; with an empty locator
/// the one header that `stop` names (Core, `ProcessMessage`, `getheaders`).
pub(super) fn headers(tree: &Tree, request: &GetHeadersMessage) -> Vec<Header> {
    if request.locator_hashes.is_empty() {
        return tree.get(&request.stop_hash).map(|entry| entry.block.header).into_iter().collect();
    }
    let mut known = request.locator_hashes.iter().filter_map(|hash| tree.get(hash));
    let fork = known.find(|entry| tree.is_best(entry)).map_or(0, |entry| entry.height);
    let mut headers = Vec::new();
    for entry in tree.from(fork.saturating_add(1)).take(MAX_HEADERS) {
        headers.push(entry.block.header);
        if entry.hash == request.stop_hash {
            break;
        }
    }
    headers
}

/// What one entry of a `getdata` asks for; none where it is not there.
pub(super) fn data(ledger: &Ledger, wanted: &Inventory) -> Option<Data> {
    let block = |hash| ledger.tree().get(hash).map(Arc::clone);
    let mut pool = ledger.pool().iter().map(|waiting| &waiting.transaction);
    match wanted {
        Inventory::Block(hash) => block(hash).map(Data::StrippedBlock),
        Inventory::WitnessBlock(hash) => block(hash).map(Data::Block),
        Inventory::Transaction(txid) => ledger.waiting(txid).map(|tx| {
            let mut tx = tx.clone();
            tx.input.iter_mut().for_each(|input| input.witness = Witness::new());
            Data::Transaction(tx)
        }),
        Inventory::WitnessTransaction(txid) => ledger.waiting(txid).cloned().map(Data::Transaction),
        Inventory::WTx(wtxid) => {
            pool.find(|tx| tx.compute_wtxid() == *wtxid).cloned().map(Data::Transaction)
        }
        Inventory::Error | Inventory::CompactBlock(_) | Inventory::Unknown { .. } => None,
    }
}

/// An answer that is made outside the lock.
#[derive(Debug)]
pub(super) enum Data {
    Block(Arc<Entry>),
    StrippedBlock(Arc<Entry>),
    Transaction(bitcoin::Transaction),
}

impl Data {
    pub(super) fn into_message(self) -> NetworkMessage {
        match self {
            Self::Block(entry) => NetworkMessage::Block(entry.block.clone()),
            Self::StrippedBlock(entry) => NetworkMessage::Block(stripped(&entry.block)),
            Self::Transaction(transaction) => NetworkMessage::Tx(transaction),
        }
    }
}

/// A block as those see it who do not know of witnesses (BIP144).
fn stripped(block: &Block) -> Block {
    let mut block = block.clone();
    for input in block.txdata.iter_mut().flat_map(|tx| &mut tx.input) {
        input.witness = Witness::new();
    }
    block
}

/// The blocks from a height to one that is named, by that one's ancestors.
fn range(
    tree: &Tree,
    filter_type: u8,
    start: u32,
    stop: &BlockHash,
    most: u32,
) -> Result<Vec<Arc<Entry>>, PeerError> {
    let bad = PeerError::BadFilterRequest;
    let Some(stop) = tree.get(stop).filter(|_| filter_type == BASIC) else { return Err(bad) };
    let count = stop.height.checked_sub(start).ok_or(PeerError::BadFilterRequest)?;
    if count >= most {
        return Err(bad);
    }
    let blocks = (start..=stop.height).map(|height| tree.ancestor(stop, height).cloned());
    blocks.collect::<Option<_>>().ok_or(bad)
}

/// The filters of a range, one message each (BIP157, `getcfilters`).
pub(super) fn filters(tree: &Tree, request: &GetCFilters) -> Result<Vec<Arc<Entry>>, PeerError> {
    let GetCFilters { filter_type, start_height, stop_hash } = request;
    range(tree, *filter_type, *start_height, stop_hash, MAX_FILTERS)
}

pub(super) fn filter_message(entry: &Entry) -> NetworkMessage {
    let (block_hash, filter) = (entry.hash, entry.filter.clone());
    NetworkMessage::CFilter(CFilter { filter_type: BASIC, block_hash, filter })
}

/// The filter hashes of a range and the filter header before it (BIP157, `getcfheaders`).
pub(super) fn filter_headers(tree: &Tree, request: &GetCFHeaders) -> Result<CFHeaders, PeerError> {
    let GetCFHeaders { filter_type, start_height, stop_hash } = request;
    let blocks = range(tree, *filter_type, *start_height, stop_hash, MAX_FILTER_HEADERS)?;
    let before = blocks.first().filter(|first| first.height > 0);
    let before = before.and_then(|first| tree.parent(first)).map(|parent| parent.filter_header);
    let filter_hashes: Vec<FilterHash> = blocks.iter().map(|entry| entry.filter_hash).collect();
    Ok(CFHeaders {
        filter_type: BASIC,
        stop_hash: *stop_hash,
        previous_filter_header: before.unwrap_or_else(FilterHeader::all_zeros),
        filter_hashes,
    })
}

/// Every thousandth filter header up to a block (BIP157, `getcfcheckpt`).
pub(super) fn filter_checkpoints(
    tree: &Tree,
    request: &GetCFCheckpt,
) -> Result<CFCheckpt, PeerError> {
    let stop = tree.get(&request.stop_hash).filter(|_| request.filter_type == BASIC);
    let stop = stop.ok_or(PeerError::BadFilterRequest)?;
    let heights = (1..=stop.height / CHECKPOINT_INTERVAL).map(|step| step * CHECKPOINT_INTERVAL);
    let headers = heights.filter_map(|height| tree.ancestor(stop, height));
    let filter_headers = headers.map(|entry| entry.filter_header).collect();
    Ok(CFCheckpt { filter_type: BASIC, stop_hash: stop.hash, filter_headers })
}

/// Tells of a new tip to a peer that was told of another: by its headers where the peer prefers
/// that and they are few, else by its hash (BIP130; Core, `SendMessages`). None for nothing new.
pub(super) fn announcement(
    tree: &Tree,
    told: &BlockHash,
    by_headers: bool,
) -> Option<NetworkMessage> {
    let tip = tree.tip();
    if tip.hash == *told {
        return None;
    }
    let connected = tree.since(told).connected;
    if by_headers && !connected.is_empty() && connected.len() <= MAX_ANNOUNCED {
        let headers = connected.iter().map(|entry| entry.block.header);
        return Some(NetworkMessage::Headers(headers.collect()));
    }
    Some(NetworkMessage::Inv(vec![Inventory::Block(tip.hash)]))
}

/// What is to be asked of a peer that announced transactions: those that do not wait here yet, at most a
/// thousand.
pub(super) fn wanted(ledger: &Ledger, announced: &[Inventory]) -> Vec<Inventory> {
    let wanted = announced.iter().filter_map(|entry| match entry {
        Inventory::Transaction(txid) => {
            ledger.waiting(txid).is_none().then_some(Inventory::WitnessTransaction(*txid))
        }
        Inventory::WTx(wtxid) => {
            let mut pool = ledger.pool().iter();
            let waits = pool.any(|waiting| waiting.transaction.compute_wtxid() == *wtxid);
            (!waits).then_some(Inventory::WTx(*wtxid))
        }
        Inventory::Error
        | Inventory::Block(_)
        | Inventory::CompactBlock(_)
        | Inventory::WitnessTransaction(_)
        | Inventory::WitnessBlock(_)
        | Inventory::Unknown { .. } => None,
    });
    wanted.take(1000).collect()
}

/// Waiting transactions that came after the `last` one, at most a thousand, and the new last.
pub(super) fn new_transactions(ledger: &Ledger, last: u64) -> (Vec<Txid>, u64) {
    let new = ledger.pool().iter().filter(|waiting| waiting.number > last);
    let mut new: Vec<_> = new.map(|waiting| (waiting.number, waiting.txid)).collect();
    new.sort_unstable();
    new.truncate(1000);
    let last = new.last().map_or(last, |(number, _)| *number);
    (new.into_iter().map(|(_, txid)| txid).collect(), last)
}

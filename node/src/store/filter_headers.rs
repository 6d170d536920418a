//! Filter headers and the hashes of their filters on disk, in pieces of 250, each with the hash of its
//! last block.
//!
//! They are a claim of peers, and not believed when they are read: those of blocks that are not on the
//! best chain any more are left out, what is damaged ends the chain there, and what is stored and
//! wrong is noticed by the filter sync and fetched again.

use std::ops::{ControlFlow, Range};

use bitcoin::BlockHash;
use bitcoin::bip158::{FilterHash, FilterHeader};
use bitcoin::hashes::Hash as _;
use ironlight_spv::filter::{FilterAnchor, FilterHeaderChain};
use ironlight_spv::{BlockHeight, HeaderChain};

use super::{Store, StoreError, Table, WriteBatch, checksum};

/// Headers in a piece: 16 KB, which each new block rewrites.
const PIECE: u32 = 250;
/// Where the first height is recorded.
const FIRST_KEY: &[u8] = b"filter_headers_from";

/// What is kept of a filter beside itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterEntry {
    /// Its header.
    pub header: FilterHeader,
    /// Its hash; all zeros for an anchor, of which only the header is known.
    pub hash: FilterHash,
}

/// A piece as it was read.
struct Piece {
    entries: Vec<FilterEntry>,
    last_block: BlockHash,
}

/// The stored chain as far as its blocks are on the best chain; what is above is taken out of the
/// store. None where nothing is stored.
///
/// # Errors
/// [`StoreError`] where the store itself fails.
pub fn load(
    store: &dyn Store,
    chain: &HeaderChain,
) -> Result<Option<FilterHeaderChain>, StoreError> {
    let Some(first) = first_height(store)? else { return Ok(None) };
    let mut pieces = pieces(store, first)?;
    let mut next = end(first, &pieces);
    let mut loaded = None;
    while let Some(last) = pieces.last() {
        let headers =
            pieces.iter().flat_map(|piece| piece.entries.iter().map(|entry| entry.header));
        if on_best_chain(chain, next, &last.last_block)
            && let Ok(found) = FilterHeaderChain::load(first, headers, last.last_block, chain)
        {
            loaded = Some(found);
            break;
        }
        pieces.pop();
        next = end(first, &pieces);
    }
    // Pieces were left out whole; the last one that stays need not be full.
    let after = BlockHeight(next.0.div_ceil(PIECE).saturating_mul(PIECE));
    let mut batch = WriteBatch::new();
    batch.delete_from(Table::FilterHeaders, key(after));
    store.commit(batch)?;
    Ok(loaded)
}

/// Adds to a batch what drops all and begins again, with an anchor or at genesis.
pub fn restart(batch: &mut WriteBatch, anchor: Option<&FilterAnchor>) {
    batch.delete_from(Table::FilterHeaders, Vec::new());
    let first = anchor.map_or(BlockHeight::GENESIS, |anchor| anchor.height);
    let value = checksum::seal(Table::Meta, FIRST_KEY, &first.0.to_le_bytes());
    batch.put(Table::Meta, FIRST_KEY, value);
    if let Some(anchor) = anchor {
        let entry = FilterEntry { header: anchor.header, hash: FilterHash::all_zeros() };
        let piece = Piece { entries: vec![entry], last_block: anchor.block_hash };
        write(batch, first, &piece);
    }
}

/// Adds to a batch headers that come after the stored ones. `block_at` gives their blocks; a piece that
/// ends with none belongs to no chain, and is not loaded.
///
/// # Errors
/// [`StoreError`] where the store itself fails.
pub fn append(
    store: &dyn Store,
    batch: &mut WriteBatch,
    first: BlockHeight,
    entries: &[FilterEntry],
    block_at: impl Fn(BlockHeight) -> Option<BlockHash>,
) -> Result<(), StoreError> {
    if first == BlockHeight::GENESIS {
        restart(batch, None);
    }
    let mut height = first;
    let mut rest = entries;
    while !rest.is_empty() {
        let start = BlockHeight(height.0 - height.0 % PIECE);
        let room = usize::try_from(start.0.saturating_add(PIECE) - height.0).unwrap_or(0);
        let (new, after) = rest.split_at(room.min(rest.len()));
        let mut all = Vec::new();
        if height > start {
            let kept = usize::try_from(height.0 - start.0).unwrap_or(0);
            all = read_piece(store, start)?.map(|piece| piece.entries).unwrap_or_default();
            all.truncate(kept);
        }
        all.extend_from_slice(new);
        let next = height.plus(u32::try_from(new.len()).unwrap_or(u32::MAX));
        let last_block = next.minus(1).and_then(&block_at).unwrap_or_else(BlockHash::all_zeros);
        write(batch, start, &Piece { entries: all, last_block });
        (height, rest) = (next, after);
    }
    Ok(())
}

/// Adds to a batch what drops the headers above a height, whose block is on the best chain.
///
/// # Errors
/// [`StoreError`] where the store itself fails.
pub fn rollback(
    store: &dyn Store,
    batch: &mut WriteBatch,
    chain: &HeaderChain,
    to: BlockHeight,
) -> Result<(), StoreError> {
    let start = BlockHeight(to.0 - to.0 % PIECE);
    batch.delete_from(Table::FilterHeaders, key(start));
    let Some(mut piece) = read_piece(store, start)? else { return Ok(()) };
    piece.entries.truncate(usize::try_from(to.0 - start.0 + 1).unwrap_or(usize::MAX));
    if let Some(last_block) = chain.hash_at(to) {
        piece.last_block = last_block;
        write(batch, start, &piece);
    }
    Ok(())
}

/// What is stored of heights that follow each other, as far as there is anything.
///
/// # Errors
/// [`StoreError`] where the store itself fails.
pub fn read(
    store: &dyn Store,
    heights: Range<BlockHeight>,
) -> Result<Vec<FilterEntry>, StoreError> {
    let mut found = Vec::new();
    let mut height = heights.start;
    while height < heights.end {
        let start = BlockHeight(height.0 - height.0 % PIECE);
        let Some(piece) = read_piece(store, start)? else { break };
        let skipped = usize::try_from(height.0 - start.0).unwrap_or(usize::MAX);
        let wanted = usize::try_from(heights.end.0 - height.0).unwrap_or(usize::MAX);
        let before = found.len();
        found.extend(piece.entries.into_iter().skip(skipped).take(wanted));
        if found.len() == before {
            break;
        }
        height = height.plus(u32::try_from(found.len() - before).unwrap_or(u32::MAX));
    }
    Ok(found)
}

/// The first height that is stored.
///
/// # Errors
/// [`StoreError`] where the store itself fails.
pub fn first_height(store: &dyn Store) -> Result<Option<BlockHeight>, StoreError> {
    let Some(stored) = store.get(Table::Meta, FIRST_KEY)? else { return Ok(None) };
    let payload = checksum::open(Table::Meta, FIRST_KEY, &stored).ok();
    let height = payload.and_then(|payload| payload.try_into().ok()).map(u32::from_le_bytes);
    Ok(height.map(BlockHeight))
}

fn key(height: BlockHeight) -> Vec<u8> {
    (height.0 - height.0 % PIECE).to_be_bytes().to_vec()
}

fn end(first: BlockHeight, pieces: &[Piece]) -> BlockHeight {
    let count: usize = pieces.iter().map(|piece| piece.entries.len()).sum();
    first.plus(u32::try_from(count).unwrap_or(u32::MAX))
}

fn on_best_chain(chain: &HeaderChain, next: BlockHeight, last_block: &BlockHash) -> bool {
    next.minus(1).and_then(|last| chain.hash_at(last)).as_ref() == Some(last_block)
}

/// All pieces without a gap, up to the first that is damaged or not full.
fn pieces(store: &dyn Store, first: BlockHeight) -> Result<Vec<Piece>, StoreError> {
    let mut found = Vec::new();
    let mut next = first;
    store.scan(Table::FilterHeaders, &key(first), &mut |row, stored| {
        let payload = checksum::open(Table::FilterHeaders, row, stored).ok();
        let Some(piece) = payload.and_then(decode).filter(|_| row == next.0.to_be_bytes()) else {
            return ControlFlow::Break(());
        };
        next = next.plus(u32::try_from(piece.entries.len()).unwrap_or(u32::MAX));
        found.push(piece);
        if next.0.is_multiple_of(PIECE) {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    Ok(found)
}

fn read_piece(store: &dyn Store, start: BlockHeight) -> Result<Option<Piece>, StoreError> {
    let Some(stored) = store.get(Table::FilterHeaders, &key(start))? else { return Ok(None) };
    Ok(checksum::open(Table::FilterHeaders, &key(start), &stored).ok().and_then(decode))
}

/// The hash of the last block, then of each filter the header and the hash.
fn write(batch: &mut WriteBatch, start: BlockHeight, piece: &Piece) {
    let mut payload = piece.last_block.to_byte_array().to_vec();
    for FilterEntry { header, hash } in &piece.entries {
        payload.extend_from_slice(&header.to_byte_array());
        payload.extend_from_slice(&hash.to_byte_array());
    }
    let value = checksum::seal(Table::FilterHeaders, &key(start), &payload);
    batch.put(Table::FilterHeaders, key(start), value);
}

fn decode(payload: &[u8]) -> Option<Piece> {
    let (last_block, rest) = payload.split_first_chunk()?;
    let (pairs, []) = rest.as_chunks::<64>() else { return None };
    let read = |pair: &[u8; 64]| {
        let (header, hash) = pair.split_first_chunk()?;
        let hash = FilterHash::from_byte_array(hash.try_into().ok()?);
        Some(FilterEntry { header: FilterHeader::from_byte_array(*header), hash })
    };
    let entries: Vec<FilterEntry> = pairs.iter().map(read).collect::<Option<_>>()?;
    let last_block = BlockHash::from_byte_array(*last_block);
    (!entries.is_empty()).then_some(Piece { entries, last_block })
}

#[cfg(test)]
#[path = "filter_headers_tests.rs"]
mod tests;

//! Headers on disk: sealed difficulty periods as one compact value each, the open period in
//! pieces of 144 headers, so that one new header rewrites little.
//!
//! Invariant: the values, in key order, hold the best chain without gaps from the header after
//! its start up to the tip, and one batch takes it from one tip to the next. Nothing on disk is
//! believed: loading checks every checksum and verifies every header again by all rules, and cuts
//! the chain back to the last good value.

use std::ops::ControlFlow;

use ironlight_spv::chain::{HeaderChain, HeaderError, TipChange, Violation};
use ironlight_spv::compress::{self, HeaderBody};
use ironlight_spv::{BlockHash, BlockHeight, Header, HeaderRun, LinkedBatch, Params, UnixTime};

use super::checksum::{self, Damage};
use super::{Store, StoreError, Table, WriteBatch, start_record};

/// Headers in a sealed value: a difficulty period of every network that retargets.
const SEALED: u32 = 2016;
/// Headers in a value of the open period.
const PIECE: u32 = 144;
/// Where the trusted start is recorded.
const START_KEY: &[u8] = b"start";
/// Where the network is recorded.
const NETWORK_KEY: &[u8] = b"network";

/// A chain as it was found on disk.
#[derive(Debug)]
pub struct Loaded {
    /// The chain, every header verified again.
    pub chain: HeaderChain,
    /// What was damaged and has been cut off; those headers have to be fetched again.
    pub cut: Option<Cut>,
}

/// The chain on disk was damaged and ends earlier now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The last good height.
    pub tip: BlockHeight,
    /// Height of the first header of the damaged value.
    pub damaged_at: BlockHeight,
    /// What was wrong with it.
    pub reason: String,
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tip, damaged_at, reason } = self;
        write!(f, "the value at height {damaged_at} is damaged ({reason}); cut back to {tip}")
    }
}

/// The batch that records a chain's network, and its start where that is not genesis; for a
/// store that holds no chain yet.
#[must_use]
pub fn begin(chain: &HeaderChain) -> WriteBatch {
    let mut batch = WriteBatch::default();
    batch.delete_from(Table::Headers, Vec::new());
    batch.delete(Table::Meta, START_KEY);
    put(&mut batch, Table::Meta, NETWORK_KEY, &network_id(chain.params()));
    if chain.start_height() != BlockHeight::GENESIS {
        put(&mut batch, Table::Meta, START_KEY, &start_record::encode(chain.start()));
    }
    batch
}

/// What a store must agree on: a signet of one's own has the genesis of every signet, but a
/// magic of its own.
fn network_id(params: &Params) -> Vec<u8> {
    [params.network.name().as_bytes(), b" ", &params.magic].concat()
}

fn put(batch: &mut WriteBatch, table: Table, key: &[u8], payload: &[u8]) {
    batch.put(table, key.to_vec(), checksum::seal(table, key, payload));
}

/// The batch that takes the store to where `change` takes the chain; made before it is applied.
#[must_use]
pub fn batch_for(chain: &HeaderChain, change: &TipChange) -> WriteBatch {
    let mut batch = WriteBatch::default();
    match change {
        TipChange::Unchanged => {}
        TipChange::Extended { connected } | TipChange::Reorg { connected, .. } => {
            write_run(&mut batch, chain, connected);
        }
    }
    batch
}

fn write_run(batch: &mut WriteBatch, chain: &HeaderChain, connected: &HeaderRun) {
    let end = connected.first_height().plus(u32::try_from(connected.len()).unwrap_or(u32::MAX));
    let first = connected.first_height();
    let lowest = chain.start_height().next();
    // Where a period is or becomes complete, its one sealed value is what gets rewritten.
    let sealed = chain.tip().height.next().max(end).0 / SEALED > first.0 / SEALED;
    let unit = if sealed { SEALED } else { PIECE };
    let mut from = BlockHeight(first.0 - first.0 % unit).max(lowest);
    batch.delete_from(Table::Headers, key(from));
    while from < end {
        let sealed_end = (from.0 / SEALED + 1) * SEALED;
        let piece_end = (from.0 / PIECE + 1) * PIECE;
        let to = if sealed_end <= end.0 { sealed_end } else { piece_end.min(end.0) };
        let to = BlockHeight(to);
        write_value(batch, chain, connected, from, to);
        from = to;
    }
}

/// One value: heights from `from` up to, not including, `to`. The headers below the run come
/// from the chain as it is.
fn write_value(
    batch: &mut WriteBatch,
    chain: &HeaderChain,
    connected: &HeaderRun,
    from: BlockHeight,
    to: BlockHeight,
) {
    let first = connected.first_height();
    let skipped = usize::try_from(from.0.saturating_sub(first.0)).unwrap_or(usize::MAX);
    let length = usize::try_from(to.0.saturating_sub(from.0.max(first.0))).unwrap_or(0);
    let new = connected.headers().iter().skip(skipped).take(length);
    let parent = if from > first {
        connected.headers().get(skipped).map(Header::prev_hash)
    } else {
        from.minus(1).and_then(|before| chain.hash_at(before))
    };
    let Some(parent) = parent else { return };
    let old = chain.bodies(from..first.min(to).max(from));
    let payload = compress::encode(parent, old.chain(new.map(HeaderBody::from)));
    put(batch, Table::Headers, &key(from), &payload);
}

fn key(height: BlockHeight) -> Vec<u8> {
    height.0.to_be_bytes().to_vec()
}

/// Reads one row: whether the store still answers.
///
/// # Errors
/// [`StoreError`]
pub(crate) fn probe(store: &dyn Store) -> Result<(), StoreError> {
    store.get(Table::Meta, NETWORK_KEY).map(drop)
}

/// Reads the chain of a network back, verifies it again and repairs the store where it is
/// damaged. None where the store holds no chain.
///
/// # Errors
/// [`StoreError`] where the store itself fails, or holds another network.
pub fn load(store: &dyn Store, params: &Params) -> Result<Option<Loaded>, StoreError> {
    let Some(mut loaded) = read(store, params)? else { return Ok(None) };
    if let Some(cut) = &mut loaded.cut {
        let mut repair = WriteBatch::default();
        repair.delete_from(Table::Headers, key(cut.damaged_at));
        store.commit(repair)?;
        cut.tip = loaded.chain.tip().height;
    }
    Ok(Some(loaded))
}

/// As [`load`], but changes nothing.
///
/// # Errors
/// As [`load`].
pub fn read(store: &dyn Store, params: &Params) -> Result<Option<Loaded>, StoreError> {
    let Some(network) = get(store, Table::Meta, NETWORK_KEY)? else {
        return if has_headers(store)? { Err(StoreError::NoNetwork) } else { Ok(None) };
    };
    if network != network_id(params) {
        let (found, wanted) = (readable(&network), readable(&network_id(params)));
        return Err(StoreError::OtherNetwork { found, wanted });
    }
    let mut chain = match get(store, Table::Meta, START_KEY)? {
        None => HeaderChain::new(params.clone()),
        Some(record) => start_of(params, &record)?,
    };
    let cut = read_headers(store, &mut chain)?;
    Ok(Some(Loaded { chain, cut }))
}

fn has_headers(store: &dyn Store) -> Result<bool, StoreError> {
    let mut found = false;
    store.scan(Table::Headers, &[], &mut |_, _| {
        found = true;
        ControlFlow::Break(())
    })?;
    Ok(found)
}

/// A network's record for people: its name, and its magic in hexadecimal.
fn readable(network: &[u8]) -> String {
    let mut parts = network.splitn(2, |byte| *byte == b' ');
    let name = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let magic = parts.next().unwrap_or_default();
    let magic: String = magic.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{name} (magic {magic})")
}

fn start_of(params: &Params, record: &[u8]) -> Result<HeaderChain, StoreError> {
    let unusable = |reason: String| StoreError::UnusableStart { reason };
    let start = start_record::decode(record)
        .ok_or_else(|| unusable(format!("{} bytes of no known form", record.len())))?;
    HeaderChain::from_start(params.clone(), start)
        .map_err(|error| contradiction(&error).unwrap_or_else(|| unusable(error.to_string())))
}

fn get(store: &dyn Store, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(stored) = store.get(table, key)? else { return Ok(None) };
    let payload = checksum::open(table, key, &stored).map_err(StoreError::Damaged)?;
    Ok(Some(payload.to_vec()))
}

/// The user's checkpoint against what is stored: no damage, and nothing to mend.
fn contradiction(error: &HeaderError) -> Option<StoreError> {
    let Violation::CheckpointMismatch { expected } = error.violation else { return None };
    let height = error.height.unwrap_or_default();
    Some(StoreError::Checkpoint { height, found: error.hash, expected })
}

/// Why a value does not go onto the chain.
enum Refusal {
    /// It is damaged.
    Damaged(String),
    /// It is whole, and something else is wrong.
    Other(StoreError),
}

/// Appends all values to the chain; stops at the first that is damaged.
fn read_headers(store: &dyn Store, chain: &mut HeaderChain) -> Result<Option<Cut>, StoreError> {
    let mut outcome = Ok(None);
    store.scan(Table::Headers, &[], &mut |key, stored| {
        let next = chain.tip().height.next();
        outcome = match append(chain, key, stored) {
            Ok(()) => return ControlFlow::Continue(()),
            Err(Refusal::Other(error)) => Err(error),
            Err(Refusal::Damaged(reason)) => {
                let damaged_at = height_of(key).unwrap_or(next).min(next);
                Ok(Some(Cut { tip: chain.tip().height, damaged_at, reason }))
            }
        };
        ControlFlow::Break(())
    })?;
    outcome
}

fn height_of(key: &[u8]) -> Option<BlockHeight> {
    key.try_into().ok().map(|key| BlockHeight(u32::from_be_bytes(key)))
}

fn append(chain: &mut HeaderChain, key: &[u8], stored: &[u8]) -> Result<(), Refusal> {
    let linked = decode(chain, key, stored).map_err(Refusal::Damaged)?;
    // The rule against headers from the future was applied when they came in; a clock that was
    // set back since must not cost the chain.
    let batch = chain.verify_linked(linked, UnixTime::MAX).map_err(|error| {
        contradiction(&error).map_or_else(|| Refusal::Damaged(error.to_string()), Refusal::Other)
    })?;
    match chain.apply(batch) {
        Ok(TipChange::Extended { .. }) => Ok(()),
        Ok(TipChange::Unchanged | TipChange::Reorg { .. }) => {
            Err(Refusal::Damaged("its headers do not extend the chain".to_owned()))
        }
        Err(stale) => Err(Refusal::Damaged(stale.to_string())),
    }
}

/// The headers of a value that is whole and in its place.
fn decode(chain: &HeaderChain, key: &[u8], stored: &[u8]) -> Result<LinkedBatch, String> {
    let expected = chain.tip().height.next();
    let height = height_of(key).ok_or("its key is no height")?;
    if height != expected {
        return Err(format!("heights {expected} to {height} are missing before it"));
    }
    let payload =
        checksum::open(Table::Headers, key, stored).map_err(|damage: Damage| damage.to_string())?;
    let limit = usize::try_from(SEALED).unwrap_or(usize::MAX);
    LinkedBatch::decode(chain.params(), payload, limit).map_err(|error| error.to_string())
}

/// Whether a trusted start is what the store begins with.
#[must_use]
pub fn starts_with(chain: &HeaderChain, height: BlockHeight, hash: BlockHash) -> bool {
    chain.start_height() == height && chain.start().header.hash() == hash
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;

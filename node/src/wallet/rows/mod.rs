//! The rows of the table `wallet`, byte by byte as docs/STORE_FORMAT.md has them.
//!
//! A key begins with a letter that says what kind of row it is; numbers in keys are big-endian, so that
//! rows sort by them. Values are sealed ([`checksum`]).

pub(crate) mod bytes;

use bitcoin::hashes::Hash as _;
use bitcoin::{OutPoint, ScriptBuf, Transaction};
use ironlight_spv::{BlockHeight, Network};

use self::bytes::{Bytes, push_script, push_text};
use super::coin::{BlockId, Coin, Entry, Place, Spend};
use super::label::{AccountName, Label};
use super::marks::Marks;
use super::scan::{Job, JobKey, ScanKind};
use super::watch::{GapLimit, Keychain, ScriptOwner, TargetView, WatchId, WatchItem, WatchTarget};
use crate::store::{Table, WriteBatch, checksum};

/// The first byte of a key: a body, a coin and so on.
pub(super) const BODY: u8 = b'B';
pub(super) const COIN: u8 = b'C';
pub(super) const ENTRY: u8 = b'E';
pub(super) const ITEM: u8 = b'I';
pub(super) const JOB: u8 = b'J';
pub(super) const SCRIPT: u8 = b'S';
/// The claim of the last file that was imported.
pub(super) const CLAIM_KEY: &[u8] = b"claim";
/// The number that the next item gets.
pub(super) const NEXT_KEY: &[u8] = b"next";
/// The tip, and older blocks of its branch.
pub(super) const TIP_KEY: &[u8] = b"tip";

/// Sets a row, or removes it where there is no payload.
pub(super) fn set(batch: &mut WriteBatch, key: Vec<u8>, payload: Option<Vec<u8>>) {
    match payload {
        Some(payload) => {
            let sealed = checksum::seal(Table::Wallet, &key, &payload);
            batch.put(Table::Wallet, key, sealed);
        }
        None => batch.delete(Table::Wallet, key),
    }
}

fn place_key(kind: u8, place: Place) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend(place.height.0.to_be_bytes());
    key.extend(place.position.to_be_bytes());
    key
}

/// `B`: the transaction of a place, with its proof.
pub(super) fn body_key(place: Place) -> Vec<u8> {
    place_key(BODY, place)
}

/// `E`: what is known of the transaction of a place.
pub(super) fn entry_key(place: Place) -> Vec<u8> {
    place_key(ENTRY, place)
}

/// `C`: a coin.
pub(super) fn coin_key(outpoint: &OutPoint) -> Vec<u8> {
    let mut key = vec![COIN];
    key.extend(outpoint.txid.to_byte_array());
    key.extend(outpoint.vout.to_be_bytes());
    key
}

/// `I`: an item.
pub(super) fn item_key(id: WatchId) -> Vec<u8> {
    let mut key = vec![ITEM];
    key.extend(id.0.to_be_bytes());
    key
}

fn index_key(kind: u8, watch: WatchId, keychain: Keychain, index: u32) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend(watch.0.to_be_bytes());
    key.push(keychain.0);
    key.extend(index.to_be_bytes());
    key
}

/// `J`: a job.
pub(super) fn job_key(job: &JobKey) -> Vec<u8> {
    index_key(JOB, job.watch, job.keychain, job.first)
}

/// `S`: a script.
pub(super) fn script_key(owner: &ScriptOwner) -> Vec<u8> {
    index_key(SCRIPT, owner.watch, owner.keychain, owner.index)
}

/// The key of a place, after its letter.
pub(super) fn read_place(key: &[u8]) -> Option<Place> {
    let mut key = Bytes(key);
    let height = BlockHeight(u32::from_be_bytes(key.array()?));
    let position = u32::from_be_bytes(key.array()?);
    key.end(Place { height, position })
}

/// The key of a coin, after its letter.
pub(super) fn read_outpoint(key: &[u8]) -> Option<OutPoint> {
    let mut key = Bytes(key);
    let (txid, vout) = (key.txid()?, u32::from_be_bytes(key.array()?));
    key.end(OutPoint { txid, vout })
}

/// The key of an item, after its letter.
pub(super) fn read_watch(key: &[u8]) -> Option<WatchId> {
    let mut key = Bytes(key);
    let id = WatchId(u32::from_be_bytes(key.array()?));
    key.end(id)
}

/// The key of a script or job, after its letter.
pub(super) fn read_owner(key: &[u8]) -> Option<ScriptOwner> {
    let mut key = Bytes(key);
    let watch = WatchId(u32::from_be_bytes(key.array()?));
    let keychain = Keychain(key.u8()?);
    let index = u32::from_be_bytes(key.array()?);
    key.end(ScriptOwner { watch, keychain, index })
}

fn push_place(bytes: &mut Vec<u8>, place: Place) {
    bytes.extend(place.height.0.to_le_bytes());
    bytes.extend(place.position.to_le_bytes());
}

fn take_place(bytes: &mut Bytes<'_>) -> Option<Place> {
    Some(Place { height: bytes.height()?, position: bytes.u32()? })
}

/// Tip and marks: blocks of one branch, ascending; the last is the tip.
pub(super) fn write_tip(marks: &Marks) -> Vec<u8> {
    let mut bytes = Vec::new();
    for block in marks.blocks() {
        bytes.extend(block.height.0.to_le_bytes());
        bytes.extend(block.hash.to_byte_array());
    }
    bytes
}

pub(super) fn read_tip(payload: &[u8]) -> Option<Marks> {
    let mut bytes = Bytes(payload);
    let mut blocks = Vec::new();
    while !bytes.0.is_empty() {
        blocks.push(BlockId { height: bytes.height()?, hash: bytes.block_hash()? });
    }
    Marks::from_blocks(blocks)
}

pub(super) fn write_coin(coin: &Coin) -> Vec<u8> {
    let mut bytes = coin.value.to_sat().to_le_bytes().to_vec();
    push_place(&mut bytes, coin.made);
    bytes.push(u8::from(coin.coinbase));
    push_script(&mut bytes, &coin.script);
    bytes.push(u8::from(coin.spent.is_some()));
    if let Some(spend) = coin.spent {
        push_place(&mut bytes, spend.place);
        bytes.extend(spend.txid.to_byte_array());
    }
    bytes
}

pub(super) fn read_coin(payload: &[u8]) -> Option<Coin> {
    let mut bytes = Bytes(payload);
    let value = bytes.amount()?;
    let made = take_place(&mut bytes)?;
    let coinbase = bytes.flag()?;
    let script = bytes.script()?;
    let spent = if bytes.flag()? {
        let place = take_place(&mut bytes)?;
        Some(Spend { place, txid: bytes.txid()? })
    } else {
        None
    };
    bytes.end(Coin { value, script, made, coinbase, spent })
}

pub(super) fn write_entry(entry: &Entry) -> Vec<u8> {
    let mut bytes = entry.txid.to_byte_array().to_vec();
    bytes.extend(entry.block.to_byte_array());
    bytes.extend(entry.inputs.to_le_bytes());
    bytes.extend(entry.output_total.to_sat().to_le_bytes());
    bytes
}

pub(super) fn read_entry(payload: &[u8]) -> Option<Entry> {
    let mut bytes = Bytes(payload);
    let (txid, block) = (bytes.txid()?, bytes.block_hash()?);
    let (inputs, output_total) = (bytes.u32()?, bytes.amount()?);
    bytes.end(Entry { txid, block, inputs, output_total })
}

/// A transaction as on the wire, behind its proof.
pub(super) fn write_body(transaction: &Transaction, proof: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(proof.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    bytes.extend_from_slice(proof);
    bytes.extend(bitcoin::consensus::serialize(transaction));
    bytes
}

pub(super) fn read_body(payload: &[u8]) -> Option<(Transaction, Vec<u8>)> {
    let mut bytes = Bytes(payload);
    let length = usize::try_from(bytes.u32()?).ok()?;
    let proof = bytes.slice(length)?.to_vec();
    let transaction = bitcoin::consensus::deserialize(bytes.rest()).ok()?;
    Some((transaction, proof))
}

const SCRIPT_TARGET: u8 = 0;
const DESCRIPTOR_TARGET: u8 = 1;

pub(super) fn write_item(item: &WatchItem) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_text(&mut bytes, item.account.as_str());
    push_text(&mut bytes, item.label.as_str());
    bytes.extend(item.birthday.0.to_le_bytes());
    bytes.extend(item.gap_limit.get().to_le_bytes());
    bytes.push(u8::try_from(item.derived.len()).unwrap_or(u8::MAX));
    for derived in &item.derived {
        bytes.extend(derived.to_le_bytes());
    }
    match item.target.view() {
        TargetView::Script(script) => {
            bytes.push(SCRIPT_TARGET);
            bytes.extend_from_slice(script.as_bytes());
        }
        TargetView::Descriptor { text, .. } => {
            bytes.push(DESCRIPTOR_TARGET);
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}

/// An item, or what is wrong with it.
pub(super) fn read_item(
    id: WatchId,
    payload: &[u8],
    network: Network,
) -> Result<WatchItem, String> {
    let parts = split_item(payload).ok_or("its bytes are no item")?;
    let target = match parts.kind {
        SCRIPT_TARGET => WatchTarget::script(ScriptBuf::from_bytes(parts.target.to_vec())),
        DESCRIPTOR_TARGET => {
            let text = std::str::from_utf8(parts.target).map_err(|error| error.to_string())?;
            WatchTarget::descriptor(text, network)
        }
        kind @ 2.. => return Err(format!("its target is of the unknown kind {kind}")),
    };
    let target = target.map_err(|error| error.to_string())?;
    if usize::from(target.keychains()) != parts.derived.len() {
        return Err(format!("it has counts of {} keychains", parts.derived.len()));
    }
    Ok(WatchItem {
        id,
        target,
        account: parts.account.parse::<AccountName>().map_err(|error| error.to_string())?,
        label: parts.label.parse::<Label>().map_err(|error| error.to_string())?,
        birthday: parts.birthday,
        gap_limit: GapLimit::new(parts.gap_limit).map_err(|error| error.to_string())?,
        derived: parts.derived,
    })
}

struct ItemParts<'a> {
    account: &'a str,
    label: &'a str,
    birthday: BlockHeight,
    gap_limit: u32,
    derived: Vec<u32>,
    kind: u8,
    target: &'a [u8],
}

fn split_item(payload: &[u8]) -> Option<ItemParts<'_>> {
    let mut bytes = Bytes(payload);
    let (account, label) = (bytes.text()?, bytes.text()?);
    let (birthday, gap_limit) = (bytes.height()?, bytes.u32()?);
    let keychains = bytes.u8()?;
    let derived = (0..keychains).map(|_| bytes.u32()).collect::<Option<_>>()?;
    let kind = bytes.u8()?;
    let target = bytes.rest();
    Some(ItemParts { account, label, birthday, gap_limit, derived, kind, target })
}

pub(super) fn write_job(job: Job) -> Vec<u8> {
    let mut bytes = job.next.0.to_le_bytes().to_vec();
    bytes.push(match job.kind {
        // The tip is no job; written, it would be read as the more urgent of the two.
        ScanKind::Tip | ScanKind::CatchUp => 1,
        ScanKind::LookBack => 2,
    });
    bytes
}

pub(super) fn read_job(payload: &[u8]) -> Option<Job> {
    let mut bytes = Bytes(payload);
    let next = bytes.height()?;
    let kind = match bytes.u8()? {
        1 => ScanKind::CatchUp,
        2 => ScanKind::LookBack,
        0 | 3.. => return None,
    };
    bytes.end(Job { next, kind })
}

#[cfg(test)]
#[path = "../rows_tests.rs"]
mod tests;

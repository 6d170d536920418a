//! The row of a claim, without its state, as docs/STORE_FORMAT.md has it.

use bitcoin::hashes::Hash as _;

use super::{Claim, ClaimVerdict, ClaimedItem};
use crate::wallet::coin::BlockId;
use crate::wallet::file::FileId;
use crate::wallet::rows::bytes::{Bytes, push_counts};
use crate::wallet::watch::WatchId;

const OPEN: u8 = 0;
const PROVEN: u8 = 1;
const REFUTED: u8 = 2;

pub(in crate::wallet) fn write_claim(claim: &Claim) -> Vec<u8> {
    let Claim { file, block, root, items, verdict } = claim;
    let mut bytes = file.0.to_vec();
    bytes.extend(block.height.0.to_le_bytes());
    bytes.extend(block.hash.to_byte_array());
    bytes.extend(root);
    let (verdict, scripts) = match verdict {
        ClaimVerdict::Open => (OPEN, 0),
        ClaimVerdict::Proven => (PROVEN, 0),
        ClaimVerdict::Refuted { scripts } => (REFUTED, *scripts),
    };
    bytes.push(verdict);
    bytes.extend(scripts.to_le_bytes());
    for item in items {
        let ClaimedItem { watch, birthday, derived } = item;
        bytes.extend(watch.0.to_le_bytes());
        bytes.extend(birthday.0.to_le_bytes());
        push_counts(&mut bytes, derived);
    }
    bytes
}

pub(in crate::wallet) fn read_claim(payload: &[u8]) -> Option<Claim> {
    let mut bytes = Bytes(payload);
    let file = FileId(bytes.array()?);
    let block = BlockId { height: bytes.height()?, hash: bytes.block_hash()? };
    let root = bytes.array()?;
    let verdict = match (bytes.u8()?, bytes.u32()?) {
        (OPEN, 0) => ClaimVerdict::Open,
        (PROVEN, 0) => ClaimVerdict::Proven,
        (REFUTED, scripts) => ClaimVerdict::Refuted { scripts },
        (OPEN | PROVEN | 3.., _) => return None,
    };
    let mut items = Vec::new();
    while !bytes.0.is_empty() {
        let (watch, birthday) = (WatchId(bytes.u32()?), bytes.height()?);
        items.push(ClaimedItem { watch, birthday, derived: bytes.counts()? });
    }
    Some(Claim { file, block, root, items, verdict })
}

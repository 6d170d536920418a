//! A wallet becomes bytes.

use ironlight_spv::Params;

use super::{
    Asked, CHECKSUM, DESCRIPTOR, FileError, FileItem, MAGIC, MAX_FILE_BYTES, SCRIPT, VERSION,
    WalletFile, checksum,
};
use crate::wallet::rows::bytes::{push_counts, push_text};
use crate::wallet::watch::{TargetView, WatchRequest};

pub(super) fn encode(file: &WalletFile, params: &Params) -> Result<Vec<u8>, FileError> {
    let WalletFile { block, items, state } = file;
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(params.magic);
    bytes.extend(block.height.0.to_le_bytes());
    bytes.extend_from_slice(block.hash.as_ref());
    bytes.extend(u32::try_from(items.len()).unwrap_or(u32::MAX).to_le_bytes());
    let mut asked = Asked::default();
    for item in items {
        asked.add(item)?;
        let item = self::item(item);
        bytes.extend(u16::try_from(item.len()).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend(item);
        check_size(bytes.len())?;
    }
    let mut export = Vec::new();
    for piece in state.export(block.height)? {
        export.extend(piece?);
        check_size(bytes.len().saturating_add(export.len()))?;
    }
    bytes.extend(u32::try_from(export.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(export);
    check_size(bytes.len().saturating_add(CHECKSUM))?;
    bytes.extend(checksum(&bytes));
    Ok(bytes)
}

const fn check_size(bytes: usize) -> Result<(), FileError> {
    let limit = MAX_FILE_BYTES;
    if bytes > limit { Err(FileError::TooLarge { bytes, limit }) } else { Ok(()) }
}

/// An item, without its length. Descriptors have at most 16 KB, so a u16 holds it.
pub(super) fn item(item: &FileItem) -> Vec<u8> {
    let FileItem { request, derived } = item;
    let WatchRequest { target, account, label, birthday, gap_limit } = request;
    let mut bytes = Vec::new();
    push_text(&mut bytes, account.as_str());
    push_text(&mut bytes, label.as_str());
    bytes.extend(birthday.0.to_le_bytes());
    bytes.extend(gap_limit.get().to_le_bytes());
    push_counts(&mut bytes, derived);
    match target.view() {
        TargetView::Script(script) => {
            bytes.push(SCRIPT);
            bytes.extend_from_slice(script.as_bytes());
        }
        TargetView::Descriptor { text, .. } => {
            bytes.push(DESCRIPTOR);
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}

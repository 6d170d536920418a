//! A stranger's bytes become a wallet, if they are one.

use std::collections::BTreeSet;

use bitcoin::ScriptBuf;
use bitcoin::hashes::Hash as _;
use ironlight_spv::compress::state::{StateCompressor, WalletAccount};
use ironlight_spv::{BlockHash, BlockHeight, Network, Params};

use super::{
    Asked, CHECKSUM, DESCRIPTOR, FileError, FileId, FileItem, ItemFault, MAGIC, MAX_FILE_BYTES,
    SCRIPT, VERSION, WalletFile, check_items, checksum, encode,
};
use crate::wallet::coin::BlockId;
use crate::wallet::rows::bytes::Bytes;
use crate::wallet::watch::{GapLimit, MAX_INDEX, MAX_SCRIPTS, WatchRequest, WatchTarget};

/// The file, and how far it was read.
struct Input<'a> {
    whole: &'a [u8],
    left: Bytes<'a>,
}

impl<'a> Input<'a> {
    const fn at(&self) -> usize {
        self.whole.len().saturating_sub(self.left.0.len())
    }

    /// Takes a field, or says where the one that is missing begins.
    fn take<T>(&mut self, field: impl FnOnce(&mut Bytes<'a>) -> Option<T>) -> Result<T, FileError> {
        let at = self.at();
        field(&mut self.left).ok_or(FileError::Truncated { at })
    }
}

pub(super) fn decode(bytes: &[u8], params: &Params) -> Result<(WalletFile, FileId), FileError> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(FileError::TooLarge { bytes: bytes.len(), limit: MAX_FILE_BYTES });
    }
    let mut input = Input { whole: bytes, left: Bytes(bytes) };
    let block = head(&mut input, params)?;
    let items = items(&mut input, params.network)?;
    let state = state(&mut input, block.height)?;
    let id = end(&mut input)?;
    Ok((WalletFile { block, items, state }, id))
}

fn head(input: &mut Input<'_>, params: &Params) -> Result<BlockId, FileError> {
    if input.left.array() != Some(*MAGIC) {
        return Err(FileError::NoWallet);
    }
    let got = input.take(Bytes::u16)?;
    if got != VERSION {
        return Err(FileError::Version { got, known: VERSION });
    }
    let got = input.take(Bytes::array)?;
    if got != params.magic {
        return Err(FileError::Network { got, network: params.network });
    }
    let height = input.take(Bytes::height)?;
    let hash = BlockHash::from_byte_array(input.take(Bytes::array)?);
    Ok(BlockId { height, hash })
}

fn items(input: &mut Input<'_>, network: Network) -> Result<Vec<FileItem>, FileError> {
    let count = input.take(Bytes::u32)?;
    // Before the first descriptor is read.
    check_items(usize::try_from(count).unwrap_or(usize::MAX))?;
    let (mut items, mut seen, mut asked) = (Vec::new(), BTreeSet::new(), Asked::default());
    for index in 1..=count {
        let at = input.at();
        let bytes = input.take(|left| {
            let length = left.u16()?;
            left.slice(usize::from(length))
        })?;
        let item = item(bytes, network).map_err(|source| FileError::Item { index, at, source })?;
        asked.add(&item)?;
        if !seen.insert((item.request.account.clone(), item.request.target.to_string())) {
            return Err(FileError::Twice { index, at });
        }
        items.push(item);
    }
    Ok(items)
}

fn item(bytes: &[u8], network: Network) -> Result<FileItem, ItemFault> {
    let mut left = Bytes(bytes);
    let account = left.text().ok_or(ItemFault::Form)?.parse()?;
    let label = left.text().ok_or(ItemFault::Form)?.parse()?;
    let birthday = left.height().ok_or(ItemFault::Form)?;
    let gap_limit = GapLimit::new(left.u32().ok_or(ItemFault::Form)?)?;
    let derived = left.counts().ok_or(ItemFault::Form)?;
    let kind = left.u8().ok_or(ItemFault::Form)?;
    let target = match kind {
        SCRIPT => WatchTarget::script(ScriptBuf::from_bytes(left.rest().to_vec()))?,
        DESCRIPTOR => {
            let text = std::str::from_utf8(left.rest()).map_err(|_| ItemFault::Form)?;
            WatchTarget::descriptor(text, network)?
        }
        2.. => return Err(ItemFault::Form),
    };
    check_derived(&target, &derived)?;
    let request = WatchRequest { target, account, label, birthday, gap_limit };
    let item = FileItem { request, derived };
    if encode::item(&item) == bytes { Ok(item) } else { Err(ItemFault::NotCanonical) }
}

/// Every keychain has its count, which no item could have otherwise.
fn check_derived(target: &WatchTarget, derived: &[u32]) -> Result<(), ItemFault> {
    let last = if target.is_ranged() { MAX_INDEX.saturating_add(1) } else { 1 };
    let fits = derived.len() == usize::from(target.keychains())
        && derived.iter().all(|count| (1..=last).contains(count));
    if fits { Ok(()) } else { Err(ItemFault::Derived) }
}

fn state(
    input: &mut Input<'_>,
    expected: BlockHeight,
) -> Result<StateCompressor<WalletAccount>, FileError> {
    let bytes = input.take(|left| {
        let length = left.u32()?;
        left.slice(usize::try_from(length).ok()?)
    })?;
    let at = input.at().saturating_sub(bytes.len());
    let limit = u32::try_from(MAX_SCRIPTS).unwrap_or(u32::MAX);
    let state =
        StateCompressor::import(bytes, limit).map_err(|source| FileError::State { at, source })?;
    let got = state.newest().unwrap_or_default();
    if got == expected { Ok(state) } else { Err(FileError::StateHeight { at, got, expected }) }
}

fn end(input: &mut Input<'_>) -> Result<FileId, FileError> {
    let at = input.at();
    let stored: [u8; CHECKSUM] = input.take(Bytes::array)?;
    if !input.left.0.is_empty() {
        return Err(FileError::Trailing { at: input.at() });
    }
    if input.whole.get(..at).map(checksum) != Some(stored) {
        return Err(FileError::Checksum { at });
    }
    Ok(FileId(stored))
}

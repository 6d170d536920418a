use ironlight_spv::compress::state::{
    DecodeError, ImportError, Salt, StateCompressor, StateValue as _, WalletAccount,
};
use ironlight_spv::{BlockHash, BlockHeight, Network, Params};

use bitcoin::hashes::Hash as _;

use super::{
    FileError, FileItem, ItemFault, MAX_DERIVED, MAX_FILE_BYTES, MAX_ITEMS, WalletFile, checksum,
};
use crate::wallet::coin::BlockId;
use crate::wallet::testing::{TPUB, script};
use crate::wallet::watch::{GapLimit, WatchError, WatchRequest, WatchTarget};

fn params() -> Params {
    Params::new(Network::Regtest)
}

fn file() -> WalletFile {
    let mut state = StateCompressor::new(Salt::Bytes([3; 32]));
    for number in 1..4 {
        let balance = u64::from(number) * 1_000;
        state.put(WalletAccount { balance, transactions: 2, ..WalletAccount::blank([number; 32]) });
    }
    state.seal(BlockHeight(7)).unwrap();
    let text = format!("wpkh({TPUB}/0/<0;1>/*)");
    let mut ranged = WatchRequest::new(
        WatchTarget::descriptor(&text, Network::Regtest).unwrap(),
        BlockHeight(3),
    );
    ranged.account = "cold".parse().unwrap();
    ranged.label = "the safe".parse().unwrap();
    ranged.gap_limit = GapLimit::new(50).unwrap();
    let single = WatchRequest::new(WatchTarget::script(script(1)).unwrap(), BlockHeight(0));
    let block = BlockId { height: BlockHeight(7), hash: BlockHash::from_byte_array([9; 32]) };
    let mut ranged = FileItem::new(ranged);
    ranged.derived = vec![50, 71];
    WalletFile { block, items: vec![ranged, FileItem::new(single)], state }
}

fn bytes() -> Vec<u8> {
    file().encode(&params()).unwrap()
}

/// With a checksum that fits.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - 32;
    let sum = checksum(&bytes[..end]);
    bytes[end..].copy_from_slice(&sum);
    bytes
}

fn refused(bytes: &[u8]) -> FileError {
    WalletFile::decode(bytes, &params()).unwrap_err()
}

#[test]
fn a_file_is_read_as_it_was_written() {
    let (bytes, written) = (bytes(), file());
    let (read, id) = WalletFile::decode(&bytes, &params()).unwrap();
    assert_eq!(id.0, bytes[bytes.len() - 32..]);
    assert_eq!((read.block, &read.items), (written.block, &written.items));
    assert_eq!(read.root(), written.root());
    assert_eq!(read.encode(&params()).unwrap(), bytes);
}

#[test]
fn the_form_is_the_documented_one() {
    let bytes = bytes();
    assert_eq!(&bytes[..8], b"IRONWAL1");
    assert_eq!(bytes[8..10], [1, 0]);
    assert_eq!(bytes[10..14], params().magic);
    assert_eq!(bytes[14..18], 7_u32.to_le_bytes());
    assert_eq!(bytes[18..50], [9; 32]);
    assert_eq!(bytes[50..54], 2_u32.to_le_bytes());
    let first = usize::from(u16::from_le_bytes([bytes[54], bytes[55]]));
    assert_eq!(&bytes[56..61], b"\x04cold");
    assert_eq!(&bytes[61..70], b"\x08the safe");
    assert_eq!(bytes[70..78], [3, 0, 0, 0, 50, 0, 0, 0]);
    assert_eq!(bytes[78..87], [2, 50, 0, 0, 0, 71, 0, 0, 0]);
    assert_eq!((bytes[87], &bytes[88..93]), (1, &b"wpkh("[..]));
    let second = 56 + first;
    assert_eq!(bytes[second..second + 2], [25, 0]);
    assert_eq!(&bytes[second + 2..second + 11], b"\x07default\0");
    assert_eq!(bytes[second + 19..second + 24], [1, 1, 0, 0, 0]);
    assert_eq!(bytes[second + 24..second + 27], [0, 0x51, 1]);
    assert_eq!(&bytes[second + 31..second + 33], [0x11, 2]);
}

#[test]
fn every_changed_byte_and_every_missing_end_is_refused() {
    let bytes = bytes();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        let error = refused(&changed);
        assert!(!error.to_string().is_empty());
        assert!(WalletFile::decode(&bytes[..at], &params()).is_err(), "{at}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(refused(&longer), FileError::Trailing { at: bytes.len() });
}

#[test]
fn errors_name_the_place() {
    let bytes = bytes();
    assert_eq!(refused(b"IRONWAL2"), FileError::NoWallet);
    let mut other = bytes.clone();
    other[8] = 2;
    assert_eq!(refused(&other), FileError::Version { got: 2, known: 1 });
    let mainnet = file().encode(&Params::new(Network::Mainnet)).unwrap();
    assert!(matches!(refused(&mainnet), FileError::Network { network: Network::Regtest, .. }));
    let mut many = bytes.clone();
    many[52] = 1;
    let (count, limit) = (65_538, MAX_ITEMS);
    assert_eq!(refused(&many), FileError::TooManyItems { count, limit });
    let mut name = bytes.clone();
    name[57] = b' ';
    assert!(matches!(
        refused(&name),
        FileError::Item { index: 1, at: 54, source: ItemFault::Name(_) }
    ));
    let end = bytes.len() - 32;
    let mut sum = bytes.clone();
    sum[end + 3] ^= 1;
    assert_eq!(refused(&sum), FileError::Checksum { at: end });
    assert_eq!(refused(&bytes[..40]), FileError::Truncated { at: 18 });
    let mut state = bytes;
    state[end - 5] ^= 1;
    let error = refused(&sealed(state));
    assert!(
        matches!(
            error,
            FileError::State { source: ImportError::Decode(DecodeError::WrongChecksum { .. }), .. }
        ),
        "{error}"
    );
}

#[test]
fn what_is_watched_twice_or_in_another_form_is_refused() {
    let mut twice = file();
    twice.items.push(twice.items[1].clone());
    let bytes = twice.encode(&params()).unwrap();
    assert!(matches!(refused(&bytes), FileError::Twice { index: 3, .. }));
    // Without its checksum the descriptor is watched as well, and written otherwise.
    let item = super::encode::item(&file().items[0]);
    let mut short = file();
    short.items.clear();
    let empty = short.encode(&params()).unwrap();
    let shorter = &item[..item.len() - "#12345678".len()];
    let length = u16::try_from(shorter.len()).unwrap().to_le_bytes();
    let with = [&empty[..50], &[1, 0, 0, 0], &length, shorter, &empty[54..]].concat();
    let error = refused(&sealed(with));
    assert!(matches!(error, FileError::Item { source: ItemFault::NotCanonical, .. }), "{error}");
}

#[test]
fn more_scripts_than_an_import_derives_are_refused_on_both_sides() {
    let mut many = file();
    many.items[0].derived = vec![10_000, 9_999];
    let bytes = many.encode(&params()).unwrap();
    let (read, _) = WalletFile::decode(&bytes, &params()).unwrap();
    assert_eq!(read.items, many.items);
    many.items[0].derived = vec![10_000, 10_001];
    let (scripts, limit) = (20_001, MAX_DERIVED);
    let expected = FileError::TooManyScripts { scripts, limit };
    assert_eq!(many.encode(&params()).unwrap_err(), expected);
    let mut more = bytes;
    // The second count, 10,001 now.
    more[83..87].copy_from_slice(&10_001_u32.to_le_bytes());
    assert_eq!(refused(&sealed(more)), expected);
    // What a gap limit asks for counts as well.
    let mut wide = file();
    wide.items[0].request.gap_limit = GapLimit::new(10_000).unwrap();
    assert_eq!(wide.encode(&params()).unwrap_err(), expected);

    let single = file().items[1].clone();
    let mut items = file();
    items.items = vec![single; MAX_ITEMS + 1];
    let (count, limit) = (MAX_ITEMS + 1, MAX_ITEMS);
    assert_eq!(items.encode(&params()).unwrap_err(), FileError::TooManyItems { count, limit });
}

#[test]
fn counts_of_derived_scripts_that_no_item_has_are_refused() {
    for (at, count) in [(0, 0), (0, 0x8000_0001), (1, 2)] {
        let mut other = file();
        other.items[at].derived[0] = count;
        let bytes = other.encode(&params());
        if let Ok(bytes) = bytes {
            let error = refused(&bytes);
            assert!(matches!(error, FileError::Item { source: ItemFault::Derived, .. }), "{error}");
        }
    }
    let mut other = file();
    other.items[0].derived.pop();
    let error = refused(&other.encode(&params()).unwrap());
    assert!(matches!(error, FileError::Item { source: ItemFault::Derived, .. }), "{error}");
}

#[test]
fn a_private_key_is_refused_and_not_repeated() {
    let xprv = "tprv8ZgxMBicQKsPeDgjzdC36fs6bMjGApWDNLR9erAXMs5skhMv36j9MV5ecvfavji5khqjWaWSFhN3YcCUUdiKH6isR4Pwy3U5y5egddBr16m";
    let text = format!("wpkh({xprv}/*)");
    let mut short = file();
    short.items.clear();
    let empty = short.encode(&params()).unwrap();
    let numbers = [0, 0, 0, 0, 20, 0, 0, 0, 1, 20, 0, 0, 0, 1];
    let item = [b"\x01a\0", &numbers[..], text.as_bytes()].concat();
    let length = u16::try_from(item.len()).unwrap().to_le_bytes();
    let with = [&empty[..50], &[1, 0, 0, 0], &length, &item, &empty[54..]].concat();
    let error = refused(&sealed(with));
    let FileError::Item { source, .. } = &error else { panic!("{error}") };
    assert_eq!(*source, ItemFault::Watch(WatchError::PrivateKey));
    assert!(!format!("{error} {source}").contains("tprv"));
}

#[test]
fn a_file_larger_than_any_is_not_looked_at() {
    let bytes = vec![0; MAX_FILE_BYTES + 1];
    let expected = FileError::TooLarge { bytes: MAX_FILE_BYTES + 1, limit: MAX_FILE_BYTES };
    assert_eq!(refused(&bytes), expected);
}

#[test]
fn the_height_of_the_state_is_that_of_the_file() {
    let mut other = bytes();
    other[14] = 8;
    let error = refused(&sealed(other));
    let expected = BlockHeight(8);
    assert!(
        matches!(error, FileError::StateHeight { got: BlockHeight(7), expected: e, .. } if e == expected),
        "{error}"
    );
}

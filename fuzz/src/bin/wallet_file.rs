//! Wallet files. What decodes is in its one form and within the bounds; an error's place lies within the
//! file.

#![cfg_attr(all(feature = "libfuzzer", not(test)), no_main)]

use bitcoin::hashes::{Hash as _, sha256};
use ironlight::wallet::BlockId;
use ironlight::wallet::file::{
    FileError, FileItem, ItemFault, MAX_DERIVED, MAX_FILE_BYTES, MAX_ITEMS, WalletFile,
};
use ironlight::wallet::watch::{WatchRequest, WatchTarget};
use ironlight::{BlockHash, BlockHeight, Network, Params};
use ironlight_spv::compress::state::{
    DecodeError, ImportError, Salt, StateCompressor, StateValue as _, WalletAccount,
};

ironlight_fuzz::target!(check, seeds);

const DESCRIPTOR: &str = "wpkh(tpubD6NzVbkrYhZ4WaWSyoBvQwbpLkojyoTZPRsgXELWz3Popb3qkjcJyJUGLnL4q\
                          HHoQvao8ESaAstxYSnhyswJ76uZPStJRJCTKvosUCJZL5B/<0;1>/*)";

fn check(data: &[u8]) {
    let params = Params::new(Network::Regtest);
    check_one(data, &params);
    // Nearly no mutation has a checksum that fits: this one's is made to.
    if let Some((before, _)) = data.split_last_chunk::<32>() {
        let checksum = sha256::Hash::hash(before).to_byte_array();
        check_one(&[before, &checksum].concat(), &params);
    }
}

fn check_one(data: &[u8], params: &Params) {
    match WalletFile::decode(data, params) {
        Ok((file, id)) => {
            assert!(data.ends_with(&id.0));
            assert!(file.items.len() <= MAX_ITEMS && data.len() <= MAX_FILE_BYTES);
            let derived = file.items.iter().flat_map(|item| &item.derived).copied();
            assert!(derived.map(u64::from).sum::<u64>() <= MAX_DERIVED as u64);
            assert!(file.root().is_ok(), "no state at the height of the file");
            assert_eq!(file.encode(params).ok().as_deref(), Some(data), "two forms of a file");
            let texts = file.items.iter().map(|item| item.request.target.to_string());
            texts.for_each(|text| assert!(!shows_a_private_key(&text), "a private key: {text}"));
        }
        Err(error) => names_its_place(&error, data.len()),
    }
}

fn names_its_place(error: &FileError, length: usize) {
    let at = match error {
        FileError::Truncated { at }
        | FileError::Item { at, .. }
        | FileError::Twice { at, .. }
        | FileError::StateHeight { at, .. }
        | FileError::Checksum { at }
        | FileError::Trailing { at } => *at,
        FileError::State { at, source } => at + within(source),
        FileError::NoWallet
        | FileError::Version { .. }
        | FileError::Network { .. }
        | FileError::TooLarge { .. }
        | FileError::TooManyItems { .. }
        | FileError::TooManyScripts { .. }
        | FileError::NoState(_)
        | _ => 0,
    };
    assert!(at <= length, "place {at} of {length} bytes: {error}");
    if let FileError::Item { source: ItemFault::Watch(refused), .. } = error {
        let text = refused.to_string();
        assert!(!shows_a_private_key(&text), "a private key: {text}");
    }
}

/// Whether an extended private key (BIP32) stands in it. Checksums have 8 letters, and may be any.
fn shows_a_private_key(text: &str) -> bool {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    words.filter(|word| word.len() > 8).any(|word| word.get(1..4) == Some("prv"))
}

/// The place in a state, where its error has one.
fn within(error: &ImportError) -> usize {
    match error {
        ImportError::Decode(
            DecodeError::Truncated { at }
            | DecodeError::UnknownTag { at }
            | DecodeError::NotAscending { at }
            | DecodeError::Value { at, .. }
            | DecodeError::WrongChecksum { at }
            | DecodeError::TrailingBytes { at },
        ) => *at,
        ImportError::Decode(_) | ImportError::WrongRoot { .. } | ImportError::State(_) | _ => 0,
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let params = Params::new(Network::Regtest);
    let mut seeds = Vec::new();
    for accounts in [0, 1, 5] {
        let mut state = StateCompressor::new(Salt::Bytes([9; 32]));
        for number in 0..accounts {
            let balance = u64::from(number) << 20;
            state.put(WalletAccount { balance, ..WalletAccount::blank([number; 32]) });
        }
        let height = BlockHeight(100 + u32::from(accounts));
        if state.seal(height).is_err() {
            return seeds;
        }
        let block = BlockId { height, hash: BlockHash::from_byte_array([accounts; 32]) };
        let items = items(usize::from(accounts));
        seeds.extend(WalletFile { block, items, state }.encode(&params));
    }
    let mainnet = seeds.first().map(|first| {
        let mut other = first.clone();
        other.splice(10..14, Params::new(Network::Mainnet).magic);
        other
    });
    seeds.extend(mainnet);
    seeds
}

fn items(count: usize) -> Vec<FileItem> {
    let scripts = ["51", "0014751e76e8199196d454941c45d1b3a323f1433bd6"];
    let scripts = scripts.into_iter().map(WatchTarget::script_hex);
    let targets = scripts.chain([WatchTarget::descriptor(DESCRIPTOR, Network::Regtest)]);
    let requests = targets.flatten().map(|target| WatchRequest::new(target, BlockHeight(7)));
    requests.map(FileItem::new).take(count).collect()
}

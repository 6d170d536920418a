//! Account states: proofs, change sets and exports. What decodes is in its one form; what is taken in holds
//! what its root says, and proves each account.

#![cfg_attr(all(feature = "libfuzzer", not(test)), no_main)]

use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{
    Account, ChangeSet, Salt, StateCompressor, StateProof, StateValue, Verdict, WalletAccount,
};

ironlight_fuzz::target!(check, seeds);

/// Accounts accepted of an export.
const LIMIT: u32 = 1_000;
const SALT: Salt = Salt::Bytes([9; 32]);

fn check(data: &[u8]) {
    kind::<Account>(data);
    kind::<WalletAccount>(data);
}

fn kind<V: StateValue + std::fmt::Debug>(data: &[u8]) {
    if let Ok(value) = V::decode(data) {
        let mut again = Vec::new();
        value.encode(&mut again);
        assert_eq!(again, data, "two forms of a value");
        assert!(data.len() <= V::MAX_LEN);
    }
    if let Ok(proof) = StateProof::<V>::decode(data) {
        assert_eq!(proof.encode(), data, "two forms of a proof");
        assert!(proof.steps() <= 256);
        // Nobody knows an account under this root.
        assert!(proof.verify(&[1; 32], &[2; 32], &SALT).is_err());
    }
    if let Ok(set) = ChangeSet::<V>::decode(data) {
        assert_eq!(set.encode(), data, "two forms of changes");
        let mut states = StateCompressor::<V>::new(SALT);
        let named = set.root;
        if let Ok(sealed) = states.apply(set) {
            assert_eq!(sealed.root, named);
        }
    }
    if let Ok(states) = StateCompressor::<V>::import(data, LIMIT) {
        let Some(height) = states.newest() else { return };
        let export = states.export(height).map(|pieces| pieces.flatten().flatten().collect());
        let export: Vec<u8> = export.unwrap_or_default();
        assert_eq!(export, data, "two forms of a state");
        assert!(states.accounts(height).is_ok_and(|accounts| accounts <= LIMIT));
        assert_eq!(states.verify(), Ok(()));
        proves_absence(&states, height);
    }
}

fn proves_absence<V: StateValue + std::fmt::Debug>(states: &StateCompressor<V>, at: BlockHeight) {
    let key = [0x5a; 32];
    if let (Ok(root), Ok(proof)) = (states.root(at), states.prove(&key, at)) {
        let verdict = proof.verify(&root, &key, &states.salt());
        match states.get(&key, at) {
            Ok(Some(value)) => assert_eq!(verdict, Ok(Verdict::Included(value))),
            Ok(None) => assert_eq!(verdict, Ok(Verdict::Absent)),
            Err(error) => assert!(error.to_string().is_empty(), "{error}"),
        }
    }
}

fn account(number: u8) -> Account {
    let balance = u128::from(number) << (number % 100);
    let code_hash = if number.is_multiple_of(2) { [number; 32] } else { [0; 32] };
    Account { balance, nonce: number.into(), code_hash, ..Account::blank([number; 32]) }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut states = StateCompressor::new(SALT);
    let mut seeds = Vec::new();
    for block in 0..3_u8 {
        for number in 0..20 {
            states.put(account(block * 10 + number));
        }
        states.remove(&[block; 32]);
        let height = BlockHeight(block.into());
        if states.seal(height).is_err() {
            return seeds;
        }
        seeds.extend(states.changes(height).map(|set| set.encode()));
        seeds.extend(states.prove(&[block * 10 + 7; 32], height).map(|proof| proof.encode()));
        seeds.extend(states.prove(&[200 + block; 32], height).map(|proof| proof.encode()));
    }
    let export = states.export(BlockHeight(2)).map(|pieces| pieces.flatten().flatten().collect());
    seeds.extend(export.ok());
    let mut value = Vec::new();
    account(8).encode(&mut value);
    seeds.push(value);
    let mut wallet = StateCompressor::new(Salt::None);
    wallet.put(WalletAccount { balance: 7, transactions: 1, ..WalletAccount::blank([3; 32]) });
    if wallet.seal(BlockHeight(9)).is_ok() {
        seeds.extend(wallet.changes(BlockHeight(9)).map(|set| set.encode()));
        let export = wallet.export(BlockHeight(9));
        seeds.extend(export.map(|pieces| pieces.flatten().flatten().collect()).ok());
    }
    seeds
}

//! The root follows from the accounts alone.

use std::collections::BTreeMap;

use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{
    Account, EMPTY_ROOT, Salt, StateCompressor, StateValue, WalletAccount,
};
use ironlight_spv::generate::Miner;

use crate::plain;
use crate::support::{SALT, account, below, key, states_of};

#[test]
fn no_accounts_have_a_fixed_root() {
    let mut states = StateCompressor::<Account>::new(SALT);
    states.remove(&key(1));
    let sealed = states.seal(BlockHeight(0)).unwrap();
    assert_eq!((sealed.root, sealed.accounts, sealed.changes), (EMPTY_ROOT, 0, 0));
}

#[test]
fn roots_are_those_of_the_plain_definition() {
    for (salt, plain_salt) in [(SALT, Some([9; 32])), (Salt::None, None)] {
        for count in [1, 2, 3, 17, 300, 1_000] {
            let mut random = Miner::new(count);
            let accounts: BTreeMap<_, _> =
                (0..count).map(|number| (key(number), account(&mut random, key(number)))).collect();
            let mut states = StateCompressor::new(salt);
            accounts.values().for_each(|account| states.put(account.clone()));
            let sealed = states.seal(BlockHeight(1)).unwrap();
            assert_eq!(sealed.root, plain::root(plain_salt, &accounts), "{count} accounts");
        }
    }
}

#[test]
fn any_order_and_any_number_of_blocks_gives_one_root() {
    for seed in 0..20 {
        let mut random = Miner::new(seed);
        let mut accounts: Vec<_> =
            (0..200).map(|number| account(&mut random, key(number))).collect();
        let salt = if seed.is_multiple_of(2) { SALT } else { Salt::None };
        let mut at_once = StateCompressor::new(salt);
        accounts.iter().for_each(|account| at_once.put(account.clone()));
        let root = at_once.seal(BlockHeight(1)).unwrap().root;

        let mut in_parts = StateCompressor::new(salt);
        for number in 150..400 {
            in_parts.put(account(&mut random, key(number)));
        }
        let mut height = 0;
        while !accounts.is_empty() {
            let index = usize::try_from(below(&mut random, accounts.len() as u64)).unwrap();
            in_parts.put(accounts.swap_remove(index));
            if below(&mut random, 5) == 0 {
                height += 1;
                in_parts.seal(BlockHeight(height)).unwrap();
            }
        }
        (200..400).for_each(|number| in_parts.remove(&key(number)));
        assert_eq!(in_parts.seal(BlockHeight(height + 1)).unwrap().root, root, "seed {seed}");
        in_parts.verify().unwrap();
    }
}

#[test]
fn an_account_that_changes_often_is_read_at_every_height() {
    let mut states = states_of(3, SALT, 1);
    for height in 2..200 {
        states.put(Account { nonce: height.into(), ..Account::blank(key(1)) });
        states.seal(BlockHeight(height)).unwrap();
    }
    states.keep_last(150).unwrap();
    states.compact().unwrap();
    for height in 50..200 {
        let account = states.get(&key(1), BlockHeight(height)).unwrap().unwrap();
        assert_eq!(account.nonce, u64::from(height));
    }
    states.verify().unwrap();
}

#[test]
fn a_wallets_accounts_are_kept_too() {
    let mut states = StateCompressor::new(Salt::None);
    let before = WalletAccount { balance: 7, transactions: 1, ..WalletAccount::blank([1; 32]) };
    let after = WalletAccount { balance: u64::MAX, coins_hash: [3; 32], ..before.clone() };
    states.put(before.clone());
    states.seal(BlockHeight(1)).unwrap();
    states.put(after.clone());
    states.seal(BlockHeight(5)).unwrap();
    assert_eq!(states.get(&[1; 32], BlockHeight(4)), Ok(Some(before)));
    assert_eq!(states.get(&[1; 32], BlockHeight(5)), Ok(Some(after)));
}

#[test]
fn pruning_gives_memory_back() {
    let mut states = states_of(2_000, SALT, 1);
    let mut random = Miner::new(2);
    for height in 2..60 {
        for _ in 0..500 {
            let number = below(&mut random, 2_000);
            states.put(account(&mut random, key(number)));
        }
        states.seal(BlockHeight(height)).unwrap();
        states.keep_last(2).unwrap();
    }
    let stats = states.stats();
    assert_eq!((stats.accounts, stats.snapshots), (2_000, 2));
    assert!(stats.nodes < 3 * 4_000, "{stats:?}");
    states.compact().unwrap();
    assert!(states.stats().nodes < 2 * 4_000);
    states.verify().unwrap();
}

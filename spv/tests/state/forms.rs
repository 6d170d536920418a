//! Values have one form each.

use ironlight_spv::compress::state::{Account, StateValue, ValueError, WalletAccount};
use ironlight_spv::generate::Miner;

use crate::plain;
use crate::support::{account, key};

fn encoded<V: StateValue>(value: &V) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode(&mut bytes);
    bytes
}

#[test]
fn accounts_are_read_as_they_were_written() {
    let mut random = Miner::new(1);
    let mut before = Account::blank(key(1));
    for _ in 0..2_000 {
        let value = account(&mut random, key(1));
        let bytes = encoded(&value);
        assert_eq!(bytes, plain::encode(&value));
        assert!(bytes.len() <= Account::MAX_LEN);
        assert_eq!(Account::decode(&bytes), Ok(value.clone()));
        let mut delta = Vec::new();
        value.encode_delta(&before, &mut delta);
        assert_eq!(Account::decode_delta(&before, &delta), Ok(value.clone()));
        before = value;
    }
}

#[test]
fn the_largest_values_have_the_longest_encodings() {
    let (balance, nonce) = (u128::MAX, u64::MAX);
    let (code_hash, storage_root) = ([1; 32], [2; 32]);
    let largest = Account { key: key(1), balance, nonce, code_hash, storage_root };
    assert_eq!(encoded(&largest).len(), Account::MAX_LEN);
    let (balance, transactions) = (u64::MAX, u32::MAX);
    let largest = WalletAccount { script_id: key(1), balance, coins_hash: [1; 32], transactions };
    let bytes = encoded(&largest);
    assert_eq!(bytes.len(), WalletAccount::MAX_LEN);
    assert_eq!(WalletAccount::decode(&bytes), Ok(largest));
}

#[test]
fn other_forms_of_a_value_are_refused() {
    let with = |rest: &[u8]| Account::decode(&[&key(1)[..], rest].concat());
    assert_eq!(with(&[]), Err(ValueError::Truncated));
    assert_eq!(with(&[0]), Ok(Account::blank(key(1))));
    assert_eq!(with(&[16]), Err(ValueError::UnknownField { fields: 16 }));
    assert_eq!(with(&[1]), Err(ValueError::Truncated));
    assert_eq!(with(&[1, 0]), Err(ValueError::NotCanonical));
    assert_eq!(with(&[1, 0x85, 0]), Err(ValueError::NotCanonical));
    assert_eq!(with(&[0, 9]), Err(ValueError::TrailingBytes { count: 1 }));
    assert_eq!(with(&[&[4][..], &[0; 32]].concat()), Err(ValueError::NotCanonical));
    let too_large = [&[1][..], &[0xff; 18], &[4]].concat();
    assert_eq!(with(&too_large), Err(ValueError::TooLarge));
    let too_long = [&[1][..], &[0xff; 19], &[1]].concat();
    assert_eq!(with(&too_long), Err(ValueError::TooLarge));
    let more_than_a_nonce = [&[2][..], &[0xff; 9], &[2]].concat();
    assert_eq!(with(&more_than_a_nonce), Err(ValueError::TooLarge));
}

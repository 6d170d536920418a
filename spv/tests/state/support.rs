//! Made-up accounts.

use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{Account, Salt, StateCompressor, StateValue};
use ironlight_spv::generate::Miner;

pub(crate) const SALT: Salt = Salt::Bytes([9; 32]);

pub(crate) fn random_hash(random: &mut Miner) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.as_chunks_mut::<8>().0.fill_with(|| random.random().to_le_bytes());
    hash
}

pub(crate) fn below(random: &mut Miner, limit: u64) -> u64 {
    random.random() % limit
}

/// Keys that are alike in all but one byte, so that paths are long where there is no salt.
pub(crate) fn key(number: u64) -> [u8; 32] {
    let mut key = [0; 32];
    key[16] = u8::try_from(number % 256).expect("a byte");
    key[31] = u8::try_from(number / 256 % 256).expect("a byte");
    key
}

/// An account of a key with fields that are often zero and sometimes as large as can be.
pub(crate) fn account(random: &mut Miner, key: [u8; 32]) -> Account {
    let balance = match below(random, 4) {
        0 => 0,
        1 => u128::MAX,
        2 => u128::from(below(random, 300)),
        _ => u128::from(random.random()) << below(random, 60),
    };
    let nonce = if below(random, 3) == 0 { random.random() } else { below(random, 3) };
    let code_hash = if below(random, 2) == 0 { [0; 32] } else { random_hash(random) };
    let storage_root = if below(random, 2) == 0 { [0; 32] } else { random_hash(random) };
    Account { key, balance, nonce, code_hash, storage_root }
}

/// So many accounts sealed at height 1, the keys counted up.
pub(crate) fn states_of(count: u64, salt: Salt, seed: u64) -> StateCompressor<Account> {
    let mut random = Miner::new(seed);
    let mut states = StateCompressor::new(salt);
    for number in 0..count {
        states.put(account(&mut random, key(number)));
    }
    states.seal(BlockHeight(1)).expect("the first height");
    states
}

pub(crate) fn exported<V: StateValue>(states: &StateCompressor<V>, height: u32) -> Vec<u8> {
    let pieces = states.export(BlockHeight(height)).expect("a known height");
    pieces.map(|piece| piece.expect("nothing is damaged")).collect::<Vec<_>>().concat()
}

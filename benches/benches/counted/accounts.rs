//! Compressed states.

use std::hint::black_box;

use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{Account, StateCompressor};
use ironlight_stress::scenario::Accounts;

use super::Work;

const CHANGED: u32 = 100;

fn sealed() -> Option<(Accounts, StateCompressor<Account>)> {
    let accounts = Accounts::new(10_000, 1);
    let states = accounts.sealed().ok()?;
    Some((accounts, states))
}

pub(super) fn seal() -> Option<Work> {
    let (mut accounts, mut states) = sealed()?;
    let changed = accounts.change(CHANGED);
    Some(Box::new(move || {
        black_box(&changed).iter().for_each(|account| states.put(account.clone()));
        assert!(states.seal(BlockHeight(1)).is_ok(), "the next height");
    }))
}

pub(super) fn get() -> Option<Work> {
    let (mut accounts, states) = sealed()?;
    let keys: Vec<[u8; 32]> = (0..1_000).map(|_| accounts.draw_key()).collect();
    Some(Box::new(move || {
        for key in black_box(&keys) {
            let account = states.get(key, BlockHeight::GENESIS);
            assert!(black_box(account).is_ok_and(|account| account.is_some()), "it is there");
        }
    }))
}

//! Made-up accounts, and the changes of blocks.
//!
//! All fields of an account are random and full, so that nothing is gained by empty fields. A block
//! changes some accounts: balance and nonce of all of these, the storage root of every tenth.

use std::collections::HashSet;

use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{Account, Salt, StateCompressor};
use ironlight_spv::generate::Miner;

use super::ScenarioError;
use super::chains::below;

const SALT: Salt = Salt::Bytes([7; 32]);

/// The accounts as plain copies, and what makes their changes.
#[derive(Clone, Debug)]
pub struct Accounts {
    /// What everything random is drawn from.
    pub random: Miner,
    /// All accounts, as they are now.
    pub all: Vec<Account>,
}

impl Accounts {
    /// So many, from a seed.
    #[must_use]
    pub fn new(count: u32, seed: u64) -> Self {
        let mut random = Miner::new(seed);
        let all = (0..count).map(|_| account(&mut random)).collect();
        Self { random, all }
    }

    /// The compressed states with all of them at height 0.
    ///
    /// # Errors
    /// [`ScenarioError::Preparing`].
    pub fn sealed(&self) -> Result<StateCompressor<Account>, ScenarioError> {
        let mut states = StateCompressor::new(SALT);
        self.all.iter().for_each(|account| states.put(account.clone()));
        states
            .seal(BlockHeight::GENESIS)
            .map_err(ScenarioError::preparing("the accounts' first height"))?;
        Ok(states)
    }

    /// So many accounts of the next block, none twice and at most all.
    pub fn change(&mut self, count: u32) -> Vec<Account> {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(self.all.len());
        let (mut changed, mut seen) = (Vec::with_capacity(count), HashSet::new());
        while changed.len() < count {
            let place = self.draw();
            let tenth = changed.len().is_multiple_of(10);
            let random = &mut self.random;
            if let Some(account) = self.all.get_mut(place).filter(|_| seen.insert(place)) {
                account.balance = u128::from(random.random() >> 4);
                account.nonce += 1;
                if tenth {
                    account.storage_root = hash(random);
                }
                changed.push(account.clone());
            }
        }
        changed
    }

    fn draw(&mut self) -> usize {
        usize::try_from(below(&mut self.random, self.all.len() as u64)).unwrap_or(0)
    }

    /// The key of one account; zeros where there are none.
    pub fn draw_key(&mut self) -> [u8; 32] {
        let place = self.draw();
        self.all.get(place).map_or([0; 32], |account| account.key)
    }
}

fn account(random: &mut Miner) -> Account {
    Account {
        key: hash(random),
        balance: u128::from(random.random() >> 4),
        nonce: random.random() % 1_000,
        code_hash: hash(random),
        storage_root: hash(random),
    }
}

fn hash(random: &mut Miner) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.as_chunks_mut::<8>().0.fill_with(|| random.random().to_le_bytes());
    hash
}

//! Made-up accounts and blocks for the benches of compressed states.
//!
//! All fields of an account are random and full, so that nothing is gained by empty fields. A block
//! changes one account in a hundred: balance and nonce of all of these, the storage root of every
//! tenth.

use ironlight_spv::compress::state::Account;
use ironlight_spv::generate::Miner;

pub(crate) const ACCOUNTS: u32 = 100_000;
pub(crate) const CHANGED: u32 = ACCOUNTS / 100;

/// The accounts as plain copies, and what makes their changes.
pub(crate) struct Accounts {
    pub(crate) random: Miner,
    pub(crate) all: Vec<Account>,
}

impl Accounts {
    pub(crate) fn new(count: u32, seed: u64) -> Self {
        let mut random = Miner::new(seed);
        let all = (0..count).map(|_| account(&mut random)).collect();
        Self { random, all }
    }

    /// So many accounts of the next block, no account twice.
    pub(crate) fn change(&mut self, count: u32) -> Vec<Account> {
        let (mut changed, mut seen) = (Vec::new(), std::collections::HashSet::new());
        let total = self.all.len();
        while changed.len() < usize::try_from(count).unwrap_or(usize::MAX) {
            let at = usize::try_from(self.random.random()).unwrap_or_default() % total;
            let tenth = changed.len().is_multiple_of(10);
            if let Some(account) = self.all.get_mut(at).filter(|_| seen.insert(at)) {
                account.balance = u128::from(self.random.random() >> 4);
                account.nonce += 1;
                if tenth {
                    account.storage_root = hash(&mut self.random);
                }
                changed.push(account.clone());
            }
        }
        changed
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

pub(crate) fn hash(random: &mut Miner) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.as_chunks_mut::<8>().0.fill_with(|| random.random().to_le_bytes());
    hash
}

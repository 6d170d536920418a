//! Random sequences of everything that can happen, beside a map for each height.

use std::collections::BTreeMap;

use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{
    Account, Change, ChangeSet, Salt, StateCompressor, StateError,
};
use ironlight_spv::generate::Miner;

use crate::plain;
use crate::support::{account, below, exported, key};

type Accounts = BTreeMap<[u8; 32], Account>;

const KEYS: u64 = 120;

struct Model {
    states: StateCompressor<Account>,
    open: Accounts,
    sealed: Vec<(u32, Accounts)>,
    salt: Option<[u8; 32]>,
}

impl Model {
    fn new(seed: u64) -> Self {
        let salt = (!seed.is_multiple_of(3)).then_some([7; 32]);
        let states = StateCompressor::new(salt.map_or(Salt::None, Salt::Bytes));
        Self { states, open: Accounts::new(), sealed: Vec::new(), salt }
    }

    fn newest(&self) -> Accounts {
        self.sealed.last().map_or_else(Accounts::new, |(_, accounts)| accounts.clone())
    }

    fn change(&mut self, random: &mut Miner) {
        let key = key(below(random, KEYS));
        match below(random, 6) {
            0 | 1 => {
                self.states.remove(&key);
                self.open.remove(&key);
            }
            2 => {
                if let Some(account) = self.open.get_mut(&key) {
                    account.nonce = account.nonce.wrapping_add(1);
                    self.states.put(account.clone());
                }
            }
            _ => {
                let account = account(random, key);
                self.states.put(account.clone());
                self.open.insert(key, account);
            }
        }
    }

    fn seal(&mut self, random: &mut Miner) {
        let newest = self.sealed.last().map_or(0, |(height, _)| *height);
        let height = newest + 1 + u32::try_from(below(random, 3)).unwrap();
        let sealed = self.states.seal(BlockHeight(height)).unwrap();
        assert_eq!(sealed.root, plain::root(self.salt, &self.open));
        assert_eq!(usize::try_from(sealed.accounts), Ok(self.open.len()));
        let before = self.newest();
        assert_eq!(u32::try_from(changed(&before, &self.open).len()), Ok(sealed.changes));
        self.sealed.push((height, self.open.clone()));
    }

    fn random_sealed(&self, random: &mut Miner) -> Option<usize> {
        let count = u64::try_from(self.sealed.len()).unwrap();
        (count > 0).then(|| usize::try_from(below(random, count)).unwrap())
    }

    fn act(&mut self, random: &mut Miner) {
        let chosen = self.random_sealed(random);
        match (below(random, 40), chosen) {
            (0, Some(at)) => {
                self.states.rollback(BlockHeight(self.sealed[at].0)).unwrap();
                self.sealed.truncate(at + 1);
                self.open = self.newest();
            }
            (1, Some(at)) => {
                self.states.prune_below(BlockHeight(self.sealed[at].0)).unwrap();
                self.sealed.drain(..at);
            }
            (2, Some(at)) => {
                self.states.keep_last(self.sealed.len() - at).unwrap();
                self.states.compact().unwrap();
                self.sealed.drain(..at);
            }
            (3, Some(at)) => self.import(at),
            (4..8, _) => self.seal(random),
            (8, Some(_)) => {
                self.states.discard();
                self.open = self.newest();
            }
            (_, _) => self.change(random),
        }
    }

    /// Goes on with what was exported.
    fn import(&mut self, at: usize) {
        let (height, accounts) = self.sealed[at].clone();
        let bytes = exported(&self.states, height);
        let states = StateCompressor::import(&bytes, 200).unwrap();
        assert_eq!(exported(&states, height), bytes);
        (self.states, self.open) = (states, accounts.clone());
        self.sealed = vec![(height, accounts)];
    }

    fn check(&self) {
        for (height, accounts) in &self.sealed {
            let height = BlockHeight(*height);
            assert_eq!(self.states.root(height), Ok(plain::root(self.salt, accounts)));
            for number in 0..KEYS {
                let got = self.states.get(&key(number), height).unwrap();
                assert_eq!(got.as_ref(), accounts.get(&key(number)));
            }
        }
        for number in 0..KEYS {
            let got = self.states.get_open(&key(number)).unwrap();
            assert_eq!(got.as_ref(), self.open.get(&key(number)));
        }
        self.states.verify().unwrap();
        self.check_differences();
    }

    fn check_differences(&self) {
        for (old, before) in &self.sealed {
            for (new, after) in &self.sealed {
                let changes = self.states.diff(BlockHeight(*old), BlockHeight(*new)).unwrap();
                let places = changes.iter().map(|change| plain::place(self.salt, *change.key()));
                assert!(places.is_sorted_by(|a, b| a < b));
                let got: BTreeMap<_, _> =
                    changes.into_iter().map(|change| (*change.key(), change)).collect();
                assert_eq!(got, changed(before, after));
            }
        }
    }

    /// A base export and change sets, as bytes, lead to the same roots.
    fn check_replay(&self) {
        let Some((base, _)) = self.sealed.first() else { return };
        let mut states =
            StateCompressor::<Account>::import(&exported(&self.states, *base), 200).unwrap();
        for (height, accounts) in self.sealed.iter().skip(1) {
            let bytes = self.states.changes(BlockHeight(*height)).unwrap().encode();
            let set = ChangeSet::decode(&bytes).unwrap();
            assert_eq!(set.encode(), bytes);
            let sealed = states.apply(set).unwrap();
            assert_eq!(sealed.root, plain::root(self.salt, accounts));
        }
        let newest = self.states.newest().unwrap().0;
        assert_eq!(exported(&states, newest), exported(&self.states, newest));
    }
}

fn changed(before: &Accounts, after: &Accounts) -> BTreeMap<[u8; 32], Change<Account>> {
    let removed = before.keys().filter(|key| !after.contains_key(*key));
    let put = after.iter().filter(|(key, account)| before.get(*key) != Some(account));
    removed
        .map(|key| (*key, Change::Remove(*key)))
        .chain(put.map(|(key, account)| (*key, Change::Put(account.clone()))))
        .collect()
}

#[test]
fn whatever_happens_the_states_are_those_of_plain_maps() {
    for seed in 0..150 {
        let mut random = Miner::new(seed);
        let mut model = Model::new(seed);
        for _ in 0..4 {
            for _ in 0..60 {
                model.act(&mut random);
            }
            model.check();
        }
        model.check_replay();
    }
}

#[test]
fn heights_that_are_not_there_are_refused() {
    let mut states = StateCompressor::<Account>::new(Salt::None);
    assert_eq!(states.get(&key(0), BlockHeight(5)), Err(StateError::NothingSealed));
    for height in [5, 8] {
        states.seal(BlockHeight(height)).unwrap();
    }
    let (five, eight, nine) = (BlockHeight(5), BlockHeight(8), BlockHeight(9));
    let below = StateError::BelowOldest { height: BlockHeight(4), oldest: five };
    assert_eq!(states.root(BlockHeight(4)), Err(below));
    assert_eq!(states.rollback(BlockHeight(4)), Err(below));
    let above = StateError::AboveNewest { height: nine, newest: eight };
    assert_eq!(states.root(nine), Err(above));
    let again = StateError::NotAscending { height: eight, newest: eight };
    assert_eq!(states.seal(eight), Err(again));
    let between = StateError::NotSealed { height: BlockHeight(7) };
    assert_eq!(states.changes(BlockHeight(7)), Err(between));
    assert!(states.changes(five).is_ok());
    states.prune_below(BlockHeight(7)).unwrap();
    assert_eq!(states.oldest(), Some(five));
    states.prune_below(nine).unwrap();
    assert_eq!((states.oldest(), states.newest()), (Some(eight), Some(eight)));
    let forgotten = StateError::BelowOldest { height: eight, oldest: eight };
    assert_eq!(states.changes(eight), Err(forgotten));
}

//! Random sequences of everything, against plain maps.

use std::collections::BTreeMap;

use ironlight_spv::compress::state::StateCompressor;
use ironlight_spv::peers::SplitMix64;

use super::super::Claim;
use super::*;

/// Accounts by key.
type Plain = BTreeMap<u8, u128>;

/// What a collection should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) heights: BTreeMap<u32, (Plain, Vec<u8>)>,
    pub(super) claimed: Option<u32>,
}

impl Model {
    pub(super) fn newest(&self) -> Option<u32> {
        self.heights.last_key_value().map(|(height, _)| *height)
    }

    fn plain(&self) -> Plain {
        self.heights.last_key_value().map(|(_, (plain, _))| plain.clone()).unwrap_or_default()
    }

    pub(super) fn seal(&mut self, height: u32, changes: &[Change<Account>], note: &[u8]) {
        let mut plain = self.plain();
        for change in changes {
            match change {
                Change::Put(account) => plain.insert(account.key[0], account.balance),
                Change::Remove(key) => plain.remove(&key[0]),
            };
        }
        self.heights.insert(height, (plain, note.to_vec()));
    }

    pub(super) fn rollback(&mut self, to: u32) {
        self.heights.retain(|height, _| *height <= to);
    }

    pub(super) fn prune_below(&mut self, height: u32) {
        if let Some((oldest, _)) = self.heights.range(..=height).next_back() {
            self.heights = self.heights.split_off(&oldest.clone());
        }
    }
}

/// Of accounts put into an empty state at once: roots follow from accounts alone.
pub(super) fn root(plain: &Plain, salt: Salt) -> [u8; 32] {
    let mut states = StateCompressor::new(salt);
    plain.iter().for_each(|(key, balance)| states.put(account(*key, *balance)));
    states.seal(BlockHeight(0)).unwrap().root
}

/// Heights, roots, notes and claim are those of the model, in memory and on disk.
pub(super) fn assert_is(states: &States, model: &Model, context: &str) {
    let sealed: Vec<_> = states.sealed().map(|(height, note)| (height.0, note.to_vec())).collect();
    let expected: Vec<_> =
        model.heights.iter().map(|(height, (_, note))| (*height, note.clone())).collect();
    assert_eq!(sealed, expected, "{context}");
    for (height, (plain, _)) in &model.heights {
        let at = BlockHeight(*height);
        assert_eq!(states.root_at(at), Ok(root(plain, states.salt())), "{context}: {height}");
        for key in 0..40 {
            let expected = plain.get(&key).map(|balance| account(key, *balance));
            assert_eq!(states.get(&[key; 32], at), Ok(expected), "{context}: {height}");
        }
    }
    assert_eq!(states.claim().map(|claim| claim.height.0), model.claimed, "{context}");
    states.verify().unwrap_or_else(|error| panic!("{context}: {error}"));
}

fn draw(random: &mut SplitMix64, below: u64) -> u32 {
    u32::try_from(random.next_u64() % below).unwrap()
}

fn changes(random: &mut SplitMix64) -> Vec<Change<Account>> {
    let count = draw(random, 12);
    let mut change = || {
        let key = u8::try_from(draw(random, 40)).unwrap();
        if draw(random, 4) == 0 {
            Change::Remove([key; 32])
        } else {
            put(key, draw(random, 9).into())
        }
    };
    (0..count).map(|_| change()).collect()
}

/// One verb, done to both.
fn step(random: &mut SplitMix64, states: &mut States, model: &mut Model) -> String {
    let newest = model.newest().unwrap_or(100);
    match draw(random, 12) {
        0 if model.newest().is_some() => {
            let oldest = model.heights.first_key_value().map_or(0, |(height, _)| *height);
            let to = oldest + draw(random, u64::from(newest - oldest + 1));
            states.rollback(BlockHeight(to)).unwrap();
            model.rollback(to);
            format!("rollback to {to}")
        }
        1 => {
            let height = (newest + 3).saturating_sub(draw(random, 20));
            states.prune_below(BlockHeight(height)).unwrap();
            model.prune_below(height);
            format!("prune below {height}")
        }
        2 if model.newest().is_some() => {
            let height = model.newest().unwrap();
            let bytes = export(states, height);
            states.import(imported(&bytes), b"import").unwrap();
            let (plain, _) = model.heights.pop_last().unwrap().1;
            *model = Model {
                heights: [(height, (plain, b"import".to_vec()))].into(),
                claimed: Some(height),
            };
            format!("import {height}")
        }
        3 => {
            if let Some(Claim { root, .. }) = states.claim() {
                states.mark_proven(&root).unwrap();
            }
            model.claimed = None;
            "proven".to_owned()
        }
        _ => {
            let (height, changes) = (newest + 1 + draw(random, 3), changes(random));
            let note = vec![1; usize::try_from(draw(random, 65)).unwrap()];
            states.seal(BlockHeight(height), changes.clone(), &note).unwrap();
            model.seal(height, &changes, &note);
            format!("seal {height}")
        }
    }
}

#[test]
fn random_sequences_agree_with_plain_maps() {
    for bed in Bed::each() {
        for seed in 0..6 {
            let (mut random, mut model) = (SplitMix64::new(seed), Model::default());
            let mut store = bed.store();
            super::super::remove(store.as_ref(), NAME).unwrap();
            let mut states = opened(&store).0;
            for round in 0..40 {
                let verb = step(&mut random, &mut states, &mut model);
                let context = format!("{} seed {seed} round {round}: {verb}", bed.backend);
                assert_is(&states, &model, &context);
                if draw(&mut random, 5) == 0 {
                    let before = rows(store.as_ref());
                    drop((states, store));
                    store = bed.store();
                    let opening;
                    (states, opening) = opened(&store);
                    assert_eq!(opening, Opening::Whole, "{context}");
                    assert!(rows(store.as_ref()) == before, "{context}: nothing was left over");
                    assert_is(&states, &model, &format!("{context}, reopened"));
                }
            }
        }
    }
}

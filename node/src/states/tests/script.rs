//! A fixed sequence with each verb in it, and a store that refuses a chosen commit.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::model::Model;
use super::*;
use crate::store::{MemoryStore, StoreError, Visitor, WriteBatch};

#[derive(Debug)]
pub(super) enum Verb {
    Seal(u32, Vec<Change<Account>>, &'static [u8]),
    Rollback(u32),
    PruneBelow(u32),
    /// An export of this height with these changes.
    Import(u32, Vec<Change<Account>>),
    Proven,
}

fn many(keys: std::ops::Range<u8>, balance: u128) -> Vec<Change<Account>> {
    keys.map(|key| put(key, balance)).collect()
}

pub(super) fn script() -> Vec<Verb> {
    vec![
        Verb::Seal(1, many(0..25, 1), b"one"),
        Verb::Seal(2, many(20..30, 2), b"two"),
        Verb::Seal(3, vec![], b"nothing changes"),
        Verb::Seal(5, many(0..9, 5), b"five"),
        Verb::Seal(6, vec![Change::Remove([4; 32]), put(5, 6)], b"six"),
        Verb::Rollback(3),
        Verb::Seal(4, many(30..39, 4), b"four"),
        Verb::PruneBelow(3),
        Verb::Seal(7, many(0..3, 7), b"seven"),
        Verb::Import(4, many(0..30, 9)),
        Verb::Seal(8, many(10..15, 8), b"eight"),
        Verb::Proven,
        Verb::Seal(9, many(0..35, 10), b"nine"),
        Verb::PruneBelow(9),
        Verb::Seal(10, many(1..2, 1), b"ten"),
    ]
}

/// Another one's states, as an export.
fn foreign(height: u32, changes: &[Change<Account>]) -> Vec<u8> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let mut states = opened(&store).0;
    states.seal(BlockHeight(height), changes.iter().cloned(), b"").unwrap();
    export(&states, height)
}

pub(super) fn run(states: &mut States, verb: &Verb) -> Result<(), StatesError> {
    match verb {
        Verb::Seal(height, changes, note) => {
            states.seal(BlockHeight(*height), changes.iter().cloned(), note).map(|_| ())
        }
        Verb::Rollback(to) => states.rollback(BlockHeight(*to)),
        Verb::PruneBelow(height) => states.prune_below(BlockHeight(*height)),
        Verb::Import(height, changes) => {
            states.import(imported(&foreign(*height, changes)), b"import").map(|_| ())
        }
        Verb::Proven => states.mark_proven(&states.claim().unwrap().root),
    }
}

fn follow(model: &mut Model, verb: &Verb) {
    match verb {
        Verb::Seal(height, changes, note) => model.seal(*height, changes, note),
        Verb::Rollback(to) => model.rollback(*to),
        Verb::PruneBelow(height) => model.prune_below(*height),
        Verb::Import(height, changes) => {
            *model = Model { claimed: Some(*height), ..Model::default() };
            model.seal(*height, changes, b"import");
        }
        Verb::Proven => model.claimed = None,
    }
}

/// The model before the first verb, and after each.
pub(super) fn models() -> Vec<Model> {
    let mut models = vec![Model::default()];
    for verb in script() {
        let mut next = models.last().unwrap().clone();
        follow(&mut next, &verb);
        models.push(next);
    }
    models
}

/// How many commits opening a new collection takes, and with it the verbs up to each.
pub(super) fn commits() -> Vec<usize> {
    let counting = Arc::new(Refusing::at(Arc::new(MemoryStore::new()), 0));
    let store: Arc<dyn Store> = counting.clone();
    let mut states = opened(&store).0;
    let mut commits = vec![counting.made()];
    for verb in script() {
        run(&mut states, &verb).unwrap();
        commits.push(counting.made());
    }
    commits
}

/// A store that refuses the n-th commit, from 1, and none at 0. Later ones are made.
pub(super) struct Refusing {
    inner: Arc<dyn Store>,
    commits: AtomicUsize,
    at: usize,
}

impl Refusing {
    pub(super) fn at(inner: Arc<dyn Store>, at: usize) -> Self {
        Self { inner, commits: AtomicUsize::new(0), at }
    }

    pub(super) fn made(&self) -> usize {
        self.commits.load(Ordering::SeqCst)
    }
}

impl Store for Refusing {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        self.inner.scan(table, from, visit)
    }

    fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        if self.commits.fetch_add(1, Ordering::SeqCst) + 1 == self.at {
            return Err(StoreError::Stopped { path: "test".into() });
        }
        self.inner.commit(batch)
    }

    fn backend(&self) -> Backend {
        self.inner.backend()
    }

    fn bytes_on_disk(&self) -> Result<u64, StoreError> {
        self.inner.bytes_on_disk()
    }
}

/// Rows in the store are those that the head names, and no others.
pub(super) fn assert_nothing_left_over(store: &dyn Store, states: &States, context: &str) {
    let pieces = states.head.base.as_ref().map_or(0, |base| base.pieces);
    let named = 1 + usize::try_from(pieces).unwrap() + states.sealed().skip(1).count();
    assert_eq!(rows(store).len(), named, "{context}");
}

//! A collection is open once at a time, by whatever way its store is reached.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::remove;
use super::model::assert_is;
use super::script::{models, run, script};
use super::*;
use crate::store::{
    CustomStore, Lent, MemoryStore, StoreError, StoreIdentity, Visitor, WriteBatch, open_custom,
};

/// Before each commit somebody else tries to open the same collection.
struct Crowded {
    inner: Arc<dyn Store>,
    refused: AtomicUsize,
}

impl Store for Crowded {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        self.inner.scan(table, from, visit)
    }

    fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        let refused = matches!(try_open(&self.inner), Err(StatesError::AlreadyOpen { .. }));
        self.refused.fetch_add(usize::from(refused), Ordering::SeqCst);
        self.inner.commit(batch)
    }

    fn backend(&self) -> Backend {
        self.inner.backend()
    }

    fn bytes_on_disk(&self) -> Result<u64, StoreError> {
        self.inner.bytes_on_disk()
    }

    fn identity(&self) -> StoreIdentity {
        StoreIdentity::of(&self.inner)
    }
}

#[test]
fn who_opens_a_collection_while_it_is_written_takes_nothing_away() {
    let inner: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let crowded = Arc::new(Crowded { inner: Arc::clone(&inner), refused: AtomicUsize::new(0) });
    let store: Arc<dyn Store> = crowded.clone();
    let mut states = opened(&store).0;
    script().iter().for_each(|verb| run(&mut states, verb).unwrap());
    drop(states);
    let (states, opening) = opened(&inner);
    assert_eq!(opening, Opening::Whole);
    assert_is(&states, models().last().unwrap(), "at the end");
    let commits = *super::script::commits().last().unwrap();
    assert_eq!(crowded.refused.load(Ordering::SeqCst), commits);
}

#[test]
fn an_open_collection_is_neither_opened_again_nor_removed_by_any_way() {
    let theirs: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let fenced = open_custom(CustomStore::new(Arc::clone(&theirs))).unwrap().store;
    let ways = [Lent::from(&theirs), Lent::from(&fenced), theirs, fenced];
    for first in &ways {
        let states = opened(first).0;
        for second in &ways {
            let again = try_open(second).unwrap_err();
            assert!(matches!(again, StatesError::AlreadyOpen { name } if name == NAME));
            let removed = remove(second.as_ref(), NAME);
            assert!(matches!(removed, Err(StatesError::AlreadyOpen { .. })));
            // Another name is another collection.
            drop(load::open::<Account>(second, "other", SALT, SIZES).unwrap());
            remove(second.as_ref(), "other").unwrap();
        }
        drop(states);
    }
    opened(&ways[0]);
    remove(ways[1].as_ref(), NAME).unwrap();
}

#[test]
fn a_name_is_free_again_where_opening_it_failed() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let mut batch = WriteBatch::new();
    batch.put(Table::States, [&[8], NAME.as_bytes(), b"H"].concat(), "no head");
    store.commit(batch).unwrap();
    for _ in 0..2 {
        assert!(matches!(try_open(&store), Err(StatesError::Lost { .. })));
    }
    remove(store.as_ref(), NAME).unwrap();
    assert_eq!(opened(&store).1, Opening::New);
}

#[test]
fn collections_of_one_name_in_two_stores_do_not_meet() {
    let stores: [Arc<dyn Store>; 2] = [Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new())];
    let _both = stores.each_ref().map(opened);
}

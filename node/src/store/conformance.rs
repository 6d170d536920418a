//! One suite for all backends, opened as the node opens them. Values are raw here: sealing is the
//! schema's business, and a backend has to keep any bytes.

// Random numbers are cut to size on purpose.
#![allow(clippy::cast_possible_truncation, reason = "random numbers cut to what a test needs")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::{Backend, MAX_VALUE_BYTES, Options, Store, StoreError, Table, WriteBatch, open};

/// A directory, and a backend to open in it.
struct Bed {
    dir: TempDir,
    backend: Backend,
}

type Row = (Vec<u8>, Vec<u8>);

impl Bed {
    fn new(backend: Backend) -> Self {
        Bed { dir: tempfile::tempdir().unwrap(), backend }
    }

    fn open(&self) -> Arc<dyn Store> {
        let dir = self.dir.path().join("mainnet");
        let opened = open(Options { dir, backend: Some(self.backend), now: 1 }).unwrap();
        assert_eq!(opened.store.backend(), self.backend);
        opened.store
    }
}

fn batch(fill: impl FnOnce(&mut WriteBatch)) -> WriteBatch {
    let mut batch = WriteBatch::new();
    fill(&mut batch);
    batch
}

fn put(store: &dyn Store, table: Table, key: &[u8], value: &[u8]) {
    store.commit(batch(|b| b.put(table, key, value))).unwrap();
}

fn rows_from(store: &dyn Store, table: Table, from: &[u8]) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    store.scan(table, from, &mut visit).unwrap();
    rows
}

fn keys(store: &dyn Store, table: Table) -> Vec<Vec<u8>> {
    rows_from(store, table, b"").into_iter().map(|(key, _)| key).collect()
}

fn row_is_put_read_and_deleted(bed: &Bed) {
    let store = bed.open();
    assert_eq!(store.get(Table::Headers, b"k").unwrap(), None);
    put(&*store, Table::Headers, b"k", b"v");
    assert_eq!(store.get(Table::Headers, b"k").unwrap().unwrap(), b"v");
    store.commit(batch(|b| b.delete(Table::Headers, "k"))).unwrap();
    assert_eq!(store.get(Table::Headers, b"k").unwrap(), None);
    store.commit(batch(|b| b.delete(Table::Headers, "never there"))).unwrap();
}

fn later_value_replaces_the_earlier_one(bed: &Bed) {
    let store = bed.open();
    put(&*store, Table::Headers, b"k", b"first, a longer one");
    put(&*store, Table::Headers, b"k", b"second");
    assert_eq!(store.get(Table::Headers, b"k").unwrap().unwrap(), b"second");
    assert_eq!(rows_from(&*store, Table::Headers, b"").len(), 1);
}

fn scan_is_ordered_and_starts_where_asked(bed: &Bed) {
    let store = bed.open();
    let all: [&[u8]; 6] = [b"", b"\x00", b"a", b"aa", b"b", b"\xff\xff"];
    store
        .commit(batch(|b| all.iter().rev().for_each(|key| b.put(Table::Peers, *key, *key))))
        .unwrap();
    assert_eq!(keys(&*store, Table::Peers), all);
    let from_a: Vec<_> = rows_from(&*store, Table::Peers, b"a").into_iter().map(|r| r.0).collect();
    assert_eq!(from_a, &all[2..]);
    // From a key that is not there: the next one.
    assert_eq!(rows_from(&*store, Table::Peers, b"ab").len(), 2);
    assert_eq!(rows_from(&*store, Table::Peers, b"\xff\xff\x00").len(), 0);
}

fn scan_ends_when_the_visitor_breaks(bed: &Bed) {
    let store = bed.open();
    store.commit(batch(|b| (0..10_u8).for_each(|i| b.put(Table::Peers, [i], [i])))).unwrap();
    let mut seen = Vec::new();
    let mut visit = |key: &[u8], _: &[u8]| {
        seen.push(key.to_vec());
        if seen.len() == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    store.scan(Table::Peers, &[4], &mut visit).unwrap();
    assert_eq!(seen, [[4], [5], [6]]);
}

fn tables_are_apart(bed: &Bed) {
    let store = bed.open();
    put(&*store, Table::Headers, b"k", b"header");
    put(&*store, Table::Peers, b"k", b"peer");
    assert_eq!(store.get(Table::Headers, b"k").unwrap().unwrap(), b"header");
    assert_eq!(store.get(Table::Peers, b"k").unwrap().unwrap(), b"peer");
    assert_eq!(keys(&*store, Table::Headers), [b"k"]);
    store.commit(batch(|b| b.delete_from(Table::Headers, ""))).unwrap();
    assert_eq!(keys(&*store, Table::Headers).len(), 0);
    assert_eq!(keys(&*store, Table::Peers), [b"k"]);
}

fn batch_applies_in_its_order(bed: &Bed) {
    let store = bed.open();
    store.commit(batch(|b| (0..10_u8).for_each(|i| b.put(Table::Headers, [i], "old")))).unwrap();
    let reorg = batch(|b| {
        b.put(Table::Headers, [8], "put before, then deleted from");
        b.put(Table::Headers, [20], "the same, and new");
        b.delete_from(Table::Headers, [4]);
        b.put(Table::Headers, [4], "new");
        b.put(Table::Headers, [5], "gone again");
        b.delete(Table::Headers, [5]);
        b.delete(Table::Headers, [6]);
        b.put(Table::Headers, [6], "twice");
        b.put(Table::Headers, [6], "new");
    });
    store.commit(reorg).unwrap();
    assert_eq!(keys(&*store, Table::Headers), [[0], [1], [2], [3], [4], [6]]);
    assert_eq!(store.get(Table::Headers, &[3]).unwrap().unwrap(), b"old");
    assert_eq!(store.get(Table::Headers, &[4]).unwrap().unwrap(), b"new");
    assert_eq!(store.get(Table::Headers, &[6]).unwrap().unwrap(), b"new");
}

fn empty_batch_and_empty_value_are_fine(bed: &Bed) {
    let store = bed.open();
    store.commit(WriteBatch::new()).unwrap();
    put(&*store, Table::Meta, b"empty", b"");
    assert_eq!(store.get(Table::Meta, b"empty").unwrap().unwrap(), b"");
    assert!(store.get(Table::Meta, b"other").unwrap().is_none());
}

fn large_values_are_kept(bed: &Bed) {
    let large: Vec<Vec<u8>> = [100_000, 1_000_000]
        .iter()
        .map(|&n: &u32| (0..n).map(|i| (i % 251) as u8).collect())
        .collect();
    let store = bed.open();
    for (i, value) in (0_u8..).zip(&large) {
        put(&*store, Table::Headers, &[i], value);
    }
    let store = reopened(bed, store);
    for (i, value) in (0_u8..).zip(&large) {
        assert!(store.get(Table::Headers, &[i]).unwrap().unwrap() == *value);
    }
}

/// Memory has nothing to reopen: it goes on.
fn reopened(bed: &Bed, store: Arc<dyn Store>) -> Arc<dyn Store> {
    if bed.backend == Backend::Memory {
        return store;
    }
    drop(store);
    bed.open()
}

fn what_is_too_large_is_refused_whole(bed: &Bed) {
    let store = bed.open();
    let outcome = store.commit(batch(|b| {
        b.put(Table::Peers, "small", "x");
        b.put(Table::Peers, "large", vec![0; MAX_VALUE_BYTES + 1]);
    }));
    assert!(matches!(outcome, Err(StoreError::TooLarge { what: "value", .. })));
    assert_eq!(keys(&*store, Table::Peers).len(), 0);
    put(&*store, Table::Peers, b"small", b"x");
}

fn reopened_store_has_every_commit(bed: &Bed) {
    let mut store = bed.open();
    for round in 0..5_u8 {
        put(&*store, Table::Headers, &[round], &[round; 100]);
        store.commit(batch(|b| b.put(Table::Meta, "tip", [round]))).unwrap();
        store = reopened(bed, store);
        assert_eq!(store.get(Table::Meta, b"tip").unwrap().unwrap(), [round]);
        assert_eq!(keys(&*store, Table::Headers).len(), usize::from(round) + 1);
    }
}

fn many_commits_are_all_kept(bed: &Bed) {
    let store = bed.open();
    for i in 0..500_u32 {
        let commit = batch(|b| {
            b.put(Table::Headers, i.to_be_bytes(), vec![7; 200]);
            b.put(Table::Meta, "tail", vec![9; (i as usize % 50) * 60]);
        });
        store.commit(commit).unwrap();
    }
    let size = store.bytes_on_disk().unwrap();
    assert_eq!(size > 0, bed.backend != Backend::Memory, "{size}");
    let store = reopened(bed, store);
    assert_eq!(keys(&*store, Table::Headers).len(), 500);
}

fn readers_see_a_batch_whole(bed: &Bed) {
    let store = bed.open();
    let pair =
        |i: u32| batch(|b| (0..20_u8).for_each(|k| b.put(Table::Headers, [k], i.to_be_bytes())));
    store.commit(pair(0)).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut scans = 0_u32;
            while !done.load(Ordering::Relaxed) || scans == 0 {
                let rows = rows_from(&*store, Table::Headers, b"");
                assert_eq!(rows.len(), 20);
                assert!(rows.iter().all(|row| row.1 == rows[0].1), "half a batch");
                scans += 1;
            }
        });
        (1..100).for_each(|i| store.commit(pair(i)).unwrap());
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
}

fn xorshift(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// A change drawn at random, done to the batch and to the model.
fn draw(seed: &mut u64, batch: &mut WriteBatch, model: &mut BTreeMap<(Table, Vec<u8>), Vec<u8>>) {
    let table = [Table::Headers, Table::Peers][(xorshift(seed) % 2) as usize];
    let length = (xorshift(seed) % 3) as usize;
    let key: Vec<u8> = (0..length).map(|_| (xorshift(seed) % 6) as u8 * 51).collect();
    match xorshift(seed) % 10 {
        0 => {
            batch.delete_from(table, key.clone());
            model.retain(|(other, k), _| *other != table || *k < key);
        }
        1..=3 => {
            batch.delete(table, key.clone());
            model.remove(&(table, key));
        }
        _ => {
            let value = vec![(xorshift(seed) & 255) as u8; (xorshift(seed) % 300) as usize];
            batch.put(table, key.clone(), value.clone());
            model.insert((table, key), value);
        }
    }
}

fn random_batches_agree_with_a_model(bed: &Bed) {
    let (mut seed, mut model) = (0x1507_2009_u64, BTreeMap::new());
    let mut store = bed.open();
    for round in 0..300 {
        let mut commit = WriteBatch::new();
        for _ in 0..xorshift(&mut seed) % 8 {
            draw(&mut seed, &mut commit, &mut model);
        }
        store.commit(commit).unwrap();
        if round % 50 == 49 {
            store = reopened(bed, store);
        }
        let rows =
            |table| rows_from(&*store, table, b"").into_iter().map(move |(k, v)| ((table, k), v));
        let all: BTreeMap<_, _> = rows(Table::Headers).chain(rows(Table::Peers)).collect();
        assert_eq!(all, model, "after batch {round}");
    }
}

macro_rules! suite {
    ($($name:ident: $backend:expr, if $built:meta;)*) => {$(
        #[cfg($built)]
        mod $name {
            suite!(@tests $backend; row_is_put_read_and_deleted, later_value_replaces_the_earlier_one,
                scan_is_ordered_and_starts_where_asked, scan_ends_when_the_visitor_breaks,
                tables_are_apart, batch_applies_in_its_order, empty_batch_and_empty_value_are_fine,
                large_values_are_kept, what_is_too_large_is_refused_whole,
                reopened_store_has_every_commit, many_commits_are_all_kept,
                readers_see_a_batch_whole, random_batches_agree_with_a_model);
        }
    )*};
    (@tests $backend:expr; $($test:ident),*) => {$(
        #[test]
        fn $test() {
            super::$test(&super::Bed::new($backend));
        }
    )*};
}

suite! {
    memory: crate::store::Backend::Memory, if all();
    disk: crate::store::Backend::Sled, if feature = "sled";
    btree: crate::store::Backend::Redb, if feature = "redb";
}

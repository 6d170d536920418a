//! Pages and ranges beside a plain map.

use std::collections::BTreeMap;

use ironlight_spv::peers::SplitMix64;

use super::*;
use crate::store::MemoryStore;

fn filter(random: &mut SplitMix64) -> StoredFilter {
    match random.next_u64() % 10 {
        0 => StoredFilter::Undecided,
        length => {
            let length = usize::try_from(length).unwrap();
            StoredFilter::Filter(vec![u8::try_from(random.next_u64() % 255).unwrap(); length])
        }
    }
}

/// What is in the store has to be what a map of heights holds.
fn compare(held: &Held, store: &MemoryStore, plain: &BTreeMap<u32, StoredFilter>) {
    let mut found = BTreeMap::new();
    for range in held.ranges() {
        let filters = held.read(store, range.clone()).unwrap();
        found.extend((range.start.0..range.end.0).zip(filters));
    }
    assert_eq!(&found, plain);
    assert_eq!(Held::load(store).unwrap(), *held);
    let mut bytes = 0;
    let count = |_: &[u8], value: &[u8]| {
        bytes += u64::try_from(value.len()).unwrap();
        std::ops::ControlFlow::Continue(())
    };
    store.scan(Table::Filters, &[], &mut { count }).unwrap();
    assert_eq!(held.bytes(), bytes);
}

#[test]
fn random_changes_leave_what_a_plain_map_holds() {
    let (store, mut held, mut plain) = (MemoryStore::new(), Held::default(), BTreeMap::new());
    let mut random = SplitMix64::new(1);
    for step in 0..2000 {
        let mut batch = WriteBatch::new();
        let height = u32::try_from(random.next_u64() % 400).unwrap();
        match random.next_u64() % 8 {
            0 => {
                held.truncate(&store, &mut batch, BlockHeight(height)).unwrap();
                plain.retain(|at, _| *at < height);
            }
            1 => {
                let most = held.bytes() / 2;
                let keep = BlockHeight(height)..BlockHeight(height).plus(20);
                let gone = held.prune(&store, &mut batch, most, &keep).unwrap();
                let is_gone = |at: &u32| gone.iter().any(|range| range.contains(&BlockHeight(*at)));
                plain.retain(|at, _| !is_gone(at));
                let is_kept = |at: &&u32| keep.contains(&BlockHeight(**at));
                assert!(!plain.is_empty() || held.bytes() == 0);
                assert!(gone.iter().all(|range| !keep.contains(&range.start)));
                let page = |at: &u32| at / PAGE;
                let pages_of_kept: Vec<u32> = plain.keys().filter(is_kept).map(page).collect();
                let may_stay = |at: &u32| pages_of_kept.contains(&page(at));
                assert!(held.bytes() <= most || plain.keys().all(may_stay));
            }
            2 => {
                let gone = held.forget_page_of(&store, &mut batch, BlockHeight(height)).unwrap();
                plain.retain(|at, _| !gone.contains(&BlockHeight(*at)));
            }
            _ => {
                let count = random.next_u64() % 40 + 1;
                let new: Vec<_> = (0..count).map(|_| filter(&mut random)).collect();
                held.put(&store, &mut batch, BlockHeight(height), &new).unwrap();
                plain.extend((height..).zip(new));
            }
        }
        store.commit(batch).unwrap();
        if step % 20 == 0 {
            compare(&held, &store, &plain);
        }
    }
    compare(&held, &store, &plain);
}

#[test]
fn more_ranges_than_are_counted_cost_the_lowest() {
    let (store, mut held) = (MemoryStore::new(), Held::default());
    for place in 0..u32::try_from(MAX_RANGES).unwrap() + 2 {
        let mut batch = WriteBatch::new();
        let at = BlockHeight(place * 2 * PAGE);
        held.put(&store, &mut batch, at, &[StoredFilter::Undecided]).unwrap();
        store.commit(batch).unwrap();
    }
    assert_eq!(held.ranges().count(), MAX_RANGES);
    assert_eq!(held.ranges().next().unwrap().start, BlockHeight(4 * PAGE));
}

#[test]
fn damage_costs_what_is_damaged() {
    let (store, mut held) = (MemoryStore::new(), Held::default());
    let filters = vec![StoredFilter::Filter(vec![1, 2, 3]); 40];
    let mut batch = WriteBatch::new();
    held.put(&store, &mut batch, BlockHeight(0), &filters).unwrap();
    batch.put(Table::Filters, key(1), vec![0; 20]);
    store.commit(batch).unwrap();
    assert_eq!(held.read(&store, BlockHeight(0)..BlockHeight(40)).unwrap().len(), 16);
    assert_eq!(held.read(&store, BlockHeight(16)..BlockHeight(40)).unwrap(), []);
    assert_eq!(held.read(&store, BlockHeight(32)..BlockHeight(40)).unwrap().len(), 8);
    let mut batch = WriteBatch::new();
    batch.put(Table::Meta, HELD_KEY, vec![0; 30]);
    store.commit(batch).unwrap();
    assert_eq!(Held::load(&store).unwrap(), Held::default());
    assert!(store.get(Table::Filters, &key(0)).unwrap().is_none());
}

#[test]
fn the_rows_are_the_documented_ones() {
    let (store, mut held, mut batch) = (MemoryStore::new(), Held::default(), WriteBatch::new());
    let filters = [StoredFilter::Filter(vec![9, 8]), StoredFilter::Undecided];
    held.put(&store, &mut batch, BlockHeight(35), &filters).unwrap();
    store.commit(batch).unwrap();
    let page = store.get(Table::Filters, &[0, 0, 0, 2]).unwrap().unwrap();
    let payload = b"\x23\0\0\0\x02\0\0\0\x09\x08\x24\0\0\0\0\0\0\0";
    assert_eq!(checksum::open(Table::Filters, &[0, 0, 0, 2], &page), Ok(&payload[..]));
    let list = store.get(Table::Meta, b"filters_held").unwrap().unwrap();
    let payload = b"\x1a\0\0\0\0\0\0\0\x23\0\0\0\x25\0\0\0";
    assert_eq!(checksum::open(Table::Meta, b"filters_held", &list), Ok(&payload[..]));
}

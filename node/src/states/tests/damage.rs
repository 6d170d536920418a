//! Rows that are damaged, missing, or another's: found, named, and what is below survives.

use super::super::error::{Cut, Fault, Row};
use super::super::rows::Keys;
use super::model::{Model, assert_is};
use super::*;
use crate::store::{MemoryStore, WriteBatch, checksum};

/// Heights 1, 2 (where nothing changes), 4 and 5, after a pruning.
fn built() -> (Vec<Stored>, Model) {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let (mut states, mut model) = (opened(&store).0, Model::default());
    let blocks: [(u32, Vec<Change<Account>>); 5] = [
        (0, (0..9).map(|key| put(key, 1)).collect()),
        (1, vec![put(9, 2)]),
        (2, vec![]),
        (4, vec![Change::Remove([3; 32]), put(4, 4)]),
        (5, vec![put(20, 5)]),
    ];
    for (height, changes) in blocks {
        states.seal(BlockHeight(height), changes.clone(), b"note").unwrap();
        model.seal(height, &changes, b"note");
    }
    states.prune_below(BlockHeight(1)).unwrap();
    model.prune_below(1);
    assert_is(&states, &model, "built");
    (rows(store.as_ref()), model)
}

fn store_of(rows: &[Stored]) -> Arc<dyn Store> {
    let (store, mut batch) = (MemoryStore::new(), WriteBatch::new());
    rows.iter().for_each(|(key, value)| batch.put(Table::States, key.clone(), value.clone()));
    store.commit(batch).unwrap();
    Arc::new(store)
}

/// Opens it, and checks that this row was found to have this fault.
fn assert_found(damaged: &[Stored], model: &Model, row: Row, is_expected: impl Fn(&Fault) -> bool) {
    let store = store_of(damaged);
    match row {
        Row::Head | Row::Base { .. } => {
            let Err(StatesError::Lost { row: found, fault, .. }) = try_open(&store) else {
                panic!("{row}: not found");
            };
            assert!(found == row && is_expected(&fault), "{row}: {found} {fault}");
            assert!(rows(store.as_ref()) == damaged, "{row}: nothing is changed");
        }
        Row::Changes { height } => {
            let (mut states, opening) = opened(&store);
            let Opening::Cut(Cut { row: found, fault, newest, lost_to }) = opening else {
                panic!("{row}: {opening:?}");
            };
            assert!(found == row && is_expected(&fault), "{row}: {found} {fault}");
            let mut left = model.clone();
            left.rollback(height.0 - 1);
            assert_eq!((Some(newest.0), lost_to.0), (left.newest(), 5));
            assert_is(&states, &left, "what is below survives");
            states.seal(BlockHeight(9), [put(1, 1)], b"goes on").unwrap();
            drop(states);
            let (states, opening) = opened(&store);
            assert_eq!(opening, Opening::Whole);
            left.seal(9, &[put(1, 1)], b"goes on");
            assert_is(&states, &left, "reopened");
        }
    }
}

#[test]
fn each_flipped_byte_of_each_row_is_found_and_what_is_below_survives() {
    let (good, model) = built();
    let keys = Keys::new(NAME).unwrap();
    let mut kinds = [0; 3];
    for (at, (key, value)) in good.iter().enumerate() {
        let row = keys.row(key).unwrap();
        match row {
            Row::Head => kinds[0] += 1,
            Row::Base { .. } => kinds[1] += 1,
            Row::Changes { .. } => kinds[2] += 1,
        }
        for byte in 0..value.len() {
            let mut damaged = good.clone();
            damaged[at].1[byte] ^= 1 << (byte % 8);
            assert_found(&damaged, &model, row, |fault| matches!(fault, Fault::Checksum(_)));
        }
        for length in [0, 7, value.len() - 1] {
            let mut damaged = good.clone();
            damaged[at].1.truncate(length);
            assert_found(&damaged, &model, row, |fault| matches!(fault, Fault::Checksum(_)));
        }
    }
    assert!(kinds[0] == 1 && kinds[1] > 3 && kinds[2] == 3, "{kinds:?}");
}

#[test]
fn each_missing_row_is_named_even_where_it_changed_nothing() {
    let (good, model) = built();
    let keys = Keys::new(NAME).unwrap();
    for at in 0..good.len() {
        let mut damaged = good.clone();
        let (key, _) = damaged.remove(at);
        let row = keys.row(&key).unwrap();
        assert_found(&damaged, &model, row, |fault| *fault == Fault::Missing);
    }
}

/// Bytes that carry a right checksum and are wrong all the same: a fault of memory, or of this code.
#[test]
fn no_byte_under_a_right_checksum_gives_a_root_that_was_never_sealed() {
    let (good, model) = built();
    for (at, (key, value)) in good.iter().enumerate() {
        let payload = checksum::open(Table::States, key, value).unwrap();
        for byte in 0..payload.len() {
            let mut payload = payload.to_vec();
            payload[byte] ^= 1 << (byte % 8);
            let mut damaged = good.clone();
            damaged[at].1 = checksum::seal(Table::States, key, &payload);
            match try_open(&store_of(&damaged)) {
                Err(StatesError::Lost { .. } | StatesError::OtherKind { .. }) => {}
                Err(error) => panic!("{error}"),
                Ok((states, _)) => {
                    for (height, _) in states.sealed() {
                        let (plain, _) = &model.heights[&height.0];
                        let expected = super::model::root(plain, SALT);
                        assert_eq!(states.root_at(height), Ok(expected), "byte {byte}");
                    }
                }
            }
        }
    }
}

#[test]
fn rows_of_another_history_are_refused() {
    let (good, model) = built();
    let keys = Keys::new(NAME).unwrap();
    let key = |height| keys.key(Row::Changes { height: BlockHeight(height) });
    let payload = |height| {
        let (key, value) = good.iter().find(|(found, _)| *found == key(height)).unwrap();
        checksum::open(Table::States, key, value).unwrap().to_vec()
    };
    let with = |height, payload: &[u8]| {
        let mut damaged = good.clone();
        let row = damaged.iter_mut().find(|(found, _)| *found == key(height)).unwrap();
        row.1 = checksum::seal(Table::States, &row.0, payload);
        damaged
    };
    let row = |height| Row::Changes { height: BlockHeight(height) };
    let is_previous = |fault: &Fault| matches!(fault, Fault::OtherPrevious { .. });
    assert_found(&with(4, &payload(2)), &model, row(4), is_previous);
    // The height before is right, the changes are those of another.
    let mut other = payload(4)[..10].to_vec();
    other.extend(&payload(5)[10..]);
    let is_height = |fault: &Fault| matches!(fault, Fault::OtherHeight { .. });
    assert_found(&with(4, &other), &model, row(4), is_height);
}

#[test]
fn a_removed_collection_makes_room_for_a_new_one() {
    let (good, _) = built();
    for at in 0..good.len() {
        let mut damaged = good.clone();
        damaged.remove(at);
        let store = store_of(&damaged);
        super::super::remove(store.as_ref(), NAME).unwrap();
        assert!(rows(store.as_ref()).is_empty());
        assert_eq!(opened(&store).1, Opening::New);
    }
}

#[test]
fn verify_names_the_row_that_was_changed_under_it() {
    let (good, _) = built();
    let keys = Keys::new(NAME).unwrap();
    for (key, value) in &good {
        let store = store_of(&good);
        let (states, _) = opened(&store);
        states.verify().unwrap();
        let row = keys.row(key).unwrap();
        let mut payload = checksum::open(Table::States, key, value).unwrap().to_vec();
        *payload.last_mut().unwrap() ^= 1;
        for sealed in [payload.clone(), checksum::seal(Table::States, key, &payload)] {
            let mut batch = WriteBatch::new();
            batch.put(Table::States, key.clone(), sealed);
            store.commit(batch).unwrap();
            let found = states.verify();
            assert!(
                matches!(found, Err(StatesError::Damaged { row: found, .. }) if found == row),
                "{row}"
            );
        }
    }
}

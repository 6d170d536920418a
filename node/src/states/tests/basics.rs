//! What each verb does, and what it refuses.

use ironlight_spv::compress::state::{StateError, Verdict, WalletAccount};

use super::super::{Claim, Fault, MAX_BLOCK_BYTES, Summary, list, remove};
use super::script::Refusing;
use super::*;
use crate::store::MemoryStore;

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

/// Heights 10, 12 and 15 with one account more each, and their number as a note.
fn three(store: &Arc<dyn Store>) -> States {
    let (mut states, opening) = opened(store);
    assert_eq!(opening, Opening::New);
    for (height, key) in [(10, 1), (12, 2), (15, 3)] {
        let note = [key; 32];
        states.seal(BlockHeight(height), [put(key, height.into())], &note).unwrap();
    }
    states
}

#[test]
fn what_was_sealed_is_there_again_with_its_proofs_and_notes() {
    for bed in Bed::each() {
        let store = bed.store();
        let states = three(&store);
        let roots = [10, 12, 15].map(|height| states.root_at(BlockHeight(height)).unwrap());
        drop((states, store));
        let (states, opening) = opened(&bed.store());
        assert_eq!(opening, Opening::Whole);
        for ((height, key), root) in [(10, 1), (12, 2), (15, 3)].into_iter().zip(roots) {
            let at = BlockHeight(height);
            assert_eq!(states.root_at(at), Ok(root));
            assert_eq!(states.note_at(at), Ok(&[key; 32][..]));
            let proof = states.prove(&[3; 32], at).unwrap();
            let expected =
                if height == 15 { Verdict::Included(account(3, 15)) } else { Verdict::Absent };
            assert_eq!(proof.verify(&root, &[3; 32], &SALT), Ok(expected));
        }
        assert_eq!(states.note_at(BlockHeight(14)), Ok(&[2; 32][..]));
        assert_eq!(states.get(&[2; 32], BlockHeight(14)), Ok(Some(account(2, 12))));
        assert_eq!(states.accounts(BlockHeight(15)), Ok(3));
        assert_eq!(states.diff(BlockHeight(12), BlockHeight(15)), Ok(vec![put(3, 15)]));
        states.verify().unwrap();
    }
}

#[test]
fn heights_that_cannot_be_asked_are_named() {
    let store = memory();
    assert_eq!(opened(&store).0.root_at(BlockHeight(1)), Err(StateError::NothingSealed));
    remove(store.as_ref(), NAME).unwrap();
    let states = three(&store);
    let (height, oldest, newest) = (BlockHeight(9), BlockHeight(10), BlockHeight(15));
    assert_eq!(states.note_at(height), Err(StateError::BelowOldest { height, oldest }));
    let height = BlockHeight(16);
    assert_eq!(states.note_at(height), Err(StateError::AboveNewest { height, newest }));
}

#[test]
fn a_rollback_takes_rows_and_notes_above_away() {
    for bed in Bed::each() {
        let store = bed.store();
        let mut states = three(&store);
        states.rollback(BlockHeight(14)).unwrap();
        assert_eq!(states.newest(), Some(BlockHeight(12)));
        states.seal(BlockHeight(13), [put(9, 9)], b"other branch").unwrap();
        drop((states, store));
        let (states, opening) = opened(&bed.store());
        assert_eq!(opening, Opening::Whole);
        let sealed: Vec<_> = states.sealed().collect();
        let other = (BlockHeight(13), &b"other branch"[..]);
        assert_eq!(
            sealed,
            [(BlockHeight(10), &[1; 32][..]), (BlockHeight(12), &[2; 32][..]), other]
        );
        assert_eq!(states.get(&[3; 32], BlockHeight(13)), Ok(None));
        states.verify().unwrap();
    }
}

#[test]
fn a_rollback_of_many_heights_is_one_commit() {
    let counting = Arc::new(Refusing::at(memory(), 0));
    let store: Arc<dyn Store> = counting.clone();
    let mut states = opened(&store).0;
    // More than any commit that may be split deletes.
    let newest = u32::try_from(Sizes::default().deletes).unwrap() + 10;
    for height in 1..=newest {
        states.seal(BlockHeight(height), [put(1, height.into())], b"").unwrap();
    }
    let before = counting.made();
    states.rollback(BlockHeight(2)).unwrap();
    assert_eq!(counting.made(), before + 1);
    drop(states);
    let (states, opening) = opened(&store);
    assert_eq!((opening, states.newest()), (Opening::Whole, Some(BlockHeight(2))));
    assert_eq!(rows(store.as_ref()).len(), 3);
}

#[test]
fn all_accounts_of_a_height_are_read_without_an_export() {
    let store = memory();
    let states = three(&store);
    let values = states.values(BlockHeight(14)).unwrap();
    let mut values: Vec<_> = values.map(Result::unwrap).collect();
    values.sort_by_key(|account| account.key);
    assert_eq!(values, [account(1, 10), account(2, 12)]);
    let height = BlockHeight(16);
    let above = StateError::AboveNewest { height, newest: BlockHeight(15) };
    assert_eq!(states.values(height).err(), Some(above));
}

#[test]
fn pruning_leaves_the_last_seal_below_and_no_row_of_no_use() {
    for bed in Bed::each() {
        let store = bed.store();
        let mut states = three(&store);
        states.prune_below(BlockHeight(14)).unwrap();
        assert_eq!(states.oldest(), Some(BlockHeight(12)));
        assert_eq!(states.note_at(BlockHeight(12)), Ok(&[2; 32][..]));
        states.verify().unwrap();
        let before = rows(store.as_ref());
        drop((states, store));
        let store = bed.store();
        let (mut states, opening) = opened(&store);
        assert_eq!(opening, Opening::Whole);
        assert!(rows(store.as_ref()) == before, "opening has nothing to remove");
        assert_eq!(states.get(&[2; 32], BlockHeight(13)), Ok(Some(account(2, 12))));
        // Above the newest: that one stays.
        states.prune_below(BlockHeight(100)).unwrap();
        assert_eq!((states.oldest(), states.newest()), (states.newest(), Some(BlockHeight(15))));
        let changed = rows(store.as_ref());
        states.prune_below(BlockHeight(3)).unwrap();
        assert!(rows(store.as_ref()) == changed);
    }
}

#[test]
fn an_import_is_a_claim_until_its_root_is_proven() {
    for bed in Bed::each() {
        let other = memory();
        let source = three(&other);
        let (bytes, root) = (export(&source, 12), source.root_at(BlockHeight(12)).unwrap());
        let store = bed.store();
        let (mut states, _) =
            load::open::<Account>(&store, NAME, Salt::Bytes([9; 32]), SIZES).unwrap();
        for height in [1, 13, 20] {
            states.seal(BlockHeight(height), [put(8, height.into())], b"own").unwrap();
        }
        let sealed = states.import(imported(&bytes), b"claimed").unwrap();
        assert_eq!((sealed.height, sealed.root, sealed.accounts), (BlockHeight(12), root, 2));
        states.seal(BlockHeight(13), [put(3, 1)], b"").unwrap();
        drop((states, store));
        let store = bed.store();
        let (mut states, opening) = opened(&store);
        assert_eq!(opening, Opening::Whole);
        assert_eq!(states.salt(), SALT);
        assert_eq!(states.claim(), Some(Claim { height: BlockHeight(12), root }));
        let sealed: Vec<_> = states.sealed().collect();
        assert_eq!(sealed, [(BlockHeight(12), &b"claimed"[..]), (BlockHeight(13), &b""[..])]);
        let refused = states.mark_proven(&[1; 32]);
        assert!(matches!(refused, Err(StatesError::OtherRoot { claimed, .. }) if claimed == root));
        // The claim outlives the height that it is of.
        states.prune_below(BlockHeight(13)).unwrap();
        states.mark_proven(&root).unwrap();
        assert!(matches!(states.mark_proven(&root), Err(StatesError::NotClaimed { .. })));
        drop((states, store));
        assert_eq!(opened(&bed.store()).0.claim(), None);
    }
}

#[test]
fn collections_side_by_side_do_not_meet() {
    for bed in Bed::each() {
        let store = bed.store();
        let names = ["a", "aa", "b"];
        let mut all: Vec<States> =
            names.iter().map(|name| load::open(&store, name, SALT, SIZES).unwrap().0).collect();
        for height in 1..6 {
            for (key, states) in (0..).zip(&mut all) {
                let changes = (0..8).map(|other| put(10 * key + other, height.into()));
                states.seal(BlockHeight(height), changes, &[key]).unwrap();
            }
        }
        all[0].rollback(BlockHeight(3)).unwrap();
        all[1].prune_below(BlockHeight(4)).unwrap();
        all[2].verify().unwrap();
        drop(all);
        remove(store.as_ref(), "a").unwrap();
        drop(store);
        let store = bed.store();
        let open = |name| load::open::<Account>(&store, name, SALT, SIZES).unwrap();
        let (first, opening) = open("a");
        assert_eq!((first.newest(), opening), (None, Opening::New));
        let ((second, _), (third, _)) = (open("aa"), open("b"));
        let range = |states: &States| (states.oldest().unwrap().0, states.newest().unwrap().0);
        assert_eq!((range(&second), range(&third)), ((4, 5), (1, 5)));
        assert_eq!(third.get(&[21; 32], BlockHeight(5)), Ok(Some(account(21, 5))));
        assert_eq!(third.get(&[11; 32], BlockHeight(5)), Ok(None));
    }
}

#[test]
fn collections_are_listed_by_their_heads() {
    let store = memory();
    assert_eq!(list(store.as_ref()).unwrap(), []);
    drop(three(&store));
    drop(StoredStates::<WalletAccount>::open(&store, "b", SALT).unwrap());
    drop(StoredStates::<Account>::open(&store, "c", SALT).unwrap());
    let mut batch = crate::store::WriteBatch::new();
    // A head that is damaged, and keys of no form.
    batch.put(Table::States, b"\x01cH", "short");
    let strange: [&[u8]; 5] = [b"", b"\x00", b"\x01", b"\x01b\xff", b"\xff\xff"];
    strange.iter().for_each(|key| batch.put(Table::States, *key, "value"));
    store.commit(batch).unwrap();
    let listed = list(store.as_ref()).unwrap();
    let [second, third, first] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!([&first.name, &second.name, &third.name], [NAME, "b", "c"]);
    let heights = Some((BlockHeight(10), BlockHeight(15)));
    assert_eq!(first.head, Ok(Summary { kind: 1, heights, claim: None }));
    assert_eq!(second.head, Ok(Summary { kind: 2, heights: None, claim: None }));
    assert!(matches!(third.head, Err(Fault::Checksum(_))));
}

#[test]
fn what_cannot_be_sealed_changes_nothing() {
    let store = memory();
    let mut states = three(&store);
    let before = rows(store.as_ref());
    let below = states.seal(BlockHeight(15), [put(9, 9)], b"");
    assert!(matches!(below, Err(StatesError::State(StateError::NotAscending { .. }))));
    let long = states.seal(BlockHeight(16), [put(9, 9)], &[0; 65]);
    assert!(matches!(long, Err(StatesError::NoteTooLong { bytes: 65 })));
    let key = |number: u32| {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        key
    };
    let many = (0..160_000)
        .map(|number| Account {
            code_hash: [1; 32],
            storage_root: [2; 32],
            ..Account::blank(key(number))
        })
        .map(Change::Put);
    let large = states.seal(BlockHeight(16), many, b"");
    assert!(
        matches!(large, Err(StatesError::BlockTooLarge { bytes, .. }) if bytes > MAX_BLOCK_BYTES)
    );
    assert!(rows(store.as_ref()) == before);
    assert_eq!(states.accounts(BlockHeight(15)), Ok(3));
    states.verify().unwrap();
    states.seal(BlockHeight(16), [], &[0; 64]).unwrap();
}

#[test]
fn values_of_another_kind_are_refused() {
    let store = memory();
    drop(three(&store));
    let other = StoredStates::<WalletAccount>::open(&store, NAME, SALT);
    assert!(matches!(other, Err(StatesError::OtherKind { found: 1, wanted: 2, .. })));
}

#[test]
fn a_handle_is_refused_where_rows_were_changed_past_it() {
    let store = memory();
    let mut states = three(&store);
    // A store that does not tell what it passes its calls on to.
    let past: Arc<dyn Store> = Arc::new(Refusing::at(Arc::clone(&store), 0));
    let (mut second, _) = opened(&past);
    states.seal(BlockHeight(16), [put(1, 1)], b"").unwrap();
    let refused = second.seal(BlockHeight(16), [put(1, 2)], b"");
    assert!(matches!(refused, Err(StatesError::ChangedElsewhere { .. })));
    assert_eq!(second.newest(), Some(BlockHeight(15)));
    states.verify().unwrap();
}

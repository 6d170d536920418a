//! Every byte of everything that is written matters, and no bytes make a decoder panic.

use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{
    Account, ApplyError, Change, ChangeSet, DecodeError, ImportError, Importer, Salt,
    StateCompressor, StateProof, StateValue,
};
use ironlight_spv::generate::Miner;

use crate::support::{SALT, account, below, exported, key, states_of};

/// The bytes with each bit of each byte turned, one at a time.
fn flipped(bytes: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    (0..8 * bytes.len()).map(|bit| {
        let mut damaged = bytes.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        (bit / 8, damaged)
    })
}

fn two_heights(salt: Salt) -> StateCompressor<Account> {
    let mut states = states_of(12, salt, 3);
    let mut random = Miner::new(4);
    states.put(account(&mut random, key(1)));
    states.put(account(&mut random, key(77)));
    states.remove(&key(2));
    states.seal(BlockHeight(2)).unwrap();
    states
}

#[test]
fn no_flipped_bit_of_an_export_is_taken_in() {
    for salt in [SALT, Salt::None] {
        let bytes = exported(&two_heights(salt), 2);
        assert!(StateCompressor::<Account>::import(&bytes, 12).is_ok());
        for (at, damaged) in flipped(&bytes) {
            let refused = StateCompressor::<Account>::import(&damaged, 1_000);
            assert!(refused.is_err(), "byte {at}");
        }
    }
}

#[test]
fn no_flipped_bit_of_a_proof_proves_anything() {
    for salt in [SALT, Salt::None] {
        let states = two_heights(salt);
        let root = states.root(BlockHeight(2)).unwrap();
        for key in [key(1), key(2), key(500)] {
            let proof = states.prove(&key, BlockHeight(2)).unwrap();
            assert!(proof.verify(&root, &key, &salt).is_ok());
            for (at, damaged) in flipped(&proof.encode()) {
                let proves = StateProof::<Account>::decode(&damaged)
                    .is_ok_and(|proof| proof.verify(&root, &key, &salt).is_ok());
                assert!(!proves, "byte {at}");
            }
        }
    }
}

#[test]
fn no_flipped_bit_of_a_change_set_is_taken_in() {
    let states = two_heights(SALT);
    let bytes = states.changes(BlockHeight(2)).unwrap().encode();
    for (at, damaged) in flipped(&bytes) {
        let refused = ChangeSet::<Account>::decode(&damaged);
        assert!(refused.is_err(), "byte {at}");
    }
}

#[test]
fn cut_and_extended_bytes_are_refused() {
    let states = two_heights(SALT);
    let export = exported(&states, 2);
    let set = states.changes(BlockHeight(2)).unwrap().encode();
    let proof = states.prove(&key(1), BlockHeight(2)).unwrap().encode();
    for len in 0..export.len() {
        assert!(StateCompressor::<Account>::import(&export[..len], 1_000).is_err());
    }
    for len in 0..set.len() {
        assert!(ChangeSet::<Account>::decode(&set[..len]).is_err());
    }
    for len in 0..proof.len() {
        assert!(StateProof::<Account>::decode(&proof[..len]).is_err());
    }
    let extended = |bytes: &[u8]| [bytes, &[0]].concat();
    let at = export.len();
    let trailing = ImportError::Decode(DecodeError::TrailingBytes { at });
    let refused = StateCompressor::<Account>::import(&extended(&export), 1_000);
    assert_eq!(refused.err(), Some(trailing));
    assert!(ChangeSet::<Account>::decode(&extended(&set)).is_err());
    assert!(StateProof::<Account>::decode(&extended(&proof)).is_err());
}

#[test]
fn an_export_may_come_in_any_pieces() {
    let states = two_heights(SALT);
    let export = exported(&states, 2);
    for size in 1..200 {
        let mut importer = Importer::<Account>::new(12);
        export.chunks(size).for_each(|piece| importer.push(piece).unwrap());
        let imported = importer.finish().unwrap();
        assert_eq!(imported.root(BlockHeight(2)), states.root(BlockHeight(2)));
        imported.verify().unwrap();
    }
}

#[test]
fn more_accounts_than_the_limit_are_refused_at_the_head() {
    let export = exported(&two_heights(SALT), 2);
    let refused = Importer::<Account>::new(11).push(&export[..75]);
    assert_eq!(refused, Err(ImportError::Decode(DecodeError::TooMany { count: 12 })));
}

#[test]
fn an_error_names_the_place_in_the_whole() {
    let export = exported(&states_of(3_000, SALT, 5), 1);
    let far = export.len() - 40;
    let mut damaged = export.clone();
    damaged[far] ^= 1;
    let refused = StateCompressor::<Account>::import(&damaged, 3_000);
    let at = export.len() - 32;
    let checksum = ImportError::Decode(DecodeError::WrongChecksum { at });
    let refused = refused.err().unwrap();
    let ImportError::Decode(error) = refused else { panic!("{refused}") };
    assert!(
        refused == checksum || matches!(error, DecodeError::Value { at, .. } if at > far - 200)
    );
}

#[test]
fn changes_that_do_not_fit_leave_everything_as_it_was() {
    let states = two_heights(SALT);
    let good = states.changes(BlockHeight(2)).unwrap();
    let mut before = states.clone();
    before.rollback(BlockHeight(1)).unwrap();
    let expected = before.root(BlockHeight(1)).unwrap();

    let refuse = |set: ChangeSet<Account>| {
        let mut tried = before.clone();
        let refused = tried.apply(set).unwrap_err();
        assert_eq!(tried.newest(), Some(BlockHeight(1)));
        assert_eq!(exported(&tried, 1), exported(&before, 1));
        tried.verify().unwrap();
        tried.apply(good.clone()).unwrap();
        refused
    };
    let got = [1; 32];
    let refused = refuse(ChangeSet { previous: got, ..good.clone() });
    assert_eq!(refused, ApplyError::WrongPrevious { expected, got });
    let refused = refuse(ChangeSet { root: [1; 32], ..good.clone() });
    assert_eq!(refused, ApplyError::WrongRoot { expected: [1; 32], got: good.root });
    let mut set = good.clone();
    set.changes.reverse();
    assert_eq!(refuse(set), ApplyError::NotAscending { index: 1 });
    let mut set = good.clone();
    set.changes.push(Change::Remove(key(999)));
    set.changes.sort_by_key(|change| SALT.place(change.key()));
    assert_eq!(refuse(set), ApplyError::WithoutEffect { count: 1 });
    let refused = refuse(ChangeSet { height: BlockHeight(1), ..good.clone() });
    assert!(matches!(refused, ApplyError::State(_)));

    let mut busy = before.clone();
    busy.put(Account::blank(key(5)));
    assert_eq!(busy.apply(good), Err(ApplyError::OpenChanges { count: 1 }));
    assert_eq!(busy.get_open(&key(5)), Ok(Some(Account::blank(key(5)))));
}

#[test]
fn random_bytes_make_no_decoder_panic() {
    let states = two_heights(SALT);
    let seeds = [
        exported(&states, 2),
        states.changes(BlockHeight(2)).unwrap().encode(),
        states.prove(&key(1), BlockHeight(2)).unwrap().encode(),
    ];
    let mut random = Miner::new(1);
    for round in 0..30_000 {
        let mut bytes = seeds[round % 3].clone();
        for _ in 0..below(&mut random, 6) {
            let len = u64::try_from(bytes.len()).unwrap();
            let at = usize::try_from(below(&mut random, len)).unwrap();
            bytes[at] = random.random().to_le_bytes()[0];
        }
        let _ = StateCompressor::<Account>::import(&bytes, 1_000);
        let _ = ChangeSet::<Account>::decode(&bytes);
        let _ = StateProof::<Account>::decode(&bytes);
        let _ = Account::decode(&bytes);
    }
}

use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{Change, StateCompressor, StateValue as _, WalletAccount};

use super::{Kept, OWN};
use crate::states::StoredStates;
use crate::store::{Table, WriteBatch};
use crate::wallet::claim::{ClaimBlock, ClaimVerdict};
use crate::wallet::file::{FileId, FileItem, WalletFile};
use crate::wallet::states::sealed_at;
use crate::wallet::testing::{Bench, Dice, GOOD, SALT, TestChain, script};
use crate::wallet::watch::{WatchId, WatchRequest, WatchTarget};

/// A wallet that was paid in the blocks 3 to 5.
fn paid() -> (TestChain, Bench) {
    let mut chain = TestChain::new(3);
    let mut bench = Bench::new(chain.tip());
    bench.kills = None;
    watch(&mut bench, 1);
    for _ in 0..3 {
        chain.mine(&script(1), Vec::new());
    }
    bench.sync(&chain, GOOD, &mut Dice(1));
    (chain, bench)
}

fn watch(bench: &mut Bench, number: u8) -> WatchId {
    let target = WatchTarget::script(script(number)).unwrap();
    let planned = bench.wallet.plan_watch(WatchRequest::new(target, BlockHeight(0))).unwrap();
    bench.commit(planned).id
}

fn heights(kept: &Kept) -> Vec<u32> {
    kept.own.as_ref().unwrap().sealed().map(|(height, _)| height.0).collect()
}

/// The keys of all rows of states.
fn keys(bench: &Bench) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    let scanned = bench.states_store.scan(Table::States, &[], &mut |key, _| {
        keys.push(key.to_vec());
        std::ops::ControlFlow::Continue(())
    });
    scanned.unwrap();
    keys
}

/// Whether a row is of a collection: its name stands in its key.
fn is_of(key: &[u8], name: &str) -> bool {
    key.windows(name.len()).any(|part| part == name.as_bytes())
}

/// Opens them anew, seals what is missing, and compares the newest with what coins say.
fn mended(bench: &mut Bench) -> Vec<String> {
    bench.kept.close();
    let (kept, notes) = Kept::open(&bench.states_store, &bench.wallet, SALT).unwrap();
    bench.kept = kept;
    while bench.kept.seal(&bench.wallet, 1).unwrap() {}
    let height = bench.wallet.complete_to().unwrap();
    let (states, sealed) = bench.kept.at(&bench.wallet, height).unwrap();
    let expected = sealed_at(&bench.wallet.ledger, height, SALT, |_| true).unwrap();
    assert_eq!(states.root_at(sealed.unwrap()).unwrap(), expected.root(height).unwrap());
    notes
}

#[test]
fn each_block_that_changes_something_is_sealed_with_its_hash() {
    let (chain, bench) = paid();
    assert_eq!(heights(&bench.kept), [3, 4, 5]);
    let own = bench.kept.own.as_ref().unwrap();
    for (height, note) in own.sealed() {
        let hash = chain.hash_at(height).unwrap();
        let hash: &[u8; 32] = hash.as_ref();
        assert_eq!(note, hash);
    }
    assert_eq!(bench.kept.reach(&bench.wallet), Some(BlockHeight(5)));
}

#[test]
fn nothing_is_answered_between_taking_back_and_sealing() {
    let (_, mut bench) = paid();
    bench.kept.take_back(BlockHeight(4)).unwrap();
    assert_eq!(bench.kept.reach(&bench.wallet), Some(BlockHeight(3)));
    assert_eq!(heights(&bench.kept), [3]);
    bench.kept.take_back(BlockHeight(0)).unwrap();
    assert_eq!(bench.kept.reach(&bench.wallet), None);
    assert_eq!(heights(&bench.kept), [0_u32; 0]);
}

#[test]
fn removing_an_item_leaves_nothing_of_it_behind() {
    let (mut chain, mut bench) = paid();
    let id = watch(&mut bench, 2);
    chain.mine(&script(2), Vec::new());
    bench.sync(&chain, GOOD, &mut Dice(1));
    assert_eq!(heights(&bench.kept), [3, 4, 5, 6]);
    let planned = bench.wallet.plan_unwatch(id).unwrap();
    bench.commit(planned);
    assert_eq!(heights(&bench.kept), [3, 4, 5]);
    assert_eq!(bench.kept.reach(&bench.wallet), Some(BlockHeight(6)));
}

#[test]
fn what_is_sealed_of_another_branch_is_taken_back_when_it_is_opened() {
    let (_, mut bench) = paid();
    bench.kept.close();
    let mut other = StoredStates::<WalletAccount>::open(&bench.states_store, OWN, SALT).unwrap().0;
    other.rollback(BlockHeight(3)).unwrap();
    let account = WalletAccount { balance: 9, ..WalletAccount::blank([1; 32]) };
    other.seal(BlockHeight(4), [Change::Put(account)], &[7; 32]).unwrap();
    drop(other);
    let (mut kept, _) = Kept::open(&bench.states_store, &bench.wallet, SALT).unwrap();
    assert_eq!(heights(&kept), [3]);
    kept.close();
    assert_eq!(mended(&mut bench), Vec::<String>::new());
    assert_eq!(heights(&bench.kept), [3, 4, 5]);
}

#[test]
fn every_damaged_row_is_found_and_made_anew() {
    let keys = keys(&paid().1);
    assert!(keys.len() >= 4, "{keys:?}");
    for key in keys {
        for damaged in [None, Some(vec![0; 40])] {
            let (_, mut bench) = paid();
            let mut batch = WriteBatch::new();
            match damaged {
                Some(value) => batch.put(Table::States, key.clone(), value),
                None => batch.delete(Table::States, key.clone()),
            }
            bench.states_store.commit(batch).unwrap();
            mended(&mut bench);
            assert_eq!(heights(&bench.kept), [3, 4, 5], "{key:?}");
        }
    }
}

#[test]
fn what_was_given_up_is_made_anew_at_the_next_start() {
    let (_, mut bench) = paid();
    bench.kept.give_up().unwrap();
    assert!(bench.kept.at(&bench.wallet, BlockHeight(0)).is_err());
    assert_eq!(bench.kept.reach(&bench.wallet), None);
    mended(&mut bench);
    assert_eq!(heights(&bench.kept), [3, 4, 5]);
}

/// A wallet that imported the file of another.
fn imported() -> (Bench, WalletFile) {
    let (chain, exporter) = paid();
    let block = chain.tip();
    let state = sealed_at(&exporter.wallet.ledger, block.height, SALT, |_| true).unwrap();
    let items = exporter.wallet.watches().map(FileItem::of);
    let file = WalletFile { block, items: items.collect(), state };
    let mut bench = Bench::new(chain.tip());
    bench.kills = None;
    let planned = bench.wallet.plan_import(&file, FileId([1; 32]), ClaimBlock::Expected).unwrap();
    bench.kept.take_claim(&file, FileId([1; 32])).unwrap();
    bench.commit(planned);
    bench.sync(&chain, GOOD, &mut Dice(1));
    (bench, file)
}

#[test]
fn a_claim_is_there_after_a_restart_until_it_is_proven_and_then_as_well() {
    let (mut bench, file) = imported();
    let root = file.root().unwrap();
    for verdict in [ClaimVerdict::Open, ClaimVerdict::Proven] {
        let planned = bench.wallet.plan_verdict(verdict).unwrap();
        bench.commit(planned);
        bench.reload();
        assert_eq!(mended(&mut bench), Vec::<String>::new());
        let status = super::claims::status(&bench.wallet, &bench.kept).unwrap();
        assert_eq!((status.claim.verdict, status.claim.root), (verdict, root));
        assert_eq!((status.balance.unwrap().to_sat(), status.scripts), (150, 1));
        let (_, held) = bench.kept.claimed(&bench.wallet).unwrap();
        assert_eq!(held.states.claim().is_some(), verdict == ClaimVerdict::Open);
        bench.kept.prove_claim(&root).unwrap();
    }
}

#[test]
fn a_claim_whose_state_is_lost_says_so() {
    let (mut bench, _) = imported();
    bench.kept.close();
    crate::states::remove(bench.states_store.as_ref(), super::CLAIM).unwrap();
    let notes = mended(&mut bench);
    assert!(matches!(&notes[..], [note] if note.contains("import the file again")), "{notes:?}");
    let status = super::claims::status(&bench.wallet, &bench.kept).unwrap();
    assert_eq!((status.balance, status.scripts), (None, 0));
}

/// The same file with another state.
fn changed(file: &WalletFile) -> WalletFile {
    let mut state = StateCompressor::new(SALT);
    state.put(WalletAccount { balance: 9, ..WalletAccount::blank([1; 32]) });
    state.seal(file.block.height).unwrap();
    WalletFile { state, ..file.clone() }
}

#[test]
fn the_state_of_a_new_file_is_not_shown_under_the_record_of_the_old_one() {
    let (mut bench, file) = imported();
    let planned = bench.wallet.plan_verdict(ClaimVerdict::Proven).unwrap();
    bench.commit(planned);
    // As an import does before it commits its record.
    bench.kept.take_claim(&changed(&file), FileId([2; 32])).unwrap();
    let status = super::claims::status(&bench.wallet, &bench.kept).unwrap();
    assert_eq!((status.claim.verdict, status.balance), (ClaimVerdict::Proven, None));
    assert!(bench.kept.claimed(&bench.wallet).is_none());
}

#[test]
fn an_import_that_fails_keeps_the_claim_before() {
    let (mut bench, file) = imported();
    // Its rows are gone, so that it is refused as one that somebody else has changed.
    let mut batch = WriteBatch::new();
    for key in keys(&bench).into_iter().filter(|key| is_of(key, super::CLAIM)) {
        batch.delete(Table::States, key);
    }
    assert!(!batch.is_empty());
    bench.states_store.commit(batch).unwrap();
    assert!(bench.kept.take_claim(&changed(&file), FileId([2; 32])).is_err());
    let status = super::claims::status(&bench.wallet, &bench.kept).unwrap();
    assert_eq!(status.balance.unwrap().to_sat(), 150);
}

#[test]
fn a_claim_that_is_forgotten_leaves_no_row() {
    let (mut bench, _) = imported();
    let planned = bench.wallet.plan_forget_claim().unwrap();
    bench.commit(planned);
    bench.kept.forget_claim().unwrap();
    assert!(super::claims::status(&bench.wallet, &bench.kept).is_none());
    let names = crate::states::list(bench.states_store.as_ref()).unwrap();
    assert!(names.iter().all(|listed| listed.name != super::CLAIM), "{names:?}");
    assert_eq!(mended(&mut bench), Vec::<String>::new());
}

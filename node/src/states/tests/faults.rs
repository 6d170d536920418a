//! Commits that fail: what was asked for is done, or nothing is, in memory and on disk alike.

use super::model::{Model, assert_is};
use super::script::{Refusing, assert_nothing_left_over, commits, models, run, script};
use super::*;
use crate::store::MemoryStore;

/// Whether these are the heights, notes and claim of the model.
fn holds(states: &States, model: &Model) -> bool {
    let sealed = states.sealed().map(|(height, note)| (height.0, note.to_vec()));
    let expected = model.heights.iter().map(|(height, (_, note))| (*height, note.clone()));
    sealed.eq(expected) && states.claim().map(|claim| claim.height.0) == model.claimed
}

#[test]
fn the_script_does_what_its_model_says() {
    for bed in Bed::each() {
        let store = bed.store();
        let mut states = opened(&store).0;
        for (verb, model) in script().iter().zip(&models()[1..]) {
            run(&mut states, verb).unwrap();
            assert_is(&states, model, &format!("{} {verb:?}", bed.backend));
            assert_nothing_left_over(store.as_ref(), &states, &format!("{verb:?}"));
        }
    }
}

#[test]
fn a_failed_commit_leaves_memory_and_disk_alike_and_can_be_tried_again() {
    let (script, models) = (script(), models());
    let (first, all) = (commits()[0], *commits().last().unwrap());
    assert!(all > script.len() + 15, "some verbs take several commits: {all}");
    for at in first + 1..=all {
        let memory: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let store: Arc<dyn Store> = Arc::new(Refusing::at(Arc::clone(&memory), at));
        let mut states = opened(&store).0;
        let mut failed = 0;
        for (number, verb) in script.iter().enumerate() {
            let context = format!("commit {at}, {verb:?}");
            let (before, after) = (&models[number], &models[number + 1]);
            if run(&mut states, verb).is_err() {
                failed += 1;
                let held = if holds(&states, before) { before } else { after };
                assert_is(&states, held, &context);
                // Another copy, since opening removes what is left over.
                let copy: Arc<dyn Store> = Arc::new(MemoryStore::new());
                let mut batch = crate::store::WriteBatch::new();
                rows(memory.as_ref())
                    .into_iter()
                    .for_each(|(key, value)| batch.put(Table::States, key, value));
                copy.commit(batch).unwrap();
                let (reopened, opening) = opened(&copy);
                assert_eq!(opening, Opening::Whole, "{context}");
                assert_is(&reopened, held, &format!("{context}, reopened"));
                assert_nothing_left_over(copy.as_ref(), &reopened, &context);
                if held == before {
                    run(&mut states, verb).unwrap();
                }
            }
            assert_is(&states, after, &context);
        }
        assert_eq!(failed, 1, "commit {at}");
        drop(states);
        let (states, opening) = opened(&memory);
        assert_eq!(opening, Opening::Whole);
        assert_is(&states, models.last().unwrap(), "at the end");
        assert_nothing_left_over(memory.as_ref(), &states, "at the end");
    }
}

#[test]
fn a_collection_that_could_not_be_begun_is_not_there() {
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let store: Arc<dyn Store> = Arc::new(Refusing::at(Arc::clone(&memory), 1));
    assert!(matches!(try_open(&store), Err(StatesError::Store(_))));
    assert_eq!(opened(&store).1, Opening::New);
}

//! Account states on disk, and a process that is killed while it changes them.
//!
//! Each test starts its own program again as the one that is killed. They stand in a program
//! of their own and never run at once: between fork and exec a child holds the locks of its parent's
//! files, which another test would find taken.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is the test's failure")]
#![allow(clippy::print_stdout, reason = "the one that is killed tells how far it came")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ironlight::states::{Opening, StatesError, StoredStates};
use ironlight::store::{
    Backend, MemoryStore, Options, Store, StoreError, Table, Visitor, WriteBatch, open,
};
use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{
    Change, Importer, Salt, StateCompressor, StateValue, ValueError,
};
use ironlight_spv::peers::SplitMix64;

const NAME: &str = "filled";
const SALT: Salt = Salt::Bytes([7; 32]);
/// One test at a time.
static TURN: Mutex<()> = Mutex::new(());
/// Set where this process is the one that is killed: directory, backend, and how.
const VICTIM: &str = "IRONLIGHT_STATES_VICTIM";

/// A value so large that a thousand of them take several commits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Filled {
    key: [u8; 32],
    byte: u8,
}

const FILL: usize = 3_900;

impl StateValue for Filled {
    const KIND: u8 = 200;
    const MAX_LEN: usize = 32 + 1 + FILL;
    const PLAIN_LEN: usize = 32 + FILL;

    fn blank(key: [u8; 32]) -> Self {
        Self { key, byte: 0 }
    }

    fn key(&self) -> &[u8; 32] {
        &self.key
    }

    fn encode_delta(&self, before: &Self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(self.byte != before.byte));
        if self.byte != before.byte {
            bytes.extend_from_slice(&[self.byte; FILL]);
        }
    }

    fn decode_delta(before: &Self, bytes: &[u8]) -> Result<Self, ValueError> {
        match bytes {
            [0] => Ok(before.clone()),
            // One comparison: the tests are not optimised, and do this often.
            [1, byte, ..] if bytes[1..] == [*byte; FILL] => {
                Ok(Self { byte: *byte, ..before.clone() })
            }
            _ => Err(ValueError::NotCanonical),
        }
    }
}

fn key(number: u16) -> [u8; 32] {
    let mut key = [0; 32];
    key[..2].copy_from_slice(&number.to_be_bytes());
    key
}

fn filled(keys: Range<u16>, byte: u8) -> Vec<Change<Filled>> {
    keys.map(|number| Change::Put(Filled { key: key(number), byte })).collect()
}

type Plain = BTreeMap<[u8; 32], u8>;

fn change(plain: &mut Plain, changes: &[Change<Filled>]) {
    for change in changes {
        match change {
            Change::Put(value) => plain.insert(value.key, value.byte),
            Change::Remove(key) => plain.remove(key),
        };
    }
}

/// Of values put into an empty state at once: roots follow from values alone.
fn root(plain: &Plain) -> [u8; 32] {
    let mut states = StateCompressor::new(SALT);
    plain.iter().for_each(|(key, byte)| states.put(Filled { key: *key, byte: *byte }));
    states.seal(BlockHeight(0)).unwrap().root
}

/// What a collection should hold, and whether it rests on a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    /// With the root of each.
    heights: BTreeMap<u32, (Plain, [u8; 32])>,
    claimed: bool,
}

impl Model {
    fn seal(&mut self, height: u32, changes: &[Change<Filled>]) {
        let mut plain = self.heights.values().next_back().cloned().unwrap_or_default().0;
        change(&mut plain, changes);
        let root = root(&plain);
        self.heights.insert(height, (plain, root));
    }
}

#[derive(Debug)]
enum Verb {
    Seal(u32, Vec<Change<Filled>>),
    Rollback(u32),
    PruneBelow(u32),
    /// An export of this height with these values.
    Import(u32, Vec<Change<Filled>>),
    Proven,
}

fn script() -> Vec<Verb> {
    vec![
        Verb::Seal(1, filled(0..1_100, 1)),
        Verb::Seal(2, filled(0..20, 2)),
        Verb::Seal(5, [filled(5..9, 3), vec![Change::Remove(key(4))]].concat()),
        Verb::PruneBelow(2),
        Verb::Rollback(3),
        Verb::Import(9, filled(0..1_080, 7)),
        Verb::Proven,
        Verb::Seal(10, filled(2..3, 8)),
    ]
}

type States = StoredStates<Filled>;

fn exported(states: &States, height: u32) -> Vec<u8> {
    let pieces = states.export(BlockHeight(height)).unwrap();
    pieces.map(Result::unwrap).collect::<Vec<_>>().concat()
}

fn run(states: &mut States, verb: &Verb) -> Result<(), StatesError> {
    match verb {
        Verb::Seal(height, changes) => {
            let note = height.to_be_bytes();
            states.seal(BlockHeight(*height), changes.iter().cloned(), &note).map(|_| ())
        }
        Verb::Rollback(to) => states.rollback(BlockHeight(*to)),
        Verb::PruneBelow(height) => states.prune_below(BlockHeight(*height)),
        Verb::Import(height, changes) => {
            let mut other = collection(&memory()).0;
            other.seal(BlockHeight(*height), changes.iter().cloned(), b"").unwrap();
            let mut importer = Importer::new(2_000);
            importer.push(&exported(&other, *height)).unwrap();
            states.import(importer, &height.to_be_bytes()).map(|_| ())
        }
        Verb::Proven => states.mark_proven(&states.claim().unwrap().root),
    }
}

fn follow(model: &mut Model, verb: &Verb) {
    match verb {
        Verb::Seal(height, changes) => model.seal(*height, changes),
        Verb::Rollback(to) => model.heights.retain(|height, _| height <= to),
        Verb::PruneBelow(below) => {
            let oldest = *model.heights.range(..=below).next_back().unwrap().0;
            model.heights = model.heights.split_off(&oldest);
        }
        Verb::Import(height, changes) => {
            *model = Model { claimed: true, ..Model::default() };
            model.seal(*height, changes);
        }
        Verb::Proven => model.claimed = false,
    }
}

/// The model before the first verb, and after each.
fn models() -> Vec<Model> {
    let mut models = vec![Model::default()];
    for verb in script() {
        let mut next = models.last().unwrap().clone();
        follow(&mut next, &verb);
        models.push(next);
    }
    models
}

/// Ends the process after the n-th commit, from 1, and never at 0: without a destructor and without
/// flushing anything, as SIGKILL does, but exactly there.
struct Ending {
    inner: Arc<dyn Store>,
    commits: AtomicUsize,
    at: usize,
}

impl Ending {
    fn at(inner: Arc<dyn Store>, at: usize) -> Self {
        Self { inner, commits: AtomicUsize::new(0), at }
    }
}

impl Store for Ending {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        self.inner.scan(table, from, visit)
    }

    fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.inner.commit(batch)?;
        if self.commits.fetch_add(1, Ordering::SeqCst) + 1 == self.at {
            std::process::abort();
        }
        Ok(())
    }

    fn backend(&self) -> Backend {
        self.inner.backend()
    }

    fn bytes_on_disk(&self) -> Result<u64, StoreError> {
        self.inner.bytes_on_disk()
    }
}

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

fn store(dir: &Path, backend: Backend) -> Arc<dyn Store> {
    open(Options { dir: dir.to_owned(), backend: Some(backend), now: 1 }).unwrap().store
}

fn collection(store: &Arc<dyn Store>) -> (States, Opening) {
    StoredStates::open(store, NAME, SALT).unwrap()
}

/// How many commits opening a new collection takes, and with it the verbs up to each.
fn commits() -> Vec<usize> {
    let counting = Arc::new(Ending::at(memory(), 0));
    let store: Arc<dyn Store> = counting.clone();
    let mut states = collection(&store).0;
    let made = || counting.commits.load(Ordering::SeqCst);
    let mut commits = vec![made()];
    for verb in script() {
        run(&mut states, &verb).unwrap();
        commits.push(made());
    }
    commits
}

fn rows(store: &dyn Store) -> usize {
    let mut rows = 0;
    let scanned = store.scan(Table::States, &[], &mut |_, _| {
        rows += 1;
        ControlFlow::Continue(())
    });
    scanned.unwrap();
    rows
}

fn heights(states: &States) -> Vec<u32> {
    states.sealed().map(|(height, _)| height.0).collect()
}

/// Heights, roots, notes and claim are those of the model, and no row is left over.
fn assert_is(states: &States, store: &dyn Store, model: &Model, context: &str) {
    assert_eq!(heights(states), model.heights.keys().copied().collect::<Vec<_>>(), "{context}");
    for (height, (_, root)) in &model.heights {
        let at = BlockHeight(*height);
        assert_eq!(states.root_at(at), Ok(*root), "{context}: height {height}");
        assert_eq!(states.note_at(at), Ok(&height.to_be_bytes()[..]), "{context}");
    }
    assert_eq!(states.claim().is_some(), model.claimed, "{context}");
    states.verify().unwrap();
    let base = states.oldest().map_or(0, |oldest| exported(states, oldest.0).len());
    let named = 1 + base.div_ceil(1024 * 1024) + model.heights.len().saturating_sub(1);
    assert_eq!(rows(store), named, "{context}");
}

/// This test's own program, as the one that is killed.
fn victim(test: &str, dir: &Path, how: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]);
    command.env(VICTIM, format!("{how} {}", dir.display()));
    command.stderr(Stdio::null());
    command
}

/// What is left after so many commits, how many verbs that is, and whether one was under way.
fn check(
    store: &Arc<dyn Store>,
    made: usize,
    (commits, models): (&[usize], &[Model]),
    how: &str,
) -> (States, usize, bool) {
    let (states, opening) = collection(store);
    assert_eq!(opening, Opening::Whole, "{how}");
    // The verbs whose last commit was made are done; one that was under way may be.
    let mut done = commits.iter().filter(|end| **end <= made).count().saturating_sub(1);
    let under_way = commits[done] < made;
    let expected: Vec<_> = models[done].heights.keys().copied().collect();
    if under_way && heights(&states) != expected {
        done += 1;
    }
    assert_is(&states, store.as_ref(), &models[done], how);
    (states, done, under_way)
}

#[test]
fn a_kill_after_any_commit_leaves_what_was_sealed() {
    if let Ok(how) = std::env::var(VICTIM) {
        let [backend, at, dir] = how.splitn(3, ' ').collect::<Vec<_>>().try_into().unwrap();
        let inner = store(Path::new(dir), backend.parse().unwrap());
        let store: Arc<dyn Store> = Arc::new(Ending::at(inner, at.parse().unwrap()));
        let mut states = collection(&store).0;
        return script().iter().for_each(|verb| run(&mut states, verb).unwrap());
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (commits, models) = (commits(), models());
    let all = *commits.last().unwrap();
    assert!(all >= script().len() + 8, "some verbs take several commits: {commits:?}");
    // Nothing is written between two commits: a kill before one is a kill after the one before.
    for (backend, at) in [Backend::Sled, Backend::Redb]
        .into_iter()
        .flat_map(|backend| (1..=all).map(move |at| (backend, at)))
    {
        let (dir, how) = (tempfile::tempdir().unwrap(), format!("{backend} {at}"));
        let test = "a_kill_after_any_commit_leaves_what_was_sealed";
        let output = victim(test, dir.path(), &how).output().unwrap();
        assert!(!output.status.success(), "{how}: it was not killed");
        let store = store(dir.path(), backend);
        let (mut states, done, under_way) = check(&store, at, (&commits, &models), &how);
        // Between two verbs there is nothing to mend.
        if under_way {
            script()[done..].iter().for_each(|verb| run(&mut states, verb).unwrap());
            assert_is(&states, store.as_ref(), models.last().unwrap(), &how);
        }
    }
}

/// What the endless writer does at a height.
fn block(height: u32) -> Vec<Change<Filled>> {
    let number = u16::try_from(height % 50).unwrap();
    filled(number..number + 3, u8::try_from(height % 250).unwrap() + 1)
}

/// Seals height after height, prunes now and then, and tells of each seal that has returned.
fn write(dir: &Path, backend: Backend) {
    let store = store(dir, backend);
    let mut states = collection(&store).0;
    let first = states.newest().map_or(1, |newest| newest.0 + 1);
    // Bounded, should nobody kill it.
    for height in first..first + 100_000 {
        states.seal(BlockHeight(height), block(height), &height.to_be_bytes()).unwrap();
        println!("sealed {height}");
        if height % 7 == 0 {
            states.prune_below(BlockHeight(height.saturating_sub(5))).unwrap();
        }
    }
}

#[test]
fn no_kill_at_any_moment_loses_a_seal_that_has_returned() {
    if let Ok(how) = std::env::var(VICTIM) {
        let (backend, dir) = how.split_once(' ').unwrap();
        return write(Path::new(dir), backend.parse().unwrap());
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut random = SplitMix64::new(1);
    for backend in [Backend::Sled, Backend::Redb] {
        let dir = tempfile::tempdir().unwrap();
        let (mut plain, mut sealed) = (Plain::new(), 0);
        for round in 0..6 {
            let test = "no_kill_at_any_moment_loses_a_seal_that_has_returned";
            let mut command = victim(test, dir.path(), &backend.to_string());
            let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
            let mut heights = lines.filter_map(|line| line.strip_prefix("sealed ")?.parse().ok());
            let count = usize::try_from(random.next_u64() % 30).unwrap();
            let told: u32 = heights.nth(count).unwrap();
            // SIGKILL, wherever it is by now.
            child.kill().unwrap();
            child.wait().unwrap();
            let told = heights.last().unwrap_or(told);
            let store = store(dir.path(), backend);
            let (states, opening) = collection(&store);
            assert_eq!(opening, Opening::Whole, "{backend}, kill {round}");
            let newest = states.newest().unwrap().0;
            assert!(newest == told || newest == told + 1, "{backend}: {newest}, told {told}");
            (sealed + 1..=newest).for_each(|height| change(&mut plain, &block(height)));
            sealed = newest;
            assert_eq!(states.root_at(BlockHeight(newest)), Ok(root(&plain)));
            states.verify().unwrap();
        }
    }
}

//! Prints what compressed states take in memory, counted by the allocator, and how fast they are.
//!
//! First 100 heights of 100,000 accounts, of which each block changes one in a hundred: balance
//! and nonce of all of these, the storage root of every tenth; against 120 bytes an account and
//! height for plain copies. Then one height of 1,000,000 accounts and a block on it, with the peaks
//! of memory. Then 1,000,000 accounts and a block on them kept in redb and in sled, and opened again.
//! All contents are read back and compared with plain copies.

#![allow(clippy::print_stdout, clippy::panic, reason = "a bench prints, and ends where it fails")]

mod accounts;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use accounts::{ACCOUNTS, Accounts, CHANGED};
use ironlight::states::{Opening, StatesError, StoredStates};
use ironlight::store::{self, Backend, Options, Store};
use ironlight_benches::recorded::{Unit, record};
use ironlight_benches::settings::asked_for;
use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{
    Account, Change, Importer, Salt, StateCompressor, StateError, Verdict,
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

const NAME: &str = "state_memory";
const HEIGHTS: u32 = 100;
const LOOK_UPS: u32 = 200_000;
const SALT: Salt = Salt::Bytes([7; 32]);

fn must<T, E: core::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

/// Does it, and prints how long it took and what memory it took at the peak and in the end.
fn measured<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let start = Instant::now();
    let done = work();
    let took = start.elapsed();
    let (peak, held) = (ALLOCATED.peak_usage(), ALLOCATED.current_usage());
    let megabytes = |bytes: usize| bytes.saturating_sub(before) as f64 / 1e6;
    println!(
        "{what:<52} {:>9.2} ms {:>8.2} MB more at the peak {:>8.2} MB more after",
        took.as_secs_f64() * 1e3,
        megabytes(peak),
        megabytes(held)
    );
    done
}

fn seal(states: &mut StateCompressor<Account>, block: &[Account], height: u32) {
    block.iter().for_each(|account| states.put(account.clone()));
    must(states.seal(BlockHeight(height)));
}

fn many_heights() -> Result<(), StateError> {
    let mut accounts = Accounts::new(ACCOUNTS, 1);
    let before = ALLOCATED.current_usage();
    let mut states = StateCompressor::new(SALT);
    measured("100,000 accounts built", || seal(&mut states, &accounts.all, 0));
    let mut seals = Vec::new();
    for height in 1..HEIGHTS {
        let block = accounts.change(CHANGED);
        let start = Instant::now();
        seal(&mut states, &block, height);
        seals.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let held = ALLOCATED.current_usage() - before;
    let stats = states.stats();
    let plain = stats.plain_bytes as f64;
    println!("{HEIGHTS} heights of {ACCOUNTS} accounts, 1 % changed each: {stats:?}");
    record(NAME, "100 heights", held as f64, Unit::Bytes);
    record(NAME, "100 heights, share of plain copies", held as f64 / plain, Unit::Share);
    seals.sort_by(f64::total_cmp);
    let seal = |at: usize| seals.get(at).copied().unwrap_or_default();
    println!(
        "  seal of {CHANGED} changes: median {:.2} ms, slowest {:.2} ms",
        seal(seals.len() / 2),
        seal(seals.len() - 1)
    );
    for account in &accounts.all {
        assert_eq!(states.get(&account.key, BlockHeight(HEIGHTS - 1))?.as_ref(), Some(account));
    }
    latencies(&states, &accounts)?;
    measured("100 heights verified", || states.verify())?;
    measured("all but the last 50 heights pruned and compacted", || {
        states.keep_last(50).and_then(|()| states.compact())
    })?;
    measured("50 heights verified", || states.verify())
}

/// Look-ups of accounts at heights drawn before the clock starts.
fn latencies(states: &StateCompressor<Account>, accounts: &Accounts) -> Result<(), StateError> {
    let mut random = accounts.random.clone();
    let mut draw = |limit: u32| u32::try_from(random.random() % u64::from(limit)).unwrap_or(0);
    let asked: Vec<_> = (0..LOOK_UPS)
        .map(|_| (usize::try_from(draw(ACCOUNTS)).unwrap_or(0), BlockHeight(draw(HEIGHTS))))
        .filter_map(|(at, height)| Some((accounts.all.get(at)?.key, height)))
        .collect();
    let mut took: Vec<u64> = Vec::with_capacity(asked.len());
    let all = Instant::now();
    for (key, height) in &asked {
        black_box(states.get(key, *height)?);
    }
    let mean = all.elapsed().as_nanos() / u128::from(LOOK_UPS);
    for (key, height) in &asked {
        let start = Instant::now();
        black_box(states.get(key, *height)?);
        took.push(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    took.sort_unstable();
    let at = |part: usize| took.get(took.len() * part / 1_000).copied().unwrap_or_default();
    println!("  get at random heights: mean {mean} ns");
    for (part, name) in [(500, "p50"), (990, "p99"), (999, "p99.9")] {
        record(
            NAME,
            &format!("get at a random height, {name}"),
            at(part) as f64,
            Unit::Nanoseconds,
        );
    }
    Ok(())
}

fn many_accounts() -> Result<(), StateError> {
    let mut accounts = Accounts::new(10 * ACCOUNTS, 2);
    let mut states = StateCompressor::new(SALT);
    let before = ALLOCATED.current_usage();
    measured("1,000,000 accounts built in one block", || seal(&mut states, &accounts.all, 1));
    let bytes = |now: usize| now.saturating_sub(before) as f64;
    record(NAME, "1,000,000 accounts, at the peak", bytes(ALLOCATED.peak_usage()), Unit::Bytes);
    record(NAME, "1,000,000 accounts, held", bytes(ALLOCATED.current_usage()), Unit::Bytes);
    println!("  {:?}", states.stats());
    let block = accounts.change(10 * CHANGED);
    measured("block of 10,000 changes sealed", || seal(&mut states, &block, 2));
    let set = measured("its change set as bytes", || {
        states.changes(BlockHeight(2)).map(|set| set.encode())
    })?;
    println!("  {} bytes", set.len());
    let bytes = measured("exported in pieces, which are dropped", || {
        let mut bytes = 0;
        for piece in states.export(BlockHeight(2))? {
            bytes += black_box(piece?).len();
        }
        Ok::<_, StateError>(bytes)
    })?;
    println!("  {bytes} bytes");
    let imported = measured("exported and imported piece by piece", || {
        let mut importer = Importer::<Account>::new(10 * ACCOUNTS);
        for piece in must(states.export(BlockHeight(2))) {
            must(importer.push(&must(piece)));
        }
        must(importer.finish())
    });
    let root = states.root(BlockHeight(2))?;
    assert_eq!(imported.root(BlockHeight(2)), Ok(root));
    let proofs: Vec<_> = accounts.all.iter().take(20_000).collect();
    let proofs = measured("20,000 proofs made", || {
        let proofs = proofs.iter();
        proofs.map(|account| imported.prove(&account.key, BlockHeight(2))).collect::<Vec<_>>()
    });
    measured("20,000 proofs verified", || {
        for (account, proof) in accounts.all.iter().zip(&proofs) {
            let verdict = must(must(proof.as_ref()).verify(&root, &account.key, &SALT));
            assert!(matches!(verdict, Verdict::Included(value) if value == *account));
        }
    });
    Ok(())
}

fn opened(dir: &Path, backend: Backend) -> (Arc<dyn Store>, StoredStates<Account>, Opening) {
    let options = Options { dir: dir.to_owned(), backend: Some(backend), now: 0 };
    let store = must(store::open(options)).store;
    let (states, opening) = must(StoredStates::open(&store, "accounts", SALT));
    (store, states, opening)
}

/// A million accounts at one height and a block on it, on disk.
fn many_accounts_on_disk(backend: Backend) -> Result<(), StatesError> {
    let mut accounts = Accounts::new(10 * ACCOUNTS, 3);
    let dir = must(tempfile::tempdir());
    let (store, mut states, _) = opened(dir.path(), backend);
    let changes = accounts.all.iter().cloned().map(Change::Put);
    measured(&format!("1,000,000 accounts sealed, kept in {backend}"), || {
        states.seal(BlockHeight(1), changes, b"first")
    })?;
    let block = accounts.change(10 * CHANGED).into_iter().map(Change::Put);
    let sealed = measured("block of 10,000 changes sealed and kept", || {
        states.seal(BlockHeight(2), block, b"second")
    })?;
    println!("  {} bytes on disk", store.bytes_on_disk()?);
    drop((states, store));
    let (store, states, opening) =
        measured("reopened, both roots proved again", || opened(dir.path(), backend));
    assert_eq!(opening, Opening::Whole);
    let Some(account) = accounts.all.first() else { return Ok(()) };
    measured("one proof made and verified", || {
        let proof = states.prove(&account.key, BlockHeight(2))?;
        let verdict = must(proof.verify(&sealed.root, &account.key, &SALT));
        assert!(matches!(verdict, Verdict::Included(value) if value == *account));
        Ok::<_, StatesError>(())
    })?;
    for account in &accounts.all {
        assert_eq!(states.get(&account.key, BlockHeight(2))?.as_ref(), Some(account));
    }
    let mut states = states;
    measured("pruned to the second height", || states.prune_below(BlockHeight(2)))?;
    measured("memory and rows compared", || states.verify())?;
    println!("  {} bytes on disk", store.bytes_on_disk()?);
    Ok(())
}

fn main() {
    if !asked_for(NAME) {
        return;
    }
    must(many_heights());
    must(many_accounts());
    must(many_accounts_on_disk(Backend::Redb));
    must(many_accounts_on_disk(Backend::Sled));
}

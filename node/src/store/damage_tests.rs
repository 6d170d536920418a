//! Database files damaged in many ways. Never a panic, an abort or a hang: the store opens, each
//! committed row is readable or its loss is reported, and after that the store works.

// Random numbers are cut to size on purpose.
#![allow(clippy::cast_possible_truncation, reason = "random numbers cut to what a test needs")]

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::{
    Backend, Note, Opened, Options, Store, StoreError, Table, WriteBatch, checksum, files, open,
    quarantine,
};

const ROWS: u32 = 150;
const NOW: u32 = 1_700_000_000;

fn xorshift(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn options(dir: &Path, backend: Backend) -> Options {
    Options { dir: dir.to_owned(), backend: Some(backend), now: NOW }
}

/// Commits row i together with the count of rows, as the schema commits headers and tip.
fn commit(store: &dyn Store, i: u32) -> Result<(), StoreError> {
    let mut batch = WriteBatch::new();
    let (key, payload) = (i.to_be_bytes(), vec![(i % 251) as u8; 3000]);
    batch.put(Table::Headers, key, checksum::seal(Table::Headers, &key, &payload));
    let count = (i + 1).to_be_bytes();
    batch.put(Table::Meta, "count", checksum::seal(Table::Meta, b"count", &count));
    store.commit(batch)
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

fn files_below(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut files: Vec<PathBuf> =
        fs::read_dir(path).unwrap().flat_map(|e| files_below(&e.unwrap().path())).collect();
    files.sort();
    files
}

const WAYS: [&str; 8] =
    ["bit", "zeros", "garbage", "cut", "empty", "all garbage", "longer", "head garbage"];

fn damage(file: &Path, way: &str, seed: &mut u64) {
    let mut bytes = fs::read(file).unwrap();
    let length = bytes.len().max(1);
    let at = (xorshift(seed) as usize) % length;
    let end = (at + 4096).min(bytes.len());
    let mut noise = |bytes: &mut [u8]| bytes.iter_mut().for_each(|b| *b = xorshift(seed) as u8);
    match way {
        "bit" => bytes[at] ^= 1 << (at % 8),
        "zeros" => bytes[at..end].fill(0),
        "garbage" => noise(&mut bytes[at..end]),
        "cut" => bytes.truncate(at),
        "empty" => bytes.clear(),
        "all garbage" => noise(&mut bytes),
        "longer" => bytes.extend_from_slice(&[0x5a; 1000]),
        _ => noise(&mut bytes[..length.min(64)]),
    }
    fs::write(file, bytes).unwrap();
}

/// What a reader finds: the count in Meta and the rows, each checked.
fn read_all(store: &dyn Store) -> Result<(u32, Vec<u32>), StoreError> {
    let count = match store.get(Table::Meta, b"count")? {
        None => 0,
        Some(stored) => {
            let payload = checksum::open(Table::Meta, b"count", &stored)?;
            u32::from_be_bytes(payload.try_into().unwrap())
        }
    };
    let (mut rows, mut bad) = (Vec::new(), None);
    store.scan(Table::Headers, b"", &mut |key, stored| {
        match checksum::open(Table::Headers, key, stored) {
            Ok(_) => rows.push(u32::from_be_bytes(key.try_into().unwrap())),
            Err(damage) => bad = bad.take().or(Some(damage)),
        }
        ControlFlow::Continue(())
    })?;
    bad.map_or(Ok((count, rows)), |damage| Err(damage.into()))
}

/// The name of the outcome, for the table that the test prints.
fn outcome(dir: &Path, backend: Backend) -> &'static str {
    let Opened { store, notes } = open(options(dir, backend)).unwrap();
    let name = if notes.iter().any(|note| matches!(note, Note::Quarantined { .. })) {
        "set aside"
    } else if notes.iter().any(Note::loses_rows) {
        "loss reported"
    } else {
        "opened"
    };
    let read = read_all(&*store);
    match (&read, name) {
        // Without a report the rows are those of one commit, with no gap.
        (Ok((count, rows)), "opened") => {
            assert!(rows.iter().copied().eq(0..*count), "{count} {rows:?}");
            // redb may take a damaged last commit for one that a kill cut short; sled's log
            // must not go back unnoticed.
            assert!(*count == ROWS || backend == Backend::Redb, "{count} rows, no report");
        }
        (Ok((0, rows)), "set aside") => assert!(rows.is_empty()),
        (Ok(_), _) => {}
        (Err(StoreError::Corrupt { .. } | StoreError::Damaged(_)), _) => {}
        (Err(error), _) => panic!("{error:?}"),
    }
    works_again(dir, backend, store, &read);
    match read {
        Ok((ROWS, _)) if name == "opened" => "whole",
        Ok(_) if name == "opened" => "went back to an earlier commit",
        Ok(_) => name,
        Err(_) => "found on reading",
    }
}

fn works_again(
    dir: &Path,
    backend: Backend,
    mut store: std::sync::Arc<dyn Store>,
    read: &Result<(u32, Vec<u32>), StoreError>,
) {
    let corrupt = read.as_ref().is_err_and(StoreError::is_corruption);
    if corrupt || commit(&*store, ROWS).is_err() {
        drop(store);
        quarantine(dir, backend, NOW, "found on reading").unwrap().unwrap();
        store = open(options(dir, backend)).unwrap().store;
        commit(&*store, ROWS).unwrap();
    }
    drop(store);
    let Opened { store, notes } = open(options(dir, backend)).unwrap();
    assert!(notes.is_empty(), "{notes:?}");
    assert!(store.get(Table::Headers, &ROWS.to_be_bytes()).unwrap().is_some());
}

/// Every way of damage on every file of the database, `places` times each.
fn survives(backend: Backend, closed: bool, places: u32) {
    let root = tempfile::tempdir().unwrap();
    let (base, dir) = (root.path().join("base"), root.path().join("copy"));
    let built = root.path().join("built");
    let Opened { store, .. } = open(options(&built, backend)).unwrap();
    (0..ROWS).for_each(|i| commit(&*store, i).unwrap());
    // Copied before it is dropped, the database looks as after a kill.
    let store = if closed {
        drop(store);
        None
    } else {
        Some(store)
    };
    copy(&built, &base);
    drop(store);
    let database = backend.file_name().unwrap();
    let mut seed = 0x0bad_5eed_u64;
    let mut tally = std::collections::BTreeMap::<_, u32>::new();
    for file in files_below(&base.join(database)) {
        let below = file.strip_prefix(&base).unwrap();
        for way in WAYS {
            for _ in 0..places {
                files::remove(&dir).unwrap();
                copy(&base, &dir);
                damage(&dir.join(below), way, &mut seed);
                *tally.entry((below.to_owned(), way, outcome(&dir, backend))).or_default() += 1;
            }
        }
    }
    println!("{backend}, {}:", if closed { "closed" } else { "killed" });
    for ((file, way, outcome), times) in tally {
        println!("  {times:3} {} {way}: {outcome}", file.display());
    }
}

#[cfg(feature = "sled")]
#[test]
fn damaged_sled_files_never_lose_a_row_in_silence() {
    survives(Backend::Sled, true, 2);
    survives(Backend::Sled, false, 2);
}

#[cfg(feature = "redb")]
#[test]
fn damaged_redb_files_never_lose_a_row_in_silence() {
    survives(Backend::Redb, true, 4);
    survives(Backend::Redb, false, 4);
}

/// sled opens a log that was cut, without the rows behind the cut and without a word.
#[cfg(feature = "sled")]
#[test]
fn cut_sled_log_is_reported_and_what_is_left_copied() {
    let root = tempfile::tempdir().unwrap();
    let Opened { store, .. } = open(options(root.path(), Backend::Sled)).unwrap();
    (0..ROWS).for_each(|i| commit(&*store, i).unwrap());
    drop(store);
    let log = root.path().join("store.sled/db");
    // Without a snapshot sled has the log alone to go by.
    for file in files_below(&root.path().join("store.sled")) {
        if file.display().to_string().contains("snap.") {
            fs::remove_file(file).unwrap();
        }
    }
    let bytes = fs::read(&log).unwrap();
    fs::write(&log, &bytes[..bytes.len() * 9 / 10]).unwrap();
    let Opened { store, notes } = open(options(root.path(), Backend::Sled)).unwrap();
    let [Note::WentBack { found, .. }, .., Note::Rebuilt { kept, rows, .. }] = notes.as_slice()
    else {
        panic!("{notes:?}");
    };
    assert!(kept.exists() && *rows > 2 && *found > 1, "{notes:?}");
    let (count, rows) = read_all(&*store).unwrap();
    assert!(rows.iter().copied().eq(0..count) && count < ROWS);
    // What is written now stays.
    commit(&*store, count).unwrap();
    drop(store);
    let Opened { store, notes } = open(options(root.path(), Backend::Sled)).unwrap();
    assert!(notes.is_empty(), "{notes:?}");
    assert_eq!(read_all(&*store).unwrap().0, count + 1);
}

//! Opening: lock, FORMAT, migrations, and what is not damage.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::format::{self, FORMAT_FILE};
use super::migrate::{self, Migration};
use super::open::open_as;
use super::{
    Backend, FORMAT_VERSION, Note, Opened, Options, Store, StoreError, Table, WriteBatch, open,
    quarantine,
};

fn built() -> impl Iterator<Item = Backend> {
    [Backend::Sled, Backend::Redb].into_iter().filter(|backend| backend.is_built())
}

fn options(dir: &Path, backend: Option<Backend>) -> Options {
    Options { dir: dir.to_owned(), backend, now: 1_700_000_000 }
}

fn opened(dir: &Path, backend: Option<Backend>) -> Opened {
    open(options(dir, backend)).unwrap()
}

/// By a version that knows format 1 only.
fn opened_as_1(dir: &Path, backend: Option<Backend>) -> Opened {
    open_as(options(dir, backend), 1, &[]).unwrap()
}

fn put(store: &dyn Store, key: &str, value: &str) {
    let mut batch = WriteBatch::new();
    batch.put(Table::Peers, key, value);
    store.commit(batch).unwrap();
}

fn has(store: &dyn Store, key: &str) -> bool {
    store.get(Table::Peers, key.as_bytes()).unwrap().is_some()
}

/// Every file below a directory with its bytes.
fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        if path.is_dir() {
            files.extend(tree(&path));
            files.insert(name, Vec::new());
        } else {
            files.insert(name, fs::read(&path).unwrap());
        }
    }
    files
}

#[test]
fn new_directory_gets_the_preferred_backend_and_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    if let Some(first) = built().next() {
        let Opened { store, notes } = opened(dir.path(), None);
        assert_eq!(store.backend(), first);
        assert!(matches!(notes.as_slice(), [Note::Created { .. }]));
        drop(store);
        assert!(opened(dir.path(), None).notes.is_empty());
    }
}

#[test]
fn recorded_backend_wins_over_the_preferred_and_refuses_another() {
    for backend in built() {
        let dir = tempfile::tempdir().unwrap();
        drop(opened(dir.path(), Some(backend)));
        assert_eq!(opened(dir.path(), None).store.backend(), backend);
        for other in built().filter(|other| *other != backend) {
            let error = open(options(dir.path(), Some(other))).unwrap_err();
            assert!(matches!(error, StoreError::OtherBackend { recorded, asked, .. }
                if recorded == backend && asked == other));
        }
    }
}

#[test]
fn second_opener_is_told_who_holds_the_directory() {
    for backend in built() {
        let dir = tempfile::tempdir().unwrap();
        let Opened { store, .. } = opened(dir.path(), Some(backend));
        let error = open(options(dir.path(), Some(backend))).unwrap_err();
        let own = std::process::id();
        assert!(matches!(&error, StoreError::Locked { pid: Some(pid), .. } if *pid == own));
        assert!(error.to_string().contains(&dir.path().display().to_string()));
        assert!(!error.to_string().contains('\n'));
        // The lock lives as long as the last handle.
        let last = Arc::clone(&store);
        drop(store);
        assert!(open(options(dir.path(), Some(backend))).is_err());
        drop(last);
        opened(dir.path(), Some(backend));
    }
}

#[test]
fn newer_format_is_refused_untouched() {
    for backend in built() {
        let dir = tempfile::tempdir().unwrap();
        put(&*opened(dir.path(), Some(backend)).store, "k", "v");
        let newer = FORMAT_VERSION + 1;
        let text = format!("ironlight-store {newer}\nbackend future\n");
        fs::write(dir.path().join(FORMAT_FILE), text).unwrap();
        fs::write(dir.path().join("lock"), "the lock of another version\n").unwrap();
        let before = tree(dir.path());
        let error = open(options(dir.path(), None)).unwrap_err();
        assert!(matches!(error, StoreError::NewerFormat { found, known, .. }
            if (found, known) == (newer, FORMAT_VERSION)));
        assert_eq!(tree(dir.path()), before);
    }
}

#[test]
fn missing_or_damaged_format_file_is_rebuilt_from_the_database() {
    for backend in built() {
        for damage in [None, Some("nonsense")] {
            let dir = tempfile::tempdir().unwrap();
            put(&*opened(dir.path(), Some(backend)).store, "k", "v");
            let path = dir.path().join(FORMAT_FILE);
            let whole = fs::read(&path).unwrap();
            match damage {
                None => fs::remove_file(&path).unwrap(),
                Some(text) => fs::write(&path, text).unwrap(),
            }
            let Opened { store, notes } = opened(dir.path(), None);
            assert!(has(&*store, "k"));
            assert!(matches!(notes.as_slice(), [Note::FormatRebuilt { .. }]), "{notes:?}");
            assert_eq!(fs::read(&path).unwrap(), whole);
            let kept = dir.path().join("FORMAT.damaged-1700000000");
            assert_eq!(kept.exists(), damage.is_some());
        }
    }
}

#[test]
fn database_without_a_format_number_is_set_aside() {
    for backend in built() {
        let dir = tempfile::tempdir().unwrap();
        let Opened { store, .. } = opened(dir.path(), Some(backend));
        put(&*store, "k", "v");
        let mut batch = WriteBatch::new();
        batch.delete(Table::Meta, migrate::FORMAT_KEY);
        store.commit(batch).unwrap();
        drop(store);
        fs::remove_file(dir.path().join(FORMAT_FILE)).unwrap();
        let Opened { store, notes } = opened(dir.path(), None);
        let [Note::Quarantined { from, to, .. }, Note::Created { .. }] = notes.as_slice() else {
            panic!("{notes:?}");
        };
        assert_eq!(format!("{}.damaged-1700000000", from.display()), to.display().to_string());
        assert!(to.exists());
        assert!(!has(&*store, "k"));
    }
}

#[test]
fn start_that_was_killed_before_the_database_had_its_name_begins_again() {
    for backend in built() {
        let dir = tempfile::tempdir().unwrap();
        format::write(dir.path(), 1, backend).unwrap();
        let unfinished = dir.path().join(format!("{}.new", backend.file_name().unwrap()));
        fs::write(&unfinished, "half of it").unwrap();
        let Opened { store, notes } = opened(dir.path(), None);
        put(&*store, "k", "v");
        assert!(matches!(notes.as_slice(), [Note::Created { .. }]));
        assert!(!unfinished.exists());
    }
}

#[test]
fn io_error_is_not_taken_for_damage() {
    // What stands at the database's name cannot be opened as one at all.
    for backend in built() {
        let dir = tempfile::tempdir().unwrap();
        drop(opened(dir.path(), Some(backend)));
        let path = dir.path().join(backend.file_name().unwrap());
        super::files::remove(&path).unwrap();
        if backend == Backend::Redb {
            fs::create_dir(&path).unwrap();
        } else {
            fs::write(&path, "a file where a directory should be").unwrap();
        }
        let before = tree(dir.path());
        let error = open(options(dir.path(), None)).unwrap_err();
        assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
        assert_eq!(tree(dir.path()), before);
    }
}

#[test]
fn quarantine_wants_the_store_dropped_and_keeps_every_name() {
    for backend in built() {
        let dir = tempfile::tempdir().unwrap();
        let mut names = Vec::new();
        for _ in 0..2 {
            let Opened { store, .. } = opened(dir.path(), Some(backend));
            let held = quarantine(dir.path(), backend, 5, "test");
            assert!(matches!(held, Err(StoreError::Locked { .. })));
            drop(store);
            let note = quarantine(dir.path(), backend, 5, "test").unwrap().unwrap();
            let Note::Quarantined { to, .. } = note else { panic!("{note:?}") };
            names.push(to);
        }
        assert!(names[0] != names[1] && names.iter().all(|name| name.exists()));
        assert_eq!(quarantine(dir.path(), backend, 5, "test").unwrap(), None);
    }
}

#[test]
fn memory_touches_no_file() {
    let dir = tempfile::tempdir().unwrap();
    put(&*opened(&dir.path().join("mainnet"), Some(Backend::Memory)).store, "k", "v");
    assert!(tree(dir.path()).is_empty());
}

#[test]
fn backend_that_is_not_built_is_named() {
    for backend in [Backend::Sled, Backend::Redb].into_iter().filter(|backend| !backend.is_built())
    {
        let dir = tempfile::tempdir().unwrap();
        let error = open(options(dir.path(), Some(backend))).unwrap_err();
        assert!(matches!(error, StoreError::NotBuilt { .. }));
        assert!(tree(dir.path()).is_empty());
    }
}

fn row(key: &str) -> Result<WriteBatch, StoreError> {
    let mut batch = WriteBatch::new();
    batch.put(Table::Peers, key, "migrated");
    Ok(batch)
}

const TO_TWO: Migration = Migration { to: 2, about: "adds two", run: |_| row("two") };
const TO_THREE: Migration = Migration {
    to: 3,
    about: "adds three after two",
    run: |store| {
        if has(store, "two") { row("three") } else { row("out of order") }
    },
};
const BROKEN: Migration =
    Migration { to: 3, about: "fails", run: |_| Err(StoreError::Stopped { path: "x".into() }) };

#[test]
fn older_format_is_brought_up_step_by_step() {
    for backend in built() {
        let dir = tempfile::tempdir().unwrap();
        put(&*opened_as_1(dir.path(), Some(backend)).store, "k", "v");
        let Opened { store, notes } =
            open_as(options(dir.path(), None), 3, &[TO_TWO, TO_THREE]).unwrap();
        assert!(has(&*store, "k") && has(&*store, "two") && has(&*store, "three"));
        assert!(matches!(
            notes.as_slice(),
            [Note::Migrated { from: 1, to: 2, .. }, Note::Migrated { from: 2, to: 3, .. }]
        ));
        drop(store);
        assert!(open_as(options(dir.path(), None), 3, &[]).unwrap().notes.is_empty());
        let older = open_as(options(dir.path(), None), 2, &[TO_TWO]);
        assert!(matches!(older, Err(StoreError::NewerFormat { found: 3, known: 2, .. })));
    }
}

#[test]
fn directory_of_format_1_opens_with_its_rows_and_takes_those_of_the_new_tables() {
    for backend in built() {
        let dir = tempfile::tempdir().unwrap();
        put(&*opened_as_1(dir.path(), Some(backend)).store, "k", "v");
        let Opened { store, notes } = opened(dir.path(), None);
        assert!(
            matches!(
                notes.as_slice(),
                [Note::Migrated { from: 1, to: 2, .. }, Note::Migrated { from: 2, to: 3, .. }]
            ),
            "{notes:?}"
        );
        assert!(has(&*store, "k"));
        let tables =
            [Table::Wallet, Table::Filters, Table::FilterHeaders, Table::Broadcast, Table::States];
        let mut batch = WriteBatch::new();
        for table in tables {
            assert_eq!(store.get(table, b"row").unwrap(), None);
            batch.put(table, "row", table.name());
        }
        store.commit(batch).unwrap();
        drop(store);
        for known in [1, 2] {
            let older = open_as(options(dir.path(), None), known, &[]);
            assert!(matches!(older, Err(StoreError::NewerFormat { found: 3, .. })));
        }
        let Opened { store, notes } = opened(dir.path(), None);
        assert!(notes.is_empty());
        for table in tables {
            assert_eq!(store.get(table, b"row").unwrap().unwrap(), table.name().as_bytes());
        }
    }
}

#[test]
fn failed_migration_goes_on_where_it_stopped() {
    for backend in built() {
        let dir = tempfile::tempdir().unwrap();
        drop(opened_as_1(dir.path(), Some(backend)));
        let error = open_as(options(dir.path(), None), 3, &[TO_TWO, BROKEN]).unwrap_err();
        assert!(matches!(error, StoreError::Migration { to: 3, .. }));
        // FORMAT was raised first: an older version stays out of the half-way store.
        let older = open_as(options(dir.path(), None), 2, &[TO_TWO]);
        assert!(matches!(older, Err(StoreError::NewerFormat { .. })));
        let again = open_as(options(dir.path(), None), 3, &[TO_TWO, TO_THREE]).unwrap();
        assert!(matches!(again.notes.as_slice(), [Note::Migrated { from: 2, to: 3, .. }]));
        assert!(has(&*again.store, "three"));
    }
}

#[test]
fn format_without_a_way_up_is_refused_with_its_contents_unchanged() {
    for backend in built() {
        let dir = tempfile::tempdir().unwrap();
        put(&*opened_as_1(dir.path(), Some(backend)).store, "k", "v");
        let error = open_as(options(dir.path(), None), 3, &[TO_THREE]).unwrap_err();
        assert!(matches!(error, StoreError::NoMigration { from: 1, to: 3, .. }));
        let Opened { store, notes } = opened_as_1(dir.path(), None);
        assert!(notes.is_empty() && has(&*store, "k"));
    }
}

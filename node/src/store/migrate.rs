//! From an older format to this version's, one step a format, each one atomic.
//!
//! The number of the format stands in the Meta table as well as in the FORMAT file. A step's
//! changes and the new number are one commit, so that a kill in between leaves the old format or
//! the new one, and the next start goes on from there.

use std::path::Path;

use super::{Note, Store, StoreError, Table, WriteBatch, checksum};

/// The Meta row with the format's number: four bytes, little-endian, sealed.
pub(crate) const FORMAT_KEY: &[u8] = b"format";

/// One step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Migration {
    /// The format after it; it starts from the number before.
    pub(crate) to: u32,
    /// What changes, for the log.
    pub(crate) about: &'static str,
    /// Reads the old rows and says how to change them.
    pub(crate) run: fn(&dyn Store) -> Result<WriteBatch, StoreError>,
}

/// The steps of this version, to formats 2, 3 and so on.
pub(crate) const MIGRATIONS: &[Migration] = &[NEW_TABLES, STATES];

/// No row changes, but a version that knows format 1 only must stay out from here on: it would
/// leave out the new tables where it copies the rows of a damaged database.
const NEW_TABLES: Migration = Migration {
    to: 2,
    about: "room for a wallet, filters and broadcasts",
    run: |_| Ok(WriteBatch::new()),
};

/// The same again, for the same reason.
const STATES: Migration =
    Migration { to: 3, about: "room for account states", run: |_| Ok(WriteBatch::new()) };

/// What the Meta table says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stamp {
    Missing,
    Damaged(String),
    Format(u32),
}

pub(crate) fn read_stamp(store: &dyn Store) -> Result<Stamp, StoreError> {
    let Some(stored) = store.get(Table::Meta, FORMAT_KEY)? else {
        return Ok(Stamp::Missing);
    };
    Ok(match checksum::open(Table::Meta, FORMAT_KEY, &stored) {
        Err(damage) => Stamp::Damaged(damage.to_string()),
        Ok(payload) => match <[u8; 4]>::try_from(payload) {
            Ok(number) => Stamp::Format(u32::from_le_bytes(number)),
            Err(_) => Stamp::Damaged(format!("the format number has {} bytes", payload.len())),
        },
    })
}

/// Adds the format's number to a batch.
pub(crate) fn stamp(batch: &mut WriteBatch, format: u32) {
    let sealed = checksum::seal(Table::Meta, FORMAT_KEY, &format.to_le_bytes());
    batch.put(Table::Meta, FORMAT_KEY, sealed);
}

/// The steps from one format to another, in order.
///
/// # Errors
/// If one is missing. Nothing was run then.
pub(crate) fn plan(
    dir: &Path,
    from: u32,
    to: u32,
    migrations: &[Migration],
) -> Result<Vec<Migration>, StoreError> {
    let step = |format: u32| migrations.iter().find(|step| step.to == format).copied();
    (from.saturating_add(1)..=to)
        .map(step)
        .collect::<Option<Vec<Migration>>>()
        .ok_or_else(|| StoreError::NoMigration { dir: dir.to_owned(), from, to })
}

/// Runs the steps; each is on disk, with its number, before the next one starts.
pub(crate) fn run(
    dir: &Path,
    store: &dyn Store,
    steps: &[Migration],
) -> Result<Vec<Note>, StoreError> {
    let mut notes = Vec::new();
    for step in steps {
        let outcome = (step.run)(store).and_then(|mut batch| {
            stamp(&mut batch, step.to);
            store.commit(batch)
        });
        outcome.map_err(|error| StoreError::Migration {
            dir: dir.to_owned(),
            to: step.to,
            source: Box::new(error),
        })?;
        let from = step.to.saturating_sub(1);
        notes.push(Note::Migrated { from, to: step.to, about: step.about });
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    fn append(store: &dyn Store, letter: u8) -> Result<WriteBatch, StoreError> {
        let mut value = store.get(Table::Meta, b"log")?.unwrap_or_default();
        value.push(letter);
        let mut batch = WriteBatch::new();
        batch.put(Table::Meta, "log", value);
        Ok(batch)
    }

    const STEPS: &[Migration] = &[
        Migration { to: 3, about: "c", run: |store| append(store, b'c') },
        Migration { to: 2, about: "b", run: |store| append(store, b'b') },
        Migration { to: 4, about: "fails", run: |_| Err(StoreError::Stopped { path: "x".into() }) },
    ];

    #[test]
    fn steps_run_in_order_and_leave_their_number() {
        let (dir, store) = (Path::new("d"), MemoryStore::new());
        let steps = plan(dir, 1, 3, STEPS).unwrap();
        let notes = run(dir, &store, &steps).unwrap();
        assert_eq!(store.get(Table::Meta, b"log").unwrap().unwrap(), b"bc");
        assert_eq!(read_stamp(&store).unwrap(), Stamp::Format(3));
        assert_eq!(notes.len(), 2);
    }

    #[test]
    fn failed_step_leaves_the_number_of_the_one_before() {
        let (dir, store) = (Path::new("d"), MemoryStore::new());
        let steps = plan(dir, 1, 4, STEPS).unwrap();
        let error = run(dir, &store, &steps).unwrap_err();
        assert!(matches!(error, StoreError::Migration { to: 4, .. }));
        assert_eq!(read_stamp(&store).unwrap(), Stamp::Format(3));
    }

    #[test]
    fn gap_is_refused_before_anything_runs() {
        let outcome = plan(Path::new("d"), 1, 5, STEPS);
        assert!(matches!(outcome, Err(StoreError::NoMigration { from: 1, to: 5, .. })));
    }

    #[test]
    fn this_version_has_a_step_to_each_format() {
        plan(Path::new("d"), 1, crate::store::FORMAT_VERSION, MIGRATIONS).unwrap();
    }

    #[test]
    fn damaged_stamp_is_told_from_a_missing_one() {
        let store = MemoryStore::new();
        assert_eq!(read_stamp(&store).unwrap(), Stamp::Missing);
        let mut batch = WriteBatch::new();
        batch.put(Table::Meta, FORMAT_KEY, "nonsense");
        store.commit(batch).unwrap();
        assert!(matches!(read_stamp(&store).unwrap(), Stamp::Damaged(_)));
    }
}

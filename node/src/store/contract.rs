//! What a store of the user's own can be tried for: the part of [`Store`]'s contract that shows in one
//! process.
//!
//! What does not show there is the user's to see to: that a batch is on the disk when `commit` returns,
//! and that a crash in between leaves all of it or nothing.

use std::ops::ControlFlow;

use super::{Store, StoreError, Table, WriteBatch};

/// Where a store breaks the contract of [`Store`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Breach {
    /// It is not empty: it would not be afterwards what it was before.
    #[error("the store is not empty: try an empty one")]
    NotEmpty,
    /// A call failed.
    #[error("{step}: the store failed")]
    Failed {
        /// What was tried.
        step: &'static str,
        /// What it said.
        source: StoreError,
    },
    /// Other rows than there should be.
    #[error("{step}: expected the rows {expected:?}, found {found:?}")]
    OtherRows {
        /// What was tried.
        step: &'static str,
        /// The rows that there should be, in order.
        expected: Vec<Row>,
        /// Those that there are.
        found: Vec<Row>,
    },
}

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

struct Trial<'a> {
    store: &'a dyn Store,
    step: &'static str,
}

impl Trial<'_> {
    fn failed(&self, source: StoreError) -> Breach {
        Breach::Failed { step: self.step, source }
    }

    fn commit(&self, fill: impl FnOnce(&mut WriteBatch)) -> Result<(), Breach> {
        let mut batch = WriteBatch::new();
        fill(&mut batch);
        self.store.commit(batch).map_err(|error| self.failed(error))
    }

    /// At most so many rows, from a key on.
    fn rows(&self, table: Table, from: &[u8], most: usize) -> Result<Vec<Row>, Breach> {
        let mut rows = Vec::new();
        let scanned = self.store.scan(table, from, &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            if rows.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        scanned.map_err(|error| self.failed(error))?;
        Ok(rows)
    }

    fn expect(&self, found: Vec<Row>, expected: &[(&[u8], &[u8])]) -> Result<(), Breach> {
        let row = |(key, value): &(&[u8], &[u8])| (key.to_vec(), value.to_vec());
        let expected: Vec<Row> = expected.iter().map(row).collect();
        if found == expected {
            return Ok(());
        }
        Err(Breach::OtherRows { step: self.step, expected, found })
    }

    fn expect_value(&self, key: &[u8], expected: Option<&[u8]>) -> Result<(), Breach> {
        let found = self.store.get(Table::Headers, key).map_err(|error| self.failed(error))?;
        let found: Vec<Row> = found.into_iter().map(|value| (key.to_vec(), value)).collect();
        let expected: Vec<(&[u8], &[u8])> = expected.into_iter().map(|it| (key, it)).collect();
        self.expect(found, &expected)
    }
}

/// Tries an empty store for what [`Store`] asks of it, and leaves it empty. It blocks.
///
/// # Errors
/// [`Breach`]: the first one that shows.
pub fn try_store(store: &dyn Store) -> Result<(), Breach> {
    let mut trial = Trial { store, step: "rows of an empty store" };
    for &table in Table::ALL {
        if !trial.rows(table, &[], 1)?.is_empty() {
            return Err(Breach::NotEmpty);
        }
    }
    rows(&mut trial)?;
    scans(&mut trial)?;
    batches(&mut trial)?;
    trial.step = "removing everything";
    trial.commit(|batch| {
        Table::ALL.iter().for_each(|table| batch.delete_from(*table, Vec::new()));
    })?;
    for &table in Table::ALL {
        trial.expect(trial.rows(table, &[], 1)?, &[])?;
    }
    Ok(())
}

fn rows(trial: &mut Trial<'_>) -> Result<(), Breach> {
    trial.step = "a row that is put, replaced, emptied and deleted";
    trial.expect_value(b"k", None)?;
    for value in [&b"first, a longer one"[..], b"second", b""] {
        trial.commit(|batch| batch.put(Table::Headers, "k", value))?;
        trial.expect_value(b"k", Some(value))?;
    }
    trial.commit(|batch| batch.delete(Table::Headers, "k"))?;
    trial.commit(|batch| batch.delete(Table::Headers, "never there"))?;
    trial.expect_value(b"k", None)?;
    trial.step = "a batch without changes";
    trial.commit(|_| {})?;
    trial.step = "a value of a megabyte under a key of 512 bytes";
    let (key, value) = (vec![0xff; super::MAX_KEY_BYTES], vec![0x5a; 1 << 20]);
    trial.commit(|batch| batch.put(Table::Headers, key.clone(), value.clone()))?;
    trial.expect_value(&key, Some(&value))?;
    trial.commit(|batch| batch.delete(Table::Headers, key))
}

fn scans(trial: &mut Trial<'_>) -> Result<(), Breach> {
    trial.step = "scans in the order of the bytes of the keys";
    let all: [(&[u8], &[u8]); 6] =
        [(b"", b"0"), (b"\x00", b"1"), (b"a", b"2"), (b"aa", b"3"), (b"b", b"4"), (b"\xff", b"5")];
    trial.commit(|batch| all.iter().rev().for_each(|(k, v)| batch.put(Table::Peers, *k, *v)))?;
    trial.expect(trial.rows(Table::Peers, b"", usize::MAX)?, &all)?;
    trial.step = "a scan from a key that is not there";
    let [.., later, last] = all;
    trial.expect(trial.rows(Table::Peers, b"ab", usize::MAX)?, &[later, last])?;
    trial.expect(trial.rows(Table::Peers, b"\xff\x00", usize::MAX)?, &[])?;
    trial.step = "a scan that is broken off";
    trial.expect(trial.rows(Table::Peers, b"b", 1)?, &[later])?;
    trial.step = "tables that are apart";
    trial.commit(|batch| batch.put(Table::Meta, "a", "other"))?;
    trial.commit(|batch| batch.delete_from(Table::Peers, Vec::new()))?;
    trial.expect(trial.rows(Table::Peers, b"", usize::MAX)?, &[])?;
    trial.expect(trial.rows(Table::Meta, b"", usize::MAX)?, &[(b"a", b"other")])
}

fn batches(trial: &mut Trial<'_>) -> Result<(), Breach> {
    trial.step = "a batch whose changes are applied in their order";
    trial.commit(|batch| (0..10_u8).for_each(|key| batch.put(Table::Filters, [key], "old")))?;
    trial.commit(|batch| {
        batch.put(Table::Filters, [8], "put, then deleted from");
        batch.delete_from(Table::Filters, [3]);
        batch.put(Table::Filters, [3], "new");
        batch.put(Table::Filters, [5], "gone again");
        batch.delete(Table::Filters, [5]);
        batch.put(Table::Wallet, [1], "of the same batch");
    })?;
    let left: [(&[u8], &[u8]); 4] =
        [(&[0], b"old"), (&[1], b"old"), (&[2], b"old"), (&[3], b"new")];
    trial.expect(trial.rows(Table::Filters, b"", usize::MAX)?, &left)?;
    trial.expect(trial.rows(Table::Wallet, b"", 2)?, &[(&[1], b"of the same batch")])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Backend, MemoryStore, Visitor};

    #[test]
    fn the_store_in_memory_keeps_the_contract() {
        let store = MemoryStore::new();
        try_store(&store).unwrap();
        try_store(&store).unwrap();
    }

    #[test]
    fn a_store_in_use_is_left_alone() {
        let (store, mut batch) = (MemoryStore::new(), WriteBatch::new());
        batch.put(Table::Wallet, "k", "v");
        store.commit(batch).unwrap();
        assert!(matches!(try_store(&store), Err(Breach::NotEmpty)));
        assert!(store.get(Table::Wallet, b"k").unwrap().is_some());
    }

    /// Scans from a key as if from the one after it.
    struct SkipsTheFirst(MemoryStore);

    impl Store for SkipsTheFirst {
        fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            self.0.get(table, key)
        }
        fn scan(
            &self,
            table: Table,
            from: &[u8],
            visit: &mut Visitor<'_>,
        ) -> Result<(), StoreError> {
            self.0.scan(table, from, &mut |key, value| {
                if !from.is_empty() && key == from {
                    return ControlFlow::Continue(());
                }
                visit(key, value)
            })
        }
        fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
            self.0.commit(batch)
        }
        fn backend(&self) -> Backend {
            Backend::Custom
        }
        fn bytes_on_disk(&self) -> Result<u64, StoreError> {
            Ok(0)
        }
    }

    #[test]
    fn a_breach_says_what_was_tried() {
        let breach = try_store(&SkipsTheFirst(MemoryStore::new())).unwrap_err();
        assert!(breach.to_string().starts_with("a scan that is broken off"), "{breach}");
    }
}

//! A store of the user's own, brought to this version's format as one in a directory is.
//!
//! It is fenced as the others are: what panics inside counts as damage, and after a failed commit it
//! is used no more. It cannot be set aside, so damage that other stores are mended of is an error here.

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fence::Fence;
use super::migrate::{self, MIGRATIONS, Stamp};
use super::{
    Backend, FORMAT_VERSION, Opened, Store, StoreError, StoreIdentity, Table, Visitor, WriteBatch,
};

/// What messages call it, in the place of a file.
const NAME: &str = "(custom)";

/// A [`Store`] of the user's own. One node may use it at a time, for one network.
#[derive(Clone)]
pub struct CustomStore(Arc<dyn Store>);

impl CustomStore {
    /// Takes a store that keeps what [`Store`] asks of it.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(store)
    }
}

impl fmt::Debug for CustomStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CustomStore").finish_non_exhaustive()
    }
}

/// Two are equal where they are the same one.
impl PartialEq for CustomStore {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for CustomStore {}

impl Store for CustomStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        self.0.scan(table, from, visit)
    }

    fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        batch.check_sizes()?;
        self.0.commit(batch)
    }

    fn backend(&self) -> Backend {
        Backend::Custom
    }

    fn bytes_on_disk(&self) -> Result<u64, StoreError> {
        self.0.bytes_on_disk()
    }

    fn identity(&self) -> StoreIdentity {
        StoreIdentity::of(&self.0)
    }
}

/// Opens a store of the user's own: an empty one gets the format's number, one of an older format is
/// brought to this one. Blocking.
///
/// # Errors
/// If the store fails, its format is newer, or it holds something else.
pub fn open_custom(store: CustomStore) -> Result<Opened, StoreError> {
    let fence = Fence::open(Backend::Custom, PathBuf::from(NAME), None, || Ok(store))?;
    let unusable = |reason: String| StoreError::Unusable { reason };
    let dir = Path::new(NAME);
    let notes = match migrate::read_stamp(&fence)? {
        Stamp::Missing if is_empty(&fence)? => {
            let mut batch = WriteBatch::new();
            migrate::stamp(&mut batch, FORMAT_VERSION);
            fence.commit(batch)?;
            Vec::new()
        }
        Stamp::Missing => return Err(unusable("it has rows and no format number".to_owned())),
        Stamp::Damaged(reason) => return Err(unusable(reason)),
        Stamp::Format(found) if found > FORMAT_VERSION => {
            let (dir, known) = (dir.to_owned(), FORMAT_VERSION);
            return Err(StoreError::NewerFormat { dir, found, known });
        }
        Stamp::Format(format) => {
            let steps = migrate::plan(dir, format, FORMAT_VERSION, MIGRATIONS)?;
            migrate::run(dir, &fence, &steps)?
        }
    };
    Ok(Opened { store: Arc::new(fence), notes })
}

fn is_empty(store: &dyn Store) -> Result<bool, StoreError> {
    let mut empty = true;
    for &table in Table::ALL {
        store.scan(table, &[], &mut |_, _| {
            empty = false;
            ControlFlow::Break(())
        })?;
    }
    Ok(empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    fn memory(rows: &[(&[u8], &[u8])]) -> CustomStore {
        let (store, mut batch) = (MemoryStore::new(), WriteBatch::new());
        rows.iter().for_each(|(key, value)| batch.put(Table::Meta, *key, *value));
        store.commit(batch).unwrap();
        CustomStore::new(Arc::new(store))
    }

    #[test]
    fn an_empty_store_gets_the_format_number_and_opens_again() {
        let store = memory(&[]);
        let opened = open_custom(store.clone()).unwrap();
        assert_eq!(opened.store.backend(), Backend::Custom);
        assert_eq!(migrate::read_stamp(&store).unwrap(), Stamp::Format(FORMAT_VERSION));
        open_custom(store).unwrap();
    }

    #[test]
    fn a_store_of_something_else_or_of_a_later_version_is_refused() {
        let other = open_custom(memory(&[(b"theirs", b"value")])).unwrap_err();
        assert!(matches!(other, StoreError::Unusable { .. }));
        let (later, mut batch) = (memory(&[]), WriteBatch::new());
        migrate::stamp(&mut batch, FORMAT_VERSION + 1);
        later.commit(batch).unwrap();
        assert!(matches!(open_custom(later), Err(StoreError::NewerFormat { .. })));
    }
}

//! The fence around an open backend: no panic gets out, and nothing is done after a failure that
//! may have left memory and disk apart. It also holds the directory's lock, so that the lock lives
//! as long as the store, whoever keeps it.

use std::any::Any;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::contain::contain;
use super::lock::DirLock;
use super::{Backend, Store, StoreError, StoreIdentity, Table, Visitor, WriteBatch};

const WORKING: u8 = 0;
/// A commit failed: sled then shows rows that are not on disk, redb wants to be reopened.
const STOPPED: u8 = 1;
/// It panicked: its own state may be torn, so that even dropping it could panic or hang.
const TORN: u8 = 2;

pub(crate) struct Fence {
    /// Taken only by `drop`.
    inner: Option<Box<dyn Store>>,
    backend: Backend,
    path: PathBuf,
    state: AtomicU8,
    /// After `inner`: released last.
    _lock: Option<Arc<DirLock>>,
}

impl Fence {
    /// Opens a backend inside the fence.
    #[cfg_attr(
        not(any(feature = "sled", feature = "redb")),
        allow(dead_code, reason = "only stores on disk are fenced")
    )]
    pub(crate) fn open<S: Store>(
        backend: Backend,
        path: PathBuf,
        lock: Option<Arc<DirLock>>,
        open: impl FnOnce() -> Result<S, StoreError>,
    ) -> Result<Self, StoreError> {
        let inner = contain(open).unwrap_or_else(|reason| {
            Err(StoreError::Corrupt { backend, path: path.clone(), reason })
        })?;
        Ok(Fence {
            inner: Some(Box::new(inner)),
            backend,
            path,
            state: AtomicU8::new(WORKING),
            _lock: lock,
        })
    }

    fn call<T>(
        &self,
        call: impl FnOnce(&dyn Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (WORKING, Some(inner)) = (self.state.load(Ordering::Acquire), &self.inner) else {
            return Err(StoreError::Stopped { path: self.path.clone() });
        };
        contain(|| call(inner.as_ref())).unwrap_or_else(|reason| {
            self.state.store(TORN, Ordering::Release);
            let path = self.path.clone();
            Err(StoreError::Corrupt { backend: self.backend, path, reason })
        })
    }
}

impl Store for Fence {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.call(|store| store.get(table, key))
    }

    fn scan(&self, table: Table, from: &[u8], visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        // A panic of the visitor is the caller's, not damage: carried past the backend.
        let mut theirs: Option<Box<dyn Any + Send>> = None;
        let outcome = self.call(|store| {
            store.scan(table, from, &mut |key, value| {
                catch_unwind(AssertUnwindSafe(|| visit(key, value))).unwrap_or_else(|payload| {
                    theirs = Some(payload);
                    ControlFlow::Break(())
                })
            })
        });
        match theirs {
            Some(payload) => resume_unwind(payload),
            None => outcome,
        }
    }

    fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        let outcome = self.call(|store| store.commit(batch));
        if let Err(error) = &outcome
            && !matches!(error, StoreError::TooLarge { .. })
        {
            // Not over TORN, which says more.
            let _ =
                self.state.compare_exchange(WORKING, STOPPED, Ordering::AcqRel, Ordering::Acquire);
        }
        outcome
    }

    fn backend(&self) -> Backend {
        self.backend
    }

    fn bytes_on_disk(&self) -> Result<u64, StoreError> {
        self.call(|store| store.bytes_on_disk())
    }

    fn identity(&self) -> StoreIdentity {
        let inner = self.inner.as_ref().and_then(|inner| inner.identity().if_kept());
        inner.unwrap_or_else(|| StoreIdentity::place(self))
    }
}

impl Drop for Fence {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else {
            return;
        };
        if self.state.load(Ordering::Acquire) == TORN {
            // Dropping writes what is unwritten: over the evidence, from torn state, with locks
            // that a panic may have left taken. The files stay open until the process ends.
            #[allow(clippy::mem_forget, reason = "see above")]
            std::mem::forget(inner);
        } else {
            // Whatever was committed is on disk already: nothing is lost if this panics.
            let _ = contain(|| drop(inner));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    /// Panics where a damaged page would make sled panic, and fails where a full disk would.
    struct Faulty(MemoryStore);

    impl Store for Faulty {
        fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            assert_ne!(key, b"torn", "page is torn");
            self.0.get(table, key)
        }
        fn scan(
            &self,
            table: Table,
            from: &[u8],
            visit: &mut Visitor<'_>,
        ) -> Result<(), StoreError> {
            self.0.scan(table, from, visit)
        }
        fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
            batch.check_sizes()?;
            if self.0.get(Table::Meta, b"full")?.is_some() {
                return Err(crate::store::error::io("write", "x")(std::io::Error::other("full")));
            }
            self.0.commit(batch)
        }
        fn backend(&self) -> Backend {
            Backend::Memory
        }
        fn bytes_on_disk(&self) -> Result<u64, StoreError> {
            Ok(0)
        }
    }

    fn faulty() -> Fence {
        let open = || Ok(Faulty(MemoryStore::new()));
        Fence::open(Backend::Sled, "x".into(), None, open).unwrap()
    }

    fn row(key: &[u8]) -> WriteBatch {
        let mut batch = WriteBatch::new();
        batch.put(Table::Meta, key, "value");
        batch
    }

    #[test]
    fn panic_surfaces_as_corruption_and_stops_the_store() {
        let fence = faulty();
        let error = fence.get(Table::Meta, b"torn").unwrap_err();
        assert!(error.is_corruption());
        assert!(error.to_string().contains("page is torn"), "{error}");
        let after = fence.get(Table::Meta, b"fine");
        assert!(matches!(after, Err(StoreError::Stopped { .. })));
    }

    #[test]
    fn failed_commit_stops_the_store() {
        let fence = faulty();
        fence.commit(row(b"full")).unwrap();
        assert!(matches!(fence.commit(row(b"more")), Err(StoreError::Io { .. })));
        assert!(matches!(fence.get(Table::Meta, b"full"), Err(StoreError::Stopped { .. })));
    }

    #[test]
    fn batch_over_the_limits_changes_nothing_and_the_store_goes_on() {
        let fence = faulty();
        let mut batch = row(b"first");
        batch.put(Table::Meta, vec![0; 513], "value");
        assert!(matches!(fence.commit(batch), Err(StoreError::TooLarge { what: "key", .. })));
        assert_eq!(fence.get(Table::Meta, b"first").unwrap(), None);
    }

    #[test]
    fn panic_of_the_visitor_is_not_taken_for_damage() {
        let fence = faulty();
        fence.commit(row(b"a")).unwrap();
        let visit = || fence.scan(Table::Meta, b"", &mut |_, _| panic!("theirs"));
        let payload = catch_unwind(AssertUnwindSafe(visit)).unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"theirs"));
        assert!(fence.get(Table::Meta, b"a").unwrap().is_some());
    }
}

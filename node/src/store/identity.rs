//! Which database a store is, by whatever way it is reached.

use std::fmt;
use std::ptr;
use std::sync::{Arc, Weak};

use super::Store;

/// Which database a [`Store`] reads and writes: the same for all stores of this process that reach the
/// same one. It says nothing to another process.
#[derive(Clone)]
pub struct StoreIdentity {
    place: usize,
    /// A place in memory is not given to another store while a weak reference is held.
    kept: Option<Weak<dyn Store>>,
}

impl StoreIdentity {
    /// That of a store which is shared: no other store gets it while this value is held, even where the
    /// store is dropped before. A store that passes its calls on to another one has that one's.
    #[must_use]
    pub fn of(store: &Arc<dyn Store>) -> Self {
        store.identity().kept_by(|| Some(Arc::downgrade(store)))
    }

    /// That of a store which is the database itself.
    pub(super) fn place<S: Store + ?Sized>(store: &S) -> Self {
        Self { place: ptr::from_ref(store).cast::<()>().addr(), kept: None }
    }

    /// Another number for every other identity that is held.
    pub(crate) const fn as_number(&self) -> usize {
        self.place
    }

    fn kept_by(self, keep: impl FnOnce() -> Option<Weak<dyn Store>>) -> Self {
        Self { kept: self.kept.or_else(keep), ..self }
    }

    /// What a store that owns another one passes on: a place that is not kept is freed with it, so its
    /// own stands for it.
    pub(super) fn if_kept(self) -> Option<Self> {
        self.kept.is_some().then_some(self)
    }
}

impl PartialEq for StoreIdentity {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl Eq for StoreIdentity {}

impl fmt::Debug for StoreIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreIdentity").field(&self.place).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CustomStore, Lent, MemoryStore, open_custom};
    use super::*;

    fn memory() -> Arc<dyn Store> {
        Arc::new(MemoryStore::new())
    }

    #[test]
    fn every_way_to_a_database_has_one_identity() {
        let theirs = memory();
        let identity = StoreIdentity::of(&theirs);
        let fenced = open_custom(CustomStore::new(Arc::clone(&theirs))).unwrap().store;
        let again = open_custom(CustomStore::new(Arc::clone(&theirs))).unwrap().store;
        let lent = Lent::from(&fenced);
        for store in [&fenced, &again, &lent, &Lent::from(&lent), &Lent::from(&theirs)] {
            assert_eq!(StoreIdentity::of(store), identity);
            assert_eq!(store.identity(), identity);
        }
        assert_ne!(StoreIdentity::of(&memory()), identity);
    }

    #[test]
    fn a_lent_store_that_is_gone_leaves_its_identity_to_no_other() {
        let owner = memory();
        let lent = Lent::from(&owner);
        drop(owner);
        let later: Vec<_> = (0..100).map(|_| memory()).collect();
        assert!(later.iter().all(|store| store.identity() != lent.identity()));
    }
}

//! A store that is lent: whoever holds it does not keep the directory locked.
//!
//! The node's tasks own the store. What they share with readers outside, which may be held for as
//! long as their holders like, has it lent: once the tasks are gone, so are database and lock.

use std::sync::{Arc, Weak};

use super::{Backend, Store, StoreError, StoreIdentity, Table, Visitor, WriteBatch};

/// See the [module](self).
pub(crate) struct Lent {
    owner: Weak<dyn Store>,
    backend: Backend,
    identity: StoreIdentity,
}

impl Lent {
    /// Lends a store.
    pub(crate) fn from(owner: &Arc<dyn Store>) -> Arc<dyn Store> {
        let (backend, identity) = (owner.backend(), StoreIdentity::of(owner));
        Arc::new(Self { owner: Arc::downgrade(owner), backend, identity })
    }

    fn owner(&self) -> Result<Arc<dyn Store>, StoreError> {
        self.owner.upgrade().ok_or(StoreError::Closed)
    }
}

impl Store for Lent {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.owner()?.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        self.owner()?.scan(table, from, visit)
    }

    fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.owner()?.commit(batch)
    }

    fn backend(&self) -> Backend {
        self.backend
    }

    fn bytes_on_disk(&self) -> Result<u64, StoreError> {
        self.owner()?.bytes_on_disk()
    }

    fn identity(&self) -> StoreIdentity {
        self.identity.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn a_lent_store_ends_with_its_owner() {
        let owner: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let lent = Lent::from(&owner);
        let mut batch = WriteBatch::new();
        batch.put(Table::Meta, "k", "v");
        lent.commit(batch).unwrap();
        assert_eq!(owner.get(Table::Meta, b"k").unwrap().unwrap(), b"v");
        drop(owner);
        assert!(matches!(lent.get(Table::Meta, b"k"), Err(StoreError::Closed)));
    }
}

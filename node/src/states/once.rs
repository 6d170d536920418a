//! A collection is open once at a time.
//!
//! Opening removes what no head names, and another handle may just be writing such rows: it would then
//! name rows that are gone. So whoever opens or removes a collection takes its name first.
//!
//! The names of all stores stand in one place, since a database is reached by several stores (lent,
//! the user's own), none of which knows of the others. What grows: one entry for each open collection.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::error::StatesError;
use super::rows::Keys;
use crate::store::StoreIdentity;

static TAKEN: Mutex<BTreeSet<(usize, String)>> = Mutex::new(BTreeSet::new());

/// That a name is taken in a store, until this is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    /// Held, so that no other store gets the same place.
    store: StoreIdentity,
    name: String,
}

impl Taken {
    /// Takes a name.
    ///
    /// # Errors
    /// [`StatesError::AlreadyOpen`]
    pub(super) fn new(store: StoreIdentity, keys: &Keys) -> Result<Self, StatesError> {
        let name = keys.name().to_owned();
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.insert((store.as_number(), name.clone())) {
            Ok(Self { store, name })
        } else {
            Err(StatesError::AlreadyOpen { name })
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(&(self.store.as_number(), std::mem::take(&mut self.name)));
    }
}

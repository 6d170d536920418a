//! Which collections a store has.

use std::ops::ControlFlow;

use ironlight_spv::BlockHeight;

use super::Claim;
use super::error::Fault;
use super::load;
use super::rows::Keys;
use crate::store::{Store, StoreError, Table};

/// A collection, by its head alone: nothing else is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// What it is, or what is wrong with its head.
    pub head: Result<Summary, Fault>,
}

/// What a head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The kind of its values: 1 is `Account`, 2 `WalletAccount`.
    pub kind: u8,
    /// The oldest and the newest sealed height; none before anything is sealed.
    pub heights: Option<(BlockHeight, BlockHeight)>,
    /// What was imported and has not been proven.
    pub claim: Option<Claim>,
}

/// Every collection of a store, by name in the order of their keys. Blocking.
///
/// # Errors
/// If the store fails.
pub fn list(store: &dyn Store) -> Result<Vec<Listed>, StoreError> {
    let (mut listed, mut from) = (Vec::new(), Vec::new());
    while let Some(mut key) = first_key(store, &from)? {
        match Keys::of(&key).filter(|keys| key < keys.end()) {
            Some(keys) => {
                let head = load::head(store, &keys)?.map(|head| Summary {
                    kind: head.kind,
                    heights: head.base.map(|base| (base.oldest, base.newest)),
                    claim: head.claim,
                });
                listed.push(Listed { name: keys.name().to_owned(), head });
                from = keys.end();
            }
            None => {
                // Of no form: the next one.
                key.push(0);
                from = key;
            }
        }
    }
    Ok(listed)
}

fn first_key(store: &dyn Store, from: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let mut first = None;
    store.scan(Table::States, from, &mut |key, _| {
        first = Some(key.to_vec());
        ControlFlow::Break(())
    })?;
    Ok(first)
}

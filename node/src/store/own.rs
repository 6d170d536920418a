//! What a node has of its user and of nobody else: rows that go along when the rest is set aside to be
//! fetched again.

use std::ops::ControlFlow;

use super::{Store, StoreError, Table, WriteBatch, flags};

/// Tables that hold nothing else. Of account states no peer has a copy.
const TABLES: [Table; 3] = [Table::Wallet, Table::Broadcast, Table::States];
/// The keys of the collection of the wallet's own states: they follow from the rows of the wallet, are more
/// than those, and would all be in memory. What a file claims follows from nothing else and goes along.
const MADE_ANEW: &[u8] = b"\x0bnode.wallet";
/// Which transactions go on connections of their own. It is named here because a build without a wallet
/// takes the row along, too.
pub(super) const APART_KEY: &[u8] = b"broadcast_apart";
/// Rows of `meta`.
const META: [&[u8]; 2] = [APART_KEY, flags::KEY];

/// A batch with those rows as they are, and how many it has. They carry checksums: whoever loads them
/// finds what is damaged. Where a table cannot be read on, what was read of it is in. All of it is in memory
/// at once, since it goes into the new database whole or not at all: the old one is set aside by then.
///
/// # Errors
/// [`StoreError`] where the store fails for another reason than damage.
pub(crate) fn rows(store: &dyn Store) -> Result<(WriteBatch, u64), StoreError> {
    let (mut batch, mut rows) = (WriteBatch::new(), 0_u64);
    for table in TABLES {
        let scanned = store.scan(table, &[], &mut |key, value| {
            if table != Table::States || !key.starts_with(MADE_ANEW) {
                rows = rows.saturating_add(1);
                batch.put(table, key, value);
            }
            ControlFlow::Continue(())
        });
        pass_over_damage(scanned)?;
    }
    for key in META {
        if let Some(value) = pass_over_damage(store.get(Table::Meta, key))?.flatten() {
            rows = rows.saturating_add(1);
            batch.put(Table::Meta, key, value);
        }
    }
    Ok((batch, rows))
}

fn pass_over_damage<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.is_damage() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn what_is_the_users_goes_along_and_nothing_else() {
        let store = MemoryStore::new();
        let mut batch = WriteBatch::new();
        for &table in Table::ALL {
            batch.put(table, "key", table.name());
        }
        let (wallets, claims) = (b"\x0bnode.walletH", b"\x0anode.claimH");
        batch.put(Table::States, wallets, "head");
        batch.put(Table::States, claims, "head");
        batch.put(Table::Meta, APART_KEY, "apart");
        batch.put(Table::Meta, flags::KEY, "flags");
        store.commit(batch).unwrap();
        let (batch, count) = rows(&store).unwrap();
        let new = MemoryStore::new();
        new.commit(batch).unwrap();
        assert_eq!(count, 6);
        let has = |table, key: &[u8]| new.get(table, key).unwrap().is_some();
        for &table in Table::ALL {
            assert_eq!(has(table, b"key"), TABLES.contains(&table), "{table}");
        }
        assert!(has(Table::States, claims) && !has(Table::States, wallets));
        assert!(has(Table::Meta, APART_KEY) && has(Table::Meta, flags::KEY));
    }
}

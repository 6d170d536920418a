//! Which transactions are brought to the network on connections of their own, over restarts: one row of
//! `meta` with their ids, 32 bytes each as hashed.

use std::collections::BTreeSet;

use bitcoin::Txid;
use bitcoin::hashes::Hash as _;

use super::own::APART_KEY as KEY;
use super::{Store, StoreError, Table, WriteBatch, checksum};

/// The batch that records them.
#[must_use]
pub(crate) fn batch(apart: &BTreeSet<Txid>) -> WriteBatch {
    let payload: Vec<u8> = apart.iter().flat_map(|txid| txid.to_byte_array()).collect();
    let mut batch = WriteBatch::new();
    batch.put(Table::Meta, KEY, checksum::seal(Table::Meta, KEY, &payload));
    batch
}

/// Those that were recorded; none where there is no record.
///
/// # Errors
/// [`StoreError`] where the store fails, or the record is damaged: to announce them on any connection
/// is what the user did not want.
pub(crate) fn load(store: &dyn Store) -> Result<BTreeSet<Txid>, StoreError> {
    let Some(stored) = store.get(Table::Meta, KEY)? else { return Ok(BTreeSet::new()) };
    let payload = checksum::open(Table::Meta, KEY, &stored)?;
    let (ids, _) = payload.as_chunks::<32>();
    Ok(ids.iter().map(|bytes| Txid::from_byte_array(*bytes)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn what_is_recorded_is_read_and_damage_is_told() {
        let store = MemoryStore::new();
        assert_eq!(load(&store).unwrap(), BTreeSet::new());
        let apart = [1, 2].map(|byte| Txid::from_byte_array([byte; 32])).into();
        store.commit(batch(&apart)).unwrap();
        assert_eq!(load(&store).unwrap(), apart);
        let stored = store.get(Table::Meta, KEY).unwrap().unwrap();
        let payload = [[1; 32], [2; 32]].concat();
        assert_eq!(stored, checksum::seal(Table::Meta, b"broadcast_apart", &payload));
        let mut damaged = WriteBatch::new();
        damaged.put(Table::Meta, KEY, vec![0; 40]);
        store.commit(damaged).unwrap();
        assert!(load(&store).is_err());
    }
}

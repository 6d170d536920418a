//! What the node's flags are set to, over restarts: one row of `meta`, written by hand in the form
//! that docs/STORE_FORMAT.md has byte for byte.

use super::{Store, StoreError, Table, WriteBatch, checksum};

pub(super) const KEY: &[u8] = b"flags";

/// The batch that records settings, encoded.
#[must_use]
pub(crate) fn batch(settings: &[u8]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put(Table::Meta, KEY, checksum::seal(Table::Meta, KEY, settings));
    batch
}

/// The settings that were recorded, encoded; none where there are none.
///
/// # Errors
/// [`StoreError`] where the store fails, or the record is damaged.
pub(crate) fn load(store: &dyn Store) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(stored) = store.get(Table::Meta, KEY)? else { return Ok(None) };
    Ok(Some(checksum::open(Table::Meta, KEY, &stored)?.to_vec()))
}

#[cfg(test)]
mod tests {
    use ironlight_hardening::flags::{Flag, FlagSet, Flags, MemoryFlagStore};
    use std::sync::Arc;

    use super::*;
    use crate::store::MemoryStore;
    use ironlight_hardening::flags::FlagStore as _;

    #[test]
    fn the_record_is_the_documented_one() {
        let kept = Arc::new(MemoryFlagStore::default());
        let set = FlagSet::new([Flag::kill_switch("gossip", ""), Flag::kill_switch("serving", "")]);
        let flags = Flags::open(set.unwrap(), Arc::<MemoryFlagStore>::clone(&kept)).unwrap();
        flags.turn("gossip", false, "test").unwrap();
        let payload = kept.load().unwrap().unwrap();
        assert_eq!(payload, b"\x01\x01\0\x06gossip\x02\0\0\0\0\0");
        let store = MemoryStore::new();
        assert_eq!(load(&store).unwrap(), None);
        store.commit(batch(&payload)).unwrap();
        assert_eq!(load(&store).unwrap(), Some(payload.clone()));
        let stored = store.get(Table::Meta, KEY).unwrap().unwrap();
        assert_eq!(stored, checksum::seal(Table::Meta, b"flags", &payload));
    }
}

//! From a script to who watches it.

use std::collections::BTreeMap;

use bitcoin::{Script, ScriptBuf};

use super::{Keychain, WatchId};

/// Where a script comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScriptOwner {
    /// The item.
    pub watch: WatchId,
    /// The path of its descriptor.
    pub keychain: Keychain,
    /// The derivation index; 0 where there is one script only.
    pub index: u32,
}

/// Every watched script with its owners: more than one where items overlap. A map by order, so
/// that what follows from it does not depend on a hash's seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptIndex {
    owners: BTreeMap<ScriptBuf, Vec<ScriptOwner>>,
}

impl ScriptIndex {
    /// Who watches a script, in the order of their numbers; nobody: none.
    #[must_use]
    pub fn owners(&self, script: &Script) -> &[ScriptOwner] {
        self.owners.get(script).map_or(&[], Vec::as_slice)
    }

    /// How many scripts are watched; one that two items have counts once.
    #[must_use]
    pub fn len(&self) -> usize {
        self.owners.len()
    }

    /// Whether nothing is watched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// All scripts, in the order of their bytes.
    pub fn scripts(&self) -> impl Iterator<Item = &Script> {
        self.owners.keys().map(ScriptBuf::as_script)
    }

    /// All scripts with their owners.
    pub fn iter(&self) -> impl Iterator<Item = (&Script, &[ScriptOwner])> {
        self.owners.iter().map(|(script, owners)| (script.as_script(), owners.as_slice()))
    }

    pub(crate) fn insert(&mut self, script: ScriptBuf, owner: ScriptOwner) {
        let owners = self.owners.entry(script).or_default();
        if let Err(place) = owners.binary_search(&owner) {
            owners.insert(place, owner);
        }
    }

    /// Forgets an item.
    pub(crate) fn remove(&mut self, watch: WatchId) {
        self.owners.retain(|_, owners| {
            owners.retain(|owner| owner.watch != watch);
            !owners.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(watch: u32, index: u32) -> ScriptOwner {
        ScriptOwner { watch: WatchId(watch), keychain: Keychain(0), index }
    }

    #[test]
    fn a_script_of_two_items_is_known_until_both_are_gone() {
        let (mut index, script) = (ScriptIndex::default(), ScriptBuf::from_bytes(vec![0x51]));
        index.insert(script.clone(), owner(2, 0));
        index.insert(script.clone(), owner(1, 7));
        index.insert(script.clone(), owner(1, 7));
        assert_eq!(index.owners(&script), [owner(1, 7), owner(2, 0)]);
        assert_eq!(index.len(), 1);
        index.remove(WatchId(1));
        assert_eq!(index.owners(&script), [owner(2, 0)]);
        index.remove(WatchId(2));
        assert!(index.is_empty());
    }
}

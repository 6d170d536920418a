//! All items together, with their scripts.

use std::collections::BTreeMap;

use bitcoin::{Script, ScriptBuf};
use ironlight_spv::BlockHeight;

use super::{ScriptIndex, ScriptOwner, WatchId, WatchItem};
use crate::wallet::label::AccountName;

/// Items and the scripts that were derived for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WatchedItems {
    items: BTreeMap<WatchId, WatchItem>,
    index: ScriptIndex,
    /// The number that the next item gets; one less than it.
    last_id: u32,
}

impl WatchedItems {
    pub(crate) fn get(&self, id: WatchId) -> Option<&WatchItem> {
        self.items.get(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &WatchItem> {
        self.items.values()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(crate) const fn index(&self) -> &ScriptIndex {
        &self.index
    }

    pub(crate) const fn next_id(&self) -> u32 {
        self.last_id.saturating_add(1)
    }

    pub(crate) const fn set_next_id(&mut self, next: u32) {
        self.last_id = next.saturating_sub(1);
    }

    /// Scripts of all items, one that two of them have counted twice.
    pub(crate) fn total(&self) -> usize {
        self.iter().map(WatchItem::scripts).fold(0, usize::saturating_add)
    }

    /// Sets an item, or forgets it with its scripts.
    pub(crate) fn set_item(&mut self, id: WatchId, item: Option<WatchItem>) {
        match item {
            Some(item) => drop(self.items.insert(id, item)),
            None => {
                self.items.remove(&id);
                self.index.remove(id);
            }
        }
    }

    pub(crate) fn add_script(&mut self, script: ScriptBuf, owner: ScriptOwner) {
        self.index.insert(script, owner);
    }

    /// Who watches a script in a block of a height: items whose birthday it is not before.
    pub(crate) fn owners_at(
        &self,
        script: &Script,
        height: BlockHeight,
    ) -> impl Iterator<Item = (ScriptOwner, &WatchItem)> {
        let owners = self.index.owners(script).iter();
        owners.filter_map(move |owner| {
            let item = self.items.get(&owner.watch)?;
            (item.birthday <= height).then_some((*owner, item))
        })
    }

    /// Whether a script of a height is one of an account's, or of any.
    pub(crate) fn counts(
        &self,
        script: &Script,
        height: BlockHeight,
        account: Option<&AccountName>,
    ) -> bool {
        self.owners_at(script, height)
            .any(|(_, item)| account.is_none_or(|account| item.account == *account))
    }
}

//! The user's account states, kept in the node's store.

use ironlight_spv::compress::state::{Salt, StateValue};

use super::NodeHandle;
use crate::states::{Opening, StatesError, StoredStates, refuse_reserved};

impl NodeHandle {
    /// Opens a collection of account states in the node's own store, whose directory nobody else can open
    /// while the node runs; see [`StoredStates::open`]. Blocking, as all that is done with it: off the
    /// async threads. It keeps no directory: once the node is gone, what writes ends with
    /// [`StoreError::Closed`](crate::store::StoreError::Closed). Where a write fails for the disk, the store
    /// stops, and the node with it.
    ///
    /// # Errors
    /// [`StatesError::Reserved`] for a name that begins with `node.`; else as [`StoredStates::open`].
    pub fn states<V: StateValue>(
        &self,
        name: &str,
        salt_if_new: Salt,
    ) -> Result<(StoredStates<V>, Opening), StatesError> {
        refuse_reserved(name)?;
        StoredStates::open(&self.parts().store, name, salt_if_new)
    }
}

#[cfg(test)]
mod tests {
    use ironlight_spv::BlockHeight;
    use ironlight_spv::compress::state::{Account, Change};

    use super::*;
    use crate::store::StoreError;
    use crate::{Network, Node};

    #[tokio::test]
    async fn names_of_the_nodes_own_collections_are_refused() {
        let peer = "127.0.0.1:1".parse().unwrap();
        let node = Node::builder(Network::Regtest).connect(peer).build().await.unwrap();
        let open = |name| node.handle().states::<Account>(name, Salt::None);
        for name in ["node.", "node.wallet", "node.anything"] {
            let refused = open(name).unwrap_err();
            assert!(matches!(refused, StatesError::Reserved { name: of } if of == name));
        }
        for name in ["node", "nodes.wallet", "my.node.wallet", "Node.wallet"] {
            assert_eq!(open(name).unwrap().1, Opening::New);
        }
        node.stop().await.unwrap();
    }

    #[tokio::test]
    async fn states_in_a_nodes_store_end_with_the_node() {
        // Nobody answers there.
        let peer = "127.0.0.1:1".parse().unwrap();
        let node = Node::builder(Network::Regtest).connect(peer).build().await.unwrap();
        let handle = node.handle();
        let open = || handle.states::<Account>("mine", Salt::None);
        let mut states = open().unwrap().0;
        let account = Account { balance: 5, ..Account::blank([1; 32]) };
        states.seal(BlockHeight(1), [Change::Put(account.clone())], b"").unwrap();
        assert!(matches!(open(), Err(StatesError::AlreadyOpen { .. })));
        assert_eq!(states.get(&[1; 32], BlockHeight(1)), Ok(Some(account)));
        node.stop().await.unwrap();
        let refused = states.seal(BlockHeight(2), [], b"");
        assert!(matches!(refused, Err(StatesError::Store(StoreError::Closed))));
        assert_eq!(states.newest(), Some(BlockHeight(1)));
    }
}

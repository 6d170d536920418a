//! The user's account states, kept in the node's store.

use ironlight_spv::compress::state::{Salt, StateValue};

use super::NodeHandle;
use crate::states::{Opening, StatesError, StoredStates};

impl NodeHandle {
    /// Opens a collection of account states in the node's own store, whose directory nobody else can open
    /// while the node runs; see [`StoredStates::open`]. Blocking, as all that is done with it: off the
    /// async threads. It keeps no directory: once the node is gone, what writes ends with
    /// [`StoreError::Closed`](crate::store::StoreError::Closed). Where a write fails for the disk, the store
    /// stops, and the node with it.
    ///
    /// # Errors
    /// As [`StoredStates::open`].
    pub fn states<V: StateValue>(
        &self,
        name: &str,
        salt_if_new: Salt,
    ) -> Result<(StoredStates<V>, Opening), StatesError> {
        StoredStates::open(&self.parts().store, name, salt_if_new)
    }
}

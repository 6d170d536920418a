//! Account states on disk: what a [`StateCompressor`] holds, in the table `states` of a store, so that
//! no crash loses a height whose [`seal`](StoredStates::seal) has returned.
//!
//! ```
//! use std::sync::Arc;
//!
//! use ironlight::spv::BlockHeight;
//! use ironlight::spv::compress::state::{Account, Change, Salt, StateValue};
//! use ironlight::states::{Opening, StoredStates};
//! use ironlight::store::{MemoryStore, Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // `ironlight::store::open` opens one on disk.
//! let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
//! let salt = Salt::Bytes([7; 32]);
//! let (mut states, _) = StoredStates::open(&store, "accounts", salt)?;
//! let account = Account { balance: 5, ..Account::blank([1; 32]) };
//! let sealed = states.seal(BlockHeight(10), [Change::Put(account)], b"block hash")?;
//! drop(states);
//!
//! let (states, opening) = StoredStates::<Account>::open(&store, "accounts", salt)?;
//! assert_eq!(opening, Opening::Whole);
//! assert_eq!(states.root_at(BlockHeight(10))?, sealed.root);
//! # Ok(())
//! # }
//! ```
//! A collection has a head row, the oldest kept height whole as the base, in pieces, and a row for what
//! each later height changed. Reading goes through the base and applies one row after the other; each
//! proves the root that it names, so what was damaged is found, and the collection ends below it.
//!
//! Invariants: memory and disk change together. A change is made in one commit; where more bytes have
//! to be written than one commit should hold, they are written under a generation that no head names,
//! and the commit of the head is the change. Rows that no head names are removed when the collection is
//! opened, and so that nobody is writing them just then, a collection is open once at a time. All calls
//! block: make them off the async threads.
//!
//! What grows: accounts and heights, both the caller's to bound ([`prune_below`](StoredStates::prune_below));
//! what one height changes ends at [`MAX_BLOCK_BYTES`], but for the first, which may have any size.
//! Opening takes the memory of the states, and of one block's changes as bytes and as values.

mod base;
mod change;
mod check;
mod error;
mod list;
mod load;
mod once;
mod rows;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{
    Change, Export, Salt, StateCompressor, StateError, StateProof, StateValue, Stats,
};

pub use change::remove;
pub use error::{Cut, Fault, Opening, Row, StatesError};
pub use list::{Listed, Summary, list};

use self::base::Sizes;
use self::once::Taken;
use self::rows::{Head, Keys};
use crate::store::Store;

/// How the names of the node's own collections begin.
const RESERVED: &str = "node.";

/// The longest name of a collection, in bytes. Names that begin with `node.` are the node's own:
/// [`NodeHandle::states`](crate::NodeHandle::states) refuses them.
pub const MAX_NAME_BYTES: usize = 32;

/// The longest note of a height, in bytes.
pub const MAX_NOTE_BYTES: usize = 64;

/// The most bytes that the changes of one height may take. A million bytes are some 8,000 accounts that
/// are new, or 20,000 whose balance changed.
pub const MAX_BLOCK_BYTES: usize = 15 * 1024 * 1024;

/// Refuses a name of the node's own.
///
/// # Errors
/// [`StatesError::Reserved`]
pub(crate) fn refuse_reserved(name: &str) -> Result<(), StatesError> {
    if name.starts_with(RESERVED) {
        Err(StatesError::Reserved { name: name.to_owned() })
    } else {
        Ok(())
    }
}

/// What was imported, and has not been proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The height, to which no root commits: whoever names the true root has to name it, too.
    pub height: BlockHeight,
    /// The root.
    pub root: [u8; 32],
}

/// Accounts at all sealed heights, in memory and in a store. See the [module](self).
///
/// One at a time has a collection open, until it is dropped: another [`open`](Self::open) is refused.
pub struct StoredStates<V> {
    _taken: Taken,
    store: Arc<dyn Store>,
    keys: Keys,
    /// As it is in the store.
    head: Head,
    states: StateCompressor<V>,
    /// Of every sealed height.
    notes: Notes,
    sizes: Sizes,
}

type Notes = BTreeMap<BlockHeight, Vec<u8>>;

impl<V> fmt::Debug for StoredStates<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredStates").field("head", &self.head).finish_non_exhaustive()
    }
}

impl<V: StateValue> StoredStates<V> {
    /// Opens the collection of this name, or begins it. The salt is that of a new one; one that is there
    /// keeps its own. Every root is proved again.
    ///
    /// Where a row of changes is damaged or missing, the heights from there on are taken out of the store,
    /// and [`Opening::Cut`] says so.
    ///
    /// # Errors
    /// [`StatesError::Lost`] where the head or the base is damaged: nothing is changed then, and
    /// [`remove`] makes room for a new collection. [`StatesError::AlreadyOpen`], whichever way to the same
    /// database was taken; [`StatesError::OtherKind`], [`StatesError::Name`], or the store's own failure.
    pub fn open(
        store: &Arc<dyn Store>,
        name: &str,
        salt_if_new: Salt,
    ) -> Result<(Self, Opening), StatesError> {
        load::open(store, name, salt_if_new, Sizes::default())
    }

    /// The collection's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.keys.name()
    }

    /// How keys are placed.
    #[must_use]
    pub const fn salt(&self) -> Salt {
        self.states.salt()
    }

    /// What was imported and has not been proven, if there is such a thing: all heights rest on it.
    #[must_use]
    pub const fn claim(&self) -> Option<Claim> {
        self.head.claim
    }

    /// The newest sealed height.
    #[must_use]
    pub fn newest(&self) -> Option<BlockHeight> {
        self.states.newest()
    }

    /// The oldest height that can be asked.
    #[must_use]
    pub fn oldest(&self) -> Option<BlockHeight> {
        self.states.oldest()
    }

    /// Every sealed height that is kept, with its note, ascending.
    pub fn sealed(&self) -> impl DoubleEndedIterator<Item = (BlockHeight, &[u8])> {
        self.notes.iter().map(|(height, note)| (*height, note.as_slice()))
    }

    /// The root at a height: that of the last seal at or below it.
    ///
    /// # Errors
    /// [`StateError`] where the height is not known.
    pub fn root_at(&self, height: BlockHeight) -> Result<[u8; 32], StateError> {
        self.states.root(height)
    }

    /// The note of the last seal at or below a height.
    ///
    /// # Errors
    /// [`StateError`] where the height is not known.
    pub fn note_at(&self, height: BlockHeight) -> Result<&[u8], StateError> {
        let sealed = self.sealed_at(height)?;
        Ok(self.notes.get(&sealed).map_or(&[], Vec::as_slice))
    }

    /// The last sealed height at or below this one.
    fn sealed_at(&self, height: BlockHeight) -> Result<BlockHeight, StateError> {
        // The states know which heights can be asked, and why not.
        self.states.root(height)?;
        let below = self.notes.range(..=height).next_back();
        below.map(|(sealed, _)| *sealed).ok_or(StateError::NotSealed { height })
    }

    /// An account at a height: as the last seal at or below it left it.
    ///
    /// # Errors
    /// [`StateError`] where the height is not known.
    pub fn get(&self, key: &[u8; 32], height: BlockHeight) -> Result<Option<V>, StateError> {
        self.states.get(key, height)
    }

    /// All accounts at a height, in the order of their places, which the salt decides. After an error
    /// nothing more is of use.
    ///
    /// # Errors
    /// [`StateError`] where the height is not known; [`StateError::Damaged`] in place of an account.
    pub fn values(
        &self,
        height: BlockHeight,
    ) -> Result<impl Iterator<Item = Result<V, StateError>> + use<'_, V>, StateError> {
        self.states.values(height)
    }

    /// A proof that an account is in the state at a height as [`get`](Self::get) says, or that it is
    /// not.
    ///
    /// # Errors
    /// [`StateError`] where the height is not known.
    pub fn prove(&self, key: &[u8; 32], height: BlockHeight) -> Result<StateProof<V>, StateError> {
        self.states.prove(key, height)
    }

    /// The changes that make the state at one height of that at another, in any order of the two.
    ///
    /// # Errors
    /// [`StateError`] where a height is not known.
    pub fn diff(&self, from: BlockHeight, to: BlockHeight) -> Result<Vec<Change<V>>, StateError> {
        self.states.diff(from, to)
    }

    /// One height as bytes that any machine can check, in pieces: the last seal at or below it.
    ///
    /// # Errors
    /// [`StateError`] where the height is not known.
    pub fn export(&self, height: BlockHeight) -> Result<Export<'_, V>, StateError> {
        self.states.export(height)
    }

    /// How many accounts there are at a height.
    ///
    /// # Errors
    /// [`StateError`] where the height is not known.
    pub fn accounts(&self, height: BlockHeight) -> Result<u32, StateError> {
        self.states.accounts(height)
    }

    /// The states by themselves, as they are in memory.
    #[cfg(feature = "wallet")]
    pub(crate) const fn compressor(&self) -> &StateCompressor<V> {
        &self.states
    }

    /// What is held in memory, and what full copies would take.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.states.stats()
    }
}

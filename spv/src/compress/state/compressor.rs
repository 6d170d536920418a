//! Blocks of changes go in, states come out.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::audit;
use super::changes::Change;
use super::error::StateError;
use super::export::Export;
use super::hash::Salt;
use super::import::{ImportError, Importer};
use super::proof::StateProof;
use super::snapshot::{Sealed, Snapshot};
use super::tree::{Leaves, Tree};
use super::update::{Placed, update};
use super::value::{LARGEST, StateValue};
use crate::header::BlockHeight;

/// The accounts at all sealed heights, and the changes of the block that is open.
#[derive(Clone, Debug)]
pub struct StateCompressor<V> {
    pub(super) tree: Tree,
    /// By place.
    pub(super) open: BTreeMap<[u8; 32], Change<V>>,
    /// Ascending by height.
    pub(super) snapshots: Vec<Snapshot>,
    /// Whether the oldest snapshot was made of nothing, so that all before it is known: no accounts.
    pub(super) from_nothing: bool,
}

impl<V: StateValue> StateCompressor<V> {
    /// No accounts and no heights.
    #[must_use]
    pub fn new(salt: Salt) -> Self {
        const { assert!(V::MAX_LEN <= LARGEST, "a kind of values must be small") }
        Self {
            tree: Tree::new(salt),
            open: BTreeMap::new(),
            snapshots: Vec::new(),
            from_nothing: true,
        }
    }

    pub(super) fn imported(tree: Tree, snapshot: Snapshot) -> Self {
        Self {
            tree,
            snapshots: Vec::from([snapshot]),
            from_nothing: false,
            ..Self::new(Salt::None)
        }
    }

    /// How keys are placed.
    #[must_use]
    pub const fn salt(&self) -> Salt {
        self.tree.salt
    }

    /// Inserts an account into the open block, or replaces the one with its key.
    pub fn put(&mut self, value: V) {
        self.open.insert(self.tree.salt.place(value.key()), Change::Put(value));
    }

    /// Removes an account in the open block; no matter if it is not there.
    pub fn remove(&mut self, key: &[u8; 32]) {
        self.open.insert(self.tree.salt.place(key), Change::Remove(*key));
    }

    /// Forgets the changes of the open block.
    pub fn discard(&mut self) {
        self.open.clear();
    }

    /// Makes the changes of the open block the state at a height.
    ///
    /// # Errors
    /// [`StateError`]; the block is open still, and nothing is sealed.
    pub fn seal(&mut self, height: BlockHeight) -> Result<Sealed, StateError> {
        let before = self.snapshots.last().copied().unwrap_or(Snapshot::NOTHING);
        self.check_ascending(height)?;
        let changes: Vec<Placed<'_, V>> =
            self.open.iter().map(|(place, change)| (*place, change)).collect();
        let updated = update(&mut self.tree, before.top, &changes);
        let updated = updated.and_then(|updated| Ok((updated, self.tree.root(updated.top)?)));
        let (updated, root) = match updated {
            Ok(done) => done,
            Err(error) => {
                self.cut_off();
                return Err(error);
            }
        };
        let accounts = before.accounts + updated.inserted - updated.removed;
        self.snapshots.push(Snapshot {
            height,
            top: updated.top,
            root,
            accounts,
            nodes_end: self.tree.nodes.len(),
            values_end: self.tree.values.end(),
        });
        self.open.clear();
        Ok(Sealed { height, root, accounts, changes: updated.effective })
    }

    pub(super) fn check_ascending(&self, height: BlockHeight) -> Result<(), StateError> {
        match self.newest() {
            Some(newest) if newest >= height => Err(StateError::NotAscending { height, newest }),
            Some(_) | None => Ok(()),
        }
    }

    /// Cuts off what no sealed height has.
    pub(super) fn cut_off(&mut self) {
        let last = self.snapshots.last().copied().unwrap_or(Snapshot::NOTHING);
        self.tree.nodes.truncate(last.nodes_end);
        self.tree.values.truncate(last.values_end);
    }

    /// The newest sealed height.
    #[must_use]
    pub fn newest(&self) -> Option<BlockHeight> {
        self.snapshots.last().map(|snapshot| snapshot.height)
    }

    /// The oldest height that can be asked.
    #[must_use]
    pub fn oldest(&self) -> Option<BlockHeight> {
        self.snapshots.first().map(|snapshot| snapshot.height)
    }

    /// The sealed height at or below this one, with its place in the list.
    pub(super) fn snapshot(&self, height: BlockHeight) -> Result<(usize, &Snapshot), StateError> {
        let (Some(oldest), Some(newest)) = (self.oldest(), self.newest()) else {
            return Err(StateError::NothingSealed);
        };
        if height > newest {
            return Err(StateError::AboveNewest { height, newest });
        }
        let after = self.snapshots.partition_point(|snapshot| snapshot.height <= height);
        let found = after.checked_sub(1).and_then(|at| Some((at, self.snapshots.get(at)?)));
        found.ok_or(StateError::BelowOldest { height, oldest })
    }

    /// The root at a height: that of the last seal at or below it.
    ///
    /// # Errors
    /// [`StateError`] where the height is not known.
    pub fn root(&self, height: BlockHeight) -> Result<[u8; 32], StateError> {
        self.snapshot(height).map(|(_, snapshot)| snapshot.root)
    }

    /// How many accounts there are at a height.
    ///
    /// # Errors
    /// [`StateError`] where the height is not known.
    pub fn accounts(&self, height: BlockHeight) -> Result<u32, StateError> {
        self.snapshot(height).map(|(_, snapshot)| snapshot.accounts)
    }

    /// An account at a height: as the last seal at or below it left it.
    ///
    /// # Errors
    /// [`StateError`] where the height is not known.
    pub fn get(&self, key: &[u8; 32], height: BlockHeight) -> Result<Option<V>, StateError> {
        let (_, snapshot) = self.snapshot(height)?;
        Ok(self.tree.get(snapshot.top, key)?)
    }

    /// An account with the changes of the open block.
    ///
    /// # Errors
    /// [`StateError::Damaged`].
    pub fn get_open(&self, key: &[u8; 32]) -> Result<Option<V>, StateError> {
        match self.open.get(&self.tree.salt.place(key)) {
            Some(Change::Put(value)) => Ok(Some(value.clone())),
            Some(Change::Remove(_)) => Ok(None),
            None => {
                let top = self.snapshots.last().and_then(|snapshot| snapshot.top);
                Ok(self.tree.get(top, key)?)
            }
        }
    }

    /// A proof that an account is in the state at a height as [`get`](Self::get) says, or that it
    /// is not.
    ///
    /// # Errors
    /// [`StateError`] where the height is not known.
    pub fn prove(&self, key: &[u8; 32], height: BlockHeight) -> Result<StateProof<V>, StateError> {
        let (_, snapshot) = self.snapshot(height)?;
        Ok(StateProof::new(&self.tree, snapshot.top, key)?)
    }

    /// All accounts at a height, ascending by place. After an error nothing more is of use.
    ///
    /// # Errors
    /// [`StateError`] where the height is not known; [`StateError::Damaged`] in place of an account.
    pub fn values(
        &self,
        height: BlockHeight,
    ) -> Result<impl Iterator<Item = Result<V, StateError>> + use<'_, V>, StateError> {
        let mut leaves = Leaves::new(self.snapshot(height)?.1.top);
        Ok(core::iter::from_fn(move || match leaves.next(&self.tree.nodes) {
            Ok(leaf) => leaf.map(|leaf| Ok(self.tree.value(leaf)?)),
            Err(damaged) => Some(Err(damaged.into())),
        }))
    }

    /// One height as bytes, in pieces: the last seal at or below it.
    ///
    /// # Errors
    /// [`StateError`] where the height is not known.
    pub fn export(&self, height: BlockHeight) -> Result<Export<'_, V>, StateError> {
        Ok(Export::new(&self.tree, self.snapshot(height)?.1))
    }

    /// The state of an export of at most so many accounts; see [`Importer`] for pieces.
    ///
    /// # Errors
    /// [`ImportError`], naming the place.
    pub fn import(bytes: &[u8], limit: u32) -> Result<Self, ImportError> {
        let mut importer = Importer::new(limit);
        importer.push(bytes)?;
        importer.finish()
    }

    /// Recomputes every hash, shape and count in memory.
    ///
    /// # Errors
    /// [`StateError::Damaged`] with the first node that is not as it should be.
    pub fn verify(&self) -> Result<(), StateError> {
        audit::audit::<V>(&self.tree, &self.snapshots)
    }
}

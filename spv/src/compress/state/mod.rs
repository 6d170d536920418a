//! Compressed states: the accounts at many heights, each height with a root that proves its
//! accounts, in little more memory than one height takes plainly.
//!
//! [`StateCompressor`] takes the changes of a block and seals them at its height. All sealed
//! heights can be asked ([`get`](StateCompressor::get)), prove
//! ([`prove`](StateCompressor::prove)), be compared ([`diff`](StateCompressor::diff)), rolled back
//! and forgotten. What a height shares with the one before is held once: nodes of the tree by
//! reference, and of a changed account the fields that changed.
//!
//! ```
//! use ironlight_spv::BlockHeight;
//! use ironlight_spv::compress::state::{Account, Salt, StateCompressor, StateValue, Verdict};
//!
//! let salt = Salt::Bytes([7; 32]);
//! let mut states = StateCompressor::new(salt);
//! states.put(Account { balance: 5, ..Account::blank([1; 32]) });
//! let first = states.seal(BlockHeight(10))?;
//! states.put(Account { balance: 3, nonce: 1, ..Account::blank([1; 32]) });
//! states.put(Account { balance: 2, ..Account::blank([2; 32]) });
//! states.seal(BlockHeight(11))?;
//!
//! assert_eq!(states.get(&[1; 32], BlockHeight(10))?.map(|account| account.balance), Some(5));
//! let proof = states.prove(&[2; 32], BlockHeight(10))?;
//! assert_eq!(proof.verify(&first.root, &[2; 32], &salt), Ok(Verdict::Absent));
//! # Ok::<(), ironlight_spv::compress::state::StateError>(())
//! ```
//! Invariant: the root follows from the accounts alone, not from their history; and a refused
//! block, a refused change set and a refused import leave everything as it was. What an attacker
//! can grow: the accounts of the open block and of sealed ones are the caller's to bound; nodes end
//! at 2^27, with a typed error; a path at 256 steps; all that is decoded is bounded before memory
//! is reserved for it.

mod arena;
mod audit;
mod changes;
mod diff;
mod error;
mod export;
mod hash;
mod import;
mod input;
mod proof;
mod prune;
mod snapshot;
mod tree;
mod update;
mod value;

#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

pub use changes::{ApplyError, Change, ChangeSet};
pub use error::{Damaged, DecodeError, Full, StateError};
pub use export::{Export, PIECE};
pub use hash::{EMPTY_ROOT, Salt};
pub use import::{ImportError, Importer};
pub use proof::{ProofError, StateProof, Verdict};
pub use snapshot::Sealed;
pub use value::{Account, LARGEST, StateValue, ValueError, WalletAccount};

use crate::header::BlockHeight;
use snapshot::Snapshot;
use tree::Tree;
use update::{Placed, update};

/// The accounts at all sealed heights, and the changes of the block that is open.
#[derive(Clone, Debug)]
pub struct StateCompressor<V> {
    tree: Tree,
    /// By place.
    open: BTreeMap<[u8; 32], Change<V>>,
    /// Ascending by height.
    snapshots: Vec<Snapshot>,
    /// Whether the oldest snapshot was made of nothing, so that all before it is known: no accounts.
    from_nothing: bool,
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

    fn imported(tree: Tree, snapshot: Snapshot) -> Self {
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

    fn check_ascending(&self, height: BlockHeight) -> Result<(), StateError> {
        match self.newest() {
            Some(newest) if newest >= height => Err(StateError::NotAscending { height, newest }),
            Some(_) | None => Ok(()),
        }
    }

    /// Cuts off what no sealed height has.
    fn cut_off(&mut self) {
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
    fn snapshot(&self, height: BlockHeight) -> Result<(usize, &Snapshot), StateError> {
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

    /// The changes that make the state at one height of that at another, ascending by place. The
    /// heights may be in any order.
    ///
    /// # Errors
    /// [`StateError`] where a height is not known.
    pub fn diff(&self, from: BlockHeight, to: BlockHeight) -> Result<Vec<Change<V>>, StateError> {
        let (from, to) = (self.snapshot(from)?.1.top, self.snapshot(to)?.1.top);
        Ok(diff::diff(&self.tree, from, to)?)
    }

    /// What the block sealed at exactly this height changed.
    ///
    /// # Errors
    /// [`StateError`] where nothing was sealed there, or what was before is forgotten.
    pub fn changes(&self, height: BlockHeight) -> Result<ChangeSet<V>, StateError> {
        let (at, sealed) = self.snapshot(height)?;
        if sealed.height != height {
            return Err(StateError::NotSealed { height });
        }
        let before = match at.checked_sub(1).and_then(|before| self.snapshots.get(before)) {
            Some(before) => before,
            None if self.from_nothing => &Snapshot::NOTHING,
            None => return Err(StateError::BelowOldest { height, oldest: sealed.height }),
        };
        let changes = diff::diff(&self.tree, before.top, sealed.top)?;
        Ok(ChangeSet { height, previous: before.root, root: sealed.root, changes })
    }

    /// Seals the changes of a block that was sealed elsewhere or before.
    ///
    /// # Errors
    /// [`ApplyError`] where they are not of this state or do not give the root that they name;
    /// everything is as it was then.
    pub fn apply(&mut self, set: ChangeSet<V>) -> Result<Sealed, ApplyError> {
        if !self.open.is_empty() {
            return Err(ApplyError::OpenChanges { count: self.open.len() });
        }
        let expected = self.snapshots.last().map_or(EMPTY_ROOT, |snapshot| snapshot.root);
        if set.previous != expected {
            return Err(ApplyError::WrongPrevious { expected, got: set.previous });
        }
        self.check_ascending(set.height)?;
        let count = set.changes.len();
        let sealed = self.open_all(set.changes).and_then(|()| Ok(self.seal(set.height)?));
        self.open.clear();
        let sealed = sealed?;
        let effective = usize::try_from(sealed.changes).unwrap_or(usize::MAX);
        let refused = if sealed.root != set.root {
            ApplyError::WrongRoot { expected: set.root, got: sealed.root }
        } else if effective != count {
            ApplyError::WithoutEffect { count: count.saturating_sub(effective) }
        } else {
            return Ok(sealed);
        };
        self.snapshots.pop();
        self.cut_off();
        Err(refused)
    }

    fn open_all(&mut self, changes: Vec<Change<V>>) -> Result<(), ApplyError> {
        for (index, change) in changes.into_iter().enumerate() {
            let place = self.tree.salt.place(change.key());
            if self.open.last_key_value().is_some_and(|(last, _)| *last >= place) {
                return Err(ApplyError::NotAscending { index });
            }
            self.open.insert(place, change);
        }
        Ok(())
    }

    /// Forgets all seals above a height, and the open block: a reorganisation of the chain.
    ///
    /// # Errors
    /// [`StateError`] where the height is not known; nothing is forgotten then.
    pub fn rollback(&mut self, to: BlockHeight) -> Result<(), StateError> {
        let (at, _) = self.snapshot(to)?;
        self.snapshots.truncate(at + 1);
        self.open.clear();
        self.cut_off();
        Ok(())
    }

    /// Forgets the states that no height from this one on has. The last seal at or below it stays,
    /// and so does the newest. Memory is given back once a quarter of it is of no use, so that
    /// pruning after each block costs little.
    ///
    /// # Errors
    /// [`StateError::Damaged`], with nothing lost.
    pub fn prune_below(&mut self, height: BlockHeight) -> Result<(), StateError> {
        let after = self.snapshots.partition_point(|snapshot| snapshot.height <= height);
        self.forget(after.saturating_sub(1))
    }

    /// Forgets all but so many of the newest seals; the newest stays in any case.
    ///
    /// # Errors
    /// [`StateError::Damaged`], with nothing lost.
    pub fn keep_last(&mut self, count: usize) -> Result<(), StateError> {
        self.forget(self.snapshots.len().saturating_sub(count.max(1)))
    }

    fn forget(&mut self, oldest: usize) -> Result<(), StateError> {
        if oldest == 0 {
            return Ok(());
        }
        self.snapshots.drain(..oldest.min(self.snapshots.len()));
        self.from_nothing = false;
        let nodes = self.tree.nodes.len();
        let needed = self.snapshots.first().map_or(0, |oldest| {
            oldest.tree_nodes().saturating_add(nodes.saturating_sub(oldest.nodes_end))
        });
        let unused = nodes.saturating_sub(needed);
        if unused > nodes / 4 { self.compact() } else { Ok(()) }
    }

    /// Gives back all memory that no sealed height needs. For a while both are held.
    ///
    /// # Errors
    /// [`StateError::Damaged`], with nothing lost.
    pub fn compact(&mut self) -> Result<(), StateError> {
        (self.tree, self.snapshots) = prune::compact::<V>(&self.tree, &self.snapshots)?;
        Ok(())
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

    /// What is held, and what full copies would take.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let plain = u64::try_from(V::PLAIN_LEN).unwrap_or(u64::MAX);
        let accounts = |snapshot: &Snapshot| u64::from(snapshot.accounts);
        let open = self.open.len() * (size_of::<Change<V>>() + 32);
        let held = self.tree.nodes.bytes_held()
            + self.tree.values.bytes_held()
            + self.snapshots.capacity() * size_of::<Snapshot>()
            + open;
        Stats {
            accounts: self.snapshots.last().map_or(0, |newest| newest.accounts),
            nodes: self.tree.nodes.len(),
            snapshots: self.snapshots.len(),
            plain_bytes: self.snapshots.iter().map(accounts).sum::<u64>().saturating_mul(plain),
            held_bytes: u64::try_from(held).unwrap_or(u64::MAX),
        }
    }
}

/// What a [`StateCompressor`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Accounts at the newest height.
    pub accounts: u32,
    /// Nodes of all heights.
    pub nodes: u32,
    /// Heights that are kept.
    pub snapshots: usize,
    /// What a plain copy of each height would take.
    pub plain_bytes: u64,
    /// What all of it takes here; the open block's by estimate.
    pub held_bytes: u64,
}

impl Stats {
    /// What is held, in thousandths of what plain copies would take.
    #[must_use]
    pub const fn per_mille(&self) -> u64 {
        match self.held_bytes.saturating_mul(1_000).checked_div(self.plain_bytes) {
            Some(per_mille) => per_mille,
            None => 0,
        }
    }
}

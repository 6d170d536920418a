//! Between heights: what changed, the changes of blocks sealed elsewhere, and forgetting.

use alloc::vec::Vec;

use super::changes::{ApplyError, Change, ChangeSet};
use super::compressor::StateCompressor;
use super::error::StateError;
use super::hash::EMPTY_ROOT;
use super::snapshot::{Sealed, Snapshot};
use super::value::StateValue;
use super::{diff, prune};
use crate::header::BlockHeight;

impl<V: StateValue> StateCompressor<V> {
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
    /// [`StateError::Damaged`]; the heights that are kept stay as they were.
    pub fn prune_below(&mut self, height: BlockHeight) -> Result<(), StateError> {
        let after = self.snapshots.partition_point(|snapshot| snapshot.height <= height);
        self.forget(after.saturating_sub(1))
    }

    /// Forgets all but so many of the newest seals; the newest stays in any case.
    ///
    /// # Errors
    /// [`StateError::Damaged`]; the heights that are kept stay as they were.
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
    /// [`StateError::Damaged`]; the heights that are kept stay as they were.
    pub fn compact(&mut self) -> Result<(), StateError> {
        (self.tree, self.snapshots) = prune::compact(&self.tree, &self.snapshots)?;
        Ok(())
    }
}

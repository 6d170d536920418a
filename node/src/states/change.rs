//! What changes a collection: planned, committed, applied.
//!
//! Each change ends with one commit of the head, which decides. What fails before it leaves memory
//! and the named rows as they were.

use std::ops::ControlFlow;

use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{
    Change, Importer, Sealed, StateCompressor, StateError, StateValue,
};

use super::base::{self, Sizes};
use super::error::{Row, StatesError};
use super::once::Taken;
use super::rows::{Base, Block, Head, Keys};
use super::{Claim, MAX_BLOCK_BYTES, MAX_NOTE_BYTES, Notes, StoredStates};
use crate::store::{Store, Table, WriteBatch, checksum};

impl<V: StateValue> StoredStates<V> {
    /// Makes changes the state at a height, with a note of the caller's, such as the block's hash. Of
    /// several changes of one key the last counts. On disk when it returns.
    ///
    /// A later height is one commit. The first height is written whole, in several, of which the last
    /// counts.
    ///
    /// # Errors
    /// [`StatesError`], such as for a height that is not above the newest, or more than
    /// [`MAX_BLOCK_BYTES`] of changes. Nothing is sealed then.
    pub fn seal(
        &mut self,
        height: BlockHeight,
        changes: impl IntoIterator<Item = Change<V>>,
        note: &[u8],
    ) -> Result<Sealed, StatesError> {
        check_note(note)?;
        let before = self.states.newest();
        for change in changes {
            match change {
                Change::Put(value) => self.states.put(value),
                Change::Remove(key) => self.states.remove(&key),
            }
        }
        let sealed = match self.states.seal(height) {
            Ok(sealed) => sealed,
            Err(error) => {
                self.states.discard();
                return Err(error.into());
            }
        };
        let kept = match before {
            Some(previous) => self.keep_block(previous, height, note),
            None => self.keep_first(height, note),
        };
        match kept {
            Ok(()) => {
                self.notes.insert(height, note.to_vec());
                Ok(sealed)
            }
            Err(error) => {
                self.unseal(before)?;
                Err(error)
            }
        }
    }

    /// Takes the height that was sealed last out of memory.
    fn unseal(&mut self, before: Option<BlockHeight>) -> Result<(), StateError> {
        match before {
            Some(before) => self.states.rollback(before),
            None => {
                self.states = StateCompressor::new(self.states.salt());
                Ok(())
            }
        }
    }

    fn keep_block(
        &mut self,
        previous: BlockHeight,
        height: BlockHeight,
        note: &[u8],
    ) -> Result<(), StatesError> {
        let changes = self.states.changes(height)?.encode();
        if changes.len() > MAX_BLOCK_BYTES {
            return Err(StatesError::BlockTooLarge { height, bytes: changes.len() });
        }
        let block = Block { previous, note, changes: &changes };
        let mut batch = WriteBatch::new();
        self.keys.put(&mut batch, Row::Changes { height }, &block.encode());
        self.change_head(self.head_up_to(height), batch)
    }

    fn keep_first(&mut self, height: BlockHeight, note: &[u8]) -> Result<(), StatesError> {
        let head = self.rebased(&self.states, height, note)?;
        self.change_head(head, WriteBatch::new())
    }

    /// The head with another newest height.
    pub(super) fn head_up_to(&self, newest: BlockHeight) -> Head {
        let base = self.head.base.clone().map(|base| Base { newest, ..base });
        Head { base, ..self.head.clone() }
    }

    /// Writes one height as the base of the next generation, and gives back the head that names it,
    /// with this height alone.
    fn rebased(
        &self,
        states: &StateCompressor<V>,
        height: BlockHeight,
        note: &[u8],
    ) -> Result<Head, StatesError> {
        let generation = self.head.generation.saturating_add(1);
        let commit = |batch| self.commit(batch);
        let pieces = base::write(&self.keys, (states, height), generation, self.sizes, commit)?;
        let base = Base { pieces, oldest: height, newest: height, note: note.to_vec() };
        let (salt, base) = (states.salt(), Some(base));
        Ok(Head { salt, generation, base, ..self.head.clone() })
    }

    /// Forgets all seals above a height: a reorganisation of the chain. The last seal at or below the
    /// height is the newest then.
    ///
    /// However many seals it forgets, it is one commit, with one deletion of about 110 bytes in memory for
    /// each. What bounds it is how many heights are kept ([`prune_below`](Self::prune_below)).
    ///
    /// # Errors
    /// [`StatesError`], such as for a height below the oldest. Nothing is forgotten then.
    pub fn rollback(&mut self, to: BlockHeight) -> Result<(), StatesError> {
        let newest = self.sealed_at(to)?;
        if self.newest() == Some(newest) {
            return Ok(());
        }
        let mut batch = WriteBatch::new();
        for (height, _) in self.sealed().rev().take_while(|(height, _)| *height > newest) {
            self.keys.delete(&mut batch, Row::Changes { height });
        }
        self.change_head(self.head_up_to(newest), batch)?;
        self.notes.retain(|height, _| *height <= newest);
        Ok(self.states.rollback(newest)?)
    }

    /// Forgets the states that no height from this one on has. The last seal at or below it stays, and
    /// so does the newest. The oldest height that stays is written whole: prune now and then, not with
    /// each block.
    ///
    /// # Errors
    /// [`StatesError`]. Either nothing is forgotten, or, where the rows that are of no use any more could
    /// not be deleted, all is done but that, and the next opening does it; [`oldest`](Self::oldest) tells.
    pub fn prune_below(&mut self, height: BlockHeight) -> Result<(), StatesError> {
        let Some((oldest, note)) = self.notes.range(..=height).next_back() else {
            return Ok(());
        };
        let (oldest, note) = (*oldest, note.clone());
        if self.oldest() == Some(oldest) {
            return Ok(());
        }
        let mut head = self.rebased(&self.states, oldest, &note)?;
        if let (Some(base), Some(newest)) = (&mut head.base, self.newest()) {
            base.newest = newest;
        }
        let mut old = self.base_keys();
        self.change_head(head, WriteBatch::new())?;
        let kept = self.notes.split_off(&oldest);
        let gone = std::mem::replace(&mut self.notes, kept);
        let pruned = self.states.prune_below(oldest);
        let changes = gone.into_keys().chain([oldest]).map(|height| Row::Changes { height });
        old.extend(changes.map(|row| self.keys.key(row)));
        base::delete(old, self.sizes, |batch| self.commit(batch))?;
        Ok(pruned?)
    }

    /// Puts the height of an export in the place of all that is held, its salt included. It is a claim
    /// until [`mark_proven`](Self::mark_proven), over restarts. For a while both are in memory. The commit
    /// that decides has one deletion for each height that was kept, as that of
    /// [`rollback`](Self::rollback) has.
    ///
    /// # Errors
    /// [`StatesError`], such as for an export that is not whole. What is held stays then; as with
    /// [`prune_below`](Self::prune_below), an error may come after all is done but deleting old rows.
    pub fn import(&mut self, importer: Importer<V>, note: &[u8]) -> Result<Sealed, StatesError> {
        check_note(note)?;
        let states = importer.finish()?;
        let height = states.newest().ok_or(StateError::NothingSealed)?;
        let (root, accounts) = (states.root(height)?, states.accounts(height)?);
        let mut head = self.rebased(&states, height, note)?;
        head.claim = Some(Claim { height, root });
        // In the same commit: on the new base these would look like damage.
        let mut batch = WriteBatch::new();
        for (height, _) in self.sealed() {
            self.keys.delete(&mut batch, Row::Changes { height });
        }
        let old = self.base_keys();
        self.change_head(head, batch)?;
        self.states = states;
        self.notes = Notes::from([(height, note.to_vec())]);
        base::delete(old, self.sizes, |batch| self.commit(batch))?;
        Ok(Sealed { height, root, accounts, changes: accounts })
    }

    /// Takes the claim off what was imported: somebody trusted has named this root for its height
    /// ([`claim`](Self::claim)). On disk when it returns.
    ///
    /// # Errors
    /// [`StatesError::OtherRoot`], [`StatesError::NotClaimed`], or the store's failure. The claim stays
    /// then.
    pub fn mark_proven(&mut self, root: &[u8; 32]) -> Result<(), StatesError> {
        let Some(claim) = self.head.claim else {
            return Err(StatesError::NotClaimed { name: self.name().to_owned() });
        };
        if claim.root != *root {
            return Err(StatesError::OtherRoot { claimed: claim.root, proven: *root });
        }
        self.change_head(Head { claim: None, ..self.head.clone() }, WriteBatch::new())
    }

    /// The keys of the rows that the base has now.
    fn base_keys(&self) -> Vec<Vec<u8>> {
        base::rows(&self.head).map(|row| self.keys.key(row)).collect()
    }

    /// Commits a batch with a new head.
    pub(super) fn change_head(
        &mut self,
        head: Head,
        mut batch: WriteBatch,
    ) -> Result<(), StatesError> {
        self.keys.put(&mut batch, Row::Head, &head.encode());
        self.commit(batch)?;
        self.head = head;
        Ok(())
    }

    /// Commits a batch where the head is the one that is known here.
    pub(super) fn commit(&self, batch: WriteBatch) -> Result<(), StatesError> {
        let key = self.keys.key(Row::Head);
        let known = checksum::seal(Table::States, &key, &self.head.encode());
        if self.store.get(Table::States, &key)? != Some(known) {
            return Err(StatesError::ChangedElsewhere { name: self.name().to_owned() });
        }
        Ok(self.store.commit(batch)?)
    }
}

const fn check_note(note: &[u8]) -> Result<(), StatesError> {
    match note.len() {
        0..=MAX_NOTE_BYTES => Ok(()),
        bytes => Err(StatesError::NoteTooLong { bytes }),
    }
}

/// Removes a collection, damaged or not; nothing is done where there is none.
///
/// The rows go in several commits, the head last. What is interrupted leaves a collection that is lost
/// ([`StatesError::Lost`]) and can be removed again.
///
/// # Errors
/// [`StatesError::AlreadyOpen`] where somebody has it open, [`StatesError::Name`], or the store's failure.
pub fn remove(store: &dyn Store, name: &str) -> Result<(), StatesError> {
    let keys = Keys::new(name)?;
    let _taken = Taken::new(store.identity(), &keys)?;
    let mut found = Vec::new();
    store.scan(Table::States, keys.prefix(), &mut |key, _| {
        if !key.starts_with(keys.prefix()) {
            return ControlFlow::Break(());
        }
        found.push(key.to_vec());
        ControlFlow::Continue(())
    })?;
    // In the order of the keys the head is behind all others.
    base::delete(found, Sizes::default(), |batch| Ok(store.commit(batch)?))
}

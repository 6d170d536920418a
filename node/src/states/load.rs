//! Reads a collection, and believes none of it.
//!
//! One scan meets the rows in the order in which they are needed: the pieces of the base, then what
//! each height changed. What the head does not name is left over from a change that was interrupted.

use std::ops::ControlFlow;
use std::sync::Arc;

use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{ChangeSet, Importer, Salt, StateCompressor, StateValue};

use super::base::{self, Sizes};
use super::error::{Cut, Fault, Opening, Row, StatesError};
use super::once::Taken;
use super::rows::{Block, Head, Keys};
use super::{Notes, StoredStates};
use crate::store::{Store, StoreError, StoreIdentity, Table, WriteBatch, checksum};

pub(super) fn open<V: StateValue>(
    store: &Arc<dyn Store>,
    name: &str,
    salt_if_new: Salt,
    sizes: Sizes,
) -> Result<(StoredStates<V>, Opening), StatesError> {
    let keys = Keys::new(name)?;
    let taken = Taken::new(StoreIdentity::of(store), &keys)?;
    let Some(head) = read_head(store.as_ref(), &keys)? else {
        let head =
            Head { kind: V::KIND, salt: salt_if_new, generation: 0, base: None, claim: None };
        let mut batch = WriteBatch::new();
        keys.put(&mut batch, Row::Head, &head.encode());
        store.commit(batch)?;
        let (states, notes) = (StateCompressor::new(salt_if_new), Notes::new());
        let store = Arc::clone(store);
        let new = StoredStates { _taken: taken, store, keys, head, states, notes, sizes };
        return Ok((new, Opening::New));
    };
    if head.kind != V::KIND {
        let (name, found) = (name.to_owned(), head.kind);
        return Err(StatesError::OtherKind { name, found, wanted: V::KIND });
    }
    let Loaded { states, notes, cut, left_over } = load(store.as_ref(), &keys, &head)?;
    let store = Arc::clone(store);
    let mut opened = StoredStates { _taken: taken, store, keys, head, states, notes, sizes };
    if let Some(cut) = &cut {
        opened.change_head(opened.head_up_to(cut.newest), WriteBatch::new())?;
    }
    base::delete(left_over, sizes, |batch| opened.commit(batch))?;
    Ok((opened, cut.map_or(Opening::Whole, Opening::Cut)))
}

/// The head; none where the collection has no rows at all.
fn read_head(store: &dyn Store, keys: &Keys) -> Result<Option<Head>, StatesError> {
    let fault = match head(store, keys)? {
        Ok(head) => return Ok(Some(head)),
        Err(fault) => fault,
    };
    if fault == Fault::Missing {
        let mut rows = false;
        store.scan(Table::States, keys.prefix(), &mut |key, _| {
            rows = keys.row(key).is_some();
            ControlFlow::Break(())
        })?;
        if !rows {
            return Ok(None);
        }
    }
    Err(StatesError::Lost { name: keys.name().to_owned(), row: Row::Head, fault })
}

/// The head row, or what is wrong with it.
pub(super) fn head(store: &dyn Store, keys: &Keys) -> Result<Result<Head, Fault>, StoreError> {
    let key = keys.key(Row::Head);
    let Some(stored) = store.get(Table::States, &key)? else { return Ok(Err(Fault::Missing)) };
    let payload = match checksum::open(Table::States, &key, &stored) {
        Ok(payload) => payload,
        Err(damage) => return Ok(Err(damage.what.into())),
    };
    Ok(Head::decode(payload).ok_or(Fault::Form { bytes: payload.len() }))
}

/// What a collection's rows hold.
struct Loaded<V> {
    states: StateCompressor<V>,
    notes: Notes,
    cut: Option<Cut>,
    /// Keys of rows that the head does not name, and of those from the cut on.
    left_over: Vec<Vec<u8>>,
}

fn load<V: StateValue>(
    store: &dyn Store,
    keys: &Keys,
    head: &Head,
) -> Result<Loaded<V>, StatesError> {
    let mut loading = Loading {
        head,
        importer: Importer::new(u32::MAX),
        next_piece: 0,
        states: None,
        notes: Notes::new(),
        cut: None,
        left_over: Vec::new(),
    };
    let mut lost = None;
    store.scan(Table::States, keys.prefix(), &mut |key, stored| {
        if !key.starts_with(keys.prefix()) {
            return ControlFlow::Break(());
        }
        let taken = keys.row(key).map_or(Ok(()), |row| loading.row(row, key, stored));
        lost = taken.err();
        if lost.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let loaded = lost.map_or_else(|| loading.finish(), Err);
    loaded.map_err(|(row, fault)| StatesError::Lost { name: keys.name().to_owned(), row, fault })
}

/// A row without which there is nothing.
type Lost = (Row, Fault);

struct Loading<'a, V> {
    head: &'a Head,
    importer: Importer<V>,
    next_piece: u32,
    /// From the base on.
    states: Option<StateCompressor<V>>,
    notes: Notes,
    cut: Option<Cut>,
    left_over: Vec<Vec<u8>>,
}

impl<V: StateValue> Loading<'_, V> {
    fn row(&mut self, row: Row, key: &[u8], stored: &[u8]) -> Result<(), Lost> {
        let head = self.head;
        let named = match (row, &head.base) {
            (Row::Head, _) => return Ok(()),
            (Row::Base { .. } | Row::Changes { .. }, None) => false,
            (Row::Base { generation, piece }, Some(base)) => {
                generation == head.generation && piece < base.pieces
            }
            (Row::Changes { height }, Some(base)) => {
                self.cut.is_none() && height > base.oldest && height <= base.newest
            }
        };
        if !named {
            self.left_over.push(key.to_vec());
            return Ok(());
        }
        match row {
            Row::Head => Ok(()),
            Row::Base { piece, .. } => self.piece(piece, key, stored),
            Row::Changes { height } => {
                let states = self.base()?;
                let newest = states.newest().unwrap_or_default();
                match apply(states, height, key, stored) {
                    Ok(note) => {
                        self.notes.insert(height, note);
                    }
                    Err((row, fault)) => {
                        self.cut_off(row, fault, newest);
                        self.left_over.push(key.to_vec());
                    }
                }
                Ok(())
            }
        }
    }

    fn piece(&mut self, piece: u32, key: &[u8], stored: &[u8]) -> Result<(), Lost> {
        let row = |piece| Row::Base { generation: self.head.generation, piece };
        if piece != self.next_piece {
            return Err((row(self.next_piece), Fault::Missing));
        }
        let payload = checksum::open(Table::States, key, stored);
        let payload = payload.map_err(|damage| (row(piece), damage.what.into()))?;
        self.importer.push(payload).map_err(|error| (row(piece), error.into()))?;
        self.next_piece = piece.saturating_add(1);
        Ok(())
    }

    /// The states, from the base on: made of its pieces when the first row after them comes.
    fn base(&mut self) -> Result<&mut StateCompressor<V>, Lost> {
        let made = match (self.states.take(), &self.head.base) {
            (Some(states), _) => states,
            (None, None) => StateCompressor::new(self.head.salt),
            (None, Some(base)) => {
                let row = |piece| Row::Base { generation: self.head.generation, piece };
                if self.next_piece < base.pieces {
                    return Err((row(self.next_piece), Fault::Missing));
                }
                let importer = std::mem::replace(&mut self.importer, Importer::new(0));
                let last = row(base.pieces.saturating_sub(1));
                let states = importer.finish().map_err(|error| (last, error.into()))?;
                check_base(&states, base.oldest, self.head.salt).map_err(|fault| (last, fault))?;
                self.notes.insert(base.oldest, base.note.clone());
                states
            }
        };
        Ok(self.states.insert(made))
    }

    fn cut_off(&mut self, row: Row, fault: Fault, newest: BlockHeight) {
        let lost_to = self.head.base.as_ref().map_or(newest, |base| base.newest);
        self.cut = Some(Cut { row, fault, newest, lost_to });
    }

    fn finish(mut self) -> Result<Loaded<V>, Lost> {
        let newest = self.base()?.newest();
        if let (Some(base), Some(newest), None) = (&self.head.base, newest, &self.cut)
            && newest < base.newest
        {
            self.cut_off(Row::Changes { height: base.newest }, Fault::Missing, newest);
        }
        let states = self.states.unwrap_or_else(|| StateCompressor::new(self.head.salt));
        let (notes, cut, left_over) = (self.notes, self.cut, self.left_over);
        Ok(Loaded { states, notes, cut, left_over })
    }
}

fn check_base<V: StateValue>(
    states: &StateCompressor<V>,
    oldest: BlockHeight,
    salt: Salt,
) -> Result<(), Fault> {
    let got = states.newest().unwrap_or_default();
    if got != oldest {
        Err(Fault::OtherHeight { expected: oldest, got })
    } else if states.salt() != salt {
        Err(Fault::OtherSalt)
    } else {
        Ok(())
    }
}

/// Applies a row of changes, and gives back its note. Where it cannot be, the states are as they were,
/// and the row that is at fault is named: this one, or one before it that is not there.
fn apply<V: StateValue>(
    states: &mut StateCompressor<V>,
    height: BlockHeight,
    key: &[u8],
    stored: &[u8],
) -> Result<Vec<u8>, (Row, Fault)> {
    let this = Row::Changes { height };
    let fault = |fault: Fault| (this, fault);
    let payload = checksum::open(Table::States, key, stored);
    let payload = payload.map_err(|damage| fault(damage.what.into()))?;
    let block = Block::decode(payload).map_err(fault)?;
    let expected = states.newest().unwrap_or_default();
    let got = block.previous;
    if got > expected && got < height {
        return Err((Row::Changes { height: got }, Fault::Missing));
    } else if got != expected {
        return Err(fault(Fault::OtherPrevious { expected, got }));
    }
    let set = ChangeSet::decode(block.changes).map_err(|error| fault(error.into()))?;
    if set.height != height {
        return Err(fault(Fault::OtherHeight { expected: height, got: set.height }));
    }
    states.apply(set).map_err(|error| fault(error.into()))?;
    Ok(block.note.to_vec())
}

//! One height as rows: its export, cut into pieces.

use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{Export, StateCompressor, StateError, StateValue};

use super::error::{Row, StatesError};
use super::rows::{Head, Keys};
use crate::store::{Table, WriteBatch};

/// How long rows and commits are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Bytes of a piece.
    pub(super) piece: usize,
    /// Bytes of pieces after which a commit ends.
    pub(super) commit: usize,
    /// Rows that one commit deletes.
    pub(super) deletes: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { piece: 1024 * 1024, commit: 4 * 1024 * 1024, deletes: 10_000 }
    }
}

/// An export, to be taken in parts of any length. What waits is a part and a piece of the export.
pub(super) struct Stream<'a, V> {
    export: Export<'a, V>,
    waiting: Vec<u8>,
}

impl<'a, V: StateValue> Stream<'a, V> {
    pub(super) fn of(
        states: &'a StateCompressor<V>,
        height: BlockHeight,
    ) -> Result<Self, StateError> {
        Ok(Self { export: states.export(height)?, waiting: Vec::new() })
    }

    /// The next so many bytes; fewer at the end, and then none.
    pub(super) fn take(&mut self, length: usize) -> Result<Vec<u8>, StateError> {
        while self.waiting.len() < length
            && let Some(piece) = self.export.next()
        {
            self.waiting.extend(piece?);
        }
        let rest = self.waiting.split_off(length.min(self.waiting.len()));
        Ok(std::mem::replace(&mut self.waiting, rest))
    }
}

/// Writes one height as the base of a generation that no head names yet, in commits of bounded size,
/// and gives back the number of its pieces.
pub(super) fn write<V: StateValue>(
    keys: &Keys,
    (states, height): (&StateCompressor<V>, BlockHeight),
    generation: u64,
    sizes: Sizes,
    mut commit: impl FnMut(WriteBatch) -> Result<(), StatesError>,
) -> Result<u32, StatesError> {
    let mut stream = Stream::of(states, height)?;
    let (mut batch, mut bytes, mut piece) = (WriteBatch::new(), 0_usize, 0_u32);
    loop {
        let payload = stream.take(sizes.piece)?;
        if payload.is_empty() {
            break;
        }
        keys.put(&mut batch, Row::Base { generation, piece }, &payload);
        bytes = bytes.saturating_add(payload.len());
        piece = piece.saturating_add(1);
        if bytes >= sizes.commit {
            bytes = 0;
            commit(std::mem::take(&mut batch))?;
        }
    }
    if !batch.is_empty() {
        commit(batch)?;
    }
    Ok(piece)
}

/// The rows of a base.
pub(super) fn rows(head: &Head) -> impl Iterator<Item = Row> + use<> {
    let (generation, pieces) = (head.generation, head.base.as_ref().map_or(0, |base| base.pieces));
    (0..pieces).map(move |piece| Row::Base { generation, piece })
}

/// Deletes rows by their keys, in commits of bounded size.
pub(super) fn delete(
    keys: impl IntoIterator<Item = Vec<u8>>,
    sizes: Sizes,
    mut commit: impl FnMut(WriteBatch) -> Result<(), StatesError>,
) -> Result<(), StatesError> {
    let mut batch = WriteBatch::new();
    for key in keys {
        batch.delete(Table::States, key);
        if batch.ops().len() >= sizes.deletes {
            commit(std::mem::take(&mut batch))?;
        }
    }
    if batch.is_empty() { Ok(()) } else { commit(batch) }
}

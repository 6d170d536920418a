//! Compares memory and disk.

use ironlight_spv::compress::state::StateValue;

use super::StoredStates;
use super::base::{self, Stream};
use super::error::{Fault, Row, StatesError};
use super::rows::Block;
use crate::store::{Table, checksum};

impl<V: StateValue> StoredStates<V> {
    /// Recomputes every hash in memory, and compares each row on disk with what memory would write. It
    /// takes the memory of one row.
    ///
    /// # Errors
    /// [`StatesError::State`] with the first node in memory that is damaged, [`StatesError::Damaged`]
    /// with the first row.
    pub fn verify(&self) -> Result<(), StatesError> {
        self.states.verify()?;
        self.expect(Row::Head, &self.head.encode())?;
        let Some(oldest) = self.oldest() else { return Ok(()) };
        let mut base = Stream::of(&self.states, oldest)?;
        let mut last = Row::Head;
        for row in base::rows(&self.head) {
            let payload = self.payload(row)?;
            if base.take(payload.len())? != payload {
                return Err(self.damaged(row, Fault::Differs));
            }
            last = row;
        }
        if !base.take(1)?.is_empty() {
            return Err(self.damaged(last, Fault::Differs));
        }
        let mut previous = oldest;
        for (height, note) in self.sealed().skip(1) {
            let changes = self.states.changes(height)?.encode();
            let block = Block { previous, note, changes: &changes };
            self.expect(Row::Changes { height }, &block.encode())?;
            previous = height;
        }
        Ok(())
    }

    fn expect(&self, row: Row, expected: &[u8]) -> Result<(), StatesError> {
        if self.payload(row)? == expected { Ok(()) } else { Err(self.damaged(row, Fault::Differs)) }
    }

    fn payload(&self, row: Row) -> Result<Vec<u8>, StatesError> {
        let key = self.keys.key(row);
        let stored = self.store.get(Table::States, &key)?;
        let stored = stored.ok_or_else(|| self.damaged(row, Fault::Missing))?;
        let payload = checksum::open(Table::States, &key, &stored);
        let payload = payload.map_err(|damage| self.damaged(row, damage.what.into()))?;
        Ok(payload.to_vec())
    }

    fn damaged(&self, row: Row, fault: Fault) -> StatesError {
        StatesError::Damaged { name: self.name().to_owned(), row, fault }
    }
}

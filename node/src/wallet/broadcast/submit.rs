//! Submissions, and room for them.

use std::sync::Arc;

use bitcoin::Txid;
use ironlight_spv::{BlockHeight, Now};

use super::record::{self, Record};
use super::{
    BroadcastAction, BroadcastState, Broadcasts, MAX_BROADCASTS, SubmitError, Submitted, check,
};

impl Broadcasts {
    /// Brings a transaction to the network. Submitting it again changes nothing while it is followed.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing has changed then.
    pub fn submit(
        &mut self,
        bytes: &[u8],
        tip: BlockHeight,
        now: Now,
    ) -> Result<Submitted, SubmitError> {
        let transaction = Arc::new(check(bytes)?);
        let txid = transaction.compute_txid();
        if let Some(known) = self.records.get(&txid) {
            let state = known.state;
            if state != BroadcastState::GivenUp {
                return Ok(Submitted::Known { txid, state });
            }
        } else {
            self.make_room()?;
        }
        let again = self.records.contains_key(&txid);
        let order = self.records.values().map(|record| record.order).max();
        let order = order.map_or(0, |order| order.saturating_add(1));
        let record = Record { order, ..Record::new(Arc::clone(&transaction), now.unix, tip) };
        self.actions.push_back(BroadcastAction::Commit(record.row(&txid)));
        self.actions.push_back(BroadcastAction::Offer(transaction));
        self.records.insert(txid, record);
        self.announce(&txid, now);
        Ok(if again { Submitted::Again { txid } } else { Submitted::New { txid } })
    }

    /// Forgets one that is done where there is no room, the oldest first.
    fn make_room(&mut self) -> Result<(), SubmitError> {
        if self.records.len() < MAX_BROADCASTS {
            return Ok(());
        }
        let done = self.records.iter().filter(|(_, record)| !record.state.is_live());
        let oldest = done.min_by_key(|(_, record)| record.since).map(|(txid, _)| *txid);
        let oldest: Txid = oldest.ok_or(SubmitError::TooMany { limit: MAX_BROADCASTS })?;
        self.records.remove(&oldest);
        self.actions.push_back(BroadcastAction::Commit(record::forget(&oldest)));
        Ok(())
    }
}

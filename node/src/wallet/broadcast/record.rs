//! A transaction that is followed, and its row.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::hashes::Hash as _;
use bitcoin::{Transaction, Txid};
use ironlight_spv::peers::PeerId;
use ironlight_spv::{BlockHeight, UnixTime};

use super::{BroadcastState, BroadcastStatus};
use crate::store::{Store, Table, WriteBatch, checksum};
use crate::wallet::error::LoadError;
use crate::wallet::rows::bytes::Bytes;

/// A transaction that is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) transaction: Arc<Transaction>,
    pub(super) state: BroadcastState,
    /// When it was submitted, by the wall clock and by the chain.
    pub(super) since: UnixTime,
    pub(super) since_height: BlockHeight,
    /// Counts submissions: which of two of the same second came later.
    pub(super) order: u32,
    pub(super) announced: u32,
    pub(super) requested: u32,
    pub(super) relayed_back: u32,
    /// Connected peers that were told since the last block.
    pub(super) told: BTreeSet<PeerId>,
    /// Peers that had it from us in this run.
    pub(super) given: BTreeSet<PeerId>,
    /// Peers that announced it in this run.
    pub(super) heard_from: BTreeSet<PeerId>,
    /// When nobody having asked means something.
    pub(super) unasked_at: Option<Duration>,
}

impl Record {
    pub(super) fn new(transaction: Arc<Transaction>, since: UnixTime, height: BlockHeight) -> Self {
        Self {
            transaction,
            state: BroadcastState::Waiting,
            since,
            since_height: height,
            order: 0,
            announced: 0,
            requested: 0,
            relayed_back: 0,
            told: BTreeSet::new(),
            given: BTreeSet::new(),
            heard_from: BTreeSet::new(),
            unasked_at: None,
        }
    }

    pub(super) fn status(&self, txid: Txid) -> BroadcastStatus {
        BroadcastStatus {
            txid,
            wtxid: self.transaction.compute_wtxid(),
            state: self.state,
            since: self.since,
            announced: self.announced,
            requested: self.requested,
            relayed_back: self.relayed_back,
        }
    }

    /// Whether it spends an output that another one spends, too.
    pub(super) fn conflicts_with(&self, other: &Transaction) -> bool {
        let spent = self.transaction.input.iter().map(|input| input.previous_output);
        let spent: BTreeSet<_> = spent.collect();
        other.input.iter().any(|input| spent.contains(&input.previous_output))
    }

    /// The sealed row.
    pub(super) fn row(&self, txid: &Txid) -> WriteBatch {
        let key = txid.to_byte_array().to_vec();
        let sealed = checksum::seal(Table::Broadcast, &key, &self.payload());
        let mut batch = WriteBatch::new();
        batch.put(Table::Broadcast, key, sealed);
        batch
    }

    fn payload(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.state {
            BroadcastState::Waiting => bytes.push(0),
            BroadcastState::Announced => bytes.push(1),
            BroadcastState::Requested => bytes.push(2),
            BroadcastState::RelayedBack => bytes.push(3),
            BroadcastState::InferredRejected => bytes.push(4),
            BroadcastState::GivenUp => bytes.push(5),
            BroadcastState::Confirmed { height } => {
                bytes.push(6);
                bytes.extend(height.0.to_le_bytes());
            }
            BroadcastState::Conflicted { by, height } => {
                bytes.push(7);
                bytes.extend(height.0.to_le_bytes());
                bytes.extend(by.to_byte_array());
            }
        }
        for number in [self.since.0, self.since_height.0, self.order] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(bitcoin::consensus::serialize(self.transaction.as_ref()));
        bytes
    }

    fn from_payload(payload: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(payload);
        let state = match bytes.u8()? {
            0 => BroadcastState::Waiting,
            1 => BroadcastState::Announced,
            2 => BroadcastState::Requested,
            3 => BroadcastState::RelayedBack,
            4 => BroadcastState::InferredRejected,
            5 => BroadcastState::GivenUp,
            6 => BroadcastState::Confirmed { height: bytes.height()? },
            7 => {
                let height = bytes.height()?;
                BroadcastState::Conflicted { height, by: bytes.txid()? }
            }
            8.. => return None,
        };
        let (since, since_height) = (UnixTime(bytes.u32()?), bytes.height()?);
        let order = bytes.u32()?;
        let transaction: Transaction = bitcoin::consensus::deserialize(bytes.rest()).ok()?;
        let record = Self::new(Arc::new(transaction), since, since_height);
        Some(Self { state, order, ..record })
    }
}

/// The batch that forgets a row.
pub(super) fn forget(txid: &Txid) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.delete(Table::Broadcast, txid.to_byte_array().to_vec());
    batch
}

/// All rows. Blocking.
pub(super) fn load(store: &dyn Store) -> Result<Vec<(Txid, Record)>, LoadError> {
    let (mut records, mut outcome) = (Vec::new(), Ok(()));
    store.scan(Table::Broadcast, &[], &mut |key, stored| match read(key, stored) {
        Ok(record) => {
            records.push(record);
            ControlFlow::Continue(())
        }
        Err(fault) => {
            let row = crate::store::hex(key);
            outcome = Err(LoadError::Row { table: Table::Broadcast, row, fault });
            ControlFlow::Break(())
        }
    })?;
    outcome.map(|()| records)
}

pub(super) fn read(key: &[u8], stored: &[u8]) -> Result<(Txid, Record), String> {
    let payload =
        checksum::open(Table::Broadcast, key, stored).map_err(|damage| damage.what.to_string())?;
    let record = Record::from_payload(payload).ok_or("its bytes have no known form")?;
    let txid = record.transaction.compute_txid();
    if txid.to_byte_array().as_slice() != key {
        return Err(format!("it holds the transaction {txid}"));
    }
    Ok((txid, record))
}

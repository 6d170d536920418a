//! Who is banned, over restarts.
//!
//! One record of our own, by bincode: losing it costs a few connections to known liars, so one
//! that cannot be read is passed over with a line in the log.

use std::net::IpAddr;

use ironlight_spv::UnixTime;
use ironlight_spv::peers::{BanEntry, MAX_BANS, Offence};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{Store, StoreError, Table, WriteBatch, checksum, records};

const KEY: &[u8] = b"bans";

#[derive(Serialize, Deserialize)]
struct BanRecord {
    ip: IpAddr,
    until: u32,
    /// Its place in [`OFFENCES`].
    offence: u8,
}

/// The order is part of the record: new ones go to the end.
const OFFENCES: [Offence; 9] = [
    Offence::InvalidHeader,
    Offence::TooManyHeaders,
    Offence::Oversized,
    Offence::ProtocolViolation,
    Offence::BadChecksum,
    Offence::WrongNetwork,
    Offence::Stalled,
    Offence::FalseFilter,
    Offence::FalseChunk,
];

impl From<&BanEntry> for BanRecord {
    fn from(ban: &BanEntry) -> Self {
        let place = OFFENCES.iter().position(|offence| *offence == ban.offence);
        let offence = place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX);
        Self { ip: ban.ip, until: ban.until.0, offence }
    }
}

impl From<BanRecord> for BanEntry {
    fn from(record: BanRecord) -> Self {
        let offence = OFFENCES.get(usize::from(record.offence)).copied();
        Self {
            ip: record.ip,
            until: UnixTime(record.until),
            // A later version's: what for matters less than that it was.
            offence: offence.unwrap_or(Offence::ProtocolViolation),
        }
    }
}

/// The batch that records who is banned.
///
/// # Errors
/// [`StoreError`] where the record cannot be encoded.
pub fn batch(bans: &[BanEntry]) -> Result<WriteBatch, StoreError> {
    let records: Vec<BanRecord> = bans.iter().map(BanRecord::from).collect();
    let mut batch = WriteBatch::new();
    batch.put(Table::Peers, KEY, checksum::seal(Table::Peers, KEY, &records::encode(&records)?));
    Ok(batch)
}

/// Who was banned; nobody where nothing readable is recorded.
#[must_use]
pub fn load(store: &dyn Store) -> Vec<BanEntry> {
    match read(store) {
        Ok(bans) => bans,
        Err(error) => {
            warn!(%error, "the list of bans is passed over");
            Vec::new()
        }
    }
}

fn read(store: &dyn Store) -> Result<Vec<BanEntry>, StoreError> {
    let Some(stored) = store.get(Table::Peers, KEY)? else { return Ok(Vec::new()) };
    let records: Vec<BanRecord> = records::decode(checksum::open(Table::Peers, KEY, &stored)?)?;
    Ok(records.into_iter().take(MAX_BANS).map(BanEntry::from).collect())
}

#[cfg(test)]
mod tests {
    use super::super::MemoryStore;
    use super::*;

    #[test]
    fn bans_come_back_after_a_restart() {
        let store = MemoryStore::new();
        let bans: Vec<BanEntry> = (0..=255u8)
            .cycle()
            .take(MAX_BANS)
            .enumerate()
            .map(|(number, last)| BanEntry {
                ip: IpAddr::from([10, 0, u8::try_from(number / 256).unwrap(), last]),
                until: UnixTime(u32::MAX),
                offence: OFFENCES[number % OFFENCES.len()],
            })
            .collect();
        store.commit(batch(&bans).unwrap()).unwrap();
        assert_eq!(load(&store), bans);
    }

    #[test]
    fn an_unreadable_list_bans_nobody() {
        let store = MemoryStore::new();
        let mut batch = WriteBatch::new();
        batch.put(Table::Peers, KEY, vec![1, 2, 3]);
        store.commit(batch).unwrap();
        assert_eq!(load(&store), Vec::new());
    }
}

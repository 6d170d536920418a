//! How much is held, and how much plain copies would be.

use super::changes::Change;
use super::compressor::StateCompressor;
use super::snapshot::Snapshot;
use super::value::StateValue;

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

impl<V: StateValue> StateCompressor<V> {
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

//! The machine: what happened goes in, what to do comes out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bitcoin::{OutPoint, Script, Transaction, Txid};
use ironlight_spv::peers::PeerId;
use ironlight_spv::{BlockHeight, Now, UnixTime};

use super::record::{self, Record};
use super::{
    BroadcastAction, BroadcastConfig, BroadcastEvent, BroadcastState, BroadcastStatus,
    ConnectedBlock,
};
use crate::store::{Store, StoreError, Table, WriteBatch};
use crate::wallet::error::LoadError;

/// Brings transactions to the network; see the [module](super).
#[derive(Debug)]
pub struct Broadcasts {
    pub(super) config: BroadcastConfig,
    seed: u64,
    /// Counts the times that peers were chosen.
    round: u64,
    /// Peers that want to hear of transactions.
    peers: BTreeSet<PeerId>,
    pub(super) records: BTreeMap<Txid, Record>,
    pub(super) actions: VecDeque<BroadcastAction>,
}

impl Broadcasts {
    /// One with nothing to bring. The seed decides which peers are told.
    #[must_use]
    pub fn new(config: BroadcastConfig, seed: u64) -> Self {
        let (peers, records) = (BTreeSet::new(), BTreeMap::new());
        Self { config, seed, round: 0, peers, records, actions: VecDeque::new() }
    }

    /// What a store has: whatever is not done is offered, and announced again as peers connect.
    /// Blocking.
    ///
    /// # Errors
    /// [`LoadError`]; [`salvage`](Self::salvage) is the way out of a damaged row.
    pub fn load(store: &dyn Store, config: BroadcastConfig, seed: u64) -> Result<Self, LoadError> {
        let mut machine = Self::new(config, seed);
        machine.records = record::load(store)?.into_iter().collect();
        for record in machine.records.values().filter(|record| record.state.is_live()) {
            machine.actions.push_back(BroadcastAction::Offer(Arc::clone(&record.transaction)));
        }
        Ok(machine)
    }

    /// A batch that drops the rows that cannot be read, and their keys in hexadecimal: the txids,
    /// bytes reversed. Blocking.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn salvage(store: &dyn Store) -> Result<(WriteBatch, Vec<String>), StoreError> {
        let (mut batch, mut lost) = (WriteBatch::new(), Vec::new());
        store.scan(Table::Broadcast, &[], &mut |key, stored| {
            if record::read(key, stored).is_err() {
                lost.push(crate::store::hex(key));
                batch.delete(Table::Broadcast, key);
            }
            std::ops::ControlFlow::Continue(())
        })?;
        Ok((batch, lost))
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<BroadcastAction> {
        self.actions.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), as time since the node started. What is
    /// given up for its age is found then or at the next block.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.records.values().filter_map(|record| record.unasked_at).min()
    }

    /// Where a transaction stands.
    #[must_use]
    pub fn status(&self, txid: &Txid) -> Option<BroadcastStatus> {
        self.records.get(txid).map(|record| record.status(*txid))
    }

    /// All that are kept, the oldest first.
    #[must_use]
    pub fn statuses(&self) -> Vec<BroadcastStatus> {
        let statuses = self.records.iter().map(|(txid, record)| record.status(*txid));
        let mut statuses: Vec<BroadcastStatus> = statuses.collect();
        statuses.sort_by_key(|status| (status.since.0, status.txid));
        statuses
    }

    /// Those that are in no block and not conflicted, the oldest first: what the wallet counts as
    /// waiting.
    pub fn waiting(&self) -> impl Iterator<Item = (&Arc<Transaction>, UnixTime)> {
        let live = self.records.values().filter(|record| record.state.is_live());
        let mut live: Vec<&Record> = live.collect();
        live.sort_by_key(|record| record.since);
        live.into_iter().map(|record| (&record.transaction, record.since))
    }

    /// Scripts that a block which confirms one of the live ones pays to: match its filter with
    /// these, too, or a transaction that touches nothing watched is never seen confirmed.
    pub fn scripts(&self) -> impl Iterator<Item = &Script> {
        let live = self.records.values().filter(|record| record.state.is_live());
        let outputs = live.flat_map(|record| &record.transaction.output);
        let scripts = outputs.map(|output| output.script_pubkey.as_script());
        scripts.filter(|script| !script.is_op_return() && !script.is_empty())
    }

    /// A peer finished its handshake. `relays`: whether it wants to hear of transactions.
    pub fn handle_connected(&mut self, peer: PeerId, relays: bool, now: Now) {
        if relays && self.peers.insert(peer) {
            self.announce_all(now);
        }
    }

    /// A peer is gone. Somebody else is told in its place.
    pub fn handle_disconnected(&mut self, peer: PeerId, now: Now) {
        if !self.peers.remove(&peer) {
            return;
        }
        for record in self.records.values_mut() {
            record.told.remove(&peer);
            record.given.remove(&peer);
            record.heard_from.remove(&peer);
        }
        self.announce_all(now);
    }

    /// A peer asked for an offered transaction, and was given it.
    pub fn handle_requested(&mut self, peer: PeerId, txid: &Txid, _now: Now) {
        let Some(record) = self.records.get_mut(txid) else { return };
        record.requested = record.requested.saturating_add(1);
        record.unasked_at = None;
        if self.peers.contains(&peer) {
            record.given.insert(peer);
        }
        match record.state {
            BroadcastState::Waiting
            | BroadcastState::Announced
            | BroadcastState::InferredRejected => self.turn(txid, BroadcastState::Requested),
            BroadcastState::Requested
            | BroadcastState::RelayedBack
            | BroadcastState::Confirmed { .. }
            | BroadcastState::Conflicted { .. }
            | BroadcastState::GivenUp => {}
        }
    }

    /// A peer announced an offered transaction to us. From one that had it from us that says
    /// nothing.
    pub fn handle_announced(&mut self, peer: PeerId, txid: &Txid, _now: Now) {
        let Some(record) = self.records.get_mut(txid) else { return };
        if !self.peers.contains(&peer) || record.given.contains(&peer) {
            return;
        }
        if !record.heard_from.insert(peer) {
            return;
        }
        record.relayed_back = record.relayed_back.saturating_add(1);
        record.unasked_at = None;
        match record.state {
            BroadcastState::Waiting
            | BroadcastState::Announced
            | BroadcastState::Requested
            | BroadcastState::InferredRejected => self.turn(txid, BroadcastState::RelayedBack),
            BroadcastState::RelayedBack
            | BroadcastState::Confirmed { .. }
            | BroadcastState::Conflicted { .. }
            | BroadcastState::GivenUp => {}
        }
    }

    /// The best chain grew by a block: who is in it is confirmed, who cannot be in one any more is
    /// conflicted, and the rest is announced again, to others where there are some.
    pub fn handle_block(&mut self, block: &ConnectedBlock<'_>, now: Now) {
        let height = block.height;
        for (txid, spent) in block.transactions {
            if self.records.contains_key(txid) {
                self.turn(txid, BroadcastState::Confirmed { height });
            }
            let made_impossible = self.live_spenders(spent, txid);
            for conflicting in self.with_descendants(made_impossible) {
                self.turn(&conflicting, BroadcastState::Conflicted { by: *txid, height });
            }
        }
        self.give_up(Some(height), now);
        for record in self.records.values_mut() {
            record.told.clear();
        }
        self.announce_all(now);
    }

    /// Blocks above a height are off the best chain: what they confirmed or made impossible is
    /// brought to the network again.
    pub fn handle_blocks_disconnected(&mut self, fork: BlockHeight, now: Now) {
        let is_undone = |(txid, record): (&Txid, &Record)| match record.state {
            BroadcastState::Confirmed { height } | BroadcastState::Conflicted { height, .. } => {
                (height > fork).then_some(*txid)
            }
            BroadcastState::Waiting
            | BroadcastState::Announced
            | BroadcastState::Requested
            | BroadcastState::RelayedBack
            | BroadcastState::InferredRejected
            | BroadcastState::GivenUp => None,
        };
        let undone: Vec<Txid> = self.records.iter().filter_map(is_undone).collect();
        for txid in undone {
            self.turn(&txid, BroadcastState::Waiting);
        }
        self.announce_all(now);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        let is_due = |record: &Record| record.unasked_at.is_some_and(|at| at <= now.elapsed);
        let due = self.records.iter().filter(|(_, record)| is_due(record));
        let due: Vec<Txid> = due.map(|(txid, _)| *txid).collect();
        for txid in due {
            let Some(record) = self.records.get_mut(&txid) else { continue };
            record.unasked_at = None;
            if record.state == BroadcastState::Announced {
                self.turn(&txid, BroadcastState::InferredRejected);
            }
        }
        self.give_up(None, now);
    }

    /// Follows a transaction no more; whether it was there. Peers that have it keep it.
    pub fn forget(&mut self, txid: &Txid) -> bool {
        let Some(record) = self.records.remove(txid) else { return false };
        self.actions.push_back(BroadcastAction::Commit(record::forget(txid)));
        if record.state.is_live() {
            self.actions.push_back(BroadcastAction::Withdraw(*txid));
        }
        true
    }

    /// Changes a state: on disk first, then offered or withdrawn, then told.
    pub(super) fn turn(&mut self, txid: &Txid, after: BroadcastState) {
        let Some(record) = self.records.get_mut(txid) else { return };
        let before = std::mem::replace(&mut record.state, after);
        if before == after {
            return;
        }
        if !after.is_live() {
            record.unasked_at = None;
            record.told.clear();
        }
        let transaction = Arc::clone(&record.transaction);
        self.actions.push_back(BroadcastAction::Commit(record.row(txid)));
        match (before.is_live(), after.is_live()) {
            (true, false) => self.actions.push_back(BroadcastAction::Withdraw(*txid)),
            (false, true) => self.actions.push_back(BroadcastAction::Offer(transaction)),
            (true, true) | (false, false) => {}
        }
        let event = BroadcastEvent { txid: *txid, before, after };
        self.actions.push_back(BroadcastAction::Event(event));
    }

    fn give_up(&mut self, height: Option<BlockHeight>, now: Now) {
        let BroadcastConfig { give_up_after, give_up_blocks, .. } = self.config;
        let is_over = |record: &Record| {
            let age = Duration::from_secs(u64::from(now.unix.0.saturating_sub(record.since.0)));
            let blocks = height.map_or(0, |height| height.0.saturating_sub(record.since_height.0));
            record.state.is_live() && (age >= give_up_after || blocks >= give_up_blocks)
        };
        let over = self.records.iter().filter(|(_, record)| is_over(record));
        let over: Vec<Txid> = over.map(|(txid, _)| *txid).collect();
        for txid in over {
            self.turn(&txid, BroadcastState::GivenUp);
        }
    }

    /// Live ones, another one excepted, that spend one of these outputs.
    fn live_spenders(&self, spent: &[OutPoint], except: &Txid) -> BTreeSet<Txid> {
        let spends = |record: &Record| {
            let mut inputs = record.transaction.input.iter();
            inputs.any(|input| spent.contains(&input.previous_output))
        };
        let live = self.records.iter().filter(|(_, record)| record.state.is_live());
        let spenders = live.filter(|(txid, record)| *txid != except && spends(record));
        spenders.map(|(txid, _)| *txid).collect()
    }

    /// These and all live ones that spend from them.
    fn with_descendants(&self, mut found: BTreeSet<Txid>) -> BTreeSet<Txid> {
        loop {
            let depends = |record: &Record| {
                let mut inputs = record.transaction.input.iter();
                inputs.any(|input| found.contains(&input.previous_output.txid))
            };
            let live = self.records.iter().filter(|(_, record)| record.state.is_live());
            let more = live.filter(|(txid, record)| !found.contains(*txid) && depends(record));
            let more: Vec<Txid> = more.map(|(txid, _)| *txid).collect();
            if more.is_empty() {
                return found;
            }
            found.extend(more);
        }
    }

    /// Tells of each live one as many peers as it should have.
    pub(super) fn announce_all(&mut self, now: Now) {
        let live = self.records.iter().filter(|(_, record)| record.state.is_live());
        let live: Vec<Txid> = live.map(|(txid, _)| *txid).collect();
        for txid in live {
            self.announce(&txid, now);
        }
    }

    pub(super) fn announce(&mut self, txid: &Txid, now: Now) {
        if self.is_superseded(txid) {
            return;
        }
        let Some(record) = self.records.get(txid) else { return };
        let missing = self.config.announce_to.saturating_sub(record.told.len());
        let mut others: Vec<PeerId> = self.peers.difference(&record.told).copied().collect();
        if missing == 0 || others.is_empty() {
            return;
        }
        self.round = self.round.wrapping_add(1);
        let (seed, round) = (self.seed, self.round);
        // Those that have it already are told last: others spread it further.
        let has_it =
            |peer: &PeerId| record.given.contains(peer) || record.heard_from.contains(peer);
        others.sort_by_cached_key(|peer| (has_it(peer), rank(seed, round, *peer)));
        others.truncate(missing);
        let wtxid = record.transaction.compute_wtxid();
        let unasked_at = now.elapsed.saturating_add(self.config.unasked_after);
        let Some(record) = self.records.get_mut(txid) else { return };
        record.told.extend(&others);
        let count = u32::try_from(others.len()).unwrap_or(u32::MAX);
        record.announced = record.announced.saturating_add(count);
        if matches!(record.state, BroadcastState::Waiting | BroadcastState::Announced) {
            record.unasked_at.get_or_insert(unasked_at);
        }
        if record.state == BroadcastState::Waiting {
            self.turn(txid, BroadcastState::Announced);
        }
        for peer in others {
            self.actions.push_back(BroadcastAction::Announce { peer, txid: *txid, wtxid });
        }
    }

    /// Whether a later one of ours spends what it spends: peers are to have that one.
    fn is_superseded(&self, txid: &Txid) -> bool {
        let Some(record) = self.records.get(txid) else { return false };
        self.records.iter().any(|(other, later)| {
            other != txid
                && later.state.is_live()
                && (later.since, later.order) > (record.since, record.order)
                && record.conflicts_with(&later.transaction)
        })
    }
}

/// Whom to tell first: an order of peers that is another one each time (SplitMix64's last steps).
/// It is no secret; a peer only learns that it was chosen.
const fn rank(seed: u64, round: u64, peer: PeerId) -> u64 {
    let mixed = seed ^ round.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ peer.0.rotate_left(32);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

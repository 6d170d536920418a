//! Transactions that are in no block yet.
//!
//! Those of our own count as soon as they are sent; those that peers tell of are believed by nobody,
//! but shown. In memory only: our own are in the rows of the broadcast machine, and what peers told
//! of they will tell of again.
//!
//! Who can make it grow: any peer, to [`MAX_PENDING`] transactions and [`MAX_PENDING_BYTES`]; the
//! oldest goes first, and never one of our own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bitcoin::{Amount, OutPoint, Transaction, Txid};
use ironlight_spv::UnixTime;

use super::coin::{Origin, PendingEntry};
use super::label::AccountName;
use super::{MAX_PENDING, PendingOutcome, Wallet};

/// Bytes of peers' transactions that wait, at most.
pub(super) const MAX_PENDING_BYTES: usize = 16 * 1024 * 1024;

/// Seconds after which a peer's transaction waits no more (Core, `DEFAULT_MEMPOOL_EXPIRY_HOURS`).
const EXPIRES_AFTER: u32 = 14 * 24 * 60 * 60;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Waiting {
    transaction: Transaction,
    origin: Origin,
    since: UnixTime,
    /// Counts up, so that the oldest can be told.
    arrival: u64,
    bytes: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pending {
    waiting: BTreeMap<Txid, Waiting>,
    /// No two waiting transactions spend the same output.
    spends: BTreeMap<OutPoint, Txid>,
    arrivals: u64,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn contains(&self, txid: &Txid) -> bool {
        self.waiting.contains_key(txid)
    }

    /// The waiting transaction that spends an output.
    pub(super) fn spender(&self, outpoint: &OutPoint) -> Option<Txid> {
        self.spends.get(outpoint).copied()
    }

    fn iter(&self) -> impl Iterator<Item = (&Txid, &Waiting)> {
        self.waiting.iter()
    }

    /// Waiting transactions that cannot confirm beside this one, with all that spend from them.
    pub(super) fn conflicts_of(&self, txid: &Txid, transaction: &Transaction) -> Vec<Txid> {
        let spent = transaction.input.iter().map(|input| &input.previous_output);
        let direct = spent.filter_map(|outpoint| self.spender(outpoint));
        let direct: BTreeSet<Txid> = direct.filter(|other| other != txid).collect();
        self.with_descendants(direct)
    }

    fn with_descendants(&self, first: BTreeSet<Txid>) -> Vec<Txid> {
        let mut next: VecDeque<Txid> = first.iter().copied().collect();
        let mut found = first;
        let mut order = Vec::new();
        while let Some(txid) = next.pop_front() {
            order.push(txid);
            let outputs =
                self.waiting.get(&txid).map_or(0, |waiting| waiting.transaction.output.len());
            let outputs = u32::try_from(outputs).unwrap_or(u32::MAX);
            for vout in 0..outputs {
                if let Some(child) = self.spender(&OutPoint { txid, vout })
                    && found.insert(child)
                {
                    next.push_back(child);
                }
            }
        }
        order
    }

    fn insert(&mut self, txid: Txid, transaction: Transaction, origin: Origin, since: UnixTime) {
        for input in &transaction.input {
            self.spends.insert(input.previous_output, txid);
        }
        self.arrivals = self.arrivals.saturating_add(1);
        let (arrival, bytes) = (self.arrivals, transaction.total_size());
        self.waiting.insert(txid, Waiting { transaction, origin, since, arrival, bytes });
        self.evict();
    }

    pub(super) fn remove(&mut self, txid: &Txid) {
        let Some(gone) = self.waiting.remove(txid) else { return };
        for input in &gone.transaction.input {
            if self.spends.get(&input.previous_output) == Some(txid) {
                self.spends.remove(&input.previous_output);
            }
        }
    }

    fn of_peers(&self) -> impl Iterator<Item = (&Txid, &Waiting)> {
        self.iter().filter(|(_, waiting)| waiting.origin == Origin::Peer)
    }

    /// Keeps the bounds. At most a few go each time, since one comes each time.
    fn evict(&mut self) {
        loop {
            let (mut count, mut bytes) = (0_usize, 0_usize);
            for (_, waiting) in self.of_peers() {
                count = count.saturating_add(1);
                bytes = bytes.saturating_add(waiting.bytes);
            }
            if count <= MAX_PENDING && bytes <= MAX_PENDING_BYTES {
                return;
            }
            let oldest = self.of_peers().min_by_key(|(_, waiting)| waiting.arrival);
            let Some(oldest) = oldest.map(|(txid, _)| *txid) else { return };
            self.remove(&oldest);
        }
    }
}

impl Wallet {
    /// Counts a transaction that is in no block yet. Not kept on disk: after a start, add those of
    /// our own again ([`Broadcasts::waiting`](super::broadcast::Broadcasts::waiting)).
    pub fn add_pending(
        &mut self,
        transaction: Transaction,
        origin: Origin,
        now: UnixTime,
    ) -> PendingOutcome {
        let txid = transaction.compute_txid();
        if let Some(place) = self.ledger.place_of(&txid) {
            return PendingOutcome::Confirmed { place };
        }
        if let Some(known) = self.pending.waiting.get_mut(&txid) {
            // Sent by us after a peer had told of it: ours from now on.
            known.origin = known.origin.min(origin);
            return PendingOutcome::Known;
        }
        if !self.touches(&transaction) {
            return PendingOutcome::NotOurs;
        }
        let spent = transaction.input.iter();
        let spends = spent.filter_map(|input| self.ledger.coin(&input.previous_output)?.spent);
        if let Some(with) = spends.into_iter().next() {
            return PendingOutcome::Conflicts { with };
        }
        let displaced = self.pending.conflicts_of(&txid, &transaction);
        let is_own = |txid: &&Txid| {
            self.pending.waiting.get(*txid).is_some_and(|other| other.origin == Origin::Own)
        };
        if let (Origin::Peer, Some(txid)) = (origin, displaced.iter().find(is_own)) {
            return PendingOutcome::OwnGoesFirst { txid: *txid };
        }
        for txid in &displaced {
            self.pending.remove(txid);
        }
        self.pending.insert(txid, transaction, origin, now);
        PendingOutcome::Added { displaced }
    }

    /// Whether a transaction pays to or spends from what is watched, waiting ones included.
    fn touches(&self, transaction: &Transaction) -> bool {
        let index = self.watched.index();
        let pays =
            transaction.output.iter().any(|out| !index.owners(&out.script_pubkey).is_empty());
        pays || transaction
            .input
            .iter()
            .any(|input| self.spent_output(&input.previous_output).is_some())
    }

    /// What a watched output is worth and pays to, confirmed or waiting.
    fn spent_output(&self, outpoint: &OutPoint) -> Option<(Amount, &bitcoin::Script)> {
        if let Some(coin) = self.ledger.coin(outpoint) {
            return Some((coin.value, &coin.script));
        }
        let maker = &self.pending.waiting.get(&outpoint.txid)?.transaction;
        let output = maker.output.get(usize::try_from(outpoint.vout).ok()?)?;
        let watched = !self.watched.index().owners(&output.script_pubkey).is_empty();
        watched.then_some((output.value, &output.script_pubkey))
    }

    /// Counts a waiting transaction no more, nor those that spend from it; gives back which.
    pub fn drop_pending(&mut self, txid: &Txid) -> Vec<Txid> {
        if !self.pending.contains(txid) {
            return Vec::new();
        }
        let gone = self.pending.with_descendants(BTreeSet::from([*txid]));
        gone.iter().for_each(|txid| self.pending.remove(txid));
        gone
    }

    /// Drops transactions of peers that have waited for two weeks, as full nodes do.
    pub fn expire_pending(&mut self, now: UnixTime) -> Vec<Txid> {
        let expired = self
            .pending
            .of_peers()
            .filter(|(_, waiting)| now.0.saturating_sub(waiting.since.0) > EXPIRES_AFTER);
        let expired: Vec<Txid> = expired.map(|(txid, _)| *txid).collect();
        expired.iter().flat_map(|txid| self.drop_pending(txid)).collect()
    }

    /// Waiting transactions of an account, or of all.
    #[must_use]
    pub fn pending(&self, account: Option<&AccountName>) -> Vec<PendingEntry> {
        let waiting = self.pending.iter().map(|(txid, waiting)| {
            let (received, sent) = self.pending_amounts(&waiting.transaction, account);
            PendingEntry {
                txid: *txid,
                origin: waiting.origin,
                since: waiting.since,
                received,
                sent,
            }
        });
        waiting
            .filter(|entry| (entry.received, entry.sent) != (Amount::ZERO, Amount::ZERO))
            .collect()
    }

    fn pending_amounts(
        &self,
        transaction: &Transaction,
        account: Option<&AccountName>,
    ) -> (Amount, Amount) {
        let counts = |script: &bitcoin::Script| {
            self.watched.counts(script, ironlight_spv::BlockHeight(u32::MAX), account)
        };
        let paid = transaction.output.iter().filter(|output| counts(&output.script_pubkey));
        let received = paid.map(|output| output.value);
        let spent =
            transaction.input.iter().filter_map(|input| self.spent_output(&input.previous_output));
        let sent = spent.filter(|(_, script)| counts(script)).map(|(value, _)| value);
        (super::query::sum(received), super::query::sum(sent))
    }

    /// What waiting transactions pay to an account and no other waiting transaction spends.
    pub(super) fn pending_in(&self, account: Option<&AccountName>) -> Amount {
        let outputs = self.pending.iter().flat_map(|(txid, waiting)| {
            let outputs = waiting.transaction.output.iter().zip(0_u32..);
            outputs.map(|(output, vout)| (OutPoint { txid: *txid, vout }, output))
        });
        let kept = outputs.filter(|(outpoint, output)| {
            self.pending.spender(outpoint).is_none()
                && self.watched.counts(
                    &output.script_pubkey,
                    ironlight_spv::BlockHeight(u32::MAX),
                    account,
                )
        });
        super::query::sum(kept.map(|(_, output)| output.value))
    }
}

#[cfg(test)]
#[path = "pending_tests.rs"]
mod tests;

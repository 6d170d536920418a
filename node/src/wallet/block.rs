//! What a block does to coins and history, and what taking blocks off undoes.

use std::collections::BTreeMap;

use bitcoin::{Amount, Block, BlockHash, OutPoint, Transaction, Txid};
use ironlight_spv::BlockHeight;

use super::coin::{BlockId, Coin, Entry, Place, Spend};
use super::draft::Draft;
use super::error::PlanError;
use super::plan::{RangeLimit, WalletEvent};
use super::scan::{JobKey, ScanKind};
use super::watch::{Keychain, MAX_INDEX, MAX_SCRIPTS, ScriptOwner, WatchId, WatchItem};
use super::{BlockAt, Wallet};

impl Draft<'_> {
    /// Applies a block. One that was applied before changes nothing but what new scripts find.
    pub(super) fn apply_block(
        &mut self,
        at: &BlockAt<'_>,
        events: &mut Vec<WalletEvent>,
    ) -> Result<(), PlanError> {
        self.derive_used(at.block, at.height, events)?;
        for (position, transaction) in at.block.txdata.iter().enumerate() {
            // A block has fewer than 2^32 transactions.
            let Ok(position) = u32::try_from(position) else { break };
            let place = Place { height: at.height, position };
            self.apply_transaction(at, place, transaction, events);
        }
        self.settle_waiting(at, events);
        Ok(())
    }

    fn apply_transaction(
        &mut self,
        at: &BlockAt<'_>,
        place: Place,
        transaction: &Transaction,
        events: &mut Vec<WalletEvent>,
    ) {
        let spends = transaction.input.iter().map(|input| input.previous_output);
        let spends: Vec<OutPoint> = spends.filter(|spent| self.coin(spent).is_some()).collect();
        let pays = transaction.output.iter().zip(0_u32..).filter(|(output, _)| {
            let script = &output.script_pubkey;
            !script.is_op_return() && !self.owners_at(script, at.height).is_empty()
        });
        let pays: Vec<u32> = pays.map(|(_, vout)| vout).collect();
        if spends.is_empty() && pays.is_empty() {
            return;
        }
        let txid = transaction.compute_txid();
        let mut counts = !spends.is_empty();
        for outpoint in spends {
            self.spend(outpoint, Spend { txid, place });
        }
        for vout in pays {
            counts |= self.receive(OutPoint { txid, vout }, place, transaction);
        }
        if !counts {
            return;
        }
        let entry = entry_of(transaction, at.hash);
        if self.entry(&place) != Some(&entry) {
            let proof = (at.prove)(place.position);
            self.add_entry(place, entry, (transaction, &proof));
            events.push(WalletEvent::Confirmed { txid, place });
        }
    }

    fn spend(&mut self, outpoint: OutPoint, spend: Spend) {
        let Some(coin) = self.coin(&outpoint) else { return };
        if coin.spent != Some(spend) {
            let coin = Coin { spent: Some(spend), ..coin.clone() };
            self.set_coin(outpoint, Some(coin));
        }
    }

    /// Whether the coin is this transaction's. Two pairs of old coinbases have the same id (BIP30): the
    /// later one's coin is the one that there is, and the earlier one is as if it had not been.
    fn receive(&mut self, outpoint: OutPoint, place: Place, transaction: &Transaction) -> bool {
        match self.coin(&outpoint).map(|known| known.made) {
            Some(made) if made > place => return false,
            Some(made) if made == place => return true,
            Some(earlier) => self.remove_entry(earlier),
            None => {}
        }
        let vout = usize::try_from(outpoint.vout).ok();
        let output = vout.and_then(|vout| transaction.output.get(vout));
        let Some(output) = output else { return false };
        let coin = Coin {
            value: output.value,
            script: output.script_pubkey.clone(),
            made: place,
            coinbase: transaction.is_coinbase(),
            spent: None,
        };
        self.set_coin(outpoint, Some(coin));
        true
    }

    /// Derives more scripts where a block uses those near the end of a gap, until it uses none of
    /// the new ones.
    fn derive_used(
        &mut self,
        block: &Block,
        height: BlockHeight,
        events: &mut Vec<WalletEvent>,
    ) -> Result<(), PlanError> {
        loop {
            let mut extended = false;
            for (place, highest) in self.highest_used(block, height) {
                extended |= self.extend(place, highest, height, events)?;
            }
            if !extended {
                return Ok(());
            }
        }
    }

    fn highest_used(
        &self,
        block: &Block,
        height: BlockHeight,
    ) -> BTreeMap<(WatchId, Keychain), u32> {
        let mut highest = BTreeMap::new();
        for output in block.txdata.iter().flat_map(|transaction| &transaction.output) {
            for ScriptOwner { watch, keychain, index } in
                self.owners_at(&output.script_pubkey, height)
            {
                let known = highest.entry((watch, keychain)).or_insert(index);
                *known = index.max(*known);
            }
        }
        highest
    }

    /// Keeps the gap behind an index that a block of a height uses. Whether scripts were added.
    pub(super) fn extend(
        &mut self,
        (watch, keychain): (WatchId, Keychain),
        highest: u32,
        height: BlockHeight,
        events: &mut Vec<WalletEvent>,
    ) -> Result<bool, PlanError> {
        let Some(item) = self.item(watch).filter(|item| item.target.is_ranged()) else {
            return Ok(false);
        };
        let (mut item, derived) = (item.clone(), item.count(keychain));
        let wanted = highest.saturating_add(1).saturating_add(item.gap_limit.get());
        if wanted <= derived {
            return Ok(false);
        }
        let (to, limit) = self.limited(derived, wanted);
        if let Some(limit) = limit {
            // The block is looked at again after each extension: one warning is enough.
            let warning = WalletEvent::Exhausted { watch, keychain, derived: to, wanted, limit };
            if !events.contains(&warning) {
                events.push(warning);
            }
        }
        if to == derived {
            return Ok(false);
        }
        let scripts = item
            .target
            .derive(keychain.0, derived, to)
            .map_err(|source| PlanError::Derivation { id: watch, index: derived, source })?;
        self.add_scripts(&mut item, keychain, scripts);
        let birthday = item.birthday;
        self.set_item(watch, Some(item));
        // This block is looked at again with the new scripts, and those above it will be.
        if birthday < height {
            let key = JobKey { watch, keychain, first: derived };
            self.need_scan(key, birthday, ScanKind::LookBack);
        }
        events.push(WalletEvent::Extended { watch, keychain, from: derived, to });
        Ok(true)
    }

    /// How far a keychain may grow, and what stops it before it has what it wants.
    pub(super) fn limited(&self, derived: u32, wanted: u32) -> (u32, Option<RangeLimit>) {
        let total = self.total_scripts();
        let room = u32::try_from(MAX_SCRIPTS.saturating_sub(total)).unwrap_or(u32::MAX);
        let by_room = derived.saturating_add(room);
        let by_index = MAX_INDEX.saturating_add(1);
        if wanted > by_index && by_index <= by_room {
            (by_index, Some(RangeLimit::LastIndex))
        } else if wanted > by_room {
            (by_room, Some(RangeLimit::Scripts))
        } else {
            (wanted, None)
        }
    }

    /// Scripts of all items with the changes.
    pub(super) fn total_scripts(&self) -> usize {
        let (mut total, changed) = (self.wallet.watched.total(), &self.changes.items);
        for (id, item) in changed {
            let before = self.wallet.watched.get(*id).map_or(0, WatchItem::scripts);
            let after = item.as_ref().map_or(0, WatchItem::scripts);
            total = total.saturating_sub(before).saturating_add(after);
        }
        total
    }

    /// Waiting transactions that the block has, or makes impossible, wait no more.
    fn settle_waiting(&mut self, at: &BlockAt<'_>, events: &mut Vec<WalletEvent>) {
        let pending = &self.wallet.pending;
        if pending.is_empty() {
            return;
        }
        for transaction in &at.block.txdata {
            let txid = transaction.compute_txid();
            if pending.contains(&txid) {
                self.changes.settled.insert(txid);
            }
            for conflicting in pending.conflicts_of(&txid, transaction) {
                if self.changes.settled.insert(conflicting) {
                    let (txid, by, height) = (conflicting, txid, at.height);
                    events.push(WalletEvent::Conflicted { txid, by, height });
                }
            }
        }
    }

    /// Takes off all blocks above one.
    pub(super) fn disconnect(&mut self, fork: BlockId) -> Vec<WalletEvent> {
        let (wallet, height) = (self.wallet, fork.height);
        for (outpoint, coin) in wallet.ledger.coins() {
            if coin.made.height > height {
                self.set_coin(*outpoint, None);
            } else if coin.spent.is_some_and(|spend| spend.place.height > height) {
                self.set_coin(*outpoint, Some(Coin { spent: None, ..coin.clone() }));
            }
        }
        let mut events = Vec::new();
        let above = Place { height: height.next(), position: 0 };
        for (&place, entry) in wallet.ledger.entries().range(above..) {
            self.remove_entry(place);
            events.push(WalletEvent::Unconfirmed { txid: entry.txid, place });
        }
        self.changes.marks = Some(wallet.marks.back_to(fork));
        // What a job has seen above is off the chain; what comes instead is above the tip.
        self.drop_done_jobs();
        self.changes.new_epoch = true;
        events
    }

    /// Forgets coins that nobody watches any more, and transactions without any. How many of each.
    pub(super) fn forget_unwatched(&mut self) -> (usize, usize) {
        let ledger = &self.wallet.ledger;
        let mut gone = 0_usize;
        let mut touched: BTreeMap<Place, Txid> = BTreeMap::new();
        for (outpoint, coin) in ledger.coins() {
            if self.owners_at(&coin.script, coin.made.height).is_empty() {
                gone = gone.saturating_add(1);
                touched.insert(coin.made, outpoint.txid);
                touched.extend(coin.spent.map(|spend| (spend.place, spend.txid)));
                self.set_coin(*outpoint, None);
            }
        }
        let mut forgotten = 0_usize;
        for (place, txid) in touched {
            let mut coins = ledger.made_by(txid).chain(ledger.spent_by(&txid));
            if !coins.any(|(outpoint, _)| self.coin(outpoint).is_some()) {
                forgotten = forgotten.saturating_add(1);
                self.remove_entry(place);
            }
        }
        (gone, forgotten)
    }
}

/// What is kept in memory of a transaction.
pub(super) fn entry_of(transaction: &Transaction, block: BlockHash) -> Entry {
    let inputs = u32::try_from(transaction.input.len()).unwrap_or(u32::MAX);
    let output_total = total(transaction);
    Entry { txid: transaction.compute_txid(), block, inputs, output_total }
}

/// What all outputs pay; in a valid block it fits.
fn total(transaction: &Transaction) -> Amount {
    let values = transaction.output.iter().map(|output| output.value);
    let sum = values.fold(Amount::ZERO, |sum, value| sum.checked_add(value).unwrap_or(Amount::MAX));
    sum.min(Amount::MAX_MONEY)
}

impl Wallet {
    /// Whether a block can be on the wallet's branch: at heights that it has seen the hash is the
    /// same, and the one after the tip has it as its parent.
    pub(super) fn check_branch(&self, at: &BlockAt<'_>) -> Result<(), PlanError> {
        let found = at.block.block_hash();
        if found != at.hash {
            return Err(PlanError::OtherBlock { height: at.height, found, expected: at.hash });
        }
        let entry = self.ledger.entries().range(super::ledger::places_in(at.height)).next();
        let seen = self.marks.hash_at(at.height).or(entry.map(|(_, entry)| entry.block));
        let below = at.height.minus(1).and_then(|below| self.marks.hash_at(below));
        for (known, hash) in [(seen, at.hash), (below, at.block.header.prev_blockhash)] {
            if let Some(known) = known.filter(|known| *known != hash) {
                return Err(PlanError::OtherBranch { height: at.height, known });
            }
        }
        Ok(())
    }
}

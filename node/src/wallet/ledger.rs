//! Coins and transactions of ours in memory, with the indices between them.
//!
//! Invariant: the indices follow from coins and entries, which the store has; so they are made anew
//! when these are loaded, by the same two functions that change them.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Txid};
use ironlight_spv::BlockHeight;

use super::coin::{Coin, Entry, Place};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    coins: BTreeMap<OutPoint, Coin>,
    entries: BTreeMap<Place, Entry>,
    /// Coins by the transaction that spent them.
    spent_by: BTreeMap<Txid, BTreeSet<OutPoint>>,
    places: BTreeMap<Txid, Place>,
}

/// The first and last outpoint of a transaction.
fn outputs_of(txid: Txid) -> std::ops::RangeInclusive<OutPoint> {
    OutPoint { txid, vout: 0 }..=OutPoint { txid, vout: u32::MAX }
}

/// All places in a block.
pub(super) fn places_in(height: BlockHeight) -> std::ops::RangeInclusive<Place> {
    Place { height, position: 0 }..=Place { height, position: u32::MAX }
}

impl Ledger {
    pub(super) fn coin(&self, outpoint: &OutPoint) -> Option<&Coin> {
        self.coins.get(outpoint)
    }

    pub(super) const fn coins(&self) -> &BTreeMap<OutPoint, Coin> {
        &self.coins
    }

    pub(super) fn entry(&self, place: &Place) -> Option<&Entry> {
        self.entries.get(place)
    }

    pub(super) const fn entries(&self) -> &BTreeMap<Place, Entry> {
        &self.entries
    }

    pub(super) fn place_of(&self, txid: &Txid) -> Option<Place> {
        self.places.get(txid).copied()
    }

    /// Coins that a transaction made.
    pub(super) fn made_by(&self, txid: Txid) -> impl Iterator<Item = (&OutPoint, &Coin)> {
        self.coins.range(outputs_of(txid))
    }

    /// Coins that a transaction spent.
    pub(super) fn spent_by(&self, txid: &Txid) -> impl Iterator<Item = (&OutPoint, &Coin)> {
        let outpoints = self.spent_by.get(txid).into_iter().flatten();
        outpoints.filter_map(|outpoint| self.coins.get_key_value(outpoint))
    }

    /// Sets a coin, or forgets it.
    pub(super) fn set_coin(&mut self, outpoint: OutPoint, coin: Option<Coin>) {
        let spent = coin.as_ref().and_then(|coin| coin.spent);
        let before = match coin {
            Some(coin) => self.coins.insert(outpoint, coin),
            None => self.coins.remove(&outpoint),
        };
        if let Some(spend) = before.and_then(|coin| coin.spent)
            && let Some(outpoints) = self.spent_by.get_mut(&spend.txid)
        {
            outpoints.remove(&outpoint);
            if outpoints.is_empty() {
                self.spent_by.remove(&spend.txid);
            }
        }
        if let Some(spend) = spent {
            self.spent_by.entry(spend.txid).or_default().insert(outpoint);
        }
    }

    /// Sets what is known of the transaction of a place, or forgets it.
    pub(super) fn set_entry(&mut self, place: Place, entry: Option<Entry>) {
        let txid = entry.map(|entry| entry.txid);
        let before = match entry {
            Some(entry) => self.entries.insert(place, entry),
            None => self.entries.remove(&place),
        };
        if let Some(before) = before
            && self.places.get(&before.txid) == Some(&place)
        {
            self.places.remove(&before.txid);
        }
        if let Some(txid) = txid {
            self.places.insert(txid, place);
        }
    }
}

//! Reads the rows back, and makes good what is damaged.
//!
//! Every value passes its checksum, every row its form, and all of them together the wallet's
//! invariants; the first that does not is named. What cannot be told from the watched items is
//! not worth mending row by row: the blocks have it, so it is scanned again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use bitcoin::{OutPoint, Transaction, TxOut, Txid};
use ironlight_spv::Network;

use super::claim::read_claim;
use super::coin::{Coin, Place, Spend, StoredTransaction};
use super::draft::Draft;
use super::error::LoadError;
use super::rows;
use super::scan::{JobKey, ScanKind};
use super::watch::{MAX_SCRIPTS, ScriptOwner, WatchId, WatchItem};
use super::{Salvage, Wallet};
use crate::store::{Store, StoreError, Table, WriteBatch, checksum};

/// Takes a row's key and payload, or names what is wrong with them.
type ReadRow<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), String> + 'a;

/// Shows each row of the table to a reader.
fn each_row(store: &dyn Store, read: &mut ReadRow<'_>) -> Result<(), LoadError> {
    let mut outcome = Ok(());
    store.scan(Table::Wallet, &[], &mut |key, stored| {
        let payload =
            checksum::open(Table::Wallet, key, stored).map_err(|damage| damage.what.to_string());
        match payload.and_then(|payload| read(key, payload)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(fault) => {
                outcome = Err(bad_row(key, fault));
                ControlFlow::Break(())
            }
        }
    })?;
    outcome
}

fn bad_row(key: &[u8], fault: impl Into<String>) -> LoadError {
    LoadError::Row { table: Table::Wallet, row: named(key), fault: fault.into() }
}

/// A row for people: what it is, and its key.
fn named(key: &[u8]) -> String {
    let what = match key.first() {
        _ if [rows::TIP_KEY, rows::NEXT_KEY, rows::CLAIM_KEY].contains(&key) => {
            String::from_utf8_lossy(key).into()
        }
        Some(&rows::BODY) => "of a transaction".to_owned(),
        Some(&rows::COIN) => "of a coin".to_owned(),
        Some(&rows::ENTRY) => "of the history".to_owned(),
        Some(&rows::ITEM) => "of a watched item".to_owned(),
        Some(&rows::JOB) => "of a scan".to_owned(),
        Some(&rows::SCRIPT) => "of a script".to_owned(),
        Some(_) | None => "of no known kind".to_owned(),
    };
    format!("{what}, {}", crate::store::hex(key))
}

/// Rows that are read; not compared with each other yet.
struct Loading {
    wallet: Wallet,
    next_id: Option<u32>,
    scripts: BTreeMap<ScriptOwner, bitcoin::ScriptBuf>,
}

impl Loading {
    fn read(&mut self, key: &[u8], payload: &[u8]) -> Result<(), String> {
        let malformed = || "its bytes have no known form".to_owned();
        if key == rows::TIP_KEY {
            self.wallet.marks = rows::read_tip(payload).ok_or_else(malformed)?;
            return Ok(());
        }
        if key == rows::NEXT_KEY {
            let next = <[u8; 4]>::try_from(payload).map_err(|_length| malformed())?;
            self.next_id = Some(u32::from_le_bytes(next));
            return Ok(());
        }
        if key == rows::CLAIM_KEY {
            self.wallet.claim = Some(read_claim(payload).ok_or_else(malformed)?);
            return Ok(());
        }
        let (kind, rest) = key.split_first().ok_or_else(malformed)?;
        self.read_kind(*kind, rest, payload).ok_or_else(malformed)?
    }

    /// A row of the kinds that there are many of. None where key or payload have no known form.
    fn read_kind(&mut self, kind: u8, key: &[u8], payload: &[u8]) -> Option<Result<(), String>> {
        let ledger = &mut self.wallet.ledger;
        match kind {
            // Looked at when the rest is there to compare them with.
            rows::BODY => {}
            rows::COIN => {
                ledger.set_coin(rows::read_outpoint(key)?, Some(rows::read_coin(payload)?));
            }
            rows::ENTRY => {
                ledger.set_entry(rows::read_place(key)?, Some(rows::read_entry(payload)?));
            }
            rows::ITEM => {
                let id = rows::read_watch(key)?;
                match rows::read_item(id, payload, self.wallet.network) {
                    Ok(item) => self.wallet.watched.set_item(id, Some(item)),
                    Err(fault) => return Some(Err(fault)),
                }
            }
            rows::JOB => {
                let ScriptOwner { watch, keychain, index: first } = rows::read_owner(key)?;
                let key = JobKey { watch, keychain, first };
                self.wallet.jobs.insert(key, rows::read_job(payload)?);
            }
            rows::SCRIPT => {
                let script = bitcoin::ScriptBuf::from_bytes(payload.to_vec());
                self.scripts.insert(rows::read_owner(key)?, script);
            }
            _ => return None,
        }
        Some(Ok(()))
    }

    /// The wallet, if its rows fit together.
    fn fit(mut self) -> Result<Wallet, LoadError> {
        self.fit_items()?;
        self.fit_jobs()?;
        self.fit_entries()?;
        self.fit_coins()?;
        Ok(self.wallet)
    }

    fn fit_items(&mut self) -> Result<(), LoadError> {
        let last = self.wallet.watched.iter().last().map_or(0, |item| item.id.0);
        let next = self.next_id.unwrap_or(1);
        if next <= last {
            let fault = format!("it is {next}, and item {last} is there");
            return Err(bad_row(rows::NEXT_KEY, fault));
        }
        self.wallet.watched.set_next_id(next);
        if self.wallet.watched.total() > MAX_SCRIPTS {
            let fault = format!("with it there are more than {MAX_SCRIPTS} scripts");
            return Err(bad_row(&rows::item_key(WatchId(last)), fault));
        }
        let mut scripts = std::mem::take(&mut self.scripts);
        let owners: Vec<ScriptOwner> =
            self.wallet.watched.iter().flat_map(WatchItem::owners).collect();
        for owner in owners {
            let script = scripts.remove(&owner);
            let script =
                script.ok_or_else(|| bad_row(&rows::script_key(&owner), "it is missing"))?;
            self.check_first(owner, &script)?;
            self.wallet.watched.add_script(script, owner);
        }
        match scripts.keys().next() {
            Some(owner) => Err(bad_row(&rows::script_key(owner), "no item counts it")),
            None => Ok(()),
        }
    }

    /// The first script of each keychain is derived again: rows of one item do not fit another.
    fn check_first(&self, owner: ScriptOwner, script: &bitcoin::Script) -> Result<(), LoadError> {
        let Some(item) = self.wallet.watched.get(owner.watch).filter(|_| owner.index == 0) else {
            return Ok(());
        };
        let derived = item.target.derive(owner.keychain.0, 0, 1);
        if derived
            .is_ok_and(|derived| derived.first().map(|first| first.as_script()) == Some(script))
        {
            return Ok(());
        }
        Err(bad_row(&rows::script_key(&owner), "its item derives another script"))
    }

    fn fit_jobs(&self) -> Result<(), LoadError> {
        for key in self.wallet.jobs.keys() {
            let item = self.wallet.watched.get(key.watch);
            if item.is_none_or(|item| key.keychain.0 >= item.target.keychains()) {
                return Err(bad_row(&rows::job_key(key), "nothing is watched under its number"));
            }
        }
        Ok(())
    }

    fn fit_entries(&self) -> Result<(), LoadError> {
        let ledger = &self.wallet.ledger;
        let tip = self.wallet.marks.tip();
        for (place, entry) in ledger.entries() {
            let fault = |fault: &str| Err(bad_row(&rows::entry_key(*place), fault));
            if tip.is_none_or(|tip| place.height > tip.height) {
                return fault("it is above the tip");
            }
            if self.wallet.marks.hash_at(place.height).is_some_and(|hash| hash != entry.block) {
                return fault("its block is on another branch");
            }
            if ledger.made_by(entry.txid).chain(ledger.spent_by(&entry.txid)).next().is_none() {
                return fault("no coin belongs to it");
            }
        }
        Ok(())
    }

    fn fit_coins(&self) -> Result<(), LoadError> {
        let ledger = &self.wallet.ledger;
        let is_at = |place, txid| ledger.entry(&place).is_some_and(|entry| entry.txid == txid);
        for (outpoint, coin) in ledger.coins() {
            let fault = |fault: &str| Err(bad_row(&rows::coin_key(outpoint), fault));
            let Coin { made, spent, script, .. } = coin;
            if !is_at(*made, outpoint.txid) {
                return fault("the transaction that made it is missing");
            }
            if spent.is_some_and(|spend| !is_at(spend.place, spend.txid)) {
                return fault("the transaction that spent it is missing");
            }
            if spent.is_some_and(|spend| spend.place <= *made) {
                return fault("it was spent before it was made");
            }
            if !self.wallet.watched.counts(script, made.height, None) {
                return fault("nobody watches its script");
            }
        }
        Ok(())
    }
}

/// Compares the transactions with the rest: each is the one of its entry, and, where no scan is on
/// its way to it, no coin that it makes or spends is missing. Read one by one, since they are the bulk of
/// the table.
fn fit_bodies(wallet: &Wallet, store: &dyn Store) -> Result<(), LoadError> {
    let mut unseen: BTreeSet<Place> = wallet.ledger.entries().keys().copied().collect();
    let mut outcome = Ok(());
    store.scan(Table::Wallet, &[rows::BODY], &mut |key, stored| {
        let Some((&rows::BODY, rest)) = key.split_first() else { return ControlFlow::Break(()) };
        match fit_body(wallet, key, rest, stored) {
            Ok(place) => {
                unseen.remove(&place);
                ControlFlow::Continue(())
            }
            Err(fault) => {
                outcome = Err(bad_row(key, fault));
                ControlFlow::Break(())
            }
        }
    })?;
    outcome?;
    match unseen.first() {
        Some(place) => Err(bad_row(&rows::body_key(*place), "it is missing")),
        None => Ok(()),
    }
}

fn fit_body(wallet: &Wallet, key: &[u8], rest: &[u8], stored: &[u8]) -> Result<Place, String> {
    let malformed = || "its bytes have no known form".to_owned();
    let payload =
        checksum::open(Table::Wallet, key, stored).map_err(|damage| damage.what.to_string())?;
    let place = rows::read_place(rest).ok_or_else(malformed)?;
    let (transaction, _proof) = rows::read_body(payload).ok_or_else(malformed)?;
    let entry = wallet.ledger.entry(&place).ok_or("the history does not have it")?;
    let found = super::block::entry_of(&transaction, entry.block);
    if found != *entry {
        return Err(format!("it is the transaction {}, not {}", found.txid, entry.txid));
    }
    if wallet.jobs.values().all(|job| place.height < job.next) {
        fit_body_coins(wallet, place, &transaction, entry.txid)?;
    }
    Ok(place)
}

fn fit_body_coins(
    wallet: &Wallet,
    place: Place,
    transaction: &Transaction,
    txid: Txid,
) -> Result<(), String> {
    for (outpoint, output) in outputs(transaction, txid) {
        let coin = wallet.ledger.coin(&outpoint);
        let is_ours = wallet.watched.counts(&output.script_pubkey, place.height, None);
        let fits = coin.map_or(!is_ours, |coin| {
            (coin.value, &coin.script) == (output.value, &output.script_pubkey)
        });
        if !fits {
            return Err(format!("the coin {outpoint} that it makes is missing"));
        }
    }
    let spend = Some(Spend { txid, place });
    for input in &transaction.input {
        let outpoint = input.previous_output;
        if wallet.ledger.coin(&outpoint).is_some_and(|coin| coin.spent != spend) {
            return Err(format!("the coin {outpoint} does not say that it spends it"));
        }
    }
    Ok(())
}

fn outputs(transaction: &Transaction, txid: Txid) -> impl Iterator<Item = (OutPoint, &TxOut)> {
    let outputs = transaction.output.iter().zip(0_u32..);
    outputs.map(move |(output, vout)| (OutPoint { txid, vout }, output))
}

impl Wallet {
    /// The wallet of a store; one that watches nothing where there is none. Blocking.
    ///
    /// # Errors
    /// [`LoadError`] where the store fails, or a row is damaged or contradicts another; see
    /// [`salvage`](Self::salvage).
    pub fn load(store: &dyn Store, network: Network) -> Result<Self, LoadError> {
        let wallet = Self::new(network);
        let mut loading = Loading { wallet, next_id: None, scripts: BTreeMap::new() };
        each_row(store, &mut |key, payload| loading.read(key, payload))?;
        let wallet = loading.fit()?;
        fit_bodies(&wallet, store)?;
        Ok(wallet)
    }

    /// The way out of [`LoadError::Row`]. Changes nothing: commit its batch, then load and begin
    /// ([`plan_begin`](Self::plan_begin)). Slow: all scripts are derived again. Blocking.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn salvage(store: &dyn Store, network: Network) -> Result<Salvage, StoreError> {
        let (mut items, mut lost, mut last) = (Vec::new(), Vec::new(), 0);
        store.scan(Table::Wallet, &[rows::ITEM], &mut |key, stored| {
            let Some((&rows::ITEM, rest)) = key.split_first() else {
                return ControlFlow::Break(());
            };
            let id = rows::read_watch(rest);
            last = last.max(id.map_or(0, |id| id.0));
            let payload = checksum::open(Table::Wallet, key, stored).ok();
            let item = id
                .zip(payload)
                .and_then(|(id, payload)| rows::read_item(id, payload, network).ok());
            match item {
                Some(item) => items.push(item),
                None => lost.push(crate::store::hex(key)),
            }
            ControlFlow::Continue(())
        })?;
        let next = store.get(Table::Wallet, rows::NEXT_KEY)?;
        let next = next.as_deref().and_then(|stored| {
            let payload = checksum::open(Table::Wallet, rows::NEXT_KEY, stored).ok()?;
            payload.try_into().ok().map(u32::from_le_bytes)
        });
        let next = next.unwrap_or(1).max(last.saturating_add(1));
        Ok(rewritten(items, lost, next, network))
    }

    /// A confirmed transaction of ours with its proof, from the store. Blocking.
    ///
    /// # Errors
    /// [`LoadError`]
    pub fn transaction(
        &self,
        store: &dyn Store,
        txid: &Txid,
    ) -> Result<Option<StoredTransaction>, LoadError> {
        let Some(place) = self.ledger.place_of(txid) else { return Ok(None) };
        let Some(entry) = self.ledger.entry(&place) else { return Ok(None) };
        let key = rows::body_key(place);
        let stored = store.get(Table::Wallet, &key)?;
        let stored = stored.ok_or_else(|| bad_row(&key, "it is missing"))?;
        let payload = checksum::open(Table::Wallet, &key, &stored)
            .map_err(|damage| bad_row(&key, damage.what.to_string()))?;
        let (transaction, proof) = rows::read_body(payload)
            .ok_or_else(|| bad_row(&key, "its bytes have no known form"))?;
        Ok(Some(StoredTransaction { place, block: entry.block, transaction, proof }))
    }
}

/// The table anew with these items and nothing found for them yet.
fn rewritten(items: Vec<WatchItem>, mut lost: Vec<String>, next: u32, network: Network) -> Salvage {
    let empty = Wallet::new(network);
    let mut draft = Draft::new(&empty);
    let mut kept = 0_usize;
    for mut item in items {
        let counts = std::mem::take(&mut item.derived);
        item.derived = vec![0; counts.len()];
        let derived: Result<Vec<_>, _> = item
            .keychains()
            .zip(&counts)
            .map(|(keychain, count)| {
                Ok::<_, super::watch::WatchError>((
                    keychain,
                    item.target.derive(keychain.0, 0, *count)?,
                ))
            })
            .collect();
        let Ok(derived) = derived else {
            lost.push(crate::store::hex(&rows::item_key(item.id)));
            continue;
        };
        for (keychain, scripts) in derived {
            draft.add_scripts(&mut item, keychain, scripts);
            let key = JobKey { watch: item.id, keychain, first: 0 };
            draft.need_scan(key, item.birthday, ScanKind::CatchUp);
        }
        kept = kept.saturating_add(1);
        draft.set_item(item.id, Some(item));
    }
    draft.changes.next_id = Some(next);
    let mut batch = WriteBatch::new();
    batch.delete_from(Table::Wallet, Vec::new());
    batch.append(draft.finish(()).batch);
    Salvage { batch, kept, lost }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;

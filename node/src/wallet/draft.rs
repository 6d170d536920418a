//! Changes that lie over the wallet until they are committed.
//!
//! Whatever is planned reads through a [`Draft`], so that what it has changed already is seen, as a
//! block needs it whose later transactions spend from earlier ones. Rows and the change in
//! memory are made from one list, [`Changes`]: they cannot differ.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeBounds;

use bitcoin::{OutPoint, Script, ScriptBuf, Transaction, Txid};
use ironlight_spv::BlockHeight;

use super::Wallet;
use super::claim::{Claim, write_claim};
use super::coin::{BlockId, Coin, Entry, Place};
use super::marks::Marks;
use super::plan::{Effects, Planned};
use super::rows;
use super::scan::{Job, JobKey, ScanKind};
use super::watch::{Keychain, ScriptIndex, ScriptOwner, WatchId, WatchItem};
use crate::store::WriteBatch;

/// Jobs of one keychain, at most; more become one that does what all of them would.
pub(super) const MAX_JOBS: usize = 3;

/// What changes; none as a value means that it is forgotten.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    pub(super) coins: BTreeMap<OutPoint, Option<Coin>>,
    pub(super) entries: BTreeMap<Place, Option<Entry>>,
    pub(super) items: BTreeMap<WatchId, Option<WatchItem>>,
    /// New scripts. Those of an item that is forgotten go with it.
    pub(super) scripts: BTreeMap<ScriptOwner, ScriptBuf>,
    pub(super) jobs: BTreeMap<JobKey, Option<Job>>,
    pub(super) marks: Option<Marks>,
    pub(super) next_id: Option<u32>,
    pub(super) claim: Option<ClaimChange>,
    /// Waiting transactions that wait no more. They have no rows.
    pub(super) settled: BTreeSet<Txid>,
    /// Blocks were taken off, scripts came, or a job was sent back: ranges that were handed out
    /// before say less or something else now.
    pub(super) new_epoch: bool,
}

/// What becomes of the claim's record.
#[derive(Clone, Debug)]
pub(super) enum ClaimChange {
    /// It is this one.
    Set(Claim),
    /// There is none any more.
    Forget,
}

impl ClaimChange {
    const fn claim(&self) -> Option<&Claim> {
        match self {
            Self::Set(claim) => Some(claim),
            Self::Forget => None,
        }
    }
}

/// Changes on top of the wallet.
pub(super) struct Draft<'a> {
    pub(super) wallet: &'a Wallet,
    pub(super) changes: Changes,
    /// The index of the new scripts.
    new_scripts: ScriptIndex,
    /// Rows that have no counterpart in memory.
    batch: WriteBatch,
}

impl<'a> Draft<'a> {
    pub(super) fn new(wallet: &'a Wallet) -> Self {
        let (changes, new_scripts) = (Changes::default(), ScriptIndex::default());
        Self { wallet, changes, new_scripts, batch: WriteBatch::new() }
    }

    /// Puts rows and effects together.
    pub(super) fn finish<O>(self, outcome: O) -> Planned<O> {
        let Self { wallet, mut changes, mut batch, new_scripts: _ } = self;
        if changes.claim.is_none() {
            changes.claim = wallet.reopened(&changes).map(ClaimChange::Set);
        }
        changes.write(wallet, &mut batch);
        let effects = Effects { revision: wallet.revision, changes: Box::new(changes) };
        Planned { batch, effects, outcome }
    }

    pub(super) fn coin(&self, outpoint: &OutPoint) -> Option<&Coin> {
        match self.changes.coins.get(outpoint) {
            Some(changed) => changed.as_ref(),
            None => self.wallet.ledger.coin(outpoint),
        }
    }

    pub(super) fn entry(&self, place: &Place) -> Option<&Entry> {
        match self.changes.entries.get(place) {
            Some(changed) => changed.as_ref(),
            None => self.wallet.ledger.entry(place),
        }
    }

    pub(super) fn item(&self, id: WatchId) -> Option<&WatchItem> {
        match self.changes.items.get(&id) {
            Some(changed) => changed.as_ref(),
            None => self.wallet.watched.get(id),
        }
    }

    pub(super) fn tip(&self) -> Option<BlockId> {
        self.changes.marks.as_ref().unwrap_or(&self.wallet.marks).tip()
    }

    /// Who watches a script in a block of a height.
    pub(super) fn owners_at(&self, script: &Script, height: BlockHeight) -> Vec<ScriptOwner> {
        let known = self.wallet.watched.index().owners(script).iter();
        let owners = known.chain(self.new_scripts.owners(script));
        let counts = |owner: &&ScriptOwner| {
            self.item(owner.watch).is_some_and(|item| item.birthday <= height)
        };
        owners.filter(counts).copied().collect()
    }

    pub(super) fn set_coin(&mut self, outpoint: OutPoint, coin: Option<Coin>) {
        self.changes.coins.insert(outpoint, coin);
    }

    /// Sets an entry and keeps its transaction with the proof.
    pub(super) fn add_entry(&mut self, place: Place, entry: Entry, body: (&Transaction, &[u8])) {
        self.changes.entries.insert(place, Some(entry));
        let payload = rows::write_body(body.0, body.1);
        rows::set(&mut self.batch, rows::body_key(place), Some(payload));
    }

    pub(super) fn remove_entry(&mut self, place: Place) {
        self.changes.entries.insert(place, None);
        rows::set(&mut self.batch, rows::body_key(place), None);
    }

    /// Adds scripts of a keychain from an index on, and counts them in its item.
    pub(super) fn add_scripts(
        &mut self,
        item: &mut WatchItem,
        keychain: Keychain,
        scripts: Vec<ScriptBuf>,
    ) {
        let Some(derived) = item.derived.get_mut(usize::from(keychain.0)) else { return };
        // A range that was handed out before does not look for them.
        self.changes.new_epoch |= !scripts.is_empty();
        for script in scripts {
            let owner = ScriptOwner { watch: item.id, keychain, index: *derived };
            *derived = derived.saturating_add(1);
            self.new_scripts.insert(script.clone(), owner);
            self.changes.scripts.insert(owner, script);
        }
    }

    pub(super) fn set_item(&mut self, id: WatchId, item: Option<WatchItem>) {
        self.changes.items.insert(id, item);
    }

    pub(super) fn jobs(&self) -> BTreeMap<JobKey, Job> {
        self.jobs_in(..)
    }

    /// Those of one item, without a look at all others.
    pub(super) fn jobs_of(&self, watch: WatchId) -> BTreeMap<JobKey, Job> {
        let key = |keychain, first| JobKey { watch, keychain: Keychain(keychain), first };
        self.jobs_in(key(0, 0)..=key(u8::MAX, u32::MAX))
    }

    fn jobs_in(&self, range: impl RangeBounds<JobKey> + Clone) -> BTreeMap<JobKey, Job> {
        let kept = self.wallet.jobs.range(range.clone()).map(|(key, job)| (*key, *job));
        let mut jobs: BTreeMap<JobKey, Job> = kept.collect();
        for (key, job) in self.changes.jobs.range(range) {
            match job {
                Some(job) => jobs.insert(*key, *job),
                None => jobs.remove(key),
            };
        }
        jobs
    }

    pub(super) fn set_job(&mut self, key: JobKey, job: Option<Job>) {
        self.changes.jobs.insert(key, job);
    }

    /// Scripts of a keychain from an index on need the blocks from a height on, below the tip. A job
    /// that does as much already is enough, one that does less is replaced.
    pub(super) fn need_scan(&mut self, key: JobKey, next: BlockHeight, kind: ScanKind) {
        let of_keychain = |other: &JobKey| other.keychain == key.keychain;
        let jobs = self.jobs_of(key.watch).into_iter();
        let jobs: Vec<(JobKey, Job)> = jobs.filter(|(other, _)| of_keychain(other)).collect();
        let covers = |(other, job): &&(JobKey, Job)| other.first <= key.first && job.next <= next;
        if let Some((other, job)) = jobs.iter().find(covers) {
            self.set_job(*other, Some(Job { kind: job.kind.min(kind), ..*job }));
            return;
        }
        let mut job = Job { next, kind };
        let mut key = key;
        let full = jobs.len() >= MAX_JOBS;
        for (other, old) in jobs {
            if full || (other.first >= key.first && old.next >= next) {
                self.set_job(other, None);
                job = Job { next: job.next.min(old.next), kind: job.kind.min(old.kind) };
                key.first = key.first.min(other.first);
            }
        }
        // A range that was handed out for the old job would move the new one on.
        self.changes.new_epoch |= self.wallet.jobs.contains_key(&key);
        self.set_job(key, Some(job));
    }

    /// Jobs that have nothing left to look at are done.
    pub(super) fn drop_done_jobs(&mut self) {
        self.drop_done(self.jobs());
    }

    /// The same of these.
    pub(super) fn drop_done(&mut self, jobs: BTreeMap<JobKey, Job>) {
        let Some(tip) = self.tip() else { return };
        for (key, job) in jobs {
            if job.next > tip.height {
                self.set_job(key, None);
            }
        }
    }
}

impl Changes {
    /// The rows of all changes.
    fn write(&self, wallet: &Wallet, batch: &mut WriteBatch) {
        for (outpoint, coin) in &self.coins {
            rows::set(batch, rows::coin_key(outpoint), coin.as_ref().map(rows::write_coin));
        }
        for (place, entry) in &self.entries {
            rows::set(batch, rows::entry_key(*place), entry.as_ref().map(rows::write_entry));
        }
        for (id, item) in &self.items {
            rows::set(batch, rows::item_key(*id), item.as_ref().map(rows::write_item));
            if item.is_none() {
                let owners = wallet.watched.get(*id).into_iter().flat_map(WatchItem::owners);
                owners.for_each(|owner| rows::set(batch, rows::script_key(&owner), None));
            }
        }
        for (owner, script) in &self.scripts {
            let payload = script.as_bytes().to_vec();
            rows::set(batch, rows::script_key(owner), Some(payload));
        }
        for (key, job) in &self.jobs {
            rows::set(batch, rows::job_key(key), job.map(rows::write_job));
        }
        if let Some(marks) = &self.marks {
            rows::set(batch, rows::TIP_KEY.to_vec(), Some(rows::write_tip(marks)));
        }
        if let Some(next) = self.next_id {
            rows::set(batch, rows::NEXT_KEY.to_vec(), Some(next.to_le_bytes().to_vec()));
        }
        if let Some(claim) = &self.claim {
            rows::set(batch, rows::CLAIM_KEY.to_vec(), claim.claim().map(write_claim));
        }
    }
}

impl Wallet {
    /// The same changes in memory.
    pub(super) fn take_in(&mut self, changes: Changes) {
        let Changes {
            coins,
            entries,
            items,
            scripts,
            jobs,
            marks,
            next_id,
            claim,
            settled,
            new_epoch,
        } = changes;
        for (id, item) in items {
            self.watched.set_item(id, item);
        }
        for (owner, script) in scripts {
            self.watched.add_script(script, owner);
        }
        for (outpoint, coin) in coins {
            self.ledger.set_coin(outpoint, coin);
        }
        for (place, entry) in entries {
            self.ledger.set_entry(place, entry);
        }
        for (key, job) in jobs {
            match job {
                Some(job) => self.jobs.insert(key, job),
                None => self.jobs.remove(&key),
            };
        }
        if let Some(marks) = marks {
            self.marks = marks;
        }
        if let Some(next) = next_id {
            self.watched.set_next_id(next);
        }
        match claim {
            Some(ClaimChange::Set(claim)) => self.claim = Some(claim),
            Some(ClaimChange::Forget) => self.claim = None,
            None => {}
        }
        for txid in settled {
            self.pending.remove(&txid);
        }
        self.epoch = self.epoch.wrapping_add(u64::from(new_epoch));
    }
}

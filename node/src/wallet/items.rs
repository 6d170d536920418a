//! Items come and go.

use std::collections::BTreeMap;

use ironlight_spv::BlockHeight;

use super::Wallet;
use super::claim::{Claim, ClaimBlock, ClaimVerdict, ClaimedItem, ImportRefused, NoClaim};
use super::coin::BlockId;
use super::draft::{ClaimChange, Draft};
use super::file::{FileId, FileItem, WalletFile};
use super::label::AccountName;
use super::plan::{Planned, Unwatched};
use super::scan::{JobKey, ScanKind};
use super::watch::{
    Keychain, MAX_SCRIPTS, WatchChange, WatchError, WatchId, WatchItem, WatchRequest, Watched,
};

impl Wallet {
    /// Watches something. Slow for descriptors: about 0.06 ms a script and key.
    ///
    /// The same target in the same account is not watched twice: the request may give it another
    /// label, an earlier birthday or a higher gap limit, and else changes nothing.
    ///
    /// # Errors
    /// [`WatchError`]
    pub fn plan_watch(&self, request: WatchRequest) -> Result<Planned<Watched>, WatchError> {
        let same =
            |item: &&WatchItem| item.account == request.account && item.target == request.target;
        let known = self.watched.iter().find(same).cloned();
        let mut draft = Draft::new(self);
        let outcome = match known {
            Some(item) => draft.update_item(item, request, &[])?,
            None => draft.add_item(request, &[])?,
        };
        Ok(draft.finish(outcome))
    }

    /// Watches what a file has, all of it or nothing, and takes its state as a claim, in place of the
    /// one before; `block` says how the one before stands. What is watched already keeps its label.
    /// Slow, as [`plan_watch`](Self::plan_watch) is.
    ///
    /// # Errors
    /// [`ImportRefused`]
    pub fn plan_import(
        &self,
        file: &WalletFile,
        id: FileId,
        block: ClaimBlock,
    ) -> Result<Planned<Vec<Watched>>, ImportRefused> {
        self.check_import(id, block)?;
        let mut draft = Draft::new(self);
        let (mut outcomes, mut items) = (Vec::new(), Vec::new());
        let known: BTreeMap<(&AccountName, String), &WatchItem> = self
            .watched
            .iter()
            .map(|item| ((&item.account, item.target.to_string()), item))
            .collect();
        for item in &file.items {
            let FileItem { request, derived } = item;
            let watched = match known.get(&(&request.account, request.target.to_string())) {
                Some(known) => {
                    // How it is called here is its owner's choice, and the file may be old.
                    let label = known.label.clone();
                    let request = WatchRequest { label, ..request.clone() };
                    draft.update_item((*known).clone(), request, derived)?
                }
                None => draft.add_item(request.clone(), derived)?,
            };
            let (birthday, derived) = (request.birthday, derived.clone());
            items.push(ClaimedItem { watch: watched.id, birthday, derived });
            outcomes.push(watched);
        }
        let (block, root, verdict) = (file.block, file.root()?, ClaimVerdict::Open);
        let known = self.claim().filter(|claim| claim.file == id && claim.items == items);
        let verdict = known.map_or(verdict, |claim| claim.verdict);
        let claim = Claim { file: id, block, root, items, verdict };
        draft.changes.claim = Some(ClaimChange::Set(claim));
        Ok(draft.finish(outcomes))
    }

    /// What became of the claim.
    ///
    /// # Errors
    /// [`NoClaim`] where there is none.
    pub fn plan_verdict(&self, verdict: ClaimVerdict) -> Result<Planned<()>, NoClaim> {
        let claim = self.claim().ok_or(NoClaim)?;
        let mut draft = Draft::new(self);
        draft.changes.claim = Some(ClaimChange::Set(Claim { verdict, ..claim.clone() }));
        Ok(draft.finish(()))
    }

    /// Drops the claim, and says of which block it was; what its file brought is watched on.
    ///
    /// # Errors
    /// [`NoClaim`] where there is none.
    pub fn plan_forget_claim(&self) -> Result<Planned<BlockId>, NoClaim> {
        let block = self.claim().ok_or(NoClaim)?.block;
        let mut draft = Draft::new(self);
        draft.changes.claim = Some(ClaimChange::Forget);
        Ok(draft.finish(block))
    }

    /// Watches an item no more. Coins and history of scripts that no other item has are forgotten.
    ///
    /// # Errors
    /// [`WatchError::Unknown`]
    pub fn plan_unwatch(&self, id: WatchId) -> Result<Planned<Unwatched>, WatchError> {
        let item = self.watched.get(id).ok_or(WatchError::Unknown { id })?;
        let index = self.watched.index().iter();
        let only_its = index.filter(|(_, owners)| owners.iter().all(|owner| owner.watch == id));
        let scripts = only_its.count();
        let mut draft = Draft::new(self);
        draft.set_item(item.id, None);
        for key in self.jobs.keys().filter(|key| key.watch == id) {
            draft.set_job(*key, None);
        }
        let (coins, transactions) = draft.forget_unwatched();
        Ok(draft.finish(Unwatched { scripts, coins, transactions }))
    }

    /// What is watched, in the order in which it was added.
    pub fn watches(&self) -> impl Iterator<Item = &WatchItem> {
        self.watched.iter()
    }

    /// An item.
    #[must_use]
    pub fn watch(&self, id: WatchId) -> Option<&WatchItem> {
        self.watched.get(id)
    }

    /// All watched scripts with their owners.
    #[must_use]
    pub const fn script_index(&self) -> &super::watch::ScriptIndex {
        self.watched.index()
    }

    /// The accounts that something is watched for, sorted.
    #[must_use]
    pub fn accounts(&self) -> Vec<AccountName> {
        let names = self.watched.iter().map(|item| item.account.clone());
        names.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    }

    /// The earliest birthday; filters from there on are of use.
    #[must_use]
    pub fn earliest_birthday(&self) -> Option<BlockHeight> {
        self.watched.iter().map(|item| item.birthday).min()
    }
}

impl Draft<'_> {
    /// With so many scripts of each keychain at least.
    fn add_item(&mut self, request: WatchRequest, at_least: &[u32]) -> Result<Watched, WatchError> {
        let next = self.changes.next_id.unwrap_or_else(|| self.wallet.watched.next_id());
        let wanted = request.scripts();
        let WatchRequest { target, account, label, birthday, gap_limit } = request;
        let derived = vec![0; usize::from(target.keychains())];
        let id = WatchId(next);
        let mut item = WatchItem { id, target, account, label, birthday, gap_limit, derived };
        let added_scripts = self.derive_more(&mut item, wanted, at_least)?;
        let keychains = item.keychains();
        self.set_item(id, Some(item));
        self.changes.next_id = Some(next.saturating_add(1));
        for keychain in keychains {
            let key = JobKey { watch: id, keychain, first: 0 };
            self.need_scan(key, birthday, ScanKind::CatchUp);
        }
        self.drop_done(self.jobs_of(id));
        let scan_from = self.scan_from(id);
        Ok(Watched { id, change: WatchChange::Added, added_scripts, scan_from })
    }

    /// With so many scripts of each keychain at least.
    fn update_item(
        &mut self,
        known: WatchItem,
        request: WatchRequest,
        at_least: &[u32],
    ) -> Result<Watched, WatchError> {
        let id = known.id;
        let mut item = known.clone();
        item.label = request.label;
        item.birthday = known.birthday.min(request.birthday);
        item.gap_limit = known.gap_limit.max(request.gap_limit);
        let more = item.gap_limit.get().saturating_sub(known.gap_limit.get());
        let added_scripts = match item.target.is_ranged() {
            true => self.derive_more(&mut item, more, at_least)?,
            false => 0,
        };
        if item == known {
            let change = WatchChange::Unchanged;
            return Ok(Watched { id, change, added_scripts: 0, scan_from: None });
        }
        let birthday = item.birthday;
        self.set_item(id, Some(item));
        for keychain in known.keychains() {
            if birthday < known.birthday {
                self.need_scan(
                    JobKey { watch: id, keychain, first: 0 },
                    birthday,
                    ScanKind::CatchUp,
                );
            } else if added_scripts > 0 {
                let first = known.count(keychain);
                self.need_scan(JobKey { watch: id, keychain, first }, birthday, ScanKind::CatchUp);
            }
        }
        self.drop_done(self.jobs_of(id));
        let scan_from = self.scan_from(id);
        Ok(Watched { id, change: WatchChange::Updated, added_scripts, scan_from })
    }

    /// Derives so many more scripts of each keychain, and up to its least count, or as many as there
    /// are. All or nothing.
    fn derive_more(
        &mut self,
        item: &mut WatchItem,
        more: u32,
        at_least: &[u32],
    ) -> Result<usize, WatchError> {
        let ends: Vec<(Keychain, u32, u32)> = item
            .keychains()
            .map(|keychain| {
                let from = item.count(keychain);
                let last = super::watch::MAX_INDEX.saturating_add(1);
                let least = at_least.get(usize::from(keychain.0)).copied().unwrap_or(0);
                (keychain, from, from.saturating_add(more).max(least).min(last))
            })
            .collect();
        let count = |(_, from, to): &(Keychain, u32, u32)| {
            usize::try_from(to.saturating_sub(*from)).unwrap_or(usize::MAX)
        };
        let added = ends.iter().map(count).fold(0, usize::saturating_add);
        let watched = self.total_scripts();
        if watched.saturating_add(added) > MAX_SCRIPTS {
            return Err(WatchError::TooManyScripts { watched, added, limit: MAX_SCRIPTS });
        }
        for (keychain, from, to) in ends {
            let scripts = item.target.derive(keychain.0, from, to)?;
            self.add_scripts(item, keychain, scripts);
        }
        Ok(added)
    }

    /// Where an item's jobs begin.
    fn scan_from(&self, id: WatchId) -> Option<BlockHeight> {
        self.jobs_of(id).into_values().map(|job| job.next).min()
    }
}

//! Which blocks have to be looked at for which scripts.
//!
//! New blocks are looked at for all scripts; that is the wallet's tip. What is watched later needs
//! the blocks from its birthday on: a job for each keychain, which follows the tip until it has
//! caught up. It has to go up to the tip as it is then, since a coin that it finds may have been spent
//! in a block that was scanned before the coin was known.
//!
//! Scripts that are derived because one before them was used get a job as well, of kind
//! [`LookBack`](ScanKind::LookBack): they are in every range from then on, so it only finds what
//! was paid out of order, to an address beyond the gap of its time. It may wait.

use bitcoin::ScriptBuf;
use ironlight_spv::BlockHeight;

use super::coin::BlockId;
use super::draft::Draft;
use super::error::PlanError;
use super::plan::{Planned, WalletEvent};
use super::watch::{Keychain, ScriptOwner, WatchId, WatchItem};
use super::{BlockAt, Wallet};

/// Why a range is scanned; the order is that of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScanKind {
    /// Blocks above the wallet's tip, for all scripts.
    Tip,
    /// Blocks from a birthday or a chosen height on, for what was added.
    CatchUp,
    /// Older blocks, for scripts derived late. Worth doing when filters are at hand.
    LookBack,
}

/// A keychain's scripts from an index on, which have to be looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobKey {
    /// The item.
    pub watch: WatchId,
    /// Its keychain.
    pub keychain: Keychain,
    /// The first index.
    pub first: u32,
}

/// How far that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// The next height to look at.
    pub next: BlockHeight,
    /// Why.
    pub kind: ScanKind,
}

/// Heights whose filters have to be matched with scripts, in ascending order. A block whose filter
/// matches goes to [`Wallet::plan_block`](super::Wallet::plan_block). When its outcome says that scripts
/// were derived, ask for the next range: this one is stale, since the heights above have to be matched
/// with those, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRange {
    /// The first height.
    pub from: BlockHeight,
    /// The last height.
    pub to: BlockHeight,
    /// Why.
    pub kind: ScanKind,
    /// What to match with, in the order of their bytes, without duplicates.
    pub scripts: Vec<ScriptBuf>,
    pub(super) jobs: Vec<JobKey>,
    pub(super) epoch: u64,
}

impl Wallet {
    /// What to scan next, the most urgent first: blocks up to `best`, then birthdays, then what was
    /// derived late. None: all is done.
    #[must_use]
    pub fn next_range(&self, best: BlockHeight) -> Option<ScanRange> {
        let tip = self.tip()?.height;
        if best > tip {
            let scripts = self.watched.index().scripts().map(ToOwned::to_owned).collect();
            let (from, kind, jobs) = (tip.next(), ScanKind::Tip, Vec::new());
            return Some(ScanRange { from, to: best, kind, scripts, jobs, epoch: self.epoch });
        }
        self.next_job(tip)
    }

    /// Jobs of the most urgent kind that go on at the same height, up to where the next one joins.
    fn next_job(&self, tip: BlockHeight) -> Option<ScanRange> {
        let due = self.jobs.iter().filter(|(_, job)| job.next <= tip);
        let (kind, from) = due.clone().map(|(_, job)| (job.kind, job.next)).min()?;
        let of_kind = due.filter(|(_, job)| job.kind == kind);
        let joins = of_kind.clone().map(|(_, job)| job.next).filter(|next| *next > from).min();
        let to = joins.and_then(|next| next.minus(1)).unwrap_or(tip);
        let jobs: Vec<JobKey> =
            of_kind.filter(|(_, job)| job.next == from).map(|(key, _)| *key).collect();
        let scripts = self.scripts_of(&jobs);
        Some(ScanRange { from, to, kind, scripts, jobs, epoch: self.epoch })
    }

    fn scripts_of(&self, jobs: &[JobKey]) -> Vec<ScriptBuf> {
        let wanted = |owner: &ScriptOwner| {
            jobs.iter().any(|job| {
                (job.watch, job.keychain) == (owner.watch, owner.keychain)
                    && owner.index >= job.first
            })
        };
        let scripts = self.watched.index().iter();
        let scripts = scripts.filter(|(_, owners)| owners.iter().any(wanted));
        scripts.map(|(script, _)| script.to_owned()).collect()
    }

    /// The jobs that are not done yet.
    pub fn jobs(&self) -> impl Iterator<Item = (JobKey, Job)> {
        self.jobs.iter().map(|(key, job)| (*key, *job))
    }

    fn check_range(&self, range: &ScanRange, height: BlockHeight) -> Result<(), PlanError> {
        let tip = self.tip().ok_or(PlanError::NotBegun)?.height;
        if range.epoch != self.epoch {
            return Err(PlanError::StaleRange);
        }
        let (from, to) = (range.from, range.to);
        if height < from || height > to {
            return Err(PlanError::OutsideRange { height, from, to });
        }
        match range.kind {
            ScanKind::Tip if from > tip.next() => Err(PlanError::NotNext { from, tip }),
            ScanKind::Tip | ScanKind::CatchUp | ScanKind::LookBack => Ok(()),
        }
    }

    /// A block whose filter matched: what it does to coins and history, and that the range is done
    /// up to it. Heights of the range below it did not match, or were given before.
    ///
    /// Looking at a block again changes nothing.
    ///
    /// # Errors
    /// [`PlanError`]
    pub fn plan_block(
        &self,
        range: &ScanRange,
        block: &BlockAt<'_>,
    ) -> Result<Planned<Vec<WalletEvent>>, PlanError> {
        self.check_range(range, block.height)?;
        self.check_branch(block)?;
        let (mut draft, mut events) = (Draft::new(self), Vec::new());
        // First what lies below: scripts that this block makes us derive were not looked for there,
        // and a job that has passed it must not pass for one that will.
        if let Some(below) = block.height.minus(1).filter(|below| *below >= range.from) {
            draft.advance_jobs(range, range.from, below);
        }
        draft.apply_block(block, &mut events)?;
        draft.advance(range, block.height, BlockId { height: block.height, hash: block.hash });
        Ok(draft.finish(events))
    }

    /// The range is done up to a block, whose hash is that of the best chain at its height: no
    /// filter in between matched but those of blocks that were given.
    ///
    /// # Errors
    /// [`PlanError`]
    pub fn plan_scanned(
        &self,
        range: &ScanRange,
        up_to: BlockId,
    ) -> Result<Planned<()>, PlanError> {
        self.check_range(range, up_to.height)?;
        if let Some(known) = self.marks.hash_at(up_to.height).filter(|known| *known != up_to.hash) {
            return Err(PlanError::OtherBranch { height: up_to.height, known });
        }
        let mut draft = Draft::new(self);
        draft.advance(range, range.from, up_to);
        Ok(draft.finish(()))
    }

    /// Looks at blocks again from a height on, for one item or all. Below its birthday, the birthday
    /// is moved.
    ///
    /// # Errors
    /// [`PlanError::Unknown`]
    pub fn plan_rescan(
        &self,
        which: Option<WatchId>,
        from: BlockHeight,
    ) -> Result<Planned<()>, PlanError> {
        if let Some(id) = which
            && self.watched.get(id).is_none()
        {
            return Err(PlanError::Unknown { id });
        }
        let mut draft = Draft::new(self);
        for item in self.watched.iter().filter(|item| which.is_none_or(|id| item.id == id)) {
            if from < item.birthday {
                draft.set_item(item.id, Some(WatchItem { birthday: from, ..item.clone() }));
            }
            draft.scan_item(item, from);
        }
        draft.drop_done_jobs();
        Ok(draft.finish(()))
    }

    /// Looks at blocks again from a height on, because what was known of them was wrong. Birthdays
    /// stay where they are.
    pub fn plan_recheck(&self, from: BlockHeight) -> Planned<()> {
        let mut draft = Draft::new(self);
        for item in self.watched.iter() {
            draft.scan_item(item, from.max(item.birthday));
        }
        draft.drop_done_jobs();
        draft.finish(())
    }
}

impl Draft<'_> {
    fn scan_item(&mut self, item: &WatchItem, from: BlockHeight) {
        for keychain in item.keychains() {
            let key = JobKey { watch: item.id, keychain, first: 0 };
            self.need_scan(key, from, ScanKind::CatchUp);
        }
    }

    /// A range is done from a height up to a block.
    fn advance(&mut self, range: &ScanRange, from: BlockHeight, up_to: BlockId) {
        let wallet = self.wallet;
        if range.kind == ScanKind::Tip && wallet.tip().is_some_and(|tip| tip.height < up_to.height)
        {
            self.changes.marks = Some(wallet.marks.with(up_to));
        }
        self.advance_jobs(range, from, up_to.height);
        self.drop_done_jobs();
    }

    /// The jobs of a range are done from a height up to another.
    fn advance_jobs(&mut self, range: &ScanRange, from: BlockHeight, up_to: BlockHeight) {
        let jobs = self.jobs();
        for key in &range.jobs {
            // One that was sent further back since has to begin there.
            let Some(job) = jobs.get(key).filter(|job| job.next >= from) else { continue };
            let next = job.next.max(up_to.next());
            self.set_job(*key, Some(Job { next, ..*job }));
        }
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;

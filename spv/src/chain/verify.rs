//! Judging a batch against the chain, and planning what applying it will do.

use alloc::boxed::Box;

use bitcoin::BlockHash;

use super::HeaderChain;
use super::batch::{ChainTip, HeaderRun, LinkedBatch, TipChange, VerifiedBatch};
use super::context::Context;
use super::error::{Blame, HeaderError, Violation};
use crate::header::{BlockHeight, Header};
use crate::rules::checkpoint;
use crate::time::UnixTime;

impl HeaderChain {
    /// Checks a batch of headers that follow each other against all rules. Headers already known
    /// are passed over. `now` is the wall clock, for the rule against headers from the future.
    ///
    /// # Errors
    /// [`HeaderError`] for the first header that breaks a rule; it carries the valid ones before
    /// it as a batch of their own.
    pub fn verify(&self, headers: &[Header], now: UnixTime) -> Result<VerifiedBatch, HeaderError> {
        self.verify_linked(LinkedBatch::new(&self.params, headers.to_vec()), now)
    }

    /// As [`verify`](Self::verify), for a batch that was hashed and linked before, perhaps on
    /// another thread.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn verify_linked(
        &self,
        batch: LinkedBatch,
        now: UnixTime,
    ) -> Result<VerifiedBatch, HeaderError> {
        let known = self.known_prefix(&batch);
        let Some(mut context) = self.context_before(&batch, known) else {
            return self.without_context(&batch, known);
        };
        let tip_before = context.tip();
        let mut passed = known;
        let mut failure = batch.failure;
        let rest = batch.headers.iter().zip(&batch.hashes).take(batch.passed).skip(known);
        for (header, hash) in rest {
            if let Err(violation) = context.check(&self.params, header, hash, now) {
                failure = Some(violation);
                break;
            }
            context.push_fields(&self.params, header.time(), header.compact_target());
            passed += 1;
        }
        if let Some(last) = passed.checked_sub(1).and_then(|last| batch.hash(last)) {
            context.hash = last;
        }
        let failed_hash = batch.hash(passed);
        let run = batch.into_run(known, passed, tip_before.height.next());
        let verified = self.plan(tip_before, run, context);
        let (Some(violation), Some(hash)) = (failure, failed_hash) else { return Ok(verified) };
        let height = Some(verified.end.lineage.height.next());
        let prefix = (!verified.is_empty()).then(|| Box::new(verified));
        let blame = self.blame_for(violation, height);
        Err(HeaderError { index: passed, height, hash, violation, blame, prefix })
    }

    /// Whose fault a violation is. Up to the first retarget that can be checked exactly nothing has
    /// shown that a trusted start's height is right: with a wrong one, honest headers have wrong
    /// targets. That retarget is at most the second one, since the first may lack its period's
    /// first header.
    fn blame_for(&self, violation: Violation, height: Option<BlockHeight>) -> Blame {
        let about_target = matches!(
            violation,
            Violation::WrongTarget { .. } | Violation::ForbiddenTransition { .. }
        );
        let start = self.start_height();
        let period = self.params.period;
        let second_retarget = start.plus(2 * period - start.0 % period);
        let unproven =
            start > BlockHeight::GENESIS && height.is_some_and(|height| height <= second_retarget);
        if about_target && unproven { Blame::Local } else { violation.blame() }
    }

    /// How many headers at the batch's beginning are known.
    pub(crate) fn known_prefix(&self, batch: &LinkedBatch) -> usize {
        // The usual batch extends the tip, whose children cannot be known.
        if batch.headers.first().is_some_and(|first| first.prev_hash() == self.tip.hash) {
            return 0;
        }
        let is_known = |header: &[u8; 32]| {
            self.contains(&<BlockHash as bitcoin::hashes::Hash>::from_byte_array(*header))
        };
        let hashes = batch.hashes.get(..batch.passed).unwrap_or_default();
        // What is known has known ancestors, down to the chain's start: halving finds the end of
        // the known ones, so that a batch of repeats costs little more than its hashing.
        if hashes.first().is_some_and(is_known) { hashes.partition_point(is_known) } else { 0 }
    }

    /// The context of the first header that is not known.
    fn context_before(&self, batch: &LinkedBatch, known: usize) -> Option<Context> {
        let parent = match known.checked_sub(1) {
            Some(last_known) => batch.hash(last_known)?,
            None => batch.headers.first()?.prev_hash(),
        };
        if self.invalid.contains(&parent) {
            return None;
        }
        let context = self.context_of(&parent)?;
        let first = batch.hash(known);
        let forbidden = first.is_some_and(|hash| self.invalid.contains(&hash))
            || self.fork_violation(&context, batch, known).is_some();
        (!forbidden).then_some(context)
    }

    /// Whether the new headers start a fork below a checkpoint.
    fn fork_violation(
        &self,
        parent: &Context,
        batch: &LinkedBatch,
        known: usize,
    ) -> Option<Violation> {
        if self.params.checkpoints.is_empty() || known >= batch.passed {
            return None;
        }
        let (_, fork_point) = self.branch_below(parent.hash);
        checkpoint::check_fork(&self.params, fork_point?, self.tip().height).err()
    }

    /// The verdict on a batch whose new headers have no parent to be checked against.
    #[cold]
    fn without_context(
        &self,
        batch: &LinkedBatch,
        known: usize,
    ) -> Result<VerifiedBatch, HeaderError> {
        let refuse = |index: usize, height, violation| {
            let hash = batch.hash(index).unwrap_or_else(|| self.tip().hash);
            let blame = self.blame_for(violation, height);
            Err(HeaderError { index, height, hash, violation, blame, prefix: None })
        };
        if let Some(failure) = batch.failure {
            return refuse(batch.passed, None, failure);
        }
        let Some(first) = batch.headers.get(known) else {
            return Ok(self.plan(self.tip(), HeaderRun::default(), self.tip.clone()));
        };
        let parent = first.prev_hash();
        let invalid = [batch.hash(known), Some(parent)]
            .into_iter()
            .flatten()
            .find(|hash| self.invalid.contains(hash));
        let context = self.context_of(&parent);
        let height = context.as_ref().map(|context| context.lineage.height.next());
        let violation = match (invalid, context) {
            (Some(invalid), _) => Violation::KnownInvalid { invalid },
            (None, Some(context)) => self
                .fork_violation(&context, batch, known)
                .unwrap_or(Violation::UnknownParent { parent }),
            (None, None) => Violation::UnknownParent { parent },
        };
        refuse(known, height, violation)
    }

    /// Says what applying verified headers will do.
    fn plan(&self, parent: ChainTip, run: HeaderRun, end: Context) -> VerifiedBatch {
        let (revision, made_on) = (self.revision, self.tip.hash);
        let unchanged = TipChange::Unchanged;
        if run.is_empty() || end.work.total <= self.tip.work.total {
            return VerifiedBatch { change: unchanged, side: run, end, revision, made_on };
        }
        let change = if parent.hash == self.tip.hash {
            TipChange::Extended { connected: run }
        } else {
            self.plan_reorg(parent.hash, run)
        };
        VerifiedBatch { change, side: HeaderRun::default(), end, revision, made_on }
    }

    fn plan_reorg(&self, parent: BlockHash, run: HeaderRun) -> TipChange {
        let (branch, fork_height) = self.branch_below(parent);
        let fork_height = fork_height.unwrap_or(self.start_height());
        let mut connected = HeaderRun::starting_at(fork_height.next());
        for entry in branch.iter().rev() {
            connected.push(entry.header, entry.hash);
        }
        connected.append(run);
        let mut disconnected = HeaderRun::starting_at(fork_height.next());
        let mut fork_point = self.tip();
        if let Some(entry) = self.get(fork_height) {
            fork_point = ChainTip { height: fork_height, hash: entry.hash, work: entry.work };
        }
        let mut parent = fork_point.hash;
        for body in self.bodies(fork_height.next()..self.tip().height.next()) {
            let header = body.with_parent(parent);
            parent = header.hash();
            disconnected.push(header, parent);
        }
        TipChange::Reorg { fork_point, disconnected, connected }
    }
}

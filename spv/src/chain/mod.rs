//! The header chain: verify a batch, apply it, look things up.
//!
//! Invariant: every header in it passed every rule that its [`Basis`] allows to be applied, and
//! the best chain is the one with the most work, the first seen among equals. What an attacker
//! can grow: side branches, up to [`MAX_FORK_HEADERS`] headers, and the list of headers known to
//! be invalid, up to [`MAX_INVALID`].

mod batch;
mod context;
mod error;
mod forks;
mod index;
mod locator;
mod spine;
mod start;

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::ops::Range;

use bitcoin::{BlockHash, CompactTarget, Work};

pub use batch::{ChainTip, HeaderRun, LinkedBatch, StaleBatch, TipChange, VerifiedBatch};
use context::Context;
pub use context::Unapplied;
pub(crate) use context::work_of;
pub use error::{Blame, HeaderError, Violation};
use forks::ForkTree;
pub use forks::MAX_FORK_HEADERS;
pub use locator::BlockLocator;
use spine::Spine;
pub use start::{Basis, TrustedStart};

use crate::compress::HeaderBody;
use crate::header::{BlockHeight, Header, IndexedHeader};
use crate::params::Params;
use crate::rules::checkpoint;
use crate::rules::difficulty::{self, Lineage, PeriodFirst, Required};
use crate::rules::pow::PowCheck;
use crate::rules::timestamp::{MEDIAN_SPAN, RecentTimes};
use crate::time::UnixTime;

/// Headers remembered as invalid; the oldest is forgotten first.
pub const MAX_INVALID: usize = 1024;

/// Where a known header lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// On the best chain.
    Best,
    /// On a side branch.
    Side,
}

/// A chain of verified headers, with its side branches.
#[derive(Clone, Debug)]
pub struct HeaderChain {
    params: Params,
    start: TrustedStart,
    spine: Spine,
    forks: ForkTree,
    /// The tip and what its children's rules need.
    tip: Context,
    /// The same for the side branch that grew last, so that a long one grows in linear time.
    last_side: Option<Context>,
    invalid: BTreeSet<BlockHash>,
    invalid_order: VecDeque<BlockHash>,
    revision: u64,
}

impl HeaderChain {
    /// A chain that holds its network's genesis.
    #[must_use]
    pub fn new(params: Params) -> Self {
        let work = work_of(params.genesis.compact_target());
        let genesis = params.genesis;
        Self::starting_at(params, TrustedStart::bare(BlockHeight::GENESIS, genesis, work))
    }

    /// A chain that starts at a header which the user trusts.
    ///
    /// # Errors
    /// [`HeaderError`] where not even the start's own proof of work holds, where it claims height
    /// 0 and is not genesis, or where the total work that it claims cannot be.
    pub fn from_start(params: Params, start: TrustedStart) -> Result<Self, HeaderError> {
        let hash = start.header.hash();
        let genesis = params.genesis.hash();
        let checked = if start.height == BlockHeight::GENESIS && hash != genesis {
            Err(Violation::WrongStart { expected: genesis })
        } else {
            PowCheck::new(params.pow_limit).check(start.header.compact_target(), &hash)
        };
        let checked = checked
            .and_then(|()| start.check_work())
            .and_then(|()| checkpoint::check(&params, start.height, &hash));
        match checked {
            Ok(()) => Ok(Self::starting_at(params, start)),
            Err(violation) => {
                let height = Some(start.height);
                Err(HeaderError { index: 0, height, hash, violation, prefix: None })
            }
        }
    }

    fn starting_at(mut params: Params, start: TrustedStart) -> Self {
        let tip = start.context(&params);
        if start.counts_from_itself() {
            // What is counted from the start cannot be compared with a network's total.
            params.minimum_chain_work = crate::params::no_work();
        }
        Self {
            spine: Spine::new(start.height, &start.header, start.work),
            params,
            start,
            forks: ForkTree::default(),
            tip,
            last_side: None,
            invalid: BTreeSet::new(),
            invalid_order: VecDeque::new(),
            revision: 0,
        }
    }

    /// The network's parameters.
    #[must_use]
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// What the chain's verdicts rest on.
    #[must_use]
    pub fn basis(&self) -> Basis {
        if self.start.height == BlockHeight::GENESIS {
            return Basis::Genesis;
        }
        let unapplied = self.start.unapplied(&self.params);
        Basis::TrustedStart { height: self.start.height, hash: self.start.header.hash(), unapplied }
    }

    /// The header that the chain starts from, genesis included.
    #[must_use]
    pub const fn start(&self) -> &TrustedStart {
        &self.start
    }

    /// The lowest height held.
    #[must_use]
    pub const fn start_height(&self) -> BlockHeight {
        self.spine.start()
    }

    /// The last header of the best chain.
    #[must_use]
    pub fn tip(&self) -> ChainTip {
        self.tip.tip()
    }

    /// Median of the times of the tip and the ten headers before it; none shortly after a trusted
    /// start whose context was not given.
    #[must_use]
    pub fn median_time_past(&self) -> Option<UnixTime> {
        self.tip.times.median()
    }

    /// The time that the tip claims.
    #[must_use]
    pub const fn tip_time(&self) -> UnixTime {
        self.tip.lineage.time
    }

    /// The compact target that a header on the tip must name if it claims a time.
    #[must_use]
    pub fn required_after_tip(&self, time: UnixTime) -> CompactTarget {
        match difficulty::required(&self.params, &self.tip.lineage, time) {
            Required::Exactly(bits) | Required::PermittedFrom(bits) => bits,
        }
    }

    /// How many headers lie on side branches.
    #[must_use]
    pub fn side_headers(&self) -> usize {
        self.forks.len()
    }

    /// How many headers of side branches were evicted so far.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.forks.evicted()
    }

    /// The header at a height of the best chain.
    #[must_use]
    pub fn get(&self, height: BlockHeight) -> Option<IndexedHeader> {
        self.spine.indexed(height)
    }

    /// The hash at a height of the best chain.
    #[must_use]
    pub fn hash_at(&self, height: BlockHeight) -> Option<BlockHash> {
        if height == self.tip.lineage.height {
            return Some(self.tip.hash);
        }
        self.spine.parent_hash(height.next())
    }

    /// The header with a hash, on whatever branch.
    #[must_use]
    pub fn find(&self, hash: &BlockHash) -> Option<(IndexedHeader, Position)> {
        if let Some(entry) = self.forks.get(hash) {
            return Some((entry, Position::Side));
        }
        let height = self.best_height(hash)?;
        self.get(height).map(|entry| (entry, Position::Best))
    }

    /// Whether a header is known, on whatever branch.
    #[must_use]
    pub fn contains(&self, hash: &BlockHash) -> bool {
        self.forks.contains(hash) || self.best_height(hash).is_some()
    }

    fn best_height(&self, hash: &BlockHash) -> Option<BlockHeight> {
        if *hash == self.tip.hash {
            return Some(self.tip.lineage.height);
        }
        self.spine.find(hash)
    }

    /// Headers of the best chain without their parents' hashes, oldest first: what an encoder
    /// needs, read without hashing. Ends early where the chain does.
    pub fn bodies(&self, heights: Range<BlockHeight>) -> impl Iterator<Item = HeaderBody> {
        self.spine.bodies(heights)
    }

    /// Keeps the branch that ends in a header from being evicted.
    pub fn pin(&mut self, end: BlockHash) {
        self.forks.pin(end);
    }

    /// Takes a pin back.
    pub fn unpin(&mut self, end: &BlockHash) {
        self.forks.unpin(end);
    }

    /// Remembers a header that broke a rule through its sender's fault, so that descendants of
    /// it are refused without checking them. Errors that are nobody's fault are not remembered,
    /// nor are headers without proof of work: they cost nothing to make, and would push out the
    /// ones that did cost something.
    pub fn remember_invalid(&mut self, error: &HeaderError) {
        let lasting = error.blame() == Blame::Peer && error.violation.has_work();
        if !lasting || !self.invalid.insert(error.hash) {
            return;
        }
        self.invalid_order.push_back(error.hash);
        if self.invalid_order.len() > MAX_INVALID
            && let Some(oldest) = self.invalid_order.pop_front()
        {
            self.invalid.remove(&oldest);
        }
    }

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
            let hash = <BlockHash as bitcoin::hashes::Hash>::from_byte_array(*hash);
            if let Err(violation) = context.check(&self.params, header, &hash, now) {
                failure = Some(violation);
                break;
            }
            context.push(&self.params, header, hash);
            passed += 1;
        }
        let failed_hash = batch.hash(passed);
        let run = batch.into_run(known, passed, tip_before.height.next());
        let verified = self.plan(tip_before, run, context);
        let (Some(violation), Some(hash)) = (failure, failed_hash) else { return Ok(verified) };
        let height = Some(verified.end.lineage.height.next());
        let prefix = (!verified.is_empty()).then(|| Box::new(verified));
        Err(HeaderError { index: passed, height, hash, violation, prefix })
    }

    /// How many headers at the batch's beginning are known.
    fn known_prefix(&self, batch: &LinkedBatch) -> usize {
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
            Err(HeaderError { index, height, hash, violation, prefix: None })
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
        if run.is_empty() || end.work <= self.tip.work {
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

    /// The side branch that ends in a header, newest first, and the height on the best chain
    /// that it hangs off; no height where the header is not known.
    fn branch_below(&self, hash: BlockHash) -> (Vec<IndexedHeader>, Option<BlockHeight>) {
        let mut branch = Vec::new();
        let mut hash = hash;
        while let Some(entry) = self.forks.get(&hash) {
            hash = entry.header.prev_hash();
            branch.push(entry);
        }
        let height = self.best_height(&hash);
        (branch, height)
    }

    /// What the rules for a known header's children need, from the header's own ancestors.
    fn context_of(&self, hash: &BlockHash) -> Option<Context> {
        if *hash == self.tip.hash {
            return Some(self.tip.clone());
        }
        if let Some(side) = self.last_side.as_ref().filter(|side| side.hash == *hash)
            && self.forks.contains(hash)
        {
            return Some(side.clone());
        }
        let (branch, fork_point) = self.branch_below(*hash);
        let mut context = self.context_at(fork_point?)?;
        for entry in branch.iter().rev() {
            context.push(&self.params, &entry.header, entry.hash);
        }
        Some(context)
    }

    /// The context at a height of the best chain, replayed from its period's start or from the
    /// ten headers before it, whichever is earlier; from the chain's start where that is later.
    fn context_at(&self, height: BlockHeight) -> Option<Context> {
        let span = u32::try_from(MEDIAN_SPAN - 1).unwrap_or(0);
        let period = self.params.period;
        let period_start = BlockHeight(height.0 - height.0 % period);
        let from = period_start.min(height.minus(span).unwrap_or(BlockHeight::GENESIS));
        let entry = self.get(height)?;
        let mut context = if from <= self.start_height() {
            self.start.context(&self.params)
        } else {
            self.context_from(from, period_start)?
        };
        for height in context.lineage.height.next().0..=height.0 {
            let (time, bits) = self.spine.fields(BlockHeight(height))?;
            context.push_fields(&self.params, time, bits);
        }
        context.hash = entry.hash;
        context.work = entry.work;
        Some(context)
    }

    /// The context at a period's start, the times before it included.
    fn context_from(&self, from: BlockHeight, period_start: BlockHeight) -> Option<Context> {
        let mut times = RecentTimes::new(false);
        for height in from.0..=period_start.0 {
            times.push(self.spine.fields(BlockHeight(height))?.0);
        }
        let (time, bits) = self.spine.fields(period_start)?;
        let lineage = Lineage {
            height: period_start,
            time,
            bits,
            period_first: Some(PeriodFirst { time, bits }),
            last_ordinary: Some(bits),
        };
        Some(Context::new(self.tip.hash, crate::params::no_work(), times, lineage))
    }

    /// Takes a verified batch in.
    ///
    /// # Errors
    /// [`StaleBatch`] where the chain has changed since the batch was verified, or is another one;
    /// nothing happens.
    pub fn apply(&mut self, batch: VerifiedBatch) -> Result<TipChange, StaleBatch> {
        if batch.revision != self.revision || batch.made_on != self.tip.hash {
            return Err(StaleBatch);
        }
        if batch.is_empty() {
            return Ok(TipChange::Unchanged);
        }
        self.revision += 1;
        match &batch.change {
            TipChange::Unchanged => self.apply_side(&batch.side),
            TipChange::Extended { connected } => self.connect(self.tip.work, connected),
            TipChange::Reorg { fork_point, disconnected, connected } => {
                for (_, hash, _) in connected.iter() {
                    self.forks.remove(&hash);
                }
                for (_, hash, _) in disconnected.iter().rev() {
                    self.spine.pop(&hash);
                }
                self.connect(fork_point.work, connected);
                self.keep_on_side(fork_point.work, disconnected);
            }
        }
        match batch.change {
            TipChange::Unchanged => self.last_side = Some(batch.end),
            TipChange::Extended { .. } | TipChange::Reorg { .. } => self.tip = batch.end,
        }
        self.forks.enforce_bound();
        Ok(batch.change)
    }

    fn connect(&mut self, parent_work: Work, connected: &HeaderRun) {
        let mut work = Accumulated::from(parent_work);
        for (_, hash, header) in connected.iter() {
            self.spine.push(header, hash, work.with(header));
        }
    }

    fn keep_on_side(&mut self, parent_work: Work, run: &HeaderRun) {
        let mut work = Accumulated::from(parent_work);
        for (height, hash, header) in run.iter() {
            let entry = IndexedHeader { header: *header, hash, height, work: work.with(header) };
            self.forks.insert(&entry);
        }
    }

    fn apply_side(&mut self, side: &HeaderRun) {
        let parent = side.headers().first().map(Header::prev_hash);
        let known = parent.and_then(|parent| self.find(&parent));
        let Some((parent, _)) = known else { return };
        self.keep_on_side(parent.work, side);
    }
}

/// Total work, added up header by header; dividing is dear, and bits change rarely.
struct Accumulated {
    total: Work,
    unit: (CompactTarget, Work),
}

impl From<Work> for Accumulated {
    fn from(total: Work) -> Self {
        Self { total, unit: (CompactTarget::default(), crate::params::no_work()) }
    }
}

impl Accumulated {
    fn with(&mut self, header: &Header) -> Work {
        let bits = header.compact_target();
        if self.unit.0 != bits {
            self.unit = (bits, work_of(bits));
        }
        self.total = self.total + self.unit.1;
        self.total
    }
}

//! One chain that grows while many threads verify against it and read it.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use ironlight_spv::generate::Miner;
use ironlight_spv::{BlockHash, BlockHeight, Header, HeaderChain};

use super::chains::{REFUSED, STALE, WRONG, below, mine_on, now, regtest};
use super::{About, Findings, Plan, Scenario, ScenarioError};
use crate::measure::{Class, Meter, Work, Worker};
use crate::report::Bound;

/// Headers of a batch.
const BATCH: usize = 100;
/// Threads that verify batches, beside the one that also applies them.
const VERIFIERS: u64 = 3;
/// Threads that look headers up.
const READERS: u64 = 4;

/// A writer, verifiers and readers at one chain, behind the lock that the node has it behind.
#[derive(Clone, Copy, Debug)]
pub struct ConcurrentHeaders;

impl Scenario for ConcurrentHeaders {
    fn about(&self) -> About {
        About {
            name: "concurrent-headers",
            does: "one thread extends a chain, 3 verify batches against it and 4 look headers up, \
                   all at once",
            operation: "a header verified or looked up",
            sample: "a batch of up to 100 headers, or one look-up, the wait for the lock counted",
            bound: "every thread gets the answers that a single one gets",
            counts: "headers",
            usual: 20_000,
            range: (1, 1_000_000),
        }
    }

    fn run(&self, plan: &Plan, meter: &mut Meter<'_>) -> Result<Findings, ScenarioError> {
        let shared = Shared::new(plan);
        let mut work: Vec<Work<'_, u64>> = vec![Box::new(|worker| shared.extend(worker))];
        let seed = |thread| Miner::new(plan.seed.wrapping_add(thread));
        for thread in 1..=VERIFIERS {
            let random = seed(thread);
            let shared = &shared;
            work.push(Box::new(move |worker| shared.verify(worker, random)));
        }
        for thread in 1..=READERS {
            let random = seed(VERIFIERS + thread);
            let shared = &shared;
            work.push(Box::new(move |worker| shared.look_up(worker, random)));
        }
        let right: u64 = meter.together(work)?.iter().sum();
        let wanted = plan.count * (1 + VERIFIERS + READERS);
        let tip = shared.read().tip();
        let last = shared.hashes.last().copied().unwrap_or(tip.hash);
        let bounds = vec![
            Bound::equal("tip", &last, &tip.hash),
            Bound::equal("right answers", &wanted, &right),
        ];
        Ok(Findings { bounds, ..Findings::default() })
    }
}

/// The chain, and what it is going to be.
struct Shared {
    chain: RwLock<HeaderChain>,
    headers: Vec<Header>,
    /// By height, genesis at 0: computed before, by one thread.
    hashes: Vec<BlockHash>,
}

impl Shared {
    fn new(plan: &Plan) -> Self {
        let chain = regtest();
        let mut tip = chain.params().genesis;
        let headers = mine_on(&mut Miner::new(plan.seed), &mut tip, plan.count);
        let mut hashes = vec![chain.params().genesis.hash()];
        hashes.extend(headers.iter().map(Header::hash));
        Self { chain: RwLock::new(chain), headers, hashes }
    }

    fn read(&self) -> RwLockReadGuard<'_, HeaderChain> {
        self.chain.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The single writer: verifies with the others, applies alone.
    fn extend(&self, worker: &mut Worker<'_>) -> Result<u64, ScenarioError> {
        let mut right = 0;
        for batch in self.headers.chunks(BATCH) {
            let done = worker.time(batch.len() as u64, || {
                let verified = self.read().verify(batch, now(batch)).map_err(|_refused| REFUSED)?;
                let mut chain = self.chain.write().unwrap_or_else(PoisonError::into_inner);
                chain.apply(verified).map_err(|_stale| STALE)
            });
            right += if done.is_ok() { batch.len() as u64 } else { 0 };
            worker.check_time()?;
        }
        Ok(right)
    }

    /// Batches from anywhere up to the one after the tip, as peers send them that are behind.
    fn verify(&self, worker: &mut Worker<'_>, mut random: Miner) -> Result<u64, ScenarioError> {
        let mut right = 0;
        for turn in self.headers.chunks(BATCH) {
            let height = u64::from(self.read().tip().height.0);
            let known = usize::try_from(below(&mut random, height + 1)).unwrap_or(0);
            let rest = self.headers.get(known..).unwrap_or_default();
            let batch = rest.get(..turn.len()).unwrap_or(rest);
            let done = worker.time(turn.len() as u64, || self.verified(known, batch));
            right += if done.is_ok() { turn.len() as u64 } else { 0 };
            worker.check_time()?;
        }
        Ok(right)
    }

    /// The batch has to be valid, and to end where it ends.
    fn verified(&self, known: usize, batch: &[Header]) -> Result<(), Class> {
        let verified = self.read().verify(batch, now(batch)).map_err(|_refused| REFUSED)?;
        let end = self.hashes.get(known + batch.len());
        if batch.is_empty() || Some(&verified.end().hash) == end { Ok(()) } else { Err(WRONG) }
    }

    /// Headers by height and by hash, from anywhere up to the tip.
    fn look_up(&self, worker: &mut Worker<'_>, mut random: Miner) -> Result<u64, ScenarioError> {
        let mut right = 0;
        for _ in 0..self.headers.len() {
            let done = worker.time(1, || self.looked_up(&mut random));
            right += u64::from(done.is_ok());
            worker.check_time()?;
        }
        Ok(right)
    }

    fn looked_up(&self, random: &mut Miner) -> Result<(), Class> {
        let chain = self.read();
        let height = below(random, u64::from(chain.tip().height.0) + 1);
        let height = BlockHeight(u32::try_from(height).unwrap_or(0));
        let entry = chain.get(height).ok_or("not_found")?;
        let found = chain.find(&entry.hash).map(|(found, _)| found);
        drop(chain);
        let wanted = usize::try_from(height.0).ok().and_then(|place| self.hashes.get(place));
        if wanted == Some(&entry.hash) && found == Some(entry) { Ok(()) } else { Err(WRONG) }
    }
}

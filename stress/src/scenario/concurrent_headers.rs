//! One chain that grows while many threads verify against it and read it, and processes of their
//! own take it in.

use std::path::PathBuf;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use ironlight_spv::generate::Miner;
use ironlight_spv::{BlockHash, BlockHeight, Header, HeaderChain};

use super::chains::{REFUSED, STALE, WRONG, below, mine_on, now, regtest, take_in};
use super::client::{Client, Standing};
use super::pace::{Pace, Place};
use super::{About, Findings, Plan, Scenario, ScenarioError};
use crate::measure::{Class, Meter, Work, Worker};
use crate::report::{Bound, Figure};

/// Headers of a batch.
const BATCH: usize = 100;
/// Threads that verify batches, beside the one that also applies them.
const VERIFIERS: usize = 3;
/// Threads that look headers up.
const READERS: usize = 4;
/// Processes that take the same chain in.
const CLIENTS: usize = 2;
/// A client's answer did not come.
const GONE: Class = "client_gone";

/// A writer, verifiers and readers at one chain, behind the lock that the node has it behind, and
/// processes that are fed the same headers.
///
/// The default has no processes: a library is no program.
#[derive(Clone, Debug, Default)]
pub struct ConcurrentHeaders {
    program: Option<PathBuf>,
}

impl ConcurrentHeaders {
    /// With processes of a program that calls [`cli::main`](crate::cli::main).
    #[cfg(feature = "program")]
    #[must_use]
    pub const fn with_processes(program: PathBuf) -> Self {
        Self { program: Some(program) }
    }

    fn clients(&self) -> Result<Vec<Client>, ScenarioError> {
        let programs =
            self.program.iter().flat_map(|program| core::iter::repeat_n(program, CLIENTS));
        let clients = programs.map(|program| Client::start(program)).collect::<Result<_, _>>();
        clients.map_err(ScenarioError::preparing("a process that verifies headers"))
    }
}

impl Scenario for ConcurrentHeaders {
    fn about(&self) -> About {
        About {
            name: "concurrent-headers",
            does: "one thread extends a chain, 3 verify batches against it, 4 look headers up, and 2 \
                   processes verify the same chain by themselves, all at once and in step",
            operation: "a header verified or looked up",
            sample: "a batch of up to 100 headers, waits for the lock or the process counted, or one \
                     look-up",
            bound: "every thread gets the answers that a single one gets, and every process the same \
                    tips, work and errors",
            counts: "headers",
            usual: 20_000,
            range: (1, 1_000_000),
        }
    }

    fn run(&self, plan: &Plan, meter: &mut Meter<'_>) -> Result<Findings, ScenarioError> {
        let shared = Shared::new(plan, self.program.is_some());
        let clients = self.clients()?;
        let processes = clients.len();
        let threads = 1 + VERIFIERS + READERS + processes;
        let pace = Pace::new(threads);
        let mut places = (0..threads).map(|number| pace.join(number));
        let mut seeds = (1..).map(|thread| Miner::new(plan.seed.wrapping_add(thread)));
        let shared = &shared;
        let mut work: Vec<Work<'_, u64>> = Vec::with_capacity(threads);
        for place in places.by_ref().take(1) {
            work.push(Box::new(move |worker| shared.extend(worker, &place)));
        }
        for (place, random) in places.by_ref().take(VERIFIERS).zip(&mut seeds) {
            work.push(Box::new(move |worker| shared.verify(worker, &place, random)));
        }
        for (place, random) in places.by_ref().take(READERS).zip(&mut seeds) {
            work.push(Box::new(move |worker| shared.look_up(worker, &place, random)));
        }
        for (place, client) in places.zip(clients) {
            work.push(Box::new(move |worker| shared.feed(worker, &place, client)));
        }
        let right: u64 = meter.together(work)?.iter().sum();
        let wanted = plan.count * threads as u64;
        let tip = shared.read().tip();
        let last = shared.hashes.last().copied().unwrap_or(tip.hash);
        let bounds = vec![
            Bound::equal("tip", &last, &tip.hash),
            Bound::equal("right answers", &wanted, &right),
        ];
        let figures = vec![Figure::new("processes", processes as f64, "that verify by themselves")];
        Ok(Findings { bounds, figures, ..Findings::default() })
    }
}

/// The chain, and what it is going to be.
struct Shared {
    chain: RwLock<HeaderChain>,
    headers: Vec<Header>,
    /// By height, genesis at 0: computed before, by one thread.
    hashes: Vec<BlockHash>,
    /// What has to be said of the chain after each batch, where processes say it.
    standings: Vec<Standing>,
}

impl Shared {
    fn new(plan: &Plan, fed: bool) -> Self {
        let chain = regtest();
        let mut tip = chain.params().genesis;
        let headers = mine_on(&mut Miner::new(plan.seed), &mut tip, plan.count);
        let mut hashes = vec![chain.params().genesis.hash()];
        hashes.extend(headers.iter().map(Header::hash));
        let mut single = regtest();
        let mut standing = |batch: &[Header]| {
            // What is wrong here is found by all that are compared with it.
            let refused = if take_in(&mut single, batch).is_ok() { 0 } else { batch.len() };
            Standing::of(&single, refused)
        };
        let standings =
            if fed { headers.chunks(BATCH).map(&mut standing).collect() } else { Vec::new() };
        Self { chain: RwLock::new(chain), headers, hashes, standings }
    }

    fn read(&self) -> RwLockReadGuard<'_, HeaderChain> {
        self.chain.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does a turn for each batch, in step with the others; a turn gives the headers that it had right.
    fn in_step(
        &self,
        worker: &mut Worker<'_>,
        place: &Place<'_>,
        mut turn: impl FnMut(&mut Worker<'_>, &[Header]) -> u64,
    ) -> Result<u64, ScenarioError> {
        let mut right = 0;
        for batch in self.headers.chunks(BATCH) {
            right += turn(worker, batch);
            place.step();
            worker.check_time()?;
        }
        Ok(right)
    }

    /// The single writer: verifies with the others, applies alone.
    fn extend(&self, worker: &mut Worker<'_>, place: &Place<'_>) -> Result<u64, ScenarioError> {
        self.in_step(worker, place, |worker, batch| {
            right(worker, batch.len(), || {
                let verified = self.read().verify(batch, now(batch)).map_err(|_refused| REFUSED)?;
                let mut chain = self.chain.write().unwrap_or_else(PoisonError::into_inner);
                chain.apply(verified).map_err(|_stale| STALE)
            })
        })
    }

    /// Batches from anywhere up to the one after the tip, as peers send them that are behind.
    fn verify(
        &self,
        worker: &mut Worker<'_>,
        place: &Place<'_>,
        mut random: Miner,
    ) -> Result<u64, ScenarioError> {
        self.in_step(worker, place, |worker, turn| {
            let height = u64::from(self.read().tip().height.0);
            let known = usize::try_from(below(&mut random, height + 1)).unwrap_or(0);
            let rest = self.headers.get(known..).unwrap_or_default();
            let batch = rest.get(..turn.len()).unwrap_or(rest);
            right(worker, turn.len(), || self.verified(known, batch))
        })
    }

    /// The batch has to be valid, and to end where it ends.
    fn verified(&self, known: usize, batch: &[Header]) -> Result<(), Class> {
        let verified = self.read().verify(batch, now(batch)).map_err(|_refused| REFUSED)?;
        let end = self.hashes.get(known + batch.len());
        if batch.is_empty() || Some(&verified.end().hash) == end { Ok(()) } else { Err(WRONG) }
    }

    /// Headers by height and by hash, from anywhere up to the tip.
    fn look_up(
        &self,
        worker: &mut Worker<'_>,
        place: &Place<'_>,
        mut random: Miner,
    ) -> Result<u64, ScenarioError> {
        self.in_step(worker, place, |worker, turn| {
            turn.iter().map(|_| right(worker, 1, || self.looked_up(&mut random))).sum()
        })
    }

    /// A process takes the chain in, and has to say of it what is true.
    fn feed(
        &self,
        worker: &mut Worker<'_>,
        place: &Place<'_>,
        mut client: Client,
    ) -> Result<u64, ScenarioError> {
        let mut standings = self.standings.iter();
        self.in_step(worker, place, |worker, batch| {
            let standing = standings.next();
            right(worker, batch.len(), || {
                let said = client.verify(batch).map_err(|_gone| GONE)?;
                if Some(&said) == standing { Ok(()) } else { Err(WRONG) }
            })
        })
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

/// Times work that stands for so many headers, and counts them where it was right.
fn right<T>(
    worker: &mut Worker<'_>,
    headers: usize,
    work: impl FnOnce() -> Result<T, Class>,
) -> u64 {
    let headers = headers as u64;
    if worker.time(headers, work).is_ok() { headers } else { 0 }
}

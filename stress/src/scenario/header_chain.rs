//! A whole chain, in the batches that peers send, and then a reorg.

use ironlight_spv::generate::Miner;
use ironlight_spv::{Header, HeaderChain, TipChange};

use super::chains::{mine_on, pieces, regtest, take_in};
use super::{About, Findings, Plan, Scenario, ScenarioError};
use crate::measure::Meter;
use crate::report::Bound;

/// The headers of a full message.
const BATCH: u64 = 2_000;
/// Headers that the reorg takes off, if there are twice as many.
const DEPTH: u64 = 100;

/// Headers are verified and applied; then a branch with one header more takes over.
#[derive(Clone, Copy, Debug)]
pub struct HeaderChains;

impl Scenario for HeaderChains {
    fn about(&self) -> About {
        About {
            name: "header-chain",
            does: "verifies and applies a generated chain in batches of 2,000, then a reorg",
            operation: "a header verified and applied",
            sample: "a batch of up to 2,000 headers",
            bound: "the tip is the branch's after the reorg, which is told with its fork point",
            counts: "headers",
            usual: 10_000,
            range: (2, 1_000_000),
        }
    }

    fn run(&self, plan: &Plan, meter: &mut Meter<'_>) -> Result<Findings, ScenarioError> {
        let depth = DEPTH.min(plan.count / 2);
        let mut chain = regtest();
        let (mut miner, mut tip) = (Miner::new(plan.seed), chain.params().genesis);
        let kept = plan.count - depth;
        for count in pieces(kept, BATCH) {
            sync(&mut chain, &mine_on(&mut miner, &mut tip, count), meter)?;
        }
        let fork_point = tip;
        sync(&mut chain, &mine_on(&mut miner, &mut tip, depth), meter)?;
        let branch = miner.run(&fork_point, usize::try_from(depth + 1).unwrap_or(0), 1);
        let reorg = meter.time(depth + 1, || take_in(&mut chain, &branch)).ok();
        let wanted = branch.last().map_or(fork_point.hash(), Header::hash);
        let (height, got) = (chain.tip().height.0, chain.tip().hash);
        let failed = meter.tally().failed();
        let bounds = vec![
            Bound::equal("tip", &wanted, &got),
            Bound::equal("height", &(plan.count + 1), &u64::from(height)),
            Bound::judged(
                "reorg",
                &format_args!(
                    "{depth} headers off and {} on above {}",
                    depth + 1,
                    fork_point.hash()
                ),
                &told(&reorg),
                is_right(&reorg, &fork_point, depth),
            ),
            Bound::equal("refused", &0, &failed),
        ];
        Ok(Findings { bounds, ..Findings::default() })
    }
}

/// One message, as its own sample. What is refused is counted and found by the tip.
fn sync(
    chain: &mut HeaderChain,
    headers: &[Header],
    meter: &mut Meter<'_>,
) -> Result<(), ScenarioError> {
    let _counted = meter.time(headers.len() as u64, || take_in(chain, headers));
    meter.check_time()
}

fn is_right(change: &Option<TipChange>, fork: &Header, depth: u64) -> bool {
    match change {
        Some(TipChange::Reorg { fork_point, disconnected, connected }) => {
            let lengths = (disconnected.len() as u64, connected.len() as u64);
            fork_point.hash == fork.hash() && lengths == (depth, depth + 1)
        }
        Some(TipChange::Unchanged | TipChange::Extended { .. }) | None => false,
    }
}

fn told(change: &Option<TipChange>) -> String {
    match change {
        Some(TipChange::Reorg { fork_point, disconnected, connected }) => {
            let (off, on) = (disconnected.len(), connected.len());
            format!("{off} headers off and {on} on above {}", fork_point.hash)
        }
        Some(TipChange::Unchanged) => "nothing changed".to_owned(),
        Some(TipChange::Extended { .. }) => "the chain grew".to_owned(),
        None => "the branch was refused".to_owned(),
    }
}

//! What a chain takes in memory, counted by the allocator.

use ironlight_spv::generate::Miner;

use super::chains::{mine_on, pieces, regtest, take_in};
use super::{About, Findings, Plan, Scenario, ScenarioError};
use crate::measure::Meter;
use crate::report::{Bound, Figure};

/// Headers mined, taken in and dropped together: what is being made hardly counts.
const CHUNK: u64 = 250;
/// For chains up to this length the bounds are what this many headers may take.
const USUAL: u64 = 10_000;
/// 5 MB for 10,000 headers, what was asked for; and 0.8 MB, what we hold ourselves to.
const ASKED: u64 = 500;
const OURS: u64 = 80;

/// A chain grows, its index included; bytes are counted while it does and when it is there.
#[derive(Clone, Copy, Debug)]
pub struct MemoryEfficiency;

impl Scenario for MemoryEfficiency {
    fn about(&self) -> About {
        About {
            name: "memory-efficiency",
            does: "grows a chain, and has the allocator count what it takes",
            operation: "a header verified and applied",
            sample: "a batch of 250 headers",
            bound: "10,000 headers take 5 MB at most as was asked for, 0.8 MB as we want it, also \
                    while they come in",
            counts: "headers",
            usual: USUAL,
            range: (1, 1_000_000),
        }
    }

    fn run(&self, plan: &Plan, meter: &mut Meter<'_>) -> Result<Findings, ScenarioError> {
        let memory = meter.memory()?;
        let mut miner = Miner::new(plan.seed);
        memory.reset_peak();
        let before = memory.current();
        let mut chain = regtest();
        let mut tip = chain.params().genesis;
        for count in pieces(plan.count, CHUNK) {
            let headers = mine_on(&mut miner, &mut tip, count);
            let _counted = meter.time(count, || take_in(&mut chain, &headers));
            meter.check_time()?;
        }
        let held = memory.current().saturating_sub(before);
        let peak = memory.peak().saturating_sub(before);
        let headers = plan.count.max(USUAL);
        let height = u64::from(chain.tip().height.0);
        let bounds = vec![
            Bound::equal("height", &plan.count, &height),
            Bound::at_most("asked for", &(headers * ASKED), &peak, " bytes"),
            Bound::at_most("ours", &(headers * OURS), &peak, " bytes"),
        ];
        let figures = vec![
            Figure::new("held", held as f64, "bytes"),
            Figure::new("at the peak", peak as f64, "bytes"),
            Figure::new("held for a header", held as f64 / plan.count as f64, "bytes"),
        ];
        Ok(Findings { bounds, figures, ..Findings::default() })
    }
}

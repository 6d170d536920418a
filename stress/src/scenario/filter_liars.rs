//! A wallet's filters from one honest peer and seven liars, in virtual time.

use core::time::Duration;
use std::collections::BTreeMap;

use ironlight_spv::filter::sync::FilterSyncConfig;
use ironlight_spv::generate::Miner;

use super::{About, Findings, Plan, Scenario, ScenarioError};
use crate::measure::{Class, Meter};
use crate::report::{Bound, Figure};
use crate::sim::filters::{FilterOutcome, FilterScenario, FilterWorld, Size, run_filters};

/// Chains that the runs share: most are short, since checkpoints matter in some only.
const WORLDS: [Size; 8] = {
    let mut worlds = [Size::Small; 8];
    worlds[7] = Size::Large;
    worlds
};

/// Ways in which a run can go wrong, each a bound, in the order of [`FilterOutcome::faults`].
const FAULTS: [(Class, &str); 5] = [
    ("payment_missed", "payments missed"),
    ("honest_blamed", "honest peers blamed"),
    ("honest_overasked", "honest peers made to hang up"),
    ("out_of_order", "runs with filters out of order"),
    ("not_done", "runs that are never done"),
];

/// Filter sync among liars of all kinds, many times over.
#[derive(Clone, Copy, Debug, Default)]
pub struct FilterLiars {
    /// What the sync does against them: by default all defences; tests leave some out.
    pub config: FilterSyncConfig,
}

impl Scenario for FilterLiars {
    fn about(&self) -> About {
        About {
            name: "filter-liars",
            does: "a wallet syncs filters, follows blocks and reorgs, and rescans among one honest \
                   peer and seven that lie in 13 ways, in virtual time, seed by seed",
            operation: "a run from its first peer to the last block",
            sample: "the same, in virtual time",
            bound: "no payment is missed, no honest peer is blamed or made to hang up, filters come \
                    in order, every run is done",
            counts: "seeds",
            usual: 300,
            range: (1, 100_000),
        }
    }

    fn run(&self, plan: &Plan, meter: &mut Meter<'_>) -> Result<Findings, ScenarioError> {
        let mut random = Miner::new(plan.seed);
        let worlds = WORLDS.map(|size| FilterWorld::new(random.random(), size));
        let mut sum = Sum::default();
        for world in worlds.iter().cycle().take(usize::try_from(plan.count).unwrap_or(usize::MAX)) {
            let seed = random.random();
            let outcome = run_filters(world, self.config, &FilterScenario::drawn(seed), seed);
            sum.time += outcome.took;
            meter.note(sum.time, outcome.took, 1, fault(&outcome));
            sum.add(&outcome);
            meter.check_time()?;
        }
        Ok(sum.into_findings())
    }
}

/// The first thing that went wrong in a run.
fn fault(outcome: &FilterOutcome) -> Option<Class> {
    let found = outcome.faults().into_iter().zip(FAULTS).find(|((_, times), _)| *times > 0);
    found.map(|(_, (class, _))| class)
}

/// All runs.
#[derive(Debug, Default)]
struct Sum {
    time: Duration,
    faults: [usize; FAULTS.len()],
    liars: BTreeMap<&'static str, usize>,
}

impl Sum {
    fn add(&mut self, outcome: &FilterOutcome) {
        self.faults.iter_mut().zip(outcome.faults()).for_each(|(sum, (_, times))| *sum += times);
        let counts = [
            ("liars", outcome.lies.len()),
            ("false answers", outcome.false_answers),
            ("liars found", outcome.banned),
            ("blocks looked through whole", outcome.whole),
        ];
        for (name, count) in counts {
            *self.liars.entry(name).or_default() += count;
        }
    }

    fn into_findings(self) -> Findings {
        let bounds = self.faults.iter().zip(FAULTS);
        let bounds = bounds.map(|(times, (_, name))| Bound::equal(name, &0, times)).collect();
        let counts = self.liars.into_iter();
        let counts = counts.map(|(name, count)| Figure::new(name, count as f64, "in all"));
        let time = Figure::new("virtual time", self.time.as_secs_f64(), "s");
        Findings { bounds, figures: counts.chain([time]).collect(), ..Findings::default() }
    }
}

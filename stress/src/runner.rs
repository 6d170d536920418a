//! Runs scenarios, a few rounds each, and makes results of what their meters have.

use core::time::Duration;

use crate::measure::{MemoryProbe, Meter, Surroundings, Tally};
use crate::report::{
    Bound, Curve, ErrorCount, Figure, Latency, Round, ScenarioResult, Series, StateChange,
    a_second, nanos,
};
use crate::scenario::{About, Findings, Plan, Scenario, ScenarioError, Weights};

/// The bound that every scenario has: it is done in time.
pub const TIME_LIMIT: &str = "time limit";

/// What is asked of a run, for all of its scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// How much, in each scenario's own unit; none for what it does usually.
    pub count: Option<u64>,
    /// Everything random follows from it.
    pub seed: u64,
    /// The parts of `mixed`.
    pub weights: Weights,
    /// How often each is done; none counts as one. Equal rounds show the noise.
    pub rounds: u32,
}

impl Default for Order {
    /// The usual counts, seed 1, a third each, one round.
    fn default() -> Self {
        Self { count: None, seed: 1, weights: Weights::default(), rounds: 1 }
    }
}

/// Why a scenario gave no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The count is not one that it can do.
    #[error("{scenario} takes a count from {least} to {most}, not {asked}")]
    CountOutOfRange {
        /// The scenario.
        scenario: &'static str,
        /// What was asked for.
        asked: u64,
        /// The least that it takes.
        least: u64,
        /// The most.
        most: u64,
    },
    /// It could not be carried through.
    #[error("{scenario}: {source}")]
    Scenario {
        /// The scenario.
        scenario: &'static str,
        /// Why.
        source: ScenarioError,
    },
}

/// Runs a scenario.
///
/// One that is not done in time has a result too: what was measured until then, with the bound
/// [`TIME_LIMIT`] broken, and no further round.
///
/// # Errors
/// [`RunError`].
pub fn run(
    scenario: &dyn Scenario,
    order: &Order,
    around: Surroundings<'_>,
) -> Result<ScenarioResult, RunError> {
    let about = scenario.about();
    let (count, (least, most)) = (order.count.unwrap_or(about.usual), about.range);
    if !(least..=most).contains(&count) {
        let scenario = about.name;
        return Err(RunError::CountOutOfRange { scenario, asked: count, least, most });
    }
    let plan = Plan { count, seed: order.seed, weights: order.weights };
    let limit = around.limit.saturating_add(scenario.lasts(count).unwrap_or_default());
    let around = Surroundings { limit, ..around };
    let mut sum = Sum::new(around.limit);
    for _ in 0..order.rounds.max(1) {
        // Before the counting begins: the meter's own memory is not the scenario's.
        let mut meter = Meter::new(around);
        let before = around.memory.map(|memory| {
            memory.reset_peak();
            memory.current()
        });
        around.progress.begin(about.name, count);
        let found = scenario.run(&plan, &mut meter);
        around.progress.end();
        let peak = around.memory.map(MemoryProbe::peak).zip(before);
        let peak = peak.map(|(peak, before)| peak.saturating_sub(before));
        let (tally, measured) = meter.into_parts();
        match found {
            Ok(found) => sum.add(tally, measured, peak, found),
            Err(ScenarioError::OutOfTime { .. }) => {
                sum.add(tally, measured, peak, Findings::default());
                sum.in_time = false;
                break;
            }
            Err(source) => return Err(RunError::Scenario { scenario: about.name, source }),
        }
    }
    Ok(sum.into_result(&about, &plan))
}

/// All rounds of a scenario.
struct Sum {
    limit: Duration,
    in_time: bool,
    all: Tally,
    measured: Duration,
    bounds: Vec<Bound>,
    rounds: Vec<Round>,
    /// Of the last round.
    series: Series,
    figures: Vec<Figure>,
    states: Vec<StateChange>,
    curves: Vec<Curve>,
}

impl Sum {
    fn new(limit: Duration) -> Self {
        Self {
            limit,
            in_time: true,
            all: Tally::default(),
            measured: Duration::ZERO,
            bounds: Vec::new(),
            rounds: Vec::new(),
            series: Series::default(),
            figures: Vec::new(),
            states: Vec::new(),
            curves: Vec::new(),
        }
    }

    fn add(&mut self, tally: Tally, measured: Duration, peak: Option<u64>, found: Findings) {
        let latency = Latency::of(&tally);
        self.rounds.push(Round {
            operations_per_second: a_second(tally.operations, measured),
            p50_ns: latency.p50_ns,
            p99_ns: latency.p99_ns,
            under_1ms: latency.under_1ms,
            peak_bytes: peak,
        });
        self.series = Series::from(&tally.timeline);
        self.measured = self.measured.saturating_add(measured);
        self.all.merge(tally);
        (self.figures, self.states, self.curves) = (found.figures, found.states, found.curves);
        for bound in found.bounds {
            match self.bounds.iter_mut().find(|known| known.name == bound.name) {
                Some(known) if known.met => *known = bound,
                Some(_) => {}
                None => self.bounds.push(bound),
            }
        }
    }

    fn into_result(mut self, about: &About, plan: &Plan) -> ScenarioResult {
        let got = if self.in_time { "done" } else { "not done" };
        let wanted = format!("a round done within {:?}", self.limit);
        self.bounds.push(Bound::judged(TIME_LIMIT, &wanted, &got, self.in_time));
        let (operations, failed) = (self.all.operations, self.all.failed());
        let rate = if operations == 0 { 1.0 } else { 1.0 - failed as f64 / operations as f64 };
        let errors = self.all.errors.iter();
        let errors =
            errors.map(|(class, count)| ErrorCount { class: (*class).to_owned(), count: *count });
        ScenarioResult {
            name: about.name.to_owned(),
            does: about.does.to_owned(),
            operation: about.operation.to_owned(),
            sample: about.sample.to_owned(),
            count: plan.count,
            seed: plan.seed,
            operations,
            failed,
            success_rate: rate,
            duration_ns: nanos(self.measured),
            operations_per_second: a_second(operations, self.measured),
            latency: Latency::of(&self.all),
            peak_bytes: self.rounds.iter().filter_map(|round| round.peak_bytes).max(),
            errors: errors.collect(),
            bounds: self.bounds,
            figures: self.figures,
            rounds: self.rounds,
            series: self.series,
            states: self.states,
            curves: self.curves,
        }
    }
}

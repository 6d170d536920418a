//! `ironlight-stress run`

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ironlight_hardening::{Clock as _, MonotonicClock};

use super::bar::Bar;
use super::{Failure, write_file};
use crate::measure::{MemoryProbe, Surroundings};
use crate::report::{Machine, Report, commit, page, result_lines};
use crate::runner::{Order, run as run_one};
use crate::scenario::{Registry, Scenario, Weights};

/// The name that stands for every scenario.
const ALL: &str = "all";
/// How often a scenario is done.
const USUAL_ROUNDS: u32 = 3;

#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    /// A scenario's name, or `all`.
    name: String,
    /// How much, in the scenario's own unit (see `list`).
    #[arg(long)]
    count: Option<u64>,
    /// The count of a scenario that counts minutes.
    #[arg(long, conflicts_with = "count")]
    minutes: Option<u64>,
    /// Everything random follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How often each scenario is done, three times where nothing is said, those that count minutes
    /// once; how far rounds lie apart is the noise that `compare` goes by.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// The turns of `mixed`: headers, proofs, state.
    #[arg(long, default_value = "1,1,1")]
    weights: Weights,
    /// How many seconds one round of a scenario may take, beside the minutes that it counts.
    #[arg(long, default_value_t = 300)]
    limit: u64,
    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as a page.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(super) fn run(
    args: &RunArgs,
    registry: &Registry,
    memory: &dyn MemoryProbe,
) -> Result<(), Failure> {
    let report = measure(args, registry, memory)?;
    if let Some(path) = &args.json {
        let json = report.to_json();
        let json = json.map_err(|source| Failure::Report { path: path.clone(), source })?;
        write_file(path, &json)?;
    }
    if let Some(path) = &args.html {
        write_file(path, &page(&report))?;
    }
    let broken = report.broken().inspect(|(scenario, bound)| {
        note!("broken: {scenario}: {bound}");
    });
    match broken.count() {
        0 => Ok(()),
        broken => Err(Failure::Broken(broken)),
    }
}

fn measure(
    args: &RunArgs,
    registry: &Registry,
    memory: &dyn MemoryProbe,
) -> Result<Report, Failure> {
    let scenarios = chosen(&args.name, registry)?;
    let (clock, bar) = (MonotonicClock::new(), Bar::new());
    let around = Surroundings {
        clock: &|| clock.now(),
        memory: Some(memory),
        progress: &bar,
        limit: Duration::from_secs(args.limit),
    };
    let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut report = Report {
        format: Report::FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        commit: commit(),
        began: began.as_secs(),
        machine: Machine::here(),
        results: Vec::with_capacity(scenarios.len()),
    };
    for scenario in scenarios {
        let result = run_one(scenario, &order(scenario, args)?, around)?;
        for line in result_lines(&result) {
            say!("{line}");
        }
        report.results.push(result);
    }
    Ok(report)
}

fn order(scenario: &dyn Scenario, args: &RunArgs) -> Result<Order, Failure> {
    let about = scenario.about();
    if args.minutes.is_some() && !scenario.is_long() {
        return Err(Failure::NoMinutes { name: about.name, counts: about.counts });
    }
    let count = args.count.map(|count| fitting(count, scenario, args));
    Ok(Order {
        count: args.minutes.or(count),
        seed: args.seed,
        weights: args.weights,
        rounds: args.rounds.unwrap_or(if scenario.is_long() { 1 } else { USUAL_ROUNDS }),
    })
}

/// Of all scenarios each does as much of the count as it can: one count does not fit all.
fn fitting(count: u64, scenario: &dyn Scenario, args: &RunArgs) -> u64 {
    let (least, most) = scenario.about().range;
    if args.name == ALL { count.clamp(least, most) } else { count }
}

fn chosen<'a>(name: &str, registry: &'a Registry) -> Result<Vec<&'a dyn Scenario>, Failure> {
    if name == ALL {
        return Ok(registry.iter().filter(|scenario| !scenario.is_long()).collect());
    }
    registry.find(name).map(|scenario| vec![scenario]).ok_or_else(|| {
        let known: Vec<_> = registry.abouts().map(|about| about.name).collect();
        Failure::UnknownScenario { name: name.to_owned(), known: known.join(", ") }
    })
}

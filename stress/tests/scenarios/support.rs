//! An allocator that counts, and a runner.

use std::alloc::System;
use std::time::{Duration, Instant};

use cap::Cap;
use ironlight_stress::measure::{Counts, Silent, Surroundings};
use ironlight_stress::report::{Machine, Report, ScenarioResult};
use ironlight_stress::runner::{Order, RunError, run};
use ironlight_stress::scenario::{Registry, Scenario};
use peakmem_alloc::PeakMemAlloc;

static PEAK: PeakMemAlloc<System> = PeakMemAlloc::new(System);
#[global_allocator]
static ALLOCATOR: Cap<&PeakMemAlloc<System>> = Cap::new(&PEAK, usize::MAX);
/// What all tests of the process have asked for together.
pub(crate) static ALLOCATED: Counts<System> = Counts::new(&ALLOCATOR, &PEAK);

/// Bounds that are about time: a test does not look at them.
pub(crate) const TIMED: [&str; 5] =
    ["under 1 ms", "under 5 ms", "events a second", "longest answer", "99 % of answers"];

/// With a limit so long that no machine reaches it.
pub(crate) fn result_of(
    scenario: &dyn Scenario,
    order: &Order,
) -> Result<ScenarioResult, RunError> {
    within(scenario, order, Duration::from_secs(3_600))
}

pub(crate) fn within(
    scenario: &dyn Scenario,
    order: &Order,
    limit: Duration,
) -> Result<ScenarioResult, RunError> {
    let start = Instant::now();
    let clock = || start.elapsed();
    run(scenario, order, Surroundings { clock: &clock, memory: None, progress: &Silent, limit })
}

/// A registered scenario with a count; every bound that is not about time has to hold.
pub(crate) fn passes(name: &str, count: u64) -> ScenarioResult {
    let registry = Registry::new();
    let scenario = registry.find(name).unwrap();
    let result = result_of(scenario, &Order { count: Some(count), ..Order::default() }).unwrap();
    let broken: Vec<_> =
        result.broken().filter(|bound| !TIMED.contains(&bound.name.as_str())).collect();
    assert!(broken.is_empty(), "{name}: {broken:?}");
    assert_eq!((result.count, result.name.as_str()), (count, name));
    result
}

/// A report of these results, as if from some machine.
pub(crate) fn report(results: Vec<ScenarioResult>) -> Report {
    let machine = Machine { cores: 2, load: Some(0.1), ..Machine::default() };
    let (program, commit) = ("0.1.0".to_owned(), Some("0123456789ab".to_owned()));
    Report { format: Report::FORMAT, program, commit, began: 1_767_225_600, machine, results }
}

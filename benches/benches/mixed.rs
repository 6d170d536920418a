//! What a node does all day, in turns drawn by weight: the scenario `mixed` of docs/STRESS.md, which defines it. Criterion
//! has the time of a turn, the figures are the shares of turns that are fast enough.

#![allow(clippy::panic, clippy::print_stdout, reason = "a bench prints, and ends where it fails")]

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use ironlight_benches::recorded::{Unit, record};
use ironlight_benches::settings::{JOURNEYS, asked_for};
use ironlight_stress::measure::{Meter, Silent, Surroundings};
use ironlight_stress::report::result_lines;
use ironlight_stress::runner::{Order, run};
use ironlight_stress::scenario::{Mixed, Plan, Scenario as _, Weights};

/// The seed of all.
const SEED: u64 = 1;
/// Rounds of the scenario's usual count.
const ROUNDS: u32 = 3;
/// The most turns that one sample of criterion's has: each sample makes its accounts anew, and they grow.
const TURNS: u64 = 20_000;
const LIMIT: Duration = Duration::from_secs(60);

fn mixed(criterion: &mut Criterion) {
    let start = Instant::now();
    let clock = || start.elapsed();
    let around = Surroundings { clock: &clock, memory: None, progress: &Silent, limit: LIMIT };
    if asked_for("mixed") {
        shares(around);
    }
    let mut group = criterion.benchmark_group("mixed");
    group.bench_function("a turn: ironlight", |bencher| {
        bencher.iter_custom(|turns| {
            let rest = (turns % TURNS > 0).then_some(turns % TURNS);
            let samples = std::iter::repeat_n(TURNS, usize::try_from(turns / TURNS).unwrap_or(0));
            samples.chain(rest).map(|count| sample(count, around)).sum()
        });
    });
    group.finish();
}

/// The time that so many turns take, without what prepares them.
fn sample(count: u64, around: Surroundings<'_>) -> Duration {
    let mut meter = Meter::new(around);
    let plan = Plan { count, seed: SEED, weights: Weights::default() };
    match Mixed.run(&plan, &mut meter) {
        Ok(_judged_by_the_figures) => meter.measured(),
        Err(error) => panic!("{error}"),
    }
}

fn shares(around: Surroundings<'_>) {
    let order = Order { seed: SEED, rounds: ROUNDS, ..Order::default() };
    let result = match run(&Mixed, &order, around) {
        Ok(result) => result,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(result.failed, 0, "all turns give the right answer");
    result_lines(&result).iter().for_each(|line| println!("{line}"));
    record("mixed", "under 1 ms", result.latency.under_1ms, Unit::Share);
    record("mixed", "under 5 ms", result.latency.under_5ms, Unit::Share);
}

criterion_group! { name = benches; config = JOURNEYS.criterion(); targets = mixed }
criterion_main!(benches);

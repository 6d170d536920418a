//! Each scenario with a small count.

use std::time::{Duration, Instant};

use ironlight_hardening::{Clock as _, ManualClock};
use ironlight_stress::measure::{Meter, Silent, Surroundings};
use ironlight_stress::report::Bound;
use ironlight_stress::runner::{Order, RunError, TIME_LIMIT, run};
use ironlight_stress::scenario::{
    About, ConcurrentHeaders, Findings, HeaderChains, MemoryEfficiency, MerkleTrees, Mixed, Plan,
    Registry, Resilience, Scenario, ScenarioError, Soak, Weights,
};

use super::support::{ALLOCATED, passes, result_of, within};

fn errors(result: &ironlight_stress::report::ScenarioResult) -> u64 {
    result.errors.iter().map(|error| error.count).sum()
}

#[test]
fn a_chain_syncs_in_batches_and_follows_a_reorg() {
    let result = passes("header-chain", 4_500);
    // 4,400 headers, the last 100 as a message of their own, and the branch that replaces these.
    assert_eq!((result.operations, result.failed), (4_601, 0));
    assert_eq!(result.latency.samples, 3 + 1 + 1);
    passes("header-chain", 2);
}

#[test]
fn every_proof_of_a_block_holds_and_every_changed_one_is_refused() {
    let result = passes("merkle-tree", 1_001);
    assert_eq!((result.operations, result.failed), (1_001, 0));
    assert_eq!(result.figure("longest path"), Some(10.0));
}

#[test]
fn many_threads_at_one_chain_get_the_answers_of_a_single_one() {
    let result = passes("concurrent-headers", 1_050);
    assert_eq!((result.operations, result.failed), (1_050 * 8, 0));
    passes("concurrent-headers", 1);
}

#[test]
fn processes_that_are_fed_the_same_chain_say_the_same_of_it() {
    let program = env!("CARGO_BIN_EXE_ironlight-stress").into();
    let order = Order { count: Some(1_050), ..Order::default() };
    let result = result_of(&ConcurrentHeaders::with_processes(program), &order).unwrap();
    assert_eq!(result.broken().count(), 0, "{:?}", result.bounds);
    assert_eq!((result.operations, result.failed), (1_050 * 10, 0));
    assert_eq!(result.figure("processes"), Some(2.0));
}

#[test]
fn a_process_that_gives_no_answers_breaks_the_bound() {
    let order = Order { count: Some(1_050), ..Order::default() };
    let result = result_of(&ConcurrentHeaders::with_processes("true".into()), &order).unwrap();
    let broken: Vec<_> = result.broken().map(|bound| bound.name.as_str()).collect();
    assert_eq!(broken, ["right answers"]);
    let [gone] = &result.errors[..] else { panic!("{:?}", result.errors) };
    assert_eq!((gone.class.as_str(), gone.count), ("client_gone", 2 * 1_050));
}

#[test]
fn a_node_that_ran_for_a_while_has_the_devnets_wallet_and_stops_in_order() {
    let soak = Soak::new(env!("CARGO_BIN_EXE_ironlight-stress").into());
    let soak = soak.with_minute(Duration::from_secs(7));
    let result = result_of(&soak, &Order { count: Some(1), ..Order::default() }).unwrap();
    // Others are about growth and delays, which such a short time does not show.
    for name in ["the node goes on", "balance", "coins", "history", "the node stops"] {
        let bound = result.bounds.iter().find(|bound| bound.name == name).unwrap();
        assert!(bound.met, "{bound}");
    }
    assert!(result.curves.iter().all(|curve| !curve.points.is_empty()), "{:?}", result.curves);
    assert!(result.figure("requests at the control socket").unwrap() > 0.0);
}

#[test]
fn compressed_states_answer_for_every_height() {
    let result = passes("state-compression", 20_000);
    assert_eq!((result.operations, result.failed), (99 * 200 + 2 * 2_000, 0));
}

#[test]
fn what_an_audit_log_accepts_is_there_and_what_it_refuses_is_counted() {
    let result = passes("audit", 5_000);
    assert_eq!(result.operations, 5_000);
    assert_eq!(result.figure("refused"), Some(errors(&result) as f64));
}

#[test]
fn a_mixed_day_has_no_failure_and_the_turns_that_were_asked_for() {
    let result = passes("mixed", 3_000);
    assert_eq!((result.operations, result.failed), (3_000, 0));
    let weights = Weights { headers: 0, proofs: 2, state: 0 };
    let order = Order { count: Some(100), weights, ..Order::default() };
    let proofs_only = result_of(&Mixed, &order).unwrap();
    let turns = ["headers", "proofs", "accounts"].map(|turn| proofs_only.figure(turn).unwrap());
    assert_eq!(turns, [0.0, 100.0, 0.0]);
}

#[test]
fn calls_recover_after_storms_and_equal_seeds_make_equal_runs() {
    let result = passes("resilience", 2_000);
    assert_eq!(result.operations, 2_000);
    assert!(result.failed > 0, "there were storms");
    let states: Vec<_> = result.states.iter().map(|change| change.state.as_str()).collect();
    assert!(states.contains(&"open") && states.contains(&"half_open"), "{states:?}");
    assert_eq!(states.last(), Some(&"closed"));
    assert_eq!(result, passes("resilience", 2_000), "virtual time has no noise");
    let order = Order { count: Some(2_000), seed: 2, ..Order::default() };
    assert_ne!(result.states, result_of(&Resilience, &order).unwrap().states);
}

#[test]
fn a_chain_of_ten_thousand_headers_keeps_to_its_memory() {
    // Other tests allocate meanwhile: the program's own run is alone in its process, this is not.
    let start = Instant::now();
    let clock = || start.elapsed();
    let limit = Duration::from_secs(3_600);
    let memory = Some(&ALLOCATED as &dyn ironlight_stress::measure::MemoryProbe);
    let around = Surroundings { clock: &clock, memory, progress: &Silent, limit };
    let result = run(&MemoryEfficiency, &Order::default(), around).unwrap();
    assert_eq!((result.operations, result.failed), (10_000, 0));
    let names: Vec<_> = result.bounds.iter().map(|bound| bound.name.as_str()).collect();
    assert_eq!(names, ["height", "asked for", "ours", TIME_LIMIT]);
    assert!(result.figure("held").unwrap() > 0.0);
}

#[test]
fn a_scenario_about_memory_refuses_to_run_where_nobody_counts() {
    let refused = result_of(&MemoryEfficiency, &Order::default()).unwrap_err();
    let RunError::Scenario { source: ScenarioError::MemoryNotCounted, .. } = refused else {
        panic!("{refused}")
    };
}

#[test]
fn a_count_that_a_scenario_cannot_do_is_refused_with_its_range() {
    let order = Order { count: Some(20_000), ..Order::default() };
    let refused = result_of(&MerkleTrees, &order).unwrap_err();
    assert_eq!(refused.to_string(), "merkle-tree takes a count from 2 to 16666, not 20000");
}

#[test]
fn a_scenario_that_is_not_done_in_time_has_a_result_with_that_bound_broken() {
    let result = within(&HeaderChains, &Order::default(), Duration::ZERO).unwrap();
    let broken: Vec<_> = result.broken().map(|bound| bound.name.as_str()).collect();
    assert_eq!(broken, [TIME_LIMIT]);
    assert_eq!((result.operations, result.rounds.len()), (2_000, 1), "the first batch was done");
}

/// Takes a millisecond more each time, by a clock that only it moves, and fails every third time.
#[derive(Debug)]
struct Slower(ManualClock);

impl Scenario for Slower {
    fn about(&self) -> About {
        About {
            name: "slower",
            does: "waits",
            operation: "a wait",
            sample: "a wait",
            bound: "none is the third",
            counts: "waits",
            usual: 6,
            range: (1, 10),
        }
    }

    fn run(&self, plan: &Plan, meter: &mut Meter<'_>) -> Result<Findings, ScenarioError> {
        for number in 1..=plan.count {
            let _counted = meter.time(1, || {
                self.0.advance(Duration::from_micros(1_000 * number - 500));
                if number.is_multiple_of(3) { Err("third") } else { Ok(()) }
            });
        }
        let bounds = vec![Bound::equal("thirds", &0, &meter.tally().failed())];
        Ok(Findings { bounds, ..Findings::default() })
    }
}

#[test]
fn figures_follow_from_the_clock_that_the_runner_is_given() {
    let clock = ManualClock::default();
    let now = || clock.now();
    let limit = Duration::from_secs(60);
    let around = Surroundings { clock: &now, memory: None, progress: &Silent, limit };
    let order = Order { rounds: 2, ..Order::default() };
    let result = run(&Slower(clock.clone()), &order, around).unwrap();
    assert_eq!((result.operations, result.failed, result.rounds.len()), (12, 4, 2));
    assert_eq!(result.duration_ns, 2 * 18_000_000);
    assert!((result.operations_per_second - 12.0 / 0.036).abs() < 1e-6);
    assert!((result.success_rate - 8.0 / 12.0).abs() < 1e-9);
    // 0.5 ms is under one, and that up to 4.5 ms under five.
    assert!((result.latency.under_1ms - 1.0 / 6.0).abs() < 1e-9);
    assert!((result.latency.under_5ms - 5.0 / 6.0).abs() < 1e-9);
    let [error] = &result.errors[..] else { panic!("{:?}", result.errors) };
    assert_eq!((error.class.as_str(), error.count), ("third", 4));
    let broken: Vec<_> = result.broken().map(|bound| bound.name.as_str()).collect();
    assert_eq!(broken, ["thirds"]);
}

#[test]
fn a_registry_takes_scenarios_from_elsewhere_and_one_of_each_name() {
    let registry = Registry::new().with(Slower(ManualClock::default())).with(Mixed);
    let names: Vec<_> = registry.abouts().map(|about| about.name).collect();
    assert_eq!(names.len(), 14);
    assert!(registry.find("slower").is_some() && registry.find("faster").is_none());
    for about in registry.abouts() {
        let (least, most) = about.range;
        assert!((least..=most).contains(&about.usual), "{}", about.name);
    }
}

//! The scenarios with a real node, with small counts.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ironlight_spv::filter::sync::FilterSyncConfig;
use ironlight_stress::measure::{Progress, Surroundings};
use ironlight_stress::report::ScenarioResult;
use ironlight_stress::runner::{Order, run};
use ironlight_stress::scenario::{FilterLiars, PeerFlood, Scenario, Soak};

use super::support::{passes, result_of};

#[test]
fn more_clients_than_are_served_at_once_all_get_their_answers() {
    let result = passes("api-burst", 600);
    assert_eq!((result.operations, result.failed), (600, 0));
}

#[test]
fn callers_of_all_kinds_get_what_they_may_have() {
    let result = passes("peer-flood", 24);
    assert_eq!(result.figure("let in"), Some(24.0));
    let classes: Vec<_> = result.errors.iter().map(|error| error.class.as_str()).collect();
    assert!(["busy", "invalid", "thrown_out"].iter().all(|class| classes.contains(class)));
}

#[test]
fn headers_come_from_peers_that_are_slow() {
    let result = passes("slow-peers", 2_000);
    assert_eq!((result.operations, result.failed), (2 * 2_000, 0));
}

#[test]
fn a_wallet_is_right_after_reorgs() {
    let result = passes("reorg-storm", 12);
    assert_eq!((result.operations, result.failed), (12, 0));
}

#[test]
fn no_payment_is_missed_among_liars_and_equal_seeds_make_equal_runs() {
    let result = passes("filter-liars", 24);
    assert_eq!(result.operations, 24);
    assert!(result.figure("liars found").unwrap() > 0.0);
    assert_eq!(result, passes("filter-liars", 24), "virtual time has no noise");
}

/// The bounds that are broken by so many operations.
fn broken(scenario: &dyn Scenario, count: u64) -> Vec<String> {
    let order = Order { count: Some(count), ..Order::default() };
    let result: ScenarioResult = result_of(scenario, &order).unwrap();
    result.broken().map(|bound| bound.name.clone()).collect()
}

#[test]
fn without_comparing_peers_missed_payments_are_seen() {
    let mut config = FilterSyncConfig::default();
    config.defences.compare_peers = false;
    let broken = broken(&FilterLiars { config }, 40);
    assert!(broken.contains(&"payments missed".to_owned()), "{broken:?}");
}

#[test]
fn without_allowances_a_flood_is_seen() {
    let broken = broken(&PeerFlood { guarded: false }, 16);
    assert!(broken.contains(&"greedy callers told to wait".to_owned()), "{broken:?}");
}

/// Kills the processes of a program as soon as something was done.
struct Killer<'a>(&'a Path);

impl Progress for Killer<'_> {
    fn begin(&self, _scenario: &str, _operations: u64) {}

    fn advance(&self, _operations: u64) {
        let program = self.0.as_os_str().as_encoded_bytes();
        let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        for process in processes {
            let started_as = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            if started_as.split(|byte| *byte == 0).next() == Some(program) {
                // It may have ended already.
                let _ = Command::new("kill").arg("-KILL").arg(process.file_name()).status();
            }
        }
    }

    fn end(&self) {}
}

#[test]
fn a_node_that_dies_leaves_a_report_that_says_when() {
    let directory = tempfile::tempdir().unwrap();
    // A name that no other test's node has.
    let program = directory.path().join("to-be-killed");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ironlight-stress"), &program).unwrap();
    let (start, progress) = (Instant::now(), Killer(&program));
    let clock = || start.elapsed();
    let limit = Duration::from_secs(3_600);
    let around = Surroundings { clock: &clock, memory: None, progress: &progress, limit };
    let order = Order { count: Some(30), ..Order::default() };
    let result = run(&Soak::new(program.clone()), &order, around).unwrap();
    let bound = |name| result.bounds.iter().find(|bound| bound.name == name).unwrap();
    let goes_on = bound("the node goes on");
    assert!(!goes_on.met && goes_on.got.starts_with("gone after "), "{goes_on}");
    assert_eq!(bound("the node stops").got, "signal: 9 (SIGKILL)");
    assert!(result.curves.iter().any(|curve| !curve.points.is_empty()), "{:?}", result.curves);
}

//! The scenarios with a real node, with small counts.

use ironlight_spv::filter::sync::FilterSyncConfig;
use ironlight_stress::report::ScenarioResult;
use ironlight_stress::runner::Order;
use ironlight_stress::scenario::{FilterLiars, PeerFlood, Scenario};

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

//! One honest peer beats seven liars of every kind, and each defence is there for a reason.

use std::sync::LazyLock;

use ironlight_spv::filter::sync::{FilterDefences, FilterSyncConfig};
use ironlight_stress::sim::filters::{
    FilterOutcome, FilterScenario, FilterWorld, LIES, Lie, Size, run_filters,
};

/// Most are small: checkpoints matter in some only.
static WORLDS: LazyLock<Vec<FilterWorld>> = LazyLock::new(|| {
    let small = (0..16).map(|seed| FilterWorld::new(seed, Size::Small));
    small.chain((16..20).map(|seed| FilterWorld::new(seed, Size::Large))).collect()
});

fn world(seed: u64) -> &'static FilterWorld {
    &WORLDS[usize::try_from(seed * 7 % 20).unwrap()]
}

fn run(seed: u64) -> FilterOutcome {
    let scenario = FilterScenario::drawn(seed);
    let outcome = run_filters(world(seed), FilterSyncConfig::default(), &scenario, seed);
    assert_eq!(outcome.fault(), None, "{outcome:?} {scenario:?}");
    outcome
}

#[test]
fn no_payment_is_missed_among_seven_liars() {
    let share = |first: u64| move || (first..1_000).step_by(2).map(run).collect::<Vec<_>>();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let halves = [scope.spawn(share(0)), scope.spawn(share(1))];
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    let banned: usize = outcomes.iter().map(|outcome| outcome.banned).sum();
    let whole: usize = outcomes.iter().map(|outcome| outcome.whole).sum();
    println!("{banned} liars banned, {whole} blocks looked through whole");
    assert!(banned > 1_000 && whole > 100, "the liars hardly lied");
    for lie in LIES {
        assert!(outcomes.iter().any(|outcome| outcome.lies.contains(&lie)), "{lie:?}");
    }
}

/// Liars of one mind who are there first, and a driver that waits as long as they like.
fn band(lie: Lie, seed: u64) -> FilterScenario {
    FilterScenario {
        lies: vec![lie; 7],
        late: true,
        anchored: seed.is_multiple_of(2),
        rescans: false,
        patient: true,
        loss_percent: 0,
    }
}

/// Switches one defence off, and names the first seed that loses a payment with it and none without.
fn assert_needed(name: &str, lie: Lie, switch_off: impl Fn(&mut FilterDefences)) {
    let mut defenceless = FilterSyncConfig::default();
    switch_off(&mut defenceless.defences);
    let lost = (0..40).find(|seed| {
        let scenario = band(lie, *seed);
        let defended = run_filters(world(*seed), FilterSyncConfig::default(), &scenario, *seed);
        assert_eq!(defended.fault(), None, "{name}: {defended:?}");
        run_filters(world(*seed), defenceless, &scenario, *seed).missed > 0
    });
    println!("{name}: seed {lost:?} loses a payment without it");
    assert!(lost.is_some(), "{name} is of no use");
}

#[test]
fn without_comparing_peers_a_payment_is_lost() {
    assert_needed("compare_peers", Lie::Omits, |defences| defences.compare_peers = false);
}

#[test]
fn without_evidence_a_payment_is_lost() {
    assert_needed("evidence", Lie::Omits, |defences| defences.evidence = false);
}

#[test]
fn without_looking_through_undecided_blocks_a_payment_is_lost() {
    let lie = Lie::OmitsSpends;
    assert_needed("undecided_blocks", lie, |defences| defences.undecided_blocks = false);
}

#[test]
fn without_dropping_claims_that_nobody_serves_a_payment_is_lost() {
    assert_needed("drop_unserved", Lie::WrongHeader, |defences| defences.drop_unserved = false);
}

#[test]
fn without_checking_the_blocks_that_are_evidence_a_payment_is_lost() {
    assert_needed("check_block", Lie::FalseBlock, |defences| defences.check_block = false);
}

#[test]
fn without_checking_filters_a_payment_is_lost() {
    assert_needed("check_filters", Lie::WrongFilter, |defences| defences.check_filters = false);
}

#[test]
fn without_revising_what_was_handed_out_a_payment_is_lost() {
    assert_needed("revise", Lie::Omits, |defences| defences.revise = false);
}

#[test]
fn without_minding_stalls_a_payment_is_lost() {
    assert_needed("stall_timeout", Lie::StallsFilters, |defences| defences.stall_timeout = false);
}

//! Everything together, with many seeds; and what holds of every run.

use std::time::{Duration, Instant};

use ironlight_stress::sim::network::{Behaviour, Ended, Forgery, Limit, LinkSettings, SimNetwork};
use ironlight_stress::sim::{Flaw, Role};

use super::nodes::*;

/// Three full nodes, four light ones, two liars, bad links; blocks, a reorg, a partition and
/// restarts, each when the seed says.
fn mixed(seed: u64) -> (SimNetwork, Duration, Ended) {
    let mut network = open_network(seed);
    let link = LinkSettings {
        latency: Duration::from_millis(80),
        jitter: Duration::from_millis(20 * (seed % 50)),
        loss_percent: u8::try_from(seed % 4).unwrap(),
    };
    let [a, b, c] = three_full_nodes(&mut network);
    let first = network.light_node(&[a, b]);
    let second = network.light_node(&[b, c]);
    let third = network.light_node(&[first, second]);
    let fourth = network.light_node(&[third, c]);
    let liars = [flawed(1_990, Flaw::NoWork), low_work(), Role::Silent, Role::Empty];
    for turn in [seed, seed / 4 + 1] {
        let role = liars[usize::try_from(turn % 4).unwrap()].clone();
        let liar = network.liar(Behaviour::answers(role).forging(Forgery::Hash), &[first]);
        network.tell_addresses(second, &[liar]);
        network.tell_addresses(third, &[liar]);
    }
    for (one, other) in [(first, a), (first, b), (second, b), (third, first), (fourth, c)] {
        network.link(one, other, link);
    }
    network.run_for(Duration::from_secs(seed % 90));
    network.mine(a, 2);
    network.partition(&[&[a, first, third], &[b, c, second, fourth]]);
    network.mine(b, 4);
    network.restart([first, second, third, fourth][usize::try_from(seed % 4).unwrap()]);
    network.run_for(Duration::from_secs(30 + seed * 3));
    network.mine(a, 1);
    network.heal();
    network.restart([a, b, third][usize::try_from(seed % 3).unwrap()]);
    network.reorg(c, 2);
    let before = network.elapsed();
    let ended = network.run_until(2 * HOUR, SimNetwork::all_on_tip);
    (network, before, ended)
}

#[test]
fn a_hundred_seeds_of_a_mixed_network_end_on_the_honest_tip() {
    let began = Instant::now();
    let mut times = Vec::new();
    for seed in 0..100 {
        let (network, before, ended) = mixed(seed);
        let Some(at) = ended.reached() else { panic!("seed {seed}: {ended:?}") };
        times.push(at - before);
        assert_eq!(network.behind().count(), 0);
    }
    times.sort_unstable();
    println!(
        "100 mixed networks in {:.1?}; to the last tip: {:.1?} at the median, {:.1?} at most",
        began.elapsed(),
        times[50],
        times[99]
    );
}

#[test]
fn what_happens_follows_from_the_seed() {
    for seed in [11, 12, 13] {
        let (one, _, ended) = mixed(seed);
        let (again, _, ended_again) = mixed(seed);
        assert_eq!((one.digest(), one.happened()), (again.digest(), again.happened()));
        assert_eq!(ended, ended_again);
        assert_eq!(one.honest_tip(), again.honest_tip());
    }
    // The same calls in networks that differ in their seeds alone.
    let digests = [1, 2, 3].map(|seed| {
        let (mut network, ..) = eclipse(seed);
        network.run_for(MINUTE);
        network.digest()
    });
    assert!(digests[0] != digests[1] && digests[1] != digests[2] && digests[0] != digests[2]);
}

#[test]
fn events_and_messages_are_bounded() {
    let mut config = CONFIG.clone();
    (config.max_events, config.max_messages) = (50, 1);
    let mut network = SimNetwork::new(1, config);
    let full = network.full_node(&[]);
    for _ in 0..10 {
        let _light = network.light_node(&[full]);
    }
    let ended = network.run_until(HOUR, SimNetwork::all_on_tip);
    assert!(matches!(ended, Ended::Limit { limit: Limit::Events, .. }), "{ended:?}");
    assert_eq!(network.happened(), 50);
    assert!(network.lost() > 0);
}

#[test]
fn callers_beyond_the_limit_are_turned_away() {
    let mut config = CONFIG.clone();
    config.max_inbound = 3;
    let mut network = SimNetwork::new(1, config);
    let full = network.full_node(&[]);
    let light = network.light_node(&[full]);
    for _ in 0..5 {
        let _liar = network.liar(Behaviour::answers(Role::Empty), &[light]);
    }
    network.run_for(5 * MINUTE);
    let connected: Vec<_> = network.light(light).unwrap().connected().collect();
    // The callers do not take the place of the one that it dials.
    assert_eq!(connected.len(), 4);
    assert!(connected.contains(&full));
}

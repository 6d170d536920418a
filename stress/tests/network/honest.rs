//! Nobody lies, but links are bad, networks part, chains reorganise and nodes restart.

use std::time::Duration;

use ironlight_spv::peers::{Offence, Verdict};
use ironlight_stress::sim::network::{LinkSettings, NodeId, SimNetwork};

use super::nodes::*;

#[test]
fn a_light_node_syncs_from_one_full_node() {
    let mut network = network(1);
    let full = network.full_node(&[]);
    let light = network.light_node(&[full]);
    let at = synced(&network.run_until(MINUTE, SimNetwork::all_synced));
    // Two messages to show the work, two to keep it, a few more to be sure.
    assert!(at < SECOND, "{at:?}");
    let node = network.light(light).unwrap();
    assert_eq!(node.tip(), network.tip(full).unwrap());
    assert_eq!(node.writes().headers, 3_000);
    assert_eq!(node.pins(), 0);
}

#[test]
fn a_light_node_syncs_in_spite_of_loss_and_reordering() {
    let (mut times, mut lost) = (Vec::new(), 0);
    for seed in 0..20 {
        let mut network = network(seed);
        let fulls = three_full_nodes(&mut network);
        let light = network.light_node(&fulls);
        for full in fulls {
            let (latency, jitter) = (Duration::from_millis(100), 2 * SECOND);
            network.link(light, full, LinkSettings { latency, jitter, loss_percent: 20 });
        }
        times.push(synced(&network.run_until(20 * MINUTE, SimNetwork::all_synced)));
        assert!(network.light(light).unwrap().verdicts().iter().all(|(_, offence, verdict)| {
            (*offence, *verdict) == (Offence::Stalled, Verdict::Keep)
        }));
        lost += network.lost();
    }
    assert!(lost > 0);
    times.sort_unstable();
    println!("20 % loss: {:.1?} at the median, {:.1?} at most", times[10], times[19]);
}

/// A full node, and light nodes of which each knows the one before it.
fn line(network: &mut SimNetwork, lights: usize) -> (NodeId, Vec<NodeId>) {
    let full = network.full_node(&[]);
    let mut all = Vec::new();
    let mut last = full;
    for _ in 0..lights {
        last = network.light_node(&[last]);
        all.push(last);
    }
    (full, all)
}

#[test]
fn five_light_nodes_in_a_line_follow_the_tip() {
    let mut network = network(2);
    let (full, lights) = line(&mut network, 5);
    let at = synced(&network.run_until(10 * MINUTE, SimNetwork::all_synced));
    println!("five in a line are synced after {at:.1?}");
    for blocks in [1, 1, 3, 20, 2_500] {
        let before = network.elapsed();
        network.mine(full, blocks);
        assert!(!network.all_on_tip());
        let at = synced(&network.run_until(5 * MINUTE, SimNetwork::all_on_tip)) - before;
        println!("{blocks} blocks reach the end of the line after {at:.1?}");
        assert!(blocks > 1 || at < SECOND, "{at:?}");
    }
    let last = network.light(lights[4]).unwrap();
    assert_eq!(last.connected().collect::<Vec<_>>(), [lights[3]]);
}

#[test]
fn after_a_partition_all_follow_the_side_with_more_work() {
    let mut network = network(3);
    let [a, b, c] = three_full_nodes(&mut network);
    let here = network.light_node(&[a, c]);
    let there = network.light_node(&[b, here]);
    synced(&network.run_until(5 * MINUTE, SimNetwork::all_synced));
    network.partition(&[&[a, here], &[b, c, there]]);
    network.mine(a, 3);
    network.mine(b, 5);
    network.run_for(10 * MINUTE);
    assert_eq!(network.tip(here), network.tip(a));
    assert_eq!(network.tip(there), network.tip(b));
    assert_eq!(network.tip(c), network.tip(b));
    assert_ne!(network.tip(a), network.tip(b));
    let (most, healed) = (network.tip(b), network.elapsed());
    network.heal();
    let at = synced(&network.run_until(HOUR, SimNetwork::all_on_tip)) - healed;
    println!("a partition is overcome {at:.1?} after it ended");
    assert_eq!(network.honest_tip(), most);
    assert_eq!(network.tip(here), most);
}

#[test]
fn a_reorg_reaches_the_end_of_a_line() {
    let mut network = network(4);
    let (full, lights) = line(&mut network, 3);
    synced(&network.run_until(10 * MINUTE, SimNetwork::all_synced));
    for depth in [1, 6, 30] {
        let (old, before) = (network.tip(full).unwrap(), network.elapsed());
        network.reorg(full, depth);
        let new = network.tip(full).unwrap();
        assert_eq!(new.height, old.height.next());
        let at = synced(&network.run_until(5 * MINUTE, SimNetwork::all_on_tip)) - before;
        println!("a reorg of {depth} reaches the end of a line of three after {at:.1?}");
        assert_eq!(network.tip(lights[2]), Some(new));
    }
}

#[test]
fn a_restarted_node_keeps_its_chain_and_finds_its_peers_again() {
    let mut network = network(5);
    let full = network.full_node(&[]);
    let light = network.light_node(&[full]);
    synced(&network.run_until(MINUTE, SimNetwork::all_synced));
    let before = network.tip(light);
    network.restart(light);
    network.mine(full, 2);
    network.run_for(2 * SECOND);
    assert_eq!(network.light(light).unwrap().connected().count(), 0);
    assert_eq!(network.tip(light), before);
    assert!(!network.all_on_tip());
    synced(&network.run_until(MINUTE, SimNetwork::all_synced));
    // What it had was not written once more.
    assert_eq!(network.light(light).unwrap().writes().headers, 2);
}

#[test]
fn the_middle_of_a_line_restarts_and_the_end_follows_again() {
    let mut network = network(6);
    let (full, lights) = line(&mut network, 5);
    synced(&network.run_until(10 * MINUTE, SimNetwork::all_synced));
    network.restart(lights[2]);
    network.mine(full, 1);
    network.run_for(2 * SECOND);
    assert_eq!(network.tip(lights[1]), network.tip(full));
    assert_ne!(network.tip(lights[4]), network.tip(full));
    let at = synced(&network.run_until(10 * MINUTE, SimNetwork::all_on_tip));
    println!("the end of the line is there again at {at:.1?}");
}

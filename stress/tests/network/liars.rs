//! Each kind of liar: banned, dropped or ignored as the rules say, and never believed.

use std::collections::BTreeSet;
use std::time::Duration;

use ironlight_spv::CompactTarget;
use ironlight_spv::peers::{Offence, Verdict};
use ironlight_spv::sync::{GaveUp, SyncEvent};
use ironlight_stress::sim::network::{Behaviour, Ended, Forgery, Limit, NodeId, SimNetwork};
use ironlight_stress::sim::{Chain, Flaw, Role};

use super::nodes::*;

/// A light node that hears of one liar and of three full nodes, and dials them all.
fn with_liar(seed: u64, behaviour: Behaviour) -> (SimNetwork, NodeId, NodeId) {
    let mut network = open_network(seed);
    let fulls = three_full_nodes(&mut network);
    let liar = network.liar(behaviour, &[]);
    let light = network.light_node(&[]);
    network.tell_addresses(light, &[&fulls[..], &[liar]].concat());
    // The liar has time to be asked for its opinion, and to be caught.
    synced(&network.run_until(20 * MINUTE, SimNetwork::all_synced));
    network.run_for(HOUR);
    network.mine(fulls[0], 1);
    synced(&network.run_until(MINUTE, SimNetwork::all_on_tip));
    for full in fulls {
        assert!(!network.light(light).unwrap().has_condemned(full));
    }
    (network, light, liar)
}

/// The liar was banned once, for this, and was not let near again.
fn assert_banned(behaviour: &Behaviour, offence: Offence) {
    for seed in 0..5 {
        let (network, light, liar) = with_liar(seed, behaviour.clone());
        let light = network.light(light).unwrap();
        let of_liar: Vec<_> = light.verdicts().iter().filter(|(id, ..)| *id == liar).collect();
        assert!(
            matches!(&of_liar[..], [(_, why, Verdict::Ban { .. })] if *why == offence),
            "{seed}: {of_liar:?}"
        );
        assert!(light.connected().all(|id| id != liar));
    }
}

#[test]
fn headers_without_proof_of_work_are_a_reason_to_ban() {
    assert_banned(&Behaviour::answers(flawed(990, Flaw::NoWork)), Offence::InvalidHeader);
}

#[test]
fn headers_of_another_difficulty_are_a_reason_to_ban() {
    let harder = Flaw::Bits(CompactTarget::from_consensus(0x2010_0000));
    assert_banned(&Behaviour::answers(flawed(2_900, harder)), Offence::InvalidHeader);
}

#[test]
fn too_many_headers_are_a_reason_to_ban() {
    let chain = Chain::new(&genesis(), BASE.clone());
    let behaviour = Behaviour::answers(Role::TooMany(chain));
    assert_banned(&behaviour, Offence::TooManyHeaders);
}

#[test]
fn forged_headers_are_a_reason_to_ban() {
    for forgery in [Forgery::NoWork, Forgery::TipWithoutWork] {
        let behaviour = Behaviour::answers(Role::Empty).forging(forgery);
        assert_banned(&behaviour, Offence::InvalidHeader);
    }
}

#[test]
fn a_chain_of_low_work_is_neither_stored_nor_blamed() {
    for seed in 0..5 {
        let mut network = open_network(seed);
        let liar = network.liar(Behaviour::answers(low_work()), &[]);
        let light = network.light_node(&[liar]);
        network.run_for(10 * MINUTE);
        let node = network.light(light).unwrap();
        let gave_up = node.events().iter().filter(|event| {
            let reason = GaveUp::LowWork;
            matches!(event, SyncEvent::PresyncGaveUp { reason: why, .. } if *why == reason)
        });
        assert!(gave_up.count() > 0);
        assert_eq!(node.writes().headers, 0);
        assert!(!node.is_synced());
        assert!(node.verdicts().is_empty());
        // One honest peer is enough to be past it.
        let full = network.full_node(&[]);
        network.tell_addresses(light, &[full]);
        synced(&network.run_until(10 * MINUTE, SimNetwork::all_synced));
        assert_eq!(network.light(light).unwrap().writes().headers, 3_000);
    }
}

#[test]
fn silent_peers_are_waited_for_and_kept_but_hold_nothing_up() {
    for seed in 0..5 {
        let (network, light, liar) = with_liar(seed, Behaviour::answers(Role::Silent));
        let light = network.light(light).unwrap();
        assert!(light.stalls_of(liar) > 0, "{seed}");
        assert!(!light.has_condemned(liar));
        assert!(light.connected().any(|id| id == liar));
    }
}

#[test]
fn a_silent_peer_makes_way_for_a_better_one() {
    let mut config = CONFIG.clone();
    config.policy.manual_only = false;
    (config.policy.outbound_target, config.policy.diversity_floor) = (2, 1);
    let mut network = SimNetwork::new(9, config);
    let silent = network.liar(Behaviour::answers(Role::Silent), &[]);
    let full = network.full_node(&[]);
    let light = network.light_node(&[]);
    network.tell_addresses(light, &[silent, full]);
    network.run_for(5 * MINUTE);
    let connected =
        |network: &SimNetwork| network.light(light).unwrap().connected().collect::<BTreeSet<_>>();
    // Nobody waits for its place.
    assert_eq!(connected(&network), BTreeSet::from([silent, full]));
    assert!(network.light(light).unwrap().stalls_of(silent) > 0);
    let better = network.full_node(&[full]);
    network.tell_addresses(light, &[better]);
    network.run_for(5 * MINUTE);
    assert_eq!(connected(&network), BTreeSet::from([full, better]));
    assert!(!network.light(light).unwrap().has_condemned(silent));
}

#[test]
fn forged_announcements_cost_a_bounded_number_of_questions() {
    for forgery in [Forgery::Orphan, Forgery::Hash] {
        let behaviour = Behaviour::answers(Role::Empty).forging(forgery);
        let (network, light, liar) = with_liar(7, behaviour);
        let asked = network.questions_to(liar);
        println!("{forgery:?}: {asked} questions in {:.0?}", network.elapsed());
        // An announcement every thirty seconds for an hour.
        assert!((2..=130).contains(&asked), "{forgery:?}: {asked} questions");
        assert!(forgery != Forgery::Orphan || asked <= 20, "{asked} questions");
        assert!(!network.light(light).unwrap().has_condemned(liar));
    }
}

#[test]
fn empty_answers_are_no_offence_and_no_hindrance() {
    let (network, light, liar) = with_liar(8, Behaviour::answers(Role::Empty));
    assert!(network.questions_to(liar) > 0);
    assert!(network.light(light).unwrap().verdicts().is_empty());
}

#[test]
fn twenty_liars_do_not_eclipse_one_named_peer() {
    let mut times = Vec::new();
    for seed in 0..20 {
        let (mut network, full, light, liars) = eclipse(seed);
        times.push(synced(&network.run_until(30 * MINUTE, SimNetwork::all_on_tip)));
        network.run_for(HOUR);
        network.mine(full, 1);
        synced(&network.run_until(MINUTE, SimNetwork::all_on_tip));
        let node = network.light(light).unwrap();
        assert!(node.connected().any(|id| id == full));
        assert!(!node.has_condemned(full));
        assert!(liars.iter().any(|liar| node.connected().any(|id| id == *liar)));
        assert!(liars.iter().any(|liar| node.has_condemned(*liar)));
        assert_eq!(node.writes().headers, 3_001, "{seed}: nothing of the liars is kept");
    }
    times.sort_unstable();
    println!("among 20 liars: {:.1?} at the median, {:.1?} at most", times[10], times[19]);
}

#[test]
fn without_the_honest_peer_the_liars_are_not_believed() {
    let (mut network, full, light, _) = eclipse(1);
    network.partition(&[&[full]]);
    let ended = network.run_until(HOUR, SimNetwork::all_on_tip);
    let behind = vec![light];
    assert_eq!(ended, Ended::Limit { limit: Limit::Time, at: HOUR, behind });
    assert_eq!(network.light(light).unwrap().writes().headers, 0);
    assert!(!network.light(light).unwrap().is_synced());
}

#[test]
fn callers_that_never_answer_do_not_delay_what_is_asked_of_a_peer_of_our_choice() {
    for seed in 0..5 {
        let mut network = SimNetwork::new(seed, CONFIG.clone());
        let full = network.full_node(&[]);
        network.mine(full, 3_000);
        let light = network.light_node(&[full]);
        for _ in 0..20 {
            let _silent = network.liar(Behaviour::answers(Role::Silent), &[light]);
        }
        let took = synced(&network.run_until(30 * MINUTE, SimNetwork::all_on_tip));
        println!("{seed}: {took:.1?}");
        // One of them may be being waited for.
        assert!(took <= Duration::from_secs(25), "{seed}: {took:?}");
    }
}

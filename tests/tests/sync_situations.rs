//! Header sync in single situations: stalls, reorgs, starts, clocks and bounds, each with the real
//! machine and the real chain in a small simulated network.

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use ironlight_spv::generate::Miner;
    use ironlight_spv::peers::Verdict;
    use ironlight_spv::sync::{GaveUp, PeerId, PeerPhase, SyncConfig, SyncEvent, SyncState};
    use ironlight_spv::{
        BlockHeight, Header, HeaderChain, Params, PresyncParams, TrustedStart, UnixTime,
    };
    use ironlight_stress::sim::{Chain, Chains, Latency, Node, Role, SimPeer, World, regtest_with};

    const BEGAN: UnixTime = UnixTime(1_790_000_000);
    const QUICK: Latency =
        Latency { least: Duration::from_millis(20), most: Duration::from_millis(400) };

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const SMALL: PresyncParams = PresyncParams { commitment_period: 20, redownload_buffer: 900 };

    /// Headers on genesis, or on the part of another chain up to a height.
    fn mined(params: &Params, seed: u64, on: Option<(&Chain, usize)>, count: usize) -> Arc<Chain> {
        let mut headers = on.map_or_else(Vec::new, |(chain, at)| chain.after(0, at, at).to_vec());
        let parent = headers.last().copied().unwrap_or(params.genesis);
        headers.extend(Miner::new(seed).run(&parent, count, 600));
        Chain::new(&params.genesis, headers)
    }

    fn world(params: &Params, config: SyncConfig, seed: u64) -> World {
        let chain = HeaderChain::new(params.clone());
        World::new(Node::new(chain, config, seed), seed, BEGAN)
    }

    fn join(world: &mut World, id: u64, role: Role) {
        world.add(PeerId(id), SimPeer::new(role), QUICK, Duration::ZERO);
    }

    fn is_at(world: &World, chain: &Chain, height: usize) -> bool {
        Some(world.node.chain.tip().hash) == chain.hash(height)
    }

    fn has_all(world: &World, chain: &Chain) -> bool {
        is_at(world, chain, chain.height())
    }

    fn is_synced(world: &World) -> bool {
        world.node.sync.status().is_synced()
    }

    fn told(world: &World, wanted: impl Fn(&SyncEvent) -> bool) -> bool {
        world.node.events.iter().any(wanted)
    }

    /// Makes the honest peer serve more of its chain without a word.
    fn find_blocks(world: &mut World, id: u64, tip: usize) {
        world.peers.get_mut(&PeerId(id)).unwrap().tip = tip;
    }

    #[test]
    fn lost_answers_and_peers_that_come_and_go_only_cost_time() {
        let params = regtest_with(4_000, SMALL);
        let honest = mined(&params, 1, None, 5_000);
        for seed in 0..100 {
            let mut world = world(&params, SyncConfig::default(), seed);
            world.loss_percent = 25;
            for id in 0..3 {
                let slow = Latency { least: secs(0), most: secs(12) };
                let after = world.draw(secs(30));
                world.add(PeerId(id), SimPeer::new(Role::Serves(honest.clone())), slow, after);
                let leaves = world.draw(secs(120));
                world.leave(PeerId(id), leaves);
                world.come_back(PeerId(id), leaves + secs(10));
            }
            assert!(world.run_until(secs(3_600), |world| has_all(world, &honest)), "seed {seed}");
            assert!(world.node.blamed.is_empty());
        }
    }

    #[test]
    fn a_late_answer_is_taken_and_the_slow_peer_is_kept() {
        let params = regtest_with(3_000, SMALL);
        let honest = mined(&params, 1, None, 5_000);
        let mut world = world(&params, SyncConfig::default(), 1);
        let slow = Latency { least: secs(13), most: secs(14) };
        world.add(PeerId(1), SimPeer::new(Role::Serves(honest.clone())), slow, secs(0));
        assert!(world.run_until(secs(1_200), |world| has_all(world, &honest)));
        assert!(told(&world, |event| *event == SyncEvent::Stalled { peer: PeerId(1) }));
        assert!(world.node.blamed.is_empty());
        // Seven messages of twenty-seven seconds and what comes between: nothing was thrown away.
        assert!(world.now().elapsed < secs(300), "{:?}", world.now());
    }

    #[test]
    fn where_a_presync_stalls_another_peer_begins_its_own() {
        let params = regtest_with(19_000, SMALL);
        let honest = mined(&params, 1, None, 20_000);
        let mut world = world(&params, SyncConfig::default(), 1);
        join(&mut world, 1, Role::Serves(honest.clone()));
        world.run_until(secs(60), |world| {
            let presync = world.node.sync.status().best_presync();
            presync.is_some_and(|presync| presync.height >= BlockHeight(10_000))
        });
        world.peers.get_mut(&PeerId(1)).unwrap().role = Role::Silent;
        join(&mut world, 2, Role::Serves(honest.clone()));
        assert!(world.run_until(secs(120), |world| has_all(world, &honest)));
        let started = |event: &&SyncEvent| matches!(event, SyncEvent::PresyncStarted { .. });
        assert_eq!(world.node.events.iter().filter(started).count(), 2);
        assert!(world.node.blamed.is_empty());
    }

    #[test]
    fn a_peer_that_moves_to_our_chain_during_its_presync_is_not_held_to_it() {
        // Its answer is short and does not continue the presync; a few headers are taken for an
        // announcement beside it until the question is overdue.
        for (more, phase) in [(500, PeerPhase::Done), (5, PeerPhase::Backoff)] {
            let params = regtest_with(6_000, SMALL);
            let longer = mined(&params, 1, None, 1_000 + more);
            let side = mined(&params, 2, Some((&longer, 1_000)), 8_000);
            let mut world = world(&params, SyncConfig::default(), 1);
            let stored = world.node.chain.verify(longer.after(0, 1_000, 1_000), BEGAN).unwrap();
            world.node.chain.apply(stored).unwrap();
            join(&mut world, 1, Role::Serves(side));
            let in_presync = |world: &World| world.node.sync.status().best_presync().is_some();
            assert!(world.run_until(secs(10), in_presync));
            world.peers.get_mut(&PeerId(1)).unwrap().role = Role::Serves(longer);
            assert!(world.run_until(secs(25), |world| !in_presync(world)));
            assert_eq!(world.node.sync.status().peers[0].phase, phase);
            assert!(!told(&world, |event| matches!(event, SyncEvent::Stalled { .. })));
            assert!(world.node.blamed.is_empty());
        }
    }

    #[test]
    fn a_silent_stall_heals() {
        let heals = |config: SyncConfig| {
            let params = regtest_with(0, SMALL);
            let honest = mined(&params, 1, None, 3_010);
            let mut world = world(&params, config, 1);
            for id in 0..2 {
                let peer = SimPeer::new(Role::Serves(honest.clone())).up_to(3_000);
                world.add(PeerId(id), peer, QUICK, secs(0));
            }
            assert!(world.run_until(secs(60), |world| is_at(world, &honest, 3_000)));
            assert!(world.run_until(secs(60), is_synced));
            find_blocks(&mut world, 1, 3_010);
            world.run_until(secs(35 * 60), |world| has_all(world, &honest))
        };
        let mut without = SyncConfig::default();
        without.defences.reask_when_silent = false;
        assert!(heals(SyncConfig::default()));
        assert!(!heals(without));
    }

    #[test]
    fn a_reorg_of_150_blocks_is_followed() {
        let params = regtest_with(0, SMALL);
        let old = mined(&params, 1, None, 3_000);
        let new = mined(&params, 2, Some((&old, 2_850)), 151);
        let mut world = world(&params, SyncConfig::default(), 1);
        join(&mut world, 1, Role::Serves(old.clone()));
        assert!(world.run_until(secs(60), |world| has_all(world, &old)));
        join(&mut world, 2, Role::Serves(new.clone()));
        assert!(world.run_until(secs(60), |world| has_all(world, &new)));
        assert!(world.node.blamed.is_empty());
    }

    /// A branch of more headers than side branches may have, with more work than ours in the end.
    fn long_reorg(config: SyncConfig) -> World {
        let params = regtest_with(0, SMALL);
        let old = mined(&params, 1, None, 10_000);
        let new = mined(&params, 2, Some((&old, 150)), 9_900);
        let mut world = world(&params, config, 1);
        join(&mut world, 1, Role::Serves(old.clone()));
        assert!(world.run_until(secs(60), |world| has_all(world, &old)));
        join(&mut world, 2, Role::Serves(new.clone()));
        world.run_until(secs(300), |world| has_all(world, &new) && is_synced(world));
        world
    }

    #[test]
    fn a_branch_too_long_for_the_fork_tree_takes_over_while_it_is_pinned() {
        let world = long_reorg(SyncConfig::default());
        assert_eq!(world.node.chain.tip().height, BlockHeight(10_050));
        assert!(told(&world, |event| matches!(event, SyncEvent::PresyncFinished { .. })));
        assert!(world.node.blamed.is_empty());
        assert!(world.node.pins.is_empty());
    }

    #[test]
    fn without_pins_a_branch_too_long_for_the_fork_tree_never_takes_over() {
        let mut config = SyncConfig::default();
        config.defences.pins = false;
        let world = long_reorg(config);
        assert_eq!(world.node.chain.tip().height, BlockHeight(10_000));
    }

    #[test]
    fn a_peer_that_leaves_during_a_redownload_leaves_no_pin() {
        let params = regtest_with(0, SMALL);
        let old = mined(&params, 1, None, 10_000);
        let new = mined(&params, 2, Some((&old, 150)), 9_900);
        let mut world = world(&params, SyncConfig::default(), 1);
        join(&mut world, 1, Role::Serves(old.clone()));
        assert!(world.run_until(secs(60), |world| has_all(world, &old)));
        join(&mut world, 2, Role::Serves(new));
        assert!(world.run_until(secs(60), |world| !world.node.pins.is_empty()));
        world.leave(PeerId(2), secs(0));
        assert!(world.run_until(secs(10), |world| world.node.pins.is_empty()));
        assert!(has_all(&world, &old));
    }

    #[test]
    fn an_honest_peer_that_is_still_below_the_minimum_work_is_ignored_without_blame() {
        let params = regtest_with(5_000, SMALL);
        let honest = mined(&params, 1, None, 6_000);
        for short in [1_500, 4_100] {
            let mut world = world(&params, SyncConfig::default(), 1);
            let peer = SimPeer::new(Role::Serves(honest.clone())).up_to(short);
            world.add(PeerId(1), peer, QUICK, secs(0));
            world.run_until(secs(60), |_| false);
            assert_eq!(world.node.sync.status().state, SyncState::BelowMinimumWork);
            assert_eq!(world.node.writes.commits, 0);
            assert!(world.node.blamed.is_empty());
            // It catches up, and we with it.
            find_blocks(&mut world, 1, 6_000);
            assert!(world.run_until(secs(300), |world| has_all(world, &honest)));
            assert!(world.run_until(secs(60), is_synced));
        }
    }

    #[test]
    fn from_a_trusted_start_the_branch_with_more_work_wins_whoever_came_first() {
        let params = regtest_with(0, SMALL);
        let honest = mined(&params, 1, None, 9_000);
        let start = honest.after(4_999, 1, 5_000)[0];
        let liar = mined(&params, 2, Some((&honest, 5_000)), 3_500);
        for first in 0..2 {
            for seed in 0..20 {
                let work = work_of(&start);
                let trusted = TrustedStart::bare(BlockHeight(5_000), start, work);
                let chain = HeaderChain::from_start(params.clone(), trusted).unwrap();
                let node = Node::new(chain, SyncConfig::default(), seed);
                let mut world = World::new(node, seed, BEGAN);
                for id in 0..8 {
                    let role = Role::Serves(if id == 0 { &honest } else { &liar }.clone());
                    let late = if (id == 0) == (first == 0) { secs(0) } else { secs(30) };
                    world.add(PeerId(id), SimPeer::new(role), QUICK, late);
                }
                let done = |world: &World| has_all(world, &honest) && is_synced(world);
                assert!(world.run_until(secs(300), done), "seed {seed}");
                assert!(world.node.blamed.is_empty());
            }
        }
    }

    fn work_of(header: &Header) -> ironlight_spv::Work {
        ironlight_spv::Target::from_compact(header.compact_target()).to_work()
    }

    #[test]
    fn headers_ahead_of_our_clock_are_asked_for_again_and_nobody_is_blamed() {
        let params = regtest_with(0, SMALL);
        let honest = mined(&params, 1, None, 100);
        let last = honest.after(99, 1, 100)[0].time();
        let chain = HeaderChain::new(params);
        let slow_clock = UnixTime(last.0 - 7_200 - 90);
        let node = Node::new(chain, SyncConfig::default(), 1);
        let mut world = World::new(node, 1, slow_clock);
        join(&mut world, 1, Role::Serves(honest.clone()));
        assert!(world.run_until(secs(30), |world| is_at(world, &honest, 99)));
        assert!(!world.run_until(secs(40), |world| has_all(world, &honest)));
        assert!(world.run_until(secs(120), |world| has_all(world, &honest)));
        assert!(world.node.blamed.is_empty());
    }

    #[test]
    fn after_a_mistyped_height_an_honest_peer_is_put_off_without_blame() {
        let chains = Chains::prepare();
        let start = chains.honest.after(1_949, 1, 1_950)[0];
        let trusted = TrustedStart::bare(BlockHeight(1_960), start, work_of(&start));
        let chain = HeaderChain::from_start(chains.params.clone(), trusted).unwrap();
        let mut world = World::new(Node::new(chain, SyncConfig::default(), 1), 1, BEGAN);
        join(&mut world, 1, Role::Serves(chains.honest.clone()));
        world.run_until(secs(600), |_| false);
        assert!(world.node.chain.tip().height < BlockHeight(2_200));
        assert!(world.node.blamed.is_empty() && world.dropped.is_empty());
        assert_eq!(world.node.sync.status().peers[0].phase, PeerPhase::Backoff);
        let questions = world.peers[&PeerId(1)].questions();
        assert!((2..=20).contains(&questions), "{questions}");
    }

    #[test]
    fn agreeing_peers_cost_one_message_an_opinion() {
        let params = regtest_with(90_000, SMALL);
        let honest = mined(&params, 1, None, 100_000);
        let mut world = world(&params, SyncConfig::default(), 1);
        for id in 0..8 {
            join(&mut world, id, Role::Serves(honest.clone()));
        }
        let done = |world: &World| has_all(world, &honest) && is_synced(world);
        assert!(world.run_until(secs(600), done));
        let questions: usize = world.peers.values().map(SimPeer::questions).sum();
        println!("{questions} questions for twice 50 messages and eight peers");
        assert!(questions < 130, "{questions}");
    }

    #[test]
    fn beside_a_slow_primary_a_faster_peer_that_agrees_downloads_too() {
        let params = regtest_with(38_000, SMALL);
        let honest = mined(&params, 1, None, 40_000);
        let mut world = world(&params, SyncConfig::default(), 1);
        join(&mut world, 1, Role::Trickles(honest.clone()));
        world.run_until(secs(5), |_| false);
        join(&mut world, 2, Role::Serves(honest.clone()));
        // Forty messages of twelve seconds would take eight minutes.
        assert!(world.run_until(secs(60), |world| has_all(world, &honest)));
        let gave_up = |event: &SyncEvent| matches!(event, SyncEvent::PresyncGaveUp { .. });
        assert!(!told(&world, gave_up));
    }

    #[test]
    fn floods_in_all_places_give_them_up_in_the_end() {
        let params = regtest_with(62_000, SMALL);
        let honest = mined(&params, 1, None, 64_000);
        let floods = [mined(&params, 2, None, 60_000), mined(&params, 3, None, 60_000)];
        let wins = |turn_patience: Duration| {
            let config = SyncConfig { max_parallel: 2, turn_patience, ..SyncConfig::default() };
            let mut world = world(&params, config, 1);
            let slow = Latency { least: secs(7), most: secs(9) };
            for (id, flood) in (1..).zip(&floods) {
                let flood = SimPeer::new(Role::Serves(flood.clone()));
                world.add(PeerId(id), flood, slow, secs(0));
            }
            let peer = SimPeer::new(Role::Serves(honest.clone()));
            world.add(PeerId(9), peer, QUICK, secs(30));
            world.run_until(secs(300), |world| has_all(world, &honest))
        };
        assert!(wins(secs(60)));
        assert!(!wins(secs(3_600)));
    }

    #[test]
    fn peers_beyond_the_bound_are_left_alone() {
        let params = regtest_with(0, SMALL);
        let config = SyncConfig { max_peers: 3, ..SyncConfig::default() };
        let mut world = world(&params, config, 1);
        for id in 0..10 {
            join(&mut world, id, Role::Empty);
        }
        world.run_until(secs(5), |_| false);
        assert_eq!(world.node.sync.status().peers.len(), 3);
    }

    #[test]
    fn the_peer_policy_bans_an_offender_and_it_does_not_come_back() {
        let params = regtest_with(0, SMALL);
        let honest = mined(&params, 1, None, 3_000);
        let mut world = world(&params, SyncConfig::default(), 1);
        join(&mut world, 1, Role::TooMany(honest.clone()));
        join(&mut world, 2, Role::Serves(honest.clone()));
        world.run_until(secs(300), |_| false);
        assert!(has_all(&world, &honest) && is_synced(&world));
        assert!(matches!(world.dropped.as_slice(), [(PeerId(1), Verdict::Ban { .. })]));
        assert_eq!(world.peers[&PeerId(1)].questions(), 1);
        assert_eq!(world.node.sync.status().peers.len(), 1);
    }

    #[test]
    fn a_commitment_cheater_is_put_off_without_blame() {
        let chains = Chains::prepare();
        let node = Node::new(HeaderChain::new(chains.params.clone()), SyncConfig::default(), 1);
        let mut world = World::new(node, 1, BEGAN);
        let shown = SimPeer::new(Role::Cheats {
            shown: chains.honest.clone(),
            served: chains.low_work.clone(),
        });
        world.add(PeerId(1), shown, QUICK, secs(0));
        world.run_until(secs(20), |_| false);
        let mismatch = |event: &SyncEvent| {
            matches!(event, SyncEvent::PresyncGaveUp { reason: GaveUp::CommitmentMismatch, .. })
        };
        assert!(told(&world, mismatch), "{:?}", world.node.events);
        assert_eq!(world.node.sync.status().peers[0].phase, PeerPhase::Backoff);
        assert!(world.node.blamed.is_empty());
        assert_eq!(world.node.writes.commits, 0);
    }
}

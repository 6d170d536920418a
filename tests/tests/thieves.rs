//! Peers that agree with the one that downloads, more quickly than it, and then withhold the rest:
//! they must not cost the slow honest peer what it has shown so far.

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use ironlight_spv::generate::Miner;
    use ironlight_spv::sync::{PeerId, SyncConfig, SyncEvent};
    use ironlight_spv::{HeaderChain, Params, PresyncParams, UnixTime};
    use ironlight_stress::sim::{Chain, Latency, Node, Role, SimPeer, World, regtest_with};

    const BEGAN: UnixTime = UnixTime(1_790_000_000);
    const HEIGHT: usize = 30_000;
    const SMALL: PresyncParams = PresyncParams { commitment_period: 20, redownload_buffer: 900 };
    const QUICK: Latency =
        Latency { least: Duration::from_millis(20), most: Duration::from_millis(400) };

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn honest_chain() -> Arc<Chain> {
        let genesis = Params::new(ironlight_spv::Network::Regtest).genesis;
        Chain::new(&genesis, Miner::new(1).run(&genesis, HEIGHT, 600))
    }

    /// A slow honest peer, and quick ones that agree with it and then withhold the rest.
    fn among_thieves(minimum: u32, honest: &Arc<Chain>, thieves: u64, seed: u64) -> Duration {
        let chain = HeaderChain::new(regtest_with(minimum, SMALL));
        let mut world = World::new(Node::new(chain, SyncConfig::default(), seed), seed, BEGAN);
        let slow = Latency { least: secs(4), most: secs(6) };
        let after = world.draw(secs(10));
        world.add(PeerId(0), SimPeer::new(Role::Serves(honest.clone())), slow, after);
        for thief in 1..=thieves {
            let role = if world.draw(secs(2)) < secs(1) {
                Role::AgreesThenEmpty(honest.clone())
            } else {
                Role::AgreesThenSilent(honest.clone())
            };
            let after = world.draw(secs(30));
            world.add(PeerId(thief), SimPeer::new(role), QUICK, after);
        }
        let done = |world: &World| {
            Some(world.node.chain.tip().hash) == honest.hash(HEIGHT)
                && world.node.sync.status().is_synced()
        };
        assert!(world.run_until(secs(3_600), done), "{thieves} thieves, seed {seed}");
        assert!(world.node.blamed.is_empty() && world.dropped.is_empty());
        assert!(!world.node.events.contains(&SyncEvent::Stalled { peer: PeerId(0) }));
        world.now().elapsed
    }

    #[test]
    fn thieves_take_nothing_away_from_a_slow_honest_peer() {
        // Thirty-two messages of ten seconds where the chain is shown first, sixteen where not, and
        // what thieves cost that are asked before.
        let honest = honest_chain();
        for (minimum, limit) in [(29_000, secs(450)), (0, secs(300))] {
            for thieves in 0..=7 {
                let seeds = 0..25;
                let times = seeds.map(|seed| among_thieves(minimum, &honest, thieves, seed));
                let longest = times.max().unwrap();
                println!("minimum {minimum}, {thieves} thieves: {longest:.0?} at most");
                assert!(longest < limit, "{thieves} thieves");
            }
        }
    }

    #[test]
    fn peers_that_give_up_late_in_their_presync_do_so_once_before_the_honest_one_is_asked() {
        let honest = honest_chain();
        let longest = (0..25).map(|seed| {
            let chain = HeaderChain::new(regtest_with(29_000, SMALL));
            let node = Node::new(chain, SyncConfig::default(), seed);
            let mut world = World::new(node, seed, BEGAN);
            let slow = Latency { least: secs(4), most: secs(6) };
            for id in 0..=7 {
                let tip = if id == 0 { HEIGHT } else { 27_000 };
                let peer = SimPeer::new(Role::Serves(honest.clone())).up_to(tip);
                let after = world.draw(secs(10));
                world.add(PeerId(id), peer, slow, after);
            }
            let done = |world: &World| Some(world.node.chain.tip().hash) == honest.hash(HEIGHT);
            assert!(world.run_until(secs(7_200), done), "seed {seed}");
            assert!(world.node.blamed.is_empty() && world.dropped.is_empty());
            world.now().elapsed
        });
        let longest = longest.max().unwrap();
        println!("seven that give up at height 27000: {longest:.0?} at most");
        // Seven times fourteen messages of ten seconds at worst, then thirty-two.
        assert!(longest < secs(1_500));
    }
}

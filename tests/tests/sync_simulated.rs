//! Header sync in simulated networks: the real machine and the real chain, liars of many kinds, a
//! virtual clock. Every run can be made again from its seed.

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::LazyLock;
    use std::time::{Duration, Instant};

    use ironlight_spv::sync::{Defences, SyncConfig};
    use ironlight_stress::sim::{Chains, News, Outcome, honest_among_liars};

    static CHAINS: LazyLock<Chains> = LazyLock::new(Chains::prepare);

    fn run(seeds: Range<u64>, config: SyncConfig) -> Vec<Outcome> {
        let chains = &*CHAINS;
        let middle = seeds.start.midpoint(seeds.end);
        let half = |seeds: Range<u64>| -> Vec<Outcome> {
            seeds.map(|seed| honest_among_liars(chains, config, seed)).collect()
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(move || half(middle..seeds.end));
            let mut all = half(seeds.start..middle);
            all.extend(other.join().unwrap());
            all
        })
    }

    #[test]
    fn one_honest_peer_among_seven_liars_wins_with_every_seed() {
        let began = Instant::now();
        let outcomes = run(0..1_000, SyncConfig::default());
        let slowest = outcomes.iter().map(|outcome| outcome.took).max().unwrap();
        let total: Duration = outcomes.iter().map(|outcome| outcome.took).sum();
        println!(
            "{} seeds in {:.1?}; simulated time to the honest tip: {:.0?} on average, {:.0?} at most",
            outcomes.len(),
            began.elapsed(),
            total / 1_000,
            slowest
        );
        for outcome in &outcomes {
            assert_eq!(outcome.fault(), None, "{outcome:?}");
        }
        for news in [News::Header, News::Hash, News::Unconnecting] {
            assert!(outcomes.iter().any(|outcome| outcome.news == (news, true)));
        }
    }

    #[test]
    fn few_places_and_many_opinions_change_nothing_of_that() {
        let default = SyncConfig::default();
        let few = SyncConfig { max_parallel: 2, ..default };
        let many = SyncConfig { max_parallel: 3, second_opinion_batches: 1, ..default };
        for config in [few, many] {
            for outcome in run(1_000..1_200, config) {
                assert_eq!(outcome.fault(), None, "{outcome:?}");
            }
        }
    }

    /// Looks for a seed with which the node fails without a defence, though not with it.
    fn assert_needed(config: SyncConfig, fault: &str, switch_off: fn(&mut Defences)) {
        let mut without = config;
        switch_off(&mut without.defences);
        let failing = (0..300).find_map(|seed| {
            let outcome = honest_among_liars(&CHAINS, without, seed);
            outcome.fault().filter(|found| *found == fault).map(|_| outcome)
        });
        let failing = failing.expect("the defence is needed with some seed");
        println!("seed {}: {fault}", failing.seed);
        assert_eq!(honest_among_liars(&CHAINS, config, failing.seed).fault(), None);
    }

    #[test]
    fn without_presync_headers_of_low_work_are_stored() {
        let fault = "headers of low work were written";
        assert_needed(SyncConfig::default(), fault, |on| on.presync = false);
    }

    #[test]
    fn without_commitments_another_chain_than_the_one_shown_is_stored() {
        let fault = "headers of low work were written";
        assert_needed(SyncConfig::default(), fault, |on| on.commitments = false);
    }

    #[test]
    fn without_second_opinions_the_first_peer_captures_the_sync() {
        let fault = "the node is not synced to the honest tip";
        assert_needed(SyncConfig::default(), fault, |on| on.second_opinions = false);
    }

    #[test]
    fn without_stall_timeouts_silent_peers_take_all_places() {
        let config = SyncConfig { max_parallel: 2, ..SyncConfig::default() };
        let fault = "the node is not synced to the honest tip";
        assert_needed(config, fault, |on| on.stall_timeout = false);
    }

    #[test]
    fn without_asking_after_unconnecting_headers_news_is_missed() {
        let fault = "news did not arrive";
        assert_needed(SyncConfig::default(), fault, |on| on.ask_unconnecting = false);
    }

    #[test]
    fn without_asking_after_announced_hashes_news_is_missed() {
        let fault = "news did not arrive";
        assert_needed(SyncConfig::default(), fault, |on| on.ask_inv = false);
    }

    #[test]
    fn without_refusing_offenders_they_offend_again() {
        let fault = "a peer was blamed twice";
        assert_needed(SyncConfig::default(), fault, |on| on.refuse_offenders = false);
    }
}

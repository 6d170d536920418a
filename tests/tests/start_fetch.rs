//! A trusted start by height and hash, fetched from peers that may lie.

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;
    use std::time::Duration;

    use ironlight_spv::generate::Miner;
    use ironlight_spv::sync::{PeerId, StartAction, StartConfig, StartFetch};
    use ironlight_spv::{Basis, BlockHeight, HeaderChain, Now, Params, TrustedStart, UnixTime};
    use ironlight_stress::sim::{Chain, Chains, Role, SimPeer, retargeting};

    static CHAINS: LazyLock<Chains> = LazyLock::new(Chains::prepare);

    const BEGAN: UnixTime = UnixTime(1_790_000_000);

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn fetch(chain: &Chain, params: &Params, height: usize, liars: usize) -> Option<TrustedStart> {
        let hash = chain.hash(height).unwrap();
        let height = BlockHeight(u32::try_from(height).unwrap());
        let mut fetch = StartFetch::new(params.clone(), StartConfig::default(), height, hash);
        let mut peers: Vec<SimPeer> = (0..liars)
            .map(|liar| match liar % 3 {
                0 => SimPeer::new(Role::Silent),
                1 => SimPeer::new(Role::Empty),
                _ => SimPeer::new(Role::Junk(CHAINS.junk.clone().into())),
            })
            .collect();
        peers.push(SimPeer::new(Role::Serves(Chain::new(
            &params.genesis,
            chain.after(0, usize::MAX, usize::MAX).to_vec(),
        ))));
        let mut now = Now { unix: BEGAN, elapsed: secs(0) };
        for id in 0..peers.len() {
            fetch.handle_connected(PeerId(u64::try_from(id).unwrap()), now);
        }
        for _ in 0..1_000 {
            match fetch.poll() {
                Some(StartAction::GetHeader { peer, hash }) => {
                    let at = usize::try_from(peer.0).unwrap();
                    if let Some((headers, _)) = peers[at].answer(&[], Some(hash)) {
                        fetch.handle_headers(peer, &headers, now);
                    }
                }
                Some(StartAction::Finished(start)) => return Some(start),
                Some(_) => {}
                None => {
                    now.elapsed = fetch.poll_timeout()?;
                    fetch.handle_timeout(now);
                }
            }
        }
        None
    }

    #[test]
    fn a_start_by_hash_is_found_with_its_context_among_liars() {
        let params = retargeting();
        let honest = &CHAINS.honest;
        // Inside a period, shortly after one began, and on its first block.
        for height in [5_025, 5_001, 5_000, 3] {
            let start = fetch(honest, &params, height, 5).expect("found");
            let chain = HeaderChain::from_start(params.clone(), start.clone()).unwrap();
            assert_eq!(Some(chain.tip().hash), honest.hash(height));
            assert_eq!(start.previous_times.len(), 10.min(height));
            let rest = honest.after(height, 150, usize::MAX);
            assert!(chain.verify(rest, BEGAN).is_ok(), "height {height}");
            if height > 10 {
                let Basis::TrustedStart { unapplied, .. } = chain.basis() else { panic!() };
                assert_eq!(unapplied.median_time_until, None);
                assert_eq!(unapplied.difficulty_until, None);
            }
        }
    }

    #[test]
    fn a_start_far_from_its_periods_first_header_says_what_is_missing() {
        let params = retargeting();
        let start = fetch(&CHAINS.honest, &params, 5_080, 2).expect("found");
        let chain = HeaderChain::from_start(params, start).unwrap();
        let Basis::TrustedStart { unapplied, .. } = chain.basis() else { panic!() };
        assert_eq!(unapplied.median_time_until, None);
        assert_eq!(unapplied.difficulty_until, Some(BlockHeight(5_100)));
    }

    #[test]
    fn a_hash_that_nobody_knows_finds_no_start() {
        let params = retargeting();
        let unknown = Miner::new(77).run(&params.genesis, 15, 600);
        let hash = unknown[14].hash();
        let config = StartConfig::default();
        let mut fetch = StartFetch::new(params, config, BlockHeight(15), hash);
        let mut peer = SimPeer::new(Role::Serves(CHAINS.honest.clone()));
        let mut now = Now { unix: BEGAN, elapsed: secs(0) };
        fetch.handle_connected(PeerId(1), now);
        for _ in 0..200 {
            match fetch.poll() {
                Some(StartAction::GetHeader { hash, .. }) => {
                    let (headers, _) = peer.answer(&[], Some(hash)).unwrap();
                    fetch.handle_headers(PeerId(1), &headers, now);
                }
                Some(action) => panic!("{action:?}"),
                None => {
                    now.elapsed = fetch.poll_timeout().unwrap();
                    fetch.handle_timeout(now);
                }
            }
        }
        // It asks now and then, not without pause.
        assert!(peer.questions() < 120 && now.elapsed > secs(600));
    }
}

//! What a flood of valid headers of low work costs: memory as the allocator counts it, and no
//! write. In a test binary of its own, because the allocator counts everything in the process.

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use ironlight_spv::generate::Miner;
    use ironlight_spv::sync::{PeerId, SyncConfig, SyncEvent, presync_memory_bound};
    use ironlight_spv::{BlockHash, Header, HeaderChain, Now, Params, UnixTime, Work};
    use ironlight_stress::sim::{Node, Writes, regtest_with};
    use peak_alloc::PeakAlloc;

    #[global_allocator]
    static PEAK_ALLOC: PeakAlloc = PeakAlloc;

    const BEGAN: UnixTime = UnixTime(1_790_000_000);
    const MAX: usize = 2_000;
    const LIMIT: usize = 1_500_000;

    /// Mainnet's presync figures on headers that cost nothing to make; the time since genesis, and
    /// with it the number of commitments allowed, is a little less than mainnet's.
    fn params(minimum: u32) -> Params {
        regtest_with(minimum, Params::new(ironlight_spv::Network::Mainnet).presync)
    }

    fn now(message: usize) -> Now {
        Now { unix: BEGAN, elapsed: Duration::from_millis(u64::try_from(message).unwrap()) }
    }

    /// What a peer serves, with the heights of its headers.
    struct Flood {
        headers: Vec<Header>,
        heights: HashMap<BlockHash, usize>,
    }

    impl Flood {
        fn new(genesis: &Header, seed: u64, count: usize) -> Self {
            let headers = Miner::new(seed).run(genesis, count, 600);
            let hashes = headers.iter().map(Header::hash);
            let heights = hashes.enumerate().map(|(before, hash)| (hash, before + 1)).collect();
            Self { headers, heights }
        }

        fn after(&self, hash: Option<&BlockHash>) -> Vec<Header> {
            let from = hash.and_then(|hash| self.heights.get(hash)).copied().unwrap_or(0);
            let end = (from + MAX).min(self.headers.len());
            self.headers[from..end].to_vec()
        }
    }

    /// Lets each flood answer what it is asked, at most so many messages; gives the peak above what
    /// was held before.
    fn serve(node: &mut Node, floods: &[Flood], most: usize) -> usize {
        let before = PEAK_ALLOC.current_usage();
        PEAK_ALLOC.reset_peak_usage();
        let mut questions = Vec::new();
        for peer in 0..floods.len() {
            let peer = PeerId(u64::try_from(peer).unwrap());
            node.sync.handle_connected(&node.chain, peer, now(0));
            node.settle(now(0), &mut questions);
        }
        for answered in 0..most {
            if questions.is_empty() {
                break;
            }
            let question = questions.remove(0);
            let flood = &floods[usize::try_from(question.peer.0).unwrap()];
            let headers = flood.after(question.locator.first());
            node.take_headers(question.peer, headers, now(answered));
            node.settle(now(answered), &mut questions);
        }
        PEAK_ALLOC.peak_usage() - before
    }

    fn node(params: &Params) -> Node {
        let config = SyncConfig { second_opinion_batches: 1, ..SyncConfig::default() };
        Node::new(HeaderChain::new(params.clone()), config, 1)
    }

    /// One test, so that nothing else allocates meanwhile.
    #[test]
    fn a_flood_costs_at_most_a_megabyte_and_a_half_and_no_write() {
        let genesis = params(0).genesis;
        let one = [Flood::new(&genesis, 1, 240_000)];
        let eight: Vec<Flood> = (2..10).map(|seed| Flood::new(&genesis, seed, 26_000)).collect();
        flood(&one);
        flood(&eight);
        redownload(&one);
        longest();
        let [mut one] = one;
        one.headers.truncate(202_000);
        every_seed(&one);
    }

    /// The same flood against so many secrets: none of them lets anything through.
    fn every_seed(flood: &Flood) {
        let began = std::time::Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..500).for_each(|seed| one_seed(flood, seed)));
            (500..1_000).for_each(|seed| one_seed(flood, seed));
        });
        let sent = flood.headers.len();
        println!("1000 seeds against a flood of {sent} headers: {:.1?}", began.elapsed());
    }

    fn one_seed(flood: &Flood, seed: u64) {
        let params = params(1_000_000);
        let mut node = Node::new(HeaderChain::new(params), SyncConfig::default(), seed);
        let mut questions = Vec::new();
        node.sync.handle_connected(&node.chain, PeerId(0), now(0));
        node.settle(now(0), &mut questions);
        let mut sent = 0;
        while let Some(question) = questions.pop() {
            let headers = flood.after(question.locator.first());
            sent += headers.len();
            node.take_headers(PeerId(0), headers, now(sent / MAX));
            node.settle(now(sent / MAX), &mut questions);
        }
        assert!(sent >= 200_000, "seed {seed}: only {sent} headers were asked for");
        assert_eq!(node.writes, Writes::default(), "seed {seed}");
        assert!(node.blamed.is_empty(), "seed {seed}");
    }

    /// The chains never reach the minimum: nothing is written.
    fn flood(floods: &[Flood]) {
        let mut node = node(&params(1_000_000));
        let peak = serve(&mut node, floods, usize::MAX);
        let sent: usize = floods.iter().map(|flood| flood.headers.len()).sum();
        let each = peak / floods.len();
        println!("flood of {sent} headers, {} peers: {peak} bytes, {each} a peer", floods.len());
        let started = |event: &&SyncEvent| matches!(event, SyncEvent::PresyncStarted { .. });
        assert_eq!(node.events.iter().filter(started).count(), floods.len());
        assert!(each <= LIMIT);
        assert_eq!(node.writes, Writes::default());
        assert!(node.blamed.is_empty());
    }

    /// The chain shows its work and is downloaded again, up to where its first header would be
    /// released: commitments and a full buffer at once.
    fn redownload(floods: &[Flood]) {
        let mut node = node(&params(240_000));
        let peak = serve(&mut node, floods, 240_000 / MAX + 7);
        let status = node.sync.status().best_presync().expect("in its redownload");
        println!("redownload at height {}: {peak} bytes", status.height);
        assert!(status.redownload && peak <= LIMIT);
        assert_eq!(node.writes, Writes::default());
    }

    /// As many headers as can exist by now: the commitments at their most. Headers are made message
    /// by message, for there are three thousand million of them; a short period stands in for most.
    fn longest() {
        let mainnet = Params::new(ironlight_spv::Network::Mainnet);
        let bound = presync_memory_bound(&mainnet, mainnet.genesis.time(), BEGAN, MAX);
        println!("bound on mainnet from genesis: {bound} bytes a peer");
        assert!(bound <= LIMIT);

        let mut params = params(0);
        params.presync.commitment_period = 1;
        params.minimum_chain_work = Work::from_be_bytes([0x0f; 32]);
        // So many seconds that the bits allowed are few enough to be sent: 6 x 16,000.
        let began = UnixTime(params.genesis.time().0 + 16_000 - 7_200);
        let mut node = node(&params);
        let before = PEAK_ALLOC.current_usage();
        PEAK_ALLOC.reset_peak_usage();
        let mut miner = Miner::new(2);
        let mut parent = params.genesis;
        let time = Now { unix: began, elapsed: Duration::ZERO };
        node.sync.handle_connected(&node.chain, PeerId(1), time);
        node.settle(time, &mut Vec::new());
        let mut sent = 0;
        while node.sync.status().best_presync().is_some() || sent == 0 {
            let batch = miner.run(&parent, MAX, 1);
            parent = *batch.last().unwrap();
            sent += batch.len();
            node.take_headers(PeerId(1), batch, time);
            node.settle(time, &mut Vec::new());
        }
        println!(
            "given up after {sent} headers and bits: {} bytes at most",
            PEAK_ALLOC.peak_usage() - before
        );
        assert!((96_000..=98_000).contains(&sent));
    }
}

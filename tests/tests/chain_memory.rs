//! What a chain takes in memory, its hash index included, counted by the allocator.

use ironlight_spv::generate::Miner;
use ironlight_spv::{HeaderChain, Network, Params, UnixTime};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Headers mined, taken in and dropped together: what is being made must not count.
const CHUNK: usize = 250;

/// The bounds, in bytes.
const TEN_THOUSAND: usize = 800_000;
const ONE_MILLION: usize = 64_000_000;

/// One test, because the allocator counts for the whole process.
#[test]
fn headers_take_at_most_64_bytes_each_by_the_million_and_800_kilobytes_by_the_ten_thousand() {
    let mut miner = Miner::new(1);
    let mut tip = Params::new(Network::Regtest).genesis;
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let mut chain = HeaderChain::new(Params::new(Network::Regtest));

    for (headers, bound) in [(10_000u32, TEN_THOUSAND), (1_000_000, ONE_MILLION)] {
        while chain.tip().height.0 < headers {
            let chunk = miner.run(&tip, CHUNK, 600);
            tip = chunk[CHUNK - 1];
            let batch = chain.verify(&chunk, UnixTime::MAX).expect("mined by the rules");
            chain.apply(batch).expect("verified on this very state");
        }
        let held = ALLOCATED.current_usage() - before;
        let peak = ALLOCATED.peak_usage() - before;
        println!("{headers} headers: {held} bytes held, {peak} at the peak, {bound} allowed");
        assert_eq!(chain.tip().height.0, headers);
        assert_eq!(
            chain.find(&tip.hash()).map(|(entry, _)| entry.height),
            Some(chain.tip().height)
        );
        assert!(held <= bound, "{held} bytes held for {headers} headers");
        assert!(peak <= bound, "{peak} bytes at the peak for {headers} headers");
    }
}

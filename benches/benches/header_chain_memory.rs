//! Prints what a chain of 10,000 and of 1,000,000 headers takes in memory, its hash index
//! included, counted by the allocator.

#![allow(clippy::print_stdout, clippy::panic, reason = "a bench prints, and ends where it fails")]

use ironlight_spv::generate::Miner;
use ironlight_spv::{Header, HeaderChain, Network, Params, UnixTime};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Headers mined, taken in and dropped together: what is being made must not count.
const CHUNK: usize = 250;

/// Grows a chain to so many headers, genesis apart.
fn grow(chain: &mut HeaderChain, miner: &mut Miner, tip: &mut Header, headers: usize) {
    for _ in 0..headers / CHUNK {
        let chunk = miner.run(tip, CHUNK, 600);
        *tip = chunk.last().copied().unwrap_or(*tip);
        match chain.verify(&chunk, UnixTime::MAX) {
            Ok(batch) => assert!(chain.apply(batch).is_ok(), "the batch is not stale"),
            Err(error) => panic!("{error}"),
        }
    }
}

fn main() {
    let mut tip = Params::new(Network::Regtest).genesis;
    let mut miner = Miner::new(1);
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let mut chain = HeaderChain::new(Params::new(Network::Regtest));
    for headers in [10_000, 1_000_000] {
        let missing = headers - usize::try_from(chain.tip().height.0).unwrap_or(0);
        grow(&mut chain, &mut miner, &mut tip, missing);
        let held = ALLOCATED.current_usage() - before;
        let peak = ALLOCATED.peak_usage() - before;
        println!(
            "{headers} headers: {held} bytes held ({:.1} a header), {peak} at the peak",
            held as f64 / headers as f64
        );
    }
}

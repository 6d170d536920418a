//! Prints what a chain of 10,000 and of 1,000,000 headers takes in memory, its hash index
//! included, counted by the allocator.

#![allow(clippy::panic, reason = "a bench ends where it fails")]

use ironlight_benches::recorded::{Unit, record};
use ironlight_benches::settings::asked_for;
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
    const NAME: &str = "header_chain_memory";
    if !asked_for(NAME) {
        return;
    }
    let mut tip = Params::new(Network::Regtest).genesis;
    let mut miner = Miner::new(1);
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let mut chain = HeaderChain::new(Params::new(Network::Regtest));
    for (headers, told) in [(10_000, "10,000 headers"), (1_000_000, "1,000,000 headers")] {
        let missing = headers - usize::try_from(chain.tip().height.0).unwrap_or(0);
        grow(&mut chain, &mut miner, &mut tip, missing);
        let held = ALLOCATED.current_usage() - before;
        let peak = ALLOCATED.peak_usage() - before;
        record(NAME, &format!("{told}, held"), held as f64, Unit::Bytes);
        record(NAME, &format!("{told}, at the peak"), peak as f64, Unit::Bytes);
    }
}

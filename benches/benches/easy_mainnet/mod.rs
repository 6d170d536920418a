//! Headers that follow mainnet's rules at a limit that a processor can mine at.

use bitcoin::CompactTarget;
use ironlight_spv::generate::Miner;
use ironlight_spv::{Header, HeaderChain, Network, Params, UnixTime};

fn params() -> Params {
    let mut params = Params::new(Network::Mainnet);
    params.pow_limit = CompactTarget::from_consensus(0x207f_ffff);
    params.genesis = Miner::new(0).mine(
        params.genesis.prev_hash(),
        UnixTime(1_700_000_000),
        CompactTarget::from_consensus(0x200f_ffff),
    );
    params
}

/// A chain to verify on, and so many headers that follow it. The blocks of the first period come a
/// little too fast, those of the next a little too slowly, and so on.
pub(crate) fn generated(count: usize) -> (HeaderChain, Vec<Header>) {
    let chain = HeaderChain::new(params());
    let mut miner = Miner::new(7);
    let mut growing = chain.clone();
    let mut headers = Vec::new();
    while headers.len() < count {
        let slow = growing.tip().height.0 / 2_016 % 2 == 1;
        let jitter = u32::try_from(miner.random() % 400).unwrap_or(0);
        let time = growing.tip_time().plus_seconds(if slow { 500 } else { 300 } + jitter);
        let header = miner.extend(&growing, time);
        accept(&mut growing, &[header]);
        headers.push(header);
    }
    (chain, headers)
}

fn accept(chain: &mut HeaderChain, headers: &[Header]) {
    match chain.verify(headers, UnixTime::MAX) {
        Ok(batch) => assert!(chain.apply(batch).is_ok(), "the batch is not stale"),
        Err(error) => panic!("{error}"),
    }
}

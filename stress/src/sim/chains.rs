//! Chains that peers serve, prepared once.

use std::collections::HashMap;
use std::sync::Arc;

use ironlight_spv::chain::Position;
use ironlight_spv::generate::Miner;
use ironlight_spv::sync::MAX_HEADERS;
use ironlight_spv::{
    BlockHash, BlockHeight, CompactTarget, Header, HeaderChain, Network, Params, PresyncParams,
    UnixTime, Work,
};

/// Headers of one chain without genesis, with an index of their hashes.
#[derive(Debug)]
pub struct Chain {
    headers: Vec<Header>,
    hashes: Vec<BlockHash>,
    heights: HashMap<BlockHash, usize>,
}

impl Chain {
    /// A chain from genesis on; the headers leave genesis itself out.
    #[must_use]
    pub fn new(genesis: &Header, headers: Vec<Header>) -> Arc<Self> {
        let mut hashes = vec![genesis.hash()];
        hashes.extend(headers.iter().map(Header::hash));
        let heights = hashes.iter().enumerate().map(|(height, hash)| (*hash, height)).collect();
        Arc::new(Self { headers, hashes, heights })
    }

    /// The height of its last header.
    #[must_use]
    pub fn height(&self) -> usize {
        self.headers.len()
    }

    /// The hash at a height.
    #[must_use]
    pub fn hash(&self, height: usize) -> Option<BlockHash> {
        self.hashes.get(height).copied()
    }

    /// The height of a header, where it is on this chain.
    #[must_use]
    pub fn find(&self, hash: &BlockHash) -> Option<usize> {
        self.heights.get(hash).copied()
    }

    /// At most so many headers after a height, none above `tip`.
    #[must_use]
    pub fn after(&self, height: usize, count: usize, tip: usize) -> &[Header] {
        let end = tip.min(self.headers.len()).min(height.saturating_add(count));
        self.headers.get(height..end).unwrap_or_default()
    }
}

/// Consensus rules as on mainnet, retargets included, but with an easy limit and short periods.
#[must_use]
pub fn retargeting() -> Params {
    let mut params = Params::new(Network::Regtest);
    params.period = 100;
    params.timespan = 100 * params.spacing;
    params.no_retargeting = false;
    params.minimum_difficulty_blocks = false;
    params.presync = PresyncParams { commitment_period: 20, redownload_buffer: 900 };
    params
}

/// Regtest with a minimum of work, in headers.
#[must_use]
pub fn regtest_with(minimum: u32, presync: PresyncParams) -> Params {
    let mut params = Params::new(Network::Regtest);
    params.minimum_chain_work = work(2 * u128::from(minimum));
    params.presync = presync;
    params
}

fn work(low: u128) -> Work {
    let mut bytes = [0; 32];
    for (byte, value) in bytes.iter_mut().skip(16).zip(low.to_be_bytes()) {
        *byte = value;
    }
    Work::from_be_bytes(bytes)
}

/// Mines headers on a chain, so many seconds apart, and applies each.
///
/// # Panics
/// If the rules refuse what was made by them: a bug.
pub(super) fn grow(
    chain: &mut HeaderChain,
    miner: &mut Miner,
    count: usize,
    spacing: u32,
) -> Vec<Header> {
    let mut grown = Vec::with_capacity(count);
    for _ in 0..count {
        let time = chain.tip_time().plus_seconds(spacing);
        let header = miner.extend(chain, time);
        let verified = chain.verify(&[header], UnixTime::MAX);
        let applied = verified.map(|batch| chain.apply(batch));
        assert!(matches!(applied, Ok(Ok(_))), "a made header is refused: {applied:?}");
        grown.push(header);
    }
    grown
}

/// The first so many blocks of a chain, verified anew: what a node has after it was restarted.
///
/// # Panics
/// If the rules refuse what they let pass before: a bug.
pub(super) fn replay(chain: &HeaderChain, blocks: usize) -> HeaderChain {
    let mut again = HeaderChain::new(chain.params().clone());
    let headers = after(chain, BlockHeight(0), blocks);
    let verified = again.verify(&headers, UnixTime::MAX);
    let applied = verified.map(|batch| again.apply(batch));
    assert!(matches!(applied, Ok(Ok(_))), "a known header is refused: {applied:?}");
    again
}

/// At most so many headers of the best chain after a height.
fn after(chain: &HeaderChain, height: BlockHeight, most: usize) -> Vec<Header> {
    let tip = chain.tip().height;
    let most = u32::try_from(most).unwrap_or(u32::MAX);
    let end = BlockHeight(height.0.saturating_add(most).min(tip.0));
    let Some(mut parent) = chain.hash_at(height) else { return Vec::new() };
    let bodies = chain.bodies(height.next()..end.next());
    let header = |body: ironlight_spv::compress::HeaderBody| {
        let header = body.with_parent(parent);
        parent = header.hash();
        header
    };
    bodies.map(header).collect()
}

/// What an honest node answers from its best chain: the headers after the first hash of the
/// locator that is on it, at most a message full; without a locator the one that is named last.
pub(super) fn served(
    chain: &HeaderChain,
    locator: &[BlockHash],
    stop: Option<BlockHash>,
) -> Vec<Header> {
    if locator.is_empty() {
        let one = stop.and_then(|stop| chain.find(&stop));
        return one.map(|(entry, _)| entry.header).into_iter().collect();
    }
    let best = |hash| chain.find(hash).filter(|(_, position)| *position == Position::Best);
    let common = locator.iter().find_map(best);
    let height = common.map_or(BlockHeight(0), |(entry, _)| entry.height);
    after(chain, height, MAX_HEADERS)
}

/// What the peers of [`honest_among_liars`](super::honest_among_liars) serve.
#[derive(Debug)]
pub struct Chains {
    /// The rules, with a minimum of work that only the honest chain has.
    pub params: Params,
    /// The honest chain: its last [`Chains::SPARE`] headers are mined while the simulation runs.
    pub honest: Arc<Chain>,
    /// Valid in every respect, very long, but at the easiest difficulty.
    pub low_work: Arc<Chain>,
    /// Follows the honest one, then names a wrong target.
    pub wrong_bits: Arc<Chain>,
    /// Follows the honest one, then has a header without proof of work.
    pub no_work: Arc<Chain>,
    /// Headers with proof of work whose parents nobody knows.
    pub junk: Vec<Header>,
}

impl Chains {
    /// Honest headers that are not there at first.
    pub const SPARE: usize = 10;
    /// Height of the honest chain at first.
    pub const HONEST: usize = 5_200;
    /// Height of the long chain of low work.
    const LOW_WORK: usize = 60_000;
    /// Height at which the invalid chains go wrong.
    const SPOILT: usize = 1_990;

    /// Mines them all: a few hundred milliseconds.
    #[must_use]
    pub fn prepare() -> Self {
        let mut params = retargeting();
        let genesis = params.genesis;
        let honest = honest(&params);
        let mut low = HeaderChain::new(params.clone());
        // A little slower than intended, or the off-by-one would make it harder by and by.
        let low_work = grow(&mut low, &mut Miner::new(2), Self::LOW_WORK, 610);
        params.minimum_chain_work = work(400_000);
        let easiest = CompactTarget::from_consensus(0x207f_ffff);
        assert!(low.tip().work < params.minimum_chain_work, "the low-work chain has low work");
        Self {
            wrong_bits: spoilt(&genesis, &honest, Self::SPOILT, Flaw::Bits(easiest)),
            no_work: spoilt(&genesis, &honest, Self::SPOILT, Flaw::NoWork),
            honest: Chain::new(&genesis, honest),
            low_work: Chain::new(&genesis, low_work),
            junk: junk(&genesis),
            params,
        }
    }
}

/// Four times harder at each of the first three retargets, then steady.
fn honest(params: &Params) -> Vec<Header> {
    let mut chain = HeaderChain::new(params.clone());
    let mut miner = Miner::new(1);
    let mut headers = grow(&mut chain, &mut miner, 299, 100);
    let rest = Chains::HONEST + Chains::SPARE - headers.len();
    headers.extend(grow(&mut chain, &mut miner, rest, 610));
    headers
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug)]
pub enum Flaw {
    /// Its hash does not meet its target.
    NoWork,
    /// It has proof of work for a target that the rules do not ask for.
    Bits(CompactTarget),
}

/// The honest headers (without genesis) up to a height, one with a flaw, and as many on it as fill
/// a message.
#[must_use]
pub fn spoilt(genesis: &Header, honest: &[Header], height: usize, flaw: Flaw) -> Arc<Chain> {
    let mut headers = honest.to_vec();
    headers.truncate(height);
    let mut miner = Miner::new(3);
    if let (Some(parent), Some(right)) = (headers.last(), honest.get(height)) {
        let bad = match flaw {
            Flaw::NoWork => spoil_proof(&mut miner, right),
            Flaw::Bits(bits) => miner.mine(parent.hash(), right.time(), bits),
        };
        headers.push(bad);
        headers.extend(miner.run(&bad, 100, 610));
    }
    Chain::new(genesis, headers)
}

/// The same header, but with a nonce that does not meet its target.
pub(super) fn spoil_proof(miner: &mut Miner, right: &Header) -> Header {
    let mut bytes = *right.as_bytes();
    loop {
        for (byte, random) in bytes.iter_mut().skip(76).zip(miner.random().to_le_bytes()) {
            *byte = random;
        }
        let header = Header::from_bytes(bytes);
        let target = ironlight_spv::Target::from_compact(header.compact_target());
        if !target.is_met_by(header.hash()) {
            return header;
        }
    }
}

fn junk(genesis: &Header) -> Vec<Header> {
    let mut miner = Miner::new(4);
    let bits = genesis.compact_target();
    let parent = miner.mine(genesis.hash(), genesis.time(), bits);
    let parent = miner.mine(parent.hash(), parent.time(), bits);
    miner.run(&parent, 2_000, 600)
}

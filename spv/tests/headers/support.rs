//! Chains that a processor can mine, and short ways to say "accept" and "refuse".

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, CompactTarget, TxMerkleNode};
use ironlight_spv::compress::HeaderBody;
use ironlight_spv::generate::Miner;
use ironlight_spv::{
    Header, HeaderChain, HeaderError, Network, Params, TipChange, UnixTime, Violation,
};

/// A limit that every second hash meets.
pub(crate) const EASIEST: u32 = 0x207f_ffff;
/// No header of these tests is later.
pub(crate) const LATER: UnixTime = UnixTime(4_000_000_000);

pub(crate) fn bits(compact: u32) -> CompactTarget {
    CompactTarget::from_consensus(compact)
}

/// The rules of a network, from a genesis that a processor can mine on.
pub(crate) fn easy(network: Network) -> Params {
    let mut params = Params::new(network);
    params.pow_limit = bits(EASIEST);
    params.genesis =
        Miner::new(0).mine(BlockHash::all_zeros(), UnixTime(1_000_000_000), bits(EASIEST));
    params
}

pub(crate) fn regtest() -> HeaderChain {
    HeaderChain::new(Params::new(Network::Regtest))
}

/// A regtest chain of so many headers above genesis.
pub(crate) fn regtest_of(headers: usize) -> HeaderChain {
    let params = Params::new(Network::Regtest);
    let headers = branch(&params.genesis, headers, 1);
    chain_of(params, &headers)
}

/// So many headers on a parent, ten minutes apart; another seed gives another branch.
pub(crate) fn branch(parent: &Header, count: usize, seed: u64) -> Vec<Header> {
    Miner::new(seed).run(parent, count, 600)
}

/// The fields of a header that follows a parent ten minutes later, to be changed and mined.
pub(crate) fn child(parent: &Header, seed: u64) -> HeaderBody {
    let mut merkle_root = [0; 32];
    merkle_root[..8].copy_from_slice(&seed.to_le_bytes());
    HeaderBody {
        version: 4,
        merkle_root: TxMerkleNode::from_byte_array(merkle_root),
        time: parent.time().plus_seconds(600),
        bits: parent.compact_target(),
        nonce: 0,
    }
}

pub(crate) fn mined(body: HeaderBody, parent: &Header) -> Header {
    Miner::new(0).grind(body, parent.hash())
}

/// Verifies and applies what must be right.
#[track_caller]
pub(crate) fn accept(chain: &mut HeaderChain, headers: &[Header]) -> TipChange {
    let batch = chain.verify(headers, LATER).expect("these headers keep every rule");
    chain.apply(batch).expect("verified on this very state")
}

/// Verifies what must be wrong.
#[track_caller]
pub(crate) fn refuse(chain: &HeaderChain, headers: &[Header]) -> HeaderError {
    match chain.verify(headers, LATER) {
        Ok(batch) => panic!("one of these headers breaks a rule, but: {:?}", batch.change()),
        Err(error) => error,
    }
}

#[track_caller]
pub(crate) fn violation(chain: &HeaderChain, header: Header) -> Violation {
    refuse(chain, &[header]).violation
}

/// A chain that holds its genesis and these headers.
#[track_caller]
pub(crate) fn chain_of(params: Params, headers: &[Header]) -> HeaderChain {
    let mut chain = HeaderChain::new(params);
    accept(&mut chain, headers);
    chain
}

/// The header that a change made the tip, if it changed.
pub(crate) fn new_tip(change: &TipChange) -> Option<BlockHash> {
    match change {
        TipChange::Unchanged => None,
        TipChange::Extended { connected } | TipChange::Reorg { connected, .. } => {
            connected.last_hash()
        }
    }
}

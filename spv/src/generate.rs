//! Makes valid headers, for tests, demos and benches.
//!
//! Mining at the limits that regtest has takes two hashes a header. Everything follows from the
//! seed, so that a failing run can be made again.

use alloc::vec::Vec;

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, CompactTarget, TxMerkleNode};

use crate::chain::HeaderChain;
use crate::compress::HeaderBody;
use crate::header::Header;
use crate::peers::SplitMix64;
use crate::rules::pow::PowCheck;
use crate::time::UnixTime;

/// Mines headers; the seed makes its Merkle roots differ from another miner's.
#[derive(Clone, Debug)]
pub struct Miner {
    random: SplitMix64,
}

impl Miner {
    /// A miner of its own for each seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { random: SplitMix64::new(seed) }
    }

    /// The next pseudo-random number: reproducible, not cryptographic.
    pub const fn random(&mut self) -> u64 {
        self.random.next_u64()
    }

    /// A header on a parent, with a made-up Merkle root and a nonce that meets the bits.
    pub fn mine(&mut self, parent: BlockHash, time: UnixTime, bits: CompactTarget) -> Header {
        let mut root = [0; 32];
        for part in root.as_chunks_mut::<8>().0 {
            *part = self.random().to_le_bytes();
        }
        let merkle_root = TxMerkleNode::from_byte_array(root);
        self.grind(HeaderBody { version: 4, merkle_root, time, bits, nonce: 0 }, parent)
    }

    /// Counts the nonce up until the header meets its own bits. It never ends for bits that no
    /// hash can meet.
    #[must_use]
    pub fn grind(&self, mut body: HeaderBody, parent: BlockHash) -> Header {
        let mut pow = PowCheck::new(CompactTarget::from_consensus(0x207f_ffff));
        loop {
            let header = body.with_parent(parent);
            if pow.check(body.bits, &header.hash()).is_ok() {
                return header;
            }
            body.nonce = body.nonce.wrapping_add(1);
        }
    }

    /// So many headers on a parent, all with the same bits, `spacing` seconds apart.
    pub fn run(&mut self, parent: &Header, count: usize, spacing: u32) -> Vec<Header> {
        let bits = parent.compact_target();
        let mut parent = *parent;
        let mut headers = Vec::with_capacity(count);
        for _ in 0..count {
            parent = self.mine(parent.hash(), parent.time().plus_seconds(spacing), bits);
            headers.push(parent);
        }
        headers
    }

    /// A header on the tip of a chain, with the bits that the rules require at that time.
    pub fn extend(&mut self, chain: &HeaderChain, time: UnixTime) -> Header {
        self.mine(chain.tip().hash, time, chain.required_after_tip(time))
    }
}

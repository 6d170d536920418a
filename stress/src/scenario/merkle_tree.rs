//! A block's Merkle tree, with a proof of each transaction.

use bitcoin::hashes::{Hash as _, sha256d};
use bitcoin::{BlockHash, CompactTarget, TxMerkleNode, Txid};
use ironlight_spv::compress::HeaderBody;
use ironlight_spv::generate::Miner;
use ironlight_spv::proof::{MAX_TRANSACTIONS, MerkleProof, MerkleTree};
use ironlight_spv::{Header, UnixTime};

use super::chains::{WRONG, below};
use super::{About, Findings, Plan, Scenario, ScenarioError};
use crate::measure::{Class, Meter};
use crate::report::{Bound, Figure};

/// Every proof of a block is built, sent as bytes and checked; then each is changed and refused.
#[derive(Clone, Copy, Debug)]
pub struct MerkleTrees;

impl Scenario for MerkleTrees {
    fn about(&self) -> About {
        About {
            name: "merkle-tree",
            does: "builds, encodes, decodes and checks the proof of each transaction of a block, \
                   and changes each proof",
            operation: "a proof built and checked",
            sample: "a proof",
            bound: "every proof holds, and every changed one is refused",
            counts: "transactions",
            usual: 4_000,
            range: (2, MAX_TRANSACTIONS as u64),
        }
    }

    fn run(&self, plan: &Plan, meter: &mut Meter<'_>) -> Result<Findings, ScenarioError> {
        let mut random = Miner::new(plan.seed);
        let block = Block::new(&mut random, plan.count)?;
        let (mut held, mut refused) = (0, 0);
        for index in 0..block.tree.txids().len() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            if let Ok(proof) = meter.time(1, || block.proof(index)) {
                held += 1;
                refused += u64::from(is_refused(&proof, &mut random));
            }
            meter.check_time()?;
        }
        let bounds = vec![
            Bound::equal("proofs that hold", &plan.count, &held),
            Bound::equal("changed proofs refused", &plan.count, &refused),
        ];
        let longest = block.longest_path();
        let figures = vec![Figure::new("longest path", longest as f64, "hashes")];
        Ok(Findings { bounds, figures, ..Findings::default() })
    }
}

/// A block's transactions, and the header over them.
pub(super) struct Block {
    tree: MerkleTree,
    header: Header,
}

impl Block {
    /// So many made-up transactions.
    pub(super) fn new(random: &mut Miner, transactions: u64) -> Result<Self, ScenarioError> {
        let txid = |_| Txid::from(sha256d::Hash::hash(&random.random().to_le_bytes()));
        let txids: Vec<Txid> = (0..transactions).map(txid).collect();
        let tree = MerkleTree::new(&txids).map_err(ScenarioError::preparing("a Merkle tree"))?;
        let header = header_over(tree.root());
        Ok(Self { tree, header })
    }

    /// The proof of a transaction, as whoever asked for it has it: from bytes, and checked.
    pub(super) fn proof(&self, index: u32) -> Result<MerkleProof, Class> {
        let built = self.tree.prove(&self.header, index).map_err(|_error| "not_built")?;
        let got = MerkleProof::decode(&built.encode()).map_err(|_error| "not_decoded")?;
        let inclusion = got.verify().map_err(|_error| "proof_refused")?;
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        let right = self.tree.txids().get(place) == Some(&inclusion.txid());
        if right && inclusion.index() == index { Ok(got) } else { Err(WRONG) }
    }

    fn longest_path(&self) -> usize {
        let first = self.tree.prove(&self.header, 0);
        first.map_or(0, |proof| proof.path().len())
    }
}

fn header_over(root: TxMerkleNode) -> Header {
    let body = HeaderBody {
        version: 4,
        merkle_root: root,
        time: UnixTime(1_700_000_000),
        bits: CompactTarget::from_consensus(0x207f_ffff),
        nonce: 0,
    };
    body.with_parent(BlockHash::all_zeros())
}

/// Whether the proof is refused once a bit of its txid or its path is another one.
fn is_refused(proof: &MerkleProof, random: &mut Miner) -> bool {
    let (mut txid, mut path) = (proof.txid().to_byte_array(), proof.path().to_vec());
    let bit = 1 << below(random, 8);
    let byte = usize::try_from(below(random, 32)).unwrap_or(0);
    let part = usize::try_from(below(random, path.len() as u64 + 1)).unwrap_or(0);
    match path.get_mut(part) {
        Some(node) => {
            let mut bytes = node.to_byte_array();
            flip(&mut bytes, byte, bit);
            *node = TxMerkleNode::from_byte_array(bytes);
        }
        None => flip(&mut txid, byte, bit),
    }
    let txid = Txid::from_byte_array(txid);
    let changed = MerkleProof::new(*proof.header(), proof.count(), proof.index(), txid, path);
    changed.is_ok_and(|changed| changed.verify().is_err())
}

fn flip(bytes: &mut [u8; 32], byte: usize, bit: u8) {
    if let Some(byte) = bytes.get_mut(byte) {
        *byte ^= bit;
    }
}

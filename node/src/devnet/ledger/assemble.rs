//! Puts blocks together.

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash as _;
use bitcoin::script::Builder;
use bitcoin::{
    Amount, Block, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode,
    TxOut, Witness, WitnessMerkleNode, transaction,
};
use ironlight_spv::UnixTime;
use ironlight_spv::compress::HeaderBody;
use ironlight_spv::generate::Miner;

use super::tree::{Entry, Tree};

/// Blocks between two halvings on regtest (Core, `chainparams.cpp`, `nSubsidyHalvingInterval`).
pub const HALVING_INTERVAL: u32 = 150;
/// Headers whose times the median is taken of (Core, `chain.h`, `nMedianTimeSpan`).
const MEDIAN_SPAN: u32 = 11;
/// The bits that say that a version votes (BIP9).
const VERSION: i32 = 0x2000_0000;
/// The witness nonce (BIP141): free to choose, Core's miner takes zeros.
const RESERVED: [u8; 32] = [0; 32];
/// What the output with the commitment to all witnesses starts with (BIP141).
const COMMITMENT_MAGIC: [u8; 4] = [0xaa, 0x21, 0xa9, 0xed];

/// What a block at a height may create (Core, `GetBlockSubsidy`).
#[must_use]
pub fn subsidy(height: u32) -> Amount {
    let halvings = height / HALVING_INTERVAL;
    let first = Amount::from_int_btc(50).to_sat();
    Amount::from_sat(first.checked_shr(halvings).unwrap_or(0))
}

/// The median of the last eleven times up to a block: the next block's must be later.
#[must_use]
pub fn median_time_past(tree: &Tree, tip: &Entry) -> UnixTime {
    let first = tip.height.saturating_sub(MEDIAN_SPAN - 1);
    let mut times: Vec<u32> = tree.from(first).map(|entry| entry.block.header.time).collect();
    times.sort_unstable();
    UnixTime(times.get(times.len() / 2).copied().unwrap_or_default())
}

/// What goes into a block.
pub(super) struct Template {
    pub(super) height: u32,
    pub(super) time: UnixTime,
    /// Who gets subsidy and fees.
    pub(super) payout: ScriptBuf,
    pub(super) fees: Amount,
    pub(super) transactions: Vec<Transaction>,
    /// Makes the coinbase differ from those of other branches.
    pub(super) extra_nonce: u64,
}

impl Template {
    /// The block, with commitments and work.
    pub(super) fn mine(self, parent: &Entry, miner: &Miner) -> Block {
        let bits = parent.block.header.bits;
        let mut txdata = vec![self.coinbase()];
        let time = self.time;
        txdata.extend(self.transactions);
        let header = Header {
            version: Version::from_consensus(VERSION),
            prev_blockhash: parent.hash,
            merkle_root: TxMerkleNode::all_zeros(),
            time: time.0,
            bits,
            nonce: 0,
        };
        let mut block = Block { header, txdata };
        commit_to_witnesses(&mut block);
        let root = block.compute_merkle_root();
        block.header = grind(miner, parent, root.unwrap_or(header.merkle_root), time, bits);
        block
    }

    /// Its script starts with the height (BIP34).
    fn coinbase(&self) -> Transaction {
        let script_sig = Builder::new()
            .push_int(i64::from(self.height))
            .push_slice(self.extra_nonce.to_le_bytes())
            .into_script();
        let input = TxIn {
            previous_output: OutPoint::null(),
            script_sig,
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[RESERVED]),
        };
        let value = subsidy(self.height) + self.fees;
        Transaction {
            version: transaction::Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![input],
            output: vec![TxOut { value, script_pubkey: self.payout.clone() }],
        }
    }
}

/// Adds the coinbase's commitment to all witnesses (BIP141). The coinbase's own counts as zeros,
/// so it may change.
fn commit_to_witnesses(block: &mut Block) {
    let root = block.witness_root().unwrap_or(WitnessMerkleNode::all_zeros());
    let commitment = Block::compute_witness_commitment(&root, &RESERVED);
    let mut data = [0; 36];
    for (to, from) in data.iter_mut().zip(COMMITMENT_MAGIC.iter().chain(commitment.as_byte_array()))
    {
        *to = *from;
    }
    if let Some(coinbase) = block.txdata.first_mut() {
        let script_pubkey = ScriptBuf::new_op_return(data);
        coinbase.output.push(TxOut { value: Amount::ZERO, script_pubkey });
    }
}

fn grind(
    miner: &Miner,
    parent: &Entry,
    merkle_root: TxMerkleNode,
    time: UnixTime,
    bits: CompactTarget,
) -> Header {
    let body = HeaderBody { version: VERSION, merkle_root, time, bits, nonce: 0 };
    miner.grind(body, parent.hash).into()
}

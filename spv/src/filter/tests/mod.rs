//! Filters against BIP158's vectors, the `bitcoin` crate, and whatever a liar may send.

mod equality;
mod malformed;
mod vectors;

use alloc::vec::Vec;

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, Block, BlockHash, Network, ScriptBuf, Transaction, TxOut, absolute};

use super::*;
use crate::peers::SplitMix64;

fn key() -> FilterKey {
    FilterKey::new(BlockHash::from_byte_array([7; 32]))
}

fn random_bytes(random: &mut SplitMix64, length: usize) -> Vec<u8> {
    (0..length).map(|_| random.next_u64().to_le_bytes()[0]).collect()
}

/// A script of the usual lengths, now and then of another one; never empty.
fn random_script(random: &mut SplitMix64) -> ScriptBuf {
    let lengths = [22, 34, 25, 23, 22, 34, 1, 7, 8, 9, 67, 105];
    let length = lengths[usize::try_from(random.below(12)).unwrap()];
    ScriptBuf::from(random_bytes(random, length))
}

fn random_scripts(random: &mut SplitMix64, count: usize) -> Vec<ScriptBuf> {
    (0..count).map(|_| random_script(random)).collect()
}

/// A block whose transactions have these outputs, three each, and whose hash depends on `seed`.
fn block(seed: u32, outputs: &[ScriptBuf]) -> Block {
    let mut header = bitcoin::constants::genesis_block(Network::Regtest).header;
    header.nonce = seed;
    let transaction = |scripts: &[ScriptBuf]| Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: Vec::new(),
        output: scripts
            .iter()
            .map(|script| TxOut { value: Amount::ZERO, script_pubkey: script.clone() })
            .collect(),
    };
    Block { header, txdata: outputs.chunks(3).map(transaction).collect() }
}

/// The filter of a block that has these outputs and spends nothing.
fn filter_of(seed: u32, outputs: &[ScriptBuf]) -> Filter {
    Filter::of_block(&block(seed, outputs), []).unwrap()
}

//! Scripts with the lengths of P2WPKH, P2TR, P2PKH and P2SH in equal parts, and a block that pays them.

use bitcoin::{Amount, Block, Network, ScriptBuf, Transaction, TxOut, absolute, transaction};
use ironlight_spv::peers::SplitMix64;

/// P2WPKH, P2TR, P2PKH, P2SH.
const LENGTHS: [usize; 4] = [22, 34, 25, 23];

pub(crate) fn scripts(random: &mut SplitMix64, count: usize) -> Vec<ScriptBuf> {
    let script = |length: &usize| {
        let bytes = std::iter::repeat_with(|| random.next_u64().to_le_bytes()).flatten();
        // No OP_RETURN, which filters leave out.
        ScriptBuf::from([0x51].into_iter().chain(bytes).take(*length).collect::<Vec<u8>>())
    };
    LENGTHS.iter().cycle().take(count).map(script).collect()
}

pub(crate) fn block(outputs: &[ScriptBuf]) -> Block {
    let header = bitcoin::constants::genesis_block(Network::Regtest).header;
    let output = |script: &ScriptBuf| TxOut { value: Amount::ZERO, script_pubkey: script.clone() };
    let transaction = Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: Vec::new(),
        output: outputs.iter().map(output).collect(),
    };
    Block { header, txdata: vec![transaction] }
}

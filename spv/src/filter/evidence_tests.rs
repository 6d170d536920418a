use alloc::vec::Vec;

use bitcoin::absolute::LockTime;
use bitcoin::script::Builder;
use bitcoin::transaction::Version;
use bitcoin::{Amount, PubkeyHash, Sequence, TxOut, WPubkeyHash, WScriptHash, Witness};

use super::*;
use crate::compress::HeaderBody;
use crate::generate::Miner;

const KEY: [u8; 33] = [2; 33];
const SIGNATURE: [u8; 71] = [0x30; 71];

fn outpoint(seed: u8) -> OutPoint {
    OutPoint::new(Txid::hash(&[seed]), 0)
}

fn paying(input: TxIn, scripts: &[ScriptBuf]) -> Transaction {
    let output = |script: &ScriptBuf| TxOut { value: Amount::ZERO, script_pubkey: script.clone() };
    let (input, output) = ([input].into(), scripts.iter().map(output).collect());
    Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input, output }
}

fn spending(previous_output: OutPoint, script_sig: ScriptBuf, witness: &[&[u8]]) -> TxIn {
    let witness = Witness::from_slice(witness);
    TxIn { previous_output, script_sig, sequence: Sequence::MAX, witness }
}

fn script(seed: u8) -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&WPubkeyHash::hash(&[seed]))
}

fn pushes_of(items: &[&[u8]]) -> ScriptBuf {
    let push = |builder: Builder, item: &&[u8]| {
        builder.push_slice(bitcoin::script::PushBytesBuf::try_from(item.to_vec()).unwrap())
    };
    items.iter().fold(Builder::new(), push).into_script()
}

/// A block with these transactions after its coinbase, which commits to the witnesses (BIP141).
fn block(transactions: Vec<Transaction>) -> Block {
    let genesis = bitcoin::constants::genesis_block(bitcoin::Network::Regtest);
    let mut input = spending(OutPoint::null(), Builder::new().push_int(1_000).into_script(), &[]);
    input.witness = Witness::from_slice(&[[0; 32]]);
    let mut txdata = alloc::vec![paying(input, &[script(0)])];
    txdata.extend(transactions);
    let mut block = Block { header: genesis.header, txdata };
    let root = block.witness_root().unwrap();
    let commitment = Block::compute_witness_commitment(&root, &[0; 32]);
    let mut bytes = alloc::vec![0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];
    bytes.extend(commitment.as_byte_array());
    let output = TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::from_bytes(bytes) };
    block.txdata[0].output.push(output);
    let header = Header::from(genesis.header);
    let body = HeaderBody {
        version: 4,
        merkle_root: block.compute_merkle_root().unwrap(),
        time: header.time(),
        bits: header.compact_target(),
        nonce: 0,
    };
    block.header = Miner::new(1).grind(body, header.hash()).into();
    block
}

fn evidence(block: &Block, spent: &[Transaction]) -> BlockEvidence {
    BlockEvidence::new(&Header::from(block.header), block, spent).unwrap()
}

fn filter(block: &Block, spent: &[&ScriptBuf]) -> Vec<u8> {
    let spent = spent.iter().map(|script| script.as_script());
    Filter::of_block(block, spent).unwrap().into_bytes()
}

/// The filter of other transactions for the same block: what a liar makes.
fn false_filter(block: &Block, without: &ScriptBuf, spent: &[&ScriptBuf]) -> Vec<u8> {
    let mut other = block.clone();
    for transaction in &mut other.txdata {
        transaction.output.retain(|output| output.script_pubkey != *without);
    }
    filter(&other, spent)
}

#[test]
fn a_filter_that_lacks_an_output_is_refuted_by_that_output() {
    let hidden = paying(spending(outpoint(1), ScriptBuf::new(), &[]), &[script(1), script(2)]);
    let block = block([hidden].into());
    let evidence = evidence(&block, &[]);
    assert_eq!(evidence.exact(), None, "nobody knows what is spent");
    let spent = script(9);
    let truth = filter(&block, &[&spent]);
    assert_eq!(evidence.judge(&truth), FilterVerdict::Unrefuted { suspect: false });
    let lie = false_filter(&block, &script(2), &[&spent]);
    assert_eq!(evidence.judge(&lie), FilterVerdict::Omits { script: script(2) });
    assert!(evidence.judge(&lie).is_false() && !evidence.judge(&truth).is_false());
}

#[test]
fn outputs_that_are_empty_or_begin_with_op_return_need_not_be_in_it() {
    let scripts = [ScriptBuf::new(), ScriptBuf::new_op_return([7; 9]), script(1)];
    let block = block([paying(spending(outpoint(1), ScriptBuf::new(), &[]), &scripts)].into());
    let truth = filter(&block, &[]);
    assert!(!evidence(&block, &[]).judge(&truth).is_false());
}

#[test]
fn a_block_that_spends_nothing_else_has_one_filter() {
    let first = paying(spending(outpoint(1), ScriptBuf::new(), &[]), &[script(1)]);
    let place = OutPoint::new(first.compute_txid(), 0);
    let second = paying(spending(place, ScriptBuf::new(), &[]), &[script(2)]);
    let block = block([first.clone(), second].into());
    // What the first one spends is not in the block; given, it is known by its hash.
    assert_eq!(evidence(&block, &[]).exact(), None);
    let parent = paying(spending(outpoint(7), ScriptBuf::new(), &[]), &[script(3)]);
    let mut block = block;
    block.txdata[1].input[0].previous_output = OutPoint::new(parent.compute_txid(), 0);
    let place = OutPoint::new(block.txdata[1].compute_txid(), 0);
    block.txdata[2].input[0].previous_output = place;
    let block = self::block(block.txdata.split_off(1));
    let evidence = evidence(&block, &[parent]);
    let truth = filter(&block, &[&script(1), &script(3)]);
    assert_eq!(evidence.judge(&truth), FilterVerdict::Proved);
    let omits = filter(&block, &[&script(1)]);
    assert_eq!(evidence.judge(&omits), FilterVerdict::Omits { script: script(3) });
    let more = filter(&block, &[&script(1), &script(3), &script(99)]);
    let expected = evidence.exact().unwrap();
    assert_eq!(evidence.judge(&more), FilterVerdict::NotTheFilter { expected });
}

#[test]
fn what_a_wrapped_witness_spends_is_proved_where_the_witness_is() {
    let redeem = ScriptBuf::new_p2wpkh(&WPubkeyHash::hash(&KEY));
    let script_sig = pushes_of(&[redeem.as_bytes()]);
    let input = spending(outpoint(1), script_sig, &[&SIGNATURE, &KEY]);
    let block = block([paying(input, &[script(1)])].into());
    let lie = filter(&block, &[]);
    let script = redeem.to_p2sh();
    assert_eq!(evidence(&block, &[]).judge(&lie), FilterVerdict::Omits { script: script.clone() });
    assert_eq!(evidence(&block, &[]).judge(&filter(&block, &[&script])), FilterVerdict::Proved);
    // Without witnesses it is the same block to its header, and a guess.
    let mut stripped = block.clone();
    stripped.txdata[1].input[0].witness = Witness::new();
    let verdict = evidence(&stripped, &[]).judge(&lie);
    assert_eq!(verdict, FilterVerdict::Unrefuted { suspect: true });
    // Another witness than the block commits to is no proof either.
    let mut forged = block.clone();
    forged.txdata[1].input[0].witness = Witness::from_slice(&[&SIGNATURE[..], &[3; 33]]);
    assert!(!evidence(&forged, &[]).judge(&lie).is_false());
}

#[test]
fn what_can_only_be_guessed_refutes_nothing() {
    let wsh = [0x51, 0x52, 0x53];
    let cases: [(ScriptBuf, ScriptBuf, Vec<&[u8]>); 5] = [
        (ScriptBuf::new_p2pkh(&PubkeyHash::hash(&KEY)), pushes_of(&[&SIGNATURE, &KEY]), Vec::new()),
        (
            ScriptBuf::new_p2wpkh(&WPubkeyHash::hash(&KEY)),
            ScriptBuf::new(),
            [&SIGNATURE[..], &KEY].into(),
        ),
        (
            ScriptBuf::new_p2wsh(&WScriptHash::hash(&wsh)),
            ScriptBuf::new(),
            [&SIGNATURE[..], &[], &wsh].into(),
        ),
        (
            Script::from_bytes(&wsh).to_p2sh(),
            pushes_of(&[&SIGNATURE, &SIGNATURE, &wsh]),
            Vec::new(),
        ),
        (Script::from_bytes(&wsh).to_p2sh(), pushes_of(&[&wsh]), Vec::new()),
    ];
    for (spent, script_sig, witness) in cases {
        let input = spending(outpoint(1), script_sig, &witness);
        let block = block([paying(input, &[script(1)])].into());
        let evidence = evidence(&block, &[]);
        let verdict = evidence.judge(&filter(&block, &[&spent]));
        assert_eq!(verdict, FilterVerdict::Unrefuted { suspect: false });
        let verdict = evidence.judge(&filter(&block, &[]));
        assert_eq!(verdict, FilterVerdict::Unrefuted { suspect: true }, "{spent}");
    }
    // Of these nothing can be seen at all: taproot's key, its script, its annex.
    let (control, annex) = ([0xc0; 65], [0x50; 9]);
    for witness in [&[&SIGNATURE[..]][..], &[&wsh, &control], &[&SIGNATURE, &annex]] {
        let input = spending(outpoint(1), ScriptBuf::new(), witness);
        let block = block([paying(input, &[script(1)])].into());
        let verdict = evidence(&block, &[]).judge(&filter(&block, &[]));
        assert_eq!(verdict, FilterVerdict::Unrefuted { suspect: false });
    }
}

#[test]
fn what_is_no_filter_is_refuted() {
    let block = block(Vec::new());
    for bytes in [&[][..], &[0xff; 9], &[0xfd, 1, 0], &[1]] {
        let verdict = evidence(&block, &[]).judge(bytes);
        assert!(matches!(verdict, FilterVerdict::Malformed(_)), "{verdict:?}");
    }
}

#[test]
fn a_block_that_is_not_its_headers_is_no_evidence() {
    let block = block([paying(spending(outpoint(1), ScriptBuf::new(), &[]), &[script(1)])].into());
    let header = Header::from(block.header);
    let mut other = block.clone();
    other.txdata.pop();
    let error = BlockEvidence::new(&header, &other, &[]).unwrap_err();
    assert_eq!(error, EvidenceError::WrongMerkleRoot);
    let genesis = bitcoin::constants::genesis_block(bitcoin::Network::Regtest);
    let error = BlockEvidence::new(&header, &genesis, &[]).unwrap_err();
    assert_eq!(error, EvidenceError::OtherBlock { got: genesis.block_hash() });
}

#[test]
fn a_block_with_a_transaction_of_64_bytes_is_judged() {
    let mut small = paying(spending(outpoint(1), ScriptBuf::new(), &[]), &[ScriptBuf::new()]);
    small.output[0].script_pubkey = ScriptBuf::from_bytes(alloc::vec![0x51; 4]);
    assert_eq!(small.base_size(), 64);
    let (block, script) = (block([small.clone()].into()), &small.output[0].script_pubkey);
    let (evidence, spent) = (evidence(&block, &[]), self::script(9));
    let truth = filter(&block, &[&spent]);
    assert_eq!(evidence.judge(&truth), FilterVerdict::Unrefuted { suspect: false });
    let lie = false_filter(&block, script, &[&spent]);
    assert_eq!(evidence.judge(&lie), FilterVerdict::Omits { script: script.clone() });
}

#[test]
fn inner_nodes_in_the_place_of_transactions_are_no_evidence() {
    // The root over two txids, which are made up, is the txid of the 64 bytes that they are together.
    let mut node = paying(spending(outpoint(1), ScriptBuf::new(), &[]), &[ScriptBuf::new()]);
    node.output[0].script_pubkey = ScriptBuf::from_bytes(alloc::vec![0x51; 4]);
    let bytes = bitcoin::consensus::serialize(&node);
    let children = bytes.as_chunks::<32>().0.iter().map(|hash| Txid::from_byte_array(*hash));
    let txid = node.compute_txid();
    let root = merkle_root(&children.collect::<Vec<_>>()).unwrap();
    assert_eq!(root.to_byte_array(), txid.to_byte_array(), "the root over the two hashes in it");
    let mut block = block(Vec::new());
    (block.txdata, block.header.merkle_root) = ([node].into(), root);
    let error = BlockEvidence::new(&Header::from(block.header), &block, &[]).unwrap_err();
    assert_eq!(error, EvidenceError::NoCoinbase { txid });
}

#[test]
fn a_block_without_transactions_is_no_evidence() {
    let mut block = block(Vec::new());
    block.txdata.clear();
    let error = BlockEvidence::new(&Header::from(block.header), &block, &[]).unwrap_err();
    assert_eq!(error, EvidenceError::WrongMerkleRoot);
}

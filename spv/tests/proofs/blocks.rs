//! Whole blocks: root, repeated transactions, witnesses.

use bitcoin::hashes::{Hash as _, sha256d};
use bitcoin::{Amount, Block, ScriptBuf, Transaction, TxOut, Witness};
use ironlight_spv::Header;
use ironlight_spv::proof::{self, BlockError, merkle_root, verify_block};

use crate::support::{coinbase_input, header_over, spending, transaction};

const RESERVED: [u8; 32] = [9; 32];

/// A block of so many transactions, every second with a witness, and no commitment yet.
fn transactions(count: u64) -> Vec<Transaction> {
    let mut made = vec![transaction(coinbase_input(1), vec![0x51])];
    for seed in 1..count {
        let mut input = spending(seed);
        if seed % 2 == 1 {
            input.witness.push([1, 2, 3]);
        }
        made.push(transaction(input, vec![0x51; 22]));
    }
    made
}

fn header_of(transactions: &[Transaction]) -> Header {
    let txids: Vec<_> = transactions.iter().map(Transaction::compute_txid).collect();
    header_over(merkle_root(&txids).expect("there are some"))
}

fn block_of(transactions: &[Transaction]) -> Block {
    Block { header: header_of(transactions).into(), txdata: transactions.to_vec() }
}

fn commitment_output(commitment: [u8; 32]) -> TxOut {
    let script = [&[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed][..], &commitment].concat();
    TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::from_bytes(script) }
}

/// Puts the right commitment into the coinbase, by the `bitcoin` crate.
fn committed(mut transactions: Vec<Transaction>) -> Vec<Transaction> {
    let root = block_of(&transactions).witness_root().expect("there are some");
    let commitment = Block::compute_witness_commitment(&root, &RESERVED);
    transactions[0].output.push(commitment_output(commitment.to_byte_array()));
    transactions[0].input[0].witness = Witness::from_slice(&[RESERVED]);
    transactions
}

fn refused(transactions: &[Transaction]) -> BlockError {
    let error = verify_block(&header_of(transactions), transactions).expect_err("it is wrong");
    assert!(!error.to_string().is_empty());
    error
}

#[test]
fn right_blocks_of_every_small_size_are_accepted() {
    for count in 1..70 {
        let transactions = committed(transactions(count));
        let block = block_of(&transactions);
        assert!(block.check_merkle_root() && block.check_witness_commitment());
        let header = header_of(&transactions);
        let verified = verify_block(&header, &transactions).unwrap();
        assert_eq!(verified.witness(), proof::Witness::Committed);
        assert_eq!((verified.header(), verified.transactions()), (&header, &transactions[..]));
        let txids: Vec<_> = transactions.iter().map(Transaction::compute_txid).collect();
        assert_eq!(verified.txids(), txids);
        assert_eq!(verified.into_txids(), txids);
    }
}

#[test]
fn a_block_without_witness_needs_no_commitment() {
    let mut transactions = transactions(5);
    for transaction in &mut transactions {
        transaction.input[0].witness.clear();
    }
    let verified = verify_block(&header_of(&transactions), &transactions).unwrap();
    assert_eq!(verified.witness(), proof::Witness::Absent);
}

#[test]
fn a_block_whose_witnesses_were_taken_off_is_told_apart() {
    let mut transactions = committed(transactions(5));
    for transaction in &mut transactions {
        transaction.input[0].witness.clear();
    }
    let verified = verify_block(&header_of(&transactions), &transactions).unwrap();
    assert_eq!(verified.witness(), proof::Witness::Stripped);
    // Some taken off is a lie.
    let mut transactions = committed(self::transactions(5));
    transactions[3].input[0].witness.clear();
    assert!(matches!(refused(&transactions), BlockError::WrongCommitment { .. }));
}

#[test]
fn a_witness_that_is_not_committed_to_is_refused() {
    assert_eq!(refused(&transactions(4)), BlockError::UncommittedWitness { index: 1 });
    let mut transactions = transactions(4);
    transactions[0].input[0].witness = Witness::from_slice(&[RESERVED]);
    assert_eq!(refused(&transactions), BlockError::UncommittedWitness { index: 0 });
}

#[test]
fn another_witness_than_the_committed_one_is_refused() {
    let mut transactions = committed(transactions(9));
    transactions[5].input[0].witness.push([4]);
    assert!(!block_of(&transactions).check_witness_commitment());
    let BlockError::WrongCommitment { expected, got } = refused(&transactions) else {
        panic!("refused for something else");
    };
    assert_eq!(expected, transactions[0].output[1].script_pubkey.as_bytes()[6..]);
    assert_ne!(expected, got);
}

#[test]
fn the_reserved_value_is_one_of_32_bytes() {
    let right = committed(transactions(3));
    for witness in [
        Witness::new(),
        Witness::from_slice(&[[9; 31]]),
        Witness::from_slice(&[[9; 33]]),
        Witness::from_slice(&[RESERVED, RESERVED]),
    ] {
        let mut transactions = right.clone();
        let values = witness.len();
        transactions[0].input[0].witness = witness;
        assert_eq!(refused(&transactions), BlockError::WrongReservedValue { values });
    }
    let mut transactions = right;
    transactions[0].input[0].witness = Witness::from_slice(&[[8; 32]]);
    assert!(matches!(refused(&transactions), BlockError::WrongCommitment { .. }));
}

#[test]
fn of_several_commitments_the_last_one_holds() {
    let mut transactions = committed(transactions(3));
    transactions[0].output.insert(0, commitment_output([1; 32]));
    verify_block(&header_of(&transactions), &transactions).unwrap();
    // One that is too short is none.
    let mut short = commitment_output([1; 32]);
    short.script_pubkey = ScriptBuf::from_bytes(short.script_pubkey.as_bytes()[..37].to_vec());
    transactions[0].output.push(short);
    verify_block(&header_of(&transactions), &transactions).unwrap();
    transactions[0].output.push(commitment_output([1; 32]));
    assert!(matches!(refused(&transactions), BlockError::WrongCommitment { .. }));
}

#[test]
fn transactions_of_another_header_are_refused() {
    let right = committed(transactions(6));
    let header = header_of(&right);
    let mut swapped = right.clone();
    swapped.swap(2, 3);
    for wrong in [&swapped[..], &right[..5]] {
        let error = verify_block(&header, wrong).expect_err("another root");
        let got = header_of(wrong).merkle_root();
        assert_eq!(error, BlockError::WrongRoot { expected: header.merkle_root(), got });
    }
}

/// CVE-2012-2459: the last ones twice make the same root, on whatever level they lie.
#[test]
fn repeated_transactions_are_refused_although_the_root_is_right() {
    for (count, repeated) in [(3, 1), (5, 1), (6, 2), (7, 1), (12, 4)] {
        let right = committed(transactions(count));
        let header = header_of(&right);
        let mut twice = right.clone();
        twice.extend_from_slice(&right[right.len() - repeated..]);
        assert_eq!(header_of(&twice), header);
        let error = verify_block(&header, &twice).expect_err("some are there twice");
        let last: Vec<_> =
            right[right.len() - repeated..].iter().map(Transaction::compute_txid).collect();
        let hash = merkle_root(&last).unwrap();
        assert_eq!(error, BlockError::Repeated { hash });
        verify_block(&header, &right).unwrap();
    }
}

#[test]
fn the_first_transaction_and_no_other_is_a_coinbase() {
    let right = committed(transactions(4));
    assert_eq!(refused(&right[1..]), BlockError::NoCoinbase);
    let mut two = right;
    two[2] = transaction(coinbase_input(2), vec![0x51]);
    assert_eq!(refused(&two), BlockError::SecondCoinbase { index: 2 });
}

#[test]
fn a_block_has_some_transactions_and_not_too_many() {
    let header = header_over(sha256d::Hash::all_zeros().into());
    let error = verify_block(&header, &[]).expect_err("there are none");
    assert_eq!(error, BlockError::NoTransactions);
    let many = vec![transaction(coinbase_input(1), Vec::new()); 16_667];
    let error = verify_block(&header, &many).expect_err("there are too many");
    assert_eq!(error, BlockError::TooManyTransactions { count: 16_667 });
}

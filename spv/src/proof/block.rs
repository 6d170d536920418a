//! A whole block: are these the transactions, and the witnesses, that the header commits to?
//!
//! Sources: Bitcoin Core, `validation.cpp` (`CheckMerkleRoot`, `CheckWitnessMalleation`) and
//! `consensus/validation.h` (`GetWitnessCommitmentIndex`); BIP141, Commitment structure.

use alloc::vec::Vec;
use core::fmt;

use bitcoin::hashes::Hash as _;
use bitcoin::{Transaction, TxMerkleNode, Txid, Wtxid};

use super::error::ProofError;
use super::tree::{MAX_TRANSACTIONS, joined, parents_of_leaves, raise, root_of};
use crate::header::Header;
use crate::lanes;

/// A witness commitment's script begins with these: `OP_RETURN`, 36 bytes, a mark.
const COMMITMENT_PREFIX: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

/// Why transactions are not those of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockError {
    /// There are none.
    NoTransactions,
    /// There are more than fit into a block.
    TooManyTransactions {
        /// So many.
        count: usize,
    },
    /// The first transaction is not a coinbase.
    NoCoinbase,
    /// Another than the first transaction is a coinbase.
    SecondCoinbase {
        /// Its position.
        index: usize,
    },
    /// The txids do not make the header's Merkle root.
    WrongRoot {
        /// The header's.
        expected: TxMerkleNode,
        /// Theirs.
        got: TxMerkleNode,
    },
    /// The root is right, but some transactions are there twice: another list has the same root
    /// (CVE-2012-2459).
    Repeated {
        /// The hash of what is there twice, left and right.
        hash: TxMerkleNode,
    },
    /// The block commits to witnesses, and its coinbase lacks the one value of 32 bytes that goes
    /// into the commitment.
    WrongReservedValue {
        /// How many values its witness has.
        values: usize,
    },
    /// The witnesses are not those that the coinbase commits to.
    WrongCommitment {
        /// The coinbase's.
        expected: [u8; 32],
        /// Theirs.
        got: [u8; 32],
    },
    /// There is a witness, and the coinbase commits to none.
    UncommittedWitness {
        /// The position of the first transaction with a witness.
        index: usize,
    },
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTransactions => ProofError::NoTransactions.fmt(f),
            Self::TooManyTransactions { count } => {
                write!(f, "{count} transactions are more than the {MAX_TRANSACTIONS} of a block")
            }
            Self::NoCoinbase => f.write_str("the first transaction is not a coinbase"),
            Self::SecondCoinbase { index } => write!(f, "transaction {index} is a coinbase too"),
            Self::WrongRoot { expected, got } => {
                write!(f, "the txids make {got}, but the header's Merkle root is {expected}")
            }
            Self::Repeated { hash } => {
                write!(f, "the transactions under {hash} are there twice (CVE-2012-2459)")
            }
            Self::WrongReservedValue { values } => {
                write!(f, "the coinbase's witness is not one value of 32 bytes but {values} values")
            }
            Self::WrongCommitment { .. } => {
                f.write_str("the witnesses are not those that the coinbase commits to (BIP141)")
            }
            Self::UncommittedWitness { index } => {
                write!(f, "transaction {index} has a witness, and no commitment is there (BIP141)")
            }
        }
    }
}

impl core::error::Error for BlockError {}

/// What became of a block's witnesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// They are those that the coinbase commits to.
    Committed,
    /// There are none, and no commitment.
    Absent,
    /// There is a commitment and no witness at all, not even the coinbase's. Where segwit is
    /// active, whoever sent the block has taken them off (or was asked to); in the months before,
    /// miners made commitments that nobody checked.
    Stripped,
}

/// Transactions that are all of a header's, in its order.
#[derive(Clone, Debug)]
pub struct VerifiedBlock<'a> {
    header: Header,
    transactions: &'a [Transaction],
    txids: Vec<Txid>,
    witness: Witness,
}

impl<'a> VerifiedBlock<'a> {
    /// The header. Nothing was asked about its work or its chain.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The transactions, the coinbase first.
    #[must_use]
    pub const fn transactions(&self) -> &'a [Transaction] {
        self.transactions
    }

    /// Their txids.
    #[must_use]
    pub fn txids(&self) -> &[Txid] {
        &self.txids
    }

    /// The txids, for keeping.
    #[must_use]
    pub fn into_txids(self) -> Vec<Txid> {
        self.txids
    }

    /// What became of the witnesses.
    #[must_use]
    pub const fn witness(&self) -> Witness {
        self.witness
    }
}

/// Checks that transactions are those of a header: the coinbase comes first, the txids make the
/// Merkle root, none are there twice, and the witnesses are those committed to. What the
/// transactions do is not checked.
///
/// # Errors
/// [`BlockError`] naming the rule.
pub fn verify_block<'a>(
    header: &Header,
    transactions: &'a [Transaction],
) -> Result<VerifiedBlock<'a>, BlockError> {
    let count = transactions.len();
    let coinbase = transactions.first().ok_or(BlockError::NoTransactions)?;
    if usize::try_from(MAX_TRANSACTIONS).is_ok_and(|most| count > most) {
        return Err(BlockError::TooManyTransactions { count });
    }
    // A coinbase cannot be made of an inner node's bytes, so that this also excludes a list of
    // inner nodes in the place of transactions (CVE-2017-12842).
    if !coinbase.is_coinbase() {
        return Err(BlockError::NoCoinbase);
    }
    let others = transactions.iter().enumerate().skip(1);
    if let Some((index, _)) = others.into_iter().find(|(_, other)| other.is_coinbase()) {
        return Err(BlockError::SecondCoinbase { index });
    }
    let txids: Vec<Txid> = transactions.iter().map(Transaction::compute_txid).collect();
    check_root(header, &txids)?;
    let witness = check_witness(coinbase, transactions, &txids)?;
    Ok(VerifiedBlock { header: *header, transactions, txids, witness })
}

fn check_root(header: &Header, txids: &[Txid]) -> Result<(), BlockError> {
    let leaves = txids.as_chunks::<2>().0.iter().find(|[left, right]| left == right);
    let mut repeated = leaves.map(|[left, _]| left.to_byte_array());
    let mut root = txids.first().map(|only| only.to_byte_array()).unwrap_or_default();
    if txids.len() > 1 {
        let mut level = parents_of_leaves(txids);
        while level.len() > 1 {
            let pair = level.as_chunks::<2>().0.iter().find(|[left, right]| left == right);
            repeated = repeated.or(pair.map(|[left, _]| *left));
            raise(&mut level);
        }
        root = level.first().copied().unwrap_or_default();
    }
    let (expected, got) = (header.merkle_root(), TxMerkleNode::from_byte_array(root));
    if expected != got {
        return Err(BlockError::WrongRoot { expected, got });
    }
    match repeated.map(TxMerkleNode::from_byte_array) {
        Some(hash) => Err(BlockError::Repeated { hash }),
        None => Ok(()),
    }
}

fn has_witness(transaction: &Transaction) -> bool {
    transaction.input.iter().any(|input| !input.witness.is_empty())
}

fn check_witness(
    coinbase: &Transaction,
    transactions: &[Transaction],
    txids: &[Txid],
) -> Result<Witness, BlockError> {
    let first_witness = transactions.iter().position(has_witness);
    let expected = match (commitment(coinbase), first_witness) {
        (None, None) => return Ok(Witness::Absent),
        (None, Some(index)) => return Err(BlockError::UncommittedWitness { index }),
        (Some(_), None) => return Ok(Witness::Stripped),
        (Some(expected), Some(_)) => expected,
    };
    let values = coinbase.input.first().map(|input| &input.witness);
    let reserved = values.filter(|values| values.len() == 1).and_then(|values| values.nth(0));
    let reserved: &[u8; 32] =
        reserved.and_then(|value| value.try_into().ok()).ok_or(BlockError::WrongReservedValue {
            values: values.map_or(0, bitcoin::Witness::len),
        })?;
    // The coinbase commits to the others: its own place is zero.
    let others = transactions.iter().zip(txids).skip(1).map(|(transaction, txid)| {
        if has_witness(transaction) {
            transaction.compute_wtxid()
        } else {
            Wtxid::from_byte_array(txid.to_byte_array())
        }
    });
    let wtxids: Vec<Wtxid> = core::iter::once(Wtxid::all_zeros()).chain(others).collect();
    let root = root_of(&wtxids).unwrap_or_default();
    let got = lanes::sha256d_64_single(&joined(&root, reserved));
    if expected == got {
        Ok(Witness::Committed)
    } else {
        Err(BlockError::WrongCommitment { expected, got })
    }
}

/// The commitment: of the last output that has the form of one.
fn commitment(coinbase: &Transaction) -> Option<[u8; 32]> {
    coinbase.output.iter().rev().find_map(|output| {
        let hash = output.script_pubkey.as_bytes().strip_prefix(&COMMITMENT_PREFIX)?;
        hash.first_chunk().copied()
    })
}

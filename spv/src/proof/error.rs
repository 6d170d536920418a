//! Why bytes are no proof, and why a proof proves nothing.

use core::fmt;

use bitcoin::{BlockHash, TxMerkleNode, Txid};

use super::tree::MAX_TRANSACTIONS;

/// Why a proof does not prove what it claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProofError {
    /// It claims a block without transactions.
    NoTransactions,
    /// It claims more transactions than fit into a block.
    TooManyTransactions {
        /// So many.
        count: u64,
    },
    /// The position is not one of the block's.
    IndexOutOfRange {
        /// The position.
        index: u32,
        /// How many transactions there are.
        count: u32,
    },
    /// The path is not as long as position and count ask for.
    PathLength {
        /// The hashes that there must be.
        expected: usize,
        /// Those that there are.
        got: usize,
    },
    /// BIP37: more hashes than transactions.
    TooManyHashes {
        /// How many hashes.
        hashes: usize,
        /// How many transactions.
        count: u32,
    },
    /// BIP37: fewer flag bits than hashes.
    TooFewBits {
        /// How many bits.
        bits: usize,
        /// How many hashes.
        hashes: usize,
    },
    /// BIP37: the tree needs more flag bits than there are.
    BitsOverrun {
        /// So many there are.
        bits: usize,
    },
    /// BIP37: the tree needs more hashes than there are.
    HashesOverrun {
        /// So many there are.
        hashes: usize,
    },
    /// BIP37: whole bytes of flag bits that the tree does not need.
    UnusedFlagBytes {
        /// So many bytes it needs.
        used: usize,
        /// So many there are.
        got: usize,
    },
    /// The padding of the last byte of flag bits is not zero. Bitcoin Core lets that pass; here a
    /// proof has one form.
    PaddingNotZero,
    /// BIP37: hashes that the tree does not need.
    UnusedHashes {
        /// So many it needs.
        used: usize,
        /// So many there are.
        got: usize,
    },
    /// Left and right are the same, and the right is no missing node's stand-in: the same
    /// transactions twice (CVE-2012-2459).
    IdenticalSiblings {
        /// The hash that is there twice.
        hash: TxMerkleNode,
    },
    /// The 64 bytes of an inner node are a well-formed transaction, under which a made-up one could
    /// hang (CVE-2017-12842).
    NodeIsTransaction {
        /// The node, which may be a transaction's id.
        node: TxMerkleNode,
    },
    /// The hashes do not lead to the header's Merkle root.
    WrongRoot {
        /// The header's.
        expected: TxMerkleNode,
        /// Where they lead.
        got: TxMerkleNode,
    },
    /// The transaction shown is another one.
    WrongTransaction {
        /// The proven txid.
        expected: Txid,
        /// That of the transaction shown.
        got: Txid,
    },
    /// A transaction of 64 bytes without its witness may as well be an inner node of the tree
    /// (CVE-2017-12842).
    TransactionLikeNode {
        /// Its txid.
        txid: Txid,
    },
    /// What was shown as the coinbase is none, or is not proven to be the first transaction.
    NotCoinbase {
        /// Its txid.
        txid: Txid,
    },
    /// The coinbase shown is another block's.
    OtherBlock {
        /// The block of the transaction.
        expected: BlockHash,
        /// The block of the coinbase.
        got: BlockHash,
    },
    /// The transaction does not lie as deep in the tree as the coinbase, so that it is no leaf or
    /// hangs below one (CVE-2017-12842).
    OtherDepth {
        /// The coinbase's.
        expected: u32,
        /// The transaction's.
        got: u32,
    },
    /// The transaction is not among those that the proof is for.
    NotMatched {
        /// The one asked for.
        txid: Txid,
    },
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoTransactions => f.write_str("a block has at least one transaction"),
            Self::TooManyTransactions { count } => {
                write!(f, "{count} transactions are more than the {MAX_TRANSACTIONS} of a block")
            }
            Self::IndexOutOfRange { index, count } => {
                write!(f, "there is no position {index} among {count} transactions")
            }
            Self::PathLength { expected, got } => {
                write!(f, "the path has {got} hashes where the position needs {expected}")
            }
            Self::TooManyHashes { hashes, count } => {
                write!(f, "{hashes} hashes are too many for {count} transactions")
            }
            Self::TooFewBits { bits, hashes } => {
                write!(f, "{bits} flag bits are too few for {hashes} hashes")
            }
            Self::BitsOverrun { bits } => write!(f, "the tree needs more than {bits} flag bits"),
            Self::HashesOverrun { hashes } => write!(f, "the tree needs more than {hashes} hashes"),
            Self::UnusedFlagBytes { used, got } => {
                write!(f, "the tree needs {used} bytes of flag bits, and there are {got}")
            }
            Self::PaddingNotZero => f.write_str("the padding of the flag bits is not zero"),
            Self::UnusedHashes { used, got } => {
                write!(f, "the tree needs {used} hashes, and there are {got}")
            }
            Self::IdenticalSiblings { hash } => {
                write!(f, "{hash} is there twice, left and right (CVE-2012-2459)")
            }
            Self::NodeIsTransaction { node } => {
                write!(f, "the inner node {node} may be a 64-byte transaction (CVE-2017-12842)")
            }
            Self::WrongRoot { expected, got } => {
                write!(f, "it leads to {got}, but the header's Merkle root is {expected}")
            }
            Self::WrongTransaction { expected, got } => {
                write!(f, "it is for transaction {expected}, not for {got}")
            }
            Self::TransactionLikeNode { txid } => {
                write!(f, "{txid} has 64 bytes and may be an inner node (CVE-2017-12842)")
            }
            Self::NotCoinbase { txid } => write!(f, "{txid} is not proven to be the coinbase"),
            Self::OtherBlock { expected, got } => {
                write!(f, "the coinbase is of block {got}, the transaction of {expected}")
            }
            Self::OtherDepth { expected, got } => {
                write!(f, "it lies {got} levels deep and the coinbase {expected} (CVE-2017-12842)")
            }
            Self::NotMatched { txid } => write!(f, "it is not a proof of {txid}"),
        }
    }
}

impl core::error::Error for ProofError {}

/// Why bytes are no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end inside a field.
    Truncated {
        /// Where the field starts.
        at: usize,
    },
    /// They do not begin as a proof does.
    NotAProof,
    /// They are in another version of the form.
    UnknownVersion {
        /// Which.
        got: u8,
    },
    /// A length is written in more bytes than it needs.
    LongLength {
        /// Where it starts.
        at: usize,
    },
    /// A length is more than the bytes that follow can hold.
    TooLong {
        /// Where it starts.
        at: usize,
        /// What it says.
        length: u64,
    },
    /// Bytes follow the proof.
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// Count and position cannot be.
    Impossible(ProofError),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { at } => write!(f, "the bytes end inside the field at {at}"),
            Self::NotAProof => f.write_str("the bytes do not begin as a proof does"),
            Self::UnknownVersion { got } => write!(f, "version {got} of the form is not known"),
            Self::LongLength { at } => {
                write!(f, "the length at {at} is written in more bytes than it needs")
            }
            Self::TooLong { at, length } => {
                write!(f, "the length {length} at {at} is more than the bytes that follow")
            }
            Self::TrailingBytes { count } => write!(f, "{count} bytes follow the proof"),
            Self::Impossible(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for DecodeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Impossible(error) => Some(error),
            Self::Truncated { .. }
            | Self::NotAProof
            | Self::UnknownVersion { .. }
            | Self::LongLength { .. }
            | Self::TooLong { .. }
            | Self::TrailingBytes { .. } => None,
        }
    }
}

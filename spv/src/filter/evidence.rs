//! What a block proves about its filter.
//!
//! A filter has the scripts of the block's outputs and of the outputs that it spends (BIP158). The
//! former are in the block. The latter are not, but some of them follow from it:
//!
//! - The spent transaction is in the same block, or is given: the input names it by its hash, so it
//!   needs no other proof.
//! - An input with both a scriptSig and a witness can only spend the P2SH of the one script that its
//!   scriptSig pushes (BIP141: anything else is invalid).
//!
//! Those are proof. Others can only be guessed: two pushes look like a spent P2PKH, a witness that ends
//! in a public key like a P2WPKH, a last push or witness item like the script of a P2SH or P2WSH. But
//! who has a miner include an output that anybody can spend may put whatever they like into the input
//! that spends it, and an honest filter would then lack what we guess. So a guess proves nothing and
//! bans nobody: it makes a filter [suspect](FilterVerdict::Unrefuted).
//!
//! Invariant: no filter that was made from the block by the rules is ever refuted. What an attacker
//! can grow: nothing; a block is bounded by its message.

use alloc::borrow::ToOwned as _;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::fmt;

use bitcoin::hashes::Hash as _;
use bitcoin::script::Instruction;
use bitcoin::{Block, BlockHash, OutPoint, Script, ScriptBuf, Transaction, TxIn, Txid};

use super::{Filter, FilterError, FilterHash, FilterKey, MatchScratch, ScriptSet, output_elements};
use crate::header::Header;
use crate::proof::merkle_root;

/// The scripts that a block's filter has to have, as far as the block itself says.
#[derive(Clone, Debug)]
pub struct BlockEvidence {
    block_hash: BlockHash,
    /// Proved, without duplicates.
    proved: Vec<ScriptBuf>,
    /// Only guessed.
    guessed: Vec<ScriptBuf>,
    /// The filter's hash, where all scripts are proved.
    exact: Option<FilterHash>,
}

/// Why a block is no evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EvidenceError {
    /// It is another block.
    OtherBlock {
        /// Which.
        got: BlockHash,
    },
    /// Its transactions are not those of its header.
    WrongMerkleRoot,
    /// Its first transaction is not a coinbase: the list may be one of inner nodes of the Merkle tree
    /// (CVE-2017-12842).
    NoCoinbase {
        /// What is there instead.
        txid: Txid,
    },
}

impl fmt::Display for EvidenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherBlock { got } => write!(f, "it is the block {got}"),
            Self::WrongMerkleRoot => f.write_str("its transactions are not those of its header"),
            Self::NoCoinbase { txid } => {
                write!(f, "its first transaction {txid} is not a coinbase")
            }
        }
    }
}

impl core::error::Error for EvidenceError {}

/// What a block says of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterVerdict {
    /// It is the block's filter: all scripts are known, and it was rebuilt.
    Proved,
    /// It has every script that it provably must have, and not all are known.
    Unrefuted {
        /// It lacks a script that it probably should have.
        suspect: bool,
    },
    /// It lacks a script that it must have.
    Omits {
        /// The script.
        script: ScriptBuf,
    },
    /// All scripts are known, and the block's filter is another one.
    NotTheFilter {
        /// The filter's hash.
        expected: FilterHash,
    },
    /// No block has such a filter.
    Malformed(FilterError),
}

impl FilterVerdict {
    /// Whether the filter is provably false.
    #[must_use]
    pub const fn is_false(&self) -> bool {
        match self {
            Self::Omits { .. } | Self::NotTheFilter { .. } | Self::Malformed(_) => true,
            Self::Proved | Self::Unrefuted { .. } => false,
        }
    }
}

/// What an input tells of the script that it spends.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Visible {
    Proved(ScriptBuf),
    Guessed(ScriptBuf),
    Hidden,
}

impl BlockEvidence {
    /// Takes a block's scripts. `header` is the one of the best chain; `spent` are transactions
    /// whose outputs the block spends, as far as they are at hand.
    ///
    /// # Errors
    /// [`EvidenceError`] where the block is not the header's: this says nothing of any filter.
    pub fn new(
        header: &Header,
        block: &Block,
        spent: &[Transaction],
    ) -> Result<Self, EvidenceError> {
        let got = block.block_hash();
        if got != header.hash() {
            return Err(EvidenceError::OtherBlock { got });
        }
        let txids = txids(block);
        if merkle_root(&txids) != Some(header.merkle_root()) {
            return Err(EvidenceError::WrongMerkleRoot);
        }
        refuse_inner_nodes(block, &txids)?;
        Ok(Self::of_transactions(got, block, &txids, spent))
    }

    /// As [`new`](Self::new), of a block that was not compared with its header: proof of nothing.
    pub(crate) fn unchecked(block_hash: BlockHash, block: &Block, spent: &[Transaction]) -> Self {
        Self::of_transactions(block_hash, block, &txids(block), spent)
    }

    fn of_transactions(
        block_hash: BlockHash,
        block: &Block,
        txids: &[Txid],
        spent: &[Transaction],
    ) -> Self {
        let mut proved: BTreeSet<_> = output_elements(block).map(Script::to_owned).collect();
        let (mut guessed, mut hidden) = (BTreeSet::new(), false);
        let known = SpentScripts::new(block, txids, spent);
        let witnesses = has_proved_witnesses(block);
        for input in block.txdata.iter().skip(1).flat_map(|transaction| &transaction.input) {
            match known
                .script(&input.previous_output)
                .map_or_else(|| visible(input, witnesses), |script| Visible::Proved(script.clone()))
            {
                Visible::Proved(script) if script.is_empty() => {}
                Visible::Proved(script) => {
                    proved.insert(script);
                }
                Visible::Guessed(script) => {
                    hidden = true;
                    guessed.insert(script);
                }
                Visible::Hidden => hidden = true,
            }
        }
        let proved: Vec<_> = proved.into_iter().collect();
        let scripts = proved.iter().map(ScriptBuf::as_script);
        let exact = (!hidden).then(|| Filter::of_block(block, scripts).ok()).flatten();
        let exact = exact.map(|filter| filter.hash());
        let (proved, guessed) = (proved.into_iter().collect(), guessed.into_iter().collect());
        Self { block_hash, proved, guessed, exact }
    }

    /// The block.
    #[must_use]
    pub const fn block_hash(&self) -> BlockHash {
        self.block_hash
    }

    /// The hash of the block's filter, where all its scripts are known.
    #[must_use]
    pub const fn exact(&self) -> Option<FilterHash> {
        self.exact
    }

    /// Judges a filter as it was sent.
    #[must_use]
    pub fn judge(&self, filter: &[u8]) -> FilterVerdict {
        match self.try_judge(filter) {
            Ok(verdict) => verdict,
            Err(error) => FilterVerdict::Malformed(error),
        }
    }

    fn try_judge(&self, filter: &[u8]) -> Result<FilterVerdict, FilterError> {
        let filter = Filter::decode(FilterKey::new(self.block_hash), filter.to_vec())?;
        if self.exact == Some(filter.hash()) {
            return Ok(FilterVerdict::Proved);
        }
        if let Some(script) = lacking(&filter, &self.proved)? {
            return Ok(FilterVerdict::Omits { script: script.clone() });
        }
        Ok(match self.exact {
            Some(expected) => FilterVerdict::NotTheFilter { expected },
            None => {
                let suspect = lacking(&filter, &self.guessed)?.is_some();
                FilterVerdict::Unrefuted { suspect }
            }
        })
    }
}

fn txids(block: &Block) -> Vec<Txid> {
    block.txdata.iter().map(Transaction::compute_txid).collect()
}

/// Excludes that transactions which make the right Merkle root are not the block's (CVE-2017-12842).
/// Both are the leaves of one tree, so they can only differ where the one list lies deeper in it than
/// the other: leaves of the upper list are then inner nodes above the lower one, each at once a
/// transaction of 64 bytes and the hashes of what is below it.
///
/// Such an upper list begins with a coinbase, since the block's own does and the given one has to.
/// Where a coinbase has 64 bytes, its version is followed by the one byte of its number of inputs and
/// by an outpoint of 32 zero bytes and `ffffffff`. So of the two hashes in the first transaction, 28
/// bytes of the left one and 9 of the right one are fixed: somebody has to find a transaction, or an
/// inner node, whose hash has 224 bits that are given, in 2^224 attempts.
///
/// A transaction of 64 bytes anywhere else proves nothing against a block: a valid one may hold it.
fn refuse_inner_nodes(block: &Block, txids: &[Txid]) -> Result<(), EvidenceError> {
    match block.txdata.first().zip(txids.first()) {
        Some((first, txid)) if !first.is_coinbase() => {
            Err(EvidenceError::NoCoinbase { txid: *txid })
        }
        // Of no transaction there is no Merkle root that could be right.
        Some(_) | None => Ok(()),
    }
}

/// Outputs of transactions by their place, of those transactions that the block's inputs name.
struct SpentScripts<'a> {
    transactions: BTreeMap<Txid, &'a Transaction>,
}

impl<'a> SpentScripts<'a> {
    fn new(block: &'a Block, txids: &[Txid], spent: &'a [Transaction]) -> Self {
        let inputs = block.txdata.iter().skip(1).flat_map(|transaction| &transaction.input);
        let named: BTreeSet<_> = inputs.map(|input| input.previous_output.txid).collect();
        let within = txids.iter().copied().zip(&block.txdata);
        let before = spent.iter().map(|transaction| (transaction.compute_txid(), transaction));
        let transactions = within.chain(before).filter(|(txid, _)| named.contains(txid));
        Self { transactions: transactions.collect() }
    }

    fn script(&self, outpoint: &OutPoint) -> Option<&'a ScriptBuf> {
        let transaction = self.transactions.get(&outpoint.txid)?;
        let output = transaction.output.get(usize::try_from(outpoint.vout).ok()?)?;
        Some(&output.script_pubkey)
    }
}

/// Whether the block's witnesses are those that it commits to. The Merkle root does not cover them:
/// whoever sends the block could make them up.
fn has_proved_witnesses(block: &Block) -> bool {
    let mut inputs = block.txdata.iter().flat_map(|transaction| &transaction.input);
    inputs.any(|input| !input.witness.is_empty()) && block.check_witness_commitment()
}

/// The script that an input spends, as far as the input itself tells.
fn visible(input: &TxIn, witnesses: bool) -> Visible {
    let last = input.witness.last().filter(|_| witnesses);
    let pushes = pushes(&input.script_sig);
    match (last, pushes.as_deref()) {
        (Some(_), Some([redeem])) if Script::from_bytes(redeem).is_witness_program() => {
            Visible::Proved(Script::from_bytes(redeem).to_p2sh())
        }
        (Some(last), Some([])) if input.witness.len() == 2 && is_public_key(last) => {
            let key = bitcoin::WPubkeyHash::hash(last);
            Visible::Guessed(ScriptBuf::new_p2wpkh(&key))
        }
        // One item is a signature for a taproot key, an annex ends the witness of one: no script.
        (Some(last), Some([])) if input.witness.len() > 1 && !is_taproot(last) => {
            Visible::Guessed(Script::from_bytes(last).to_p2wsh())
        }
        (None, Some([_, key])) if is_public_key(key) => {
            Visible::Guessed(ScriptBuf::new_p2pkh(&bitcoin::PubkeyHash::hash(key)))
        }
        (None, Some([.., redeem])) => Visible::Guessed(Script::from_bytes(redeem).to_p2sh()),
        (Some(_), Some(_)) | (None, Some([])) | (_, None) => Visible::Hidden,
    }
}

/// What a scriptSig pushes; none where it does anything else.
fn pushes(script: &Script) -> Option<Vec<&[u8]>> {
    script
        .instructions()
        .map(|instruction| match instruction {
            Ok(Instruction::PushBytes(bytes)) => Some(bytes.as_bytes()),
            // Small numbers: what they push is never a key or a script.
            Ok(Instruction::Op(op)) if op.to_u8() <= 0x60 => Some(&[][..]),
            Ok(Instruction::Op(_)) | Err(_) => None,
        })
        .collect()
}

fn is_public_key(bytes: &[u8]) -> bool {
    matches!((bytes.first(), bytes.len()), (Some(2 | 3), 33) | (Some(4), 65))
}

/// Whether the last item of a witness looks like a control block or an annex (BIP341).
fn is_taproot(last: &[u8]) -> bool {
    let control = last.len() >= 33 && (last.len() - 33).is_multiple_of(32);
    control && last.first().is_some_and(|first| *first >= 0xc0) || last.first() == Some(&0x50)
}

/// A script that the filter lacks, if there is one.
fn lacking<'a>(
    filter: &Filter,
    scripts: &'a [ScriptBuf],
) -> Result<Option<&'a ScriptBuf>, FilterError> {
    let mut set = ScriptSet::new();
    for script in scripts {
        set.push(script);
    }
    let mut scratch = MatchScratch::new();
    let matched = filter.matches(&set, &mut scratch)?;
    // The places are in order: where they leave one out, its script is not there.
    let missing = matched.iter().enumerate().find(|(at, place)| at != *place);
    Ok(scripts.get(missing.map_or(matched.len(), |(at, _)| at)))
}

#[cfg(test)]
#[path = "evidence_tests.rs"]
mod tests;

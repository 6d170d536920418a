//! The front door for those without a node of ours: headers in, verdicts on transactions out.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use bitcoin::{BlockHash, Txid};

use crate::chain::{ChainTip, HeaderChain, HeaderError, Position, TipChange, TrustedStart};
use crate::header::{BlockHeight, Header};
use crate::params::Params;
use crate::proof::{self, DecodeError, Inclusion, MerkleBlock, MerkleProof, ProofError};
use crate::time::UnixTime;

/// What is known about a transaction, its proof and the chain at hand.
///
/// The verdict is about the txid that the proof names: it is in each outcome that says something
/// about a transaction, to be compared with the one that was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "a verdict may be that nothing is proven"]
pub enum Verdict {
    /// It is in a block of the best chain, under at least as many blocks as asked for.
    Confirmed {
        /// The transaction.
        txid: Txid,
        /// The height of its block.
        height: BlockHeight,
        /// The number of blocks from its own to the tip, both included.
        confirmations: u32,
    },
    /// It is in a block of the best chain, under fewer blocks than asked for.
    InsufficientConfirmations {
        /// The transaction.
        txid: Txid,
        /// The height of its block.
        height: BlockHeight,
        /// The number of blocks from its own to the tip, both included.
        confirmations: u32,
        /// What was asked for.
        wanted: u32,
    },
    /// It is in a block that is not on the best chain.
    OnFork {
        /// The transaction.
        txid: Txid,
        /// The block.
        block: BlockHash,
        /// Its height.
        height: BlockHeight,
    },
    /// It is in a block of which nothing is known: of another chain, below the start of this one,
    /// or newer than its tip. Nothing says that the block cost any work.
    UnknownHeader {
        /// The transaction.
        txid: Txid,
        /// The block.
        block: BlockHash,
    },
    /// The proof does not prove it.
    Invalid(ProofError),
    /// The bytes are no proof.
    Malformed(DecodeError),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Confirmed { txid, height, confirmations } => {
                write!(f, "{txid} is confirmed {confirmations} times, at height {height}")
            }
            Self::InsufficientConfirmations { txid, height, confirmations, wanted } => write!(
                f,
                "{txid} is confirmed {confirmations} times of {wanted}, at height {height}"
            ),
            Self::OnFork { txid, block, height } => {
                write!(f, "{txid} is in block {block} at height {height}, not on the best chain")
            }
            Self::UnknownHeader { txid, block } => {
                write!(f, "{txid} is in block {block}, which is not known")
            }
            Self::Invalid(error) => write!(f, "the proof is invalid: {error}"),
            Self::Malformed(error) => write!(f, "this is no proof: {error}"),
        }
    }
}

/// Some headers of a batch were not taken. Those before the bad one were.
#[derive(Clone, Debug)]
pub struct HeadersRefused {
    /// What the headers before the bad one did to the best chain.
    pub applied: Box<TipChange>,
    /// Which header is bad and why.
    pub error: Box<HeaderError>,
}

impl fmt::Display for HeadersRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl core::error::Error for HeadersRefused {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&*self.error)
    }
}

/// A header chain that answers whether transactions are confirmed.
///
/// It is as good as its headers: whoever feeds it shows it some chain with work behind it, and it
/// takes the one with the most. Ask more than one source, and compare
/// [`tip`](Self::tip)'s work with the network's
/// [`minimum_chain_work`](Params::minimum_chain_work) before believing a verdict. Against peers who
/// flood with headers of little work there is [`sync`](crate::sync).
///
/// ```
/// use ironlight_spv::{Network, Params, SpvClient, UnixTime, Verdict};
/// # use ironlight_spv::{Header, proof::MerkleTree};
/// # let params = Params::new(Network::Regtest);
/// # let genesis = params.genesis;
/// # let coinbase = ironlight_spv::bitcoin::constants::genesis_block(
/// #     ironlight_spv::bitcoin::Network::Regtest,
/// # ).txdata[0].compute_txid();
/// # let proof = MerkleTree::new(&[coinbase])?.prove(&genesis, 0)?;
/// # let headers: [Header; 0] = [];
/// let mut client = SpvClient::new(Params::new(Network::Regtest));
/// client.add_headers(&headers, UnixTime(1_700_000_000))?;
///
/// match client.verify_transaction(&proof, 6) {
///     Verdict::Confirmed { txid, height, .. } => println!("{txid} is settled at {height}"),
///     verdict => println!("not yet, or not at all: {verdict}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SpvClient {
    chain: HeaderChain,
}

impl SpvClient {
    /// A client that knows its network's genesis.
    #[must_use]
    pub fn new(params: Params) -> Self {
        Self { chain: HeaderChain::new(params) }
    }

    /// A client that starts at a header which the user trusts. Of blocks below it nothing is known.
    ///
    /// # Errors
    /// As [`HeaderChain::from_start`].
    pub fn from_start(params: Params, start: TrustedStart) -> Result<Self, HeaderError> {
        HeaderChain::from_start(params, start).map(|chain| Self { chain })
    }

    /// The chain, for all other questions about it.
    #[must_use]
    pub const fn chain(&self) -> &HeaderChain {
        &self.chain
    }

    /// The last header of the best chain.
    #[must_use]
    pub fn tip(&self) -> ChainTip {
        self.chain.tip()
    }

    /// Checks headers that follow each other against all rules and takes them in, known ones and
    /// side branches too. `now` is the wall clock, for the rule against headers from the future.
    ///
    /// # Errors
    /// [`HeadersRefused`] for the first header that breaks a rule; the ones before it are taken in.
    pub fn add_headers(
        &mut self,
        headers: &[Header],
        now: UnixTime,
    ) -> Result<TipChange, HeadersRefused> {
        match self.chain.verify(headers, now) {
            Ok(batch) => {
                // Verified on this very state, so never stale.
                Ok(self.chain.apply(batch).unwrap_or(TipChange::Unchanged))
            }
            Err(mut error) => {
                self.chain.remember_invalid(&error);
                let prefix = error.prefix.take().map(|prefix| self.chain.apply(*prefix));
                let applied = prefix.and_then(Result::ok).unwrap_or(TipChange::Unchanged);
                Err(HeadersRefused { applied: Box::new(applied), error: Box::new(error) })
            }
        }
    }

    /// Whether the transaction of a proof is confirmed so many times; once means in the tip or
    /// below it.
    pub fn verify_transaction(&self, proof: &MerkleProof, confirmations: u32) -> Verdict {
        self.judge(proof.verify(), confirmations)
    }

    /// The same for a proof in bytes, as [`MerkleProof::encode`] writes it.
    pub fn verify_encoded(&self, proof: &[u8], confirmations: u32) -> Verdict {
        match MerkleProof::decode(proof) {
            Ok(proof) => self.verify_transaction(&proof, confirmations),
            Err(error) => Verdict::Malformed(error),
        }
    }

    /// The same for one of the transactions that a [`MerkleBlock`] proves.
    pub fn verify_in_merkle_block(
        &self,
        block: &MerkleBlock,
        txid: Txid,
        confirmations: u32,
    ) -> Verdict {
        self.judge(block.verify_one(txid), confirmations)
    }

    /// The same for many proofs at once, each at its place: faster than one by one.
    #[must_use]
    pub fn verify_transactions(&self, proofs: &[MerkleProof], confirmations: u32) -> Vec<Verdict> {
        let verdicts = proof::verify_batch(proofs).into_iter();
        verdicts.map(|verdict| self.judge(verdict, confirmations)).collect()
    }

    /// The same for what was proven before, perhaps with more evidence: see
    /// [`Inclusion::with_transaction`] and [`Inclusion::with_coinbase`].
    pub fn locate(&self, inclusion: &Inclusion, confirmations: u32) -> Verdict {
        let (txid, block) = (inclusion.txid(), inclusion.block_hash());
        let Some((entry, position)) = self.chain.find(&block) else {
            return Verdict::UnknownHeader { txid, block };
        };
        let height = entry.height;
        if position == Position::Side {
            return Verdict::OnFork { txid, block, height };
        }
        let (wanted, above) = (confirmations, self.tip().height.0.saturating_sub(height.0));
        let confirmations = above.saturating_add(1);
        if confirmations >= wanted {
            Verdict::Confirmed { txid, height, confirmations }
        } else {
            Verdict::InsufficientConfirmations { txid, height, confirmations, wanted }
        }
    }

    fn judge(&self, verdict: Result<Inclusion, ProofError>, confirmations: u32) -> Verdict {
        match verdict {
            Ok(inclusion) => self.locate(&inclusion, confirmations),
            Err(error) => Verdict::Invalid(error),
        }
    }
}

/// A client of a chain that was verified before.
impl From<HeaderChain> for SpvClient {
    fn from(chain: HeaderChain) -> Self {
        Self { chain }
    }
}

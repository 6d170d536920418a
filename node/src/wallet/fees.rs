//! What a transaction should pay, as far as a light client can tell.
//!
//! There is no view of what waits. Two things are known: what recent blocks earned, as an average
//! of each block, and the rate below which each peer relays nothing (BIP133). A [`FeeEstimate`] says which
//! of them it rests on.
//!
//! An average hides what the cheapest transaction of a block paid, so a target of one block and one of
//! ten differ only by which of the recent blocks are taken as the measure. That is all that this basis allows,
//! and [`FeeEstimate::basis`] says so.
//!
//! Who can make it grow: nobody; [`MAX_BLOCKS`] blocks and [`MAX_PEERS`] peers are kept. Whom to
//! fool it takes: a miner, for whole blocks at the price of their fees, or more than half of
//! the peers, who could only raise the floor, to at most [`MAX_FLOOR`].

use std::collections::{BTreeMap, VecDeque};

use bitcoin::{Amount, Block, FeeRate, Weight};
use ironlight_spv::peers::PeerId;
use ironlight_spv::{BlockHeight, Network};
use thiserror::Error;

/// Blocks that are looked at: about a day.
pub const MAX_BLOCKS: usize = 144;
/// Peers whose filters are kept.
pub const MAX_PEERS: usize = 128;
/// What a floor is cut to, 1,000 sat/vB: above it a filter is no honest wish.
pub const MAX_FLOOR: FeeRate = FeeRate::from_sat_per_kwu(250_000);
/// The furthest target, in blocks (as Core's estimator).
pub const MAX_TARGET: u16 = 1_008;

/// Blocks from one halving of the subsidy to the next (Core, `chainparams.cpp`,
/// `nSubsidyHalvingInterval`).
#[must_use]
pub const fn halving_interval(network: Network) -> u32 {
    match network {
        Network::Mainnet | Network::Testnet3 | Network::Testnet4 | Network::Signet => 210_000,
        Network::Regtest => 150,
    }
}

/// What a block at a height may create (Core, `GetBlockSubsidy`).
#[must_use]
pub fn subsidy(network: Network, height: BlockHeight) -> Amount {
    let halvings = height.0.checked_div(halving_interval(network)).unwrap_or(0);
    Amount::from_sat(Amount::from_int_btc(50).to_sat().checked_shr(halvings).unwrap_or(0))
}

/// What a block earned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockFees {
    /// Its height.
    pub height: BlockHeight,
    /// What its transactions paid together; 0 where the miner claimed less than the subsidy.
    pub fees: Amount,
    /// The weight of its transactions but the coinbase.
    pub weight: Weight,
}

/// How a block leaves no average.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NoFees {
    /// It has no transaction but the coinbase.
    #[error("the block at height {height} has no transaction that could pay a fee")]
    Empty {
        /// Its height.
        height: BlockHeight,
    },
    /// Its coinbase pays more than money there is.
    #[error("the coinbase at height {height} pays more than there is")]
    Overflow {
        /// Its height.
        height: BlockHeight,
    },
}

impl BlockFees {
    /// Of a whole block.
    ///
    /// # Errors
    /// [`NoFees`]
    pub fn of_block(network: Network, height: BlockHeight, block: &Block) -> Result<Self, NoFees> {
        let (coinbase, rest) = block.txdata.split_first().ok_or(NoFees::Empty { height })?;
        if rest.is_empty() {
            return Err(NoFees::Empty { height });
        }
        let claimed = coinbase
            .output
            .iter()
            .try_fold(Amount::ZERO, |sum, output| sum.checked_add(output.value))
            .ok_or(NoFees::Overflow { height })?;
        let fees = claimed.checked_sub(subsidy(network, height)).unwrap_or(Amount::ZERO);
        let weight = rest.iter().map(bitcoin::Transaction::weight).sum();
        Ok(Self { height, fees, weight })
    }

    /// The average of its transactions, each counted by its weight.
    #[must_use]
    pub fn average(&self) -> FeeRate {
        let per_kwu =
            u128::from(self.fees.to_sat()) * 1_000 / u128::from(self.weight.to_wu().max(1));
        FeeRate::from_sat_per_kwu(u64::try_from(per_kwu).unwrap_or(u64::MAX))
    }
}

/// What an estimate rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeBasis {
    /// Blocks whose averages were used.
    pub blocks: usize,
    /// The highest of them.
    pub newest_block: Option<BlockHeight>,
    /// Which of the averages, in percent from the lowest.
    pub percentile: u8,
    /// Peers whose filters gave the floor.
    pub peers: usize,
    /// The median of what peers relay at least.
    pub floor: Option<FeeRate>,
    /// Whether the floor, not the blocks, decided.
    pub at_floor: bool,
}

/// What to pay, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeEstimate {
    /// The rate.
    pub rate: FeeRate,
    /// The target that it was made for, in blocks.
    pub target: u16,
    /// What it rests on.
    pub basis: FeeBasis,
}

/// Why there is no estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NoEstimate {
    /// Neither blocks nor peers are known.
    #[error("no block of the last {blocks} was seen whole, and no peer has told its fee filter")]
    NoBasis {
        /// How many were looked at.
        blocks: usize,
    },
    /// The target is out of range.
    #[error("a target of {target} blocks is outside of 1 to {limit}")]
    Target {
        /// What was asked for.
        target: u16,
        /// The furthest.
        limit: u16,
    },
}

/// Recent blocks and peers' filters.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "the bodies come next")]
pub struct FeeEstimator {
    network: Network,
    blocks: VecDeque<BlockFees>,
    filters: BTreeMap<PeerId, FeeRate>,
}

#[allow(
    clippy::unimplemented,
    unused_variables,
    clippy::missing_panics_doc,
    reason = "the bodies come next"
)]
impl FeeEstimator {
    /// One that knows nothing yet.
    #[must_use]
    pub const fn new(network: Network) -> Self {
        Self { network, blocks: VecDeque::new(), filters: BTreeMap::new() }
    }

    /// A block of the best chain was seen whole. Order does not matter; one without fees is passed
    /// over.
    pub fn handle_block(&mut self, height: BlockHeight, block: &Block) {
        unimplemented!()
    }

    /// Blocks above a height are off the best chain.
    pub fn handle_disconnected(&mut self, fork: BlockHeight) {
        unimplemented!()
    }

    /// A peer relays nothing below a rate (BIP133).
    pub fn handle_fee_filter(&mut self, peer: PeerId, least: FeeRate) {
        unimplemented!()
    }

    /// A peer is gone.
    pub fn handle_peer_left(&mut self, peer: PeerId) {
        unimplemented!()
    }

    /// What a transaction should pay so that it may confirm within so many blocks. No promise: see
    /// the module.
    ///
    /// # Errors
    /// [`NoEstimate`], with the reason.
    pub fn estimate(&self, target: u16) -> Result<FeeEstimate, NoEstimate> {
        unimplemented!()
    }
}

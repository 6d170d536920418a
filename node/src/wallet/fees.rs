//! What a transaction should pay, as far as a light client can tell.
//!
//! There is no view of what waits. Two things are known: the average that each block paid which was
//! seen whole, and the rate below which each peer relays nothing (BIP133).
//!
//! Who had paid a block's average would have been in it, since blocks take the best payers first and the
//! average is above the cheapest of them. So for a target of `n` blocks the rate is one that reached some
//! block's average in nine of ten stretches of `n` seen blocks, and at least what half of the peers relay. It is
//! more than was needed, it looks back and not ahead, and of a wallet that sees only blocks with
//! something of its own the sample is small: [`FeeBasis`] says how small. It is no promise.
//!
//! What can grow: [`MAX_BLOCKS`] blocks and [`MAX_PEERS`] peers are kept. Who wants to fool it needs
//! to be a miner, who fills blocks with fees to himself, or half of the peers, who
//! can raise the floor to at most [`MAX_FLOOR`].

use std::collections::BTreeMap;

use bitcoin::{Amount, Block, FeeRate, Weight};
use ironlight_spv::peers::PeerId;
use ironlight_spv::{BlockHeight, Network};
use thiserror::Error;

/// Blocks that are looked at: about a day.
pub const MAX_BLOCKS: usize = 144;
/// Peers whose filters are kept.
pub const MAX_PEERS: usize = 128;
/// Blocks below the tip that still say something about today: a week.
pub const MAX_AGE: u32 = 1_008;
/// The highest filter that counts, 1,000 sat/vB. Full nodes that relay nothing, because they are
/// not synced yet, say so with all money that there is.
pub const MAX_FLOOR: FeeRate = FeeRate::from_sat_per_kwu(250_000);
/// In how many of a hundred stretches of blocks a rate has to have been enough.
const ENOUGH_IN_PERCENT: u8 = 90;
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
    /// Blocks whose averages were used: those of the last week that were seen whole.
    pub blocks: usize,
    /// The newest of them.
    pub newest_block: Option<BlockHeight>,
    /// Stretches of as many blocks as the target, or of all of them, that were looked at.
    pub stretches: usize,
    /// In how many of a hundred of them the rate would have been enough.
    pub enough_in_percent: u8,
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
    #[error(
        "no block with fees of the last {blocks} was seen whole, and no peer has told what it relays"
    )]
    NoBasis {
        /// How many would count.
        blocks: u32,
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
pub struct FeeEstimator {
    network: Network,
    blocks: BTreeMap<BlockHeight, BlockFees>,
    filters: BTreeMap<PeerId, FeeRate>,
}

impl FeeEstimator {
    /// One that knows nothing yet.
    #[must_use]
    pub const fn new(network: Network) -> Self {
        Self { network, blocks: BTreeMap::new(), filters: BTreeMap::new() }
    }

    /// A block of the best chain was seen whole. Order does not matter; one without fees is passed
    /// over.
    pub fn handle_block(&mut self, height: BlockHeight, block: &Block) {
        let Ok(fees) = BlockFees::of_block(self.network, height, block) else { return };
        self.blocks.insert(height, fees);
        if self.blocks.len() > MAX_BLOCKS {
            self.blocks.pop_first();
        }
    }

    /// Blocks above a height are off the best chain.
    pub fn handle_disconnected(&mut self, fork: BlockHeight) {
        self.blocks.split_off(&fork.next());
    }

    /// A peer relays nothing below a rate (BIP133).
    pub fn handle_fee_filter(&mut self, peer: PeerId, least: FeeRate) {
        if self.filters.len() < MAX_PEERS || self.filters.contains_key(&peer) {
            self.filters.insert(peer, least);
        }
    }

    /// A peer is gone.
    pub fn handle_peer_left(&mut self, peer: PeerId) {
        self.filters.remove(&peer);
    }

    /// What a transaction should pay so that it may confirm within so many blocks, with the chain at
    /// `tip`. No promise: see the module.
    ///
    /// # Errors
    /// [`NoEstimate`], with the reason.
    pub fn estimate(&self, target: u16, tip: BlockHeight) -> Result<FeeEstimate, NoEstimate> {
        if !(1..=MAX_TARGET).contains(&target) {
            return Err(NoEstimate::Target { target, limit: MAX_TARGET });
        }
        let oldest = BlockHeight(tip.0.saturating_sub(MAX_AGE).saturating_add(1));
        let recent: Vec<FeeRate> =
            self.blocks.range(oldest..).map(|(_, block)| block.average()).collect();
        let (stretches, by_blocks) = enough_for(&recent, usize::from(target));
        let (peers, floor) = self.floor();
        let Some(rate) = by_blocks.max(floor) else {
            return Err(NoEstimate::NoBasis { blocks: MAX_AGE });
        };
        let newest = self.blocks.range(oldest..).next_back();
        let basis = FeeBasis {
            blocks: recent.len(),
            newest_block: newest.map(|(height, _)| *height),
            stretches,
            enough_in_percent: ENOUGH_IN_PERCENT,
            peers,
            floor,
            at_floor: by_blocks < floor,
        };
        Ok(FeeEstimate { rate, target, basis })
    }

    /// The median of what peers relay at least, the higher of two in the middle, and of how many.
    fn floor(&self) -> (usize, Option<FeeRate>) {
        let honest = self.filters.values().filter(|least| **least <= MAX_FLOOR);
        let mut honest: Vec<FeeRate> = honest.copied().collect();
        honest.sort_unstable();
        (honest.len(), honest.get(honest.len() / 2).copied())
    }
}

/// How many stretches of so many blocks there are, and the lowest rate that reached the average of
/// some block in enough of them.
fn enough_for(averages: &[FeeRate], target: usize) -> (usize, Option<FeeRate>) {
    let length = target.min(averages.len()).max(1);
    let cheapest = averages.windows(length).filter_map(|stretch| stretch.iter().min().copied());
    let mut cheapest: Vec<FeeRate> = cheapest.collect();
    cheapest.sort_unstable();
    let enough = (cheapest.len() * usize::from(ENOUGH_IN_PERCENT)).div_ceil(100);
    let rate = enough.checked_sub(1).and_then(|last| cheapest.get(last)).copied();
    (cheapest.len(), rate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wallet::testing::{TestChain, foreign, pay, script};

    /// A block whose one transaction pays a fee, by way of the coinbase.
    fn block(height: u32, fee: u64) -> (Block, Weight) {
        let mut chain = TestChain::new(0);
        let transaction = pay(&[foreign(1)], &[(script(1), 1_000)]);
        let weight = transaction.weight();
        chain.mine(&script(0), vec![transaction]);
        let mut block = chain.blocks.remove(0);
        let subsidy = subsidy(Network::Regtest, BlockHeight(height));
        block.txdata[0].output[0].value = subsidy + Amount::from_sat(fee);
        (block, weight)
    }

    fn rate(fee: u64, weight: Weight) -> FeeRate {
        FeeRate::from_sat_per_kwu(fee * 1_000 / weight.to_wu())
    }

    #[test]
    fn the_subsidy_halves_at_each_network_s_interval() {
        let cases = [
            (Network::Mainnet, 0, 5_000_000_000),
            (Network::Mainnet, 209_999, 5_000_000_000),
            (Network::Mainnet, 210_000, 2_500_000_000),
            (Network::Signet, 840_000, 312_500_000),
            (Network::Mainnet, 6_929_999, 1),
            (Network::Mainnet, 6_930_000, 0),
            (Network::Mainnet, u32::MAX, 0),
            (Network::Regtest, 149, 5_000_000_000),
            (Network::Regtest, 150, 2_500_000_000),
        ];
        for (network, height, expected) in cases {
            assert_eq!(
                subsidy(network, BlockHeight(height)).to_sat(),
                expected,
                "{network} {height}"
            );
        }
    }

    #[test]
    fn a_block_s_average_is_what_its_coinbase_takes_beyond_the_subsidy() {
        let (block, weight) = block(300, 4_000);
        let fees = BlockFees::of_block(Network::Regtest, BlockHeight(300), &block).unwrap();
        assert_eq!((fees.fees.to_sat(), fees.weight), (4_000, weight));
        assert_eq!(fees.average(), rate(4_000, weight));
        // A miner who takes less than he may leaves no negative fee.
        let early = BlockFees::of_block(Network::Regtest, BlockHeight(0), &block).unwrap();
        assert_eq!(early.fees, Amount::ZERO);
    }

    #[test]
    fn a_block_with_a_coinbase_only_says_nothing() {
        let (mut block, _) = block(1, 10);
        block.txdata.truncate(1);
        let height = BlockHeight(1);
        assert_eq!(
            BlockFees::of_block(Network::Regtest, height, &block),
            Err(NoFees::Empty { height })
        );
        let mut estimator = FeeEstimator::new(Network::Regtest);
        estimator.handle_block(height, &block);
        assert!(matches!(estimator.estimate(1, height), Err(NoEstimate::NoBasis { .. })));
    }

    #[test]
    fn a_longer_target_costs_no_more_and_the_rate_was_enough_in_nine_of_ten() {
        let mut estimator = FeeEstimator::new(Network::Regtest);
        let fees = |height: u32| u64::from(height * 7_919 % 100) * 100 + 100;
        let weight = block(1, 0).1;
        for height in 1..=100 {
            estimator.handle_block(BlockHeight(height), &block(height, fees(height)).0);
        }
        let tip = BlockHeight(100);
        let mut before = FeeRate::MAX;
        for target in [1_u16, 2, 3, 6, 12, 100, 1_008] {
            let estimate = estimator.estimate(target, tip).unwrap();
            assert!(estimate.rate <= before, "{target}");
            before = estimate.rate;
            assert_eq!((estimate.basis.blocks, estimate.basis.newest_block), (100, Some(tip)));
            let length = u32::from(target).min(100);
            let starts = 1..=101 - length;
            let enough = starts.clone().filter(|start| {
                (*start..start + length).any(|height| rate(fees(height), weight) <= estimate.rate)
            });
            assert!(enough.count() * 10 >= starts.count() * 9, "{target}");
        }
    }

    #[test]
    fn old_and_stale_blocks_do_not_count() {
        let mut estimator = FeeEstimator::new(Network::Regtest);
        estimator.handle_block(BlockHeight(10), &block(10, 1_000).0);
        assert!(estimator.estimate(1, BlockHeight(10 + MAX_AGE - 1)).is_ok());
        assert!(estimator.estimate(1, BlockHeight(10 + MAX_AGE)).is_err());
        estimator.handle_disconnected(BlockHeight(10));
        assert!(estimator.estimate(1, BlockHeight(10)).is_ok());
        estimator.handle_disconnected(BlockHeight(9));
        assert!(estimator.estimate(1, BlockHeight(10)).is_err());
        for height in 0..1_000 {
            estimator.handle_block(BlockHeight(height), &block(height, 1_000).0);
        }
        assert_eq!(estimator.blocks.len(), MAX_BLOCKS);
        assert!(estimator.blocks.contains_key(&BlockHeight(999)));
    }

    #[test]
    fn the_floor_is_the_median_of_peers_that_relay_at_all() {
        let mut estimator = FeeEstimator::new(Network::Regtest);
        let tip = BlockHeight(5);
        for (peer, least) in [(1, 250), (2, 500), (3, 1_000), (4, 2_300_000_000_000)] {
            estimator.handle_fee_filter(PeerId(peer), FeeRate::from_sat_per_kwu(least));
        }
        let estimate = estimator.estimate(1, tip).unwrap();
        assert_eq!(estimate.rate, FeeRate::from_sat_per_kwu(500));
        assert_eq!((estimate.basis.peers, estimate.basis.blocks), (3, 0));
        assert!(estimate.basis.at_floor);
        // Blocks above the floor decide.
        let (high, weight) = block(5, 10_000);
        estimator.handle_block(tip, &high);
        let estimate = estimator.estimate(1, tip).unwrap();
        assert_eq!(estimate.rate, rate(10_000, weight));
        assert!(!estimate.basis.at_floor);
        for peer in 1..=4 {
            estimator.handle_peer_left(PeerId(peer));
        }
        assert_eq!(estimator.estimate(1, tip).unwrap().basis.floor, None);
    }

    #[test]
    fn targets_out_of_range_are_refused() {
        let estimator = FeeEstimator::new(Network::Mainnet);
        for target in [0, 1_009] {
            let refused = estimator.estimate(target, BlockHeight(1)).unwrap_err();
            assert_eq!(refused, NoEstimate::Target { target, limit: 1_008 });
        }
    }

    #[test]
    fn peers_that_are_kept_are_bounded() {
        let mut estimator = FeeEstimator::new(Network::Regtest);
        for peer in 0..1_000 {
            estimator.handle_fee_filter(PeerId(peer), FeeRate::from_sat_per_kwu(peer));
        }
        assert_eq!(estimator.filters.len(), MAX_PEERS);
    }
}

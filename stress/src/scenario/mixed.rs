//! What a node does all day, in turns drawn by weight.

use ironlight_spv::compress::state::{Account, StateCompressor};
use ironlight_spv::generate::Miner;
use ironlight_spv::{BlockHeight, Header, HeaderChain};

use super::accounts::Accounts;
use super::chains::{below, mine_on, regtest, take_in};
use super::merkle_tree::Block;
use super::state_compression::prove;
use super::{About, Findings, Plan, Scenario, ScenarioError, Weights};
use crate::measure::{Class, Meter};
use crate::report::{Bound, Figure};

/// The most headers that a peer announces at once (Bitcoin Core, `net_processing.cpp`,
/// `MAX_BLOCKS_TO_ANNOUNCE`).
const ANNOUNCED: u64 = 8;
const TRANSACTIONS: u64 = 2_000;
const ACCOUNTS: u32 = 10_000;

/// The share under 1 ms that we hold ourselves to, and the one under 5 ms that was asked for.
const UNDER_1_MS: f64 = 0.999;
const UNDER_5_MS: f64 = 0.978;

/// Announcements of headers, proofs and changes of accounts.
#[derive(Clone, Copy, Debug)]
pub struct Mixed;

impl Scenario for Mixed {
    fn about(&self) -> About {
        About {
            name: "mixed",
            does: "takes in announcements of 8 headers, builds and checks Merkle proofs, changes \
                   and proves accounts, in turns drawn by weight (--weights)",
            operation: "one such turn",
            sample: "one such turn",
            bound: "97.8 % of operations take less than 5 ms, as was asked for; 99.9 % less than \
                    1 ms, as we want it; none fails",
            counts: "operations",
            usual: 30_000,
            range: (1, 1_000_000),
        }
    }

    fn run(&self, plan: &Plan, meter: &mut Meter<'_>) -> Result<Findings, ScenarioError> {
        let mut day = Day::new(plan.seed)?;
        let mut turns = [0_u64; 3];
        for number in 0..plan.count {
            let turn = Turn::draw(plan.weights, &mut day.random);
            let [headers, proofs, state] = &mut turns;
            match turn {
                Turn::Headers => *headers += 1,
                Turn::Proof => *proofs += 1,
                Turn::State => *state += 1,
            }
            day.take(turn, number, meter);
            meter.check_time()?;
        }
        let tally = meter.tally();
        let share =
            |milliseconds| tally.share_under(core::time::Duration::from_millis(milliseconds));
        let bounds = vec![
            Bound::at_least_share("under 1 ms", UNDER_1_MS, share(1)),
            Bound::at_least_share("under 5 ms", UNDER_5_MS, share(5)),
            Bound::equal("failed", &0, &tally.failed()),
            Bound::equal("height", &(ANNOUNCED * turns[0]), &u64::from(day.chain.tip().height.0)),
        ];
        let figures = ["headers", "proofs", "accounts"].iter().zip(turns);
        let figures = figures.map(|(name, turns)| Figure::new(name, turns as f64, "operations"));
        Ok(Findings { bounds, figures: figures.collect(), ..Findings::default() })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Headers,
    Proof,
    State,
}

impl Turn {
    fn draw(weights: Weights, random: &mut Miner) -> Self {
        let Weights { headers, proofs, state } = weights;
        let [headers, proofs, state] = [headers, proofs, state].map(u64::from);
        let drawn = below(random, headers + proofs + state);
        if drawn < headers {
            Self::Headers
        } else if drawn < headers + proofs {
            Self::Proof
        } else {
            Self::State
        }
    }
}

/// All that the turns work on.
struct Day {
    random: Miner,
    chain: HeaderChain,
    tip: Header,
    block: Block,
    accounts: Accounts,
    states: StateCompressor<Account>,
}

impl Day {
    fn new(seed: u64) -> Result<Self, ScenarioError> {
        let mut random = Miner::new(seed);
        let chain = regtest();
        let accounts = Accounts::new(ACCOUNTS, seed);
        let states = accounts.sealed()?;
        Ok(Self {
            tip: chain.params().genesis,
            block: Block::new(&mut random, TRANSACTIONS)?,
            random,
            chain,
            accounts,
            states,
        })
    }

    /// Prepares a turn, and times what a node would do of it. What fails is counted.
    fn take(&mut self, turn: Turn, number: u64, meter: &mut Meter<'_>) {
        let _counted = match turn {
            Turn::Headers => {
                let headers = mine_on(&mut self.random, &mut self.tip, ANNOUNCED);
                meter.time(1, || take_in(&mut self.chain, &headers).map(|_| ()))
            }
            Turn::Proof => {
                let index = below(&mut self.random, TRANSACTIONS);
                let index = u32::try_from(index).unwrap_or(0);
                meter.time(1, || self.block.proof(index).map(|_| ()))
            }
            Turn::State => {
                let height = BlockHeight(u32::try_from(number + 1).unwrap_or(u32::MAX));
                let account = self.accounts.change(1).pop();
                meter.time(1, || {
                    let account = account.ok_or("no_account")?;
                    self.states.put(account.clone());
                    self.seal_and_prove(&account, height)
                })
            }
        };
    }

    fn seal_and_prove(&mut self, account: &Account, height: BlockHeight) -> Result<(), Class> {
        self.states.seal(height).map_err(|_error| "not_sealed")?;
        prove(&self.states, account, height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_drawn_by_weight_and_never_without_one() {
        let mut random = Miner::new(1);
        let weights = Weights { headers: 0, proofs: 1, state: 3 };
        let turns: Vec<Turn> = (0..1_000).map(|_| Turn::draw(weights, &mut random)).collect();
        let count = |turn| turns.iter().filter(|drawn| **drawn == turn).count();
        assert_eq!(count(Turn::Headers), 0);
        assert!((650..850).contains(&count(Turn::State)), "{}", count(Turn::State));
    }
}

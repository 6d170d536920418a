//! Accounts at a hundred heights, held in a few times what one of them takes.

use std::collections::HashMap;

use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{Account, StateCompressor, StateValue as _, Verdict};

use super::accounts::Accounts;
use super::chains::{WRONG, below};
use super::{About, Findings, Plan, Scenario, ScenarioError};
use crate::measure::{Class, Meter};
use crate::report::{Bound, Figure};

const HEIGHTS: u32 = 100;
/// Accounts read back at random heights, and as many proved.
const SAMPLE: u64 = 2_000;
/// What is held, in hundredths of what plain copies take.
const MOST_PERCENT: f64 = 5.0;

/// A hundred heights of accounts, of which each block changes one in a hundred.
#[derive(Clone, Copy, Debug)]
pub struct StateCompression;

impl Scenario for StateCompression {
    fn about(&self) -> About {
        About {
            name: "state-compression",
            does: "seals 100 heights of accounts, 1 % changed each, and reads and proves some",
            operation: "an account sealed, read or proved",
            sample: "a block sealed, or one account read, or one proved",
            bound: "what is held is at most 5 % of plain copies; every answer and proof is right",
            counts: "accounts",
            usual: 100_000,
            range: (1_000, 1_000_000),
        }
    }

    fn run(&self, plan: &Plan, meter: &mut Meter<'_>) -> Result<Findings, ScenarioError> {
        let count = u32::try_from(plan.count).unwrap_or(u32::MAX);
        let mut heights = Heights::new(Accounts::new(count, plan.seed))?;
        for height in 1..HEIGHTS {
            heights.block(height, count / 100, meter)?;
        }
        let (mut read, mut proved) = (0, 0);
        for _ in 0..SAMPLE {
            let (account, height) = heights.draw();
            read += u64::from(meter.time(1, || heights.read(&account, height)).is_ok());
            proved += u64::from(meter.time(1, || prove(&heights.states, &account, height)).is_ok());
            meter.check_time()?;
        }
        let stats = heights.states.stats();
        let share = 100.0 * stats.held_bytes as f64 / stats.plain_bytes.max(1) as f64;
        let bounds = vec![
            Bound::judged(
                "size",
                &format_args!("at most {MOST_PERCENT} % of plain copies"),
                &format_args!("{share:.2} %"),
                share <= MOST_PERCENT,
            ),
            Bound::equal("right answers", &SAMPLE, &read),
            Bound::equal("right proofs", &SAMPLE, &proved),
            Bound::equal("heights", &(HEIGHTS as usize), &stats.snapshots),
        ];
        let figures = vec![
            Figure::new("held", stats.held_bytes as f64, "bytes"),
            Figure::new("plain copies", stats.plain_bytes as f64, "bytes"),
            Figure::new("share of plain copies", share, "%"),
        ];
        Ok(Findings { bounds, figures, ..Findings::default() })
    }
}

/// The compressed heights, and all that every account ever was.
struct Heights {
    states: StateCompressor<Account>,
    accounts: Accounts,
    /// For each account, from which height on it was what.
    histories: HashMap<[u8; 32], Vec<(u32, Account)>>,
}

impl Heights {
    /// All accounts at height 0. Building them is preparation.
    fn new(accounts: Accounts) -> Result<Self, ScenarioError> {
        let states = accounts.sealed()?;
        let all = accounts.all.iter();
        let histories = all.map(|account| (account.key, vec![(0, account.clone())])).collect();
        Ok(Self { states, accounts, histories })
    }

    fn block(
        &mut self,
        height: u32,
        changes: u32,
        meter: &mut Meter<'_>,
    ) -> Result<(), ScenarioError> {
        let block = self.accounts.change(changes);
        for account in &block {
            self.histories.entry(account.key).or_default().push((height, account.clone()));
        }
        let _counted = meter.time(u64::from(changes), || {
            block.into_iter().for_each(|account| self.states.put(account));
            self.states.seal(BlockHeight(height)).map_err(|_error| "not_sealed")
        });
        meter.check_time()
    }

    /// A random account as it was at a random height.
    fn draw(&mut self) -> (Account, BlockHeight) {
        let height = below(&mut self.accounts.random, u64::from(HEIGHTS));
        let height = u32::try_from(height).unwrap_or(0);
        let key = self.accounts.draw_key();
        let history = self.histories.get(&key).map(Vec::as_slice).unwrap_or_default();
        let then = history.iter().rev().find(|(from, _)| *from <= height);
        let account = then.map_or_else(|| Account::blank(key), |(_, account)| account.clone());
        (account, BlockHeight(height))
    }

    fn read(&self, wanted: &Account, height: BlockHeight) -> Result<(), Class> {
        let got = self.states.get(&wanted.key, height).map_err(|_error| "not_read")?;
        if got.as_ref() == Some(wanted) { Ok(()) } else { Err(WRONG) }
    }
}

/// Makes the proof of an account at a height, and checks it as a stranger would: by the root.
pub(super) fn prove(
    states: &StateCompressor<Account>,
    wanted: &Account,
    height: BlockHeight,
) -> Result<(), Class> {
    let root = states.root(height).map_err(|_error| "no_root")?;
    let proof = states.prove(&wanted.key, height).map_err(|_error| "not_proved")?;
    match proof.verify(&root, &wanted.key, &states.salt()) {
        Ok(Verdict::Included(got)) if got == *wanted => Ok(()),
        Ok(Verdict::Included(_) | Verdict::Absent) => Err(WRONG),
        Err(_) => Err("proof_refused"),
    }
}

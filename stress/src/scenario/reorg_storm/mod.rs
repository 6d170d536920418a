//! Reorgs one after the other under a watched wallet that is paid and spends.

mod books;
mod told;

use bitcoin::{Amount, ScriptBuf, TxOut};
use ironlight::devnet::ledger::Branch;
use ironlight::events::Subscription;
use ironlight::store::{self, headers};
use ironlight::wallet::watch::{WatchRequest, WatchTarget};
use ironlight::{BlockHeight, ChainTip, Network, Node, Params};
use ironlight_spv::generate::Miner;
use ironlight_tests::{Signer, Spendable};

use self::books::Books;
use self::told::Told;
use super::chains::below;
use super::rig::{Rig, stopped_early, syncs};
use super::{About, Findings, Plan, Scenario, ScenarioError};
use crate::measure::{Class, Crowd, Meter};
use crate::report::{Bound, Figure};

/// Blocks that are there at first: the devnet's coins are mature below any reorg.
const BLOCKS: u32 = 150;
/// The deepest reorg.
const DEEPEST: u64 = 20;
/// Scripts that are paid: within the gap of what is watched.
const SCRIPTS: u32 = 16;
/// What a transaction of the wallet's pays to be mined, in satoshi.
const FEE: Amount = Amount::from_sat(1_000);
/// Of a reorg that was told with another fork point, or not as one.
const TOLD_WRONG: Class = "told_wrong";

/// Hundreds of reorgs of random depth.
#[derive(Clone, Copy, Debug)]
pub struct ReorgStorm;

impl Scenario for ReorgStorm {
    fn about(&self) -> About {
        About {
            name: "reorg-storm",
            does: "reorgs of 1 to 20 blocks, each as soon as the one before was told, under a wallet \
                   on disk that is paid and spends between them",
            operation: "a reorg",
            sample: "from the branch being mined to the event that tells of it",
            bound: "each reorg is told once, with its fork point, and events leave no gap; in the end \
                    balance, coins and history are the devnet's, and the store is whole",
            counts: "reorgs",
            usual: 200,
            range: (1, 5_000),
        }
    }

    fn run(&self, plan: &Plan, meter: &mut Meter<'_>) -> Result<Findings, ScenarioError> {
        let rig = Rig::start(plan.seed, BLOCKS)?;
        let mut config = Rig::config([rig.devnet().address()]);
        config.storage = rig.storage();
        let node = rig.node(config)?;
        let mut storm = Storm::new(&rig, &node, plan.seed);
        let crowd = meter.crowd();
        rig.within(crowd.remaining(), storm.begin())?;
        rig.within(crowd.remaining(), storm.rage(&crowd, plan.count))?;
        let began = crowd.now();
        rig.within(crowd.remaining(), storm.calm())?;
        let scanned = crowd.now().saturating_sub(began);
        let figures = vec![
            Figure::new("payments", storm.payments as f64, "transactions"),
            Figure::new("spends", storm.spends as f64, "transactions"),
            Figure::new("blocks left", storm.left as f64, "blocks"),
            Figure::new("wallet done after the last", scanned.as_secs_f64() * 1e3, "ms"),
        ];
        let mut bounds = storm.bounds(plan.count, meter.tally().failed());
        bounds.extend([rig.health(&node), rig.stop(node), check_store(&rig)]);
        Ok(Findings { bounds, figures, ..Findings::default() })
    }
}

struct Storm<'a> {
    rig: &'a Rig,
    node: &'a Node,
    random: Miner,
    signer: Signer,
    scripts: Vec<ScriptBuf>,
    events: Subscription,
    told: Told,
    payments: u64,
    spends: u64,
    /// Blocks that left the best chain.
    left: usize,
}

impl<'a> Storm<'a> {
    fn new(rig: &'a Rig, node: &'a Node, seed: u64) -> Self {
        let signer = Signer::new(7);
        let genesis = Params::new(Network::Regtest).genesis.hash();
        Self {
            rig,
            node,
            random: Miner::new(seed),
            scripts: (0..SCRIPTS).map(|index| signer.script(index)).collect(),
            signer,
            events: node.chain().subscribe_after(0),
            told: Told::new(genesis),
            payments: 0,
            spends: 0,
            left: 0,
        }
    }

    /// The wallet is watched, and the chain followed to where the storm begins.
    async fn begin(&mut self) -> Result<(), ScenarioError> {
        let target = WatchTarget::descriptor(&self.signer.descriptor(), Network::Regtest);
        let target = target.map_err(ScenarioError::preparing("a wallet"))?;
        let watched = self.node.wallet().watch(WatchRequest::new(target, BlockHeight(0))).await;
        watched.map_err(ScenarioError::preparing("a wallet"))?;
        let tip = self.rig.devnet().tip();
        syncs(self.node.chain(), tip).await?;
        self.hear_until(tip).await
    }

    async fn rage(&mut self, crowd: &Crowd<'_, '_>, count: u64) -> Result<(), ScenarioError> {
        for _ in 0..count {
            self.trade().await?;
            let depth = u32::try_from(1 + below(&mut self.random, DEEPEST)).unwrap_or(1);
            let branch = self.rig.devnet().reorg(depth).await;
            let branch = branch.map_err(ScenarioError::preparing("a reorg"))?;
            self.left += branch.disconnected.len();
            let (began, before) = (crowd.now(), self.told.reorgs);
            self.hear_until(self.rig.devnet().tip()).await?;
            crowd.note(began, 1, self.told_wrong(&branch, before));
        }
        Ok(())
    }

    fn told_wrong(&self, branch: &Branch, before: u64) -> Option<Class> {
        let once = self.told.reorgs == before + 1;
        let there = self.told.last_fork == Some(branch.fork_height);
        (!(once && there)).then_some(TOLD_WRONG)
    }

    /// Now and then a payment to the wallet or one of its own, and a block with it.
    async fn trade(&mut self) -> Result<(), ScenarioError> {
        let failed = "a payment";
        match below(&mut self.random, 4) {
            0 | 1 => {
                let script = usize::try_from(below(&mut self.random, u64::from(SCRIPTS)));
                let script = script.ok().and_then(|index| self.scripts.get(index).cloned());
                let amount = Amount::from_sat(20_000 + below(&mut self.random, 100_000));
                let paid = self.rig.devnet().pay(script.unwrap_or_default(), amount).await;
                paid.map_err(ScenarioError::preparing(failed))?;
                self.payments += 1;
            }
            2 => {
                let Some((coin, script)) = self.draw_coin() else { return Ok(()) };
                let value = coin.value.checked_sub(FEE).unwrap_or_default();
                let output = TxOut { value, script_pubkey: script };
                let spend = self.signer.spend(&[coin], vec![output]);
                let sent = self.rig.devnet().submit(spend).await;
                sent.map_err(ScenarioError::preparing(failed))?;
                self.spends += 1;
            }
            _ => return Ok(()),
        }
        let tip = self.rig.mine(1).await?;
        self.hear_until(tip).await
    }

    /// One of the wallet's coins, by the devnet's books, and where it goes: back into the wallet, or
    /// to nobody.
    fn draw_coin(&mut self) -> Option<(Spendable, ScriptBuf)> {
        let mut own: Vec<Spendable> = self.rig.devnet().read(|ledger| {
            let coins = ledger.coins().iter();
            let own = coins.filter_map(|(outpoint, coin)| {
                let output = &coin.output;
                let index = self.scripts.iter().position(|own| *own == output.script_pubkey)?;
                let index = u32::try_from(index).ok()?;
                Some(Spendable { outpoint: *outpoint, value: output.value, index })
            });
            own.collect()
        });
        let draw = usize::try_from(below(&mut self.random, own.len() as u64)).ok()?;
        let coin = (draw < own.len()).then(|| own.swap_remove(draw))?;
        // Enough for another fee.
        if coin.value < FEE * 4 {
            return None;
        }
        let next = below(&mut self.random, u64::from(SCRIPTS) * 2);
        let own = usize::try_from(next).ok().and_then(|next| self.scripts.get(next).cloned());
        Some((coin, own.unwrap_or_else(|| self.signer.script(1_000))))
    }

    fn books(&self) -> Books {
        self.rig.devnet().read(|ledger| Books::of_ledger(ledger, &self.scripts))
    }

    /// Hears all events until one tells of a tip.
    async fn hear_until(&mut self, tip: ChainTip) -> Result<(), ScenarioError> {
        while self.told.tip() != Some(&tip.hash) {
            match self.events.next().await {
                Ok(Some(heard)) => {
                    let told = &mut self.told;
                    self.rig.devnet().read(|ledger| told.hear(ledger.tree(), &heard.event));
                }
                Ok(None) => return Err(stopped_early(ironlight::chain::Stopped)),
                Err(_lagged) => self.told.gaps += 1,
            }
        }
        Ok(())
    }

    /// Until the wallet was looked for up to the last tip.
    async fn calm(&self) -> Result<(), ScenarioError> {
        let tip = self.rig.devnet().tip().hash;
        let done = self
            .node
            .wallet()
            .when(|status| status.synced && status.tip.is_some_and(|block| block.hash == tip));
        done.await.map(drop).map_err(stopped_early)
    }

    fn bounds(&self, count: u64, wrong: u64) -> Vec<Bound> {
        let tip = self.rig.devnet().tip().hash;
        let mut bounds = vec![
            Bound::equal("reorgs told", &count, &self.told.reorgs),
            Bound::equal("told otherwise than made", &0, &wrong),
            Bound::equal("gaps between events", &0, &self.told.gaps),
            Bound::equal("tip", &tip, &self.node.chain().tip().hash),
        ];
        bounds.extend(self.books().bounds(self.node));
        bounds
    }
}

/// What `ironlight store check` looks at: the database opened without damage, every value is whole,
/// every header valid up to the devnet's tip.
fn check_store(rig: &Rig) -> Bound {
    let options = store::Options { dir: rig.network_dir(), backend: None, now: 1 };
    let checked = store::open(options).and_then(|opened| {
        store::check_values(opened.store.as_ref())?;
        let loaded = headers::read(opened.store.as_ref(), &Params::new(Network::Regtest))?;
        Ok((opened.notes.len(), loaded))
    });
    let tip = rig.devnet().tip();
    let (got, met) = match checked {
        Ok((0, Some(loaded))) if loaded.cut.is_none() => {
            (loaded.chain.tip().to_string(), loaded.chain.tip() == tip)
        }
        Ok((notes, Some(loaded))) => (format!("{notes} notes, cut: {:?}", loaded.cut), false),
        Ok((_, None)) => ("no headers".to_owned(), false),
        Err(error) => (error.to_string(), false),
    };
    Bound::judged("store check", &format_args!("whole up to {tip}"), &got, met)
}

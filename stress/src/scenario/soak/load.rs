//! What goes on around the node, all of it at a fixed rate.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::path::PathBuf;

use bitcoin::Amount;
use ironlight::api::TipDto;
use ironlight::api::client::get;
use ironlight::net::swarm::LightNetConfig;
use ironlight::{Node, NodeConfig};
use ironlight_spv::generate::Miner;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use super::super::ScenarioError;
use super::super::chains::below;
use super::super::rig::{Rig, class_of};
use super::books::{self, Books};
use super::line::Line;
use super::node::Standing;
use super::process::Process;
use super::system;
use super::watched::{SAMPLES, Sample, Watched};
use crate::measure::{Class, Crowd};

/// Between two blocks; each tenth is a reorg, each third comes after a payment.
const BLOCK: Duration = Duration::from_secs(2);
const REORG: u64 = 10;
const PAYMENT: u64 = 3;
/// The deepest reorg.
const DEEPEST: u64 = 3;
/// Between two requests at the control socket.
const REQUEST: Duration = Duration::from_millis(50);
/// Between two visits of light nodes, each of which stays until it has the chain.
const VISIT: Duration = Duration::from_secs(5);
/// Between two cuts, of one line and then of the other. A peer that the user named is dialled again
/// within 60 s, however often it was cut off, so that one line is always there.
const CUT: Duration = Duration::from_secs(90);
/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(20);
/// A block is followed within so long, and a light node has the chain.
pub(super) const FOLLOWED: Duration = Duration::from_secs(10);
/// The wallet is where the chain is within so long after the last block.
const SETTLED: Duration = Duration::from_secs(60);

/// The node had a block too late.
const STALL: Class = "block_not_followed";
/// A light node did not get the chain in time.
const LATE: Class = "light_node_late";
/// A light node did not start or stop as it should.
const NO_LIGHT_NODE: Class = "light_node_failed";

/// The load, and what it has seen.
pub(super) struct Load<'a, 'm> {
    pub(super) rig: &'a Rig,
    pub(super) crowd: Crowd<'a, 'm>,
    pub(super) lines: &'a [Line],
    pub(super) process: &'a Process,
    pub(super) length: Duration,
    pub(super) seed: u64,
    pub(super) watched: RefCell<Watched>,
    pub(super) done: Done,
    /// The longest that a block was waited for since the last look.
    pub(super) slowest: Cell<Duration>,
}

/// How much was done.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) blocks: Cell<u64>,
    pub(super) reorgs: Cell<u64>,
    pub(super) payments: Cell<u64>,
    pub(super) visits: Cell<u64>,
    pub(super) cuts: Cell<u64>,
    pub(super) requests: Cell<u64>,
    pub(super) slowest_block: Cell<Duration>,
}

/// The node does not answer any more: when, and what was heard instead.
#[derive(Debug, thiserror::Error)]
#[error("gone after {after:.1?}: {heard}")]
pub(super) struct NodeGone {
    after: Duration,
    heard: String,
}

/// Why the load ended before its time.
enum Interrupted {
    Node(NodeGone),
    Around(ScenarioError),
}

impl From<ScenarioError> for Interrupted {
    fn from(error: ScenarioError) -> Self {
        Self::Around(error)
    }
}

fn one_more(count: &Cell<u64>) -> u64 {
    count.set(count.get() + 1);
    count.get()
}

/// Ticks at a rate; what was missed is not made up for.
fn paced(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

impl Load<'_, '_> {
    /// All of it until the time is over, and then until the wallet is where the chain is: what the node
    /// has in its books then, or that it has gone.
    pub(super) async fn run(&self) -> Result<Result<Books, NodeGone>, ScenarioError> {
        match self.to_the_end().await {
            Ok(told) => Ok(Ok(told)),
            Err(Interrupted::Node(gone)) => Ok(Err(gone)),
            Err(Interrupted::Around(error)) => Err(error),
        }
    }

    async fn to_the_end(&self) -> Result<Books, Interrupted> {
        tokio::try_join!(self.mine(), self.ask(), self.visit(), self.cut(), self.look())?;
        let settled = timeout(SETTLED, self.settle()).await;
        // Where it is not, the wallet's bounds say so.
        settled.unwrap_or(Ok(()))?;
        Books::of_node(&self.directory()).await.map_err(|error| self.gone(&error))
    }

    fn gone(&self, heard: &dyn core::error::Error) -> Interrupted {
        Interrupted::Node(NodeGone { after: self.crowd.now(), heard: heard.to_string() })
    }

    async fn standing(&self) -> Result<Standing, Interrupted> {
        self.process.look().await.map_err(|error| self.gone(&error))
    }

    fn goes_on(&self) -> bool {
        self.crowd.now() < self.length
    }

    fn directory(&self) -> PathBuf {
        self.rig.network_dir()
    }

    /// Blocks, payments and reorgs; each is waited for.
    async fn mine(&self) -> Result<(), Interrupted> {
        let (mut ticks, mut random) = (paced(BLOCK), Miner::new(self.seed));
        let failed = ScenarioError::preparing::<ironlight::devnet::DevnetError>;
        while self.goes_on() {
            ticks.tick().await;
            let number = one_more(&self.done.blocks);
            let devnet = self.rig.devnet();
            if number.is_multiple_of(PAYMENT) {
                let amount = Amount::from_sat(20_000 + below(&mut random, 100_000));
                devnet.pay(books::watched(), amount).await.map_err(failed("a payment"))?;
                one_more(&self.done.payments);
            }
            if number.is_multiple_of(REORG) {
                let depth = u32::try_from(1 + below(&mut random, DEEPEST)).unwrap_or(1);
                devnet.reorg(depth).await.map_err(failed("a reorg"))?;
                one_more(&self.done.reorgs);
            } else {
                devnet.mine(1).await.map_err(failed("a block"))?;
            }
            self.follow().await;
        }
        Ok(())
    }

    /// Until the node has the devnet's tip.
    async fn follow(&self) {
        let (began, mut ticks) = (self.crowd.now(), paced(LOOK));
        let (tip, directory) = (self.rig.devnet().tip().hash.to_string(), self.directory());
        let there = timeout(FOLLOWED, async {
            loop {
                ticks.tick().await;
                match get::<TipDto>(&directory, "/v1/tip").await {
                    Ok(TipDto { hash, .. }) if hash == tip => return Ok(()),
                    Ok(_) => {}
                    Err(error) => return Err(class_of(&error)),
                }
            }
        });
        let failed = there.await.unwrap_or(Err(STALL)).err();
        let took = self.crowd.now().saturating_sub(began);
        self.crowd.note(began, 1, failed);
        self.slowest.set(self.slowest.get().max(took));
        self.done.slowest_block.set(self.done.slowest_block.get().max(took));
    }

    /// Requests of all kinds, one after the other.
    async fn ask(&self) -> Result<(), Interrupted> {
        let (mut ticks, mut random) = (paced(REQUEST), Miner::new(self.seed.wrapping_add(1)));
        let directory = self.directory();
        while self.goes_on() {
            ticks.tick().await;
            let height = below(&mut random, u64::from(self.rig.devnet().tip().height.0));
            let path = match below(&mut random, 8) {
                0 | 1 => "/v1/tip".to_owned(),
                2 => "/v1/status".to_owned(),
                3 => "/v1/peers".to_owned(),
                4 => "/v1/health".to_owned(),
                5 => "/v1/balance".to_owned(),
                6 => "/v1/history?limit=10".to_owned(),
                _ => format!("/v1/headers/{}", height.saturating_sub(DEEPEST)),
            };
            let asked = async {
                let answer = get::<serde_json::Value>(&directory, &path).await;
                answer.map(drop).map_err(|error| class_of(&error))
            };
            let _counted = self.crowd.time(1, asked).await;
            one_more(&self.done.requests);
        }
        Ok(())
    }

    /// Light nodes that come, fetch the chain, and go.
    async fn visit(&self) -> Result<(), Interrupted> {
        let mut ticks = paced(VISIT);
        while self.goes_on() {
            ticks.tick().await;
            let standing = self.standing().await?;
            let Some(peer) = standing.listening.first() else { continue };
            let visit =
                async { timeout(FOLLOWED, self.one_visit(peer)).await.unwrap_or(Err(LATE)) };
            let _counted = self.crowd.time(1, visit).await;
            one_more(&self.done.visits);
        }
        Ok(())
    }

    async fn one_visit(&self, peer: &str) -> Result<(), Class> {
        let peer = peer.parse().map_err(|_not_an_address| NO_LIGHT_NODE)?;
        let libp2p =
            LightNetConfig { peers: vec![peer], allow_private: true, ..LightNetConfig::default() };
        let config = NodeConfig { libp2p: Some(libp2p), ..Rig::config([]) };
        let node = Box::pin(Node::start(config)).await.map_err(|_refused| NO_LIGHT_NODE)?;
        let work = self.rig.devnet().tip().work;
        let there = node.chain().when(|status| status.tip.work >= work).await;
        let there = there.map(drop).map_err(|_stopped| NO_LIGHT_NODE);
        let stopped = node.stop().await.map_err(|_failed| NO_LIGHT_NODE);
        there.and(stopped)
    }

    /// The lines to the full node, in turn.
    async fn cut(&self) -> Result<(), Interrupted> {
        let mut ticks = paced(CUT);
        ticks.tick().await;
        for line in self.lines.iter().cycle() {
            let left = self.length.saturating_sub(self.crowd.now());
            if timeout(left, ticks.tick()).await.is_err() {
                break;
            }
            line.cut();
            one_more(&self.done.cuts);
        }
        Ok(())
    }

    /// Looks at the process.
    async fn look(&self) -> Result<(), Interrupted> {
        let mut ticks = paced((self.length / SAMPLES).max(Duration::from_millis(100)));
        while self.goes_on() {
            ticks.tick().await;
            let standing = self.standing().await?;
            let system = system::of(self.process.id());
            self.watched.borrow_mut().push(Sample {
                at: self.crowd.now(),
                allocated: standing.allocated as f64,
                resident: system.resident,
                tasks: standing.tasks as f64,
                files: system.files,
                slowest_block: self.slowest.replace(Duration::ZERO).as_secs_f64(),
            });
        }
        Ok(())
    }

    async fn settle(&self) -> Result<(), Interrupted> {
        let (mut ticks, directory) = (paced(LOOK), self.directory());
        loop {
            ticks.tick().await;
            let done = books::is_done(&directory, self.rig.devnet()).await;
            if done.map_err(|error| self.gone(&error))? {
                return Ok(());
            }
        }
    }
}

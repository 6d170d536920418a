//! Many clients at once at a node's control socket.
//!
//! Through the real socket and the client code that `ironlight status` uses, since the limits are
//! there and not in the router: 64 clients are served at once, the others wait in the kernel's
//! queue, and each client gives up after its deadline.

mod ask;

use core::time::Duration;

use futures_util::future::join_all;
use ironlight::Node;
use ironlight::api::socket::MAX_CLIENTS;
use ironlight_spv::generate::Miner;
use tokio::sync::watch;

use self::ask::{Ask, Truth};
use super::rig::{Quiet, Rig, reaches, syncs};
use super::{About, Findings, Plan, Scenario, ScenarioError};
use crate::measure::{Crowd, Meter};
use crate::report::{Bound, Figure, Latency};

/// Four times as many as are served at once.
const CLIENTS: u64 = 4 * MAX_CLIENTS as u64;
/// Blocks that are there at first.
const BLOCKS: u32 = 300;
/// Blocks that are mined while the burst goes on.
const NEWS: u32 = 8;
/// No answer takes longer: the client would give up after 10 s.
const LONGEST: Duration = Duration::from_secs(5);
/// Nor do 99 of 100.
const P99: Duration = Duration::from_secs(1);
/// What the burst takes above the node at rest, both ends of the sockets together, in bytes.
const MEMORY: u64 = 32_000_000;

/// Reads of all kinds by more clients than a node serves at once.
#[derive(Clone, Copy, Debug)]
pub struct ApiBurst;

impl Scenario for ApiBurst {
    fn about(&self) -> About {
        About {
            name: "api-burst",
            does: "256 clients at once, four times as many as are served, read status, tip, \
                   headers, peers and health over a node's control socket while it follows blocks",
            operation: "a request, answered or not",
            sample: "a request from connecting to its whole answer, waiting counted",
            bound: "every request has the right answer; none takes more than 5 s, 99 % at most 1 s; \
                    8 blocks are followed meanwhile; 32 MB at most above the node at rest",
            counts: "requests",
            usual: 10_000,
            range: (256, 1_000_000),
        }
    }

    fn run(&self, plan: &Plan, meter: &mut Meter<'_>) -> Result<Findings, ScenarioError> {
        let rig = Rig::start(plan.seed, BLOCKS)?;
        let mut config = Rig::config([rig.devnet().address()]);
        config.storage = rig.storage();
        let mut node = rig.node(config)?;
        rig.within(meter.remaining(), syncs(node.chain(), rig.devnet().tip()))?;
        rig.open_control_socket(&mut node)?;
        let quiet = Quiet::now(meter);
        let burst = Burst { rig: &rig, node: &node, plan };
        let crowd = meter.crowd();
        let slowest = rig.within(crowd.remaining(), burst.run(&crowd))?;
        let latency = Latency::of(meter.tally());
        let [longest, p99] = [latency.max_ns, latency.p99_ns].map(Duration::from_nanos);
        let mut bounds = vec![
            Bound::equal("requests", &plan.count, &meter.tally().operations),
            Bound::equal("wrong or no answers", &0, &meter.tally().failed()),
            Bound::within("longest answer", LONGEST, longest),
            Bound::within("99 % of answers", P99, p99),
            Bound::equal("tip", &rig.devnet().tip().hash, &node.chain().tip().hash),
        ];
        bounds.extend(quiet.map(|quiet| quiet.at_most(MEMORY)));
        bounds.extend([rig.health(&node), rig.stop(node)]);
        let slowest = Figure::new("slowest block followed", slowest.as_secs_f64() * 1e3, "ms");
        Ok(Findings { bounds, figures: vec![slowest], ..Findings::default() })
    }
}

/// The clients, and who mines beside them.
struct Burst<'a> {
    rig: &'a Rig,
    node: &'a Node,
    plan: &'a Plan,
}

impl Burst<'_> {
    /// All requests; how long it took at most until the node had a new block.
    async fn run(&self, crowd: &Crowd<'_, '_>) -> Result<Duration, ScenarioError> {
        let done = watch::Sender::new(0);
        let truth = Truth {
            directory: self.rig.network_dir(),
            devnet: self.rig.devnet(),
            chain: self.node.chain(),
        };
        let clients = (0..CLIENTS).map(|number| self.client(number, &truth, crowd, &done));
        let (_, slowest) = tokio::join!(join_all(clients), self.mine(crowd, done.subscribe()));
        slowest
    }

    /// One request after the other, each over a connection of its own, as the command line has it.
    async fn client(
        &self,
        number: u64,
        truth: &Truth<'_>,
        crowd: &Crowd<'_, '_>,
        done: &watch::Sender<u64>,
    ) {
        let mut random = Miner::new(self.plan.seed.wrapping_add(number));
        let count = self.plan.count;
        let share = count / CLIENTS + u64::from(number < count % CLIENTS);
        for _ in 0..share {
            let ask = Ask::draw(&mut random, BLOCKS);
            let _counted = crowd.time(1, truth.ask(ask)).await;
            done.send_modify(|done| *done += 1);
        }
    }

    /// Blocks at equal distances of the burst, each once the node has the one before.
    async fn mine(
        &self,
        crowd: &Crowd<'_, '_>,
        mut done: watch::Receiver<u64>,
    ) -> Result<Duration, ScenarioError> {
        let mut slowest = Duration::ZERO;
        for number in 0..NEWS {
            let due = self.plan.count * u64::from(number) / u64::from(NEWS);
            // Whoever counts is there until this ends.
            let _ = done.wait_for(|done| *done >= due).await;
            let tip = self.rig.mine(1).await?;
            let began = crowd.now();
            reaches(self.node.chain(), tip).await?;
            slowest = slowest.max(crowd.now().saturating_sub(began));
        }
        Ok(slowest)
    }
}

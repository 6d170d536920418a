//! More light nodes than a node lets in, and requests beyond what it allows.

mod caller;

use core::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream;
use ironlight::net::swarm::{LightNetConfig, MAX_INBOUND, Multiaddr};
use ironlight::net::{Direction, PeerNetwork};
use ironlight::{Node, NodeConfig};
use ironlight_tests::free_port;

use self::caller::{Asked, BUSY, Caller, Manner, THROWN_OUT, UNANSWERED};
use super::chains::WRONG;
use super::rig::{Quiet, Rig, reaches, syncs};
use super::{About, Findings, Plan, Scenario, ScenarioError};
use crate::measure::{Crowd, Meter};
use crate::report::{Bound, Figure};

/// Blocks that there are to be asked for.
const BLOCKS: u32 = 200;
/// Callers that are there before the honest one: it has to find a place.
const EARLY: u64 = 64;
/// Callers that knock at the same time: fewer than the handshakes that a node has under way, so
/// that the limit of connections is what refuses.
const KNOCKING: usize = 24;
/// What the node takes above its quiet level, for each caller with the caller's own side, and for
/// what it answers: in bytes.
const MEMORY: (u64, u64) = (200_000, 32_000_000);
/// Pages that the allowance grows by in a second, rounded up (docs/PROTOCOL.md, Limits of a server).
const PAGES_A_SECOND: u64 = 13;
/// Pages that it begins with.
const PAGES: u64 = 250;

/// A flood of callers, most of them modest, some greedy, some offenders.
#[derive(Clone, Copy, Debug)]
pub struct PeerFlood {
    /// Whether the node keeps to its allowances, which it does unless it is told not to.
    pub guarded: bool,
}

impl Default for PeerFlood {
    fn default() -> Self {
        Self { guarded: true }
    }
}

impl Scenario for PeerFlood {
    fn about(&self) -> About {
        About {
            name: "peer-flood",
            does: "light nodes call a node, more than it lets in; most ask a little, with invalid \
                   requests among it, one in 16 far beyond its allowance, one in 16 what costs the \
                   connection; an honest one syncs from the same node",
            operation: "a call or a request, refused or not",
            sample: "a call until it is let in or not, or a request until its answer",
            bound: "128 connections at most; the honest node follows the tip; who asks too much is \
                    told to wait, offenders are thrown out; no other answer is wrong or missing; a \
                    newcomer is let in afterwards; at most 32 MB and 0.2 MB a caller",
            counts: "callers",
            usual: 300,
            range: (16, 1_000),
        }
    }

    fn run(&self, plan: &Plan, meter: &mut Meter<'_>) -> Result<Findings, ScenarioError> {
        let rig = Rig::start(plan.seed, BLOCKS)?;
        let address = format!("/ip4/127.0.0.1/tcp/{}", free_port());
        let place = address.parse().map_err(ScenarioError::preparing("an address"))?;
        let mut config = Rig::config([rig.devnet().address()]);
        config.libp2p = Some(LightNetConfig {
            listen: vec![place],
            serve: true,
            allow_private: true,
            ..LightNetConfig::default()
        });
        let node = rig.node(config)?;
        rig.within(meter.remaining(), self.prepare(&rig, &node))?;
        let quiet = Quiet::now(meter);
        let flood = Flood { rig: &rig, node: &node, address, plan };
        let crowd = meter.crowd();
        let found = rig.within(crowd.remaining(), flood.run(&crowd))?;
        let mut bounds = found.bounds(meter);
        let (each, all) = MEMORY;
        bounds.extend(quiet.map(|quiet| quiet.at_most(all + each * plan.count)));
        bounds.push(rig.health(&node));
        bounds.push(rig.stop(node));
        let figures = vec![
            Figure::new("let in", found.asked.len() as f64, "callers"),
            Figure::new("honest node synced in", found.synced.as_secs_f64() * 1e3, "ms"),
            Figure::new("most connections", f64::from(found.connections), "callers"),
        ];
        Ok(Findings { bounds, figures, ..Findings::default() })
    }
}

impl PeerFlood {
    async fn prepare(&self, rig: &Rig, node: &Node) -> Result<(), ScenarioError> {
        syncs(node.chain(), rig.devnet().tip()).await?;
        if !self.guarded {
            let turned = node.flags().turn("hardening", false, "ironlight-stress").await;
            turned.map_err(ScenarioError::preparing("a node without allowances"))?;
        }
        Ok(())
    }
}

struct Flood<'a> {
    rig: &'a Rig,
    node: &'a Node,
    /// Where the node listens.
    address: String,
    plan: &'a Plan,
}

/// What came of it.
struct Found {
    asked: Vec<Asked>,
    /// The most callers that were connected.
    connections: u32,
    /// How long the honest node took.
    synced: Duration,
    /// How long all took.
    took: Duration,
    /// Whether the honest node kept its connection.
    honest_kept: bool,
}

impl Flood<'_> {
    async fn run(&self, crowd: &Crowd<'_, '_>) -> Result<Found, ScenarioError> {
        let (began, early) = (crowd.now(), EARLY.min(self.plan.count));
        let mut callers = self.knock(0..early, crowd).await;
        let (mut asked, honest) = tokio::join!(self.ask(&callers, crowd), self.honest(crowd));
        let (honest, synced) = honest?;
        let late = self.knock(early..self.plan.count, crowd).await;
        let full = self.callers().await;
        let (more, news) = tokio::join!(self.ask(&late, crowd), self.news(&honest));
        news?;
        asked.extend(more);
        let connections = full.max(self.callers().await);
        let honest_kept = honest.chain().status().peers.len() == 1;
        callers.extend(late);
        drop(callers);
        self.newcomer(crowd).await;
        honest.stop().await.map_err(ScenarioError::preparing("the honest node"))?;
        let took = crowd.now().saturating_sub(began);
        Ok(Found { asked, connections, synced, took, honest_kept })
    }

    /// Those of the callers who are let in.
    async fn knock(&self, numbers: core::ops::Range<u64>, crowd: &Crowd<'_, '_>) -> Vec<Caller> {
        let knock = |number| Caller::knock(&self.address, number, crowd);
        let callers = stream::iter(numbers).map(knock).buffer_unordered(KNOCKING);
        callers.filter_map(core::future::ready).collect().await
    }

    /// All of them at once, each one request after the other.
    async fn ask(&self, callers: &[Caller], crowd: &Crowd<'_, '_>) -> Vec<Asked> {
        let callers = callers.iter();
        join_all(callers.map(|caller| caller.ask(self.plan.seed, BLOCKS, crowd))).await
    }

    /// A light node of ours that knows this node only, and how long it takes to have its chain.
    async fn honest(&self, crowd: &Crowd<'_, '_>) -> Result<(Node, Duration), ScenarioError> {
        let began = crowd.now();
        let peer: Multiaddr =
            self.address.parse().map_err(ScenarioError::preparing("an address"))?;
        let libp2p = LightNetConfig { peers: vec![peer], ..LightNetConfig::default() };
        let config = NodeConfig { libp2p: Some(libp2p), ..Rig::config([]) };
        let honest = Node::start(config).await.map_err(ScenarioError::preparing("a light node"))?;
        reaches(honest.chain(), self.rig.devnet().tip()).await?;
        Ok((honest, crowd.now().saturating_sub(began)))
    }

    /// A block, which both nodes have soon.
    async fn news(&self, honest: &Node) -> Result<(), ScenarioError> {
        let tip = self.rig.mine(1).await?;
        reaches(self.node.chain(), tip).await?;
        reaches(honest.chain(), tip).await
    }

    /// Callers that are connected.
    async fn callers(&self) -> u32 {
        let reports = self.node.networks().await;
        let light = reports.iter().filter(|report| report.network == PeerNetwork::LibP2p);
        let peers = light.flat_map(|report| &report.peers);
        let callers = peers.filter(|peer| peer.direction == Direction::Inbound).count();
        u32::try_from(callers).unwrap_or(u32::MAX)
    }

    /// Places are free again once the node has seen the callers go: one that knocks until it is let
    /// in waits for just that.
    async fn newcomer(&self, crowd: &Crowd<'_, '_>) {
        while Caller::knock(&self.address, u64::MAX, crowd).await.is_none() {}
    }
}

impl Found {
    fn bounds(&self, meter: &Meter<'_>) -> Vec<Bound> {
        let of = |manner| self.asked.iter().filter(move |asked| asked.manner == manner);
        let (greedy, offenders) = (of(Manner::Greedy).count(), of(Manner::Offender).count());
        let told = of(Manner::Greedy).filter(|asked| asked.refused == Some(BUSY)).count();
        let thrown = of(Manner::Offender).filter(|asked| asked.refused == Some(THROWN_OUT)).count();
        let granted = of(Manner::Greedy).map(|asked| asked.granted).max().unwrap_or(0);
        let allowed = PAGES + PAGES_A_SECOND * (self.took.as_secs() + 1);
        let errors = &meter.tally().errors;
        let wrong = |class| errors.get(class).copied().unwrap_or(0);
        vec![
            Bound::at_most("connections", &MAX_INBOUND, &self.connections, ""),
            Bound::equal("wrong answers", &0, &wrong(WRONG)),
            Bound::equal("requests without an answer", &0, &wrong(UNANSWERED)),
            Bound::equal("greedy callers told to wait", &greedy, &told),
            Bound::at_most("pages granted to one", &allowed, &granted, ""),
            Bound::equal("offenders thrown out", &offenders, &thrown),
            Bound::equal("the honest node keeps its connection", &true, &self.honest_kept),
        ]
    }
}

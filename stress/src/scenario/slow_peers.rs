//! Header sync from full nodes that are slow, silent or far away.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use ironlight::events::{NodeEvent, Subscription};
use ironlight::hardening::circuit_breaker::BreakerConfig;
use ironlight::net::RequestConfig;
use ironlight::spv::sync::SyncConfig;
use ironlight::{BlockHash, Node, NodeConfig};
use ironlight_spv::generate::Miner;
use ironlight_spv::{Header, Network, Params};
use ironlight_tests::{Behaviour, FakeNode, Wire};

use super::rig::{Rig, stopped_early};
use super::{About, Findings, Plan, Scenario, ScenarioError};
use crate::measure::{Crowd, Meter};
use crate::report::{Bound, Figure};

/// How long the node waits for an answer here: a twenty-fifth of what it does, and all other times
/// with it, so that a minute's patience takes seconds.
const PATIENCE: Duration = Duration::from_millis(800);
/// How far away the good peer is, one way: its handshake is done after everybody else's, so that
/// others are asked first.
const FAR: Duration = Duration::from_millis(100);
/// How far the others are.
const NEAR: Duration = Duration::from_millis(5);
/// Bytes a second over which a message of 2,000 headers takes ten times the patience.
const SLOW: u64 = 20_000;
/// The same for half as long again as the patience.
const LATE: u64 = 130_000;

/// A chain from peers of which one is good, then from peers that are all late.
#[derive(Clone, Copy, Debug)]
pub struct SlowPeers {
    /// What the sync does against them; tests leave defences out.
    pub sync: SyncConfig,
}

impl Default for SlowPeers {
    /// With all defences, and short times.
    fn default() -> Self {
        let sync = SyncConfig {
            request_timeout: PATIENCE,
            retry_after: PATIENCE / 8,
            second_opinion_after: PATIENCE / 2,
            silence: PATIENCE,
            reask_unsynced: PATIENCE,
            ..SyncConfig::default()
        };
        Self { sync }
    }
}

impl Scenario for SlowPeers {
    fn about(&self) -> About {
        About {
            name: "slow-peers",
            does: "a node syncs headers from six full nodes, of which two are silent, three slow and \
                   one good but far away; then another one from four that are all late",
            operation: "a header that arrived",
            sample: "the time from one message of headers that was taken in to the next",
            bound: "both reach the tip; a stall is told and moved, only those who stall are said to; no \
                    peer is let go",
            counts: "headers",
            usual: 6_000,
            range: (2_000, 100_000),
        }
    }

    fn run(&self, plan: &Plan, meter: &mut Meter<'_>) -> Result<Findings, ScenarioError> {
        let rig = Rig::start(plan.seed, 0)?;
        let count = usize::try_from(plan.count).unwrap_or(usize::MAX);
        let genesis = Params::new(Network::Regtest).genesis;
        let chain = Miner::new(plan.seed).run(&genesis, count, 600);
        let mut findings = Findings::default();
        for (name, peers) in
            [("one good", Peers::one_good(&chain)), ("all late", Peers::all_late(&chain))]
        {
            let node = rig.node(self.config(&peers))?;
            let crowd = meter.crowd();
            let heard = rig.within(crowd.remaining(), hear(&node, &chain, &crowd))?;
            findings.bounds.extend(heard.bounds(name, plan.count, &peers));
            findings.bounds.push(rig.stop(node));
            findings.figures.extend([
                Figure::new(&format!("{name}: synced in"), heard.took.as_secs_f64() * 1e3, "ms"),
                Figure::new(&format!("{name}: stalls"), heard.stalls as f64, "times"),
            ]);
        }
        Ok(findings)
    }
}

impl SlowPeers {
    fn config(&self, peers: &Peers) -> NodeConfig {
        let requests = RequestConfig {
            attempt_timeout: PATIENCE * 9 / 10,
            breaker: BreakerConfig {
                open_for: PATIENCE,
                open_at_most: PATIENCE,
                ..RequestConfig::default().breaker
            },
            ..RequestConfig::default()
        };
        NodeConfig { sync: self.sync, requests, ..Rig::config(peers.addresses()) }
    }
}

/// Full nodes, and the lines to them.
struct Peers {
    nodes: Vec<FakeNode>,
    lines: Vec<Wire>,
    /// Where the good one is.
    good: Option<SocketAddr>,
}

impl Peers {
    fn one_good(chain: &[Header]) -> Self {
        let mut peers = Self { nodes: Vec::new(), lines: Vec::new(), good: None };
        for _ in 0..2 {
            peers.add(FakeNode::start(Behaviour::Silent, Vec::new()), 0, NEAR);
        }
        for _ in 0..3 {
            peers.add(FakeNode::start(Behaviour::Honest, chain.to_vec()), SLOW, NEAR);
        }
        let good = peers.add(FakeNode::start(Behaviour::Honest, chain.to_vec()), 0, FAR);
        peers.good = Some(good);
        peers
    }

    fn all_late(chain: &[Header]) -> Self {
        let mut peers = Self { nodes: Vec::new(), lines: Vec::new(), good: None };
        for _ in 0..4 {
            peers.add(FakeNode::start(Behaviour::Honest, chain.to_vec()), LATE, NEAR);
        }
        peers
    }

    fn add(&mut self, node: FakeNode, bytes_per_second: u64, delay: Duration) -> SocketAddr {
        let line = Wire::slow(node.address(), bytes_per_second, delay);
        let address = line.address();
        self.nodes.push(node);
        self.lines.push(line);
        address
    }

    fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.lines.iter().map(Wire::address)
    }
}

/// What a node told on its way.
#[derive(Debug, Default)]
struct Heard {
    /// Until it had the chain.
    took: Duration,
    headers: u64,
    stalls: u64,
    /// Peers that left, and reorgs, which this chain has none of.
    unwanted: u64,
    /// Where each peer is.
    joined: BTreeMap<u64, String>,
    stalled: BTreeSet<u64>,
}

/// Hears a node until it has the chain and a stall was told.
async fn hear(
    node: &Node,
    chain: &[Header],
    crowd: &Crowd<'_, '_>,
) -> Result<Heard, ScenarioError> {
    let tip: Option<BlockHash> = chain.last().map(Header::hash);
    let began = crowd.now();
    let (mut heard, mut since) = (Heard::default(), began);
    let mut events = node.chain().subscribe_after(0);
    while Some(node.chain().tip().hash) != tip || heard.headers < chain.len() as u64 {
        let event = next_of(&mut events).await?;
        if let NodeEvent::TipExtended { connected, .. } = event {
            heard.headers += u64::from(connected);
            crowd.note(since, u64::from(connected), None);
            since = crowd.now();
        } else {
            heard.take(event);
        }
    }
    heard.took = crowd.now().saturating_sub(began);
    // Where a second opinion was faster than the first peer's deadline, the stall is still to come.
    let stall = async {
        while heard.stalls == 0 {
            heard.take(next_of(&mut events).await?);
        }
        Ok::<_, ScenarioError>(())
    };
    // Whether it came is for the bounds to say.
    tokio::time::timeout(PATIENCE * 10, stall).await.unwrap_or(Ok(()))?;
    Ok(heard)
}

async fn next_of(events: &mut Subscription) -> Result<NodeEvent, ScenarioError> {
    let next = events.next().await.map_err(ScenarioError::preparing("a node"))?;
    next.map(|next| next.event).ok_or_else(|| stopped_early(ironlight::chain::Stopped))
}

impl Heard {
    fn take(&mut self, event: NodeEvent) {
        if let NodeEvent::PeerJoined { peer, address } = event {
            self.joined.insert(peer, address);
        } else if let NodeEvent::Stalled { peer } = event {
            self.stalls += 1;
            self.stalled.insert(peer);
        } else if matches!(event, NodeEvent::PeerLeft { .. } | NodeEvent::Reorg { .. }) {
            self.unwanted += 1;
        }
    }

    fn bounds(&self, name: &str, count: u64, peers: &Peers) -> Vec<Bound> {
        let of = |what: &str| format!("{name}: {what}");
        let most = peers.nodes.iter().map(FakeNode::connections).max().unwrap_or(0);
        let mut bounds = vec![
            Bound::equal(&of("headers"), &count, &self.headers),
            Bound::at_least(&of("stalls that were told"), &1, &self.stalls, ""),
            Bound::equal(&of("peers let go, and reorgs"), &0, &self.unwanted),
            Bound::at_most(&of("connections to a peer"), &1, &most, ""),
        ];
        if let Some(good) = peers.good.map(|address| address.to_string()) {
            let wronged = self.stalled.iter().filter(|peer| self.joined.get(peer) == Some(&good));
            bounds.push(Bound::equal(&of("good peers said to stall"), &0, &wronged.count()));
        }
        bounds
    }
}

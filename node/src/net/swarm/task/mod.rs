//! The task that owns the swarm and its peer policy.

mod asking;
mod connections;
mod discovery;
mod exchange;
mod gossip;
mod listed;
mod neighbour;
mod report;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ironlight_spv::peers::{BanEntry, PeerId, PeerPolicy, PolicyConfig};
use ironlight_spv::{BlockHash, Params};
use libp2p::core::upgrade::Version;
use libp2p::futures::StreamExt as _;
use libp2p::request_response::{OutboundFailure, OutboundRequestId};
use libp2p::swarm::{Config as Tuning, ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId as LightPeerId, Swarm as Inner};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::behaviour::{Behaviour, BehaviourEvent};
use super::data_line::Blame;
use super::directory::Directory;
use super::gate::Rules;
use super::handle::{Command, LightEvent, SwarmHandle};
use super::line::Outgoing;
use super::protocol::{Names, Protocol};
use super::read_ahead::ReadAhead;
use super::serve::{Server, Sources};
use super::traffic::Traffic;
use super::{LightNetConfig, SwarmError, transport};
use crate::audit::NodeAudit;
use crate::clock::Clock;
use crate::flags::Switches;
use crate::net::data::{DataPeers, Offers};
use crate::net::requests::NetworkRequests;
use crate::net::suspend::{Member, Suspension};
use crate::net::{PeerNumbers, PurposeCounter};
use asking::Reply;
use exchange::Served;
use gossip::Pending;
use listed::Listed;
use neighbour::Neighbour;

/// Commands that may wait for the swarm.
const COMMANDS: usize = 64;
/// Requests that may wait to be put out; more wait where they are.
const OUTGOING: usize = 16;
/// Events that may wait for the node; one holds at most 640 KB.
const EVENTS: usize = 8;
/// Without anything to wait for, look again after this.
const AT_LATEST: Duration = Duration::from_secs(60);
/// Identities remembered as blocked; the oldest is forgotten first.
const MAX_BLOCKED: usize = 1024;

/// Reports on peers that may wait; more are dropped.
const BLAMED: usize = 64;

/// Who waits for a response.
type Answered = oneshot::Sender<Result<Vec<u8>, OutboundFailure>>;

/// What a swarm starts with.
pub(crate) struct SwarmStart<'a> {
    pub(crate) params: &'a Params,
    pub(crate) config: LightNetConfig,
    pub(crate) bans: Vec<BanEntry>,
    pub(crate) numbers: PeerNumbers,
    pub(crate) clock: Clock,
    pub(crate) seed: u64,
    pub(crate) switches: Switches,
    pub(crate) requests: NetworkRequests,
    pub(crate) audit: NodeAudit,
    /// Where peers are listed that can be asked for more than headers.
    pub(crate) data: DataPeers,
    /// What others are told, where the node serves, that they can ask besides headers.
    pub(crate) offers: Offers,
    /// When to be silent.
    pub(crate) suspension: Suspension,
}

/// The swarm; see the [module](super::super).
pub(crate) struct Swarm {
    inner: Inner<Behaviour>,
    names: Names,
    params: Params,
    policy: PeerPolicy,
    rules: Rules,
    traffic: Traffic,
    /// Bytes of requests and responses by what they are for.
    carried: Arc<PurposeCounter>,
    directory: Directory,
    read_ahead: ReadAhead,
    numbers: PeerNumbers,
    clock: Clock,
    /// Addresses that strangers tell may be private ones.
    allow_private: bool,
    /// Whether others are told of our tips.
    announces: bool,
    /// What an operator may have turned off.
    switches: Switches,
    member: Member,
    /// Hears of peers that are shut out.
    audit: NodeAudit,
    sources: Sources,
    /// Dials of the policy's choice that are under way.
    dials: HashMap<ConnectionId, SocketAddr>,
    neighbours: HashMap<LightPeerId, Neighbour>,
    /// By the number that the sync machine knows them by.
    by_number: BTreeMap<PeerId, LightPeerId>,
    requests: NetworkRequests,
    /// Requests on their way, in the hands of what limits them: as many as reading ahead asks for.
    asking: JoinSet<Reply>,
    /// Those that have passed, to be put out.
    outgoing: mpsc::Sender<Outgoing>,
    outgoing_in: mpsc::Receiver<Outgoing>,
    sent: HashMap<(Protocol, OutboundRequestId), Answered>,
    /// Peers that can be asked for more than headers.
    listed: Listed,
    /// What those who ask them find wrong.
    blamed: mpsc::Sender<Blame>,
    blamed_in: mpsc::Receiver<Blame>,
    /// As many as libp2p lets in, a few a connection.
    serving: JoinSet<Served>,
    server: Server,
    pending_tips: Vec<Pending>,
    /// The last tip of others that went on to everybody.
    passed_on: Option<BlockHash>,
    blocked: VecDeque<LightPeerId>,
    next_discovery: Duration,
    next_bootstrap: Duration,
    /// Whether discovery was on when it was asked last.
    discovers: bool,
    next_ban_check: Duration,
    listening: Vec<Multiaddr>,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<LightEvent>,
    /// Events that the node has no room for yet. At most a goodbye and a greeting a connection, an
    /// answer a question, and what [`Swarm::tell_news`] lets in.
    outbox: VecDeque<LightEvent>,
}

impl Swarm {
    /// Listens and gets ready; [`run`](Self::run) does the rest.
    ///
    /// # Errors
    /// [`SwarmError`]
    pub(crate) fn new(
        start: SwarmStart<'_>,
    ) -> Result<(Self, SwarmHandle, mpsc::Receiver<LightEvent>), SwarmError> {
        let SwarmStart { params, config, bans, numbers, clock, seed, .. } = start;
        let SwarmStart { switches, requests, audit, data, offers, suspension, .. } = start;
        let (key, rules) = (config.key()?, Rules::new(config.allow_private));
        let (traffic, carried) = (Traffic::new(suspension.clone()), Arc::default());
        let noise = |error: libp2p::noise::Error| SwarmError::Noise { reason: error.to_string() };
        let transport = transport::build(&key, &traffic, rules.clone()).map_err(noise)?;
        let behaviour = Behaviour::new(params, &key, config.serve, offers, config.mdns, &carried)?;
        let inner = Inner::new(transport, behaviour, key.public().to_peer_id(), tuning());
        let policy = policy(&config, bans, clock, seed);
        let (commands, commands_in) = mpsc::channel(COMMANDS);
        let (outgoing, outgoing_in) = mpsc::channel(OUTGOING);
        let (blamed, blamed_in) = mpsc::channel(BLAMED);
        let (events, events_out) = mpsc::channel(EVENTS);
        let mut swarm = Self {
            inner,
            names: Names::new(params),
            params: params.clone(),
            policy,
            rules,
            traffic,
            carried,
            directory: Directory::default(),
            read_ahead: ReadAhead::default(),
            numbers,
            clock,
            allow_private: config.allow_private,
            announces: config.serve,
            switches,
            member: suspension.member(),
            audit,
            sources: Sources::default(),
            dials: HashMap::new(),
            neighbours: HashMap::new(),
            by_number: BTreeMap::new(),
            requests,
            asking: JoinSet::new(),
            outgoing,
            outgoing_in,
            sent: HashMap::new(),
            listed: Listed::new(data),
            blamed,
            blamed_in,
            serving: JoinSet::new(),
            server: Server::new(),
            pending_tips: Vec::new(),
            passed_on: None,
            blocked: VecDeque::new(),
            next_discovery: Duration::ZERO,
            next_bootstrap: Duration::ZERO,
            discovers: true,
            next_ban_check: Duration::ZERO,
            listening: Vec::new(),
            commands: commands_in,
            events,
            outbox: VecDeque::new(),
        };
        swarm.name_peers(&config.peers)?;
        swarm.listen(&config.listen)?;
        Ok((swarm, SwarmHandle { commands }, events_out))
    }

    fn listen(&mut self, addresses: &[Multiaddr]) -> Result<(), SwarmError> {
        for address in addresses {
            let failed = |error: libp2p::TransportError<std::io::Error>| SwarmError::Listen {
                address: address.clone(),
                reason: error.to_string(),
            };
            self.inner.listen_on(address.clone()).map_err(failed)?;
        }
        Ok(())
    }

    fn name_peers(&mut self, peers: &[Multiaddr]) -> Result<(), SwarmError> {
        for address in peers {
            let Some(socket) = self.directory.name(address) else {
                return Err(SwarmError::Address { address: address.clone() });
            };
            self.rules.name(socket);
            if !self.policy.add_manual(socket) {
                info!(%address, "too many light nodes to connect to: left out");
            }
        }
        Ok(())
    }

    /// Runs until `stop` is cancelled or the last handle is dropped, and hands back the policy with
    /// all that it has learnt. Cancel safe in that nothing outlives it.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> PeerPolicy {
        let events = self.events.clone();
        loop {
            let (silent, wake) = self.do_what_is_due();
            let wake = self.clock.instant(wake);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                room = events.reserve(), if !self.outbox.is_empty() => match room {
                    Ok(room) => if let Some(event) = self.outbox.pop_front() {
                        room.send(event);
                    },
                    Err(_closed) => break,
                },
                command = self.commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => break,
                },
                Some(outgoing) = self.outgoing_in.recv() => self.put_out(outgoing),
                Some(blame) = self.blamed_in.recv() => self.on_blamed(blame),
                Some(reply) = self.asking.join_next() => self.on_reply(reply),
                Some(served) = self.serving.join_next() => self.on_served(served),
                // Silent, it is let alone: its timers would go on.
                event = self.inner.select_next_some(), if !silent => self.on_event(event),
                () = self.member.changed() => {}
                () = sleep_until(wake) => {}
            }
        }
        info!("all light nodes are let go");
        self.policy
    }

    /// Does what is due: whether it is silent, and when to look again though nothing has happened.
    pub(super) fn do_what_is_due(&mut self) -> (bool, Duration) {
        // Not left to the timer alone, which a flood of events could starve.
        self.on_time();
        (self.connect(), self.next_wake())
    }

    fn next_wake(&self) -> Duration {
        let latest = self.clock.now().elapsed + AT_LATEST;
        let due = [
            self.policy.poll_timeout(),
            self.read_ahead.poll_timeout(),
            self.pending_tips.iter().map(|tip| tip.until).min(),
            self.discovery_due(),
            self.next_end(),
        ];
        due.into_iter().flatten().min().map_or(latest, |due| due.min(latest))
    }

    fn on_time(&mut self) {
        let now = self.clock.now().elapsed;
        self.read_ahead.handle_timeout(now);
        self.settle_tips(now);
        self.end_overdue(now);
        if now >= self.next_ban_check {
            // Bans end, too.
            self.enforce_bans();
            self.next_ban_check = now + AT_LATEST;
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::GetHeaders { peer, question } => {
                self.read_ahead.ask(peer, question, self.clock.now().elapsed);
            }
            Command::Misbehaved { peer, offence, header } => {
                self.on_misbehaved(peer, offence, header.as_ref());
            }
            Command::Announce { header } => self.announce(&header),
            Command::Serve { source } => self.sources.chain = Some(source),
            Command::ServeData { source } => self.sources.data = Some(source),
            // It fails when the one who asked did not wait.
            Command::Report { answer } => drop(answer.send(self.report())),
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_established(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, cause, .. } => {
                self.on_closed(peer_id, cause.as_ref());
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                self.on_dial_failed(connection_id, &error);
            }
            SwarmEvent::NewListenAddr { address, .. } => self.on_listening(address),
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.listening.retain(|listening| *listening != address);
            }
            SwarmEvent::ListenerError { error, .. } => warn!(%error, "a listener failed"),
            SwarmEvent::ListenerClosed { addresses, reason: Err(error), .. } => {
                warn!(?addresses, %error, "a listener is closed");
            }
            SwarmEvent::ConnectionClosed { .. }
            | SwarmEvent::IncomingConnection { .. }
            | SwarmEvent::IncomingConnectionError { .. }
            | SwarmEvent::ListenerClosed { .. }
            | SwarmEvent::Dialing { .. }
            | SwarmEvent::NewExternalAddrCandidate { .. }
            | SwarmEvent::ExternalAddrConfirmed { .. }
            | SwarmEvent::ExternalAddrExpired { .. }
            | SwarmEvent::NewExternalAddrOfPeer { .. } => {}
            // libp2p's enum grows.
            _ => {}
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Identify(event) => self.on_identify(event),
            BehaviourEvent::Ping(event) => self.on_ping(&event),
            BehaviourEvent::Kademlia(event) => self.on_kademlia(event),
            BehaviourEvent::Mdns(event) => self.on_mdns(event),
            BehaviourEvent::Gossip(event) => self.on_gossip(event),
            BehaviourEvent::Headers(event) => self.on_exchange(Protocol::Headers, event),
            BehaviourEvent::Filters(event) => self.on_exchange(Protocol::Filters, event),
            BehaviourEvent::Blocks(event) => self.on_exchange(Protocol::Blocks, event),
            BehaviourEvent::Proofs(event) => self.on_exchange(Protocol::Proofs, event),
            BehaviourEvent::Snapshots(event) => self.on_exchange(Protocol::Snapshots, event),
            BehaviourEvent::Limits(never)
            | BehaviourEvent::Memory(never)
            | BehaviourEvent::Blocked(never) => match never {},
        }
    }

    fn tell(&mut self, event: LightEvent) {
        self.outbox.push_back(event);
    }
}

fn tuning() -> Tuning {
    Tuning::with_tokio_executor()
        // Connections are closed by decision: one that is idle waits for the next block.
        .with_idle_connection_timeout(Duration::MAX)
        // Lazy: a request goes with the agreement on its protocol, one way back and forth less.
        .with_substream_upgrade_protocol_override(Version::V1Lazy)
}

/// Those that the user named are called as well as others.
fn policy(config: &LightNetConfig, bans: Vec<BanEntry>, clock: Clock, seed: u64) -> PeerPolicy {
    let config = PolicyConfig {
        manual_only: false,
        allow_unroutable: config.allow_private || config.mdns,
        ..PolicyConfig::default()
    };
    let mut policy = PeerPolicy::new(config, seed);
    policy.import_bans(bans, clock.now());
    policy
}

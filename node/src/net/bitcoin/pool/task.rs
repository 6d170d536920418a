//! The task that owns the policy.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::hashes::siphash24;
use ironlight_hardening::rate_limit::{Gcra, Quota};
use ironlight_hardening::retry::{Backoff, BackoffConfig};
use ironlight_spv::peers::{Offence, PeerId, PeerPolicy, Verdict};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::peer_task::{End, PeerTask};
use super::{PoolCommand, PoolConfig};
use crate::clock::Clock;
use crate::net::BytesByPurpose;
use crate::net::bitcoin::awaited::Awaited;
use crate::net::bitcoin::connection::{Connection, Leash, ToWriter, Traffic, WhyClose};
use crate::net::bitcoin::events::{Notice, PeerEvent, PeerEventKind};
use crate::net::bitcoin::line::{Line, LineClosed};
use crate::net::bitcoin::message::{Outbound, OwnVersion, Version};
use crate::net::bitcoin::relaying::Relaying;
use crate::net::bitcoin::seeds::{self, Resolve};
use crate::net::bitcoin::transport::Connect;
use crate::net::requests::{Asked, NoAnswer, PeerRequests};
use crate::net::suspend::{Member, Mode};

/// Notices that may wait, of all peers together; one holds at most 1000 addresses, 48 KB.
const NOTICES: usize = 32;
/// Seeds are asked again after growing pauses.
const SEED_PAUSE: BackoffConfig =
    BackoffConfig { base: Duration::from_secs(30), cap: Duration::from_secs(60 * 60) };
/// How fast one peer's addresses are taken in.
const ADDRESS_QUOTA: Quota = Quota { burst: 1000, per: Duration::from_secs(10) };
/// Without anything to wait for, look again after this.
const AT_LATEST: Duration = Duration::from_secs(60 * 60);

/// Dials, drops and keeps books; see the [module](super).
#[derive(Debug)]
pub struct Pool<C, R> {
    pub(super) config: PoolConfig,
    pub(super) policy: PeerPolicy,
    pub(super) connector: Arc<C>,
    resolver: Arc<R>,
    pub(super) clock: Clock,
    stop: CancellationToken,
    member: Member,
    /// Bytes of peers that are gone.
    pub(super) gone: BytesByPurpose,
    pub(super) peers: BTreeMap<PeerId, Peer>,
    tasks: JoinSet<(PeerId, End)>,
    pub(super) task_ids: HashMap<Id, PeerId>,
    /// Questions to seeds, and goodbyes of tasks that failed.
    pub(super) errands: JoinSet<()>,
    /// Requests to peers: as many as the sync machine asks, one a peer, and with the flag `hardening`
    /// off a few more that nobody waits for.
    asking: JoinSet<()>,
    /// Connections for one transaction each.
    pub(super) apart: JoinSet<SocketAddr>,
    /// Where they go.
    pub(super) apart_addrs: Vec<SocketAddr>,
    /// Their bytes, and what makes their numbers differ.
    pub(super) apart_traffic: Arc<Traffic>,
    pub(super) apart_count: u64,
    /// Ends them where the node is suspended.
    pub(super) apart_stop: CancellationToken,
    pub(super) seed_backoff: Backoff,
    /// Seeds are not asked before.
    next_seeding: Duration,
    pub(super) events: mpsc::Sender<PeerEvent>,
    commands: mpsc::Receiver<PoolCommand>,
    /// Into `commands`, for those who ask peers directly.
    pub(super) own_commands: mpsc::WeakSender<PoolCommand>,
    notices: mpsc::Sender<Notice>,
    notices_in: mpsc::Receiver<Notice>,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) addr: SocketAddr,
    leash: Leash,
    pub(super) line: Line,
    pub(super) awaited: Arc<Awaited>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) addresses: Gcra,
    /// Since it shook hands.
    pub(super) session: Option<Session>,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) version: Version,
    /// See [`Greeting`](crate::net::bitcoin::handshake::Greeting).
    pub(super) wtxid_relay: bool,
    pub(super) since: Duration,
    pub(super) requests: PeerRequests,
}

impl<C: Connect, R: Resolve> Pool<C, R> {
    pub(super) fn new(
        config: PoolConfig,
        policy: PeerPolicy,
        connector: C,
        resolver: R,
        clock: Clock,
        events: mpsc::Sender<PeerEvent>,
        (own_commands, commands): (mpsc::WeakSender<PoolCommand>, mpsc::Receiver<PoolCommand>),
    ) -> Self {
        let (notices, notices_in) = mpsc::channel(NOTICES);
        let stop = CancellationToken::new();
        let suspension = config.suspension.clone();
        Self {
            seed_backoff: Backoff::new(SEED_PAUSE, config.seed),
            member: config.suspension.member(),
            config,
            policy,
            connector: Arc::new(connector),
            resolver: Arc::new(resolver),
            clock,
            apart_stop: stop.child_token(),
            stop,
            gone: BytesByPurpose::default(),
            peers: BTreeMap::new(),
            tasks: JoinSet::new(),
            task_ids: HashMap::new(),
            errands: JoinSet::new(),
            asking: JoinSet::new(),
            apart: JoinSet::new(),
            apart_addrs: Vec::new(),
            apart_traffic: Arc::new(Traffic { suspension, ..Traffic::default() }),
            apart_count: 0,
            next_seeding: Duration::ZERO,
            events,
            commands,
            own_commands,
            notices,
            notices_in,
        }
    }

    /// Runs until `stop` is cancelled or the last handle is dropped, closes all connections,
    /// waits for their tasks, and hands back the policy with all that it has learnt.
    ///
    /// Cancel safe in that nothing outlives it: dropping it ends all connections.
    pub async fn run(mut self, stop: CancellationToken) -> PeerPolicy {
        loop {
            self.connect();
            let wake = self.clock.instant(self.next_wake());
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                // Before ends: a peer's notices are older than its end.
                Some(notice) = self.notices_in.recv() => self.on_notice(notice),
                Some(ended) = self.tasks.join_next_with_id() => self.on_end(ended),
                Some(_) = self.errands.join_next() => {}
                Some(_) = self.asking.join_next() => {}
                Some(ended) = self.apart.join_next() => self.on_apart_end(ended),
                command = self.commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => break,
                },
                () = self.member.changed() => {}
                () = sleep_until(wake) => {}
            }
        }
        self.drain().await
    }

    async fn drain(mut self) -> PeerPolicy {
        self.stop.cancel();
        self.peers.keys().for_each(|peer| self.config.data.left(*peer));
        self.errands.shutdown().await;
        self.asking.shutdown().await;
        self.apart.shutdown().await;
        while self.tasks.join_next().await.is_some() {}
        info!("all Bitcoin peers are closed");
        self.policy
    }

    /// Dials and lets go of peers as the policy says, or of all where the node is suspended.
    fn connect(&mut self) {
        match self.member.mode(self.peers.len() + self.apart.len()) {
            Mode::Silent => {
                self.apart_stop.cancel();
                return self.peers.values().for_each(|peer| peer.leash.pull(WhyClose::Suspended));
            }
            Mode::Reopened => {
                self.apart_stop = self.stop.child_token();
                self.policy.handle_resumed(self.clock.now());
                self.next_seeding = Duration::ZERO;
                self.seed_backoff.reset();
            }
            Mode::Open => {}
        }
        self.dial();
        self.drop_slow();
        self.ask_seeds();
    }

    fn next_wake(&self) -> Duration {
        let now = self.clock.now();
        let latest = now.elapsed + AT_LATEST;
        if self.config.suspension.silence().is_some() {
            return latest;
        }
        let due = self.policy.poll_timeout().unwrap_or(latest).min(latest);
        let may_seed = !self.config.dns_seeds.is_empty() && self.policy.wants_addresses(now);
        if may_seed { due.min(self.next_seeding) } else { due }
    }

    fn dial(&mut self) {
        while let Some(addr) = self.policy.poll_dial(self.clock.now()) {
            let peer = self.config.numbers.draw();
            self.start(peer, addr);
        }
    }

    fn start(&mut self, peer: PeerId, addr: SocketAddr) {
        debug!(%peer, %addr, "dialling");
        let (outbox, outbox_in) = mpsc::channel(self.config.connection.outbox.max(2));
        let leash = Leash::new(&self.stop);
        let suspension = self.config.suspension.clone();
        let traffic = Arc::new(Traffic { suspension, ..Traffic::default() });
        let awaited = Arc::<Awaited>::default();
        let now = self.clock.now();
        let (nonce, ping_seed) = (self.draw(peer, 0), self.draw(peer, 1));
        let start_height = self.config.start_height;
        let relay = self.config.relay.watches_mempool();
        let own = OwnVersion { receiver: addr, time: now.unix, nonce, start_height, relay };
        let task = PeerTask {
            connector: Arc::clone(&self.connector),
            connection: Connection {
                peer,
                addr,
                config: self.config.connection,
                events: self.events.clone(),
                notices: self.notices.clone(),
                replies: outbox.clone(),
                awaited: Arc::clone(&awaited),
                relaying: Relaying::new(peer, self.config.relay.clone()),
                traffic: Arc::clone(&traffic),
                leash: leash.clone(),
                seed: ping_seed,
            },
            outbox: outbox_in,
            own,
            handshake: self.config.handshake,
            stop: self.stop.clone(),
        };
        let handle = self.tasks.spawn(async move { (peer, task.run().await) });
        self.task_ids.insert(handle.id(), peer);
        let addresses = Gcra::new(ADDRESS_QUOTA);
        let line = Line { outbox, leash: leash.clone() };
        let session = None;
        self.peers.insert(peer, Peer { addr, leash, line, awaited, traffic, addresses, session });
    }

    /// A number for one peer. Peers see it, so it says nothing about the seed or about others.
    pub(super) fn draw(&self, peer: PeerId, purpose: u64) -> u64 {
        let bytes = peer.0.to_le_bytes();
        siphash24::Hash::hash_to_u64_with_keys(self.config.seed, purpose, &bytes)
    }

    fn drop_slow(&mut self) {
        let slow = self.policy.poll_drop(self.clock.now());
        if let Some(peer) = slow.and_then(|slow| self.peers.get(&slow)) {
            info!(addr = %peer.addr, "letting a slow peer go for a better one");
            peer.leash.pull(WhyClose::Evicted);
        }
    }

    fn ask_seeds(&mut self) {
        let now = self.clock.now();
        let wanted = !self.config.dns_seeds.is_empty()
            && now.elapsed >= self.next_seeding
            && self.policy.wants_addresses(now);
        if !wanted {
            return;
        }
        self.next_seeding = now.elapsed + self.seed_backoff.next_delay();
        info!(seeds = self.config.dns_seeds.len(), "no addresses left, asking DNS seeds");
        let wanted = match self.policy.wants_filters() {
            true => seeds::Wanted::WithFilters,
            false => seeds::Wanted::Any,
        };
        for (seed, name) in (0_u16..).zip(self.config.dns_seeds.clone()) {
            let (resolver, notices) = (Arc::clone(&self.resolver), self.notices.clone());
            let port = self.config.default_port;
            self.errands.spawn(async move {
                match seeds::ask(&*resolver, &name, port, wanted).await {
                    Ok(seeds::Seeded { addrs, services }) => {
                        // It fails when the pool stops.
                        drop(notices.send(Notice::Seeded { seed, addrs, services }).await);
                    }
                    Err(error) => warn!(%name, %error, "a DNS seed does not answer"),
                }
            });
        }
    }

    fn on_command(&mut self, command: PoolCommand) {
        match command {
            PoolCommand::GetHeaders { peer, locator, stop, asked } => {
                self.get_headers(peer, Outbound::GetHeaders { locator, stop }, asked);
            }
            // It fails when the one who asked did not wait.
            PoolCommand::Announce { peer, txid, answer } => {
                let _ = answer.send(self.announce(peer, txid));
            }
            PoolCommand::AnnounceApart { transaction, answer } => {
                self.announce_apart(transaction, answer);
            }
            PoolCommand::Disconnect { peer } => self.close(peer, WhyClose::Asked),
            PoolCommand::Misbehaved { peer, offence } => self.on_misbehaved(peer, offence),
            // It fails when the one who asked did not wait.
            PoolCommand::Info { answer } => drop(answer.send(self.info())),
        }
    }

    /// Asks, and says so where there is no answer. The headers go to the node by themselves.
    fn get_headers(&mut self, peer: PeerId, message: Outbound, asked: Asked) {
        let Some((line, requests)) = self.line(peer) else {
            return;
        };
        let events = self.events.clone();
        self.asking.spawn(async move {
            let Err(error) = requests.ask(asked, message, line).await else {
                return;
            };
            debug!(%peer, %error, "no headers");
            if matches!(error, NoAnswer::Failed(LineClosed)) {
                // `Disconnected` tells it.
                return;
            }
            let kind = PeerEventKind::Unanswered(error.unanswered());
            // It fails when nobody listens any more.
            let _ = events.send(PeerEvent { peer, kind }).await;
        });
    }

    /// None where it is no peer yet, or not any more.
    fn line(&self, peer: PeerId) -> Option<(Line, PeerRequests)> {
        let entry = self.peers.get(&peer)?;
        Some((entry.line.clone(), entry.session.as_ref()?.requests.clone()))
    }

    /// Asks for addresses, and waits for none. If there is no room for that, other peers will be
    /// asked.
    pub(super) fn get_addresses(&self, peer: PeerId) {
        if let Some(entry) = self.peers.get(&peer) {
            let _ = entry.line.outbox.try_send(ToWriter::Send(Outbound::GetAddr));
        }
    }

    fn close(&self, peer: PeerId, why: WhyClose) {
        if let Some(entry) = self.peers.get(&peer) {
            entry.leash.pull(why);
        }
    }

    fn on_misbehaved(&mut self, peer: PeerId, offence: Offence) {
        let verdict = self.policy.handle_misbehaviour(peer, offence, self.clock.now());
        match verdict {
            Verdict::Keep => debug!(%peer, ?offence, "noted"),
            Verdict::Drop | Verdict::Ban { .. } => {
                warn!(%peer, ?offence, ?verdict, "a peer misbehaved");
                self.write_down(peer, offence, verdict);
                self.close(peer, WhyClose::Misbehaved(offence));
            }
        }
    }

    /// Takes a peer off the books.
    pub(super) fn forget(&mut self, peer: PeerId) -> Option<Peer> {
        let entry = self.peers.remove(&peer)?;
        self.config.data.left(peer);
        self.gone = self.gone + entry.traffic.carried.report();
        Some(entry)
    }
}

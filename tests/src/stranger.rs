//! A light node of somebody else's: it speaks the libp2p network as docs/PROTOCOL.md writes it,
//! shares no code with ours, and says whatever it is told to.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use libp2p::futures::StreamExt as _;
use libp2p::futures::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity, ValidationMode};
use libp2p::identity::Keypair;
use libp2p::request_response::{self, Codec, Message, OutboundRequestId, ProtocolSupport};
use libp2p::swarm::{Config as Tuning, NetworkBehaviour, SwarmEvent};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, Transport as _, core, identify, noise, tcp, yamux,
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::eventually;

/// Protocol names begin so on regtest: magic, and the first bytes of genesis.
const REGTEST: &str = "/ironlight/fabfb5da-06226e46111a0b59";
const LIMIT: Duration = Duration::from_secs(20);

/// The raw bytes of requests and responses.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

async fn read<T: AsyncRead + Unpin + Send>(io: &mut T) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io.read_to_end(&mut bytes).await.map(|_| bytes)
}

impl Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        read(io).await
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        read(io).await
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Vec<u8>,
    ) -> io::Result<()> {
        io.write_all(&request).await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: Vec<u8>,
    ) -> io::Result<()> {
        io.write_all(&response).await
    }
}

#[derive(NetworkBehaviour)]
struct Parts {
    identify: identify::Behaviour,
    gossip: gossipsub::Behaviour,
    headers: request_response::Behaviour<Raw>,
    snapshots: request_response::Behaviour<Raw>,
}

type Answer = oneshot::Sender<Result<Vec<u8>, String>>;
/// What it answers to any request; it serves nothing where there is none.
type Script = Arc<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// Where it is.
enum Place {
    /// It calls a node.
    Calls(Multiaddr),
    /// Nodes call it.
    Listens(Multiaddr),
}

enum Command {
    Publish(Vec<u8>, oneshot::Sender<bool>),
    Ask(Vec<u8>, Answer),
}

/// What it has seen.
#[derive(Debug, Default)]
struct Seen {
    gossip: Vec<Vec<u8>>,
    subscribers: usize,
    closed: bool,
    listening: Option<String>,
}

/// One of them, connected to a node of ours until it is dropped or thrown out.
#[derive(Debug)]
pub struct Stranger {
    commands: mpsc::UnboundedSender<Command>,
    seen: Arc<watch::Sender<Seen>>,
}

impl Stranger {
    /// Calls a node's multiaddress without waiting, on the runtime that this is called in: one of
    /// many, for which threads of their own would be too much.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[must_use]
    pub fn knock(address: &str) -> Self {
        let (stranger, task) = Self::new(Place::Calls(address.parse().unwrap()), None, None);
        tokio::spawn(task);
        stranger
    }

    /// Waits until the node gossips with it or has hung up; whether it was let in. Cancel safe.
    pub async fn is_let_in(&self) -> bool {
        let mut seen = self.seen.subscribe();
        let met = seen.wait_for(|seen| seen.subscribers > 0 || seen.closed).await;
        met.is_ok_and(|seen| !seen.closed)
    }

    /// Waits until the node has hung up. Cancel safe.
    pub async fn thrown_out(&self) {
        let mut seen = self.seen.subscribe();
        let _ = seen.wait_for(|seen| seen.closed).await;
    }

    /// Connects to a node's multiaddress and waits until that node gossips with it.
    #[must_use]
    pub fn connect(address: &str) -> Self {
        Self::calls(address, None)
    }

    /// Connects as one that serves headers, and gives each request the same kind of answer.
    #[must_use]
    pub fn serve(address: &str, answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::calls(address, Some(Arc::new(answer)))
    }

    /// Listens as one that serves headers, of which it has none, and snapshots, for which it has a
    /// script; and says where.
    #[must_use]
    pub fn listen(
        address: &str,
        chunks: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static,
    ) -> (Self, String) {
        let not_found: Script = Arc::new(|_| vec![1, 1, 0, 0]);
        let place = Place::Listens(address.parse().unwrap());
        let stranger = Self::start(place, Some(not_found), Some(Arc::new(chunks)));
        let listening = || stranger.seen.borrow().listening.clone();
        eventually("the stranger listens", LIMIT, || listening().is_some());
        let address = listening().unwrap();
        (stranger, address)
    }

    fn calls(address: &str, script: Option<Script>) -> Self {
        let stranger = Self::start(Place::Calls(address.parse().unwrap()), script, None);
        eventually("the node and the stranger gossip", LIMIT, || {
            stranger.seen.borrow().subscribers > 0
        });
        stranger
    }

    fn start(place: Place, script: Option<Script>, chunks: Option<Script>) -> Self {
        let (stranger, task) = Self::new(place, script, chunks);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(task);
        });
        stranger
    }

    /// One, and what it does until it is dropped.
    fn new(
        place: Place,
        script: Option<Script>,
        chunks: Option<Script>,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (commands, inbox) = mpsc::unbounded_channel();
        let seen = Arc::new(watch::Sender::new(Seen::default()));
        let task = Task { seen: Arc::clone(&seen), script, chunks, asked: Vec::new() };
        (Self { commands, seen }, task.run(place, inbox))
    }

    /// Gossips something; whether anybody was there to hear it.
    pub fn publish(&self, data: &[u8]) -> bool {
        let (told, tells) = oneshot::channel();
        let sent = self.commands.send(Command::Publish(data.to_vec(), told));
        sent.is_ok() && tells.blocking_recv().unwrap_or(false)
    }

    /// What others have gossiped to it.
    #[must_use]
    pub fn heard(&self) -> Vec<Vec<u8>> {
        self.seen.borrow().gossip.clone()
    }

    /// Whether the node has hung up.
    #[must_use]
    pub fn is_thrown_out(&self) -> bool {
        self.seen.borrow().closed
    }

    /// Sends the bytes of a request for headers and waits for those of the response.
    ///
    /// # Errors
    /// What libp2p says where none came.
    pub fn ask(&self, request: &[u8]) -> Result<Vec<u8>, String> {
        self.send(request)?.blocking_recv().map_err(|error| error.to_string())?
    }

    /// As [`ask`](Self::ask), for those who cannot block. Given up, it is asked all the same.
    ///
    /// # Errors
    /// What libp2p says where no response came.
    pub async fn answer_to(&self, request: &[u8]) -> Result<Vec<u8>, String> {
        self.send(request)?.await.map_err(|error| error.to_string())?
    }

    fn send(&self, request: &[u8]) -> Result<oneshot::Receiver<Result<Vec<u8>, String>>, String> {
        let (told, tells) = oneshot::channel();
        let sent = self.commands.send(Command::Ask(request.to_vec(), told));
        sent.map_err(|error| error.to_string())?;
        Ok(tells)
    }
}

struct Task {
    seen: Arc<watch::Sender<Seen>>,
    script: Option<Script>,
    chunks: Option<Script>,
    asked: Vec<(OutboundRequestId, Answer)>,
}

impl Task {
    async fn run(mut self, place: Place, mut inbox: mpsc::UnboundedReceiver<Command>) {
        let mut swarm = swarm(self.script.is_some(), self.chunks.is_some());
        let topic = IdentTopic::new(format!("{REGTEST}/tips/1"));
        swarm.behaviour_mut().gossip.subscribe(&topic).unwrap();
        match place {
            Place::Calls(address) => swarm.dial(address).unwrap(),
            Place::Listens(address) => drop(swarm.listen_on(address).unwrap()),
        }
        loop {
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(Command::Publish(data, told)) => {
                        let done = swarm.behaviour_mut().gossip.publish(topic.clone(), data);
                        let _ = told.send(done.is_ok());
                    }
                    Some(Command::Ask(request, answer)) => {
                        let peer = swarm.connected_peers().next().copied();
                        let Some(peer) = peer else { continue };
                        let id = swarm.behaviour_mut().headers.send_request(&peer, request);
                        self.asked.push((id, answer));
                    }
                    None => return,
                },
                event = swarm.select_next_some() => self.on_event(&mut swarm, event),
            }
        }
    }

    fn on_event(&mut self, swarm: &mut Swarm<Parts>, event: SwarmEvent<PartsEvent>) {
        match event {
            SwarmEvent::ConnectionClosed { .. } | SwarmEvent::OutgoingConnectionError { .. } => {
                self.seen.send_modify(|seen| seen.closed = true);
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                let address = format!("{address}/p2p/{}", swarm.local_peer_id());
                self.seen.send_modify(|seen| seen.listening = Some(address));
            }
            SwarmEvent::Behaviour(PartsEvent::Gossip(event)) => match event {
                gossipsub::Event::Message { message, .. } => {
                    self.seen.send_modify(|seen| seen.gossip.push(message.data));
                }
                gossipsub::Event::Subscribed { .. } => {
                    self.seen.send_modify(|seen| seen.subscribers += 1);
                }
                _ => {}
            },
            SwarmEvent::Behaviour(PartsEvent::Headers(event)) => self.on_headers(swarm, event),
            SwarmEvent::Behaviour(PartsEvent::Snapshots(request_response::Event::Message {
                message: Message::Request { request, channel, .. },
                ..
            })) => {
                if let Some(script) = &self.chunks {
                    let answer = script(&request);
                    let _ = swarm.behaviour_mut().snapshots.send_response(channel, answer);
                }
            }
            _ => {}
        }
    }

    fn on_headers(
        &mut self,
        swarm: &mut Swarm<Parts>,
        event: request_response::Event<Vec<u8>, Vec<u8>>,
    ) {
        use request_response::Event;
        let (id, answer) = match event {
            Event::Message { message: Message::Request { request, channel, .. }, .. } => {
                if let Some(script) = &self.script {
                    let answer = script(&request);
                    let _ = swarm.behaviour_mut().headers.send_response(channel, answer);
                }
                return;
            }
            Event::Message { message: Message::Response { request_id, response }, .. } => {
                (request_id, Ok(response))
            }
            Event::OutboundFailure { request_id, error, .. } => {
                (request_id, Err(error.to_string()))
            }
            _ => return,
        };
        if let Some(at) = self.asked.iter().position(|(asked, _)| *asked == id) {
            let _ = self.asked.remove(at).1.send(answer);
        }
    }
}

fn requests(name: &str, serves: bool) -> request_response::Behaviour<Raw> {
    let support = if serves { ProtocolSupport::Full } else { ProtocolSupport::Outbound };
    let name = StreamProtocol::try_from_owned(format!("{REGTEST}/{name}/1")).unwrap();
    request_response::Behaviour::with_codec(
        Raw,
        [(name, support)],
        request_response::Config::default(),
    )
}

fn swarm(serves: bool, serves_snapshots: bool) -> Swarm<Parts> {
    let key = Keypair::generate_ed25519();
    let transport = tcp::tokio::Transport::default()
        .upgrade(core::upgrade::Version::V1Lazy)
        .authenticate(noise::Config::new(&key).unwrap())
        .multiplex(yamux::Config::default())
        .boxed();
    let gossip = gossipsub::ConfigBuilder::default()
        .protocol_id_prefix(format!("{REGTEST}/gossip/1"))
        .validation_mode(ValidationMode::Anonymous)
        .heartbeat_interval(Duration::from_millis(100))
        // It may say the same thing twice.
        .message_id_fn(|_| PeerId::random().to_bytes().into())
        .build()
        .unwrap();
    let family = identify::Config::new(format!("{REGTEST}/node/1"), key.public());
    let parts = Parts {
        identify: identify::Behaviour::new(family),
        gossip: gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, gossip).unwrap(),
        headers: requests("headers", serves),
        snapshots: requests("snapshots", serves_snapshots),
    };
    let tuning = Tuning::with_tokio_executor().with_idle_connection_timeout(Duration::MAX);
    Swarm::new(transport, parts, key.public().to_peer_id(), tuning)
}

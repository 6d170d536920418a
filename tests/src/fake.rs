//! Scripted full nodes on real sockets: honest ones and liars.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use bitcoin::BlockHash;
use bitcoin::block::Header as BitcoinHeader;
use bitcoin::consensus::{Decodable as _, serialize};
use bitcoin::hashes::Hash as _;
use bitcoin::p2p::message::{NetworkMessage, RawNetworkMessage};
use bitcoin::p2p::message_blockdata::GetHeadersMessage;
use bitcoin::p2p::message_network::VersionMessage;
use bitcoin::p2p::{Address, Magic, ServiceFlags};
use ironlight_spv::generate::Miner;
use ironlight_spv::{Header, Network, Params};

use crate::door::Door;

/// Headers in a message at most.
const MOST: usize = 2000;

/// How a scripted node answers a request for headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// From its chain, as a full node does.
    Honest,
    /// From its chain for as long as it has headers, then ever more of them.
    Endless,
    /// From its chain, with a header's nonce spoilt.
    BadWork,
    /// From its chain, with harder bits than required.
    BadBits,
    /// From its chain, after so many milliseconds.
    Slow(u64),
    /// Half a message of headers, and nothing more.
    Half,
    /// Not at all.
    Silent,
    /// With headers that connect to nothing.
    Unconnecting,
    /// With nothing, whatever is asked.
    Empty,
}

/// A scripted full node that takes any number of connections until it is dropped, and serves each
/// until the other side hangs up.
#[derive(Debug)]
pub struct FakeNode {
    address: SocketAddr,
    _door: Door,
    connections: Arc<AtomicU64>,
    questions: Arc<AtomicU64>,
}

impl FakeNode {
    /// Starts one with a chain: headers from the one after genesis on.
    #[must_use]
    pub fn start(behaviour: Behaviour, chain: Vec<Header>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, door) = (listener.local_addr().unwrap(), Door::of(&listener));
        let visitors = door.visitors(listener);
        let connections = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&connections);
        let questions = Arc::new(AtomicU64::new(0));
        let asked = Arc::clone(&questions);
        let chain = Arc::new(chain);
        thread::spawn(move || {
            for stream in visitors {
                counter.fetch_add(1, Ordering::Relaxed);
                let (chain, asked) = (Arc::clone(&chain), Arc::clone(&asked));
                let mut session = Session::new(behaviour, chain, asked, stream);
                // It ends when the other side hangs up, which is all right.
                thread::spawn(move || session.serve());
            }
        });
        Self { address, _door: door, connections, questions }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often it was connected to.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// How often it was asked for headers.
    #[must_use]
    pub fn questions(&self) -> u64 {
        self.questions.load(Ordering::Relaxed)
    }
}

struct Session {
    behaviour: Behaviour,
    chain: Arc<Vec<Header>>,
    questions: Arc<AtomicU64>,
    stream: TcpStream,
    miner: Miner,
    /// What an endless chain has grown so far.
    last: Option<Header>,
    /// Of a message that it will not end.
    in_the_middle: bool,
}

impl Session {
    fn new(
        behaviour: Behaviour,
        chain: Arc<Vec<Header>>,
        questions: Arc<AtomicU64>,
        stream: TcpStream,
    ) -> Self {
        let seed = u64::from(stream.peer_addr().map_or(0, |address| address.port()));
        Self {
            behaviour,
            chain,
            questions,
            stream,
            miner: Miner::new(seed),
            last: None,
            in_the_middle: false,
        }
    }

    /// None when the connection ends.
    fn serve(&mut self) -> Option<()> {
        let mut reader = std::io::BufReader::new(self.stream.try_clone().ok()?);
        loop {
            let message = RawNetworkMessage::consensus_decode(&mut reader).ok()?;
            match message.payload() {
                NetworkMessage::Version(_) => {
                    self.send(NetworkMessage::Version(version()))?;
                    self.send(NetworkMessage::Verack)?;
                }
                NetworkMessage::Ping(nonce) => self.send(NetworkMessage::Pong(*nonce))?,
                NetworkMessage::GetHeaders(request) => {
                    self.questions.fetch_add(1, Ordering::Relaxed);
                    if let Some(headers) = self.answer(request) {
                        self.send(NetworkMessage::Headers(headers))?;
                    }
                }
                // The scripts are about headers; nothing else of a light client needs an answer.
                _ => {}
            }
        }
    }

    fn send(&mut self, message: NetworkMessage) -> Option<()> {
        if self.in_the_middle {
            return Some(());
        }
        self.in_the_middle =
            self.behaviour == Behaviour::Half && matches!(message, NetworkMessage::Headers(_));
        let mut bytes = serialize(&RawNetworkMessage::new(Magic::REGTEST, message));
        if self.in_the_middle {
            bytes.truncate(bytes.len() / 2);
        }
        std::io::Write::write_all(&mut &self.stream, &bytes).ok()
    }

    fn answer(&mut self, request: &GetHeadersMessage) -> Option<Vec<BitcoinHeader>> {
        let headers = match self.behaviour {
            Behaviour::Honest | Behaviour::Half => self.after(request),
            Behaviour::Slow(millis) => {
                thread::sleep(Duration::from_millis(millis));
                self.after(request)
            }
            Behaviour::Endless => self.endless(request),
            Behaviour::BadWork => self.spoilt(request, |header| {
                while header.validate_pow(header.target()).is_ok() {
                    header.nonce = header.nonce.wrapping_add(1);
                }
            }),
            Behaviour::BadBits => self.spoilt(request, |header| {
                header.bits = bitcoin::CompactTarget::from_consensus(0x2000_ffff);
                while header.validate_pow(header.target()).is_err() {
                    header.nonce = header.nonce.wrapping_add(1);
                }
            }),
            Behaviour::Silent => return None,
            Behaviour::Unconnecting => {
                let nowhere = self.miner.mine(
                    BlockHash::from_byte_array([7; 32]),
                    ironlight_spv::UnixTime(1_300_000_000),
                    Params::new(Network::Regtest).pow_limit,
                );
                self.miner.run(&nowhere, 10, 60)
            }
            Behaviour::Empty => Vec::new(),
        };
        Some(headers.into_iter().map(Into::into).collect())
    }

    /// What follows the first hash of the locator that is known here.
    fn after(&self, request: &GetHeadersMessage) -> Vec<Header> {
        let known = |hash: &BlockHash| {
            self.chain.iter().position(|header| header.hash() == *hash).map(|index| index + 1)
        };
        let from = request.locator_hashes.iter().find_map(known).unwrap_or(0);
        self.chain[from..].iter().copied().take(MOST).collect()
    }

    fn endless(&mut self, request: &GetHeadersMessage) -> Vec<Header> {
        let mut headers = self.after(request);
        let grown = self.last.filter(|last| request.locator_hashes.contains(&last.hash()));
        if let Some(last) = grown {
            headers.clear();
            headers.extend(self.miner.run(&last, MOST, 1));
        } else if let Some(last) = headers.last().or(self.chain.last()).copied() {
            let missing = MOST - headers.len();
            headers.extend(self.miner.run(&last, missing, 1));
        }
        self.last = headers.last().copied();
        headers
    }

    fn spoilt(
        &self,
        request: &GetHeadersMessage,
        spoil: impl Fn(&mut BitcoinHeader),
    ) -> Vec<Header> {
        let mut headers = self.after(request);
        // The last one: what follows a spoilt header would no longer connect.
        if let Some(last) = headers.last_mut() {
            let mut header = BitcoinHeader::from(*last);
            spoil(&mut header);
            *last = header.into();
        }
        headers
    }
}

fn version() -> VersionMessage {
    let nobody = Address::new(&SocketAddr::from(([127, 0, 0, 1], 0)), ServiceFlags::NONE);
    VersionMessage {
        version: 70016,
        services: ServiceFlags::NETWORK | ServiceFlags::WITNESS,
        timestamp: 0,
        receiver: nobody.clone(),
        sender: nobody,
        nonce: 1,
        user_agent: "/scripted:1/".to_owned(),
        start_height: 0,
        relay: false,
    }
}

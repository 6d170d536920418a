//! All that the swarm does, put together; each part's bounds are set here.

use std::sync::Arc;
use std::time::Duration;

use ironlight_spv::Params;
use libp2p::gossipsub::{
    self, MessageAuthenticity, MessageId, PeerScoreParams, PeerScoreThresholds, TopicScoreParams,
    ValidationMode,
};
use libp2p::identity::Keypair;
use libp2p::kad::{self, store::MemoryStore};
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{
    PeerId, StreamProtocol, allow_block_list, connection_limits, identify, mdns,
    memory_connection_limits, ping,
};

use super::SwarmError;
use super::bytes_codec::BytesCodec;
use super::protocol::{Names, Protocol};
use super::wire::TIP_SIZE;
use crate::net::PurposeCounter;
use crate::net::data::{CHUNKS_IN_FLIGHT, Offers};

/// Peers that connect to us at most; further ones are hung up on.
pub const MAX_INBOUND: u32 = 128;
/// Connections in all.
const MAX_CONNECTIONS: u32 = 192;
/// Handshakes under way, each way.
const MAX_HANDSHAKES: u32 = 32;
/// Two sides may dial each other at the same time.
const MAX_PER_PEER: u32 = 2;
/// A node that serves takes no connection while its process holds more memory than this.
const MAX_MEMORY: usize = 1 << 30;
/// Requests of one protocol that a peer is asked at the same time, for filters, blocks and proofs.
pub(super) const IN_FLIGHT: usize = 2;
/// A request that is not answered by then has failed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// The same where an answer is large: 4 MB at 70 KB a second.
const LONG_REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// What a tip weighs in gossip at most: the header, its topic's name, and the frame.
const MAX_GOSSIP: usize = 1024;
/// Tips remembered, so that none is taken or passed on twice.
const REMEMBERED: Duration = Duration::from_secs(120);
/// The longest time of a Kademlia query.
const QUERY_TIMEOUT: Duration = Duration::from_secs(30);

/// The parts of the swarm.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) limits: connection_limits::Behaviour,
    pub(super) memory: Toggle<memory_connection_limits::Behaviour>,
    pub(super) blocked: allow_block_list::Behaviour<allow_block_list::BlockedPeers>,
    pub(super) identify: identify::Behaviour,
    pub(super) ping: ping::Behaviour,
    pub(super) kademlia: kad::Behaviour<MemoryStore>,
    pub(super) mdns: Toggle<mdns::tokio::Behaviour>,
    pub(super) gossip: gossipsub::Behaviour,
    pub(super) headers: Exchange,
    pub(super) filters: Exchange,
    pub(super) blocks: Exchange,
    pub(super) proofs: Exchange,
    pub(super) snapshots: Exchange,
}

/// Requests and responses of one protocol.
pub(super) type Exchange = request_response::Behaviour<BytesCodec>;

impl Behaviour {
    pub(super) fn new(
        params: &Params,
        key: &Keypair,
        serve: bool,
        offers: Offers,
        mdns: bool,
        carried: &Arc<PurposeCounter>,
    ) -> Result<Self, SwarmError> {
        let names = Names::new(params);
        let me = key.public().to_peer_id();
        let mdns = mdns.then(|| mdns::tokio::Behaviour::new(mdns::Config::default(), me));
        let mdns = mdns.transpose().map_err(|source| SwarmError::Mdns { source })?;
        let exchange = |protocol, served| {
            let codec = BytesCodec::new(protocol, Arc::clone(carried));
            exchange(names.of(protocol).clone(), protocol, serve && served, codec)
        };
        Ok(Self {
            limits: connection_limits::Behaviour::new(limits()),
            // What else is in a wallet's process is none of our business.
            memory: Toggle::from(
                serve.then(|| memory_connection_limits::Behaviour::with_max_bytes(MAX_MEMORY)),
            ),
            blocked: allow_block_list::Behaviour::default(),
            identify: identify(&names, key, serve),
            ping: ping::Behaviour::default(),
            kademlia: kademlia(&names, me, serve),
            mdns: Toggle::from(mdns),
            gossip: gossip(&names)?,
            headers: exchange(Protocol::Headers, true),
            filters: exchange(Protocol::Filters, offers.filters),
            blocks: exchange(Protocol::Blocks, offers.blocks),
            proofs: exchange(Protocol::Proofs, offers.proofs),
            snapshots: exchange(Protocol::Snapshots, offers.snapshots),
        })
    }

    pub(super) const fn exchange(&mut self, protocol: Protocol) -> &mut Exchange {
        match protocol {
            Protocol::Headers => &mut self.headers,
            Protocol::Filters => &mut self.filters,
            Protocol::Blocks => &mut self.blocks,
            Protocol::Proofs => &mut self.proofs,
            Protocol::Snapshots => &mut self.snapshots,
        }
    }
}

fn exchange(name: StreamProtocol, protocol: Protocol, served: bool, codec: BytesCodec) -> Exchange {
    let support = if served { ProtocolSupport::Full } else { ProtocolSupport::Outbound };
    let config = request_response::Config::default()
        .with_request_timeout(request_timeout(protocol))
        .with_max_concurrent_streams(max_streams(protocol));
    let protocols = [(name, support)];
    request_response::Behaviour::with_codec(codec, protocols, config)
}

const fn request_timeout(protocol: Protocol) -> Duration {
    match protocol {
        Protocol::Headers | Protocol::Proofs => REQUEST_TIMEOUT,
        Protocol::Filters | Protocol::Blocks | Protocol::Snapshots => LONG_REQUEST_TIMEOUT,
    }
}

/// Requests that are answered at the same time, and those in flight, on one connection.
const fn max_streams(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Headers | Protocol::Proofs => 6,
        // Two of theirs, and those that we ask.
        Protocol::Filters | Protocol::Blocks => 2 + IN_FLIGHT,
        Protocol::Snapshots => 2 * CHUNKS_IN_FLIGHT,
    }
}

fn limits() -> connection_limits::ConnectionLimits {
    connection_limits::ConnectionLimits::default()
        .with_max_established_incoming(Some(MAX_INBOUND))
        .with_max_established(Some(MAX_CONNECTIONS))
        .with_max_established_per_peer(Some(MAX_PER_PEER))
        .with_max_pending_incoming(Some(MAX_HANDSHAKES))
        .with_max_pending_outgoing(Some(MAX_HANDSHAKES))
}

fn identify(names: &Names, key: &Keypair, serve: bool) -> identify::Behaviour {
    let agent = format!("ironlight/{}", crate::VERSION);
    let config = identify::Config::new(names.family.clone(), key.public())
        .with_agent_version(agent)
        .with_cache_size(0)
        // Who does not serve has no reason to say where it is.
        .with_hide_listen_addrs(!serve);
    identify::Behaviour::new(config)
}

/// Finds peers, and stores nothing for anybody.
fn kademlia(names: &Names, me: PeerId, serve: bool) -> kad::Behaviour<MemoryStore> {
    let mut config = kad::Config::new(names.kademlia.clone());
    config
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        // Whether to ask is the swarm's to say: discovery can be turned off.
        .set_periodic_bootstrap_interval(None)
        .set_query_timeout(QUERY_TIMEOUT)
        .set_publication_interval(None)
        .set_replication_interval(None)
        .set_provider_publication_interval(None);
    let mut kademlia = kad::Behaviour::with_config(me, MemoryStore::new(me), config);
    kademlia.set_mode(Some(if serve { kad::Mode::Server } else { kad::Mode::Client }));
    kademlia
}

/// Tips go round unsigned: a header speaks for itself, whoever says it, and nobody learns who said
/// it first.
fn gossip(names: &Names) -> Result<gossipsub::Behaviour, SwarmError> {
    let failed = |reason: String| SwarmError::Gossip { reason };
    let config = gossipsub::ConfigBuilder::default()
        .protocol_id_prefix(names.gossip.clone())
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(message_id)
        .max_transmit_size(MAX_GOSSIP)
        .duplicate_cache_time(REMEMBERED)
        .connection_handler_queue_len(64)
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let mut gossip = gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, config)
        .map_err(|reason| failed(reason.to_owned()))?;
    gossip
        .with_peer_score(score(names), PeerScoreThresholds::default())
        .map_err(|error| failed(error.to_string()))?;
    gossip.subscribe(&names.tips).map_err(|error| failed(error.to_string()))?;
    Ok(gossip)
}

/// The same header is the same message, whoever publishes it. Whatever is no header is refused, so
/// its name only has to differ from theirs: an empty one does.
fn message_id(message: &gossipsub::Message) -> MessageId {
    use bitcoin::hashes::Hash as _;
    match <[u8; TIP_SIZE]>::try_from(message.data.as_slice()) {
        Ok(bytes) => {
            let hash = ironlight_spv::Header::from_bytes(bytes).hash();
            MessageId::from(hash.to_byte_array())
        }
        Err(_) => {
            let hash = bitcoin::hashes::sha256::Hash::hash(&message.data);
            MessageId::from([&b"no header "[..], hash.as_byte_array()].concat())
        }
    }
}

/// One invalid header puts a peer below every threshold. Blocks come every ten minutes, so that
/// nobody can be asked for a rate of deliveries (P3), and many nodes share an address (P6): the
/// peer policy bounds those.
fn score(names: &Names) -> PeerScoreParams {
    let topic = TopicScoreParams {
        topic_weight: 1.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -100.0,
        invalid_message_deliveries_decay: 0.999,
        ..TopicScoreParams::default()
    };
    PeerScoreParams {
        topics: [(names.tips.hash(), topic)].into(),
        ip_colocation_factor_weight: 0.0,
        // Whoever sent an invalid header is banned by address. A score outlives its connection to no
        // use, and each identity that ever called would take 500 bytes and more for an hour.
        retain_score: Duration::ZERO,
        ..PeerScoreParams::default()
    }
}

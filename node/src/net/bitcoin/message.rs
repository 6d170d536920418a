//! The messages that a light client handles, and no more.

use std::net::SocketAddr;

use bitcoin::BlockHash;
use bitcoin::consensus::encode::VarInt;
use bitcoin::p2p::ServiceFlags;
use bitcoin::p2p::address::Address;
use bitcoin::p2p::message_blockdata::GetHeadersMessage;
use bitcoin::p2p::message_network::VersionMessage;
use ironlight_spv::peers::AddressRecord;
use ironlight_spv::{BlockHeight, Header, UnixTime};

use super::command::Command;
use super::decode::decode;
use crate::net::Purpose;
use crate::net::wire::DecodeError;

/// The version of the protocol that this node speaks: 70016 is BIP339's. (The constant of the
/// `bitcoin` crate, 70001, is older than `sendheaders`.)
pub const PROTOCOL_VERSION: u32 = 70_016;

/// How this node names itself (BIP14).
pub const USER_AGENT: &str = concat!("/ironlight:", env!("CARGO_PKG_VERSION"), "/");

/// Announced blocks kept of one `inv`, the last ones: they are the newest. Core announces at most
/// 8 at once (`MAX_BLOCKS_TO_ANNOUNCE`).
pub const MAX_ANNOUNCED: usize = 16;

/// What a peer says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The newest protocol that it speaks.
    pub protocol: u32,
    /// What it offers.
    pub services: ServiceFlags,
    /// Drawn by it: our own means that we are talking to ourselves.
    pub nonce: u64,
    /// Its software: at most 256 bytes, those that are not plain text replaced.
    pub user_agent: String,
    /// The height of its tip; a claim, and none below 0.
    pub start_height: BlockHeight,
}

/// What a peer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// `version`
    Version(Version),
    /// `verack`
    Verack,
    /// `wtxidrelay`
    WtxidRelay,
    /// `sendaddrv2`
    SendAddrV2,
    /// `sendheaders`: this node announces nothing, so it has nothing to change.
    SendHeaders,
    /// `ping`
    Ping(u64),
    /// `pong`
    Pong(u64),
    /// `headers`, at most 2000.
    Headers(Vec<Header>),
    /// `inv`: the announced blocks, of which the last few are kept, and the count of all else.
    Inv {
        /// At most [`MAX_ANNOUNCED`].
        blocks: Vec<BlockHash>,
        /// Entries not kept.
        others: u32,
    },
    /// `addr` or `addrv2`: those with an IP address, at most 1000.
    Addresses(Vec<AddressRecord>),
    /// `getheaders`. What for does not matter: this node has none to give.
    GetHeaders,
    /// A message that was read past.
    Ignored(Command),
}

impl Inbound {
    /// Reads the payload of a command.
    ///
    /// What is allocated is in proportion to the payload, whose length the caller has judged by
    /// [`Command::cap`].
    ///
    /// # Errors
    /// [`DecodeError`] when it is not what its command says.
    pub fn decode(command: Command, payload: &[u8]) -> Result<Self, DecodeError> {
        decode(command, payload)
    }

    /// Its kind; `addr` for addresses of either form.
    #[must_use]
    pub const fn command(&self) -> Command {
        match self {
            Self::Version(_) => Command::Version,
            Self::Verack => Command::Verack,
            Self::WtxidRelay => Command::WtxidRelay,
            Self::SendAddrV2 => Command::SendAddrV2,
            Self::SendHeaders => Command::SendHeaders,
            Self::Ping(_) => Command::Ping,
            Self::Pong(_) => Command::Pong,
            Self::Headers(_) => Command::Headers,
            Self::Inv { .. } => Command::Inv,
            Self::Addresses(_) => Command::Addr,
            Self::GetHeaders => Command::GetHeaders,
            Self::Ignored(command) => *command,
        }
    }

    /// What its bytes count for.
    #[must_use]
    pub const fn purpose(&self) -> Purpose {
        self.command().purpose()
    }
}

/// What this node sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// `version`
    Version(OwnVersion),
    /// `verack`
    Verack,
    /// `wtxidrelay` (BIP339)
    WtxidRelay,
    /// `sendaddrv2` (BIP155)
    SendAddrV2,
    /// `sendheaders` (BIP130)
    SendHeaders,
    /// `ping`
    Ping(u64),
    /// `pong`
    Pong(u64),
    /// `getaddr`
    GetAddr,
    /// `getheaders`
    GetHeaders {
        /// Newest first.
        locator: Vec<BlockHash>,
        /// The last header wanted; all zeros for as many as there are.
        stop: BlockHash,
    },
    /// `headers`
    Headers(Vec<Header>),
}

/// What this node says of itself. It offers nothing and wants no transactions (`relay` off).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnVersion {
    /// The peer's address, as this node sees it.
    pub receiver: SocketAddr,
    /// The time of day.
    pub time: UnixTime,
    /// A number drawn for this connection.
    pub nonce: u64,
    /// The height of the own tip.
    pub start_height: BlockHeight,
}

impl Outbound {
    /// Its kind.
    #[must_use]
    pub const fn command(&self) -> Command {
        match self {
            Self::Version(_) => Command::Version,
            Self::Verack => Command::Verack,
            Self::WtxidRelay => Command::WtxidRelay,
            Self::SendAddrV2 => Command::SendAddrV2,
            Self::SendHeaders => Command::SendHeaders,
            Self::Ping(_) => Command::Ping,
            Self::Pong(_) => Command::Pong,
            Self::GetAddr => Command::GetAddr,
            Self::GetHeaders { .. } => Command::GetHeaders,
            Self::Headers(_) => Command::Headers,
        }
    }

    /// What its bytes count for.
    #[must_use]
    pub const fn purpose(&self) -> Purpose {
        self.command().purpose()
    }

    /// Appends its payload.
    pub fn encode(&self, payload: &mut Vec<u8>) {
        match self {
            Self::Version(version) => version.encode(payload),
            Self::Verack
            | Self::WtxidRelay
            | Self::SendAddrV2
            | Self::SendHeaders
            | Self::GetAddr => {}
            Self::Ping(nonce) | Self::Pong(nonce) => payload.extend(nonce.to_le_bytes()),
            Self::GetHeaders { locator, stop } => append(
                &GetHeadersMessage {
                    version: PROTOCOL_VERSION,
                    locator_hashes: locator.clone(),
                    stop_hash: *stop,
                },
                payload,
            ),
            Self::Headers(headers) => {
                append(&VarInt::from(headers.len()), payload);
                for header in headers {
                    payload.extend(header.as_bytes());
                    payload.push(0);
                }
            }
        }
    }
}

impl OwnVersion {
    fn encode(&self, payload: &mut Vec<u8>) {
        let own_address = SocketAddr::from(([0, 0, 0, 0], 0));
        let message = VersionMessage {
            version: PROTOCOL_VERSION,
            services: ServiceFlags::NONE,
            timestamp: i64::from(self.time.0),
            receiver: Address::new(&self.receiver, ServiceFlags::NONE),
            sender: Address::new(&own_address, ServiceFlags::NONE),
            nonce: self.nonce,
            user_agent: USER_AGENT.to_owned(),
            start_height: i32::try_from(self.start_height.0).unwrap_or(i32::MAX),
            relay: false,
        };
        append(&message, payload);
    }
}

fn append(value: &impl bitcoin::consensus::Encodable, payload: &mut Vec<u8>) {
    // Writing into memory cannot fail.
    let written = value.consensus_encode(payload);
    debug_assert!(written.is_ok());
}

//! The messages that a light client handles, and no more.

use std::net::SocketAddr;
use std::sync::Arc;

use bitcoin::bip158::{FilterHash, FilterHeader};
use bitcoin::consensus::encode::VarInt;
use bitcoin::p2p::ServiceFlags;
use bitcoin::p2p::address::Address;
use bitcoin::p2p::message_blockdata::{GetHeadersMessage, Inventory};
use bitcoin::p2p::message_filter::{GetCFCheckpt, GetCFHeaders, GetCFilters};
use bitcoin::p2p::message_network::VersionMessage;
use bitcoin::{BlockHash, Transaction, Txid, Witness, Wtxid};
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

/// The basic filter (BIP158), the only type that there is.
pub const BASIC_FILTER: u8 = 0;

/// How a transaction is announced: by its txid, or its wtxid (BIP339).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransactionId {
    /// Without witnesses.
    Txid(Txid),
    /// With them.
    Wtxid(Wtxid),
}

impl TransactionId {
    /// As an announcement has it.
    const fn announced(self) -> Inventory {
        match self {
            Self::Txid(txid) => Inventory::Transaction(txid),
            Self::Wtxid(wtxid) => Inventory::WTx(wtxid),
        }
    }

    /// As a request for the transaction with its witnesses has it (BIP144).
    #[must_use]
    pub const fn wanted(self) -> Inventory {
        match self {
            Self::Txid(txid) => Inventory::WitnessTransaction(txid),
            Self::Wtxid(wtxid) => Inventory::WTx(wtxid),
        }
    }
}

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
    /// Whether it wants transactions announced (BIP37).
    pub relay: bool,
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
    /// `inv`: the announced blocks, of which the last few are kept, the announced transactions, and
    /// the count of all else.
    Inv {
        /// At most [`MAX_ANNOUNCED`].
        blocks: Vec<BlockHash>,
        /// At most 50,000.
        transactions: Vec<TransactionId>,
        /// Entries not kept.
        others: u32,
    },
    /// `addr` or `addrv2`: those with an IP address, at most 1000.
    Addresses(Vec<AddressRecord>),
    /// `getheaders`. What for does not matter: this node has none to give.
    GetHeaders,
    /// `cfilter`, of the basic type.
    CFilter {
        /// Its block.
        block: BlockHash,
        /// The filter's bytes.
        filter: Vec<u8>,
    },
    /// `cfheaders`, of the basic type: at most 2000.
    CFHeaders {
        /// The last block.
        stop: BlockHash,
        /// The filter header before the first.
        previous: FilterHeader,
        /// The hashes of the filters.
        hashes: Vec<FilterHash>,
    },
    /// `cfcheckpt`, of the basic type.
    CFCheckpt {
        /// The block up to which they go.
        stop: BlockHash,
        /// Every thousandth filter header.
        headers: Vec<FilterHeader>,
    },
    /// `block`, not decoded.
    Block {
        /// The hash of its header.
        hash: BlockHash,
        /// All of it.
        bytes: Vec<u8>,
    },
    /// `tx`, not decoded.
    Tx(Vec<u8>),
    /// `notfound`
    NotFound(Vec<Inventory>),
    /// `getdata`
    GetData(Vec<Inventory>),
    /// `feefilter`: satoshi for a thousand virtual bytes.
    FeeFilter(u64),
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
            Self::CFilter { .. } => Command::CFilter,
            Self::CFHeaders { .. } => Command::CFHeaders,
            Self::CFCheckpt { .. } => Command::CFCheckpt,
            Self::Block { .. } => Command::Block,
            Self::Tx(_) => Command::Tx,
            Self::NotFound(_) => Command::NotFound,
            Self::GetData(_) => Command::GetData,
            Self::FeeFilter(_) => Command::FeeFilter,
            Self::Ignored(command) => *command,
        }
    }

    /// What its bytes count for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        if let Self::NotFound(entries) | Self::GetData(entries) = self {
            return purpose_of(entries);
        }
        let news_of_transactions = matches!(self, Self::Inv { blocks, .. } if blocks.is_empty());
        if news_of_transactions { Purpose::Transactions } else { self.command().purpose() }
    }
}

/// What is asked for together is of one kind.
fn purpose_of(entries: &[Inventory]) -> Purpose {
    match entries.first() {
        Some(Inventory::Block(_) | Inventory::WitnessBlock(_) | Inventory::CompactBlock(_)) => {
            Purpose::Blocks
        }
        Some(Inventory::Transaction(_) | Inventory::WitnessTransaction(_) | Inventory::WTx(_)) => {
            Purpose::Transactions
        }
        Some(Inventory::Error | Inventory::Unknown { .. }) | None => Purpose::Other,
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
    /// `getcfilters`, of the basic type.
    GetCFilters {
        /// The height of the first block.
        start: BlockHeight,
        /// The last block, at most 999 later.
        stop: BlockHash,
    },
    /// `getcfheaders`, of the basic type.
    GetCFHeaders {
        /// The height of the first block.
        start: BlockHeight,
        /// The last block, at most 1999 later.
        stop: BlockHash,
    },
    /// `getcfcheckpt`, of the basic type.
    GetCFCheckpt {
        /// The last block.
        stop: BlockHash,
    },
    /// `getdata`
    GetData(Vec<Inventory>),
    /// `inv` of transactions.
    Inv(Vec<TransactionId>),
    /// `tx`
    Tx {
        /// The transaction.
        transaction: Arc<Transaction>,
        /// Without its witnesses, as those want it who do not know of them (BIP144).
        stripped: bool,
    },
    /// `notfound`
    NotFound(Vec<Inventory>),
}

/// What this node says of itself. It offers nothing.
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
    /// Whether it wants transactions announced (BIP37).
    pub relay: bool,
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
            Self::GetCFilters { .. } => Command::GetCFilters,
            Self::GetCFHeaders { .. } => Command::GetCFHeaders,
            Self::GetCFCheckpt { .. } => Command::GetCFCheckpt,
            Self::GetData(_) => Command::GetData,
            Self::Inv(_) => Command::Inv,
            Self::Tx { .. } => Command::Tx,
            Self::NotFound(_) => Command::NotFound,
        }
    }

    /// What its bytes count for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        match self {
            Self::GetData(entries) | Self::NotFound(entries) => purpose_of(entries),
            Self::Inv(_) => Purpose::Transactions,
            Self::Version(_)
            | Self::Verack
            | Self::WtxidRelay
            | Self::SendAddrV2
            | Self::SendHeaders
            | Self::Ping(_)
            | Self::Pong(_)
            | Self::GetAddr
            | Self::GetHeaders { .. }
            | Self::Headers(_)
            | Self::GetCFilters { .. }
            | Self::GetCFHeaders { .. }
            | Self::GetCFCheckpt { .. }
            | Self::Tx { .. } => self.command().purpose(),
        }
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
            Self::GetCFilters { start, stop } => append(
                &GetCFilters { filter_type: BASIC_FILTER, start_height: start.0, stop_hash: *stop },
                payload,
            ),
            Self::GetCFHeaders { start, stop } => append(
                &GetCFHeaders {
                    filter_type: BASIC_FILTER,
                    start_height: start.0,
                    stop_hash: *stop,
                },
                payload,
            ),
            Self::GetCFCheckpt { stop } => {
                append(&GetCFCheckpt { filter_type: BASIC_FILTER, stop_hash: *stop }, payload);
            }
            Self::GetData(entries) | Self::NotFound(entries) => append(entries, payload),
            Self::Inv(transactions) => {
                let entries: Vec<_> = transactions.iter().map(|id| id.announced()).collect();
                append(&entries, payload);
            }
            Self::Tx { transaction, stripped: false } => append(&**transaction, payload),
            Self::Tx { transaction, stripped: true } => append(&stripped(transaction), payload),
        }
    }
}

fn stripped(transaction: &Transaction) -> Transaction {
    let mut transaction = transaction.clone();
    transaction.input.iter_mut().for_each(|input| input.witness = Witness::new());
    transaction
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
            relay: self.relay,
        };
        append(&message, payload);
    }
}

fn append(value: &impl bitcoin::consensus::Encodable, payload: &mut Vec<u8>) {
    // Writing into memory cannot fail.
    let written = value.consensus_encode(payload);
    debug_assert!(written.is_ok());
}

//! From a payload to a message.
//!
//! Purpose: structure only; whether a header is valid is decided elsewhere. Written by hand
//! where the `bitcoin` crate (0.32) does not do what is needed: it copies headers into structs of
//! its own, takes 5 MB for a message, refuses a whole `addrv2` for one entry that BIP155 says to
//! ignore, and a `version` with fields that it does not know.
//!
//! Invariant: what is allocated is at most in proportion to the bytes that came; counts are
//! checked against the protocol's limits and against the bytes that are there.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use bitcoin::bip158::{FilterHash, FilterHeader};
use bitcoin::hashes::Hash as _;
use bitcoin::p2p::ServiceFlags;
use bitcoin::p2p::message_blockdata::Inventory;
use bitcoin::{BlockHash, Txid, Wtxid};
use ironlight_spv::peers::AddressRecord;
use ironlight_spv::{BlockHeight, Header, UnixTime};

use super::command::{
    Command, MAX_ADDRESSES, MAX_CHECKPOINTS, MAX_FILTER, MAX_HEADERS, MAX_INVENTORY, MAX_USER_AGENT,
};
use super::message::{BASIC_FILTER, Inbound, MAX_ANNOUNCED, TransactionId, Version};
use crate::net::data::MAX_FILTER_HEADERS;
use crate::net::wire::{Cursor, DecodeError, Problem};

/// Types of an inventory's entries (Core, `protocol.h`, `GetDataMsg`): `MSG_TX`, `MSG_BLOCK` and
/// `MSG_WTX` (BIP339), the first two also with the flag for witnesses (BIP144).
const INVENTORY_TX: u32 = 1;
const INVENTORY_BLOCK: u32 = 2;
const INVENTORY_WTX: u32 = 5;
const WITH_WITNESS: u32 = 1 << 30;
const INVENTORY_WITNESS_TX: u32 = INVENTORY_TX | WITH_WITNESS;
const INVENTORY_WITNESS_BLOCK: u32 = INVENTORY_BLOCK | WITH_WITNESS;
/// An address's length at most (BIP155).
const MAX_ADDRESS: u64 = 512;

/// Decodes a payload.
///
/// # Errors
/// [`DecodeError`] when it is not what its command says.
pub(super) fn decode(command: Command, payload: &[u8]) -> Result<Inbound, DecodeError> {
    let mut cursor = Cursor::new(payload);
    #[rustfmt::skip]
    let message = match command {
        Command::Version => Inbound::Version(version(&mut cursor)?),
        Command::Verack => Inbound::Verack,
        Command::WtxidRelay => Inbound::WtxidRelay,
        Command::SendAddrV2 => Inbound::SendAddrV2,
        Command::SendHeaders => Inbound::SendHeaders,
        Command::Ping => Inbound::Ping(cursor.u64()?),
        Command::Pong => Inbound::Pong(cursor.u64()?),
        Command::Headers => Inbound::Headers(headers(&mut cursor)?),
        Command::Inv => announced(&mut cursor)?,
        Command::Addr => Inbound::Addresses(addresses(&mut cursor)?),
        Command::AddrV2 => Inbound::Addresses(addresses_v2(&mut cursor)?),
        Command::GetHeaders => Inbound::GetHeaders,
        Command::CFilter | Command::CFHeaders | Command::CFCheckpt => {
            // Another type of filter, which nobody asked for.
            if cursor.u8()? == BASIC_FILTER { filters(command, &mut cursor)? } else { Inbound::Ignored(command) }
        }
        Command::Block => block(payload)?,
        Command::Tx => Inbound::Tx(payload.to_vec()),
        Command::NotFound => Inbound::NotFound(inventory(&mut cursor)?),
        Command::GetData => Inbound::GetData(inventory(&mut cursor)?),
        Command::FeeFilter => Inbound::FeeFilter(cursor.u64()?),
        Command::GetAddr | Command::GetBlocks | Command::MemPool
        | Command::SendCmpct | Command::CmpctBlock | Command::GetBlockTxn | Command::BlockTxn
        | Command::SendTxRcncl | Command::MerkleBlock | Command::FilterLoad
        | Command::FilterAdd | Command::FilterClear | Command::GetCFilters
        | Command::GetCFHeaders | Command::GetCFCheckpt | Command::Reject | Command::Alert
        | Command::Unknown(_) => Inbound::Ignored(command),
    };
    Ok(message)
}

/// Later fields than those read here may follow (Core ignores them as well).
fn version(cursor: &mut Cursor<'_>) -> Result<Version, DecodeError> {
    let protocol = cursor.u32()?;
    let services = ServiceFlags::from(cursor.u64()?);
    let _time: [u8; 8] = cursor.array()?;
    let _addresses: [u8; 2 * 26] = cursor.array()?;
    let nonce = cursor.u64()?;
    let length = cursor.count(MAX_USER_AGENT)?;
    let user_agent = plain_text(cursor.take(length)?);
    let height = i32::from_le_bytes(cursor.array()?);
    let start_height = BlockHeight(u32::try_from(height).unwrap_or(0));
    // Without the field a peer wants them (BIP37).
    let relay = !cursor.u8().is_ok_and(|relay| relay == 0);
    Ok(Version { protocol, services, nonce, user_agent, start_height, relay })
}

/// A peer's words, safe to be shown: terminals obey some bytes (Core, `SanitizeString`).
fn plain_text(bytes: &[u8]) -> String {
    let plain = |byte: &u8| {
        let letter = char::from(*byte);
        if letter.is_ascii_alphanumeric() || " .,;-_/:?@()".contains(letter) { letter } else { '?' }
    };
    bytes.iter().map(plain).collect()
}

/// Each header is followed by a count of transactions, which is 0.
fn headers(cursor: &mut Cursor<'_>) -> Result<Vec<Header>, DecodeError> {
    let count = cursor.count(MAX_HEADERS)?;
    let mut headers = Vec::with_capacity(count.min(cursor.left() / (Header::SIZE + 1)));
    for _ in 0..count {
        headers.push(Header::from_bytes(cursor.array()?));
        let place = cursor.clone();
        if cursor.u8()? != 0 {
            return Err(place.error(Problem::TransactionsAfterHeader));
        }
    }
    cursor.end()?;
    Ok(headers)
}

/// What comes with the basic filters of blocks (BIP157).
fn filters(command: Command, cursor: &mut Cursor<'_>) -> Result<Inbound, DecodeError> {
    let block = hash(cursor)?;
    let message = if command == Command::CFilter {
        let length = cursor.count(MAX_FILTER)?;
        Inbound::CFilter { block, filter: cursor.take(length)?.to_vec() }
    } else if command == Command::CFHeaders {
        let previous = hash(cursor)?;
        let hashes: Vec<FilterHash> = hashes(cursor, MAX_FILTER_HEADERS)?;
        Inbound::CFHeaders { stop: block, previous, hashes }
    } else {
        let headers: Vec<FilterHeader> = hashes(cursor, MAX_CHECKPOINTS)?;
        Inbound::CFCheckpt { stop: block, headers }
    };
    cursor.end()?;
    Ok(message)
}

fn hash<H: bitcoin::hashes::Hash<Bytes = [u8; 32]>>(
    cursor: &mut Cursor<'_>,
) -> Result<H, DecodeError> {
    Ok(H::from_byte_array(cursor.array()?))
}

fn hashes<H: bitcoin::hashes::Hash<Bytes = [u8; 32]>>(
    cursor: &mut Cursor<'_>,
    most: u32,
) -> Result<Vec<H>, DecodeError> {
    let count = cursor.count(most)?;
    let mut hashes = Vec::with_capacity(count.min(cursor.left() / 32));
    for _ in 0..count {
        hashes.push(hash(cursor)?);
    }
    Ok(hashes)
}

/// Its header says which one it is; what follows is judged by whoever asked for it.
fn block(payload: &[u8]) -> Result<Inbound, DecodeError> {
    let header = Header::from_bytes(Cursor::new(payload).array()?);
    Ok(Inbound::Block { hash: header.hash(), bytes: payload.to_vec() })
}

fn announced(cursor: &mut Cursor<'_>) -> Result<Inbound, DecodeError> {
    let (mut blocks, mut transactions, mut others) = (Vec::new(), Vec::new(), 0);
    for entry in inventory(cursor)? {
        match entry {
            Inventory::Block(hash) => {
                if blocks.len() == MAX_ANNOUNCED {
                    blocks.remove(0);
                    others += 1;
                }
                blocks.push(hash);
            }
            Inventory::Transaction(txid) => transactions.push(TransactionId::Txid(txid)),
            Inventory::WTx(wtxid) => transactions.push(TransactionId::Wtxid(wtxid)),
            Inventory::Error
            | Inventory::CompactBlock(_)
            | Inventory::WitnessTransaction(_)
            | Inventory::WitnessBlock(_)
            | Inventory::Unknown { .. } => others += 1,
        }
    }
    Ok(Inbound::Inv { blocks, transactions, others })
}

fn inventory(cursor: &mut Cursor<'_>) -> Result<Vec<Inventory>, DecodeError> {
    let count = cursor.count(MAX_INVENTORY)?;
    let mut entries = Vec::with_capacity(count.min(cursor.left() / 36));
    for _ in 0..count {
        let kind = cursor.u32()?;
        let hash: [u8; 32] = cursor.array()?;
        entries.push(entry(kind, hash));
    }
    cursor.end()?;
    Ok(entries)
}

fn entry(kind: u32, hash: [u8; 32]) -> Inventory {
    match kind {
        INVENTORY_TX => Inventory::Transaction(Txid::from_byte_array(hash)),
        INVENTORY_BLOCK => Inventory::Block(BlockHash::from_byte_array(hash)),
        INVENTORY_WTX => Inventory::WTx(Wtxid::from_byte_array(hash)),
        INVENTORY_WITNESS_TX => Inventory::WitnessTransaction(Txid::from_byte_array(hash)),
        INVENTORY_WITNESS_BLOCK => Inventory::WitnessBlock(BlockHash::from_byte_array(hash)),
        inv_type => Inventory::Unknown { inv_type, hash },
    }
}

fn addresses(cursor: &mut Cursor<'_>) -> Result<Vec<AddressRecord>, DecodeError> {
    let count = cursor.count(MAX_ADDRESSES)?;
    let mut addresses = Vec::with_capacity(count.min(cursor.left() / 30));
    for _ in 0..count {
        let last_seen = UnixTime(cursor.u32()?);
        let services = ServiceFlags::from(cursor.u64()?);
        let ip = Ipv6Addr::from(cursor.array::<16>()?);
        let port = cursor.port()?;
        if !is_onion_cat(ip) {
            let addr = SocketAddr::new(IpAddr::V6(ip).to_canonical(), port);
            addresses.push(AddressRecord { addr, services, last_seen });
        }
    }
    cursor.end()?;
    Ok(addresses)
}

fn addresses_v2(cursor: &mut Cursor<'_>) -> Result<Vec<AddressRecord>, DecodeError> {
    let count = cursor.count(MAX_ADDRESSES)?;
    let mut addresses = Vec::new();
    for _ in 0..count {
        let last_seen = UnixTime(cursor.u32()?);
        let services = ServiceFlags::from(cursor.compact()?);
        let ip = ip_v2(cursor)?;
        let port = cursor.port()?;
        if let Some(ip) = ip {
            addresses.push(AddressRecord { addr: SocketAddr::new(ip, port), services, last_seen });
        }
    }
    cursor.end()?;
    Ok(addresses)
}

/// An address as BIP155 writes it; none for a network that is not dialled, and for those that it
/// says to ignore: IPv4 and Tor v2 addresses dressed as IPv6.
fn ip_v2(cursor: &mut Cursor<'_>) -> Result<Option<IpAddr>, DecodeError> {
    let network = cursor.u8()?;
    let start = cursor.clone();
    let length = cursor.compact()?;
    let wrong = || start.error(Problem::AddressLength { network, length });
    let bytes = match usize::try_from(length) {
        Ok(bytes) if length <= MAX_ADDRESS => cursor.take(bytes)?,
        Ok(_) | Err(_) => return Err(wrong()),
    };
    match network {
        1 => <[u8; 4]>::try_from(bytes).map(|ip| Some(IpAddr::from(ip))).map_err(|_| wrong()),
        2 => {
            let ip = <[u8; 16]>::try_from(bytes).map(Ipv6Addr::from).map_err(|_| wrong())?;
            let ignored = ip.to_ipv4_mapped().is_some() || is_onion_cat(ip);
            Ok((!ignored).then_some(IpAddr::V6(ip)))
        }
        // Tor v2 and v3, I2P, CJDNS, and what may come.
        3.. | 0 => Ok(None),
    }
}

/// `fd87:d87e:eb43::/48` carried Tor v2 addresses.
const fn is_onion_cat(ip: Ipv6Addr) -> bool {
    matches!(ip.segments(), [0xfd87, 0xd87e, 0xeb43, ..])
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;

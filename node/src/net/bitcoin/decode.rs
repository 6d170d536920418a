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

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use bitcoin::p2p::ServiceFlags;
use ironlight_spv::peers::AddressRecord;
use ironlight_spv::{BlockHeight, Header, UnixTime};

use super::command::{Command, MAX_ADDRESSES, MAX_HEADERS, MAX_INVENTORY, MAX_USER_AGENT};
use super::message::{Inbound, MAX_ANNOUNCED, Version};
use crate::net::wire::{Cursor, DecodeError, Problem};

/// `MSG_BLOCK`, the type of a block in an `inv`.
const INVENTORY_BLOCK: u32 = 2;
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
        Command::Inv => inventory(&mut cursor)?,
        Command::Addr => Inbound::Addresses(addresses(&mut cursor)?),
        Command::AddrV2 => Inbound::Addresses(addresses_v2(&mut cursor)?),
        Command::GetHeaders => Inbound::GetHeaders,
        Command::GetAddr | Command::NotFound | Command::GetData | Command::GetBlocks
        | Command::MemPool | Command::Tx | Command::Block | Command::FeeFilter
        | Command::SendCmpct | Command::CmpctBlock | Command::GetBlockTxn | Command::BlockTxn
        | Command::SendTxRcncl | Command::MerkleBlock | Command::FilterLoad
        | Command::FilterAdd | Command::FilterClear | Command::GetCFilters | Command::CFilter
        | Command::GetCFHeaders | Command::CFHeaders | Command::GetCFCheckpt
        | Command::CFCheckpt | Command::Reject | Command::Alert
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
    Ok(Version { protocol, services, nonce, user_agent, start_height })
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

fn inventory(cursor: &mut Cursor<'_>) -> Result<Inbound, DecodeError> {
    let count = cursor.count(MAX_INVENTORY)?;
    let mut blocks = Vec::new();
    let mut entries = 0;
    for _ in 0..count {
        entries += 1;
        let kind = cursor.u32()?;
        let hash = BlockHash::from_byte_array(cursor.array()?);
        if kind == INVENTORY_BLOCK {
            if blocks.len() == MAX_ANNOUNCED {
                blocks.remove(0);
            }
            blocks.push(hash);
        }
    }
    cursor.end()?;
    let kept = u32::try_from(blocks.len()).unwrap_or(u32::MAX);
    Ok(Inbound::Inv { blocks, others: entries - kept })
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

//! What a full node is asked.

use bitcoin::Transaction;
use bitcoin::consensus::encode::{self, deserialize, deserialize_partial};
use bitcoin::p2p::message_blockdata::{GetHeadersMessage, Inventory};
use bitcoin::p2p::message_filter::{GetCFCheckpt, GetCFHeaders, GetCFilters};
use bitcoin::p2p::message_network::VersionMessage;

use crate::net::bitcoin::command::Command;

/// A message of a peer's.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Version(Box<VersionMessage>),
    Verack,
    SendHeaders,
    Ping(u64),
    GetHeaders(GetHeadersMessage),
    GetData(Vec<Inventory>),
    GetCFilters(GetCFilters),
    GetCFHeaders(GetCFHeaders),
    GetCFCheckpt(GetCFCheckpt),
    Inv(Vec<Inventory>),
    Tx(Box<Transaction>),
}

/// Whether a payload is of use; all others are read past: what a peer says of itself and its
/// wishes, its blocks, and `getaddr`, to which there is nothing to say.
pub(super) const fn is_request(command: Command) -> bool {
    matches!(
        command,
        Command::Version
            | Command::Verack
            | Command::SendHeaders
            | Command::Ping
            | Command::GetHeaders
            | Command::GetData
            | Command::GetCFilters
            | Command::GetCFHeaders
            | Command::GetCFCheckpt
            | Command::Inv
            | Command::Tx
    )
}

/// Decodes a payload; none for a command that is not a request. What it allocates is bounded by
/// the command's cap, which was checked before the payload was read.
pub(super) fn decode(command: Command, payload: &[u8]) -> Result<Option<Request>, encode::Error> {
    let request = if command == Command::Version {
        // Later fields may follow (Core ignores them as well).
        let (version, _read) = deserialize_partial(payload)?;
        Request::Version(Box::new(version))
    } else if command == Command::Verack {
        Request::Verack
    } else if command == Command::SendHeaders {
        Request::SendHeaders
    } else if command == Command::Ping {
        Request::Ping(deserialize(payload)?)
    } else if command == Command::GetHeaders {
        Request::GetHeaders(deserialize(payload)?)
    } else if command == Command::GetData {
        Request::GetData(deserialize(payload)?)
    } else if command == Command::GetCFilters {
        Request::GetCFilters(deserialize(payload)?)
    } else if command == Command::GetCFHeaders {
        Request::GetCFHeaders(deserialize(payload)?)
    } else if command == Command::GetCFCheckpt {
        Request::GetCFCheckpt(deserialize(payload)?)
    } else if command == Command::Inv {
        Request::Inv(deserialize(payload)?)
    } else if command == Command::Tx {
        Request::Tx(Box::new(deserialize(payload)?))
    } else {
        return Ok(None);
    };
    Ok(Some(request))
}

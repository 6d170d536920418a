//! Getting to know a peer that we dialled.
//!
//! The order: our `version`; the peer's `version`; our `wtxidrelay` (BIP339) and `sendaddrv2`
//! (BIP155), which have their place between version and verack, and our `verack`; the peer's
//! `verack`; our `sendheaders` (BIP130).
//!
//! Invariant: it ends within its deadline, and after at most [`MAX_MESSAGES`] messages. Nothing
//! comes before the peer's version, and no second version is accepted.

use std::fmt;
use std::time::Duration;

use bitcoin::p2p::ServiceFlags;
use ironlight_spv::peers::{DialFailure, Offence};
use tokio::time::timeout;

use super::command::Command;
use super::message::{Inbound, Outbound, OwnVersion, Version};
use super::transport::{MessageReader, MessageWriter, TransportError};

/// Older peers are of no use: `sendheaders` came with 70012 (BIP130).
pub const MIN_PROTOCOL_VERSION: u32 = 70_012;

/// Messages accepted before the peer's verack. Bitcoin Core sends four.
pub const MAX_MESSAGES: usize = 32;

/// What a handshake asks for.
#[derive(Clone, Copy, Debug)]
pub struct HandshakeConfig {
    /// All of it takes at most this.
    pub within: Duration,
    /// The services that a peer must offer. `NETWORK_LIMITED` is not `NETWORK`: such a peer has
    /// no obligation to serve headers of old blocks.
    pub required: ServiceFlags,
}

impl Default for HandshakeConfig {
    fn default() -> Self {
        Self { within: Duration::from_secs(10), required: ServiceFlags::NETWORK }
    }
}

/// Why there was no handshake.
#[derive(Debug)]
#[non_exhaustive]
pub enum HandshakeError {
    /// It was not done in time.
    Timeout {
        /// The time allowed.
        within: Duration,
    },
    /// The connection failed, or carried something that is no message.
    Transport(TransportError),
    /// The peer spoke before it said who it is.
    BeforeVersion {
        /// What it sent.
        command: Command,
    },
    /// It said twice who it is.
    DuplicateVersion,
    /// Too many messages before its verack.
    TooManyMessages,
    /// Its version carries the number that we drew: it is this node, or an echo.
    Ourselves,
    /// It is too old.
    OldProtocol {
        /// The protocol version that it speaks.
        got: u32,
    },
    /// It does not offer what is needed.
    MissingServices {
        /// What is needed.
        required: ServiceFlags,
        /// What it offers.
        got: ServiceFlags,
    },
}

impl HandshakeError {
    /// What the policy is to think of it.
    #[must_use]
    pub const fn failure(&self) -> DialFailure {
        match self {
            Self::Timeout { .. } => DialFailure::Unreachable,
            Self::Transport(error) => match error.offence() {
                Some(offence) => DialFailure::Offended(offence),
                None => DialFailure::Unreachable,
            },
            Self::BeforeVersion { .. } | Self::DuplicateVersion | Self::TooManyMessages => {
                DialFailure::Offended(Offence::ProtocolViolation)
            }
            Self::Ourselves | Self::OldProtocol { .. } | Self::MissingServices { .. } => {
                DialFailure::Unsuitable
            }
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout { within } => write!(f, "no handshake within {within:?}"),
            Self::Transport(error) => error.fmt(f),
            Self::BeforeVersion { command } => write!(f, "a {command} message before version"),
            Self::DuplicateVersion => f.write_str("a second version message"),
            Self::TooManyMessages => f.write_str("too many messages before verack"),
            Self::Ourselves => f.write_str("connected to ourselves"),
            Self::OldProtocol { got } => {
                write!(f, "protocol version {got}, at least {MIN_PROTOCOL_VERSION} needed")
            }
            Self::MissingServices { required, got } => {
                write!(f, "offers {got}, not all of {required}")
            }
        }
    }
}

impl std::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Transport(error) => Some(error),
            Self::Timeout { .. }
            | Self::BeforeVersion { .. }
            | Self::DuplicateVersion
            | Self::TooManyMessages
            | Self::Ourselves
            | Self::OldProtocol { .. }
            | Self::MissingServices { .. } => None,
        }
    }
}

impl From<TransportError> for HandshakeError {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

/// Who answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// What it says of itself.
    pub version: Version,
    /// Whether transactions are announced to it by their wtxid (BIP339).
    pub wtxid_relay: bool,
}

/// Shakes hands over a fresh connection that we made, and says who answered.
///
/// Not cancel safe: the connection is of no use after it was cut off.
///
/// # Errors
/// [`HandshakeError`]; the connection is of no use after it.
pub async fn handshake(
    reader: &mut impl MessageReader,
    writer: &mut impl MessageWriter,
    own: OwnVersion,
    config: HandshakeConfig,
) -> Result<Greeting, HandshakeError> {
    let within = config.within;
    timeout(within, exchange(reader, writer, own, config))
        .await
        .unwrap_or(Err(HandshakeError::Timeout { within }))
}

async fn exchange(
    reader: &mut impl MessageReader,
    writer: &mut impl MessageWriter,
    own: OwnVersion,
    config: HandshakeConfig,
) -> Result<Greeting, HandshakeError> {
    let nonce = own.nonce;
    writer.send(&Outbound::Version(own)).await?;
    let first = reader.recv().await?.message;
    let Inbound::Version(theirs) = first else {
        return Err(HandshakeError::BeforeVersion { command: first.command() });
    };
    check(&theirs, nonce, config.required)?;
    for message in [Outbound::WtxidRelay, Outbound::SendAddrV2, Outbound::Verack] {
        writer.send(&message).await?;
    }
    let wtxid_relay = wait_for_verack(reader).await?;
    writer.send(&Outbound::SendHeaders).await?;
    Ok(Greeting { version: theirs, wtxid_relay })
}

fn check(theirs: &Version, nonce: u64, required: ServiceFlags) -> Result<(), HandshakeError> {
    if theirs.nonce == nonce {
        return Err(HandshakeError::Ourselves);
    }
    if theirs.protocol < MIN_PROTOCOL_VERSION {
        return Err(HandshakeError::OldProtocol { got: theirs.protocol });
    }
    if !theirs.services.has(required) {
        return Err(HandshakeError::MissingServices { required, got: theirs.services });
    }
    Ok(())
}

/// Between version and verack a peer says what it can do: whether it goes by wtxids, too. What comes
/// too early is passed over, as Core does ("non-version message before version handshake" is only
/// logged there).
async fn wait_for_verack(reader: &mut impl MessageReader) -> Result<bool, HandshakeError> {
    let mut wtxid_relay = false;
    for _ in 0..MAX_MESSAGES {
        match reader.recv().await?.message {
            Inbound::Verack => return Ok(wtxid_relay),
            Inbound::Version(_) => return Err(HandshakeError::DuplicateVersion),
            Inbound::WtxidRelay => wtxid_relay = true,
            Inbound::SendAddrV2
            | Inbound::SendHeaders
            | Inbound::Ping(_)
            | Inbound::Pong(_)
            | Inbound::Headers(_)
            | Inbound::Inv { .. }
            | Inbound::Addresses(_)
            | Inbound::GetHeaders
            | Inbound::CFilter { .. }
            | Inbound::CFHeaders { .. }
            | Inbound::CFCheckpt { .. }
            | Inbound::Block { .. }
            | Inbound::Tx(_)
            | Inbound::NotFound(_)
            | Inbound::GetData(_)
            | Inbound::FeeFilter(_)
            | Inbound::Ignored(_) => {}
        }
    }
    Err(HandshakeError::TooManyMessages)
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;

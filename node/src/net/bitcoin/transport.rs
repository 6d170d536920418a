//! Between a stream of bytes and messages.
//!
//! Purpose: the seam for other ways to carry the same messages (encryption by BIP324, proxies,
//! simulated networks). Whoever implements [`Transport`] frames messages; whoever implements
//! [`Connect`] makes such a transport out of an address. A transport is cut in two halves, so
//! that a peer that does not read cannot keep us from reading.
//!
//! Every refusal carries its evidence, and says through [`TransportError::offence`] what the
//! peer is to be blamed for, if for anything.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ironlight_spv::peers::Offence;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::awaited::Progress;
use super::command::Command;
use super::message::{Inbound, Outbound};
use super::v1::V1;
use crate::net::wire::{DecodeError, Problem};

/// A message and what it cost to carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The message.
    pub message: Inbound,
    /// Bytes on the wire, frame included.
    pub bytes: u32,
}

/// The half that receives.
pub trait MessageReader: Send + 'static {
    /// The next message.
    ///
    /// Cancel safe: what was read of a message is kept and the next call goes on from there.
    ///
    /// # Errors
    /// [`TransportError`]; the reader is of no use after it.
    fn recv(&mut self) -> impl Future<Output = Result<Received, TransportError>> + Send;

    /// From now on notes there when a piece of a block or filter comes, which takes longer than it may
    /// be silent.
    fn note_progress(&mut self, progress: Progress);
}

/// The half that sends.
pub trait MessageWriter: Send + 'static {
    /// Sends a message and says how many bytes that took.
    ///
    /// Not cancel safe: a message that was cut off leaves the stream unusable.
    ///
    /// # Errors
    /// [`TransportError::Io`]
    fn send(
        &mut self,
        message: &Outbound,
    ) -> impl Future<Output = Result<u32, TransportError>> + Send;
}

/// A connection that carries messages.
pub trait Transport: Send + 'static {
    /// The half that receives.
    type Reader: MessageReader;
    /// The half that sends.
    type Writer: MessageWriter;

    /// Cuts it in two.
    fn split(self) -> (Self::Reader, Self::Writer);
}

/// Makes connections.
pub trait Connect: Send + Sync + 'static {
    /// What they carry messages with.
    type Transport: Transport;

    /// Connects to an address. Bounded in time by the implementation. Cancel safe: a connection
    /// that is not made yet is given up.
    ///
    /// # Errors
    /// When there is no connection.
    fn connect(&self, addr: SocketAddr)
    -> impl Future<Output = io::Result<Self::Transport>> + Send;
}

/// Connects over plain TCP and speaks the v1 protocol.
#[derive(Clone, Copy, Debug)]
pub struct TcpConnector {
    /// The network's first four bytes.
    pub magic: [u8; 4],
    /// How long to wait for a connection.
    pub within: Duration,
}

impl TcpConnector {
    /// Waits at most five seconds for a connection, as Bitcoin Core does (`-timeout`).
    #[must_use]
    pub const fn new(magic: [u8; 4]) -> Self {
        Self { magic, within: Duration::from_secs(5) }
    }
}

impl Connect for TcpConnector {
    type Transport = V1<TcpStream>;

    async fn connect(&self, addr: SocketAddr) -> io::Result<V1<TcpStream>> {
        let stream = timeout(self.within, TcpStream::connect(addr)).await??;
        // Requests are small and waited for: no reason to hold them back.
        stream.set_nodelay(true)?;
        Ok(V1::new(stream, self.magic))
    }
}

/// Why no message came, or none could be sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransportError {
    /// The stream failed.
    Io(io::Error),
    /// The peer hung up.
    Closed {
        /// In the middle of a message.
        mid_message: bool,
    },
    /// The frame of another network, or no frame at all.
    WrongMagic {
        /// This network's.
        expected: [u8; 4],
        /// What came.
        got: [u8; 4],
    },
    /// A command that is not printable text padded with zeros.
    BadCommand {
        /// What came.
        got: [u8; Command::SIZE],
    },
    /// A message longer than its kind allows. Nothing of its payload was read.
    Oversized {
        /// Its kind.
        command: Command,
        /// The length in its frame.
        length: u32,
        /// The length allowed.
        cap: u32,
    },
    /// The payload is not the one that the frame speaks of.
    BadChecksum {
        /// Its kind.
        command: Command,
        /// By the frame.
        expected: [u8; 4],
        /// By the payload.
        got: [u8; 4],
    },
    /// The payload is not what the command says.
    Malformed {
        /// Its kind.
        command: Command,
        /// What is wrong with it.
        source: DecodeError,
    },
}

impl TransportError {
    /// What the peer did wrong; nothing when it hung up or the line broke.
    #[must_use]
    pub const fn offence(&self) -> Option<Offence> {
        match self {
            Self::Io(_) | Self::Closed { .. } => None,
            Self::WrongMagic { .. } => Some(Offence::WrongNetwork),
            Self::BadCommand { .. } => Some(Offence::ProtocolViolation),
            Self::Oversized { command: Command::Headers, .. }
            | Self::Malformed {
                command: Command::Headers,
                source: DecodeError { problem: Problem::TooMany { .. }, .. },
            } => Some(Offence::TooManyHeaders),
            Self::Oversized { .. } => Some(Offence::Oversized),
            Self::BadChecksum { .. } => Some(Offence::BadChecksum),
            Self::Malformed { .. } => Some(Offence::ProtocolViolation),
        }
    }
}

impl std::fmt::Display for TransportError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the connection failed: {error}"),
            Self::Closed { mid_message: false } => f.write_str("the peer hung up"),
            Self::Closed { mid_message: true } => {
                f.write_str("the peer hung up in the middle of a message")
            }
            Self::WrongMagic { expected, got } => {
                write!(
                    f,
                    "not this network: its messages start with {expected:02x?}, got {got:02x?}"
                )
            }
            Self::BadCommand { got } => write!(f, "not a command: {got:02x?}"),
            Self::Oversized { command, length, cap } => {
                write!(f, "a {command} message of {length} bytes, at most {cap} allowed")
            }
            Self::BadChecksum { command, expected, got } => {
                write!(f, "a {command} message with checksum {got:02x?}, expected {expected:02x?}")
            }
            Self::Malformed { command, source } => {
                write!(f, "a malformed {command} message: {source}")
            }
        }
    }
}

impl std::error::Error for TransportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Malformed { source, .. } => Some(source),
            Self::Closed { .. }
            | Self::WrongMagic { .. }
            | Self::BadCommand { .. }
            | Self::Oversized { .. }
            | Self::BadChecksum { .. } => None,
        }
    }
}

impl From<io::Error> for TransportError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

//! Reads frames of the v1 protocol (Core, `protocol.h`, `CMessageHeader`).
//!
//! The framing is that of [`crate::net::bitcoin::v1`], with the same caps; what differs is which
//! messages are of use: a full node is asked, a light client is answered.

use std::io;

use bitcoin::consensus::encode;
use bitcoin::hashes::{Hash as _, sha256d};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::requests::{Request, decode, is_request};
use crate::net::bitcoin::command::Command;
use crate::net::bitcoin::v1::{CHUNK, FRAME, KEEP};

/// Why a peer is hung up on.
#[derive(Debug, thiserror::Error)]
pub(super) enum PeerError {
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("the peer hung up")]
    Closed,
    #[error("not regtest, or no frame at all: {got:02x?}")]
    WrongMagic { got: [u8; 4] },
    #[error("not a command")]
    BadCommand,
    #[error("a {command} message of {length} bytes")]
    Oversized { command: Command, length: u32 },
    #[error("a {command} message with a wrong checksum")]
    BadChecksum { command: Command },
    #[error("a malformed {command} message: {source}")]
    Malformed { command: Command, source: encode::Error },
    #[error("{0} before the handshake")]
    TooEarly(&'static str),
    #[error("a second version")]
    SecondVersion,
    #[error("a bad request for filters")]
    BadFilterRequest,
    #[error("nothing within the time allowed: {0}")]
    Deadline(&'static str),
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    command: Command,
    length: usize,
    checksum: [u8; 4],
}

/// Reads requests from a stream.
#[derive(Debug)]
pub(super) struct FrameReader<R> {
    stream: R,
    magic: [u8; 4],
    /// Bytes of a frame, or of a payload that is of use.
    buffer: Vec<u8>,
    frame: Option<Frame>,
    /// Payload bytes still to be read past.
    skip: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) const fn new(stream: R, magic: [u8; 4]) -> Self {
        Self { stream, magic, buffer: Vec::new(), frame: None, skip: 0 }
    }

    /// The next request. Cancel safe: what was read is kept.
    pub(super) async fn next(&mut self) -> Result<Request, PeerError> {
        loop {
            if let Some(request) = self.take()? {
                return Ok(request);
            }
            self.buffer.reserve(CHUNK);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(PeerError::Closed);
            }
        }
    }

    /// A request from what is here; none when more has to come.
    fn take(&mut self) -> Result<Option<Request>, PeerError> {
        loop {
            let skipped = self.skip.min(self.buffer.len());
            self.buffer.drain(..skipped);
            self.skip = self.skip.saturating_sub(skipped);
            let Some(frame) = self.frame()? else { return Ok(None) };
            if !is_request(frame.command) {
                self.skip = frame.length;
                self.frame = None;
                continue;
            }
            let Some(payload) = self.buffer.get(..frame.length) else { return Ok(None) };
            let request = read(&frame, payload)?;
            self.buffer.drain(..frame.length);
            self.buffer.shrink_to(KEEP);
            self.frame = None;
            if request.is_some() {
                return Ok(request);
            }
        }
    }

    /// The frame that is being read, judged before a byte of its payload is kept.
    fn frame(&mut self) -> Result<Option<Frame>, PeerError> {
        if self.skip > 0 {
            return Ok(None);
        }
        if self.frame.is_none() {
            let Some(bytes) = self.buffer.first_chunk::<FRAME>() else { return Ok(None) };
            self.frame = Some(judge(bytes, self.magic)?);
            self.buffer.drain(..FRAME);
        }
        Ok(self.frame)
    }
}

fn read(frame: &Frame, payload: &[u8]) -> Result<Option<Request>, PeerError> {
    let command = frame.command;
    let [a, b, c, d, ..] = sha256d::Hash::hash(payload).to_byte_array();
    if frame.checksum != [a, b, c, d] {
        return Err(PeerError::BadChecksum { command });
    }
    decode(command, payload).map_err(|source| PeerError::Malformed { command, source })
}

fn judge(bytes: &[u8; FRAME], expected: [u8; 4]) -> Result<Frame, PeerError> {
    let [m0, m1, m2, m3, name @ .., l0, l1, l2, l3, c0, c1, c2, c3] = *bytes;
    let got = [m0, m1, m2, m3];
    if got != expected {
        return Err(PeerError::WrongMagic { got });
    }
    let command = Command::from_wire(name).ok_or(PeerError::BadCommand)?;
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    if length > command.cap() {
        return Err(PeerError::Oversized { command, length });
    }
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    Ok(Frame { command, length, checksum: [c0, c1, c2, c3] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::consensus::serialize;
    use bitcoin::p2p::Magic;
    use bitcoin::p2p::message::{NetworkMessage, RawNetworkMessage};

    const MAGIC: [u8; 4] = [0xfa, 0xbf, 0xb5, 0xda];

    fn bytes(message: NetworkMessage) -> Vec<u8> {
        serialize(&RawNetworkMessage::new(Magic::REGTEST, message))
    }

    async fn read(bytes: &[u8]) -> Result<Request, PeerError> {
        FrameReader::new(bytes, MAGIC).next().await
    }

    #[tokio::test]
    async fn requests_are_found_behind_messages_that_are_read_past() {
        let mut stream = bytes(NetworkMessage::FeeFilter(1000));
        stream.extend(bytes(NetworkMessage::Alert(vec![1; 100_000])));
        stream.extend(bytes(NetworkMessage::GetAddr));
        stream.extend(bytes(NetworkMessage::Ping(7)));
        assert!(matches!(read(&stream).await, Ok(Request::Ping(7))));
        let mut reader = FrameReader::new(stream.as_slice(), MAGIC);
        reader.next().await.unwrap();
        assert!(matches!(reader.next().await, Err(PeerError::Closed)));
    }

    #[tokio::test]
    async fn a_frame_is_judged_before_its_payload_comes() {
        let mut frame = bytes(NetworkMessage::Ping(7));
        frame.truncate(FRAME);
        frame[16..20].copy_from_slice(&9u32.to_le_bytes());
        assert!(matches!(read(&frame).await, Err(PeerError::Oversized { length: 9, .. })));
        frame[0] ^= 1;
        assert!(matches!(read(&frame).await, Err(PeerError::WrongMagic { .. })));
        let mut spoilt = bytes(NetworkMessage::Ping(7));
        spoilt[FRAME] ^= 1;
        assert!(matches!(read(&spoilt).await, Err(PeerError::BadChecksum { .. })));
    }
}

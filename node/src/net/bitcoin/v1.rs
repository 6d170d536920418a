//! The v1 protocol: each message with a frame of 24 bytes, in the clear.
//!
//! A frame is the network's magic, the command in 12 bytes, the payload's length and the first
//! four bytes of its double SHA-256 (Bitcoin Core, `protocol.h`, `CMessageHeader`).
//!
//! Invariant: the frame is judged before a byte of the payload is stored. A payload that is of
//! use is stored as it comes, in a buffer that grows to one [`CHUNK`] or twice what has come, and
//! never beyond the payload's length; one that is not is read past through a buffer of one chunk.
//! So memory is paid for in bytes, not in lengths.
//!
//! What an attacker can grow: one payload, up to its command's cap, and once it is all there the
//! message that is made of it; what is above [`KEEP`] is given back once the message is done.

use bitcoin::hashes::{Hash as _, sha256d};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf, split,
};

use super::awaited::Progress;
use super::command::{Command, Handling};
use super::message::{Inbound, Outbound};
use super::transport::{MessageReader, MessageWriter, Received, Transport, TransportError};

/// Bytes in a frame.
pub const FRAME: usize = 24;
/// The most that is read of a payload at once, and the memory that the first of its bytes takes.
pub const CHUNK: usize = 16 * 1024;
/// Memory kept for the next message: enough for the largest `headers`.
pub const KEEP: usize = 256 * 1024;

/// A stream that speaks v1.
#[derive(Debug)]
pub struct V1<S> {
    stream: S,
    magic: [u8; 4],
}

impl<S> V1<S> {
    /// Takes a fresh stream.
    #[must_use]
    pub const fn new(stream: S, magic: [u8; 4]) -> Self {
        Self { stream, magic }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> Transport for V1<S> {
    type Reader = V1Reader<ReadHalf<S>>;
    type Writer = V1Writer<WriteHalf<S>>;

    fn split(self) -> (Self::Reader, Self::Writer) {
        let (reader, writer) = split(self.stream);
        (V1Reader::new(reader, self.magic), V1Writer::new(writer, self.magic))
    }
}

/// The half that receives.
#[derive(Debug)]
pub struct V1Reader<R> {
    stream: R,
    magic: [u8; 4],
    frame: [u8; FRAME],
    /// Bytes of the frame that are here.
    framed: usize,
    /// The frame of the payload that is being read, once judged.
    current: Option<Frame>,
    /// Payload bytes read, kept or not.
    read: usize,
    payload: Vec<u8>,
    progress: Option<Progress>,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    command: Command,
    length: u32,
    checksum: [u8; 4],
}

impl Frame {
    fn payload_len(&self) -> usize {
        usize::try_from(self.length).unwrap_or(usize::MAX)
    }
}

impl<R: AsyncRead + Send + Unpin + 'static> V1Reader<R> {
    /// Reads from a fresh stream.
    #[must_use]
    pub const fn new(stream: R, magic: [u8; 4]) -> Self {
        Self {
            stream,
            magic,
            frame: [0; FRAME],
            framed: 0,
            current: None,
            read: 0,
            payload: Vec::new(),
            progress: None,
        }
    }

    /// Bytes of memory held for payloads, be it for the one that is being read or for the next.
    #[must_use]
    pub const fn memory(&self) -> usize {
        self.payload.capacity()
    }

    async fn frame(&mut self) -> Result<Frame, TransportError> {
        if let Some(frame) = self.current {
            return Ok(frame);
        }
        while let Some(missing @ [_, ..]) = self.frame.get_mut(self.framed..) {
            let read = self.stream.read(missing).await?;
            if read == 0 {
                return Err(TransportError::Closed { mid_message: self.framed > 0 });
            }
            self.framed += read;
        }
        let frame = judge(&self.frame, self.magic)?;
        self.current = Some(frame);
        Ok(frame)
    }

    async fn payload(&mut self, frame: &Frame) -> Result<(), TransportError> {
        while self.read < frame.payload_len() {
            if frame.command.handling() == Handling::Skip {
                self.payload.clear();
            }
            make_room(&mut self.payload, frame.payload_len());
            let room = self.payload.capacity() - self.payload.len();
            let wanted = CHUNK.min(frame.payload_len() - self.read).min(room);
            let limit = u64::try_from(wanted).unwrap_or(u64::MAX);
            let read = (&mut self.stream).take(limit).read_buf(&mut self.payload).await?;
            if read == 0 {
                return Err(TransportError::Closed { mid_message: true });
            }
            self.read += read;
            if frame.command.takes_long()
                && let Some(progress) = &self.progress
            {
                progress.note();
            }
        }
        Ok(())
    }

    fn finish(&mut self, frame: &Frame) -> Result<Received, TransportError> {
        let command = frame.command;
        // What was read past is not here to be checked, and nothing depends on it.
        if command.handling() == Handling::Decode {
            let got = checksum(&self.payload);
            if got != frame.checksum {
                let expected = frame.checksum;
                return Err(TransportError::BadChecksum { command, expected, got });
            }
        } else {
            self.payload.clear();
        }
        let message = Inbound::decode(command, &self.payload)
            .map_err(|source| TransportError::Malformed { command, source })?;
        self.payload.clear();
        self.payload.shrink_to(KEEP);
        (self.framed, self.read, self.current) = (0, 0, None);
        let bytes = frame.length.saturating_add(u32::try_from(FRAME).unwrap_or(u32::MAX));
        Ok(Received { message, bytes })
    }
}

impl<R: AsyncRead + Send + Unpin + 'static> MessageReader for V1Reader<R> {
    async fn recv(&mut self) -> Result<Received, TransportError> {
        let frame = self.frame().await?;
        self.payload(&frame).await?;
        self.finish(&frame)
    }

    fn note_progress(&mut self, progress: Progress) {
        self.progress = Some(progress);
    }
}

/// Room for the next bytes of a payload: twice as much when it is used up, so that a long payload
/// is not copied once a chunk, but not more than all of it takes, as `Vec::reserve` might.
fn make_room(payload: &mut Vec<u8>, whole: usize) {
    let length = payload.len();
    if payload.capacity() == length || payload.capacity() < whole.min(CHUNK) {
        let room = whole.min(CHUNK.max(length.saturating_mul(2)));
        payload.reserve_exact(room.saturating_sub(length));
    }
}

/// Magic, then name, then length: a stream that is something else altogether is told by the
/// first.
fn judge(bytes: &[u8; FRAME], expected: [u8; 4]) -> Result<Frame, TransportError> {
    let [m0, m1, m2, m3, rest @ ..] = *bytes;
    let got = [m0, m1, m2, m3];
    if got != expected {
        return Err(TransportError::WrongMagic { expected, got });
    }
    let [name @ .., l0, l1, l2, l3, c0, c1, c2, c3] = rest;
    let command = Command::from_wire(name).ok_or(TransportError::BadCommand { got: name })?;
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    let cap = command.cap();
    if length > cap {
        return Err(TransportError::Oversized { command, length, cap });
    }
    Ok(Frame { command, length, checksum: [c0, c1, c2, c3] })
}

fn checksum(payload: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = sha256d::Hash::hash(payload).to_byte_array();
    [a, b, c, d]
}

/// The half that sends.
#[derive(Debug)]
pub struct V1Writer<W> {
    stream: W,
    magic: [u8; 4],
    buffer: Vec<u8>,
}

impl<W: AsyncWrite + Send + Unpin + 'static> V1Writer<W> {
    /// Writes to a fresh stream.
    #[must_use]
    pub const fn new(stream: W, magic: [u8; 4]) -> Self {
        Self { stream, magic, buffer: Vec::new() }
    }
}

impl<W: AsyncWrite + Send + Unpin + 'static> MessageWriter for V1Writer<W> {
    async fn send(&mut self, message: &Outbound) -> Result<u32, TransportError> {
        frame_message(message, self.magic, &mut self.buffer);
        self.stream.write_all(&self.buffer).await?;
        self.stream.flush().await?;
        Ok(u32::try_from(self.buffer.len()).unwrap_or(u32::MAX))
    }
}

/// Writes a message with its frame into an emptied buffer.
fn frame_message(message: &Outbound, magic: [u8; 4], buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.resize(FRAME, 0);
    message.encode(buffer);
    let Some((frame, payload)) = buffer.split_first_chunk_mut::<FRAME>() else {
        return;
    };
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    frame[..4].copy_from_slice(&magic);
    frame[4..16].copy_from_slice(&message.command().to_wire());
    frame[16..20].copy_from_slice(&length.to_le_bytes());
    frame[20..].copy_from_slice(&checksum(payload));
}

#[cfg(test)]
#[path = "v1_tests.rs"]
mod tests;

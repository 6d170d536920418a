//! Bitcoin's v1 frames: however a stream is cut into pieces, and wherever the wait for a piece is
//! given up, the reader finds the messages and the error that a plain reading of the whole stream
//! finds, and holds no more memory than it says.
//!
//! The first byte chooses: 1, the frames get the right magic and checksums, without which
//! everything would end at the first; 2, the stream goes on with zeros, 256 times as many as the
//! second byte says, so that payloads outgrow their first buffer. The third byte chooses the
//! pieces.

#![cfg_attr(all(feature = "libfuzzer", not(test)), no_main)]

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bitcoin::hashes::{Hash as _, sha256d};
use ironlight::net::bitcoin::command::{Command, Handling};
use ironlight::net::bitcoin::message::{Inbound, Outbound};
use ironlight::net::bitcoin::transport::{MessageReader as _, Received, TransportError};
use ironlight::net::bitcoin::v1::{CHUNK, FRAME, V1Reader};
use ironlight_fuzz::names_its_place;
use ironlight_spv::generate::Miner;
use ironlight_spv::peers::SplitMix64;
use ironlight_spv::{Network, Params};
use tokio::io::{AsyncRead, ReadBuf};

ironlight_fuzz::target!(check, seeds);

const MAGIC: [u8; 4] = [0xfa, 0xbf, 0xb5, 0xda];
const MENDED: u8 = 1;
const LONGER: u8 = 2;

type Outcome = Result<Received, TransportError>;

fn check(data: &[u8]) {
    let Some(([choice, zeros, pieces], stream)) = data.split_first_chunk() else { return };
    let mut stream = stream.to_vec();
    if choice & LONGER != 0 {
        stream.resize(stream.len() + usize::from(*zeros) * 256, 0);
    }
    if choice & MENDED != 0 {
        mend(&mut stream);
    }
    let (expected, most) = plainly(&stream);
    let largest = match pieces % 4 {
        // Whatever the reader asks for.
        0 => usize::MAX,
        // Single bytes take too long for what is long.
        1 if stream.len() <= 4096 => 1,
        1 | 2 => 100,
        _ => 20_000,
    };
    for (largest, pauses) in [(usize::MAX, false), (largest, true)] {
        let found = in_pieces(&stream, most, largest, pauses, u64::from(*pieces));
        assert_eq!(found, expected, "in pieces of at most {largest} bytes");
    }
}

/// The start of a frame: its magic, name, length and checksum.
fn fields(frame: &[u8; FRAME]) -> ([u8; 4], [u8; 12], u32, [u8; 4]) {
    let [m0, m1, m2, m3, name @ .., l0, l1, l2, l3, c0, c1, c2, c3] = *frame;
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    ([m0, m1, m2, m3], name, length, [c0, c1, c2, c3])
}

fn checksum(payload: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = sha256d::Hash::hash(payload).to_byte_array();
    [a, b, c, d]
}

fn mend(mut stream: &mut [u8]) {
    while let Some((frame, rest)) = stream.split_first_chunk_mut::<FRAME>() {
        let (_, _, length, _) = fields(frame);
        frame[..4].copy_from_slice(&MAGIC);
        let Some((payload, rest)) = rest.split_at_mut_checked(size(length)) else { return };
        frame[20..].copy_from_slice(&checksum(payload));
        stream = rest;
    }
}

fn size(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// What is in a stream, up to the first error, which hanging up is; and the most memory that a
/// reader may take for any payload of it.
fn plainly(mut stream: &[u8]) -> (Vec<String>, usize) {
    let (mut outcomes, mut most) = (Vec::new(), 0);
    loop {
        let outcome = one(&mut stream, &mut most);
        let last = outcome.is_err();
        outcomes.push(format!("{outcome:?}"));
        if last {
            return (outcomes, most);
        }
    }
}

fn one(stream: &mut &[u8], most: &mut usize) -> Outcome {
    let Some((frame, rest)) = stream.split_first_chunk::<FRAME>() else {
        return Err(TransportError::Closed { mid_message: !stream.is_empty() });
    };
    let (got, name, length, expected) = fields(frame);
    if got != MAGIC {
        return Err(TransportError::WrongMagic { expected: MAGIC, got });
    }
    let command = Command::from_wire(name).ok_or(TransportError::BadCommand { got: name })?;
    let cap = command.cap();
    if length > cap {
        return Err(TransportError::Oversized { command, length, cap });
    }
    let decoded = command.handling() == Handling::Decode;
    *most = (*most).max(if decoded { size(length) } else { CHUNK.min(size(length)) });
    let closed = TransportError::Closed { mid_message: true };
    let (payload, rest) = rest.split_at_checked(size(length)).ok_or(closed)?;
    let payload = if decoded { payload } else { &[] };
    let got = checksum(payload);
    if decoded && got != expected {
        return Err(TransportError::BadChecksum { command, expected, got });
    }
    let message = Inbound::decode(command, payload)
        .inspect_err(|error| names_its_place(error, payload.len()))
        .map_err(|source| TransportError::Malformed { command, source })?;
    *stream = rest;
    Ok(Received { message, bytes: length + 24 })
}

/// The same through the reader that the node uses.
fn in_pieces(stream: &[u8], most: usize, largest: usize, pauses: bool, seed: u64) -> Vec<String> {
    let given = Arc::new(AtomicUsize::new(0));
    let pieces = Pieces {
        bytes: stream.to_vec(),
        given: Arc::clone(&given),
        largest,
        pauses,
        pausing: false,
        random: SplitMix64::new(seed),
    };
    let mut reader = V1Reader::new(pieces, MAGIC);
    let mut outcomes = Vec::new();
    loop {
        let outcome = next(&mut reader, &given, most);
        let last = outcome.is_err();
        outcomes.push(format!("{outcome:?}"));
        if last {
            return outcomes;
        }
    }
}

/// Each pause gives up the wait and starts another.
fn next(reader: &mut V1Reader<Pieces>, given: &AtomicUsize, most: usize) -> Outcome {
    let mut context = Context::from_waker(Waker::noop());
    loop {
        let polled = pin!(reader.recv()).poll(&mut context);
        let (memory, given) = (reader.memory(), given.load(Ordering::Relaxed));
        assert!(memory <= most, "{memory} bytes of memory for payloads of at most {most}");
        assert!(memory <= (2 * given).max(CHUNK), "{memory} bytes for {given}");
        if let Poll::Ready(outcome) = polled {
            return outcome;
        }
    }
}

/// A stream that comes in pieces of random lengths.
struct Pieces {
    bytes: Vec<u8>,
    given: Arc<AtomicUsize>,
    largest: usize,
    /// Nothing is there at first, each time that something is asked for.
    pauses: bool,
    pausing: bool,
    random: SplitMix64,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.pausing = self.pauses && !self.pausing;
        if self.pausing {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let largest = u64::try_from(self.largest).unwrap_or(u64::MAX);
        let drawn = usize::try_from(self.random.below(largest)).unwrap_or(usize::MAX);
        let wanted = if self.pauses { drawn.saturating_add(1) } else { usize::MAX };
        let at = self.given.load(Ordering::Relaxed);
        let rest = self.bytes.get(at..).unwrap_or_default();
        let piece = rest.get(..rest.len().min(wanted).min(buffer.remaining())).unwrap_or_default();
        buffer.put_slice(piece);
        self.given.store(at + piece.len(), Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let headers = Miner::new(1).run(&Params::new(Network::Regtest).genesis, 3, 600);
    let mut three = Vec::new();
    Outbound::Headers(headers).encode(&mut three);
    let session = [
        framed("version", &[1; 90]),
        framed("ping", &[2; 8]),
        framed("headers", &three),
        framed("block", &[3; 300]),
        framed("fizzbuzz", &[4; 30]),
        framed("addrv2", &[0]),
        framed("verack", &[]),
    ]
    .concat();
    let cut = session.get(..session.len() - 30).unwrap_or_default().to_vec();
    let head = |name, length| header(name, length, [0; 4]);
    // A count of 1600, and as many entries of zeros.
    let inventory = [head("inv", 3 + 225 * 256), vec![0xfd, 0x40, 0x06]].concat();
    let streams = [
        (0, 0, 1, session.clone()),
        (MENDED, 0, 2, session),
        (0, 0, 0, cut),
        (LONGER | MENDED, 225, 3, inventory),
        (LONGER, 200, 3, head("inv", 1_800_003)),
        (LONGER, 200, 3, head("block", 50_000)),
        (0, 0, 1, head("ping", 9)),
    ];
    let seed = |(choice, zeros, pieces, stream)| [vec![choice, zeros, pieces], stream];
    streams.map(|stream| seed(stream).concat()).into()
}

fn header(name: &str, length: u32, checksum: [u8; 4]) -> Vec<u8> {
    let mut name = name.as_bytes().to_vec();
    name.resize(Command::SIZE, 0);
    [&MAGIC[..], &name, &length.to_le_bytes(), &checksum].concat()
}

fn framed(name: &str, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    [&header(name, length, checksum(payload))[..], payload].concat()
}

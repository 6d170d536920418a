//! A light node of somebody else's, as a process: it offers the true addresses of a chain's periods, and
//! gives chunks of which one bit is wrong.
//!
//! `chunk_liar SNAPSHOT ADDRESSES LISTEN`: a snapshot file, the hex addresses of its whole periods in the
//! order of the wire, a line each, and where to listen. It says where it listens, and ends with its input.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test's support: a panic is the failure of the test"
)]

use std::io::Read as _;

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::hex::FromHex as _;
use ironlight_tests::Stranger;

/// A snapshot's head, and the part of a whole period's frame that is not packed (docs/SNAPSHOTS.md).
const HEAD: usize = 8 + 4 + 4 + 68 + 68 + 8;
const LARGE: usize = 2016 * 36;
const OK: [u8; 4] = [1, 0, 0, 0];
const NOT_FOUND: [u8; 4] = [1, 1, 0, 0];

fn number(bytes: &[u8]) -> usize {
    usize::try_from(u32::from_le_bytes(bytes[..4].try_into().unwrap())).unwrap()
}

/// The frames of the whole periods.
fn frames(snapshot: &[u8], count: usize) -> Vec<Vec<u8>> {
    let mut rest = &snapshot[HEAD..];
    let mut frames = Vec::new();
    for _ in 0..count {
        let (frame, after) = rest.split_at(8 + number(rest) + LARGE + 8);
        frames.push(frame.to_vec());
        rest = after;
    }
    frames
}

/// One bit of the first Merkle root is another one, and the checksum fits that.
fn spoilt(period: usize, frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let body = frame.len() - 8;
    frame[body - LARGE] ^= 1;
    let first = u32::try_from(2016 * period).unwrap();
    let summed = [&first.to_le_bytes()[..], &frame[..body]].concat();
    let sum = sha256::Hash::hash(&summed).to_byte_array();
    frame[body..].copy_from_slice(&sum[..8]);
    frame
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [snapshot, addresses, listen] = &arguments[..] else {
        panic!("expected SNAPSHOT ADDRESSES LISTEN")
    };
    let addresses = std::fs::read_to_string(addresses).unwrap();
    let addresses: Vec<_> = addresses.lines().map(|hex| Vec::from_hex(hex).unwrap()).collect();
    let frames = frames(&std::fs::read(snapshot).unwrap(), addresses.len());
    let answer = move |request: &[u8]| {
        let extensions = usize::from(u16::from_le_bytes([request[1], request[2]]));
        let body = &request[3 + extensions..];
        let period = number(&body[1..]);
        match (body[0], frames.get(period)) {
            (0, _) => {
                let offered = addresses.get(period..).unwrap_or_default();
                [&OK[..], &body[1..5], &offered.concat()].concat()
            }
            (1, Some(frame)) => [&OK[..], &spoilt(period, frame)].concat(),
            _ => NOT_FOUND.to_vec(),
        }
    };
    let (_stranger, address) = Stranger::listen(listen, answer);
    println!("{address}");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

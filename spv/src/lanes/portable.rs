//! One message at a time through `sha2`: works everywhere, and is what every other way is judged by.
//!
//! `sha2` finds the hash instructions of x86 and of ARM by itself. Laying the padding by hand spares its buffering.

use super::constants::INITIAL;
use sha2::block_api::compress256;

/// Double SHA-256 of one header.
pub(super) fn hash_header(input: &[u8; 80]) -> [u8; 32] {
    hash_digest(&hash_short::<80, 128>(input))
}

/// Double SHA-256 of one Merkle node.
pub(super) fn hash_node(input: &[u8; 64]) -> [u8; 32] {
    hash_digest(&hash_short::<64, 128>(input))
}

/// SHA-256 of a short message, in `BYTES` with its padding.
pub(crate) fn hash_short<const N: usize, const BYTES: usize>(input: &[u8; N]) -> [u8; 32] {
    hash_blocks(&padded::<N, BYTES>(input))
}

/// A short message and its padding, in `BYTES` together, a multiple of 64: `N + 9` at least.
pub(crate) fn padded<const N: usize, const BYTES: usize>(input: &[u8; N]) -> [u8; BYTES] {
    const { assert!(BYTES.is_multiple_of(64) && N + 9 <= BYTES && N < 8_000, "it has room") };
    let mut message = [0_u8; BYTES];
    message[..N].copy_from_slice(input);
    message[N] = 0x80;
    #[allow(clippy::cast_possible_truncation, reason = "checked above")]
    message[BYTES - 2..].copy_from_slice(&((N * 8) as u16).to_be_bytes());
    message
}

/// SHA-256 of a message that carries its padding.
pub(super) fn hash_blocks<const BYTES: usize>(message: &[u8; BYTES]) -> [u8; 32] {
    let mut state = INITIAL;
    compress256(&mut state, message.as_chunks().0);
    bytes_of(state)
}

/// The second hash of a double one.
fn hash_digest(digest: &[u8; 32]) -> [u8; 32] {
    hash_short::<32, 64>(digest)
}

fn bytes_of(state: [u32; 8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (place, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *place = word.to_be_bytes();
    }
    bytes
}

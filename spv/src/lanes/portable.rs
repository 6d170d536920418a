//! One message at a time through `sha2`: works everywhere, and is what every other way is judged by.
//!
//! `sha2` finds the hash instructions of x86 and of ARM by itself. Laying the padding by hand spares its buffering.

use super::constants::INITIAL;
use sha2::block_api::compress256;

/// Double SHA-256 of one header.
pub(super) fn hash_header(input: &[u8; 80]) -> [u8; 32] {
    let mut message = [0_u8; 128];
    message[..80].copy_from_slice(input);
    message[80] = 0x80;
    message[126..].copy_from_slice(&(80_u16 * 8).to_be_bytes());
    hash_padded(&message)
}

/// Double SHA-256 of one Merkle node.
pub(super) fn hash_node(input: &[u8; 64]) -> [u8; 32] {
    let mut message = [0_u8; 128];
    message[..64].copy_from_slice(input);
    message[64] = 0x80;
    message[126..].copy_from_slice(&(64_u16 * 8).to_be_bytes());
    hash_padded(&message)
}

/// SHA-256 of a short message, in blocks of `BYTES` together, a multiple of 64: `N + 9` at least.
pub(crate) fn hash_short<const N: usize, const BYTES: usize>(input: &[u8; N]) -> [u8; 32] {
    const { assert!(BYTES.is_multiple_of(64) && N + 9 <= BYTES && N < 8_000, "it has room") };
    let mut message = [0_u8; BYTES];
    message[..N].copy_from_slice(input);
    message[N] = 0x80;
    #[allow(clippy::cast_possible_truncation, reason = "checked above")]
    message[BYTES - 2..].copy_from_slice(&((N * 8) as u16).to_be_bytes());
    let mut state = INITIAL;
    compress256(&mut state, message.as_chunks().0);
    bytes_of(state)
}

fn hash_padded(message: &[u8; 128]) -> [u8; 32] {
    let mut state = INITIAL;
    compress256(&mut state, message.as_chunks().0);

    let mut block = [0_u8; 64];
    block[..32].copy_from_slice(&bytes_of(state));
    block[32] = 0x80;
    block[62..].copy_from_slice(&(32_u16 * 8).to_be_bytes());
    let mut state = INITIAL;
    compress256(&mut state, &[block]);
    bytes_of(state)
}

fn bytes_of(state: [u32; 8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (place, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *place = word.to_be_bytes();
    }
    bytes
}

//! A wallet as one file: what it watches, and what it had at one height.
//!
//! ```text
//! file = magic 8 "IRONWAL1" | version u16, 1 | network magic 4 | height u32 | block hash 32
//!        | count of items u32 | item ... | length of the state u32 | state | SHA-256 of all before 32
//! item = length u16 of what follows | account: length u8, text | label: length u8, text
//!        | birthday u32 | gap limit u32 | kind u8 | script (kind 0) or descriptor (kind 1)
//! ```
//! Numbers are little-endian. The state is the export of `ironlight_spv::compress::state` with
//! accounts of kind 2, at the height of the file. Items stand in the order in which they were added.
//! Descriptors stand in their canonical form with their checksum; none has a private key, since the
//! wallet takes none.
//!
//! Invariant: one wallet at one height has one file; what is decoded encodes to the same bytes.
//! What a stranger can make grow: a file has at most [`MAX_FILE_BYTES`], items and accounts are at
//! most [`MAX_SCRIPTS`](super::watch::MAX_SCRIPTS) each, and nothing is reserved before it is there.
//! Its state is a claim until it is compared with what the chain gives.

mod decode;
mod encode;
mod error;

#[cfg(test)]
mod tests;

use bitcoin::hashes::{Hash as _, sha256};
use ironlight_spv::Params;
use ironlight_spv::compress::state::{StateCompressor, StateError, WalletAccount};

pub use error::{FileError, ItemFault};

use super::coin::BlockId;
use super::watch::WatchRequest;

/// A file has at most so many bytes: 100,000 accounts and as many items, or 400 of the longest
/// descriptors.
pub const MAX_FILE_BYTES: usize = 16 << 20;

const MAGIC: &[u8; 8] = b"IRONWAL1";
const VERSION: u16 = 1;
const CHECKSUM: usize = 32;
const SCRIPT: u8 = 0;
const DESCRIPTOR: u8 = 1;

/// Which file: its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId(pub [u8; 32]);

/// What a wallet takes along.
#[derive(Clone, Debug)]
pub struct WalletFile {
    /// The block whose state it has.
    pub block: BlockId,
    /// What was watched, in the order in which it was added.
    pub items: Vec<WatchRequest>,
    /// What the scripts had after that block; its one sealed height is that of the block.
    pub state: StateCompressor<WalletAccount>,
}

impl WalletFile {
    /// The root of its state.
    ///
    /// # Errors
    /// [`StateError`] where nothing is sealed at its height.
    pub fn root(&self) -> Result<[u8; 32], StateError> {
        self.state.root(self.block.height)
    }

    /// The file of a wallet on a network.
    ///
    /// # Errors
    /// [`FileError`] where it would be larger than [`MAX_FILE_BYTES`], or the state has nothing at the
    /// height.
    pub fn encode(&self, params: &Params) -> Result<Vec<u8>, FileError> {
        encode::encode(self, params)
    }

    /// The wallet that a file has, and which file it is. It blocks: descriptors take a while.
    ///
    /// # Errors
    /// [`FileError`], with the place.
    pub fn decode(bytes: &[u8], params: &Params) -> Result<(Self, FileId), FileError> {
        decode::decode(bytes, params)
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    sha256::Hash::hash(bytes).to_byte_array()
}

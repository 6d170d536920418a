//! A wallet as one file: what it watches, and what it had at one height.
//!
//! ```text
//! file = magic 8 "IRONWAL1" | version u16, 1 | network magic 4 | height u32 | block hash 32
//!        | count of items u32 | item ... | length of the state u32 | state | SHA-256 of all before 32
//! item = length u16 of what follows | account: length u8, text | label: length u8, text
//!        | birthday u32 | gap limit u32 | keychains u8 | scripts derived of each u32 | kind u8
//!        | script (kind 0) or descriptor (kind 1)
//! ```
//! Numbers are little-endian. The state is the export of `ironlight_spv::compress::state` with
//! accounts of kind 2, at the height of the file. Items stand in the order in which they were added.
//! Descriptors stand in their canonical form with their checksum; none has a private key, since the
//! wallet takes none.
//!
//! Invariant: one wallet at one height has one file; what is decoded encodes to the same bytes.
//! What a stranger can make grow: a file has at most [`MAX_FILE_BYTES`] and [`MAX_ITEMS`], which ask for
//! [`MAX_DERIVED`] scripts in all; accounts are at most [`MAX_SCRIPTS`](super::watch::MAX_SCRIPTS), and
//! nothing is reserved before it is there. Its state is a claim until it is compared with what the chain gives.

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
use super::watch::{WatchItem, WatchRequest};

/// A file has at most so many bytes: 100,000 accounts and the items, or 400 of the longest
/// descriptors.
pub const MAX_FILE_BYTES: usize = 16 << 20;

/// A file watches at most so many items.
pub const MAX_ITEMS: usize = 1_000;

/// The items of a file ask for at most so many scripts in all, derived or for their gap limits: whoever
/// takes it derives them at once, a second or two for keys that stand alone.
pub const MAX_DERIVED: usize = 20_000;

const MAGIC: &[u8; 8] = b"IRONWAL1";
const VERSION: u16 = 1;
const CHECKSUM: usize = 32;
const SCRIPT: u8 = 0;
const DESCRIPTOR: u8 = 1;

/// Which file: its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId(pub [u8; 32]);

/// An item that a wallet takes along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileItem {
    /// What it takes to watch it again.
    pub request: WatchRequest,
    /// Scripts that were derived of each keychain. Which coins the state has depends on it: a payment
    /// to a script beyond is in no state of this wallet.
    pub derived: Vec<u32>,
}

impl FileItem {
    /// As it is when it was just added: with the scripts that its gap limit asks for.
    #[must_use]
    pub fn new(request: WatchRequest) -> Self {
        let derived = vec![request.scripts(); usize::from(request.target.keychains())];
        Self { request, derived }
    }

    /// What a wallet takes along of an item that it watches.
    #[must_use]
    pub fn of(item: &WatchItem) -> Self {
        let WatchItem { id: _, target, account, label, birthday, gap_limit, derived } =
            item.clone();
        Self { request: WatchRequest { target, account, label, birthday, gap_limit }, derived }
    }

    /// Scripts that whoever watches it has to have of each keychain.
    pub(in crate::wallet) fn wanted(&self) -> impl Iterator<Item = u32> {
        let least = self.request.scripts();
        self.derived.iter().map(move |derived| least.max(*derived))
    }
}

/// What a wallet takes along.
#[derive(Clone, Debug)]
pub struct WalletFile {
    /// The block whose state it has.
    pub block: BlockId,
    /// What was watched, in the order in which it was added.
    pub items: Vec<FileItem>,
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
    /// [`FileError`] where it would be larger than [`MAX_FILE_BYTES`], have more than [`MAX_ITEMS`] or
    /// [`MAX_DERIVED`], or the state has nothing at the height.
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

/// Adds up what the items ask for.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    items: usize,
    scripts: usize,
}

impl Asked {
    /// # Errors
    /// [`FileError::TooManyItems`], [`FileError::TooManyScripts`]
    fn add(&mut self, item: &FileItem) -> Result<(), FileError> {
        self.items = self.items.saturating_add(1);
        check_items(self.items)?;
        let wanted = item.wanted().map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        self.scripts = wanted.fold(self.scripts, usize::saturating_add);
        let (scripts, limit) = (self.scripts, MAX_DERIVED);
        if scripts > limit { Err(FileError::TooManyScripts { scripts, limit }) } else { Ok(()) }
    }
}

const fn check_items(count: usize) -> Result<(), FileError> {
    let limit = MAX_ITEMS;
    if count > limit { Err(FileError::TooManyItems { count, limit }) } else { Ok(()) }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    sha256::Hash::hash(bytes).to_byte_array()
}

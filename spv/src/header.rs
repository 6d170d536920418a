//! The 80 bytes that proof of work commits to, and a header's place in a chain.
//!
//! A [`Header`] keeps its bytes as they travel on the wire, so that hashing a batch needs no
//! conversion; fields are decoded when asked for.

use core::fmt;

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, CompactTarget, TxMerkleNode, Work};

use crate::lanes;
use crate::time::UnixTime;

/// A block header: its 80 bytes in wire order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Header([u8; Header::SIZE]);

impl Header {
    /// A header's size in bytes.
    pub const SIZE: usize = 80;

    /// Takes the 80 bytes as they come from the wire. Any 80 bytes are a header; whether it is
    /// a valid one is for the rules to say.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        Self(bytes)
    }

    /// The 80 bytes in wire order.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.0
    }

    /// The same header, after another one.
    pub(crate) fn set_parent(&mut self, parent: &[u8; 32]) {
        self.0[4..36].copy_from_slice(parent);
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut field = [0; N];
        // Every caller names a field inside the 80 bytes, so this slice always exists.
        if let Some(bytes) = self.0.get(at..at + N) {
            field.copy_from_slice(bytes);
        }
        field
    }

    /// The version: a signed number, as consensus compares it.
    #[must_use]
    pub fn version(&self) -> i32 {
        i32::from_le_bytes(self.field(0))
    }

    /// The parent's hash.
    #[must_use]
    pub fn prev_hash(&self) -> BlockHash {
        BlockHash::from_byte_array(self.field(4))
    }

    /// The root of the block's transaction tree.
    #[must_use]
    pub fn merkle_root(&self) -> TxMerkleNode {
        TxMerkleNode::from_byte_array(self.field(36))
    }

    /// The time that the miner claims.
    #[must_use]
    pub fn time(&self) -> UnixTime {
        UnixTime(u32::from_le_bytes(self.field(68)))
    }

    /// The target that the header claims to meet, in compact form ("bits" on the wire).
    #[must_use]
    pub fn compact_target(&self) -> CompactTarget {
        CompactTarget::from_consensus(u32::from_le_bytes(self.field(72)))
    }

    /// The nonce.
    #[must_use]
    pub fn nonce(&self) -> u32 {
        u32::from_le_bytes(self.field(76))
    }

    /// The block hash: the double SHA-256 of the 80 bytes. For many headers at once,
    /// [`lanes::sha256d_80`] is several times faster.
    #[must_use]
    pub fn hash(&self) -> BlockHash {
        BlockHash::from_byte_array(lanes::sha256d_80_single(&self.0))
    }
}

impl AsRef<[u8; Header::SIZE]> for Header {
    fn as_ref(&self) -> &[u8; Header::SIZE] {
        &self.0
    }
}

impl From<bitcoin::block::Header> for Header {
    fn from(header: bitcoin::block::Header) -> Self {
        let mut bytes = [0; Self::SIZE];
        bytes[..4].copy_from_slice(&header.version.to_consensus().to_le_bytes());
        bytes[4..36].copy_from_slice(header.prev_blockhash.as_byte_array());
        bytes[36..68].copy_from_slice(header.merkle_root.as_byte_array());
        bytes[68..72].copy_from_slice(&header.time.to_le_bytes());
        bytes[72..76].copy_from_slice(&header.bits.to_consensus().to_le_bytes());
        bytes[76..].copy_from_slice(&header.nonce.to_le_bytes());
        Self(bytes)
    }
}

impl From<Header> for bitcoin::block::Header {
    fn from(header: Header) -> Self {
        Self {
            version: bitcoin::block::Version::from_consensus(header.version()),
            prev_blockhash: header.prev_hash(),
            merkle_root: header.merkle_root(),
            time: header.time().0,
            bits: header.compact_target(),
            nonce: header.nonce(),
        }
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("hash", &self.hash())
            .field("version", &self.version())
            .field("prev_hash", &self.prev_hash())
            .field("time", &self.time().0)
            .field("bits", &format_args!("{:08x}", self.compact_target().to_consensus()))
            .field("nonce", &self.nonce())
            .finish_non_exhaustive()
    }
}

/// Distance from genesis, which has height 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockHeight(pub u32);

impl BlockHeight {
    /// Height 0.
    pub const GENESIS: Self = Self(0);

    /// The next height; saturates at the largest, which no chain reaches.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// This height plus a number of blocks, saturating.
    #[must_use]
    pub const fn plus(self, blocks: u32) -> Self {
        Self(self.0.saturating_add(blocks))
    }

    /// This height minus a number of blocks; none below genesis.
    #[must_use]
    pub fn minus(self, blocks: u32) -> Option<Self> {
        self.0.checked_sub(blocks).map(Self)
    }
}

impl fmt::Display for BlockHeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A header with its place in a chain: height, hash, and all work up to and including it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexedHeader {
    /// The header.
    pub header: Header,
    /// Its hash.
    pub hash: BlockHash,
    /// Its height.
    pub height: BlockHeight,
    /// Total work of the chain that ends in it.
    pub work: Work,
}

//! The two append-only arenas under a tree: nodes of 40 bytes, and values.
//!
//! Invariant: what was appended never changes but for a node's hash, once, when its seal hashes
//! it; a node refers to nodes before it only. So forgetting what came after a mark is cutting off.
//! Both grow by chunks of fixed size: no copy when they grow, and no more than one chunk unused.
//! What an attacker can grow: nodes up to [`Nodes::LIMIT`], then a seal is refused.
//!
//! ```text
//! node   = hash 32 | leaf: 2^63 + offset of its record; inner: bit << 54 | left << 27 | right
//! record = head u16: length of body, 2^15 more for a difference | body = whole value
//!          or, of a difference: head | offset 5 of the whole value | body = difference from it
//! ```

use alloc::vec::Vec;

use super::error::{Damaged, Full};
use super::value::LARGEST;

/// Refers to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(pub(super) u32);

/// A node without its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Leaf { record: u64 },
    Inner { bit: u8, left: NodeId, right: NodeId },
}

const LEAF: u64 = 1 << 63;
const ID_BITS: u32 = 27;

impl Node {
    fn pack(self) -> u64 {
        match self {
            Self::Leaf { record } => LEAF | record,
            Self::Inner { bit, left, right } => {
                u64::from(bit) << (2 * ID_BITS) | u64::from(left.0) << ID_BITS | u64::from(right.0)
            }
        }
    }

    fn unpack(packed: u64) -> Self {
        if packed & LEAF != 0 {
            return Self::Leaf { record: packed & !LEAF };
        }
        let id = |shift: u32| {
            let id = packed >> shift & u64::from(Nodes::LIMIT - 1);
            NodeId(u32::try_from(id).unwrap_or_default())
        };
        let bit = u8::try_from(packed >> (2 * ID_BITS)).unwrap_or_default();
        Self::Inner { bit, left: id(ID_BITS), right: id(0) }
    }
}

/// All nodes of all versions.
#[derive(Clone, Debug, Default)]
pub(super) struct Nodes {
    chunks: Vec<Chunk>,
}

/// Hashes apart from the rest: a search reads no hashes, and what it does read stays in the
/// processor's caches.
#[derive(Clone, Debug, Default)]
struct Chunk {
    nodes: Vec<u64>,
    hashes: Vec<[u8; 32]>,
}

impl Nodes {
    /// More than this many cannot be referred to.
    pub(super) const LIMIT: u32 = 1 << ID_BITS;
    const CHUNK: usize = 1_024;

    pub(super) fn len(&self) -> u32 {
        let last = self.chunks.last().map_or(0, |last| Self::CHUNK - last.nodes.len());
        u32::try_from(self.chunks.len() * Self::CHUNK - last).unwrap_or(Self::LIMIT)
    }

    pub(super) fn push(&mut self, node: Node, hash: [u8; 32]) -> Result<NodeId, Full> {
        let id = self.len();
        if id >= Self::LIMIT {
            return Err(Full { nodes: id });
        }
        if self.chunks.last().is_none_or(|last| last.nodes.len() >= Self::CHUNK) {
            let (nodes, hashes) =
                (Vec::with_capacity(Self::CHUNK), Vec::with_capacity(Self::CHUNK));
            self.chunks.push(Chunk { nodes, hashes });
        }
        if let Some(last) = self.chunks.last_mut() {
            last.nodes.push(node.pack());
            last.hashes.push(hash);
        }
        Ok(NodeId(id))
    }

    /// The chunk of a node, and its place there.
    fn place(id: NodeId) -> (usize, usize) {
        let at = usize::try_from(id.0).unwrap_or(usize::MAX);
        (at / Self::CHUNK, at % Self::CHUNK)
    }

    pub(super) fn node(&self, id: NodeId) -> Result<Node, Damaged> {
        let (chunk, at) = Self::place(id);
        let node = self.chunks.get(chunk).and_then(|chunk| chunk.nodes.get(at));
        node.map(|node| Node::unpack(*node)).ok_or(Damaged { node: id.0 })
    }

    pub(super) fn hash(&self, id: NodeId) -> Result<&[u8; 32], Damaged> {
        let (chunk, at) = Self::place(id);
        let hash = self.chunks.get(chunk).and_then(|chunk| chunk.hashes.get(at));
        hash.ok_or(Damaged { node: id.0 })
    }

    pub(super) fn set_hash(&mut self, id: NodeId, hash: [u8; 32]) -> Result<(), Damaged> {
        let (chunk, at) = Self::place(id);
        let place = self.chunks.get_mut(chunk).and_then(|chunk| chunk.hashes.get_mut(at));
        *place.ok_or(Damaged { node: id.0 })? = hash;
        Ok(())
    }

    pub(super) fn truncate(&mut self, len: u32) {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.chunks.truncate(len.div_ceil(Self::CHUNK));
        let before = self.chunks.len().saturating_sub(1) * Self::CHUNK;
        if let Some(last) = self.chunks.last_mut() {
            last.nodes.truncate(len - before);
            last.hashes.truncate(len - before);
        }
    }

    /// An arena that seems to have room for so many nodes only.
    #[cfg(test)]
    pub(super) fn all_but(room: usize) -> Self {
        let full = usize::try_from(Self::LIMIT).unwrap() / Self::CHUNK;
        let mut chunks = alloc::vec![Chunk::default(); full];
        chunks[full - 1].nodes = alloc::vec![LEAF; Self::CHUNK - room];
        chunks[full - 1].hashes = alloc::vec![[0; 32]; Self::CHUNK - room];
        Self { chunks }
    }

    pub(super) fn bytes_held(&self) -> usize {
        self.chunks.len() * Self::CHUNK * (size_of::<u64>() + size_of::<[u8; 32]>())
            + self.chunks.capacity() * size_of::<Chunk>()
    }
}

/// How a value is written down.
#[derive(Clone, Copy, Debug)]
pub(super) enum Record<'a> {
    Whole(&'a [u8]),
    /// The difference from a whole value. No difference is from another difference, so that
    /// reading a value takes two records at most, however often it changed.
    Delta {
        base: u64,
        body: &'a [u8],
    },
}

/// A difference, in the head of a record.
const DELTA: u16 = 1 << 15;
/// The bytes of a record's offset.
const OFFSET: usize = 5;

/// All values of all versions.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    chunks: Vec<Vec<u8>>,
}

impl Values {
    const CHUNK: usize = 16_384;

    /// Where the next record starts at the earliest.
    pub(super) fn end(&self) -> u64 {
        let last = self.chunks.last().map_or(0, |last| Self::CHUNK - last.len());
        u64::try_from(self.chunks.len() * Self::CHUNK - last).unwrap_or(u64::MAX)
    }

    pub(super) fn push(&mut self, record: Record<'_>) -> u64 {
        const { assert!(2 + OFFSET + LARGEST < Self::CHUNK && LARGEST < 1 << 15) }
        let (body, base) = match record {
            Record::Whole(body) => (body, None),
            Record::Delta { base, body } => (body, Some(base.to_le_bytes())),
        };
        let needed = 2 + base.map_or(0, |_| OFFSET) + body.len();
        if self.chunks.last().is_none_or(|last| last.len() + needed > Self::CHUNK) {
            // Records do not cross chunks: what is left stays empty.
            if let Some(last) = self.chunks.last_mut() {
                last.resize(Self::CHUNK, 0);
            }
            self.chunks.push(Vec::with_capacity(Self::CHUNK));
        }
        let at = self.end();
        if let Some(chunk) = self.chunks.last_mut() {
            let len = u16::try_from(body.len()).unwrap_or_default();
            let head = len | base.map_or(0, |_| DELTA);
            chunk.extend_from_slice(&head.to_le_bytes());
            // 2^27 nodes of values of at most 4,000 bytes stay below 2^40.
            chunk.extend(base.iter().flatten().take(OFFSET));
            chunk.extend_from_slice(body);
        }
        at
    }

    pub(super) fn record(&self, at: u64) -> Option<Record<'_>> {
        let at = usize::try_from(at).ok()?;
        let chunk = self.chunks.get(at / Self::CHUNK)?.get(at % Self::CHUNK..)?;
        let (head, rest) = chunk.split_first_chunk()?;
        let head = u16::from_le_bytes(*head);
        let len = usize::from(head & !DELTA);
        if head & DELTA == 0 {
            return rest.get(..len).map(Record::Whole);
        }
        let (offset, rest) = rest.split_first_chunk::<OFFSET>()?;
        let mut base = [0; 8];
        base[..OFFSET].copy_from_slice(offset);
        let base = u64::from_le_bytes(base);
        rest.get(..len).map(|body| Record::Delta { base, body })
    }

    pub(super) fn truncate(&mut self, end: u64) {
        let end = usize::try_from(end).unwrap_or(usize::MAX);
        self.chunks.truncate(end.div_ceil(Self::CHUNK));
        let before = self.chunks.len().saturating_sub(1) * Self::CHUNK;
        if let Some(last) = self.chunks.last_mut() {
            last.truncate(end - before);
        }
    }

    pub(super) fn bytes_held(&self) -> usize {
        self.chunks.len() * Self::CHUNK + self.chunks.capacity() * size_of::<Vec<u8>>()
    }
}

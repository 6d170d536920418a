//! Every block that was made, on all branches, and which of them are the best chain.

use std::collections::HashMap;
use std::sync::Arc;

use bitcoin::hashes::Hash as _;
use bitcoin::{Block, BlockHash, Work};
use ironlight_spv::filter::{Filter, FilterHash, FilterHeader};
use ironlight_spv::{BlockHeight, ChainTip};

use super::coins::Undo;
use super::error::LedgerError;

/// A block and what belongs to it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The block.
    pub block: Block,
    /// Its hash.
    pub hash: BlockHash,
    /// Its height.
    pub height: u32,
    /// Total work of its branch, its own included.
    pub work: Work,
    /// What it spent.
    pub undo: Undo,
    /// Its basic filter (BIP158).
    pub filter: Vec<u8>,
    /// The hash of that.
    pub filter_hash: FilterHash,
    /// The filter header (BIP157): it commits to the filters of all its ancestors.
    pub filter_header: FilterHeader,
}

impl Entry {
    /// Regtest's genesis.
    ///
    /// # Errors
    /// [`LedgerError::Filter`]; never, since genesis spends nothing.
    pub(super) fn genesis() -> Result<Self, LedgerError> {
        let block = bitcoin::constants::genesis_block(bitcoin::Network::Regtest);
        let work = block.header.work();
        Self::new(block, 0, work, Undo::default(), FilterHeader::all_zeros())
    }

    /// A block on its parent.
    ///
    /// # Errors
    /// [`LedgerError::Filter`]
    pub(super) fn on(parent: &Self, block: Block, undo: Undo) -> Result<Self, LedgerError> {
        let work = parent.work + block.header.work();
        Self::new(block, parent.height.saturating_add(1), work, undo, parent.filter_header)
    }

    fn new(
        block: Block,
        height: u32,
        work: Work,
        undo: Undo,
        previous: FilterHeader,
    ) -> Result<Self, LedgerError> {
        let spent = undo.spent.iter().map(|spent| spent.coin.output.script_pubkey.as_script());
        let filter = Filter::of_block(&block, spent)?;
        let filter_hash = filter.hash();
        let filter_header = filter_hash.filter_header(&previous);
        let (hash, filter) = (block.block_hash(), filter.into_bytes());
        Ok(Self { block, hash, height, work, undo, filter, filter_hash, filter_header })
    }

    /// It, as the tip of its branch.
    #[must_use]
    pub const fn as_tip(&self) -> ChainTip {
        ChainTip { height: BlockHeight(self.height), hash: self.hash, work: self.work }
    }
}

/// What happened to the best chain between two moments.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Blocks taken off, the lowest first.
    pub disconnected: Vec<Arc<Entry>>,
    /// Blocks that came, the lowest first.
    pub connected: Vec<Arc<Entry>>,
}

/// All branches.
#[derive(Clone, Debug)]
pub struct Tree {
    entries: HashMap<BlockHash, Arc<Entry>>,
    /// The best chain, by height; genesis is always there.
    best: Vec<Arc<Entry>>,
    genesis: Arc<Entry>,
}

impl Tree {
    pub(super) fn new(genesis: Entry) -> Self {
        let genesis = Arc::new(genesis);
        let entries = HashMap::from([(genesis.hash, Arc::clone(&genesis))]);
        Self { entries, best: vec![Arc::clone(&genesis)], genesis }
    }

    /// The last block of the best chain.
    #[must_use]
    pub fn tip(&self) -> &Arc<Entry> {
        self.best.last().unwrap_or(&self.genesis)
    }

    /// A block on any branch.
    #[must_use]
    pub fn get(&self, hash: &BlockHash) -> Option<&Arc<Entry>> {
        self.entries.get(hash)
    }

    /// A block of the best chain.
    #[must_use]
    pub fn at(&self, height: u32) -> Option<&Arc<Entry>> {
        self.best.get(usize::try_from(height).ok()?)
    }

    /// Whether a block is on the best chain.
    #[must_use]
    pub fn is_best(&self, entry: &Entry) -> bool {
        self.at(entry.height).is_some_and(|best| best.hash == entry.hash)
    }

    /// Blocks of the best chain from a height on, the lowest first.
    pub fn from(&self, height: u32) -> impl DoubleEndedIterator<Item = &Arc<Entry>> {
        let start = usize::try_from(height).unwrap_or(usize::MAX);
        self.best.get(start..).unwrap_or_default().iter()
    }

    /// Blocks that are not on the best chain.
    #[must_use]
    pub fn side_blocks(&self) -> usize {
        self.entries.len().saturating_sub(self.best.len())
    }

    /// The block before one.
    #[must_use]
    pub fn parent(&self, entry: &Entry) -> Option<&Arc<Entry>> {
        self.entries.get(&entry.block.header.prev_blockhash)
    }

    /// The ancestor of a block at a height, itself included.
    #[must_use]
    pub fn ancestor<'a>(&'a self, of: &'a Arc<Entry>, height: u32) -> Option<&'a Arc<Entry>> {
        let mut entry = of;
        while entry.height > height {
            if self.is_best(entry) {
                return self.at(height);
            }
            entry = self.parent(entry)?;
        }
        (entry.height == height).then_some(entry)
    }

    /// What happened since a block was the tip; everything from genesis on if it is not known.
    #[must_use]
    pub fn since(&self, tip: &BlockHash) -> Changes {
        let mut changes = Changes::default();
        let mut entry = self.get(tip).unwrap_or(&self.genesis);
        while !self.is_best(entry) {
            changes.disconnected.push(Arc::clone(entry));
            let Some(parent) = self.parent(entry) else { break };
            entry = parent;
        }
        changes.disconnected.reverse();
        changes.connected = self.from(entry.height.saturating_add(1)).cloned().collect();
        changes
    }

    pub(super) fn push(&mut self, entry: Arc<Entry>) {
        self.entries.insert(entry.hash, Arc::clone(&entry));
        self.best.push(entry);
    }

    /// Takes the tip off the best chain; genesis stays. The block is kept.
    pub(super) fn pop(&mut self) -> Option<Arc<Entry>> {
        if self.best.len() > 1 { self.best.pop() } else { None }
    }
}

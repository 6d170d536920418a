//! A ledger of small blocks, peers that serve it in their own ways, and a driver.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use bitcoin::absolute::LockTime;
use bitcoin::bip158::{FilterHash, FilterHeader};
use bitcoin::hashes::Hash as _;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, Block, BlockHash, OutPoint, Script, ScriptBuf, Sequence, Transaction, TxIn, TxOut,
    Txid, WPubkeyHash, Witness,
};

use super::super::*;
use crate::chain::HeaderChain;
use crate::compress::HeaderBody;
use crate::filter::header_chain::FilterHeaderChain;
use crate::generate::Miner;
use crate::header::{BlockHeight, Header};
use crate::params::{Network, Params};
use crate::peers::PeerId;
use crate::time::{Now, UnixTime};

pub(super) const ONE: PeerId = PeerId(1);
pub(super) const TWO: PeerId = PeerId(2);
pub(super) const THREE: PeerId = PeerId(3);

pub(super) fn at(seconds: u64) -> Now {
    Now { unix: UnixTime(1_790_000_000), elapsed: Duration::from_secs(seconds) }
}

pub(super) fn script(number: u32) -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&WPubkeyHash::hash(&number.to_le_bytes()))
}

fn transaction(input: TxIn, scripts: &[ScriptBuf]) -> Transaction {
    let output = |script: &ScriptBuf| TxOut { value: Amount::ZERO, script_pubkey: script.clone() };
    let (input, output) = ([input].into(), scripts.iter().map(output).collect());
    Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input, output }
}

fn input(previous_output: OutPoint, script_sig: ScriptBuf) -> TxIn {
    TxIn { previous_output, script_sig, sequence: Sequence::MAX, witness: Witness::new() }
}

/// A block that pays `script(height)`; with `hidden` it spends something that nobody can see.
pub(super) fn block(miner: &Miner, parent: &Header, height: u32, hidden: bool) -> Block {
    let height_script = bitcoin::script::Builder::new().push_int(i64::from(height) + 1_000);
    let coinbase = input(OutPoint::null(), height_script.into_script());
    let mut txdata = alloc::vec![transaction(coinbase, &[script(height)])];
    if hidden {
        let outpoint = OutPoint::new(Txid::hash(&height.to_le_bytes()), 0);
        txdata.push(transaction(input(outpoint, ScriptBuf::new()), &[script(height + 1_000_000)]));
    }
    let mut block = Block { header: (*parent).into(), txdata };
    let body = HeaderBody {
        version: 4,
        merkle_root: block.compute_merkle_root().unwrap(),
        time: parent.time().plus_seconds(600),
        bits: parent.compact_target(),
        nonce: 0,
    };
    block.header = miner.grind(body, parent.hash()).into();
    block
}

pub(super) fn filter_of(block: &Block, spent: &[ScriptBuf], without: Option<&Script>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = bitcoin::bip158::BlockFilterWriter::new(&mut bytes, block);
    let outputs = block.txdata.iter().flat_map(|transaction| &transaction.output);
    let outputs = outputs.map(|output| &output.script_pubkey);
    for script in outputs.chain(spent).filter(|script| Some(script.as_script()) != without) {
        writer.add_element(script.as_bytes());
    }
    writer.finish().unwrap();
    bytes
}

/// A chain of filters over the chain of blocks.
#[derive(Clone)]
pub(super) struct Story {
    pub(super) filters: Vec<Vec<u8>>,
    pub(super) hashes: Vec<FilterHash>,
    pub(super) headers: Vec<FilterHeader>,
}

impl Story {
    fn new(filters: Vec<Vec<u8>>) -> Self {
        let hashes: Vec<_> = filters.iter().map(|filter| FilterHash::hash(filter)).collect();
        let mut before = FilterHeader::all_zeros();
        let link = |hash: &FilterHash| {
            before = hash.filter_header(&before);
            before
        };
        let headers = hashes.iter().map(link).collect();
        Self { filters, hashes, headers }
    }

    /// The same with another filter at a height.
    pub(super) fn with(&self, height: usize, filter: Vec<u8>) -> Self {
        let mut filters = self.filters.clone();
        filters[height] = filter;
        Self::new(filters)
    }
}

pub(super) struct Ledger {
    pub(super) blocks: Vec<Block>,
    pub(super) chain: HeaderChain,
    pub(super) truth: Story,
    miner: Miner,
    hidden: Vec<u32>,
}

impl Ledger {
    /// So many blocks on genesis; those at some heights spend what nobody can see.
    pub(super) fn new(count: u32, hidden: &[u32]) -> Self {
        let mut ledger = Self {
            blocks: alloc::vec![bitcoin::constants::genesis_block(bitcoin::Network::Regtest)],
            chain: HeaderChain::new(Params::new(Network::Regtest)),
            truth: Story::new(Vec::new()),
            miner: Miner::new(3),
            hidden: hidden.to_vec(),
        };
        ledger.grow(count);
        ledger
    }

    pub(super) fn grow(&mut self, count: u32) {
        for _ in 0..count {
            let height = u32::try_from(self.blocks.len()).unwrap();
            let parent = Header::from(self.blocks.last().unwrap().header);
            let hidden = self.hidden.contains(&height);
            self.blocks.push(block(&self.miner, &parent, height, hidden));
        }
        self.follow();
    }

    /// Other blocks from a height on.
    pub(super) fn fork(&mut self, from: usize, count: u32) {
        self.blocks.truncate(from);
        for extra in 0..count {
            let height = u32::try_from(self.blocks.len()).unwrap();
            let parent = Header::from(self.blocks.last().unwrap().header);
            let block = block(&self.miner, &parent, height + 500_000 + extra, false);
            self.blocks.push(block);
        }
        self.follow();
    }

    fn follow(&mut self) {
        let known = |block: &&Block| !self.chain.contains(&block.block_hash());
        let new: Vec<_> =
            self.blocks.iter().filter(known).map(|b| Header::from(b.header)).collect();
        for batch in new.chunks(2000) {
            let verified = self.chain.verify(batch, UnixTime::MAX).unwrap();
            self.chain.apply(verified).unwrap();
        }
        let filter = |(height, block): (usize, &Block)| {
            filter_of(block, &self.spent(u32::try_from(height).unwrap()), None)
        };
        self.truth = Story::new(self.blocks.iter().enumerate().map(filter).collect());
    }

    fn spent(&self, height: u32) -> Vec<ScriptBuf> {
        let hidden = self.hidden.contains(&height);
        hidden.then(|| script(height + 2_000_000)).into_iter().collect()
    }

    pub(super) fn hash(&self, height: usize) -> BlockHash {
        self.blocks[height].block_hash()
    }

    /// The truth, but for one filter that lacks an output.
    pub(super) fn omitting(&self, height: u32) -> Story {
        let at = height as usize;
        let lie = filter_of(&self.blocks[at], &self.spent(height), Some(&script(height)));
        self.truth.with(at, lie)
    }

    /// The truth, but for one filter that lacks what its block spends.
    pub(super) fn omitting_spend(&self, height: u32) -> Story {
        let at = height as usize;
        self.truth.with(at, filter_of(&self.blocks[at], &[], None))
    }

    pub(super) fn answer(&self, story: &Story, request: &FilterRequest) -> FilterAnswer {
        match *request {
            FilterRequest::Checkpoints { height, .. } => {
                let heights = (1000..=height.0 as usize).step_by(1000);
                FilterAnswer::Checkpoints(heights.map(|height| story.headers[height]).collect())
            }
            FilterRequest::Headers { start, count, .. } => {
                let start = start.0 as usize;
                let previous = start.checked_sub(1).map(|before| story.headers[before]);
                FilterAnswer::Headers {
                    previous: previous.unwrap_or_else(FilterHeader::all_zeros),
                    hashes: story.hashes[start..start + count as usize].to_vec(),
                }
            }
            FilterRequest::Filters { start, count, .. } => {
                let heights = start.0 as usize..start.0 as usize + count as usize;
                let served = heights.map(|height| ServedFilter {
                    block_hash: self.hash(height),
                    filter: story.filters[height].clone(),
                });
                FilterAnswer::Filters(served.collect())
            }
            FilterRequest::Block { height, .. } => {
                FilterAnswer::Block(Box::new(self.blocks[height.0 as usize].clone()))
            }
        }
    }
}

/// What a driver has seen.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) delivered: Vec<u32>,
    pub(super) cached: Vec<core::ops::Range<u32>>,
    pub(super) undecided: Vec<u32>,
    pub(super) faults: Vec<(PeerId, FilterOffence)>,
    pub(super) events: Vec<FilterEvent>,
    pub(super) asked: Vec<(PeerId, FilterRequestId, FilterRequest)>,
}

pub(super) struct Setup {
    pub(super) ledger: Ledger,
    pub(super) sync: FilterSync,
    pub(super) stories: BTreeMap<PeerId, Story>,
    pub(super) seen: Seen,
    pub(super) commits: bool,
    pub(super) consumes: bool,
}

impl Setup {
    pub(super) fn new(ledger: Ledger) -> Self {
        Self::with(ledger, FilterHeaderChain::new(), FilterSyncConfig::default())
    }

    pub(super) fn with(
        ledger: Ledger,
        filters: FilterHeaderChain,
        config: FilterSyncConfig,
    ) -> Self {
        Self::wanting(0, ledger, filters, config)
    }

    /// Filters are wanted from a height on.
    pub(super) fn wanting(
        from: u32,
        ledger: Ledger,
        filters: FilterHeaderChain,
        config: FilterSyncConfig,
    ) -> Self {
        let mut sync = FilterSync::new(config, filters, 7);
        sync.handle_tip(&ledger.chain, at(0));
        sync.want_from(&ledger.chain, BlockHeight(from), at(0));
        let (stories, seen) = (BTreeMap::new(), Seen::default());
        Self { ledger, sync, stories, seen, commits: true, consumes: true }
    }

    pub(super) fn connect(&mut self, peer: PeerId, story: Story, seconds: u64) {
        self.connect_with(peer, story, FilterPeerTraits::default(), seconds);
    }

    /// A peer that has all blocks.
    pub(super) fn connect_with(
        &mut self,
        peer: PeerId,
        story: Story,
        traits: FilterPeerTraits,
        seconds: u64,
    ) {
        self.stories.insert(peer, story);
        let height = self.ledger.chain.tip().height;
        let traits = FilterPeerTraits { height, ..traits };
        self.sync.handle_connected(&self.ledger.chain, peer, traits, at(seconds));
        self.collect(seconds);
    }

    pub(super) fn honest(&mut self, peer: PeerId, seconds: u64) {
        self.connect(peer, self.ledger.truth.clone(), seconds);
    }

    /// Does what a driver does, except answering.
    pub(super) fn collect(&mut self, seconds: u64) {
        while let Some(action) = self.sync.poll() {
            let (chain, now) = (&self.ledger.chain, at(seconds));
            match action {
                FilterAction::Ask { peer, id, request, .. } => {
                    self.seen.asked.push((peer, id, request));
                }
                FilterAction::Commit(_) if self.commits => self.sync.handle_committed(chain, now),
                FilterAction::Commit(_) => {}
                FilterAction::Filter { height, block_hash, .. } => {
                    assert_eq!(chain.hash_at(height), Some(block_hash));
                    self.seen.delivered.push(height.0);
                    if self.consumes {
                        self.sync.handle_consumed(chain, height, now);
                    }
                }
                FilterAction::Cached { heights } => {
                    self.seen.cached.push(heights.start.0..heights.end.0);
                }
                FilterAction::Undecided { height, .. } => self.seen.undecided.push(height.0),
                FilterAction::Misbehaved { peer, offence } => {
                    self.seen.faults.push((peer, offence));
                }
                FilterAction::Event(event) => self.seen.events.push(event),
            }
        }
    }

    /// Answers what was asked, in the order in which it was, until nothing is asked any more.
    pub(super) fn settle(&mut self, seconds: u64) {
        self.settle_but(seconds, |_, _| false);
    }

    /// The same, but some requests are never answered.
    pub(super) fn settle_but(
        &mut self,
        seconds: u64,
        mut silent: impl FnMut(PeerId, &FilterRequest) -> bool,
    ) {
        let mut kept = Vec::new();
        for _ in 0..10_000 {
            self.collect(seconds);
            if self.seen.asked.is_empty() {
                break;
            }
            let (peer, id, request) = self.seen.asked.remove(0);
            if silent(peer, &request) {
                kept.push((peer, id, request));
                continue;
            }
            self.answer(peer, id, &request, seconds);
        }
        self.seen.asked = kept;
    }

    pub(super) fn answer(
        &mut self,
        peer: PeerId,
        id: FilterRequestId,
        request: &FilterRequest,
        seconds: u64,
    ) {
        let answer = self.ledger.answer(&self.stories[&peer], request);
        self.sync.handle_answer(&self.ledger.chain, peer, id, answer, at(seconds));
    }

    pub(super) fn pass_time(&mut self, seconds: u64) {
        self.sync.handle_timeout(&self.ledger.chain, at(seconds));
    }

    /// The blocks of all requests for filters so far.
    pub(super) fn blamed(&self) -> Vec<PeerId> {
        self.seen.faults.iter().map(|(peer, _)| *peer).collect()
    }

    pub(super) fn is_synced(&self) -> bool {
        self.sync.status().synced
    }
}

//! A chain made by hand, and a scanner that drives the wallet over it: for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash as _;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn,
    TxMerkleNode, TxOut, Txid, Witness, transaction,
};
use ironlight_spv::compress::state::Salt;
use ironlight_spv::{BlockHeight, Network};

use super::service::states::Kept;
use super::{BlockAt, BlockId, ForkPoint, PlanError, Planned, ScanRange, Wallet, WalletEvent};
use crate::store::{MemoryStore, Store};

pub(super) const NETWORK: Network = Network::Regtest;
pub(super) const SALT: Salt = Salt::Bytes([5; 32]);
/// The public part of BIP32's first test vector, for test networks.
pub(super) const TPUB: &str = "tpubD6NzVbkrYhZ4XgiXtGrdW5XDAPFCL9h7we1vwNCpn8tGbBcgfVYjXyhWo4E1xkh56hjod1RhGjxbaTLV3X4FyWuejifB9jusQ46QzG87VKp";

/// Pseudo-random numbers (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }
}

/// A script of nobody's, told apart by a number.
pub(super) fn script(number: u8) -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x51, number])
}

pub(super) fn pay(inputs: &[OutPoint], outputs: &[(ScriptBuf, u64)]) -> Transaction {
    let input = |previous_output: &OutPoint| TxIn {
        previous_output: *previous_output,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::MAX,
        witness: Witness::new(),
    };
    let output = |(script_pubkey, value): &(ScriptBuf, u64)| TxOut {
        value: Amount::from_sat(*value),
        script_pubkey: script_pubkey.clone(),
    };
    Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: inputs.iter().map(input).collect(),
        output: outputs.iter().map(output).collect(),
    }
}

/// An output of no transaction that the chain has.
pub(super) fn foreign(number: u8) -> OutPoint {
    OutPoint { txid: Txid::from_byte_array([number; 32]), vout: 7 }
}

/// Blocks from genesis on; nothing but their links is right about them.
#[derive(Clone, Debug, Default)]
pub(super) struct TestChain {
    pub(super) blocks: Vec<Block>,
    /// What each block's filter would hold.
    elements: Vec<BTreeSet<ScriptBuf>>,
    /// Scripts of all outputs, stale blocks' too.
    scripts: BTreeMap<OutPoint, ScriptBuf>,
    nonce: u32,
}

impl TestChain {
    /// With so many blocks that pay nobody.
    pub(super) fn new(blocks: usize) -> Self {
        let mut chain = Self::default();
        (0..blocks).for_each(|_| {
            chain.mine(&script(0), Vec::new());
        });
        chain
    }

    /// Adds a block whose coinbase pays 50 to a script.
    pub(super) fn mine(&mut self, to: &ScriptBuf, transactions: Vec<Transaction>) -> BlockId {
        self.nonce += 1;
        let mut coinbase = pay(&[OutPoint::null()], &[(to.clone(), 50)]);
        coinbase.input[0].script_sig = ScriptBuf::from_bytes(self.nonce.to_le_bytes().to_vec());
        let header = Header {
            version: Version::ONE,
            prev_blockhash: self.blocks.last().map_or(BlockHash::all_zeros(), Block::block_hash),
            merkle_root: TxMerkleNode::all_zeros(),
            time: 0,
            bits: CompactTarget::from_consensus(0),
            nonce: self.nonce,
        };
        let txdata = [vec![coinbase], transactions].concat();
        let elements = txdata.iter().flat_map(|tx| self.touched(tx)).collect();
        self.elements.push(elements);
        self.blocks.push(Block { header, txdata });
        self.tip()
    }

    /// Scripts that a transaction pays to and spends from.
    fn touched(&mut self, transaction: &Transaction) -> Vec<ScriptBuf> {
        let txid = transaction.compute_txid();
        let spent =
            transaction.input.iter().filter_map(|input| self.scripts.get(&input.previous_output));
        let mut touched: Vec<ScriptBuf> = spent.cloned().collect();
        for (output, vout) in transaction.output.iter().zip(0..) {
            self.scripts.insert(OutPoint { txid, vout }, output.script_pubkey.clone());
            touched.push(output.script_pubkey.clone());
        }
        touched
    }

    /// What can be spent, with what it is worth.
    pub(super) fn unspent(&self) -> Vec<(OutPoint, u64)> {
        let mut unspent = BTreeMap::new();
        for transaction in self.blocks.iter().flat_map(|block| &block.txdata) {
            for input in &transaction.input {
                unspent.remove(&input.previous_output);
            }
            let txid = transaction.compute_txid();
            for (output, vout) in transaction.output.iter().zip(0..) {
                if !output.script_pubkey.is_op_return() {
                    unspent.insert(OutPoint { txid, vout }, output.value.to_sat());
                }
            }
        }
        unspent.into_iter().collect()
    }

    /// Takes the newest blocks off.
    pub(super) fn take_off(&mut self, blocks: usize) {
        let kept = self.blocks.len() - blocks;
        self.blocks.truncate(kept);
        self.elements.truncate(kept);
    }

    pub(super) fn tip(&self) -> BlockId {
        self.at(self.blocks.len() - 1)
    }

    pub(super) fn at(&self, height: usize) -> BlockId {
        let hash = self.blocks[height].block_hash();
        BlockId { height: BlockHeight(u32::try_from(height).unwrap()), hash }
    }

    pub(super) fn hash_at(&self, height: BlockHeight) -> Option<BlockHash> {
        self.blocks.get(usize::try_from(height.0).unwrap()).map(Block::block_hash)
    }

    /// Whether a block's filter would match: it pays to or spends from one of the scripts.
    fn matches(&self, height: usize, scripts: &[ScriptBuf]) -> bool {
        self.elements[height].iter().any(|element| scripts.binary_search(element).is_ok())
    }
}

/// The wallet with a store, as the node has them.
pub(super) struct Bench {
    pub(super) wallet: Wallet,
    pub(super) store: MemoryStore,
    pub(super) events: Vec<WalletEvent>,
    /// Taken back before each commit and sealed after it, as the node does.
    pub(super) kept: Kept,
    pub(super) states_store: Arc<dyn Store>,
    /// Where the process dies between the commits of wallet and states.
    pub(super) kills: Option<Dice>,
    /// Blocks that were looked at.
    pub(super) scanned: usize,
    /// Commits before which something sealed was taken back.
    pub(super) taken_back: usize,
}

/// How a scanner misbehaves without harm.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Habits {
    /// It asks for the next range when scripts were derived.
    pub(super) asks_again: bool,
    /// The process dies before one in so many blocks, and after half of the others' commits.
    pub(super) dies: Option<usize>,
    /// It gives one in so many blocks that do not match.
    pub(super) false_matches: Option<usize>,
}

pub(super) const GOOD: Habits = Habits { asks_again: true, dies: None, false_matches: None };

impl Bench {
    pub(super) fn new(begin: BlockId) -> Self {
        let (wallet, store) = (Wallet::new(NETWORK), MemoryStore::new());
        let states_store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let (kept, _) = Kept::open(&states_store, &wallet, SALT).unwrap();
        let (events, kills) = (Vec::new(), Some(Dice(begin.height.0.into())));
        let (scanned, taken_back) = (0, 0);
        let mut bench =
            Self { wallet, store, events, kept, states_store, kills, scanned, taken_back };
        let planned = bench.wallet.plan_begin(begin).unwrap();
        bench.commit(planned);
        bench
    }

    /// Commits and applies.
    pub(super) fn commit<O>(&mut self, planned: Planned<O>) -> O {
        if let Some(from) = self.wallet.lowest_change(&planned.effects) {
            self.kept.take_back(from).unwrap();
            self.taken_back += 1;
        }
        self.die_now_and_then();
        self.store.commit(planned.batch).unwrap();
        self.wallet.apply(planned.effects).unwrap();
        self.die_now_and_then();
        while self.kept.seal(&self.wallet, 3).unwrap() {
            self.die_now_and_then();
        }
        planned.outcome
    }

    /// Opens the states again, as after a kill, now and then.
    fn die_now_and_then(&mut self) {
        if self.kills.as_mut().is_some_and(|dice| dice.one_in(6)) {
            self.reopen_states();
        }
    }

    pub(super) fn reopen_states(&mut self) {
        self.kept.close();
        let (kept, notes) = Kept::open(&self.states_store, &self.wallet, SALT).unwrap();
        assert_eq!(notes, Vec::<String>::new());
        self.kept = kept;
    }

    /// Starts anew from the rows, which must give the same wallet.
    pub(super) fn reload(&mut self) {
        let loaded = Wallet::load(&self.store, NETWORK).unwrap();
        assert_eq!(loaded.marks, self.wallet.marks);
        assert_eq!(loaded.watched, self.wallet.watched);
        assert_eq!(loaded.ledger, self.wallet.ledger);
        assert_eq!(loaded.jobs, self.wallet.jobs);
        assert_eq!(loaded.claim(), self.wallet.claim());
        self.wallet = loaded;
    }

    /// Whether scripts were derived, or the range is stale.
    pub(super) fn block(&mut self, chain: &TestChain, range: &ScanRange, height: usize) -> bool {
        let BlockId { hash, height: at } = chain.at(height);
        let prove = |position: u32| position.to_le_bytes().to_vec();
        let block = BlockAt { height: at, hash, block: &chain.blocks[height], prove: &prove };
        let planned = match self.wallet.plan_block(range, &block) {
            Err(PlanError::StaleRange) => return true,
            planned => planned.unwrap(),
        };
        let events = self.commit(planned);
        let extended = events.iter().any(|event| matches!(event, WalletEvent::Extended { .. }));
        self.events.extend(events);
        extended
    }

    /// Follows the chain until there is nothing left to do.
    pub(super) fn sync(&mut self, chain: &TestChain, habits: Habits, dice: &mut Dice) {
        self.follow(chain, habits, dice, usize::MAX);
    }

    /// Follows the chain through so many ranges at most.
    pub(super) fn follow(
        &mut self,
        chain: &TestChain,
        habits: Habits,
        dice: &mut Dice,
        ranges: usize,
    ) {
        match self.wallet.fork_point(|height| chain.hash_at(height)) {
            ForkPoint::OnBestChain => {}
            ForkPoint::Below(block) => {
                let planned = self.wallet.plan_disconnect(block).unwrap();
                let events = self.commit(planned);
                self.events.extend(events);
            }
            ForkPoint::Unknown => {
                let planned = self.wallet.plan_disconnect(chain.at(0)).unwrap();
                let events = self.commit(planned);
                self.events.extend(events);
            }
        }
        for _ in 0..ranges {
            let Some(range) = self.wallet.next_range(chain.tip().height) else { return };
            self.scan(chain, &range, habits, dice);
        }
    }

    fn scan(&mut self, chain: &TestChain, range: &ScanRange, habits: Habits, dice: &mut Dice) {
        let height = |height: BlockHeight| usize::try_from(height.0).unwrap();
        for at in height(range.from)..=height(range.to) {
            self.scanned += 1;
            if habits.dies.is_some_and(|n| dice.one_in(n)) {
                if dice.one_in(2)
                    && at > height(range.from)
                    && let Ok(planned) = self.wallet.plan_scanned(range, chain.at(at - 1))
                {
                    self.commit(planned);
                }
                return self.reload();
            }
            let matches = chain.matches(at, &range.scripts)
                || habits.false_matches.is_some_and(|n| dice.one_in(n));
            if matches && self.block(chain, range, at) && habits.asks_again {
                return;
            }
        }
        match self.wallet.plan_scanned(range, chain.at(height(range.to))) {
            Err(PlanError::StaleRange) => {}
            planned => self.commit(planned.unwrap()),
        }
    }
}

//! Real blocks on a regtest chain, and peers that do as they are told.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bitcoin::absolute::LockTime;
use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash as _;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, Block, BlockHash, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode,
    TxOut, Txid, Witness,
};
use ironlight_spv::compress::HeaderBody;
use ironlight_spv::generate::Miner;
use ironlight_spv::peers::{NetworkGroup, Offence, PeerId};
use ironlight_spv::sync::Unanswered;
use ironlight_spv::{Header, HeaderChain, Network, Params};

use crate::chain::ChainHandle;
use crate::clock::unix_now;
use crate::net::data::{Answering, DataLine, DataPeer, DataPeers, Offers, Query, Reply};
use crate::net::{Direction, PeerNetwork};

/// A chain of blocks from genesis on.
pub(crate) struct TestChain {
    pub(crate) chain: HeaderChain,
    /// Genesis first.
    pub(crate) blocks: Vec<Block>,
}

impl TestChain {
    /// So many blocks after genesis, with a few transactions each.
    pub(crate) fn new(count: u32) -> Self {
        let params = Params::new(Network::Regtest);
        let genesis = bitcoin::constants::genesis_block(bitcoin::Network::Regtest);
        let mut chain = Self { chain: HeaderChain::new(params), blocks: vec![genesis] };
        for height in 1..=count {
            let block = block_on(chain.blocks.last().unwrap(), height, 0);
            chain.add(&block);
            chain.blocks.push(block);
        }
        chain
    }

    /// A block beside the last one, which stays on a side branch.
    pub(crate) fn with_side_block(mut self) -> (Self, Block) {
        let height = u32::try_from(self.blocks.len()).unwrap() - 1;
        let side = block_on(&self.blocks[self.blocks.len() - 2], height, 1);
        self.add(&side);
        (self, side)
    }

    fn add(&mut self, block: &Block) {
        let batch = self.chain.verify(&[Header::from(block.header)], unix_now()).unwrap();
        self.chain.apply(batch).unwrap();
    }

    pub(crate) fn handle(&self) -> ChainHandle {
        ChainHandle::standing(self.chain.clone())
    }

    pub(crate) fn hash(&self, height: usize) -> BlockHash {
        self.blocks[height].block_hash()
    }

    pub(crate) fn txids(&self, height: usize) -> Vec<Txid> {
        self.blocks[height].txdata.iter().map(Transaction::compute_txid).collect()
    }
}

/// A block with its witness commitment; the salt makes another one of it.
fn block_on(parent: &Block, height: u32, salt: u8) -> Block {
    let mut txdata = vec![coinbase(height, salt, [0; 32])];
    txdata.extend((0..height % 7).map(|at| payment(height, at)));
    let header = parent.header;
    let mut block = Block { header, txdata };
    let root = block.witness_root().unwrap();
    let commitment = Block::compute_witness_commitment(&root, &[0; 32]).to_byte_array();
    block.txdata[0] = coinbase(height, salt, commitment);
    let body = HeaderBody {
        version: 4,
        merkle_root: block.compute_merkle_root().unwrap(),
        time: ironlight_spv::UnixTime(parent.header.time).plus_seconds(60),
        bits: Params::new(Network::Regtest).genesis.compact_target(),
        nonce: 0,
    };
    block.header = Miner::new(1).grind(body, parent.block_hash()).into();
    block
}

fn transaction(input: TxIn, output: Vec<TxOut>) -> Transaction {
    Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: vec![input], output }
}

fn coinbase(height: u32, salt: u8, commitment: [u8; 32]) -> Transaction {
    let script = [&[4][..], &height.to_le_bytes(), &[1, salt]].concat();
    let commits = [&[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed][..], &commitment].concat();
    let input = TxIn {
        previous_output: OutPoint::null(),
        script_sig: ScriptBuf::from_bytes(script),
        sequence: Sequence::MAX,
        witness: Witness::from_slice(&[[0; 32]]),
    };
    let output = |value, script| TxOut {
        value: Amount::from_sat(value),
        script_pubkey: ScriptBuf::from_bytes(script),
    };
    transaction(input, vec![output(5_000, vec![0x51]), output(0, commits)])
}

fn payment(height: u32, at: u32) -> Transaction {
    let input = TxIn {
        previous_output: OutPoint { txid: Txid::from_byte_array([7; 32]), vout: height * 100 + at },
        script_sig: ScriptBuf::new(),
        sequence: Sequence::MAX,
        witness: Witness::from_slice(&[vec![9; 70]]),
    };
    let script_pubkey = ScriptBuf::from_bytes([&[0, 20][..], &[3; 20]].concat());
    transaction(input, vec![TxOut { value: Amount::from_sat(1_000), script_pubkey }])
}

/// The same header over other transactions, so that its root is wrong.
pub(crate) fn with_a_transaction_less(block: &Block) -> Block {
    let mut block = block.clone();
    block.txdata.pop();
    block
}

/// The last transaction twice, which leaves the root as it is where their number was odd.
pub(crate) fn doubled(block: &Block) -> Block {
    let mut block = block.clone();
    assert_eq!(block.txdata.len() % 2, 1);
    let root = block.compute_merkle_root();
    block.txdata.extend(block.txdata.last().cloned());
    assert_eq!(block.compute_merkle_root(), root);
    assert_ne!(root, Some(TxMerkleNode::all_zeros()));
    block
}

/// The same transactions without witnesses.
pub(crate) fn stripped(block: &Block) -> Block {
    let mut block = block.clone();
    for input in block.txdata.iter_mut().flat_map(|transaction| &mut transaction.input) {
        input.witness = Witness::new();
    }
    block
}

/// What a peer does with a question.
#[derive(Clone, Debug)]
pub(crate) enum Does {
    /// Gives the block that was asked for.
    Give,
    /// The same, after so long.
    GiveAfter(Duration),
    /// These bytes.
    Say(Vec<u8>),
    /// Does not have it.
    Lacks,
    /// The same, after so long.
    LacksAfter(Duration),
    /// Wants to be left alone for so long.
    Busy(Duration),
    /// Says at once that nothing will come.
    Fail,
    /// Nothing.
    Hang,
}

/// A peer with all blocks, which does one thing after the other, the last one for ever.
#[derive(Debug)]
pub(crate) struct FakeLine {
    blocks: HashMap<BlockHash, Vec<u8>>,
    script: Mutex<VecDeque<Does>>,
    asked: AtomicUsize,
    /// Questions that nobody has waited for.
    dropped: Arc<AtomicUsize>,
    blamed: Mutex<Vec<Offence>>,
}

impl FakeLine {
    pub(crate) fn new(chain: &TestChain, script: impl IntoIterator<Item = Does>) -> Arc<Self> {
        let blocks = chain.blocks.iter().map(|block| (block.block_hash(), serialize(block)));
        Arc::new(Self {
            blocks: blocks.collect(),
            script: Mutex::new(script.into_iter().collect()),
            asked: AtomicUsize::new(0),
            dropped: Arc::default(),
            blamed: Mutex::default(),
        })
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    pub(crate) fn dropped(&self) -> usize {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn blamed(&self) -> Vec<Offence> {
        self.blamed.lock().unwrap().clone()
    }

    /// Its entry in the list of those that can be asked.
    pub(crate) fn join(self: &Arc<Self>, peers: &DataPeers, number: u64, network: PeerNetwork) {
        let entry = DataPeer {
            network,
            direction: Direction::Outbound,
            owner: NetworkGroup::V4([192, 0]),
            named: false,
            address: format!("peer {number}"),
            offers: Offers { blocks: true, ..Offers::default() },
            latest: None,
            line: Arc::<Self>::clone(self),
        };
        peers.joined(PeerId(number), entry);
    }
}

/// Counts a question whose answer was not waited for.
struct Unless {
    answered: bool,
    dropped: Arc<AtomicUsize>,
}

impl Unless {
    const fn is_answered(&mut self) {
        self.answered = true;
    }
}

impl Drop for Unless {
    fn drop(&mut self) {
        if !self.answered {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl DataLine for FakeLine {
    fn ask(&self, query: Query, _: bool) -> Answering {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut script = self.script.lock().unwrap();
        let does = if script.len() > 1 { script.pop_front() } else { script.front().cloned() };
        let Query::Block { hash } = query else { panic!("{query:?}") };
        let block = self.blocks.get(&hash).cloned();
        let give = block.map_or(Reply::NotFound, Reply::Block);
        let mut unless = Unless { answered: false, dropped: Arc::clone(&self.dropped) };
        Box::pin(async move {
            let answer = match does.unwrap() {
                Does::Give => Ok(give),
                Does::GiveAfter(pause) => {
                    tokio::time::sleep(pause).await;
                    Ok(give)
                }
                Does::Say(bytes) => Ok(Reply::Block(bytes)),
                Does::Lacks => Ok(Reply::NotFound),
                Does::LacksAfter(pause) => {
                    tokio::time::sleep(pause).await;
                    Ok(Reply::NotFound)
                }
                Does::Busy(retry_after) => Err(Unanswered::Refused { retry_after }),
                Does::Fail => Err(Unanswered::NoAnswer),
                Does::Hang => pending().await,
            };
            unless.is_answered();
            answer
        })
    }

    fn misbehaved(&self, offence: Offence) {
        self.blamed.lock().unwrap().push(offence);
    }
}

//! Blocks with transactions, and their true filters.

use std::collections::BTreeMap;

use bitcoin::absolute::LockTime;
use bitcoin::bip158::{BlockFilterWriter, FilterHash, FilterHeader};
use bitcoin::hashes::Hash as _;
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, Block, BlockHash, OutPoint, PubkeyHash, ScriptBuf, Sequence, Transaction, TxIn,
    TxMerkleNode, TxOut, WPubkeyHash, WScriptHash, Witness, WitnessMerkleNode,
};
use ironlight_spv::compress::HeaderBody;
use ironlight_spv::generate::Miner;
use ironlight_spv::{Header, Network, Params};

/// A block on whatever branch.
#[derive(Debug)]
pub struct Entry {
    /// Its place in [`Ledger::entries`].
    pub number: usize,
    /// Its parent's place; none of genesis.
    pub parent: Option<usize>,
    /// Its height.
    pub height: u32,
    /// The block.
    pub block: Block,
    /// Its header as the chain has it.
    pub header: Header,
    /// Its hash.
    pub hash: BlockHash,
    /// Scripts of the outputs that it spends.
    pub spent: Vec<ScriptBuf>,
    /// Its filter.
    pub filter: Vec<u8>,
    /// Hash of the filter.
    pub filter_hash: FilterHash,
    /// Its filter header.
    pub filter_header: FilterHeader,
    /// Whether a watched script is paid in it, or spent.
    pub pays: bool,
    /// Whether only a spend concerns us.
    pub only_spends: bool,
}

/// An output that can be spent, and how.
#[derive(Clone, Debug)]
struct Coin {
    outpoint: OutPoint,
    script: ScriptBuf,
    key: [u8; 33],
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Pkh,
    Wpkh,
    WrappedWpkh,
    Wsh,
    Taproot,
}

const KINDS: [Kind; 5] = [Kind::Pkh, Kind::Wpkh, Kind::WrappedWpkh, Kind::Wsh, Kind::Taproot];

/// Blocks on all branches.
#[derive(Debug)]
pub struct Ledger {
    /// Of the network.
    pub params: Params,
    /// The blocks, parents first.
    pub entries: Vec<Entry>,
    /// By hash.
    pub by_hash: BTreeMap<BlockHash, usize>,
    /// What the wallet watches.
    pub watched: Vec<ScriptBuf>,
    watched_keys: Vec<(Kind, [u8; 33])>,
    coins: Vec<Coin>,
    our_coins: Vec<Coin>,
    miner: Miner,
}

/// A filter of these scripts.
#[must_use]
pub fn filter_of<'a>(block: &Block, scripts: impl Iterator<Item = &'a ScriptBuf>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = BlockFilterWriter::new(&mut bytes, block);
    for script in scripts {
        writer.add_element(script.as_bytes());
    }
    // A vector takes all bytes.
    let _written = writer.finish();
    bytes
}

impl Entry {
    /// The scripts that its filter has.
    pub fn elements(&self) -> impl Iterator<Item = &ScriptBuf> {
        let outputs = self.block.txdata.iter().flat_map(|transaction| &transaction.output);
        let scripts = outputs.map(|output| &output.script_pubkey);
        let scripts = scripts.filter(|script| !script.is_op_return());
        scripts.chain(&self.spent).filter(|script| !script.is_empty())
    }
}

fn script_of(kind: Kind, key: &[u8; 33]) -> ScriptBuf {
    let wpkh = || ScriptBuf::new_p2wpkh(&WPubkeyHash::hash(key));
    match kind {
        Kind::Pkh => ScriptBuf::new_p2pkh(&PubkeyHash::hash(key)),
        Kind::Wpkh => wpkh(),
        Kind::WrappedWpkh => wpkh().to_p2sh(),
        Kind::Wsh => ScriptBuf::new_p2wsh(&WScriptHash::hash(key)),
        Kind::Taproot => {
            let mut bytes = vec![0x51, 32];
            bytes.extend(key.iter().skip(1));
            ScriptBuf::from_bytes(bytes)
        }
    }
}

fn pushed(bytes: &[u8]) -> PushBytesBuf {
    PushBytesBuf::try_from(bytes.to_vec()).unwrap_or_default()
}

/// An input as it would be, but for its signature.
fn spend(coin: &Coin) -> TxIn {
    let (signature, key) = ([0x30; 71], &coin.key);
    let (script_sig, witness) = match coin.kind {
        Kind::Pkh => {
            let script = Builder::new().push_slice(pushed(&signature)).push_slice(pushed(key));
            (script.into_script(), Witness::new())
        }
        Kind::Wpkh => (ScriptBuf::new(), Witness::from_slice(&[&signature[..], &key[..]])),
        Kind::WrappedWpkh => {
            let redeem = ScriptBuf::new_p2wpkh(&WPubkeyHash::hash(key));
            let script = Builder::new().push_slice(pushed(redeem.as_bytes())).into_script();
            (script, Witness::from_slice(&[&signature[..], &key[..]]))
        }
        Kind::Wsh => (ScriptBuf::new(), Witness::from_slice(&[&signature[..], &[], &key[..]])),
        Kind::Taproot => (ScriptBuf::new(), Witness::from_slice(&[&[7; 64][..]])),
    };
    TxIn { previous_output: coin.outpoint, script_sig, sequence: Sequence::MAX, witness }
}

fn pay(script: ScriptBuf) -> TxOut {
    TxOut { value: Amount::from_sat(1000), script_pubkey: script }
}

fn transaction(input: Vec<TxIn>, output: Vec<TxOut>) -> Transaction {
    Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input, output }
}

impl Ledger {
    /// Genesis, and the scripts to watch.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let params = Params::new(Network::Regtest);
        let mut ledger = Self {
            params,
            entries: Vec::new(),
            by_hash: BTreeMap::new(),
            watched: Vec::new(),
            watched_keys: Vec::new(),
            coins: Vec::new(),
            our_coins: Vec::new(),
            miner: Miner::new(seed),
        };
        for kind in [Kind::Wpkh, Kind::Taproot, Kind::Pkh] {
            let key = ledger.key();
            ledger.watched_keys.push((kind, key));
            ledger.watched.push(script_of(kind, &key));
        }
        let genesis = bitcoin::constants::genesis_block(bitcoin::Network::Regtest);
        ledger.push(None, genesis, Vec::new());
        ledger
    }

    /// One of so many.
    pub fn below(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.miner.random() % count).unwrap_or(0)
    }

    fn key(&mut self) -> [u8; 33] {
        let mut key = [2; 33];
        for byte in key.iter_mut().skip(1) {
            *byte = self.miner.random().to_le_bytes()[0];
        }
        key
    }

    fn push(&mut self, parent: Option<usize>, block: Block, spent: Vec<ScriptBuf>) -> usize {
        let number = self.entries.len();
        let before = parent.and_then(|parent| self.entries.get(parent));
        let (height, previous) = before.map_or((0, FilterHeader::all_zeros()), |entry| {
            (entry.height + 1, entry.filter_header)
        });
        let header = Header::from(block.header);
        let mut entry = Entry {
            number,
            parent,
            height,
            header,
            hash: header.hash(),
            block,
            spent,
            filter: Vec::new(),
            filter_hash: FilterHash::all_zeros(),
            filter_header: previous,
            pays: false,
            only_spends: false,
        };
        entry.filter = filter_of(&entry.block, entry.elements());
        entry.filter_hash = FilterHash::hash(&entry.filter);
        entry.filter_header = entry.filter_hash.filter_header(&previous);
        let pays = entry.elements().any(|script| self.watched.contains(script));
        entry.pays = pays;
        let outputs = entry.block.txdata.iter().flat_map(|transaction| &transaction.output);
        let paid = outputs.clone().any(|output| self.watched.contains(&output.script_pubkey));
        entry.only_spends = entry.pays && !paid;
        self.by_hash.insert(entry.hash, number);
        self.entries.push(entry);
        number
    }

    /// Mines a block with nothing but its coinbase on another.
    pub fn mine_empty(&mut self, parent: usize) -> usize {
        let output = vec![pay(script_of(Kind::Wpkh, &[3; 33]))];
        self.seal(parent, vec![self.coinbase(parent, output)], Vec::new())
    }

    /// Mines a block with some transactions on another; sometimes they concern the wallet.
    pub fn mine(&mut self, parent: usize) -> usize {
        let mut made = Vec::new();
        let mut txdata = Vec::new();
        let mut spent = Vec::new();
        let key = self.key();
        txdata.push(self.coinbase(parent, vec![pay(script_of(Kind::Wpkh, &key))]));
        for _ in 0..self.below(3) {
            let inputs: Vec<_> = (0..1 + self.below(2)).map(|_| self.take_coin()).collect();
            spent.extend(inputs.iter().map(|coin| coin.script.clone()));
            let input = inputs.iter().map(spend).collect();
            txdata.push(self.payment(input, &mut made));
        }
        if self.below(8) == 0
            && let Some(coin) = self.our_coins.pop()
        {
            spent.push(coin.script.clone());
            txdata.push(self.payment(vec![spend(&coin)], &mut made));
        }
        if self.below(6) == 0 {
            let which = self.below(self.watched_keys.len());
            if let (Some((kind, key)), Some(script)) =
                (self.watched_keys.get(which).copied(), self.watched.get(which).cloned())
            {
                let output = vec![pay(script.clone()), pay(ScriptBuf::new_op_return([7; 9]))];
                let stray = self.stray();
                spent.push(stray.script.clone());
                let payment = transaction(vec![spend(&stray)], output);
                let outpoint = OutPoint::new(payment.compute_txid(), 0);
                txdata.push(payment);
                self.our_coins.push(Coin { outpoint, script, key, kind });
            }
        }
        let number = self.seal(parent, txdata, spent);
        self.coins.extend(made);
        // Those of blocks that are not on the best chain are spent all the same: nobody checks.
        let surplus = self.coins.len().saturating_sub(60);
        self.coins.drain(..surplus);
        number
    }

    /// An output of nowhere, whose spending shows nothing of its script.
    fn stray(&mut self) -> Coin {
        let key = self.key();
        let outpoint = OutPoint::new(bitcoin::Txid::hash(&key), 0);
        Coin { outpoint, script: script_of(Kind::Taproot, &key), key, kind: Kind::Taproot }
    }

    fn take_coin(&mut self) -> Coin {
        let at = self.below(self.coins.len() + 2);
        if at < self.coins.len() { self.coins.swap_remove(at) } else { self.stray() }
    }

    fn payment(&mut self, input: Vec<TxIn>, made: &mut Vec<Coin>) -> Transaction {
        let keys: Vec<_> = (0..1 + self.below(3))
            .map(|_| (KINDS.get(self.below(5)).copied().unwrap_or(Kind::Pkh), self.key()))
            .collect();
        let scripts: Vec<_> = keys.iter().map(|(kind, key)| script_of(*kind, key)).collect();
        let mut output: Vec<_> = scripts.iter().cloned().map(pay).collect();
        if self.below(4) == 0 {
            output.push(pay(ScriptBuf::new()));
        }
        let payment = transaction(input, output);
        let txid = payment.compute_txid();
        for (vout, ((kind, key), script)) in (0..).zip(keys.into_iter().zip(scripts)) {
            made.push(Coin { outpoint: OutPoint::new(txid, vout), script, key, kind });
        }
        payment
    }

    fn coinbase(&self, parent: usize, output: Vec<TxOut>) -> Transaction {
        let height = self.entries.get(parent).map_or(0, |entry| entry.height + 1);
        let number = i64::try_from(self.entries.len()).unwrap_or(0);
        let script = Builder::new().push_int(i64::from(height)).push_int(number).into_script();
        let input = TxIn {
            previous_output: OutPoint::null(),
            script_sig: script,
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[[0; 32]]),
        };
        transaction(vec![input], output)
    }

    fn seal(&mut self, parent: usize, txdata: Vec<Transaction>, spent: Vec<ScriptBuf>) -> usize {
        let Some(before) = self.entries.get(parent) else { return parent };
        let (parent_hash, time) = (before.hash, before.header.time().plus_seconds(600));
        let mut block = Block { header: before.block.header, txdata };
        commit_to_witnesses(&mut block);
        let merkle_root = block.compute_merkle_root().unwrap_or(TxMerkleNode::all_zeros());
        let bits = before.header.compact_target();
        let body = HeaderBody { version: 4, merkle_root, time, bits, nonce: 0 };
        block.header = self.miner.grind(body, parent_hash).into();
        self.push(Some(parent), block, spent)
    }
}

/// The coinbase commits to the witnesses (BIP141).
fn commit_to_witnesses(block: &mut Block) {
    let root = block.witness_root().unwrap_or(WitnessMerkleNode::all_zeros());
    let commitment = Block::compute_witness_commitment(&root, &[0; 32]);
    let mut script = vec![0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];
    script.extend(commitment.as_byte_array());
    if let Some(coinbase) = block.txdata.first_mut() {
        coinbase.output.push(pay(ScriptBuf::from_bytes(script)));
    }
}

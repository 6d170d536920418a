//! Bitcoin Core judges our compact filters: of blocks that pay to and spend every kind of script.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a panic is the test's failure, and figures are printed"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::hashes::Hash as _;
use bitcoin::secp256k1::{Message, PublicKey, Secp256k1, SecretKey};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::{
    Amount, Block, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness,
    absolute, ecdsa, opcodes, script, transaction,
};
use ironlight::devnet::wallet::Wallet;
use ironlight_spv::filter::{
    Filter, FilterHeader, FilterKey, MatchScratch, ScriptSet, output_elements,
};
use ironlight_spv::peers::SplitMix64;
use ironlight_tests::{BitcoinCore, eventually};
use serde_json::{Value, json};

/// An output that anyone can spend.
const ANYONE: &str = "raw(51)#8lvh9jxk";
/// Blocks with payments.
const BLOCKS: usize = 1_000;
const FEE: Amount = Amount::from_sat(1_000);

/// How an output can be spent; the first ones are by the devnet's wallet, which signs for all inputs of a transaction
/// at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    P2pkh,
    P2wpkh,
    P2shP2wpkh,
    P2tr,
    P2pk,
    P2sh,
    P2wsh,
    BareMultisig,
    Empty,
    Anyone,
    /// Data, nothing, or opcodes behind it.
    OpReturn,
    /// A script that ends inside a push.
    Broken,
}

impl Kind {
    const ALL: [Self; 12] = [
        Self::P2pkh,
        Self::P2wpkh,
        Self::P2shP2wpkh,
        Self::P2tr,
        Self::P2pk,
        Self::P2sh,
        Self::P2wsh,
        Self::BareMultisig,
        Self::Empty,
        Self::Anyone,
        Self::OpReturn,
        Self::Broken,
    ];

    fn is_of_the_wallet(self) -> bool {
        self <= Self::P2tr
    }

    fn can_be_spent(self) -> bool {
        self < Self::OpReturn
    }
}

struct Coin {
    outpoint: OutPoint,
    output: TxOut,
    kind: Kind,
}

/// Makes payments out of coins, and remembers what they leave.
struct Payments {
    random: SplitMix64,
    wallet: Wallet,
    secret: SecretKey,
    coins: Vec<Coin>,
    paid: BTreeSet<Kind>,
    spent: BTreeSet<Kind>,
}

impl Payments {
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.random.below(u64::try_from(end).unwrap())).unwrap()
    }

    fn public(&self) -> PublicKey {
        self.secret.public_key(&Secp256k1::signing_only())
    }

    fn script(&mut self, kind: Kind) -> ScriptBuf {
        let number = self.random.below(16);
        let anyone = script::Builder::new().push_opcode(opcodes::OP_TRUE).into_script();
        match kind {
            Kind::P2pkh | Kind::P2wpkh | Kind::P2shP2wpkh | Kind::P2tr => {
                self.wallet.script(4 * number + kind as u64)
            }
            Kind::P2pk => ScriptBuf::new_p2pk(&self.public().into()),
            Kind::P2sh => ScriptBuf::new_p2sh(&anyone.script_hash()),
            Kind::P2wsh => ScriptBuf::new_p2wsh(&anyone.wscript_hash()),
            // None of two signatures are needed.
            Kind::BareMultisig => script::Builder::new()
                .push_int(0)
                .push_key(&self.public().into())
                .push_slice([u8::try_from(number).unwrap() | 2; 33])
                .push_int(2)
                .push_opcode(opcodes::all::OP_CHECKMULTISIG)
                .into_script(),
            Kind::Empty => ScriptBuf::new(),
            Kind::Anyone => anyone,
            Kind::OpReturn => match number % 3 {
                0 => ScriptBuf::new_op_return(number.to_le_bytes()),
                1 => ScriptBuf::from(vec![0x6a]),
                _ => ScriptBuf::from(vec![0x6a, 0x51, 0xac, 0x4c]),
            },
            Kind::Broken => ScriptBuf::from(vec![0x4c, 0xff, u8::try_from(number).unwrap()]),
        }
    }

    /// A payment from some coins, the wallet's or the others, to scripts of drawn kinds.
    fn pay(&mut self, of_the_wallet: bool) -> Option<Transaction> {
        let mut inputs: Vec<Coin> = Vec::new();
        for _ in 0..=self.below(4) {
            let at = self.below(self.coins.len());
            let coin = &self.coins[at];
            if coin.kind.is_of_the_wallet() == of_the_wallet && coin.output.value > FEE * 20 {
                inputs.push(self.coins.swap_remove(at));
            }
        }
        let total: Amount = inputs.iter().map(|coin| coin.output.value).sum();
        let kinds: Vec<Kind> =
            (0..=self.below(6)).map(|_| Kind::ALL[self.below(Kind::ALL.len())]).collect();
        let each = total.checked_sub(FEE)? / u64::try_from(kinds.len()).unwrap();
        let output = |kind: &Kind| {
            // What nobody can spend burns little.
            let value = if kind.can_be_spent() { each } else { Amount::ZERO };
            TxOut { value, script_pubkey: self.script(*kind) }
        };
        let input = |coin: &Coin| TxIn {
            previous_output: coin.outpoint,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        };
        let mut payment = Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: inputs.iter().map(input).collect(),
            output: kinds.iter().map(output).collect(),
        };
        self.unlock(&mut payment, &inputs);
        self.take(&payment, &inputs, &kinds);
        Some(payment)
    }

    fn take(&mut self, payment: &Transaction, inputs: &[Coin], kinds: &[Kind]) {
        self.spent.extend(inputs.iter().map(|coin| coin.kind));
        self.paid.extend(kinds);
        let txid = payment.compute_txid();
        for ((vout, output), kind) in (0..).zip(&payment.output).zip(kinds) {
            if kind.can_be_spent() {
                let outpoint = OutPoint { txid, vout };
                self.coins.push(Coin { outpoint, output: output.clone(), kind: *kind });
            }
        }
    }

    fn unlock(&self, payment: &mut Transaction, inputs: &[Coin]) {
        if inputs[0].kind.is_of_the_wallet() {
            let spent: Vec<TxOut> = inputs.iter().map(|coin| coin.output.clone()).collect();
            self.wallet.sign(payment, &spent).unwrap();
            return;
        }
        let unsigned = payment.clone();
        for (index, (input, coin)) in payment.input.iter_mut().zip(inputs).enumerate() {
            let script = script::Builder::new();
            input.script_sig = match coin.kind {
                Kind::P2sh => script.push_slice([0x51]),
                Kind::P2wsh => {
                    input.witness = Witness::from_slice(&[[0x51]]);
                    script
                }
                Kind::BareMultisig => script.push_int(0),
                Kind::Empty => script.push_int(1),
                Kind::Anyone => script,
                Kind::P2pk => script.push_slice(self.signature(&unsigned, index, coin).serialize()),
                Kind::P2pkh | Kind::P2wpkh | Kind::P2shP2wpkh | Kind::P2tr => {
                    panic!("the wallet's")
                }
                Kind::OpReturn | Kind::Broken => panic!("nobody can spend {:?}", coin.kind),
            }
            .into_script();
        }
    }

    fn signature(&self, payment: &Transaction, index: usize, coin: &Coin) -> ecdsa::Signature {
        let sighash_type = EcdsaSighashType::All;
        let cache = SighashCache::new(payment);
        let script = &coin.output.script_pubkey;
        let hash = cache.legacy_signature_hash(index, script, sighash_type.to_u32()).unwrap();
        let message = Message::from_digest(hash.to_byte_array());
        let signature = Secp256k1::signing_only().sign_ecdsa(&message, &self.secret);
        ecdsa::Signature { signature, sighash_type }
    }
}

/// The hashes from genesis to a height.
fn hashes(core: &BitcoinCore, height: u32) -> Vec<Value> {
    core.ask_all("getblockhash", (0..=height).map(|height| json!([height])))
}

/// What the blocks after genesis up to a height mined.
fn coinbases(core: &BitcoinCore, height: u32) -> Vec<Coin> {
    let hashes = hashes(core, height);
    let blocks = core.ask_all("getblock", hashes.iter().skip(1).map(|hash| json!([hash, 1])));
    let coin = |block: &Value| {
        let txid: Txid = block["tx"][0].as_str().unwrap().parse().unwrap();
        let script_pubkey = ScriptBuf::from(vec![0x51]);
        let output = TxOut { value: Amount::from_int_btc(50), script_pubkey };
        Coin { outpoint: OutPoint { txid, vout: 0 }, output, kind: Kind::Anyone }
    };
    blocks.iter().map(coin).collect()
}

/// The scripts that a block spends, as Core knows them.
fn spent_scripts(block: &Value) -> Vec<ScriptBuf> {
    let transactions = block["tx"].as_array().unwrap().iter().skip(1);
    let inputs = transactions.flat_map(|transaction| transaction["vin"].as_array().unwrap());
    let script =
        |input: &Value| input["prevout"]["scriptPubKey"]["hex"].as_str().map(str::to_owned);
    inputs.map(|input| ScriptBuf::from_hex(&script(input).unwrap()).unwrap()).collect()
}

#[test]
#[ignore = "needs Bitcoin Core (BITCOIND_EXE)"]
fn filters_of_all_kinds_of_script_are_those_of_core() {
    let mut core = BitcoinCore::start(&["-blockfilterindex=1"]);
    core.mine(140);
    let mut payments = Payments {
        random: SplitMix64::new(1),
        wallet: Wallet::new(1),
        secret: SecretKey::from_slice(&[7; 32]).unwrap(),
        coins: coinbases(&core, 40),
        paid: BTreeSet::new(),
        spent: BTreeSet::new(),
    };
    // Each may spend what those before it made.
    let blocks = (0..BLOCKS).map(|block| {
        let of_the_wallet = [block % 2 == 0, false, true];
        let made = of_the_wallet.into_iter().filter_map(|wallet| payments.pay(wallet));
        let hex: Vec<String> = made.map(|payment| serialize_hex(&payment)).collect();
        json!([ANYONE, hex])
    });
    let _mined = core.ask_all("generateblock", blocks);
    assert!(payments.paid.iter().eq(&Kind::ALL), "{:?}", payments.paid);
    assert!(Kind::ALL.iter().filter(|kind| kind.can_be_spent()).eq(&payments.spent));
    eventually("Core has all filters", Duration::from_secs(60), || {
        core.ask("getindexinfo", json!([]))["basic block filter index"]["synced"] == true
    });
    compare(&core);
}

fn compare(core: &BitcoinCore) {
    let hashes = hashes(core, core.height());
    let ask = |method: &str, more: &[Value]| {
        let params = |hash: &Value| Value::from([std::slice::from_ref(hash), more].concat());
        core.ask_all(method, hashes.iter().map(params))
    };
    let (raw, told) = (ask("getblock", &[json!(0)]), ask("getblock", &[json!(3)]));
    let filters = ask("getblockfilter", &[]);
    let blocks: Vec<Block> =
        raw.iter().map(|hex| deserialize_hex(hex.as_str().unwrap()).unwrap()).collect();
    let spent: Vec<_> = told.iter().map(spent_scripts).collect();

    let all = blocks.iter().flat_map(output_elements).map(ScriptBuf::from);
    let all: BTreeSet<ScriptBuf> = all.chain(spent.iter().flatten().cloned()).collect();
    let all: Vec<ScriptBuf> = all.into_iter().collect();
    let set: ScriptSet = all.iter().collect();
    let mut scratch = MatchScratch::new();
    let (mut previous, mut elements) = (FilterHeader::all_zeros(), 0);
    for ((block, spent), theirs) in blocks.iter().zip(&spent).zip(&filters) {
        let ours = Filter::of_block(block, spent.iter().map(ScriptBuf::as_script)).unwrap();
        let hex: String = ours.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(theirs["filter"], hex, "block {}", block.block_hash());
        previous = ours.hash().filter_header(&previous);
        assert_eq!(theirs["header"], previous.to_string(), "block {}", block.block_hash());

        // As if it came from a peer: what is in it is found, among everything there ever was.
        let read = Filter::decode(FilterKey::new(block.block_hash()), ours.into_bytes()).unwrap();
        let found = read.matches(&set, &mut scratch).unwrap();
        let inside = output_elements(block).chain(spent.iter().map(ScriptBuf::as_script));
        let inside: BTreeSet<_> = inside.filter(|script| !script.is_empty()).collect();
        assert_eq!(usize::try_from(read.elements()), Ok(inside.len()));
        let missed = inside.iter().find(|script| {
            let place = all.binary_search_by(|known| known.as_script().cmp(script)).unwrap();
            !found.contains(&place)
        });
        assert_eq!(missed, None, "block {}", block.block_hash());
        elements += inside.len();
    }
    println!("{} filters with {elements} elements are Core's", blocks.len());
}

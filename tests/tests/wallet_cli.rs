//! The commands of the wallet, against a daemon that follows the devnet: what each prints, as a table
//! and as JSON.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic is the test's failure"
)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hashes::Hash as _;
use bitcoin::{
    Address, Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, absolute,
    transaction,
};
use ironlight::devnet::{Devnet, DevnetConfig};
use ironlight_tests::Daemon;
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(30);
/// Nobody's key: the wallet never sees a payment to it here.
const DESCRIPTOR: &str = "wpkh(tpubD6NzVbkrYhZ4WaWSyoBvQwbpLkojyoTZPRsgXELWz3Popb3qkjcJyJUGLnL4q\
                          HHoQvao8ESaAstxYSnhyswJ76uZPStJRJCTKvosUCJZL5B/0/*)";

/// `OP_TRUE` as a witness script: whoever shows it may spend.
fn anyone() -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x51])
}

fn address() -> Address {
    Address::p2wsh(&anyone(), bitcoin::Network::Regtest)
}

/// A user with a shell.
struct Shell {
    data: tempfile::TempDir,
}

impl Shell {
    fn output(&self, arguments: &[&str], input: &str) -> Output {
        let mut program = Daemon::program();
        program.args(arguments).args(["--network", "regtest", "--data-dir"]).arg(self.data.path());
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = program.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// What a command prints.
    fn text(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments, "");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.text(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// The one line that a failure prints.
    fn failure(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments, "");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        text
    }

    /// Asks again until the answer fits.
    fn until(&self, arguments: &[&str], fits: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let answer = self.json(arguments);
            if fits(&answer) {
                return answer;
            }
            assert!(began.elapsed() < LIMIT, "{arguments:?}: {answer:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn at_height(&self, height: u32) -> Value {
        self.until(&["balance"], |balance| {
            balance["scan"]["synced"] == true && balance["scan"]["tip"]["height"] == height
        })
    }

    fn path(&self, name: &str) -> String {
        let path: PathBuf = self.data.path().join(name);
        path.display().to_string()
    }
}

/// Says what is missing.
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

/// Spends an output that pays to [`anyone`], to a script that nobody watches.
fn spend(outpoint: OutPoint, value: u64, fee: u64) -> Transaction {
    let mut witness = Witness::new();
    witness.push(anyone().as_bytes());
    let input = TxIn {
        previous_output: outpoint,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness,
    };
    let output = TxOut {
        value: Amount::from_sat(value - fee),
        script_pubkey: ScriptBuf::new_p2wsh(&bitcoin::WScriptHash::from_byte_array([7; 32])),
    };
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![input],
        output: vec![output],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_watched_proven_and_spent_from_the_command_line() {
    let config = DevnetConfig { blocks: 120, ..DevnetConfig::default() };
    let devnet = Devnet::start(config).await.unwrap();
    let shell = Shell { data: tempfile::tempdir().unwrap() };
    let peer = devnet.address().to_string();
    let options = ["--connect", &peer, "--filters-from", "0", "--watch-mempool"];
    let mut daemon = Daemon::start(shell.data.path(), &options);
    daemon.reaches(&devnet.tip().hash.to_string(), LIMIT);

    watch_two_things(&shell);
    let txid = devnet.pay(address().script_pubkey(), Amount::from_sat(50_000_000)).await.unwrap();
    let txid = txid.to_string();
    unconfirmed(&shell, &txid);
    devnet.mine(1).await.unwrap();
    let outpoint = confirmed(&shell, &txid);
    proven(&shell, &txid, "the running node");
    filters(&shell);

    let spending = sent(&shell, outpoint);
    let waits = |devnet: &Devnet| devnet.read(|ledger| ledger.pool().len());
    let began = Instant::now();
    while waits(&devnet) == 0 {
        assert!(began.elapsed() < LIMIT, "the full node never heard of it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    devnet.mine(1).await.unwrap();
    spent(&shell, &spending);
    removed(&shell);

    let log = format!("{:?}", daemon.lines());
    assert!(!log.contains("tpub"), "a descriptor was logged");
    assert!(daemon.stop().success());
    proven_offline(&shell, &txid);
    devnet.stop().await;
}

fn watch_two_things(shell: &Shell) {
    let address = address().to_string();
    has(&shell.text(&["watch", "list"]), &["nothing is watched"]);
    let add = ["watch", "add", &address, "--account", "shop", "--label", "rent", "--birthday", "0"];
    has(&shell.text(&[&add[..], &["--wait"]].concat()), &["item     1, added", "block 0", "done"]);
    assert_eq!(shell.json(&add)["change"], "unchanged");
    let piped = shell.output(&["watch", "add", "-", "--json", "--gap-limit", "5"], DESCRIPTOR);
    let added: Value = serde_json::from_slice(&piped.stdout).unwrap();
    assert_eq!((&added["id"], &added["added_scripts"]), (&2.into(), &5.into()));
    assert_eq!(added["birthday"], 120, "what has no birthday is looked for from the tip on");
    let list = shell.text(&["watch", "list"]);
    has(&list, &[&address, "shop", "rent", "default", "wpkh(tpubD6", "..."]);
    let listed = shell.json(&["watch", "list"]);
    assert_eq!(listed["watches"][1]["gap_limit"], 5);
    has(listed["watches"][1]["descriptor"].as_str().unwrap(), &[DESCRIPTOR]);
    has(
        &shell.failure(&["watch", "add", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"]),
        &["regtest"],
    );
    has(&shell.failure(&["watch", "add", &format!("02{}", "11".repeat(32))]), &["wpkh(KEY)"]);
    let key = "wpkh(cVpF924EspNh8KjYsfhgY96mmxvT6DgdWiTYMtMjuM74hJaU5psW)";
    has(&shell.failure(&["watch", "add", key]), &["private key"]);
    has(&shell.failure(&["balance", "--account", "shpo"]), &["shop"]);
}

fn unconfirmed(shell: &Shell, txid: &str) {
    let balance = shell.until(&["balance"], |balance| balance["pending_in"] == 50_000_000);
    let pending = &balance["pending"][0];
    assert_eq!((&pending["txid"], &pending["unverified"]), (&txid.into(), &true.into()));
    assert_eq!((&balance["confirmed"], &pending["origin"]), (&0.into(), &"peer".into()));
    has(&shell.text(&["history"]), &["unverified", "+0.50000000", txid]);
}

fn confirmed(shell: &Shell, txid: &str) -> OutPoint {
    let balance = shell.at_height(121);
    assert_eq!((&balance["confirmed"], &balance["pending_in"]), (&50_000_000.into(), &0.into()));
    assert_eq!(balance["accounts"][1]["confirmed"], 50_000_000, "{balance:#}");
    has(&shell.text(&["balance"]), &["shop", "0.50000000", "as of block 121", "in BTC"]);
    has(&shell.text(&["balance", "--unit", "sat", "--account", "shop"]), &["50000000", "in sat"]);
    let history = shell.json(&["history", "--account", "shop"]);
    assert_eq!(
        (&history["entries"][0]["txid"], &history["entries"][0]["net"]),
        (&txid.into(), &50_000_000.into())
    );
    has(&shell.text(&["history"]), &["block time", "2011-", "+0.50000000", txid]);
    assert_eq!(shell.json(&["history", "--before", "121:0"])["entries"], Value::Array(Vec::new()));
    let utxos = shell.json(&["utxos"]);
    let utxo = &utxos["utxos"][0];
    assert_eq!((&utxo["owners"][0]["watch"], &utxo["mature"]), (&1.into(), &true.into()));
    let vout = u32::try_from(utxo["vout"].as_u64().unwrap()).unwrap();
    let line = format!("{txid}:{vout}");
    has(&shell.text(&["utxos", "--unit", "sat"]), &[&line, "50000000", &address().to_string()]);
    let status = shell.json(&["status"]);
    assert_eq!(
        (&status["wallet"]["watches"], &status["wallet"]["scripts"]),
        (&2.into(), &6.into())
    );
    has(&shell.text(&["status"]), &["watches 2 items, 6 scripts", "filters  held 0 to 121"]);
    has(&shell.text(&["peers"]), &["bytes: headers", "filters", "blocks"]);
    OutPoint { txid: txid.parse().unwrap(), vout }
}

/// A proof is made and holds.
fn proven(shell: &Shell, txid: &str, asked: &str) {
    let proof = shell.json(&["tx", "prove", txid]);
    assert_eq!((&proof["height"], &proof["confirmations"]), (&121.into(), &1.into()));
    let hex = shell.text(&["tx", "prove", txid, "--block", "121"]);
    assert_eq!(hex.trim(), proof["proof"]);
    let file = shell.path("proof.hex");
    has(&shell.text(&["tx", "prove", txid, "--out", &file]), &["confirmed 1 times", &file]);
    let verified = shell.text(&["proof", "verify", &file]);
    has(&verified, &[txid, "on the best chain at height 121, 1 confirmations", asked]);
    let verified = shell.json(&["proof", "verify", &file, "--confirmations", "1"]);
    assert_eq!(
        (&verified["chain"]["state"], &verified["form"]),
        (&"best_chain".into(), &"merkle_block".into())
    );
    has(&shell.failure(&["proof", "verify", &file, "--confirmations", "2"]), &["2 were asked for"]);
    has(&shell.failure(&["tx", "prove", txid, "--block", "120"]), &["has no transaction"]);
    has(&shell.failure(&["tx", "prove", txid, "--block", "999"]), &["the tip is at 121"]);
    has(&shell.failure(&["tx", "prove", &"11".repeat(32)]), &["say in which block"]);
}

fn filters(shell: &Shell) {
    has(&shell.text(&["filter", "status"]), &["up to 121", "0 to 121", "all there", "1 serve"]);
    assert_eq!(shell.json(&["filter", "status"])["held"][0]["to"], 121);
    has(&shell.text(&["filter", "check"]), &["0 to 121", "122 filters"]);
    let checked = shell.json(&["filter", "check", "--from", "100", "--blocks"]);
    assert_eq!(
        (&checked["sound"], &checked["with_block"]),
        (&22.into(), &22.into()),
        "{checked:#}"
    );
    assert_eq!(checked["faults"], Value::Array(Vec::new()));
    has(&shell.failure(&["filter", "check", "--to", "500"]), &["the tip is at 121"]);
    has(&shell.text(&["rescan", "0"]), &["looked at again"]);
    assert_eq!(shell.json(&["rescan", "100", "--watch", "1", "--wait"])["synced"], true);
    has(&shell.failure(&["rescan", "0", "--watch", "9"]), &["number 9"]);
    has(&shell.failure(&["rescan", "5000"]), &["the tip is at 121"]);
    let fees = shell.json(&["fees", "6"]);
    assert!(fees[0]["sat_per_kvb"].as_u64().is_some_and(|rate| rate > 0), "{fees:#}");
    has(&shell.text(&["fees"]), &["sat/vB", "blocks"]);
}

fn sent(shell: &Shell, outpoint: OutPoint) -> String {
    has(&shell.failure(&["tx", "send", "0200"]), &["no transaction"]);
    has(&shell.failure(&["tx", "send", "xy"]), &["hexadecimal"]);
    let transaction = spend(outpoint, 50_000_000, 1_000);
    let (txid, hex) = (transaction.compute_txid().to_string(), serialize_hex(&transaction));
    has(&shell.failure(&["tx", "status", &txid]), &["nothing is known"]);
    has(&shell.text(&["tx", "send", &hex]), &[&txid, "from now on", "state"]);
    let again = shell.output(&["tx", "send", "-", "--json"], &hex);
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!((&again["outcome"], &again["txid"]), (&"known".into(), &txid.as_str().into()));
    has(&shell.text(&["tx", "status", &txid]), &["sent from here", "-0.50000000"]);
    has(&shell.text(&["tx", "list"]), &[&txid]);
    assert_eq!(shell.json(&["balance"])["pending_out"], 50_000_000);
    has(&shell.text(&["utxos"]), &["spent by", "in no block"]);
    txid
}

fn spent(shell: &Shell, txid: &str) {
    let balance = shell.at_height(122);
    assert_eq!(
        (&balance["confirmed"], &balance["pending"]),
        (&0.into(), &Value::Array(Vec::new()))
    );
    let status = shell.json(&["tx", "status", txid]);
    assert_eq!(
        (&status["broadcast"]["state"], &status["confirmed"]["height"]),
        (&"confirmed".into(), &122.into())
    );
    has(&shell.text(&["tx", "status", txid]), &["1 times, in block 122"]);
    assert_eq!(shell.json(&["history"])["entries"][0]["fee"], 1_000);
    assert_eq!(shell.json(&["history", "--limit", "1"])["next"], "122:1");
    has(&shell.text(&["history", "--limit", "1"]), &["-0.50000000", "--before 122:1"]);
    assert_eq!(shell.json(&["tx", "list"])["transactions"][0]["txid"], txid);
    has(&shell.text(&["tx", "forget", txid]), &["followed no more"]);
    has(&shell.failure(&["tx", "forget", txid]), &["not sent from here"]);
}

fn removed(shell: &Shell) {
    has(&shell.text(&["watch", "remove", "1"]), &["item 1 removed; 1 scripts, 1 coins and 2"]);
    assert_eq!(shell.json(&["watch", "remove", "2"])["scripts"], 5);
    has(&shell.failure(&["watch", "remove", "1"]), &["nothing is watched under the number 1"]);
}

/// The node is gone: the stored headers say where the block is.
fn proven_offline(shell: &Shell, txid: &str) {
    let file = shell.path("proof.hex");
    has(
        &shell.text(&["proof", "verify", &file]),
        &[txid, "2 confirmations (by the stored headers)"],
    );
    has(&shell.failure(&["balance"]), &["ironlight run"]);
}

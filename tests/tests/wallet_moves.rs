//! A wallet's history at any height, and a wallet that moves to another node as one file: daemons and
//! the command line on the devnet.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic is the test's failure"
)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bitcoin::hashes::Hash as _;
use bitcoin::{
    Address, Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, absolute,
    transaction,
};
use ironlight::devnet::{Devnet, DevnetConfig};
use ironlight::spv::compress::state::StateCompressor;
use ironlight::wallet::file::WalletFile;
use ironlight::wallet::states::script_id;
use ironlight::{Network, Params};
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

/// An address that nobody has keys for.
fn nobody() -> Address {
    let script = ScriptBuf::new_p2wsh(&bitcoin::WScriptHash::from_byte_array([7; 32]));
    Address::from_script(&script, bitcoin::Network::Regtest).unwrap()
}

/// A node's directory, and commands on it.
struct Shell {
    data: tempfile::TempDir,
}

impl Shell {
    fn new() -> Self {
        Self { data: tempfile::tempdir().unwrap() }
    }

    fn start(&self, peer: &str) -> Daemon {
        Daemon::start(self.data.path(), &["--connect", peer])
    }

    fn output(&self, arguments: &[&str]) -> std::process::Output {
        let mut program = Daemon::program();
        program.args(arguments).args(["--network", "regtest", "--data-dir"]).arg(self.data.path());
        program.output().unwrap()
    }

    fn text(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.text(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// The one line that a failure prints.
    fn failure(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        text
    }

    /// Asks again until there is an answer that fits.
    fn until(&self, arguments: &[&str], fits: impl Fn(&Value) -> bool) -> Value {
        let (began, with_json) = (Instant::now(), [arguments, &["--json"]].concat());
        loop {
            let output = self.output(&with_json);
            let answer = serde_json::from_slice(&output.stdout).unwrap_or_default();
            if output.status.success() && fits(&answer) {
                return answer;
            }
            assert!(began.elapsed() < LIMIT, "{arguments:?}: {answer:#} {output:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until its history is complete up to the devnet's tip, on its branch.
    fn follows(&self, devnet: &Devnet) {
        let tip = devnet.tip();
        self.until(&["wallet", "state"], |found| {
            found["state"]["block"]["hash"] == tip.hash.to_string()
        });
    }

    fn path(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }
}

/// Says what is missing.
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

/// Spends an output that pays to [`anyone`].
fn spend(outpoint: OutPoint, value: u64) -> Transaction {
    let mut witness = Witness::new();
    witness.push(anyone().as_bytes());
    let input = TxIn {
        previous_output: outpoint,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness,
    };
    let output =
        TxOut { value: Amount::from_sat(value - 1_000), script_pubkey: nobody().script_pubkey() };
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![input],
        output: vec![output],
    }
}

/// What the history says that was there after a block.
fn by_history(history: &Value, height: u64) -> i64 {
    let entries = history["entries"].as_array().unwrap().iter();
    let until = entries.filter(|entry| entry["height"].as_u64().unwrap() <= height);
    until.map(|entry| entry["net"].as_i64().unwrap()).sum()
}

/// Every height's state is what the history adds up to.
fn equals_the_history(shell: &Shell, devnet: &Devnet) -> Vec<Value> {
    let history = shell.json(&["history", "--limit", "1000"]);
    let tip = u64::from(devnet.tip().height.0);
    let mut states = Vec::new();
    for height in [0, 1, 110].into_iter().chain(111..=tip) {
        let at = height.to_string();
        let found = shell.json(&["wallet", "state", "--height", &at, &address().to_string()]);
        let state = &found["state"];
        assert_eq!(state["balance"].as_i64().unwrap(), by_history(&history, height), "{found:#}");
        assert_eq!(state["script"]["balance"], state["balance"]);
        assert_eq!(state["accounts"][1]["account"], "shop");
        assert_eq!(state["accounts"][1]["balance"], state["balance"]);
        let hash = devnet.read(|ledger| {
            ledger.tree().at(u32::try_from(height).unwrap()).unwrap().hash.to_string()
        });
        assert_eq!(state["block"]["hash"], hash);
        states.push(state.clone());
    }
    let balance = shell.json(&["balance"]);
    assert_eq!(states.last().unwrap()["balance"], balance["confirmed"]);
    states
}

/// A devnet, and a node on it whose wallet was paid, has spent, and saw a reorg.
async fn paid() -> (Devnet, Shell, Daemon) {
    let config = DevnetConfig { blocks: 110, ..DevnetConfig::default() };
    let devnet = Devnet::start(config).await.unwrap();
    let shell = Shell::new();
    let mut daemon = shell.start(&devnet.address().to_string());
    daemon.reaches(&devnet.tip().hash.to_string(), LIMIT);
    let address = address().to_string();
    let add = ["watch", "add", &address, "--account", "shop", "--label", "rent"];
    shell.text(&[&add[..], &["--birthday", "0"]].concat());
    shell.text(&["watch", "add", DESCRIPTOR, "--birthday", "7", "--gap-limit", "5"]);
    for amount in [30_000_000, 20_000_000] {
        let script = self::address().script_pubkey();
        devnet.pay(script, Amount::from_sat(amount)).await.unwrap();
        devnet.mine(1).await.unwrap();
    }
    shell.follows(&devnet);
    let utxos = shell.json(&["utxos"]);
    let coin = &utxos["utxos"][0];
    let vout = u32::try_from(coin["vout"].as_u64().unwrap()).unwrap();
    let outpoint = OutPoint { txid: coin["txid"].as_str().unwrap().parse().unwrap(), vout };
    devnet.submit(spend(outpoint, coin["value"].as_u64().unwrap())).await.unwrap();
    devnet.mine(2).await.unwrap();
    (devnet, shell, daemon)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_at_every_height_is_what_the_history_adds_up_to() {
    let (devnet, shell, daemon) = paid().await;
    shell.follows(&devnet);
    let before = equals_the_history(&shell, &devnet);
    assert_eq!(before.last().unwrap()["balance"], 20_000_000);
    has(
        &shell.text(&["wallet", "state", "--height", "111", &address().to_string()]),
        &["height   111", "root", "shop", "0.30000000", &address().to_string(), "1 transactions"],
    );
    has(&shell.failure(&["wallet", "state", "--height", "900"]), &["not complete at height 900"]);
    has(&shell.failure(&["wallet", "state", &nobody().to_string()]), &["is not watched"]);

    devnet.reorg(3).await.unwrap();
    shell.follows(&devnet);
    equals_the_history(&shell, &devnet);

    // A later item, whose scan goes over what is sealed, and a rescan, which finds nothing new.
    shell.text(&["watch", "add", &nobody().to_string(), "--birthday", "0", "--wait"]);
    shell.text(&["rescan", "0", "--wait"]);
    shell.follows(&devnet);
    let states = equals_the_history_of_both(&shell, &devnet);

    daemon.kill();
    let daemon = shell.start(&devnet.address().to_string());
    shell.follows(&devnet);
    assert_eq!(equals_the_history_of_both(&shell, &devnet), states, "a kill changed a state");
    assert!(daemon.stop().success());
    devnet.stop().await;
}

/// As [`equals_the_history`], with the spender's address watched, too.
fn equals_the_history_of_both(shell: &Shell, devnet: &Devnet) -> Vec<Value> {
    let history = shell.json(&["history", "--limit", "1000"]);
    let tip = u64::from(devnet.tip().height.0);
    let state = |height: u64| {
        let found = shell.json(&["wallet", "state", "--height", &height.to_string()]);
        let balance = found["state"]["balance"].as_i64().unwrap();
        assert_eq!(balance, by_history(&history, height), "{found:#}");
        found["state"].clone()
    };
    (109..=tip).map(state).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_moves_as_a_claim_and_is_proven_by_the_blocks() {
    let (devnet, first, daemon) = paid().await;
    first.follows(&devnet);
    let file = first.path("wallet.iron").display().to_string();
    let written = first.json(&["wallet", "export", &file]);
    let state = first.json(&["wallet", "state"])["state"].clone();
    assert_eq!((&written["block"], &written["root"]), (&state["block"], &state["root"]));
    owner_only(&file);
    has(&first.failure(&["wallet", "export", &file]), &["exists"]);
    let older = first.path("older.iron").display().to_string();
    has(&first.text(&["wallet", "export", &older, "--height", "111"]), &["height  111", "root"]);

    let second = Shell::new();
    // Nobody answers there: it has no block yet.
    let without_peers = second.start("127.0.0.1:1");
    second.until(&["status"], |_| true);
    damaged_files_are_refused(&second, &file);
    has(&second.text(&["wallet", "import", &file]), &["items   2 watched", "claim   open"]);
    let claimed = second.text(&["wallet", "state", &address().to_string()]);
    has(
        &claimed,
        &["CLAIM of a file, not verified yet", "0.20000000", written["root"].as_str().unwrap()],
    );
    assert_eq!(second.json(&["balance"])["confirmed"], 0, "a claim is no balance");
    has(&second.failure(&["wallet", "import", &older]), &["not decided yet"]);
    let behind = second.failure(&["wallet", "export", &second.path("new").display().to_string()]);
    has(&behind, &["not complete up to the tip", "--height"]);
    let dropped = second.json(&["wallet", "forget-claim"]);
    assert_eq!(dropped["block"], written["block"]);
    assert!(second.json(&["wallet", "state"])["claim"].is_null());
    has(&second.failure(&["wallet", "forget-claim"]), &["there is no state of a file"]);
    assert_eq!(second.json(&["wallet", "import", &file])["added_scripts"], 0);
    without_peers.kill();

    let mut with_peer = second.start(&devnet.address().to_string());
    with_peer.line("the imported state is what the blocks gave", LIMIT);
    second.follows(&devnet);
    let found = second.json(&["wallet", "state"]);
    assert_eq!(found["claim"]["verdict"], "proven", "{found:#}");
    assert_eq!(found["claim"]["root"], written["root"]);
    assert_eq!(found["state"]["balance"], state["balance"]);
    let watched = |shell: &Shell| shell.json(&["watch", "list"])["watches"].clone();
    assert_eq!(watched(&first), watched(&second));
    has(&second.text(&["wallet", "state"]), &["proven: the blocks gave the same"]);

    forged_is_refuted(&second, &file);
    with_peer.kill();
    let with_peer = second.start(&devnet.address().to_string());
    let found = second.until(&["wallet", "state"], |found| found["state"].is_object());
    assert_eq!(found["claim"]["verdict"], "refuted", "{found:#}");
    assert!(with_peer.stop().success() && daemon.stop().success());
    devnet.stop().await;
}

#[cfg(unix)]
fn owner_only(file: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[cfg(not(unix))]
fn owner_only(_file: &str) {}

fn damaged_files_are_refused(shell: &Shell, file: &str) {
    let bytes = std::fs::read(file).unwrap();
    let changed = shell.path("changed.iron");
    // In an item, in the state, and in the checksum of the file.
    for (at, place) in [(60, "at byte 54"), (bytes.len() - 70, "byte "), (bytes.len() - 1, "byte ")]
    {
        let mut other = bytes.clone();
        other[at] ^= 0x80;
        std::fs::write(&changed, other).unwrap();
        let refused = shell.failure(&["wallet", "import", &changed.display().to_string()]);
        has(&refused, &["changed.iron", place]);
    }
    assert_eq!(shell.json(&["watch", "list"])["watches"], Value::Array(Vec::new()));
}

/// A valid file with a satoshi more.
fn forged_is_refuted(shell: &Shell, file: &str) {
    let params = Params::new(Network::Regtest);
    let (file, _) = WalletFile::decode(&std::fs::read(file).unwrap(), &params).unwrap();
    let height = file.block.height;
    let mut state = StateCompressor::new(file.state.salt());
    for account in file.state.values(height).unwrap() {
        let mut account = account.unwrap();
        if account.script_id == script_id(&address().script_pubkey()) {
            account.balance += 1;
        }
        state.put(account);
    }
    state.seal(height).unwrap();
    let forged = shell.path("forged.iron");
    let bytes = WalletFile { state, ..file }.encode(&params).unwrap();
    std::fs::write(&forged, bytes).unwrap();
    shell.text(&["wallet", "import", &forged.display().to_string()]);
    let found = shell.until(&["wallet", "state"], |found| found["claim"]["verdict"] == "refuted");
    let differences = &found["claim"]["differences"];
    assert_eq!(found["claim"]["differing"], 1, "{found:#}");
    assert_eq!(differences[0]["address"], address().to_string());
    assert_eq!(
        (&differences[0]["claimed"], &differences[0]["found"]),
        (&20_000_001.into(), &20_000_000.into())
    );
    has(
        &shell.text(&["wallet", "state"]),
        &["REFUTED", "0.20000001", "0.20000000", &address().to_string()],
    );
    assert_eq!(shell.json(&["balance"])["confirmed"], 20_000_000);
}

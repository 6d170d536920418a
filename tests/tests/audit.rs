//! The audit log of a node as a process: what it says, and that a change to it shows.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is the test's failure")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ironlight::devnet::{Devnet, DevnetConfig};
use ironlight_spv::generate::Miner;
use ironlight_spv::{Header, LinkedBatch, Network, Params};
use ironlight_tests::{Behaviour, Daemon, FakeNode, Stranger, eventually};
use serde_json::Value;
use tokio::runtime::Runtime;

const LIMIT: Duration = Duration::from_secs(30);

fn devnet(runtime: &Runtime) -> Devnet {
    let config = DevnetConfig { blocks: 20, ..DevnetConfig::default() };
    runtime.block_on(Devnet::start(config)).unwrap()
}

/// The devnet's headers, from the one after genesis on.
fn headers(devnet: &Devnet) -> Vec<Header> {
    devnet.read(|ledger| {
        let at = |height| {
            let entry = ledger.tree().at(height).unwrap();
            let bytes = bitcoin::consensus::serialize(&entry.block.header);
            Header::from_bytes(bytes.try_into().unwrap())
        };
        (1..=ledger.tree().tip().height).map(at).collect()
    })
}

/// A node on full nodes, and its address for light nodes.
fn start(directory: &Path, full_nodes: &[String]) -> (Daemon, String) {
    let mut options = vec!["--networks", "bitcoin,libp2p", "--listen", "/ip4/127.0.0.1/tcp/0"];
    options.extend(full_nodes.iter().flat_map(|address| ["--connect", address]));
    let mut node = Daemon::start(directory, &options);
    let address = node.line("listening for light nodes", LIMIT)["address"].clone();
    (node, address.as_str().unwrap().to_owned())
}

fn reaches_tip(node: &mut Daemon, devnet: &Devnet) {
    node.reaches(&devnet.tip().hash.to_string(), LIMIT);
}

fn command(directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let directory = directory.to_str().unwrap();
    let done =
        Daemon::command(&[arguments, &["--network", "regtest", "--data-dir", directory]].concat());
    let said = [done.stdout, done.stderr].concat();
    (done.status.code(), String::from_utf8(said).unwrap())
}

fn audit(directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    command(directory, &[&["audit"], arguments].concat())
}

/// The records that `audit show` prints, with what each is called.
fn records(directory: &Path) -> Vec<(String, Value)> {
    let (code, text) = audit(directory, &["show", "--json"]);
    assert_eq!(code, Some(0), "{text}");
    let read = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        (record["kind"].as_str().unwrap().to_owned(), record)
    };
    text.lines().map(read).collect()
}

fn the_one<'a>(records: &'a [(String, Value)], kind: &str) -> &'a Value {
    let found: Vec<_> = records.iter().filter(|(name, _)| name == kind).collect();
    assert_eq!(found.len(), 1, "{kind}: {records:#?}");
    &found[0].1
}

fn folder(directory: &Path) -> PathBuf {
    directory.join("regtest/audit")
}

fn log_file(directory: &Path) -> PathBuf {
    folder(directory).join("audit-00000000000000000000.jsonl")
}

/// A header on the tip whose hash does not meet its target: nobody honest sends it.
fn lie(devnet: &Devnet) -> Header {
    let params = Params::new(Network::Regtest);
    let tip = headers(devnet).pop().unwrap();
    let mut bytes = *Miner::new(9).run(&tip, 1, 600)[0].as_bytes();
    loop {
        bytes[76] = bytes[76].wrapping_add(1);
        let header = Header::from_bytes(bytes);
        if LinkedBatch::new(&params, vec![header]).failure().is_some() {
            return header;
        }
    }
}

#[test]
fn what_happened_to_a_node_is_in_its_log_and_a_change_to_the_log_shows() {
    let runtime = Runtime::new().unwrap();
    let devnet = devnet(&runtime);
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    // It has one header more than the devnet, so there is always something to lie about.
    let more = Miner::new(8).run(headers(&devnet).last().unwrap(), 1, 600);
    let liar = FakeNode::start(Behaviour::BadWork, [headers(&devnet), more].concat());
    let full_nodes = [liar.address().to_string(), devnet.address().to_string()];
    let (mut node, address) = start(directory, &full_nodes);
    reaches_tip(&mut node, &devnet);
    eventually("the liar is dropped", LIMIT, || {
        node.lines().iter().any(|line| line["fields"]["message"] == "a peer misbehaved")
    });
    let old_tip = devnet.tip();

    runtime.block_on(devnet.reorg(3)).unwrap();
    reaches_tip(&mut node, &devnet);
    assert_eq!(command(directory, &["flags", "set", "discovery", "off"]).0, Some(0));
    let stranger = Stranger::connect(&address);
    assert!(stranger.publish(lie(&devnet).as_bytes()));
    eventually("the stranger is thrown out", LIMIT, || stranger.is_thrown_out());
    let (code, text) = audit(directory, &["repair"]);
    assert!(code == Some(1) && text.contains("a node has the log"), "{text}");
    assert!(node.stop().success());

    let (code, text) = audit(directory, &["verify"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("without a checkpoint that was kept elsewhere"), "{text}");
    let written = records(directory);
    the_one(&written, "start");
    let reorg = the_one(&written, "reorg");
    assert_eq!(reorg["data"]["disconnected"], 3);
    assert_eq!(reorg["data"]["old_tip"], old_tip.hash.to_string());
    assert_eq!(reorg["on"], devnet.tip().hash.to_string());
    let flip = the_one(&written, "flag_flip");
    assert_eq!((&flip["on"], &flip["data"]["after"]), (&"discovery".into(), &"off".into()));
    let ban = the_one(&written, "ban");
    assert_eq!(
        (&ban["data"]["network"], &ban["data"]["offence"]),
        (&"libp2p".into(), &"InvalidHeader".into())
    );
    let dropped = the_one(&written, "invalid_data");
    assert_eq!(dropped["on"], liar.address().to_string());
    assert_eq!(dropped["data"]["offence"], "InvalidHeader");
    assert_eq!(the_one(&written, "stop")["data"]["in_order"], true);
    let (_, text) = audit(directory, &["show", "--last", "1"]);
    assert!(text.lines().count() == 1 && text.contains("  stop "), "{text}");

    changes_show_and_are_mended(directory, &written);
}

/// A byte of the third record from the end is flipped, and the log repaired; then it is cut.
fn changes_show_and_are_mended(directory: &Path, written: &[(String, Value)]) {
    let kept = tempfile::tempdir().unwrap();
    let checkpoint = kept.path().join("notes");
    let notes = folder(directory).join("audit-00000000000000000000.notes");
    fs::copy(&notes, &checkpoint).unwrap();
    let checkpoint = checkpoint.to_str().unwrap();
    let key = the_one(written, "start")["data"]["checkpoint_key"].as_str().unwrap().to_owned();
    let given = ["verify", "--checkpoint", checkpoint, "--key", &key];
    let (code, text) = audit(directory, &given);
    assert!(code == Some(0) && text.contains("none is missing"), "{text}");

    let file = log_file(directory);
    let right = fs::read(&file).unwrap();
    let bad = written.len() - 3;
    let lines: Vec<&[u8]> = right.split_inclusive(|byte| *byte == b'\n').collect();
    let mut flipped = right.clone();
    flipped[lines[..bad].concat().len() + 20] ^= 1;
    fs::write(&file, &flipped).unwrap();
    let (code, text) = audit(directory, &["verify"]);
    assert!(code == Some(1) && text.contains(&format!("record {bad}: ")), "{text}");
    let one_file = file.to_str().unwrap();
    assert!(audit(directory, &["verify", one_file]).1.contains(&format!("record {bad}: ")));
    let (code, text) = audit(directory, &["show"]);
    assert!(code == Some(1) && text.contains(&format!("record {bad}: ")), "{text}");
    assert!(text.contains("  start ") && !text.contains("  stop "), "{text}");

    let (code, text) = audit(directory, &["repair"]);
    assert!(code == Some(0) && text.contains("set aside"), "{text}");
    let (code, text) = audit(directory, &["verify"]);
    assert!(code == Some(0) && text.contains("that a repair has set aside"), "{text}");
    let (code, text) = audit(directory, &given);
    assert!(code == Some(1) && text.contains("a checkpoint says that"), "{text}");
    assert!(audit(directory, &["repair"]).1.contains("nothing is wrong"));

    fs::write(&file, lines[..bad].concat()).unwrap();
    fs::remove_file(&notes).unwrap();
    assert_eq!(audit(directory, &["verify"]).0, Some(0), "a cut is not seen alone");
    let (code, text) = audit(directory, &given);
    assert!(code == Some(1) && text.contains("missing: a checkpoint says"), "{text}");
}

#[test]
fn a_kill_leaves_a_log_that_is_right_up_to_its_end_and_goes_on() {
    let runtime = Runtime::new().unwrap();
    let devnet = devnet(&runtime);
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let full_nodes = [devnet.address().to_string()];
    let (mut node, _) = start(directory, &full_nodes);
    reaches_tip(&mut node, &devnet);
    runtime.block_on(devnet.reorg(4)).unwrap();
    reaches_tip(&mut node, &devnet);
    eventually("the reorg is written", LIMIT, || {
        fs::read_to_string(log_file(directory)).unwrap().contains("\"kind\":\"reorg\"")
    });
    node.kill();
    let (code, text) = audit(directory, &["verify"]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(the_one(&records(directory), "reorg")["data"]["disconnected"], 4);

    // What death in the middle of a write leaves.
    let torn = [fs::read(log_file(directory)).unwrap(), b"{\"v\":1,\"n\":3,".to_vec()].concat();
    fs::write(log_file(directory), torn).unwrap();
    let (code, text) = audit(directory, &["verify"]);
    assert!(code == Some(1) && text.contains("next start sets it aside"), "{text}");

    let (node, _) = start(directory, &full_nodes);
    assert!(node.stop().success());
    let (code, text) = audit(directory, &["verify"]);
    assert_eq!(code, Some(0), "{text}");
    let kinds: Vec<String> = records(directory).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["log_segment", "start", "reorg", "log_torn", "start", "stop"]);
}

#[test]
fn a_damaged_store_is_mended_and_that_is_in_the_log() {
    let runtime = Runtime::new().unwrap();
    let devnet = devnet(&runtime);
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let full_nodes = [devnet.address().to_string()];
    let (mut node, _) = start(directory, &full_nodes);
    reaches_tip(&mut node, &devnet);
    assert!(node.stop().success());
    fs::write(directory.join("regtest/FORMAT"), b"nothing that can be read").unwrap();
    let (mut node, _) = start(directory, &full_nodes);
    node.line("synced", LIMIT);
    assert!(node.stop().success());
    let written = records(directory);
    let repairs: Vec<&str> = written
        .iter()
        .filter(|(kind, _)| kind == "repair")
        .map(|(_, record)| record["on"].as_str().unwrap())
        .collect();
    assert_eq!(repairs, ["format rebuilt"]);
}

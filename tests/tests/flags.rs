//! An operator turns parts of a running node off and on, and strangers notice.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is the test's failure")]

use std::path::Path;
use std::time::Duration;

use ironlight::devnet::{Devnet, DevnetConfig};
use ironlight_spv::Header;
use ironlight_spv::generate::Miner;
use ironlight_tests::{Daemon, Stranger, eventually};
use serde_json::Value;
use tokio::runtime::Runtime;

const LIMIT: Duration = Duration::from_secs(30);
const OK: [u8; 2] = [1, 0];
const BUSY: [u8; 2] = [1, 2];

/// Asks for the header at height 1, as docs/PROTOCOL.md has it.
const REQUEST: [u8; 12] = [1, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0];

/// A light node on a full node of our own, and its address for light nodes.
fn start(directory: &Path, full_node: &str) -> (Daemon, String) {
    let options = [
        "--connect",
        full_node,
        "--networks",
        "bitcoin,libp2p",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
    ];
    let mut node = Daemon::start(directory, &options);
    let address = node.line("listening for light nodes", LIMIT)["address"].clone();
    // The log may have said that before it said where it listens.
    eventually("it is synced", LIMIT, || {
        let (_, text) = command(directory, &["status", "--json"]);
        let status: Value = serde_json::from_str(&text).unwrap_or_default();
        status["phase"] == "synced"
    });
    (node, address.as_str().unwrap().to_owned())
}

fn command(directory: &Path, arguments: &[&str]) -> (bool, String) {
    let directory = directory.to_str().unwrap();
    let place = ["--network", "regtest", "--data-dir", directory];
    let done = Daemon::command(&[arguments, &place].concat());
    let said = if done.status.success() { done.stdout } else { done.stderr };
    (done.status.success(), String::from_utf8(said).unwrap())
}

fn flags(directory: &Path, arguments: &[&str]) -> (bool, String) {
    command(directory, &[&["flags"], arguments].concat())
}

fn turn(directory: &Path, name: &str, to: &str) {
    assert_eq!(flags(directory, &["set", name, to]), (true, format!("{name} is {to}\n")));
}

/// The names of those that are off.
fn off(directory: &Path) -> Vec<String> {
    let (_, text) = flags(directory, &["list", "--json"]);
    let listed: Value = serde_json::from_str(&text).unwrap();
    let listed = listed["flags"].as_array().unwrap();
    assert_eq!(listed.len(), 4);
    let off = listed.iter().filter(|flag| flag["on"] == false);
    off.map(|flag| flag["name"].as_str().unwrap().to_owned()).collect()
}

fn status_of(stranger: &Stranger) -> Vec<u8> {
    stranger.ask(&REQUEST).unwrap()[..2].to_vec()
}

/// The devnet's tip, and one on it by all rules that nobody else has.
fn tip_and_next(devnet: &Devnet) -> (Header, Header) {
    let bytes =
        devnet.read(|ledger| bitcoin::consensus::serialize(&ledger.tree().tip().block.header));
    let tip = Header::from_bytes(bytes.try_into().unwrap());
    (tip, Miner::new(99).run(&tip, 1, 600)[0])
}

#[test]
fn serving_is_turned_off_and_on_and_stays_off_over_a_restart() {
    let runtime = Runtime::new().unwrap();
    let config = DevnetConfig { blocks: 20, ..DevnetConfig::default() };
    let devnet = runtime.block_on(Devnet::start(config)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (full_node, directory) = (devnet.address().to_string(), directory.path());
    let (mut node, address) = start(directory, &full_node);
    let stranger = Stranger::connect(&address);
    assert_eq!(status_of(&stranger), OK);
    assert_eq!(off(directory), Vec::<String>::new());

    turn(directory, "serving", "off");
    let logged = node.line("a flag was flipped", LIMIT);
    assert_eq!((&logged["flag"], &logged["after"]), (&"serving".into(), &"off".into()));
    assert_eq!(status_of(&stranger), BUSY);
    assert!(!stranger.is_thrown_out(), "it is told to wait, no more");
    let (done, said) = flags(directory, &["set", "servings", "off"]);
    assert!(!done && said.contains("there are serving, gossip, discovery, hardening"), "{said}");

    assert!(node.stop().success());
    let (node, address) = start(directory, &full_node);
    let stranger = Stranger::connect(&address);
    assert_eq!(status_of(&stranger), BUSY);
    assert_eq!(off(directory), ["serving"]);
    turn(directory, "serving", "on");
    assert_eq!(status_of(&stranger), OK);
    assert!(node.stop().success());
    let (done, said) = command(directory, &["store", "check"]);
    assert!(done, "{said}");
}

#[test]
fn with_gossip_off_a_valid_tip_goes_no_further_and_our_own_is_not_told() {
    let runtime = Runtime::new().unwrap();
    let config = DevnetConfig { blocks: 20, ..DevnetConfig::default() };
    let devnet = runtime.block_on(Devnet::start(config)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let (mut node, address) = start(directory, &devnet.address().to_string());
    let (listener, teller) = (Stranger::connect(&address), Stranger::connect(&address));

    turn(directory, "gossip", "off");
    let (_, unheard) = tip_and_next(&devnet);
    assert!(teller.publish(unheard.as_bytes()));
    // On one connection requests and gossip may overtake each other: the full node's next block
    // comes later than what the node made of the stranger's.
    runtime.block_on(devnet.mine(1)).unwrap();
    let (untold, _) = tip_and_next(&devnet);
    node.reaches(&untold.hash().to_string(), LIMIT);
    assert_eq!(status_of(&teller), OK, "the rest goes on");

    turn(directory, "gossip", "on");
    runtime.block_on(devnet.mine(1)).unwrap();
    let (told, next) = tip_and_next(&devnet);
    node.reaches(&told.hash().to_string(), LIMIT);
    let hears = |header: &Header| listener.heard().contains(&header.as_bytes().to_vec());
    eventually("the listener hears of the block", LIMIT, || hears(&told));
    assert!(teller.publish(next.as_bytes()));
    eventually("the listener hears of the other's tip", LIMIT, || hears(&next));
    assert!(!hears(&unheard) && !hears(&untold), "told while gossip was off");
    assert!(!node.lines().iter().any(|line| line["fields"]["hash"] == unheard.hash().to_string()));
    assert!(!teller.is_thrown_out() && !listener.is_thrown_out());
}

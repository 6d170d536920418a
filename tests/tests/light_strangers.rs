//! A node among light nodes that are not ours: what they gossip, ask and serve is judged by what it
//! is, and costs at most the one who sent it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is the test's failure")]

use std::time::Duration;

use ironlight::devnet::{Devnet, DevnetConfig};
use ironlight_spv::generate::Miner;
use ironlight_spv::{Header, Network, Params};
use ironlight_tests::{Daemon, Stranger, eventually};
use tokio::runtime::Runtime;

const LIMIT: Duration = Duration::from_secs(30);
const BLOCKS: u32 = 200;

/// A full node, and a light node on it that strangers can call.
struct Town {
    runtime: Runtime,
    devnet: Devnet,
    node: Daemon,
    address: String,
    _directory: tempfile::TempDir,
}

impl Town {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let config = DevnetConfig { blocks: BLOCKS, ..DevnetConfig::default() };
        let devnet = runtime.block_on(Devnet::start(config)).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let full_node = devnet.address().to_string();
        let options = [
            "--connect",
            &full_node,
            "--networks",
            "bitcoin,libp2p",
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
        ];
        let mut node = Daemon::start(directory.path(), &options);
        let address = node.line("listening for light nodes", LIMIT)["address"].clone();
        let address = address.as_str().unwrap().to_owned();
        node.reaches(&devnet.tip().hash.to_string(), LIMIT);
        node.line("synced", LIMIT);
        Self { runtime, devnet, node, address, _directory: directory }
    }

    /// The devnet's header at a height.
    fn header(&self, height: u32) -> Header {
        let bytes = self.devnet.read(|ledger| {
            let entry = ledger.tree().at(height).unwrap();
            bitcoin::consensus::serialize(&entry.block.header)
        });
        Header::from_bytes(bytes.try_into().unwrap())
    }

    fn tip(&self) -> Header {
        self.header(self.devnet.tip().height.0)
    }

    /// A header that follows the tip by all rules, and that nobody else has.
    fn next(&self) -> Header {
        Miner::new(99).run(&self.tip(), 1, 600)[0]
    }

    fn mine(&mut self) -> Header {
        self.runtime.block_on(self.devnet.mine(1)).unwrap();
        let tip = self.tip();
        self.node.reaches(&tip.hash().to_string(), LIMIT);
        tip
    }

    /// Waits until a stranger has heard the next block, and gives all that it has heard.
    fn hears_the_next_block(&mut self, stranger: &Stranger) -> Vec<Vec<u8>> {
        let tip = self.mine();
        eventually("the stranger hears of the block", LIMIT, || {
            stranger.heard().contains(&tip.as_bytes().to_vec())
        });
        stranger.heard()
    }
}

fn spoilt_nonce(header: Header) -> Header {
    // Half of all nonces have work on regtest.
    let params = Params::new(Network::Regtest);
    let mut bytes = *header.as_bytes();
    loop {
        bytes[76] = bytes[76].wrapping_add(1);
        let spoilt = Header::from_bytes(bytes);
        if ironlight_spv::LinkedBatch::new(&params, vec![spoilt]).failure().is_some() {
            return spoilt;
        }
    }
}

/// What a stranger gossips that no honest node would costs it its connection, and goes no further.
fn is_thrown_out_for(gossip: impl Fn(&Town) -> Vec<u8>, says: &str) {
    let mut town = Town::new();
    let listener = Stranger::connect(&town.address);
    let liar = Stranger::connect(&town.address);
    let lie = gossip(&town);
    assert!(liar.publish(&lie));
    eventually("the liar is thrown out", LIMIT, || liar.is_thrown_out());
    let fields = town.node.line("a light node misbehaved", LIMIT);
    assert_eq!(fields["offence"], says);
    let heard = town.hears_the_next_block(&listener);
    assert!(!heard.contains(&lie), "it was passed on");
    assert!(!listener.is_thrown_out());
}

#[test]
fn gossip_of_a_header_without_work_is_the_end_of_its_sender() {
    is_thrown_out_for(|town| spoilt_nonce(town.next()).as_bytes().to_vec(), "InvalidHeader");
}

#[test]
fn gossip_of_a_header_that_breaks_a_rule_is_the_end_of_its_sender() {
    // Not later than the median of the last eleven.
    let old = |town: &Town| {
        let (tip, before) = (town.tip(), town.header(BLOCKS - 20));
        let header = Miner::new(7).mine(tip.hash(), before.time(), tip.compact_target());
        header.as_bytes().to_vec()
    };
    is_thrown_out_for(old, "InvalidHeader");
}

#[test]
fn gossip_that_is_no_header_is_the_end_of_its_sender() {
    is_thrown_out_for(|town| town.next().as_bytes()[..79].to_vec(), "ProtocolViolation");
}

#[test]
fn gossip_that_is_unknown_or_ancient_is_ignored_and_a_valid_tip_is_passed_on() {
    let mut town = Town::new();
    let listener = Stranger::connect(&town.address);
    let stranger = Stranger::connect(&town.address);
    let unknown = Miner::new(5).run(&town.next(), 1, 60)[0];
    let ancient = town.header(5);
    for header in [unknown, ancient] {
        assert!(stranger.publish(header.as_bytes()));
    }
    let valid = town.next();
    assert!(stranger.publish(valid.as_bytes()));
    eventually("the listener hears of the valid tip", LIMIT, || {
        listener.heard().contains(&valid.as_bytes().to_vec())
    });
    let heard = town.hears_the_next_block(&listener);
    for header in [unknown, ancient] {
        assert!(!heard.contains(&header.as_bytes().to_vec()), "it was passed on");
    }
    assert!(!stranger.is_thrown_out() && !listener.is_thrown_out());
}

/// Request for so many headers from a height on, as docs/PROTOCOL.md has it.
fn from_height(height: u32, most: u32) -> Vec<u8> {
    let mut bytes = vec![1, 0, 0];
    bytes.extend_from_slice(&most.to_le_bytes());
    bytes.push(1);
    bytes.extend_from_slice(&height.to_le_bytes());
    bytes
}

const OK: [u8; 2] = [1, 0];
const NOT_FOUND: [u8; 2] = [1, 1];
const BUSY: [u8; 2] = [1, 2];
const INVALID: [u8; 2] = [1, 3];

#[test]
fn requests_get_the_documented_answers() {
    let town = Town::new();
    let stranger = Stranger::connect(&town.address);
    let answer = stranger.ask(&from_height(1, 1)).unwrap();
    assert_eq!(answer[..4], [OK[0], OK[1], 0, 0], "version, status, no extensions");
    assert_eq!(answer[4..8], BLOCKS.to_le_bytes(), "its tip");
    assert_eq!(answer[8..12], 1_u32.to_le_bytes(), "the first height");
    let segment = ironlight_spv::compress::decode(&answer[12..], 1).unwrap();
    assert_eq!(segment, [town.header(1)]);

    assert_eq!(stranger.ask(&from_height(BLOCKS + 1, 1)).unwrap()[..2], NOT_FOUND);
    let no_version = [&[9], &from_height(1, 1)[1..]].concat();
    let no_headers = from_height(1, 0);
    let needs_an_extension = [&[1, 4, 0, 8, 0, 0, 0], &from_height(1, 1)[3..]].concat();
    for request in [Vec::new(), vec![1], no_version, no_headers, needs_an_extension] {
        assert_eq!(stranger.ask(&request).unwrap()[..2], INVALID, "{request:?}");
    }
    let unknown_but_odd = [&[1, 4, 0, 9, 0, 0, 0], &from_height(1, 1)[3..]].concat();
    assert_eq!(stranger.ask(&unknown_but_odd).unwrap()[..2], OK);
    assert!(!stranger.is_thrown_out(), "none of it is a crime");
}

#[test]
fn a_request_beyond_its_cap_costs_the_connection() {
    let town = Town::new();
    let stranger = Stranger::connect(&town.address);
    let answer = stranger.ask(&vec![1; 9 * 1024]).unwrap_or_default();
    assert!(answer.is_empty() || answer[..2] == INVALID, "{answer:?}");
    eventually("it is thrown out", LIMIT, || stranger.is_thrown_out());
}

#[test]
fn who_asks_too_much_is_told_to_wait_and_others_notice_nothing() {
    let town = Town::new();
    let greedy = Stranger::connect(&town.address);
    let modest = Stranger::connect(&town.address);
    let request = from_height(1, 8000);
    // Two million headers at once, then 100,000 a second.
    let busy = (0..2000).map(|_| greedy.ask(&request).unwrap()).find(|it| it[..2] == BUSY);
    let busy = busy.expect("at some point it is told to wait");
    assert_eq!(busy[2..8], [8, 0, 5, 0, 4, 0], "eight bytes of extensions: 5 has four");
    let millis = u32::from_le_bytes(busy[8..12].try_into().unwrap());
    assert!((1..=80).contains(&millis), "{millis} ms for 8,000 headers");
    assert_eq!(modest.ask(&request).unwrap()[..2], OK);
    std::thread::sleep(Duration::from_millis(u64::from(millis)));
    assert_eq!(greedy.ask(&request).unwrap()[..2], OK);
}

#[test]
fn a_light_node_that_serves_headers_without_work_is_let_go() {
    let mut town = Town::new();
    let lie = spoilt_nonce(town.next());
    let segment = ironlight_spv::compress::encode(lie.prev_hash(), std::iter::once((&lie).into()));
    let mut page = vec![1, 0, 0, 0];
    page.extend_from_slice(&(BLOCKS + 1).to_le_bytes());
    page.extend_from_slice(&(BLOCKS + 1).to_le_bytes());
    page.extend_from_slice(&segment);
    let liar = Stranger::serve(&town.address, move |_| page.clone());
    eventually("the liar is thrown out", LIMIT, || liar.is_thrown_out());
    let fields = town.node.line("a light node misbehaved", LIMIT);
    assert_eq!(fields["offence"], "InvalidHeader");
    town.mine();
}

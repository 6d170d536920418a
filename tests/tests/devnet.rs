//! The embedded full node as those meet it who build on it: our own node as its peer, a peer that
//! asks for everything, and the program with the commands that drive it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic is the test's failure"
)]

use std::net::SocketAddr;
use std::time::Duration;

use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash as _;
use bitcoin::p2p::message::{NetworkMessage, RawNetworkMessage};
use bitcoin::p2p::message_blockdata::{GetHeadersMessage, Inventory};
use bitcoin::p2p::message_filter::{GetCFCheckpt, GetCFHeaders, GetCFilters};
use bitcoin::p2p::message_network::VersionMessage;
use bitcoin::p2p::{Address, Magic, ServiceFlags};
use bitcoin::{Amount, BlockHash, ScriptBuf, WPubkeyHash};
use ironlight::devnet::{Devnet, DevnetConfig, MAX_PEERS};
use ironlight::{Network, Node, NodeConfig};
use ironlight_tests::Daemon;

const LIMIT: Duration = Duration::from_secs(30);

async fn devnet(blocks: u32) -> Devnet {
    Devnet::start(DevnetConfig { blocks, ..DevnetConfig::default() }).await.unwrap()
}

async fn follows(node: &Node, devnet: &Devnet) {
    let reached = async {
        let mut events = node.chain().subscribe();
        while node.chain().tip() != devnet.tip() {
            events.next().await.unwrap();
        }
    };
    tokio::time::timeout(LIMIT, reached).await.expect("the node reaches the devnet's tip");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_node_syncs_from_it_and_follows_a_reorg_and_new_blocks() {
    let devnet = devnet(1000).await;
    let config = NodeConfig {
        connect: vec![devnet.address()],
        dns_seeds: false,
        ..NodeConfig::new(Network::Regtest)
    };
    let node = Node::start(config).await.unwrap();
    follows(&node, &devnet).await;
    assert_eq!(node.chain().tip().height.0, 1000);

    let branch = devnet.reorg(3).await.unwrap();
    assert_eq!(branch.disconnected.len(), 3);
    follows(&node, &devnet).await;
    assert_eq!(node.chain().tip().height.0, 1001);

    devnet.mine(1).await.unwrap();
    follows(&node, &devnet).await;
    // Too many to be announced by their headers.
    devnet.mine(40).await.unwrap();
    follows(&node, &devnet).await;
    node.stop().await.unwrap();
    devnet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_mines_by_itself_on_a_timer() {
    let interval = Some(Duration::from_millis(5));
    let config = DevnetConfig { interval, ..DevnetConfig::default() };
    let devnet = Devnet::start(config).await.unwrap();
    let mut changed = devnet.watch();
    let third = changed.wait_for(|tip| tip.height.0 >= 3);
    tokio::time::timeout(LIMIT, third).await.unwrap().unwrap();
    devnet.stop().await;
}

/// A peer that asks.
struct Asker {
    stream: std::net::TcpStream,
}

impl Asker {
    fn connect(address: SocketAddr) -> Self {
        let stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut asker = Self { stream };
        let nobody = Address::new(&address, ServiceFlags::NONE);
        asker.send(NetworkMessage::Version(VersionMessage {
            version: 70016,
            services: ServiceFlags::NONE,
            timestamp: 0,
            receiver: nobody.clone(),
            sender: nobody,
            nonce: 1,
            user_agent: "/asker:1/".to_owned(),
            start_height: 0,
            relay: true,
        }));
        let NetworkMessage::Version(version) = asker.next() else { panic!("no version") };
        for service in [ServiceFlags::NETWORK, ServiceFlags::WITNESS, ServiceFlags::COMPACT_FILTERS]
        {
            assert!(version.services.has(service));
        }
        assert_eq!(asker.next(), NetworkMessage::Verack);
        asker.send(NetworkMessage::WtxidRelay);
        asker.send(NetworkMessage::Verack);
        asker.send(NetworkMessage::GetAddr);
        let NetworkMessage::FeeFilter(least) = asker.next() else { panic!("no fee filter") };
        assert!(least > 0);
        asker
    }

    fn send(&mut self, message: NetworkMessage) {
        let bytes = serialize(&RawNetworkMessage::new(Magic::REGTEST, message));
        std::io::Write::write_all(&mut self.stream, &bytes).unwrap();
    }

    fn next(&mut self) -> NetworkMessage {
        let message: RawNetworkMessage =
            bitcoin::consensus::Decodable::consensus_decode(&mut self.stream).unwrap();
        message.into_payload()
    }

    fn ask(&mut self, message: NetworkMessage) -> NetworkMessage {
        self.send(message);
        self.next()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_is_told_of_a_payment_and_gets_blocks_with_and_without_witnesses() {
    let devnet = devnet(110).await;
    let mut peer = Asker::connect(devnet.address());
    let script = ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([1; 20]));
    let txid = devnet.pay(script, Amount::from_sat(100_000)).await.unwrap();
    assert_eq!(peer.next(), NetworkMessage::Inv(vec![Inventory::Transaction(txid)]));
    let wanted = vec![Inventory::WitnessTransaction(txid)];
    let NetworkMessage::Tx(paid) = peer.ask(NetworkMessage::GetData(wanted)) else {
        panic!("no transaction")
    };
    assert_eq!(paid.compute_txid(), txid);

    // Before sendheaders by inventory, afterwards by headers.
    let tip = devnet.mine(1).await.unwrap();
    assert_eq!(peer.next(), NetworkMessage::Inv(vec![Inventory::Block(tip.hash)]));
    peer.send(NetworkMessage::SendHeaders);
    assert_eq!(peer.ask(NetworkMessage::Ping(9)), NetworkMessage::Pong(9));
    let next = devnet.mine(1).await.unwrap();
    let NetworkMessage::Headers(headers) = peer.next() else { panic!("no headers") };
    assert_eq!(headers[0].block_hash(), next.hash);

    let wanted = vec![Inventory::WitnessBlock(tip.hash), Inventory::Block(tip.hash)];
    let NetworkMessage::Block(whole) = peer.ask(NetworkMessage::GetData(wanted)) else {
        panic!("no block")
    };
    let NetworkMessage::Block(stripped) = peer.next() else { panic!("no block") };
    assert!(whole.check_witness_commitment() && whole.check_merkle_root());
    assert!(whole.txdata.contains(&paid));
    assert!(stripped.txdata[0].input[0].witness.is_empty() && stripped.check_merkle_root());
    let nothing = vec![Inventory::Block(BlockHash::all_zeros())];
    assert_eq!(
        peer.ask(NetworkMessage::GetData(nothing.clone())),
        NetworkMessage::NotFound(nothing)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_gets_headers_and_filters_by_their_rules() {
    let devnet = devnet(2100).await;
    let mut peer = Asker::connect(devnet.address());
    let tip = devnet.tip().hash;
    let at = |height| devnet.read(|ledger| ledger.tree().at(height).unwrap().hash);
    let mut headers = |locator: &[BlockHash], stop| {
        let request =
            GetHeadersMessage { version: 70016, locator_hashes: locator.to_vec(), stop_hash: stop };
        let NetworkMessage::Headers(headers) = peer.ask(NetworkMessage::GetHeaders(request)) else {
            panic!("no headers")
        };
        headers.iter().map(|header| header.block_hash()).collect::<Vec<_>>()
    };
    let all = BlockHash::all_zeros();
    let first = headers(&[at(0)], all);
    assert_eq!((first.len(), first[0], first[1999]), (2000, at(1), at(2000)));
    assert_eq!(headers(&[all, at(2098), at(5)], all), [at(2099), tip]);
    assert_eq!(headers(&[at(10)], at(12)), [at(11), at(12)]);
    assert_eq!(headers(&[], at(7)), [at(7)]);
    assert_eq!(headers(&[tip], all), []);

    let request = GetCFCheckpt { filter_type: 0, stop_hash: tip };
    let NetworkMessage::CFCheckpt(points) = peer.ask(NetworkMessage::GetCFCheckpt(request)) else {
        panic!("no checkpoints")
    };
    assert_eq!(points.filter_headers.len(), 2);
    let request = GetCFHeaders { filter_type: 0, start_height: 1001, stop_hash: at(2000) };
    let NetworkMessage::CFHeaders(hashes) = peer.ask(NetworkMessage::GetCFHeaders(request)) else {
        panic!("no filter headers")
    };
    assert_eq!(hashes.previous_filter_header, points.filter_headers[0]);
    let last = hashes
        .filter_hashes
        .iter()
        .fold(hashes.previous_filter_header, |before, hash| hash.filter_header(&before));
    assert_eq!(last, points.filter_headers[1]);
    let request = GetCFilters { filter_type: 0, start_height: 1998, stop_hash: at(2000) };
    peer.send(NetworkMessage::GetCFilters(request));
    for height in 1998..=2000 {
        let NetworkMessage::CFilter(filter) = peer.next() else { panic!("no filter") };
        assert_eq!(filter.block_hash, at(height));
    }
    // More than BIP157 allows: the peer is hung up on.
    let request = GetCFilters { filter_type: 0, start_height: 0, stop_hash: at(1000) };
    peer.send(NetworkMessage::GetCFilters(request));
    let mut rest = Vec::new();
    assert_eq!(std::io::Read::read_to_end(&mut peer.stream, &mut rest).unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_peers_than_it_serves_are_hung_up_on() {
    let devnet = devnet(1).await;
    let served: Vec<Asker> = (0..MAX_PEERS).map(|_| Asker::connect(devnet.address())).collect();
    let mut refused = std::net::TcpStream::connect(devnet.address()).unwrap();
    refused.set_read_timeout(Some(LIMIT)).unwrap();
    assert_eq!(std::io::Read::read(&mut refused, &mut [0]).unwrap(), 0);
    drop(served);
    devnet.stop().await;
}

/// `ironlight devnet`, with what it prints.
struct Sandbox {
    process: std::process::Child,
    directory: tempfile::TempDir,
    lines: std::io::Lines<std::io::BufReader<std::process::ChildStdout>>,
}

impl Sandbox {
    fn start(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut process = Daemon::program()
            .args(["devnet", "--port", "0", "--data-dir"])
            .arg(directory.path())
            .args(options)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = std::io::BufReader::new(process.stdout.take().unwrap());
        Self { process, directory, lines: std::io::BufRead::lines(stdout) }
    }

    fn line(&mut self, start: &str) -> String {
        let mut lines = self.lines.by_ref().map(Result::unwrap);
        lines.find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no line {start:?}"))
    }

    fn output(&self, arguments: &[&str]) -> std::process::Output {
        let mut program = Daemon::program();
        program.arg("devnet").args(arguments).arg("--data-dir").arg(self.directory.path());
        program.output().unwrap()
    }

    fn drive(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_program_is_driven_over_its_socket() {
    let mut sandbox = Sandbox::start(&["--blocks", "105", "--seed", "3"]);
    let first = sandbox.line("a regtest full node listens on 127.0.0.1:");
    assert!(first.ends_with("at height 105"), "{first}");
    sandbox.line("  ironlight run --network regtest --connect 127.0.0.1:");
    let socket = sandbox.directory.path().join("devnet/control.sock");
    let mode = std::os::unix::fs::PermissionsExt::mode(&socket.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    let address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
    let txid = sandbox.drive(&["pay", address, "0.5"]).trim().to_owned();
    assert!(sandbox.drive(&["mine", "2"]).ends_with("at height 107\n"));
    sandbox.line("block 106 ");
    assert!(sandbox.drive(&["reorg", "1"]).starts_with("1 blocks off, 2 on, above height 106\n"));
    sandbox.line("reorg: 1 blocks off");
    sandbox.line("block 108 ");
    let replaced = sandbox.drive(&["double-spend", &txid]);
    assert!(replaced.starts_with(&format!("replaced {txid}\nby ")), "{replaced}");
    let status: serde_json::Value =
        serde_json::from_str(&sandbox.drive(&["status", "--json"])).unwrap();
    assert_eq!((&status["tip"]["height"], &status["waiting"]), (&109.into(), &0.into()));

    for (wrong, says) in [
        (&["pay", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "1"][..], "no regtest address"),
        (&["pay", address, "1000000"], "mine some blocks"),
        (&["pay", address, "much"], "no amount in bitcoin"),
        (&["reorg", "1000"], "the height of the tip, 109"),
        (&["double-spend", &txid], "no block of the best chain has transaction"),
        (&["run"], "in use"),
    ] {
        let output = sandbox.output(wrong);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{wrong:?}");
        assert!(error.contains(says) && error.lines().count() == 1, "{wrong:?}: {error}");
    }
}

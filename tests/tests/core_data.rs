//! Bitcoin Core is asked for filters and blocks, and is given a transaction.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm,
    reason = "a panic is the test's failure, and figures are printed"
)]

use std::sync::Arc;
use std::time::Duration;

use bitcoin::bip158::FilterHeader;
use bitcoin::consensus::encode::deserialize;
use bitcoin::hashes::Hash as _;
use bitcoin::p2p::message_blockdata::Inventory;
use bitcoin::{Address, Amount, Block, BlockHash, OutPoint, TxOut, Txid};
use ironlight::clock::Clock;
use ironlight::devnet::wallet::{Input, Plan, Wallet};
use ironlight::net::bitcoin::handshake::{Greeting, HandshakeConfig, handshake};
use ironlight::net::bitcoin::message::{Inbound, Outbound, OwnVersion};
use ironlight::net::bitcoin::pool::pool;
use ironlight::net::bitcoin::seeds::SystemResolver;
use ironlight::net::bitcoin::transport::{MessageReader, MessageWriter};
use ironlight::net::bitcoin::{Apart, Connect as _, PoolConfig, TcpConnector, Transport as _};
use ironlight_spv::peers::{PeerPolicy, PolicyConfig, ServiceFlags};
use ironlight_spv::{BlockHeight, Params, UnixTime};
use ironlight_tests::{BitcoinCore, eventually};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(120);
const BLOCKS: u32 = 2_345;

fn connector() -> TcpConnector {
    TcpConnector::new(Params::new(ironlight_spv::Network::Regtest).magic)
}

fn core() -> BitcoinCore {
    let mut core = BitcoinCore::start(&["-blockfilterindex=1", "-peerblockfilters=1"]);
    core.mine(BLOCKS);
    eventually("Core has all filters", LIMIT, || {
        core.ask("getindexinfo", json!([]))["basic block filter index"]["synced"] == true
    });
    core
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The messages that are about data; headers, pings and the like are passed over.
async fn next(reader: &mut impl MessageReader) -> Inbound {
    loop {
        let received = tokio::time::timeout(LIMIT, reader.recv()).await.unwrap().unwrap();
        let message = received.message;
        if matches!(
            message,
            Inbound::CFilter { .. }
                | Inbound::CFHeaders { .. }
                | Inbound::CFCheckpt { .. }
                | Inbound::Block { .. }
        ) {
            return message;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Bitcoin Core (BITCOIND_EXE)"]
async fn cores_filters_headers_checkpoints_and_blocks_are_read_as_it_tells_them() {
    let core = core();
    let hashes: Vec<BlockHash> = core
        .ask_all("getblockhash", (0..=BLOCKS).map(|height| json!([height])))
        .iter()
        .map(|hash| hash.as_str().unwrap().parse().unwrap())
        .collect();
    let told = core.ask_all("getblockfilter", hashes.iter().map(|hash| json!([hash.to_string()])));
    let header = |height: usize| -> FilterHeader {
        told[height]["header"].as_str().unwrap().parse().unwrap()
    };
    let (mut reader, mut writer) = connector().connect(core.address()).await.unwrap().split();
    let own = OwnVersion {
        receiver: core.address(),
        time: UnixTime(1_700_000_000),
        nonce: 5,
        start_height: BlockHeight::GENESIS,
        relay: false,
    };
    let greeting = handshake(&mut reader, &mut writer, own, HandshakeConfig::default()).await;
    let Greeting { version, wtxid_relay } = greeting.unwrap();
    assert!(version.services.has(ServiceFlags::COMPACT_FILTERS | ServiceFlags::WITNESS));
    assert!(wtxid_relay && version.relay);

    let stop = hashes[usize::try_from(BLOCKS).unwrap()];
    writer.send(&Outbound::GetCFCheckpt { stop }).await.unwrap();
    let expected = Inbound::CFCheckpt { stop, headers: vec![header(1000), header(2000)] };
    assert_eq!(next(&mut reader).await, expected);

    let mut previous = FilterHeader::all_zeros();
    for (start, stop) in [(0, 1999), (2000, hashes.len() - 1)] {
        let height = BlockHeight(u32::try_from(start).unwrap());
        let request = Outbound::GetCFHeaders { start: height, stop: hashes[stop] };
        writer.send(&request).await.unwrap();
        let Inbound::CFHeaders { previous: before, hashes: filters, .. } = next(&mut reader).await
        else {
            panic!("cfheaders")
        };
        assert_eq!((before, filters.len()), (previous, stop - start + 1));
        previous = filters.iter().fold(before, |header, hash| hash.filter_header(&header));
        assert_eq!(previous, header(stop));
    }

    // Filters and blocks, asked for without waiting for either.
    for (start, stop) in [(0, 999), (1000, 1999), (2000, hashes.len() - 1)] {
        let height = BlockHeight(u32::try_from(start).unwrap());
        writer.send(&Outbound::GetCFilters { start: height, stop: hashes[stop] }).await.unwrap();
        let wanted = vec![Inventory::WitnessBlock(hashes[stop])];
        writer.send(&Outbound::GetData(wanted)).await.unwrap();
        let (mut filters, mut blocks) = (start, 0);
        while filters <= stop || blocks == 0 {
            match next(&mut reader).await {
                Inbound::CFilter { block, filter } => {
                    assert_eq!(block, hashes[filters], "in order");
                    assert_eq!(hex(&filter), told[filters]["filter"].as_str().unwrap());
                    filters += 1;
                }
                Inbound::Block { hash, bytes } => {
                    let block: Block = deserialize(&bytes).unwrap();
                    assert_eq!((hash, block.block_hash()), (hashes[stop], hashes[stop]));
                    assert!(block.check_merkle_root() && block.check_witness_commitment());
                    blocks += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    println!("{} filters and their headers are Core's", hashes.len());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Bitcoin Core (BITCOIND_EXE)"]
async fn core_takes_a_transaction_on_a_connection_of_its_own() {
    let mut core = BitcoinCore::start(&["-persistmempool=0"]);
    let wallet = Wallet::new(5);
    let script = (0..64).map(|n| wallet.script(n)).find(|script| script.is_p2wpkh()).unwrap();
    let address = Address::from_script(&script, bitcoin::Network::Regtest).unwrap().to_string();
    let mined = core.mine_to(&address, false);
    core.mine(110);
    let block = core.ask("getblock", json!([mined, 2]));
    let txid: Txid = block["tx"][0]["txid"].as_str().unwrap().parse().unwrap();
    let output = TxOut { value: Amount::from_int_btc(50), script_pubkey: script.clone() };
    let input = Input { outpoint: OutPoint { txid, vout: 0 }, output };
    let paid = TxOut { value: Amount::from_int_btc(1), script_pubkey: script.clone() };
    let plan = Plan { inputs: vec![input], outputs: vec![paid], fee_rate: 5 };
    let transaction = Arc::new(plan.sign(&wallet, script).unwrap());
    let txid = transaction.compute_txid().to_string();

    let mut policy = PeerPolicy::new(PolicyConfig::default(), 1);
    assert!(policy.add_manual(core.address()));
    let (task, handle, mut events) =
        pool(PoolConfig::new(18_444, 7), policy, connector(), SystemResolver, Clock::start());
    let running = tokio::spawn(task.run(Default::default()));
    events.recv().await.unwrap();
    let announcing = {
        let (handle, transaction) = (handle.clone(), Arc::clone(&transaction));
        tokio::spawn(async move { handle.announce_apart(transaction).await })
    };
    // Core asks a peer that called it only after some seconds, by its mock clock.
    while !announcing.is_finished() {
        core.tick(1);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(announcing.await.unwrap().unwrap(), Apart::Delivered);
    let entry = core.ask("getmempoolentry", json!([txid]));
    assert_eq!(entry["vsize"], json!(transaction.vsize()), "{entry}");
    let peers = core.ask("getpeerinfo", json!([]));
    eventually("the connection of its own is gone", LIMIT, || {
        core.ask("getpeerinfo", json!([])).as_array().map(Vec::len) == Some(1)
    });
    println!("delivered, while Core saw {} peers", peers.as_array().map_or(0, Vec::len));
    assert_ne!(peers, Value::Null);
    drop(handle);
    running.await.unwrap();
}

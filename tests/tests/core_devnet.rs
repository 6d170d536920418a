//! Bitcoin Core judges the embedded full node: every block by every rule, and as a peer.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a panic is the test's failure, and figures are printed"
)]

use std::time::{Duration, Instant};

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Address, Amount, BlockHash};
use ironlight::devnet::{Devnet, DevnetConfig};
use ironlight_tests::{BitcoinCore, eventually};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(120);

/// An hour after the tip: Core's clock must be later than the blocks, and near them, or it takes
/// itself to be far behind.
fn set_clock(core: &BitcoinCore, devnet: &Devnet) {
    let time = devnet.read(|ledger| ledger.tree().tip().block.header.time);
    let _null = core.ask("setmocktime", json!([time + 3600]));
}

/// Core's own words for blocks that it is handed; null for one that it takes onto its best chain.
fn submit(core: &BitcoinCore, devnet: &Devnet, hashes: &[BlockHash]) -> Vec<Value> {
    let block = |hash| devnet.read(|ledger| serialize_hex(&ledger.tree().get(hash).unwrap().block));
    core.ask_all("submitblock", hashes.iter().map(|hash| json!([block(hash)])))
}

/// Filter and filter header of some blocks, ours and Core's.
fn filters_are_equal(core: &BitcoinCore, devnet: &Devnet, heights: impl Iterator<Item = u32>) {
    eventually("Core has all filters", LIMIT, || {
        let info = core.ask("getindexinfo", json!([]));
        info["basic block filter index"]["synced"] == true
    });
    let mut compared = 0;
    for height in heights {
        let (hash, filter, header) = devnet.read(|ledger| {
            let entry = ledger.tree().at(height).unwrap();
            let filter: String = entry.filter.iter().map(|byte| format!("{byte:02x}")).collect();
            (entry.hash, filter, entry.filter_header)
        });
        let theirs = core.ask("getblockfilter", json!([hash.to_string()]));
        assert_eq!(theirs["filter"], filter, "filter at {height}");
        assert_eq!(theirs["header"], header.to_string(), "filter header at {height}");
        compared += 1;
    }
    println!("{compared} filters and filter headers are Core's");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Bitcoin Core (BITCOIND_EXE)"]
async fn core_accepts_ten_thousand_blocks_and_their_reorgs_through_submitblock() {
    let started = Instant::now();
    let config = DevnetConfig { blocks: 10_000, ..DevnetConfig::default() };
    let devnet = Devnet::start(config).await.unwrap();
    let (transactions, inputs) = devnet.read(|ledger| {
        let entries: Vec<_> = ledger.tree().from(1).collect();
        let payments = entries.iter().map(|entry| entry.block.txdata.len() - 1).sum::<usize>();
        (payments, entries.iter().map(|entry| entry.undo.spent.len()).sum::<usize>())
    });
    println!(
        "10,000 blocks with {transactions} payments of {inputs} inputs mined in {:.2} s",
        started.elapsed().as_secs_f64()
    );
    // No block is assumed to be valid: every script is run.
    let core = BitcoinCore::start(&["-blockfilterindex=1", "-assumevalid=0", "-par=2"]);
    set_clock(&core, &devnet);
    let hashes: Vec<BlockHash> =
        devnet.read(|ledger| ledger.tree().from(1).map(|entry| entry.hash).collect());
    let started = Instant::now();
    for (part, hashes) in hashes.chunks(500).enumerate() {
        let verdicts = submit(&core, &devnet, hashes);
        let refused = verdicts.iter().position(|verdict| *verdict != Value::Null);
        assert_eq!(refused, None, "after {} blocks: {verdicts:?}", part * 500);
    }
    println!("Core accepted them in {:.1} s", started.elapsed().as_secs_f64());
    assert_eq!(core.tip(), devnet.tip().hash.to_string());
    filters_are_equal(&core, &devnet, (0..=10_000).step_by(97));

    // A branch that loses, one that wins, and a double spend.
    let equal = devnet.branch(5, 5).await.unwrap();
    assert_eq!(submit(&core, &devnet, &equal.mined), ["inconclusive"; 5]);
    assert_eq!(core.tip(), devnet.tip().hash.to_string());
    let script = Address::p2shwsh(&bitcoin::ScriptBuf::new(), bitcoin::Network::Regtest);
    let txid = devnet.pay(script.script_pubkey(), Amount::from_sat(1_000_000)).await.unwrap();
    let paid = devnet.mine(2).await.unwrap();
    let changes = devnet.changes_since(&hashes[9_999]);
    let connected: Vec<BlockHash> = changes.connected.iter().map(|entry| entry.hash).collect();
    assert_eq!(submit(&core, &devnet, &connected), [Value::Null, Value::Null]);
    assert_eq!(core.tip(), paid.hash.to_string());
    let double = devnet.double_spend(txid).await.unwrap();
    let verdicts = submit(&core, &devnet, &double.branch.mined);
    // A branch is taken with the block that gives it more work.
    assert_eq!(verdicts[2], Value::Null, "{verdicts:?}");
    assert_eq!(core.tip(), devnet.tip().hash.to_string(), "Core follows the double spend");
    filters_are_equal(&core, &devnet, 9_990..=devnet.tip().height.0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Bitcoin Core (BITCOIND_EXE)"]
async fn core_syncs_from_it_as_a_peer_and_follows_a_reorg() {
    let config = DevnetConfig { blocks: 10_000, ..DevnetConfig::default() };
    let devnet = Devnet::start(config).await.unwrap();
    let core = BitcoinCore::start(&["-blockfilterindex=1", "-assumevalid=0"]);
    set_clock(&core, &devnet);
    let address = devnet.address().to_string();
    let started = Instant::now();
    // The devnet speaks v1 only: no attempt at BIP324 first.
    let _null = core.ask("addnode", json!([address, "onetry", false]));
    eventually("Core is on the devnet's tip", LIMIT, || {
        core.tip() == devnet.tip().hash.to_string()
    });
    println!("Core synced 10,000 blocks as a peer in {:.1} s", started.elapsed().as_secs_f64());
    filters_are_equal(&core, &devnet, (0..=10_000).step_by(503));

    let script = bitcoin::ScriptBuf::new_op_return([7; 8]);
    assert!(devnet.pay(script, Amount::ZERO).await.is_ok());
    let branch = devnet.reorg(3).await.unwrap();
    set_clock(&core, &devnet);
    eventually("Core followed the reorg", LIMIT, || core.tip() == devnet.tip().hash.to_string());
    let tips = core.ask("getchaintips", json!([]));
    let forked = tips.as_array().unwrap().iter().find(|tip| tip["status"] == "valid-fork").unwrap();
    assert_eq!(forked["branchlen"], 3);
    assert_eq!(forked["hash"], branch.disconnected[2].to_string());

    // New blocks one by one, each announced by its header; and a payment of each by inventory.
    for _ in 0..3 {
        let script = devnet.read(|ledger| ledger.wallet().script(1));
        let txid = devnet.pay(script, Amount::from_sat(70_000)).await.unwrap();
        eventually("Core's memory pool has the payment", LIMIT, || {
            let pool = core.ask("getrawmempool", json!([]));
            pool.as_array().unwrap().contains(&json!(txid.to_string()))
        });
        let tip = devnet.mine(1).await.unwrap();
        set_clock(&core, &devnet);
        eventually("Core has the new block", LIMIT, || core.tip() == tip.hash.to_string());
    }
    let peers = core.ask("getpeerinfo", json!([]));
    println!("Core's view of its peer: {} {}", peers[0]["subver"], peers[0]["servicesnames"]);
    assert_eq!(peers[0]["servicesnames"], json!(["NETWORK", "WITNESS", "COMPACT_FILTERS"]));
}

#[test]
#[ignore = "needs Bitcoin Core (BITCOIND_EXE)"]
fn core_falls_back_to_the_plain_protocol() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = DevnetConfig { blocks: 300, seed: 7, ..DevnetConfig::default() };
    let devnet = runtime.block_on(Devnet::start(config)).unwrap();
    let connect = format!("-connect={}", devnet.address());
    // With BIP324 on, as it is by default: Core falls back to v1.
    let core = BitcoinCore::start(&[&connect]);
    set_clock(&core, &devnet);
    eventually("Core is on the devnet's tip", LIMIT, || {
        core.tip() == devnet.tip().hash.to_string()
    });
    runtime.block_on(devnet.stop());
}

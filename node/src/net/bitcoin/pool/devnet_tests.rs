//! Filters, blocks and transactions between a pool and the devnet.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::consensus::encode::deserialize;
use bitcoin::hashes::Hash as _;
use bitcoin::{Address, Amount, BlockHash, Network, OutPoint, Transaction, TxOut};
use ironlight_spv::BlockHeight;

use super::{Announcement, Apart, PoolConfig};
use crate::devnet::ledger::{Accepted, Entry};
use crate::devnet::wallet::{Input, Plan, Wallet};
use crate::devnet::{Devnet, DevnetConfig};
use crate::net::bitcoin::PeerEventKind;
use crate::net::bitcoin::testing::{PEER, Running, config, soon};
use crate::net::data::{DataPeer, Query, Reply};
use crate::net::relay::{Relay, RelayEvent};

async fn devnet(blocks: u32) -> Devnet {
    Devnet::start(DevnetConfig { blocks, ..DevnetConfig::default() }).await.unwrap()
}

async fn connected(devnet: &Devnet, config: PoolConfig) -> (Running, DataPeer) {
    let peers = config.data.clone();
    let mut running = Running::connecting_to(devnet.address(), config);
    assert!(matches!(running.next().await, PeerEventKind::Connected { .. }));
    let listed = peers.list().get(&PEER).cloned().unwrap();
    (running, listed)
}

fn entries(devnet: &Devnet) -> Vec<Arc<Entry>> {
    devnet.read(|ledger| ledger.tree().from(0).cloned().collect())
}

async fn ask(peer: &DataPeer, query: Query) -> Reply {
    soon("an answer", peer.line.ask(query, false)).await.unwrap()
}

#[tokio::test]
async fn all_filters_headers_checkpoints_and_blocks_are_the_ledgers() {
    let devnet = devnet(2345).await;
    let (_running, peer) = connected(&devnet, config()).await;
    let entries = entries(&devnet);
    let tip = entries.last().unwrap();
    let checkpoints = Query::FilterCheckpoints { stop: tip.hash, height: BlockHeight(tip.height) };
    let expected = [1000, 2000].map(|height| entries[height].filter_header);
    assert_eq!(ask(&peer, checkpoints).await, Reply::FilterCheckpoints(expected.to_vec()));
    for part in entries.chunks(2000) {
        let (first, last) = (part.first().unwrap(), part.last().unwrap());
        let count = u32::try_from(part.len()).unwrap();
        let start = BlockHeight(first.height);
        let reply = ask(&peer, Query::FilterHeaders { start, stop: last.hash, count }).await;
        let hashes = part.iter().map(|entry| entry.filter_hash).collect();
        let previous = match first.height {
            0 => bitcoin::bip158::FilterHeader::all_zeros(),
            height => entries[usize::try_from(height).unwrap() - 1].filter_header,
        };
        assert_eq!(reply, Reply::FilterHeaders { previous, hashes });
    }
    for part in entries.chunks(1000) {
        let blocks: Arc<[BlockHash]> = part.iter().map(|entry| entry.hash).collect();
        let start = BlockHeight(part.first().unwrap().height);
        let Reply::Filters(filters) = ask(&peer, Query::Filters { start, blocks }).await else {
            panic!("filters")
        };
        assert!(filters.iter().eq(part.iter().map(|entry| &entry.filter)));
    }
    for entry in entries.iter().step_by(97) {
        let Reply::Block(bytes) = ask(&peer, Query::Block { hash: entry.hash }).await else {
            panic!("a block")
        };
        assert_eq!(deserialize::<bitcoin::Block>(&bytes).unwrap(), entry.block);
    }
}

#[tokio::test]
async fn questions_asked_at_once_are_answered_each() {
    let devnet = devnet(200).await;
    let (running, peer) = connected(&devnet, config()).await;
    let entries = entries(&devnet);
    let asking: Vec<_> = (0..20_usize)
        .map(|number| {
            let part = &entries[number * 10..number * 10 + 10];
            let blocks: Arc<[BlockHash]> = part.iter().map(|entry| entry.hash).collect();
            let start = BlockHeight(part[0].height);
            let query = match number % 3 {
                0 => Query::Filters { start, blocks },
                1 => Query::FilterHeaders { start, stop: part[9].hash, count: 10 },
                _ => Query::Block { hash: part[4].hash },
            };
            tokio::spawn(peer.line.ask(query, false))
        })
        .collect();
    let locator = vec![entries[0].hash];
    running.handle.get_headers(PEER, locator, BlockHash::all_zeros(), false).await.unwrap();
    for (number, asking) in asking.into_iter().enumerate() {
        let part = &entries[number * 10..number * 10 + 10];
        match soon("an answer", asking).await.unwrap() {
            Ok(Reply::Filters(filters)) => {
                assert!(filters.iter().eq(part.iter().map(|entry| &entry.filter)));
            }
            Ok(Reply::FilterHeaders { hashes, .. }) => {
                assert!(hashes.iter().eq(part.iter().map(|entry| &entry.filter_hash)));
            }
            Ok(Reply::Block(bytes)) => {
                assert_eq!(bytes, bitcoin::consensus::serialize(&part[4].block));
            }
            // It has its bounds.
            Err(ironlight_spv::sync::Unanswered::Refused { .. }) => {}
            other => panic!("{number}: {other:?}"),
        }
    }
}

/// A payment of the devnet's to a wallet of other keys, mined, and a transaction that spends it at a
/// fee rate.
struct Payee {
    wallet: Wallet,
    input: Input,
}

impl Payee {
    async fn paid(devnet: &Devnet) -> Self {
        let wallet = Wallet::new(99);
        let script = wallet.script(0);
        let value = Amount::from_sat(1_000_000);
        let txid = devnet.pay(script.clone(), value).await.unwrap();
        devnet.mine(1).await.unwrap();
        let outputs = devnet.read(|ledger| {
            let block = &ledger.tree().tip().block;
            let found = block.txdata.iter().find(|tx| tx.compute_txid() == txid).unwrap();
            found.output.clone()
        });
        let vout = outputs.iter().position(|output| output.script_pubkey == script).unwrap();
        let outpoint = OutPoint { txid, vout: u32::try_from(vout).unwrap() };
        let output = outputs[vout].clone();
        Self { wallet, input: Input { outpoint, output } }
    }

    fn spend(&self, fee_rate: u64) -> Arc<Transaction> {
        let script = Address::p2wsh(&bitcoin::ScriptBuf::new(), Network::Regtest).script_pubkey();
        let output = TxOut { value: Amount::from_sat(200_000), script_pubkey: script };
        let plan = Plan { inputs: vec![self.input.clone()], outputs: vec![output], fee_rate };
        Arc::new(plan.sign(&self.wallet, self.wallet.script(1)).unwrap())
    }
}

async fn until(devnet: &Devnet, what: &str, fits: impl Fn(&crate::devnet::ledger::Ledger) -> bool) {
    let mut changed = devnet.watch();
    soon(what, async {
        while !devnet.read(&fits) {
            changed.changed().await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_transaction_reaches_the_next_block_and_other_peers() {
    let devnet = devnet(110).await;
    let payee = Payee::paid(&devnet).await;
    let (watching, mut told) = Relay::new(true);
    let (_watcher, _) = connected(&devnet, PoolConfig { relay: watching, ..config() }).await;
    let (relay, mut own) = Relay::new(true);
    let (running, _) = connected(&devnet, PoolConfig { relay: relay.clone(), ..config() }).await;
    let least = bitcoin::FeeRate::from_sat_per_vb_u32(1);
    let fee_filter = RelayEvent::FeeFilter { peer: PEER, least };
    assert_eq!(soon("its fee filter", told.recv()).await.unwrap(), fee_filter);
    assert_eq!(soon("its fee filter", own.recv()).await.unwrap(), fee_filter);

    let spend = payee.spend(2);
    let txid = spend.compute_txid();
    assert!(relay.offer(Arc::clone(&spend)));
    assert_eq!(running.handle.announce(PEER, txid).await.unwrap(), Announcement::Sent);
    until(&devnet, "the transaction", |ledger| ledger.waiting(&txid).is_some()).await;
    assert_eq!(
        soon("an event", own.recv()).await.unwrap(),
        RelayEvent::Requested { peer: PEER, txid }
    );
    let received = RelayEvent::Received { peer: PEER, transaction: Arc::clone(&spend) };
    assert_eq!(soon("an event", told.recv()).await.unwrap(), received);

    // Replaced by one that pays more, not by one that pays less.
    let cheaper = payee.spend(1);
    assert!(devnet.submit((*cheaper).clone()).await.is_err());
    let better = payee.spend(5);
    assert_eq!(
        devnet.submit((*better).clone()).await.unwrap(),
        Accepted::New { replaced: vec![txid] }
    );
    let received = RelayEvent::Received { peer: PEER, transaction: Arc::clone(&better) };
    assert_eq!(soon("an event", told.recv()).await.unwrap(), received);
    devnet.mine(1).await.unwrap();
    let mined = devnet.read(|ledger| ledger.tree().tip().block.txdata.clone());
    assert!(mined.contains(&better) && !mined.contains(&spend));
    assert!(devnet.submit((*spend).clone()).await.is_err(), "its coin is spent");

    // Out of the chain, and in again.
    let branch = devnet.unmine(better.compute_txid()).await.unwrap();
    assert_eq!((branch.disconnected.len(), branch.mined.len()), (1, 2));
    let id = better.compute_txid();
    assert!(devnet.read(|ledger| ledger.waiting(&id).is_some()));
    devnet.mine(1).await.unwrap();
    assert!(devnet.read(|ledger| ledger.tree().tip().block.txdata.contains(&better)));
}

#[tokio::test]
async fn a_broadcast_apart_reaches_the_devnet() {
    let devnet = devnet(110).await;
    let payee = Payee::paid(&devnet).await;
    let (running, _) = connected(&devnet, config()).await;
    let spend = payee.spend(2);
    let outcome = soon("the outcome", running.handle.announce_apart(Arc::clone(&spend))).await;
    assert_eq!(outcome.unwrap(), Apart::Delivered);
    let txid = spend.compute_txid();
    // The pong says that it was read.
    assert!(devnet.read(|ledger| ledger.waiting(&txid).is_some()));
    let again = tokio::time::timeout(
        Duration::from_millis(300),
        running.handle.announce_apart(Arc::clone(&spend)),
    );
    assert!(again.await.is_err(), "it has it, and does not ask");
}

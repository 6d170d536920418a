//! A payment watcher: says what happens to payments to one script, reorgs included, and ends once three
//! are confirmed. `cargo run -p ironlight --features daemon --example watcher`

#![allow(clippy::print_stdout, clippy::wildcard_enum_match_arm, reason = "an example prints")]

mod sandbox;

use std::collections::BTreeSet;

use ironlight::events::NodeEvent;
use ironlight::wallet::WalletEvent;
use ironlight::wallet::watch::{WatchRequest, WatchTarget};
use ironlight::{BlockHeight, Network, Node};
use sandbox::{DESCRIPTOR, Outcome, Sandbox};

const PAYMENTS: usize = 3;

#[tokio::main]
async fn main() -> Outcome<()> {
    let sandbox = Sandbox::open().await?;
    let node = Node::builder(Network::Regtest)
        .connect(sandbox.address())
        // So that payments show before they are in a block.
        .watch_mempool()
        .build()
        .await?;
    let handle = node.handle();
    let script = Sandbox::address_of(DESCRIPTOR, 0)?.script_pubkey();
    let target = WatchTarget::script(script.clone())?;
    handle.watch(WatchRequest::new(target, BlockHeight(0))).await?;
    handle.wallet().synced().await?;

    // A program that is started again goes on after the last number it has seen: `subscribe_after`.
    let mut events = handle.subscribe();
    for satoshi in [10_000, 20_000, 30_000] {
        sandbox.pay(script.clone(), satoshi).await?;
    }
    sandbox.mine(1).await?;
    let (mut confirmed, mut reorganised) = (BTreeSet::new(), false);
    while confirmed.len() < PAYMENTS {
        // A slow reader is told from which height on to look again; this one reads all.
        let Some(event) = events.next().await? else { break };
        match event.event {
            NodeEvent::Pending { txid, .. } => println!("{txid} waits; nothing of it is verified"),
            NodeEvent::Wallet(WalletEvent::Confirmed { txid, place }) => {
                let proof = handle.prove(txid, None).await?;
                println!(
                    "{txid} is in block {}, {} bytes of proof",
                    place.height,
                    proof.merkle_block.len()
                );
                confirmed.insert(txid);
            }
            NodeEvent::Wallet(WalletEvent::Unconfirmed { txid, place }) => {
                println!("{txid} lost its block at height {}", place.height);
                confirmed.remove(&txid);
            }
            NodeEvent::Wallet(WalletEvent::Conflicted { txid, by, .. }) => {
                println!("{txid} will never confirm: {by} spends the same");
            }
            NodeEvent::Reorg { disconnected, .. } => {
                println!("{disconnected} blocks were replaced")
            }
            _ => {}
        }
        if confirmed.len() == PAYMENTS && !reorganised {
            reorganised = true;
            sandbox.reorg(1).await?;
            // What was confirmed in the block that is gone is looked for anew.
            while let Some(event) = events.next().await? {
                println!("  {:?}", event.event);
                if matches!(event.event, NodeEvent::Scanned { .. }) {
                    break;
                }
            }
        }
    }
    println!("{} in {PAYMENTS} payments", handle.balance(None).confirmed);
    node.stop().await?;
    Ok(())
}

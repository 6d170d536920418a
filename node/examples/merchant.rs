//! A merchant: one address an invoice, three confirmations, and a proof that anybody can check for
//! years. `cargo run -p ironlight --features daemon --example merchant`

#![allow(clippy::print_stdout, reason = "an example prints")]

mod sandbox;

use bitcoin::{Amount, Txid};
use ironlight::handle::NodeHandle;
use ironlight::spv::proof::MerkleBlock;
use ironlight::wallet::AccountName;
use ironlight::wallet::watch::{WatchRequest, WatchTarget};
use ironlight::{Network, Node};
use sandbox::{DESCRIPTOR, Outcome, Sandbox};

const CONFIRMATIONS: u32 = 3;

#[tokio::main]
async fn main() -> Outcome<()> {
    let sandbox = Sandbox::open().await?;
    let node = Node::builder(Network::Regtest).connect(sandbox.address()).build().await?;
    let shop = node.handle();
    let birthday = shop.headers_synced().await?.height;

    // An account for each invoice: what comes in for it is counted by itself.
    let (invoice, price) = ("invoice-1".parse::<AccountName>()?, Amount::from_sat(25_000));
    let address = Sandbox::address_of(DESCRIPTOR, 1)?;
    let target = WatchTarget::address(&address.to_string(), Network::Regtest)?;
    let request = WatchRequest::new(target, birthday);
    shop.watch(WatchRequest { account: invoice.clone(), ..request }).await?;
    println!("pay {price} to {address}");

    sandbox.pay(address.script_pubkey(), price.to_sat()).await?;
    sandbox.mine(1).await?;
    let payment = paid(&shop, &invoice, price).await?;
    println!("paid with {payment}, waiting for {CONFIRMATIONS} confirmations");

    sandbox.mine(CONFIRMATIONS - 1).await?;
    // A reorg in between is waited out.
    let proof = shop.confirmed(payment, None, CONFIRMATIONS).await?;
    let kept = std::env::temp_dir().join(format!("{payment}.merkleblock"));
    std::fs::write(&kept, &proof.merkle_block)?;
    println!("confirmed in block {} at height {}", proof.block, proof.height);

    // What an auditor does with it: no node, only the header's hash.
    let checked = MerkleBlock::decode(&std::fs::read(&kept)?)?;
    checked.verify_one(payment)?;
    if checked.header().hash() != proof.block {
        return Err("the proof is of another block".into());
    }
    println!("the proof in {} holds", kept.display());
    std::fs::remove_file(kept)?;
    node.stop().await?;
    Ok(())
}

/// Waits until an invoice has been paid in full by one transaction in a block.
async fn paid(shop: &NodeHandle, invoice: &AccountName, price: Amount) -> Outcome<Txid> {
    let mut events = shop.subscribe();
    loop {
        let history = shop.history(Some(invoice), None, 10);
        if let Some(paid) = history.entries.iter().find(|entry| entry.received >= price) {
            return Ok(paid.txid);
        }
        events.next().await?;
    }
}

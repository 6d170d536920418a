//! A wallet in ten lines, those of README's "Embed it": it watches a descriptor and says what it has.
//! `cargo run -p ironlight --features daemon --example wallet`, or with `--features wallet` and the
//! address of a full node on regtest.

#![allow(clippy::print_stdout, reason = "an example prints")]

mod sandbox;

use ironlight::wallet::watch::{WatchRequest, WatchTarget};
use ironlight::{BlockHeight, Network, Node};
use sandbox::{DESCRIPTOR, Outcome, Sandbox};

#[tokio::main]
async fn main() -> Outcome<()> {
    let sandbox = Sandbox::open().await?;
    let node = Node::builder(Network::Regtest).connect(sandbox.address()).build().await?;
    let wallet = node.handle();
    let target = WatchTarget::descriptor(DESCRIPTOR, Network::Regtest)?;
    wallet.watch(WatchRequest::new(target, BlockHeight(0))).await?;
    wallet.wallet().synced().await?;
    println!("{} at height {}", wallet.balance(None).confirmed, wallet.tip().height);

    let mut events = wallet.subscribe();
    sandbox.pay(Sandbox::address_of(DESCRIPTOR, 0)?.script_pubkey(), 50_000).await?;
    sandbox.mine(1).await?;
    while wallet.utxos(None).is_empty() {
        events.next().await?;
    }
    for coin in wallet.utxos(None) {
        println!("{} with {} confirmations", coin.value, coin.confirmations);
    }
    node.stop().await?;
    Ok(())
}

//! A `bdk_wallet` wallet that syncs, receives and spends through our node:
//! `cargo run -p ironlight --features daemon,bdk --example bdk`

#![allow(clippy::print_stdout, reason = "an example prints")]

mod sandbox;

use bdk_wallet::{KeychainKind, SignOptions, Wallet};
use bitcoin::bip32::Xpriv;
use bitcoin::{Amount, FeeRate};
use ironlight::{BlockHeight, Network, Node, bdk};
use sandbox::{Outcome, Sandbox};

/// Test vector 1 of BIP32, as regtest writes it: anybody has the key.
const KEY: &str = "tprv8ZgxMBicQKsPeDgjzdC36fs6bMjGApWDNLR9erAXMs5skhMv36j9MV5ecvfavji5khqjWaWSFhN3YcCUUdiKH6isR4Pwy3U5y5egddBr16m";

#[tokio::main]
async fn main() -> Outcome<()> {
    let sandbox = Sandbox::open().await?;
    let node = Node::builder(Network::Regtest).connect(sandbox.address()).build().await?;
    let handle = node.handle();
    let mut wallet =
        Wallet::create(format!("wpkh({KEY}/84h/1h/0h/0/*)"), format!("wpkh({KEY}/84h/1h/0h/1/*)"))
            .network(bitcoin::Network::Regtest)
            .create_wallet_no_persist()?;
    let birthday = BlockHeight(0);
    let synced = bdk::sync(&handle, &mut wallet, birthday).await?;
    println!("synced to height {}, {}", synced.tip.height, wallet.balance().total());

    // Receive.
    let address = wallet.reveal_next_address(KeychainKind::External).address;
    sandbox.pay(address.script_pubkey(), 100_000).await?;
    sandbox.mine(1).await?;
    let received = changed(&handle, &mut wallet, birthday).await?;
    println!("received {} by {received}", wallet.balance().confirmed);

    // Spend: the wallet chooses coins and signs, the node brings it to the network.
    let mut builder = wallet.build_tx();
    builder.add_recipient(
        Sandbox::address_of(sandbox::DESCRIPTOR, 7)?.script_pubkey(),
        Amount::from_sat(30_000),
    );
    builder.fee_rate(FeeRate::from_sat_per_vb(2).ok_or("no such rate")?);
    let mut psbt = builder.finish()?;
    let key: Xpriv = KEY.parse()?;
    psbt.sign(&key, wallet.secp_ctx()).map_err(|(_, errors)| format!("not signed: {errors:?}"))?;
    if !wallet.finalize_psbt(&mut psbt, SignOptions::default())? {
        return Err("signatures are missing".into());
    }
    let spending = psbt.extract_tx()?;
    let mut events = handle.subscribe();
    bdk::broadcast(&handle, &mut wallet, &spending).await?;
    println!("sent {}, {} waits", spending.compute_txid(), wallet.balance().trusted_pending);
    // A full node has asked for it.
    while !handle.wallet().broadcasts().iter().any(|it| it.requested > 0) {
        events.next().await?;
    }
    sandbox.mine(1).await?;
    let confirmed = changed(&handle, &mut wallet, birthday).await?;
    println!("{confirmed} is confirmed: {} left", wallet.balance().confirmed);

    // What a reorg takes away comes back with the next block that has it.
    sandbox.reorg(2).await?;
    let synced = bdk::sync(&handle, &mut wallet, birthday).await?;
    println!("after a reorg, at height {}: {}", synced.tip.height, wallet.balance().total());
    node.stop().await?;
    Ok(())
}

/// Syncs until there is something new, and gives the newest transaction.
async fn changed(
    handle: &ironlight::NodeHandle,
    wallet: &mut Wallet,
    birthday: BlockHeight,
) -> Outcome<bitcoin::Txid> {
    let mut events = handle.subscribe();
    loop {
        let synced = bdk::sync(handle, wallet, birthday).await?;
        if let Some(newest) = synced.confirmed.last() {
            return Ok(*newest);
        }
        events.next().await?;
    }
}

//! Follows a regtest chain from one full node and prints what happens to it:
//! `cargo run -p ironlight --example follow -- 127.0.0.1:18444`

#![allow(clippy::print_stdout, reason = "an example prints")]

use ironlight::{Network, Node, NodeConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let peer = std::env::args().nth(1).ok_or("name a full node, such as 127.0.0.1:18444")?;
    let mut config = NodeConfig::new(Network::Regtest);
    config.connect.push(peer.parse()?);
    config.dns_seeds = false;

    let node = Node::start(config).await?;
    let mut events = node.chain().subscribe_after(0);
    while let Some(event) = events.next().await? {
        println!("{}: {:?}", event.sequence, event.event);
    }
    node.stop().await?;
    Ok(())
}

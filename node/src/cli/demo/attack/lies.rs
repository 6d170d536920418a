//! A fresh light node among two liars and one honest full node.

use std::time::Instant;

use super::liar::{Liar, Lie};
use crate::cli::Failure;
use crate::cli::demo::acts;
use crate::cli::demo::fleet::{LIMIT, LOOK_EVERY, Tell};
use crate::cli::demo::light_node::LightNode;
use crate::cli::demo::node_log::Entry;
use crate::cli::demo::stage::Stage;

/// What a node logs of a peer that broke a rule.
const JOINED: &str = "peer joined";
const LEFT: &str = "peer left";
const MISBEHAVED: &str = "peer misbehaved";

/// See above.
pub(in crate::cli::demo) async fn lies(stage: &mut Stage) -> Result<(), Failure> {
    stage.story.title("Attack: a new node asks three full nodes, and two of them lie.");
    let mut liars = Vec::new();
    for (name, lie, about) in [
        ("liar1", Lie::NoWork, "headers without proof of work"),
        ("liar2", Lie::WrongTarget, "headers with a target of its own choice"),
    ] {
        let liar = Liar::start(lie).await?;
        stage.fleet.names.add(&liar.address.to_string(), name);
        stage.story.tell(name, format!("serves {about} on {}", liar.address));
        liars.push((name, liar));
    }
    let honest = stage.devnet.address().to_string();
    let addresses = liars.iter().map(|(_, liar)| liar.address.to_string()).chain([honest]);
    let connect = addresses.flat_map(|address| ["--connect".to_owned(), address]).collect();
    let index = stage.add("bitcoin", connect);
    let id = stage.fleet.start(index, 0).await?;
    let name = stage.fleet.node(index)?.name.clone();
    stage.story.tell(&name, format!("process {id}, empty; connects to liar1, liar2 and devnet"));
    let tip = stage.devnet.tip();
    stage.fleet.reach_of(vec![index], tip, Tell::SinceStart).await?;
    for (liar_name, liar) in &liars {
        let address = liar.address.to_string();
        let said = let_go(stage, index, &address).await?;
        let told = liar.told();
        let lies = if told == 1 { "1 lie".to_owned() } else { format!("{told} lies") };
        stage.story.tell(&name, format!("let {liar_name} go after {lies}; its log:"));
        said.iter().for_each(|line| stage.story.more(line));
    }
    check_peers(stage, index, &liars).await?;
    acts::stop(stage, index).await
}

/// Waits until the node has hung up on a peer for what it sent, and gives what it logged of it.
async fn let_go(stage: &mut Stage, index: usize, address: &str) -> Result<Vec<String>, Failure> {
    let began = Instant::now();
    loop {
        let node = stage.fleet.node(index)?;
        if let Some(said) = about(node, address)? {
            return Ok(said);
        }
        if began.elapsed() > LIMIT {
            let (name, log) = (&node.name, node.log.path().display());
            return Err(
                format!("{name} did not let {address} go within {LIMIT:?}; see {log}").into()
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// None until it has left.
fn about(node: &LightNode, address: &str) -> Result<Option<Vec<String>>, Failure> {
    let entries = node.log.entries()?;
    let joined = entries
        .iter()
        .find(|entry| entry.message() == JOINED && entry.text("addr") == Some(address));
    let Some(peer) = joined.and_then(|entry| entry.number("peer")) else { return Ok(None) };
    let of_it: Vec<&Entry> =
        entries.iter().filter(|entry| entry.number("peer") == Some(peer)).collect();
    if !of_it.iter().any(|entry| entry.message() == LEFT) {
        return Ok(None);
    }
    if !of_it.iter().any(|entry| entry.message() == MISBEHAVED) {
        let (name, log) = (&node.name, node.log.path().display());
        return Err(format!("{name} lost {address}, but not for what it sent; see {log}").into());
    }
    let told = of_it.iter().filter(|entry| entry.message() != JOINED);
    Ok(Some(told.map(|entry| shown(entry)).collect()))
}

/// An entry with the field that gives the reason.
fn shown(entry: &Entry) -> String {
    let reasons = ["error", "offence", "reason"].iter().find_map(|field| entry.text(field));
    format!("{} {}: {}", entry.level, entry.message(), reasons.unwrap_or_default())
}

/// The honest one is still there, the liars are not.
async fn check_peers(
    stage: &mut Stage,
    index: usize,
    liars: &[(&str, Liar)],
) -> Result<(), Failure> {
    let names = stage.fleet.names.clone();
    let honest = stage.devnet.address().to_string();
    let node = stage.fleet.node(index)?;
    node.look(&names).await?;
    let peers = node.standing.as_ref().map_or(&[][..], |standing| standing.peers.as_slice());
    for (name, liar) in liars {
        if peers.contains(&liar.address.to_string()) {
            return Err(format!("{} is still connected to {name}: {peers:?}", node.name).into());
        }
    }
    if !peers.contains(&honest) {
        return Err(format!("{} has lost the honest full node: {peers:?}", node.name).into());
    }
    let text = format!("still connected to devnet ({honest}) and to none of the liars");
    let name = node.name.clone();
    stage.story.tell(&name, text);
    Ok(())
}

//! The full node, the light nodes and their links.

use std::path::Path;
use std::time::Instant;

use ironlight_spv::chain::ChainTip;

use super::DemoArgs;
use super::fleet::Fleet;
use super::light_node::LightNode;
use super::record::{Bytes, Names};
use super::story::Story;
use crate::api::socket;
use crate::cli::Failure;
use crate::cli::progress::Progress;
use crate::cli::scratch::Scratch;
use crate::cli::table::{Align, render, size, time};
use crate::devnet::{Devnet, DevnetConfig};

/// Blocks mined between two looks at the bar.
const STEP: u32 = 250;
/// A Unix socket's path is at most so long, in bytes, on the strictest system that we run on.
const LONGEST_SOCKET: usize = 103;
/// Every light node listens by TCP and by QUIC.
const LISTENS: usize = 2;

/// See above.
#[derive(Debug)]
pub(super) struct Stage {
    /// Light nodes linked to each other; those that an attack adds come after them.
    line: usize,
    pub(super) devnet: Devnet,
    pub(super) fleet: Fleet,
    pub(super) story: Story,
}

/// How a light node reaches another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Tcp,
    Quic,
}

/// Whom the node at a place knows, by place: a line of TCP and QUIC in turn, and from the fourth
/// node on a second way in by the other transport.
fn links(index: usize) -> Vec<(usize, Transport)> {
    let (first, second) = if index % 2 == 1 {
        (Transport::Tcp, Transport::Quic)
    } else {
        (Transport::Quic, Transport::Tcp)
    };
    let before = index.checked_sub(1).map(|known| (known, first));
    let further = index.checked_sub(2).filter(|_| index >= 3).map(|known| (known, second));
    before.into_iter().chain(further).collect()
}

impl Stage {
    /// Mines the chain and starts every node.
    pub(super) async fn set(args: &DemoArgs, scratch: &Scratch) -> Result<Self, Failure> {
        let story = Story::begin();
        check_length(scratch.path(), args.nodes)?;
        let (nodes, root) = (args.nodes, scratch.path().display());
        say!("ironlight {} demo: a full node and {nodes} light nodes on loopback", crate::VERSION);
        let end = if scratch.is_temporary() { "removed at the end" } else { "kept" };
        say!("data and logs in {root} ({end})");
        story.title("An embedded full node mines a regtest chain with really signed transactions.");
        let devnet = mine(args.headers, story).await?;
        let mut names = Names::default();
        names.add(&devnet.address().to_string(), "devnet");
        let root = scratch.path().to_owned();
        let fleet = Fleet { root, nodes: Vec::new(), names, story };
        let mut stage = Self { line: 0, devnet, fleet, story };
        story.title(
            "Light nodes start, each a process; only the first is connected to the full node.",
        );
        for _ in 0..nodes {
            stage.add_light_node().await?;
        }
        Ok(stage)
    }

    /// Starts another node, linked to those that are there.
    async fn add_light_node(&mut self) -> Result<(), Failure> {
        let index = self.fleet.nodes.len();
        let mut options = Vec::new();
        let mut known = Vec::new();
        if index == 0 {
            options.extend(["--connect".to_owned(), self.devnet.address().to_string()]);
            known.push("devnet".to_owned());
        }
        for (other, transport) in links(index) {
            let node = self.fleet.node(other)?;
            known.push(format!("{} by {}", node.name, transport.name()));
            options.extend(["--peer".to_owned(), transport.address_of(node)?]);
        }
        // The last one of the line is served by those before it.
        options.extend(["--filters-from".to_owned(), "0".to_owned()]);
        for address in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
            options.extend(["--listen".to_owned(), address.to_owned()]);
        }
        let networks = if index == 0 { "bitcoin,libp2p" } else { "libp2p" };
        let node = self.add(networks, options);
        let id = self.fleet.start(node, LISTENS).await?;
        self.line = self.line.saturating_add(1);
        let name = &self.fleet.node(node)?.name;
        self.story.tell(
            name,
            format!("process {id}, networks {networks}; connects to {}", known.join(", ")),
        );
        Ok(())
    }

    /// Tells the full node's tip, and gives it.
    pub(super) fn tell_tip(&self) -> ChainTip {
        tell_tip(&self.devnet, self.story)
    }

    /// The last node of the line, which no other depends on.
    pub(super) const fn last_of_line(&self) -> usize {
        self.line.saturating_sub(1)
    }

    /// Puts a node on the list that does not run yet, and gives its place.
    pub(super) fn add(&mut self, networks: &'static str, options: Vec<String>) -> usize {
        let index = self.fleet.nodes.len();
        let name = format!("node{}", index.saturating_add(1));
        self.fleet.nodes.push(LightNode::new(&self.fleet.root, name, networks, options));
        index
    }

    /// Starts a node that was stopped; gives the process's number.
    pub(super) async fn start_again(&mut self, index: usize) -> Result<u32, Failure> {
        self.fleet.start(index, LISTENS).await
    }

    /// What every node had from whom.
    pub(super) fn print_table(&self) {
        let head = [
            ("node", Align::Left),
            ("headers from", Align::Left),
            ("synced in", Align::Right),
            ("bitcoin in/out", Align::Right),
            ("libp2p in/out", Align::Right),
            ("memory", Align::Right),
        ];
        let mut rows = Vec::new();
        for node in &self.fleet.nodes {
            let sources = node.record.sources();
            let mut sources = sources.iter().map(|(source, headers)| format!("{headers} {source}"));
            let bytes = |network| node.record.bytes(network).map_or_else(nothing, in_and_out);
            rows.push(vec![
                node.name.clone(),
                sources.next().unwrap_or_else(nothing),
                node.synced_in.map_or_else(nothing, time),
                bytes("bitcoin"),
                bytes("libp2p"),
                node.peak_memory.map_or_else(nothing, size),
            ]);
            rows.extend(sources.map(|source| vec![String::new(), source]));
        }
        self.story.title(
            "What every node had from whom: bytes counted at its sockets, and its most memory.",
        );
        render(&head, &rows).iter().for_each(|line| say!("  {line}"));
    }

    /// The closing line, if every running node is on the full node's tip.
    pub(super) fn passed(&self) -> Result<String, Failure> {
        let tip = self.devnet.tip();
        let running: Vec<_> = self.fleet.nodes.iter().filter(|node| node.runs()).collect();
        let wanted = tip.hash.to_string();
        for node in &running {
            if node.standing.as_ref().is_none_or(|standing| standing.hash != wanted) {
                let (name, says) = (&node.name, node.says());
                return Err(format!("{name} is {says}; expected: tip {tip}").into());
            }
        }
        let (count, took) = (running.len(), time(self.story.elapsed()));
        let (hash, height) = (tip.hash, tip.height);
        Ok(format!("\ndemo passed: {count} nodes on tip {hash} at height {height}, in {took}"))
    }

    /// Stops everybody in order.
    pub(super) async fn end(mut self) -> Result<(), Failure> {
        for node in &mut self.fleet.nodes {
            node.stop(&self.fleet.names).await?;
        }
        self.devnet.stop().await;
        Ok(())
    }
}

impl Transport {
    const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Quic => "QUIC",
        }
    }

    /// Where a running node listens by it.
    fn address_of(self, node: &LightNode) -> Result<String, Failure> {
        let part = match self {
            Self::Tcp => "/tcp/",
            Self::Quic => "/quic-v1",
        };
        let listening = node.standing.iter().flat_map(|standing| &standing.listening);
        let address = listening.into_iter().find(|address| address.contains(part)).cloned();
        let nowhere = || format!("{} does not listen by {}", node.name, self.name());
        Ok(address.ok_or_else(nowhere)?)
    }
}

fn nothing() -> String {
    "-".to_owned()
}

fn in_and_out(bytes: Bytes) -> String {
    format!("{} / {}", size(bytes.received), size(bytes.sent))
}

async fn mine(blocks: u32, story: Story) -> Result<Devnet, Failure> {
    let began = Instant::now();
    let devnet = Devnet::start(DevnetConfig::default()).await?;
    let mut progress = Progress::new("mining", u64::from(blocks));
    let mut left = blocks;
    while left > 0 {
        let some = left.min(STEP);
        devnet.mine(some).await?;
        progress.add(usize::try_from(some)?);
        left = left.saturating_sub(some);
    }
    drop(progress);
    let (took, address) = (time(began.elapsed()), devnet.address());
    story.tell("devnet", format!("{blocks} blocks mined in {took}; listens on {address}"));
    tell_tip(&devnet, story);
    Ok(devnet)
}

fn tell_tip(devnet: &Devnet, story: Story) -> ChainTip {
    let tip = devnet.tip();
    story.tell("devnet", format!("tip {} at height {}", tip.hash, tip.height));
    tip
}

/// The nodes' control sockets must fit.
fn check_length(root: &Path, nodes: u16) -> Result<(), Failure> {
    // An attack adds a node.
    let name = format!("node{}", nodes.saturating_add(1));
    let root = std::path::absolute(root)?;
    let longest = root.join(name).join("regtest").join(socket::FILE_NAME);
    let length = longest.as_os_str().len();
    if length <= LONGEST_SOCKET {
        return Ok(());
    }
    let over = length.saturating_sub(LONGEST_SOCKET);
    let root = root.display();
    Err(format!(
        "{root} is {over} bytes too long for the nodes' sockets: give a shorter --data-dir"
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_nodes_are_a_line_of_both_transports_and_more_are_a_mesh() {
        assert!(links(0).is_empty());
        assert_eq!(links(1), [(0, Transport::Tcp)]);
        assert_eq!(links(2), [(1, Transport::Quic)]);
        assert_eq!(links(3), [(2, Transport::Tcp), (1, Transport::Quic)]);
        for index in 1..16 {
            assert!(links(index).iter().all(|(known, _)| *known < index), "{index}");
        }
    }

    #[test]
    fn a_directory_too_long_for_a_socket_is_refused_at_once() {
        assert!(check_length(Path::new("/tmp/ironlight-demo-4194304"), 16).is_ok());
        let long = format!("/tmp/{}", "x".repeat(90));
        let error = check_length(Path::new(&long), 3).unwrap_err().to_string();
        assert!(error.contains("shorter --data-dir"), "{error}");
    }
}

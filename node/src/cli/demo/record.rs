//! What a light node had from whom, over all its runs: its control socket counts from its start.

use std::collections::BTreeMap;

use crate::api::{NetworkDto, PeersDto};

/// Who is behind an address: full nodes are known by their socket address, light nodes by their
/// identity, which they keep wherever they listen.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(BTreeMap<String, String>);

impl Names {
    /// Remembers a full node's address, or a light node's with its identity.
    pub(super) fn add(&mut self, address: &str, name: &str) {
        self.0.insert(key(address).to_owned(), name.to_owned());
    }

    fn who(&self, address: &str) -> String {
        self.0.get(key(address)).cloned().unwrap_or_else(|| address.to_owned())
    }
}

fn key(address: &str) -> &str {
    address.rsplit_once("/p2p/").map_or(address, |(_, identity)| identity)
}

/// How a light node's address is reached.
fn transport(address: &str) -> &'static str {
    if address.contains("/quic-v1") {
        " quic"
    } else if address.contains("/tcp/") {
        " tcp"
    } else {
        ""
    }
}

/// A peer that sent headers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    /// Its name in the demo.
    pub(super) who: String,
    /// The network, and the transport where there is a choice.
    pub(super) way: String,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.who, self.way)
    }
}

/// Bytes at a node's sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bytes {
    pub(super) received: u64,
    pub(super) sent: u64,
}

/// Over all runs of a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    run: u32,
    /// By run and the number that the node gave the peer.
    headers: BTreeMap<(u32, u64), (Source, u64)>,
    /// By run and network.
    bytes: BTreeMap<(u32, String), Bytes>,
}

impl Record {
    /// The node starts: its counters do so, too.
    pub(super) const fn begin_run(&mut self) {
        self.run = self.run.saturating_add(1);
    }

    /// Takes in what the node says now.
    pub(super) fn take_in(&mut self, peers: &PeersDto, names: &Names) {
        for network in &peers.networks {
            let NetworkDto { name, bytes_in, bytes_out, .. } = network;
            let bytes = Bytes { received: *bytes_in, sent: *bytes_out };
            self.bytes.insert((self.run, name.clone()), bytes);
            for peer in network.peers.iter().filter(|peer| peer.headers > 0) {
                let way = format!("{name}{}", transport(&peer.address));
                let source = Source { who: names.who(&peer.address), way };
                self.headers.insert((self.run, peer.id), (source, peer.headers));
            }
        }
    }

    /// Who it had headers from in this run, and how many; the most first.
    pub(super) fn sources_of_run(&self) -> Vec<(Source, u64)> {
        sum(self.headers.iter().filter(|((run, _), _)| *run == self.run).map(|(_, had)| had))
    }

    /// The same over all runs.
    pub(super) fn sources(&self) -> Vec<(Source, u64)> {
        sum(self.headers.values())
    }

    /// Bytes on a network over all runs; none where it was never in it.
    pub(super) fn bytes(&self, network: &str) -> Option<Bytes> {
        let on = self.bytes.iter().filter(|((_, name), _)| name == network);
        on.map(|(_, bytes)| *bytes).reduce(|a, b| Bytes {
            received: a.received.saturating_add(b.received),
            sent: a.sent.saturating_add(b.sent),
        })
    }
}

fn sum<'a>(had: impl Iterator<Item = &'a (Source, u64)>) -> Vec<(Source, u64)> {
    let mut sums = BTreeMap::<&Source, u64>::new();
    for (source, headers) in had {
        let sum = sums.entry(source).or_default();
        *sum = sum.saturating_add(*headers);
    }
    let mut sums: Vec<_> = sums.into_iter().map(|(source, sum)| (source.clone(), sum)).collect();
    sums.sort_by_key(|(_, headers)| std::cmp::Reverse(*headers));
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{PeerDto, RequestsDto, ServedDto};

    fn peers(network: &str, bytes_in: u64, from: &[(u64, &str, u64)]) -> PeersDto {
        let peer = |&(id, address, headers): &(u64, &str, u64)| PeerDto {
            id,
            address: address.to_owned(),
            direction: "outbound".to_owned(),
            named: true,
            agent: String::new(),
            phase: String::new(),
            connected_seconds: 0,
            ping_micros: None,
            bytes_in: 0,
            bytes_out: 0,
            headers,
            requests: None,
        };
        let network = NetworkDto {
            name: network.to_owned(),
            listening: Vec::new(),
            bytes_in,
            bytes_out: 1,
            bytes: Vec::new(),
            requests: RequestsDto::default(),
            served: ServedDto::default(),
            peers: from.iter().map(peer).collect(),
        };
        PeersDto { networks: vec![network] }
    }

    #[test]
    fn what_a_node_had_is_summed_over_its_runs_and_named() {
        let mut names = Names::default();
        names.add("/ip4/127.0.0.1/tcp/1/p2p/ID1", "node1");
        let mut record = Record::default();
        record.begin_run();
        let first = "/ip4/127.0.0.1/tcp/9/p2p/ID1";
        record.take_in(&peers("libp2p", 100, &[(0, first, 40)]), &names);
        record.take_in(&peers("libp2p", 200, &[(0, first, 50), (1, "/tcp/7/p2p/X", 0)]), &names);
        record.begin_run();
        record.take_in(&peers("libp2p", 30, &[(0, first, 5)]), &names);
        let source = Source { who: "node1".to_owned(), way: "libp2p tcp".to_owned() };
        assert_eq!(record.sources_of_run(), [(source.clone(), 5)]);
        assert_eq!(record.sources(), [(source, 55)]);
        assert_eq!(record.bytes("libp2p"), Some(Bytes { received: 230, sent: 2 }));
        assert_eq!(record.bytes("bitcoin"), None);
    }

    #[test]
    fn full_nodes_are_named_by_address_and_strangers_by_what_they_have() {
        let mut names = Names::default();
        names.add("127.0.0.1:18444", "devnet");
        let mut record = Record::default();
        record.begin_run();
        let from = [(3, "127.0.0.1:18444", 7), (4, "/ip4/10.0.0.1/udp/1/quic-v1/p2p/Y", 9)];
        record.take_in(&peers("bitcoin", 1, &from), &names);
        let shown: Vec<_> =
            record.sources().iter().map(|(from, n)| format!("{n} {from}")).collect();
        assert_eq!(
            shown,
            ["9 /ip4/10.0.0.1/udp/1/quic-v1/p2p/Y (bitcoin quic)", "7 devnet (bitcoin)"]
        );
    }
}

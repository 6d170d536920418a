//! Networks and nodes that the tests share.

use std::sync::LazyLock;
use std::time::Duration;

use ironlight_spv::generate::Miner;
use ironlight_spv::{BlockHeight, Header, PresyncParams};
use ironlight_stress::sim::network::{
    Behaviour, Ended, Forgery, NetworkConfig, NodeId, SimNetwork,
};
use ironlight_stress::sim::{Chain, Flaw, Role, regtest_with, spoilt};

pub(super) const BLOCKS: usize = 3_000;
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);

/// Three thousand blocks, of which two and a half thousand are the least that counts: a first
/// message alone shows too little work, so that every sync goes through a presync.
pub(super) static CONFIG: LazyLock<NetworkConfig> = LazyLock::new(|| {
    let presync = PresyncParams { commitment_period: 20, redownload_buffer: 2_300 };
    NetworkConfig::new(regtest_with(2_500, presync), BLOCKS)
});

pub(super) fn network(seed: u64) -> SimNetwork {
    SimNetwork::new(seed, CONFIG.clone())
}

/// Light nodes that dial whom they hear of, too.
pub(super) fn open_network(seed: u64) -> SimNetwork {
    let mut config = CONFIG.clone();
    config.policy.manual_only = false;
    SimNetwork::new(seed, config)
}

pub(super) fn base() -> Vec<Header> {
    let heights = 1..=u32::try_from(BLOCKS).unwrap();
    let header = |height| CONFIG.base.get(BlockHeight(height)).unwrap().header;
    heights.map(header).collect()
}

pub(super) static BASE: LazyLock<Vec<Header>> = LazyLock::new(base);

pub(super) fn genesis() -> Header {
    CONFIG.base.params().genesis
}

pub(super) fn flawed(height: usize, flaw: Flaw) -> Role {
    Role::Serves(spoilt(&genesis(), &BASE, height, flaw))
}

/// A valid branch, but a hundred blocks short of what counts.
pub(super) fn low_work() -> Role {
    let mut headers = BASE[..100].to_vec();
    headers.extend(Miner::new(9).run(&BASE[99], 2_300, 600));
    Role::Serves(Chain::new(&genesis(), headers))
}

pub(super) fn synced(ended: &Ended) -> Duration {
    ended.reached().unwrap_or_else(|| panic!("not reached: {ended:?}"))
}

pub(super) fn three_full_nodes(network: &mut SimNetwork) -> [NodeId; 3] {
    let first = network.full_node(&[]);
    let second = network.full_node(&[first]);
    let third = network.full_node(&[first, second]);
    [first, second, third]
}

/// Twenty liars of all kinds, connected to the node and known to it, and one honest full node
/// that the user named.
pub(super) fn eclipse(seed: u64) -> (SimNetwork, NodeId, NodeId, Vec<NodeId>) {
    let mut network = open_network(seed);
    let full = network.full_node(&[]);
    let light = network.light_node(&[full]);
    let roles = [
        Behaviour::answers(low_work()),
        Behaviour::answers(flawed(990, Flaw::NoWork)),
        Behaviour::answers(Role::Silent).forging(Forgery::Hash),
        Behaviour::answers(Role::Empty).forging(Forgery::Orphan),
    ];
    let behaviour = |number: usize| roles[number % roles.len()].clone();
    let liars: Vec<_> = (0..20).map(|n| network.liar(behaviour(n), &[light])).collect();
    network.tell_addresses(light, &liars);
    (network, full, light, liars)
}

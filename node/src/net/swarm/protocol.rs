//! The names of the protocols. They carry the network's magic and genesis, so that nodes of
//! different networks have nothing to say to each other (signets share a genesis, so it takes
//! both).

use bitcoin::hashes::Hash as _;
use bitcoin::hex::DisplayHex as _;
use ironlight_spv::Params;
use libp2p::StreamProtocol;
use libp2p::gossipsub::IdentTopic;

/// Bytes of the genesis hash in a name, as the hash is computed: its display form begins with
/// zeros.
const GENESIS_BYTES: usize = 8;

/// All names, for one network.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// Headers by request.
    pub(super) headers: StreamProtocol,
    /// Who is near whom.
    pub(super) kademlia: StreamProtocol,
    /// Gossip itself.
    pub(super) gossip: String,
    /// The topic of new tips.
    pub(super) tips: IdentTopic,
    /// What `identify` calls the protocol family.
    pub(super) family: String,
}

impl Names {
    pub(super) fn new(params: &Params) -> Self {
        let genesis = params.genesis.hash().to_byte_array();
        let genesis = genesis.get(..GENESIS_BYTES).unwrap_or_default();
        let base = format!("/ironlight/{}-{}", params.magic.as_hex(), genesis.as_hex());
        let name = |what: &str| format!("{base}/{what}/1");
        let stream = |what: &str| {
            // It fails only for a name without a leading slash.
            StreamProtocol::try_from_owned(name(what)).unwrap_or(StreamProtocol::new("/ironlight"))
        };
        Self {
            headers: stream("headers"),
            kademlia: stream("kad"),
            gossip: name("gossip"),
            tips: IdentTopic::new(name("tips")),
            family: name("node"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironlight_spv::Network;

    #[test]
    fn names_carry_magic_and_genesis() {
        let names = Names::new(&Params::new(Network::Mainnet));
        assert_eq!(names.headers.as_ref(), "/ironlight/f9beb4d9-6fe28c0ab6f1b372/headers/1");
        assert_eq!(names.tips.to_string(), "/ironlight/f9beb4d9-6fe28c0ab6f1b372/tips/1");
    }

    #[test]
    fn no_two_networks_share_a_name() {
        let mut families: Vec<_> =
            Network::ALL.map(|network| Names::new(&Params::new(network)).family).to_vec();
        families.push(Names::new(&Params::custom_signet(&[0x51])).family);
        families.sort();
        families.dedup();
        assert_eq!(families.len(), 6);
    }
}

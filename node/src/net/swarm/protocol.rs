//! The names of the protocols. They carry the network's magic and genesis, so that nodes of
//! different networks have nothing to say to each other (signets share a genesis, so it takes
//! both).

use bitcoin::hashes::Hash as _;
use bitcoin::hex::DisplayHex as _;
use ironlight_spv::Params;
use libp2p::StreamProtocol;
use libp2p::gossipsub::IdentTopic;

use super::wire::{
    FiltersRequest, MAX_BLOCK_RESPONSE, MAX_FILTERS_RESPONSE, MAX_PROOF_RESPONSE, MAX_RESPONSE,
    decode_request,
};
use crate::net::Purpose;
use crate::net::data::Offers;

/// Bytes of the genesis hash in a name, as the hash is computed: its display form begins with
/// zeros.
const GENESIS_BYTES: usize = 8;

/// What is asked by request, each with a protocol of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Protocol {
    /// Headers.
    Headers,
    /// Filters and what proves them.
    Filters,
    /// Blocks.
    Blocks,
    /// Proofs that transactions are in a block.
    Proofs,
    /// Difficulty periods of header snapshots.
    Snapshots,
}

impl Protocol {
    /// The longest response, in bytes.
    pub(super) const fn max_response(self) -> usize {
        match self {
            Self::Headers | Self::Snapshots => MAX_RESPONSE,
            Self::Filters => MAX_FILTERS_RESPONSE,
            Self::Blocks => MAX_BLOCK_RESPONSE,
            Self::Proofs => MAX_PROOF_RESPONSE,
        }
    }

    /// What its name ends with.
    const fn name(self) -> &'static str {
        match self {
            Self::Headers => "headers",
            Self::Filters => "filters",
            Self::Blocks => "blocks",
            Self::Proofs => "proofs",
            Self::Snapshots => "snapshots",
        }
    }
}

/// What a request of a protocol, and so its response, is for.
pub(super) fn purpose(protocol: Protocol, request: &[u8]) -> Purpose {
    match protocol {
        Protocol::Headers => Purpose::Headers,
        Protocol::Filters => {
            let request = decode_request(request)
                .and_then(|(_extensions, mut body)| FiltersRequest::decode(&mut body));
            match request {
                Ok(FiltersRequest::Filters(_)) => Purpose::Filters,
                Ok(FiltersRequest::Checkpoints { .. } | FiltersRequest::Headers(_)) => {
                    Purpose::FilterHeaders
                }
                Err(_no_request) => Purpose::Other,
            }
        }
        Protocol::Blocks => Purpose::Blocks,
        Protocol::Proofs => Purpose::Proofs,
        Protocol::Snapshots => Purpose::Snapshots,
    }
}

/// All names, for one network.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// Headers by request.
    pub(super) headers: StreamProtocol,
    /// Filters by request.
    pub(super) filters: StreamProtocol,
    /// Blocks by request.
    pub(super) blocks: StreamProtocol,
    /// Proofs by request.
    pub(super) proofs: StreamProtocol,
    /// Snapshots by request.
    pub(super) snapshots: StreamProtocol,
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
            headers: stream(Protocol::Headers.name()),
            filters: stream(Protocol::Filters.name()),
            blocks: stream(Protocol::Blocks.name()),
            proofs: stream(Protocol::Proofs.name()),
            snapshots: stream(Protocol::Snapshots.name()),
            kademlia: stream("kad"),
            gossip: name("gossip"),
            tips: IdentTopic::new(name("tips")),
            family: name("node"),
        }
    }

    pub(super) const fn of(&self, protocol: Protocol) -> &StreamProtocol {
        match protocol {
            Protocol::Headers => &self.headers,
            Protocol::Filters => &self.filters,
            Protocol::Blocks => &self.blocks,
            Protocol::Proofs => &self.proofs,
            Protocol::Snapshots => &self.snapshots,
        }
    }

    /// What a peer with these protocols can be asked besides headers.
    pub(super) fn offers(&self, protocols: &[StreamProtocol]) -> Offers {
        Offers {
            filters: protocols.contains(&self.filters),
            blocks: protocols.contains(&self.blocks),
            proofs: protocols.contains(&self.proofs),
            snapshots: protocols.contains(&self.snapshots),
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
    fn a_peer_offers_what_its_protocols_say_and_nothing_else() {
        let names = Names::new(&Params::new(Network::Mainnet));
        let other = Names::new(&Params::new(Network::Signet));
        let offers = names.offers(&[names.headers.clone(), names.blocks.clone(), other.filters]);
        assert_eq!(offers, Offers { blocks: true, ..Offers::default() });
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

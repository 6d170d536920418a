//! What the swarm needs to know of the chain: what it serves, and what it makes of a tip that
//! somebody gossips. The chain's side of it is in the node's bridge.

use ironlight_hardening::cache::CacheStats;
use ironlight_spv::Header;
use ironlight_spv::sync::TipVerdict;

use super::wire::HeadersRequest;

/// A page of headers to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedPage {
    /// The body of the response.
    pub body: Vec<u8>,
    /// Headers in it.
    pub count: u32,
}

/// The chain as the swarm sees it.
pub trait ChainSource: Send + Sync + 'static {
    /// The headers asked for, all of one moment; none where there is nothing of the kind.
    fn page(&self, request: &HeadersRequest) -> Option<ServedPage>;

    /// What the pages that many ask for are kept in.
    fn cached(&self) -> CacheStats;

    /// Judges a header by all rules, and changes nothing.
    fn judge(&self, header: &Header) -> TipVerdict;
}

//! Answers to what peers ask.

use std::net::IpAddr;
use std::time::Duration;

use ironlight_hardening::rate_limit::{IpKey, Quota, RateLimiter, RateLimiterConfig};
use ironlight_spv::peers::is_routable;
use libp2p::PeerId;

use super::source::ChainSource;
use super::wire::{Extensions, HeadersRequest, MAX_PAGE, Status, decode_request, encode_response};

/// What one client may ask for: a whole chain at once, then 100,000 headers (4 MB) a second.
const QUOTA: Quota = Quota { burst: 2_000_000, per: Duration::from_micros(10) };
/// A request costs as much as so many headers at least.
const LEAST_COST: u32 = 250;

/// Those whose allowance is kept apart. It stays when they hang up and call again.
const CLIENTS: RateLimiterConfig = RateLimiterConfig { max_keys: 4096, shards: 1, shared: 256 };

/// Whose allowance it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Client {
    /// Who owns the address.
    Owner(IpKey),
    /// Many may share an address that the internet does not route.
    Identity(PeerId),
}

impl Client {
    pub(super) fn new(ip: IpAddr, id: PeerId) -> Self {
        if is_routable(ip) { Self::Owner(IpKey::from(ip)) } else { Self::Identity(id) }
    }
}

/// What every client has asked for.
#[derive(Debug)]
pub(super) struct Allowances(RateLimiter<Client>);

impl Allowances {
    pub(super) fn new() -> Self {
        Self(RateLimiter::with_config(QUOTA, CLIENTS))
    }

    /// Whether a request is granted; if not, what to answer.
    pub(super) fn grant(
        &self,
        client: Client,
        request: &HeadersRequest,
        now: Duration,
    ) -> Result<(), Vec<u8>> {
        let cost = request.most.clamp(LEAST_COST, MAX_PAGE);
        self.0.check(&client, cost, now).map_err(|wait| busy(wait.0))
    }
}

/// The answer of a node that has no time.
pub(super) fn busy(retry_after: Duration) -> Vec<u8> {
    let extensions = Extensions { retry_after: Some(retry_after), ..Extensions::default() };
    encode_response(Status::Busy, &extensions, &[])
}

/// The answer to what is no request.
pub(super) fn invalid() -> Vec<u8> {
    encode_response(Status::Invalid, &Extensions::default(), &[])
}

/// A request for headers.
pub(super) fn headers_request(
    bytes: &[u8],
) -> Result<HeadersRequest, crate::net::wire::DecodeError> {
    let (_extensions, mut body) = decode_request(bytes)?;
    HeadersRequest::decode(&mut body)
}

/// The answer to a request for headers, with the number of headers in it.
pub(super) fn headers_response(source: &dyn ChainSource, request: &HeadersRequest) -> Vec<u8> {
    match source.page(request) {
        Some(page) => encode_response(Status::Ok, &Extensions::default(), &page.body),
        None => encode_response(Status::NotFound, &Extensions::default(), &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::swarm::wire::{Wanted, decode_response};
    use ironlight_spv::BlockHeight;

    #[test]
    fn a_peer_gets_a_whole_chain_at_once_and_then_has_to_wait() {
        let allowances = Allowances::new();
        let client = Client::new("60.1.1.1".parse().unwrap(), PeerId::random());
        let request = HeadersRequest { wanted: Wanted::From(BlockHeight(0)), most: MAX_PAGE };
        let at = Duration::from_secs(1);
        for _ in 0..250 {
            assert!(allowances.grant(client, &request, at).is_ok());
        }
        let refusal = allowances.grant(client, &request, at).unwrap_err();
        let (status, extensions, _) = decode_response(&refusal).unwrap();
        assert_eq!(status, Status::Busy);
        let wait = extensions.retry_after.unwrap();
        assert!(wait <= Duration::from_millis(80), "{wait:?}");
        assert!(allowances.grant(client, &request, at + Duration::from_millis(80)).is_ok());
    }

    #[test]
    fn a_new_identity_at_the_same_address_wins_nothing_but_where_many_share_one() {
        let client = |ip: &str| Client::new(ip.parse().unwrap(), PeerId::random());
        assert_eq!(client("60.1.1.1"), client("60.1.1.1"));
        assert_eq!(client("2a01:4f8:1:2::1"), client("2a01:4f8:1:2::9"));
        assert_ne!(client("127.0.0.1"), client("127.0.0.1"));
    }
}

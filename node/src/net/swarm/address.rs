//! Multiaddresses and socket addresses.

use std::net::{IpAddr, SocketAddr};

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

/// The address and port that a multiaddress over TCP or QUIC begins with; none for any other.
pub(super) fn socket_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = parts.next().and_then(|part| {
        if let Protocol::Ip4(ip) = part {
            Some(IpAddr::V4(ip))
        } else if let Protocol::Ip6(ip) = part {
            Some(IpAddr::V6(ip))
        } else {
            None
        }
    })?;
    let port = parts.next().and_then(|part| {
        if let Protocol::Tcp(port) = part {
            Some(port)
        } else if let Protocol::Udp(port) = part {
            (parts.next() == Some(Protocol::QuicV1)).then_some(port)
        } else {
            None
        }
    })?;
    match parts.next() {
        None | Some(Protocol::P2p(_)) => Some(SocketAddr::new(ip, port)),
        Some(_relayed) => None,
    }
}

/// The identity that a multiaddress ends with, and the address without it.
pub(super) fn split_identity(mut address: Multiaddr) -> (Multiaddr, Option<PeerId>) {
    match address.pop() {
        Some(Protocol::P2p(id)) => (address, Some(id)),
        Some(last) => (address.with(last), None),
        None => (address, None),
    }
}

/// An address with an identity.
pub(super) fn with_identity(address: &Multiaddr, id: PeerId) -> String {
    let (address, _) = split_identity(address.clone());
    address.with(Protocol::P2p(id)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_addresses_are_found_in_what_we_can_dial_and_in_nothing_else() {
        let found = |text: &str| socket_address(&text.parse().unwrap());
        assert_eq!(found("/ip4/1.2.3.4/tcp/5"), Some("1.2.3.4:5".parse().unwrap()));
        assert_eq!(found("/ip6/::1/udp/5/quic-v1"), Some("[::1]:5".parse().unwrap()));
        for other in ["/ip4/1.2.3.4/udp/5", "/ip4/1.2.3.4/tcp/5/ws", "/dns/a/tcp/1", "/ip4/1.1.1.1"]
        {
            assert_eq!(found(other), None, "{other}");
        }
    }

    #[test]
    fn an_identity_is_split_off_and_put_back() {
        let id = PeerId::random();
        let plain: Multiaddr = "/ip4/1.2.3.4/tcp/5".parse().unwrap();
        let whole = with_identity(&plain, id);
        let (address, found) = split_identity(whole.parse().unwrap());
        assert_eq!((address, found), (plain.clone(), Some(id)));
        assert_eq!(split_identity(plain.clone()), (plain, None));
    }
}

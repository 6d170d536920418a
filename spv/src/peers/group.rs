//! Which addresses are likely to be in one hand.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Addresses that one operator can own many of for little money: those with the same first two
/// bytes in IPv4 and the same first four in IPv6 (Bitcoin Core, `netgroup.cpp`). IPv6 addresses
/// that carry an IPv4 address are grouped by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NetworkGroup {
    /// An IPv4 /16.
    V4([u8; 2]),
    /// An IPv6 /32.
    V6([u8; 4]),
    /// An address that is not on the public internet is alone in its group: private test
    /// networks have many nodes on few addresses.
    Unroutable(SocketAddr),
}

impl NetworkGroup {
    /// The group of an address.
    #[must_use]
    pub fn of(addr: SocketAddr) -> Self {
        if !is_routable(addr.ip()) {
            return Self::Unroutable(addr);
        }
        match embedded_v4(addr.ip()) {
            IpAddr::V4(ip) => {
                let [a, b, ..] = ip.octets();
                Self::V4([a, b])
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.octets();
                Self::V6([a, b, c, d])
            }
        }
    }

    /// The group as bytes, different for different groups, to be hashed.
    pub(super) fn to_bytes(self) -> [u8; 19] {
        let mut bytes = [0; 19];
        match self {
            Self::V4(group) => {
                bytes[0] = 4;
                bytes[1..3].copy_from_slice(&group);
            }
            Self::V6(group) => {
                bytes[0] = 6;
                bytes[1..5].copy_from_slice(&group);
            }
            Self::Unroutable(addr) => bytes[1..].copy_from_slice(&address_bytes(addr)),
        }
        bytes
    }
}

/// An address and its port as bytes.
pub(super) fn address_bytes(addr: SocketAddr) -> [u8; 18] {
    let ip = match addr.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut bytes = [0; 18];
    bytes[..16].copy_from_slice(&ip.octets());
    bytes[16..].copy_from_slice(&addr.port().to_be_bytes());
    bytes
}

/// Whether an address can be one on the public internet. Gossip is never a reason to connect to
/// one that cannot: it would let strangers knock at the doors of the user's own network.
#[must_use]
pub fn is_routable(ip: IpAddr) -> bool {
    match embedded_v4(ip) {
        IpAddr::V4(ip) => is_routable_v4(ip),
        IpAddr::V6(ip) => is_routable_v6(ip),
    }
}

/// RFC 1122, 1918, 3927, 5737, 6598, 2544, 1112: the blocks that are not for hosts out there.
fn is_routable_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
        || a >= 224;
    !special
}

/// Of IPv6 only 2000::/3 is given out; within it RFC 3849 is documentation, RFC 4843 and 7343
/// are hashes, not hosts.
fn is_routable_v6(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    let global = first & 0xe000 == 0x2000;
    let documentation = first == 0x2001 && second == 0x0db8;
    let hashes = first == 0x2001 && matches!(second & 0xfff0, 0x0010 | 0x0020);
    global && !documentation && !hashes
}

/// The IPv4 address inside a mapped, 6to4 (RFC 3964), Teredo (RFC 4380) or NAT64 (RFC 6052) one:
/// whoever owns that owns all of these.
fn embedded_v4(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    if let Some(mapped) = v6.to_ipv4_mapped() {
        return IpAddr::V4(mapped);
    }
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        [0x2002, high, low, ..] | [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2001, 0, _, _, _, _, high, low] => v4(!high, !low),
        _ => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    fn group(ip: &str) -> NetworkGroup {
        NetworkGroup::of(SocketAddr::new(ip.parse().unwrap(), 8333))
    }

    #[test]
    fn neighbours_share_a_group() {
        assert_eq!(group("8.8.8.8"), group("8.8.200.1"));
        assert_ne!(group("8.8.8.8"), group("8.9.8.8"));
        assert_eq!(group("2a01:4f8:1::1"), group("2a01:4f8:ffff::9"));
        assert_ne!(group("2a01:4f8:1::1"), group("2a01:4f9:1::1"));
    }

    #[test]
    fn an_ipv4_owner_gains_no_groups_by_tunnels() {
        let own = group("8.8.4.4");
        for tunnel in ["::ffff:8.8.1.1", "2002:808:1::1", "64:ff9b::8.8.9.9"] {
            assert_eq!(group(tunnel), own, "{tunnel}");
        }
        let teredo = format!("2001:0:1:2:3:4:{:x}:{:x}", !0x0808_u16, !0x0101_u16);
        assert_eq!(group(&teredo), own);
    }

    #[test]
    fn inner_networks_are_not_routable() {
        let inner = "0.1.2.3 10.0.0.1 127.0.0.1 169.254.1.1 172.16.9.9 192.168.1.1 100.64.0.1 \
            192.0.2.1 198.18.0.1 224.0.0.1 255.255.255.255 :: ::1 fe80::1 fc00::1 fd00::1 ff02::1 \
            2001:db8::1 ::ffff:10.0.0.1 2002:a00:1::1 64:ff9b::192.168.0.1 2001:20::1";
        for ip in inner.split_whitespace() {
            assert!(!is_routable(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["8.8.8.8", "100.63.0.1", "172.32.0.1", "2a01:4f8::1", "2002:808:808::1"] {
            assert!(is_routable(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn different_groups_have_different_bytes() {
        let groups = ["8.8.0.1", "8.9.0.1", "2a01:808::1", "10.0.0.1", "10.0.0.2", "::1"];
        let bytes: std::collections::BTreeSet<_> =
            groups.iter().map(|ip| group(ip).to_bytes()).collect();
        assert_eq!(bytes.len(), groups.len());
    }
}
